//! Slices and matrices of which threads take pieces, each by its number.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::slice::from_raw_parts_mut;

/// A slice cut into pieces of `size` items, the last one perhaps shorter.
pub(super) struct Pieces<'a, I> {
    first: *mut I,
    len: usize,
    size: usize,
    of: PhantomData<&'a mut [I]>,
}

// SAFETY: what threads get of it are pieces that no two have at a time, as [`Pieces::take`] says.
unsafe impl<I: Send> Sync for Pieces<'_, I> {}

impl<'a, I> Pieces<'a, I> {
    pub(super) fn new(slice: &'a mut [I], size: usize) -> Self {
        Self { first: slice.as_mut_ptr(), len: slice.len(), size, of: PhantomData }
    }

    /// Piece `number`, of no items beyond the slice's end.
    ///
    /// # Safety
    /// No number may be asked for twice.
    pub(super) unsafe fn take(&self, number: usize) -> &'a mut [I] {
        let start = self.len.min(number.saturating_mul(self.size));
        let len = self.size.min(self.len - start);
        // SAFETY: it lies within the slice, which is borrowed for `'a`, and pieces of different numbers
        // do not overlap.
        unsafe { from_raw_parts_mut(self.first.add(start), len) }
    }
}

/// A matrix, rows of `stride` items one after the other, cut into blocks of `width` columns, the last one
/// perhaps narrower.
pub(crate) struct Matrix<'a, I> {
    pub(crate) data: &'a mut [I],
    pub(crate) stride: usize,
    pub(crate) width: usize,
}

impl<I> Matrix<'_, I> {
    /// Of no rows.
    pub(crate) fn none() -> Self {
        Self { data: &mut [], stride: 0, width: 0 }
    }
}

/// A matrix of which threads take blocks of columns.
pub(super) struct Columns<'a, I> {
    first: *mut I,
    rows: usize,
    stride: usize,
    width: usize,
    of: PhantomData<&'a mut [I]>,
}

/// Some columns of a matrix.
pub(crate) struct Block<'a, I> {
    first: *mut I,
    rows: usize,
    stride: usize,
    width: usize,
    of: PhantomData<&'a mut [I]>,
}

// SAFETY: what threads get of it are blocks that no two have at a time, as [`Columns::take`] says.
unsafe impl<I: Send> Sync for Columns<'_, I> {}

impl<'a, I> Columns<'a, I> {
    pub(super) fn new(Matrix { data, stride, width }: Matrix<'a, I>) -> Self {
        debug_assert!(data.is_empty() || data.len().is_multiple_of(stride), "whole rows of {stride}");
        let rows = data.len().checked_div(stride).unwrap_or(0);
        Self { first: data.as_mut_ptr(), rows, stride, width, of: PhantomData }
    }

    /// Block `number`, of no columns beyond the last.
    ///
    /// # Safety
    /// No number may be asked for twice.
    pub(super) unsafe fn take(&self, number: usize) -> Block<'a, I> {
        let &Self { first, rows, stride, .. } = self;
        let start = stride.min(number.saturating_mul(self.width));
        let width = self.width.min(stride - start);
        // With no rows, the end of no items.
        let start = if rows > 0 { start } else { 0 };
        // SAFETY: it lies within the first row, or at its end.
        Block { first: unsafe { first.add(start) }, rows, stride, width, of: PhantomData }
    }
}

impl<I> Block<'_, I> {
    /// The block's part of a row; nothing beyond the last row.
    pub(crate) fn row(&mut self, number: usize) -> &mut [I] {
        if number >= self.rows || self.width == 0 {
            return &mut [];
        }
        // SAFETY: `first` lies in the first of `rows` rows that are borrowed for as long as the block is, with
        // `width` items up to the row's end; nobody else has these columns, and who has this row has all of `self`.
        unsafe { from_raw_parts_mut(self.first.add(number * self.stride), self.width) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_columns_of_their_matrix() {
        for (rows, stride, width) in [(0, 3, 2), (1, 3, 3), (2, 6, 3), (3, 7, 3), (2, 2, 5), (1, 0, 1)] {
            let mut numbers: Vec<_> = (0..rows * stride).collect();
            let columns = Columns::new(Matrix { data: &mut numbers, stride, width });
            for number in 0..stride.div_ceil(width) + 1 {
                // SAFETY: each number once.
                let mut block = unsafe { columns.take(number) };
                for row in 0..rows + 1 {
                    let (from, to) = ((number * width).min(stride), ((number + 1) * width).min(stride));
                    let want: Vec<_> = (from..to).filter(|_| row < rows).map(|i| row * stride + i).collect();
                    assert_eq!(block.row(row), want, "{rows} {stride} {width}: {number}, {row}");
                }
            }
        }
    }

    #[test]
    fn pieces_are_those_of_chunks() {
        for (len, size) in [(0, 3), (1, 3), (6, 3), (7, 3), (2, 5)] {
            let mut numbers: Vec<_> = (0..len).collect();
            let want: Vec<Vec<_>> = numbers.chunks(size).map(<[_]>::to_vec).collect();
            let pieces = Pieces::new(&mut numbers, size);
            for number in 0..want.len() + 2 {
                // SAFETY: each number once.
                let piece = unsafe { pieces.take(number) };
                assert_eq!(piece, want.get(number).map_or(&[][..], Vec::as_slice), "{len} {size} {number}");
            }
        }
    }
}
