//! Weight gradients, deferred to the end of the backward run: one long product a weight instead
//! of a short one a step. Work is cut by rows of the gradient; each sum runs over the groups and
//! their packed rows in order.

use super::gemm::{Left, Panel, Start, panel_product};
use super::math::Elementary;
use super::panels::MOST_VECTORS;
use super::rounded::Rounded;
use super::segments::Segments;
use super::simd::{Factor, Isa};
use super::threads::Crew;
use super::tokens::add;
use crate::backend::Precision;
use crate::float::Float;
use std::array::from_fn;
use std::iter::once;
use std::sync::{Mutex, PoisonError};

/// Rows of a sum taken at once: they and their gradients stay in the first cache.
const ROWS_AT_ONCE: usize = 128;
/// Bytes of operand that are read by all jobs before the next: a part of the last cache.
const OPERAND_BYTES: usize = 1 << 21;
/// Gates of a weight at most.
const MOST_GATES: usize = 4;
/// Numbers in a tile of a gradient: the units of one register by the columns of one panel.
const TILE: usize = 16 * 16 * MOST_VECTORS;

/// On the caller's stack and on a cache line.
#[repr(align(64))]
struct Aligned<A>(A);

/// One gradient matrix: block `gate` of `hidden` rows comes from slot `slots[gate]`.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) isa: Isa,
    pub(super) precision: Precision,
    pub(super) lanes: usize,
    pub(super) hidden: usize,
    pub(super) slots: &'a [usize],
}

impl Target<'_> {
    /// Numbers of a row of `dz` in one unit block, from its first slot on.
    fn units(&self) -> usize {
        self.lanes * self.slots.iter().max().map_or(0, |slot| slot + 1)
    }

    /// Calls `f` with every unit block and, for each gate, the gradient's rows of `width` numbers for the
    /// at most L units of that block.
    fn cut<T: Float>(
        &self,
        crew: Crew,
        gradient: &mut [T],
        width: usize,
        f: impl Fn(usize, [&mut [T]; MOST_GATES]) + Send + Sync,
    ) {
        let mut gates = gradient.chunks_mut(self.hidden * width).take(self.slots.len());
        let gates = from_fn(|_| gates.next().unwrap_or_default());
        crew.zipped_chunks(gates, [self.lanes * width; MOST_GATES], &f);
    }

    /// `gradient += Σ dz ⊗ x`, rows of `terms` numbers.
    pub(super) fn outer<'a, T: Elementary>(
        &self,
        crew: Crew,
        segments: &impl Segments<'a, T>,
        terms: usize,
        gradient: &mut [T],
        rounded: &Mutex<Rounded>,
    ) {
        let mut done = 0;
        if self.precision == Precision::Bfloat16 {
            let (blocks, units) = (self.hidden.div_ceil(self.lanes), self.units());
            let mut rounded = rounded.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some(piece) = rounded.fill(crew, self.isa, segments, [blocks, units, terms], done) {
                done += piece.rows;
                self.add_outer(crew, &once(piece), terms, gradient);
            }
            return;
        }
        loop {
            // As many segments as stay in the last cache: every job goes through all of their operand.
            let mut room = OPERAND_BYTES;
            let fit = segments.clone().skip(done).take_while(|segment| {
                let fits = room > 0;
                room = room.saturating_sub(segment.rows * segment.stride * size_of::<T>());
                fits
            });
            let count = fit.count();
            if count == 0 {
                return;
            }
            self.add_outer(crew, &segments.clone().skip(done).take(count), terms, gradient);
            done += count;
        }
    }

    /// The same for what is multiplied as it is.
    fn add_outer<'a, T: Elementary, F: Factor<T>>(
        &self,
        crew: Crew,
        segments: &impl Segments<'a, F>,
        terms: usize,
        gradient: &mut [T],
    ) {
        self.cut(crew, gradient, terms, |block, mut gates| {
            for first_column in (0..terms).step_by(MOST_VECTORS * self.lanes) {
                let columns = (terms - first_column).min(MOST_VECTORS * self.lanes);
                let vectors = columns.div_ceil(self.lanes);
                let width = vectors * self.lanes;
                let mut sums = Aligned([[T::ZERO; TILE]; MOST_GATES]);
                for segment in segments.clone() {
                    for first in (0..segment.rows).step_by(ROWS_AT_ONCE) {
                        let count = ROWS_AT_ONCE.min(segment.rows - first);
                        let dz = &segment.dz[block * segment.block + first * segment.row..];
                        let data = &segment.x[first * segment.stride + first_column..];
                        let x = Panel { data, stride: segment.stride, vectors, apart: self.lanes };
                        for (sum, slot) in sums.0.iter_mut().zip(self.slots) {
                            let dz = Left::columns(&dz[slot * self.lanes..], segment.row, count);
                            panel_product(self.isa, self.lanes, dz, x, Start::There, sum, width);
                        }
                    }
                }
                for (gradient, sum) in gates.iter_mut().zip(&sums.0) {
                    for (row, sum) in gradient.chunks_exact_mut(terms).zip(sum.chunks_exact(width)) {
                        add(&mut row[first_column..][..columns], sum);
                    }
                }
            }
        });
    }

    /// `gradient += Σ dz`: a bias.
    pub(super) fn sums<'a, T: Elementary>(
        &self,
        crew: Crew,
        segments: &impl Segments<'a, T>,
        gradient: &mut [T],
    ) {
        self.cut(crew, gradient, 1, |block, mut gates| {
            for segment in segments.clone() {
                for r in 0..segment.rows {
                    let dz = &segment.dz[block * segment.block + r * segment.row..];
                    for (gradient, slot) in gates.iter_mut().zip(self.slots) {
                        add(gradient, &dz[slot * self.lanes..]);
                    }
                }
            }
        });
    }

    /// `gradient += Σ dz ⊙ x`: one weight a unit.
    pub(super) fn diagonal<'a, T: Elementary>(
        &self,
        crew: Crew,
        segments: &impl Segments<'a, T>,
        gradient: &mut [T],
    ) {
        self.cut(crew, gradient, 1, |block, mut gates| {
            for segment in segments.clone() {
                for r in 0..segment.rows {
                    let dz = &segment.dz[block * segment.block + r * segment.row..];
                    let x = &segment.x[r * segment.stride + block * self.lanes..];
                    for (gradient, slot) in gates.iter_mut().zip(self.slots) {
                        for (u, sum) in gradient.iter_mut().enumerate() {
                            *sum += dz[slot * self.lanes + u] * x[u];
                        }
                    }
                }
            }
        });
    }

    /// `gradient[:, token of row r] += dz` for rows that are distinct tokens: a one-hot input.
    pub(super) fn scatter<T: Float>(
        &self,
        crew: Crew,
        dz: &[T],
        [row, block_stride]: [usize; 2],
        tokens: &[i32],
        vocabulary: usize,
        gradient: &mut [T],
    ) {
        self.cut(crew, gradient, vocabulary, |block, mut gates| {
            for (r, &token) in tokens.iter().enumerate() {
                let Ok(token) = usize::try_from(token) else { continue };
                let dz = &dz[block * block_stride + r * row..];
                for (gradient, slot) in gates.iter_mut().zip(self.slots) {
                    for (u, line) in gradient.chunks_exact_mut(vocabulary).enumerate() {
                        line[token] += dz[slot * self.lanes + u];
                    }
                }
            }
        });
    }
}
