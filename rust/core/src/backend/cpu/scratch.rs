//! Memory of the kernels: aligned to a cache line, allocated once for a shape and reused.

use crate::float::Float;
use std::ops::{Deref, DerefMut};

const LINE: usize = 64;

/// A slice that starts on a cache line, so that no register load straddles two.
pub(crate) struct Buffer<T> {
    data: Vec<T>,
    start: usize,
}

impl<T: Copy + Default> Buffer<T> {
    /// `len` zeros.
    pub(crate) fn new(len: usize) -> Self {
        let mut data = vec![T::default(); len + LINE / size_of::<T>()];
        let start = data.as_ptr().align_offset(LINE);
        data.truncate(start + len);
        Self { data, start }
    }
}

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        Self { data: Vec::new(), start: 0 }
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        &self.data[self.start..]
    }
}

impl<T> DerefMut for Buffer<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data[self.start..]
    }
}

/// Rows of numbers, each padded to whole registers. The first `lead` rows of a layer's output
/// hold the state before the first step.
#[derive(Default)]
pub(crate) struct Rows<T> {
    pub(crate) data: Buffer<T>,
    pub(crate) stride: usize,
    pub(crate) lead: usize,
}

impl<T: Float> Rows<T> {
    pub(crate) fn new(lead: usize, rows: usize, width: usize, lanes: usize) -> Self {
        let stride = padded(width, lanes);
        Self { data: Buffer::new((lead + rows) * stride), stride, lead }
    }

    /// Leading rows and packed rows.
    pub(crate) fn data(&self) -> &[T] {
        &self.data
    }

    /// From leading row `row` to the end.
    pub(crate) fn lead_mut(&mut self, row: usize) -> &mut [T] {
        &mut self.data[row * self.stride..]
    }

    /// From packed row `row` to the end.
    #[inline]
    pub(crate) fn at(&self, row: usize) -> &[T] {
        &self.data[(self.lead + row) * self.stride..]
    }

    /// Packed row `row` with its padding, to be written to.
    #[inline]
    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [T] {
        let stride = self.stride;
        &mut self.at_mut(row)[..stride]
    }

    /// From packed row `row` to the end, to be written to.
    #[inline]
    pub(crate) fn at_mut(&mut self, row: usize) -> &mut [T] {
        &mut self.data[(self.lead + row) * self.stride..]
    }
}

/// `width` up to whole registers, and off the multiples of 4 KiB: rows that far apart share one
/// set of the first cache.
pub(crate) fn padded(width: usize, lanes: usize) -> usize {
    let full = width.next_multiple_of(lanes);
    if full > 0 && (full * LINE / lanes).is_multiple_of(4096) { full + lanes } else { full }
}

/// From unit `at` of packed row `row` on, or nothing where there are no rows.
pub(super) fn row_or_none<T: Float>(rows: &Rows<T>, row: usize, at: usize) -> &[T] {
    if rows.stride == 0 { &[] } else { &rows.at(row)[at..] }
}

/// From `at` on, or nothing of nothing.
pub(super) fn tail<T>(all: &[T], at: usize) -> &[T] {
    if all.is_empty() { all } else { &all[at..] }
}

pub(super) fn tail_mut<T>(all: &mut [T], at: usize) -> &mut [T] {
    if all.is_empty() { all } else { &mut all[at..] }
}
