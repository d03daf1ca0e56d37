//! Weight gradients, deferred to the end of the backward run: one long product a weight instead
//! of a short one a step. Work is cut by rows of the gradient; each sum runs over the groups and
//! their packed rows in order.

use super::gemm::{Left, Panel, Start, panel_product};
use super::math::Elementary;
use super::panels::MOST_VECTORS;
use super::simd::Isa;
use super::threads::Crew;
use super::tokens::add;
use crate::float::Float;

/// Rows of a sum taken at once: their gradients stay in the first cache.
const ROWS_AT_ONCE: usize = 128;
/// Numbers in a tile of a gradient: the units of one register by the columns of one panel.
const TILE: usize = 16 * 16 * MOST_VECTORS;

/// Such a tile, on the caller's stack and on a cache line.
#[repr(align(64))]
struct Tile<T>([T; TILE]);

/// Some rows of gradients and of what they multiply.
#[derive(Clone, Copy)]
pub(super) struct Segment<'a, T> {
    /// Gradients: unit u of slot s of row r at `u / L * block + s * L + u % L + r * row`.
    pub(super) dz: &'a [T],
    pub(super) row: usize,
    pub(super) block: usize,
    /// The operand, rows `stride` apart.
    pub(super) x: &'a [T],
    pub(super) stride: usize,
    pub(super) rows: usize,
}

/// The segments of a sum, in its order, to be gone through by every job.
pub(super) trait Segments<'a, T: 'a>: Iterator<Item = Segment<'a, T>> + Clone + Sync {}

impl<'a, T: 'a, I: Iterator<Item = Segment<'a, T>> + Clone + Sync> Segments<'a, T> for I {}

/// One gradient matrix: block `gate` of `hidden` rows comes from slot `slots[gate]`.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) isa: Isa,
    pub(super) lanes: usize,
    pub(super) hidden: usize,
    pub(super) slots: &'a [usize],
}

impl Target<'_> {
    /// Calls `f` with the slot and the unit block of at most L rows of a gradient, and with those rows of
    /// `width` numbers.
    fn cut<T: Float>(
        &self,
        crew: Crew,
        gradient: &mut [T],
        width: usize,
        f: impl Fn(usize, usize, &mut [T]) + Send + Sync,
    ) {
        let gate = self.hidden * width;
        crew.chunks(&mut gradient[..self.slots.len() * gate], gate, |gate, rows| {
            let slot = self.slots[gate];
            crew.chunks(rows, self.lanes * width, |block, rows| f(slot, block, rows));
        });
    }

    /// `gradient += Σ dz ⊗ x`, rows of `terms` numbers.
    pub(super) fn outer<'a, T: Elementary>(
        &self,
        crew: Crew,
        segments: &impl Segments<'a, T>,
        terms: usize,
        gradient: &mut [T],
    ) {
        self.cut(crew, gradient, terms, |slot, block, gradient| {
            let units = gradient.len() / terms;
            for first_column in (0..terms).step_by(MOST_VECTORS * self.lanes) {
                let columns = (terms - first_column).min(MOST_VECTORS * self.lanes);
                let vectors = columns.div_ceil(self.lanes);
                let width = vectors * self.lanes;
                let mut sum = Tile([T::ZERO; TILE]);
                for segment in segments.clone() {
                    for first in (0..segment.rows).step_by(ROWS_AT_ONCE) {
                        let count = ROWS_AT_ONCE.min(segment.rows - first);
                        let start = block * segment.block + slot * self.lanes + first * segment.row;
                        let dz = Left::columns(&segment.dz[start..], segment.row, count);
                        let data = &segment.x[first * segment.stride + first_column..];
                        let x = Panel { data, stride: segment.stride, vectors };
                        panel_product(self.isa, units, dz, x, Start::There, &mut sum.0, width);
                    }
                }
                for (row, sum) in gradient.chunks_exact_mut(terms).zip(sum.0.chunks_exact(width)) {
                    add(&mut row[first_column..][..columns], sum);
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
        self.cut(crew, gradient, 1, |slot, block, gradient| {
            for segment in segments.clone() {
                for r in 0..segment.rows {
                    let start = block * segment.block + slot * self.lanes + r * segment.row;
                    add(gradient, &segment.dz[start..]);
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
        self.cut(crew, gradient, 1, |slot, block, gradient| {
            for segment in segments.clone() {
                for r in 0..segment.rows {
                    let start = block * segment.block + slot * self.lanes + r * segment.row;
                    let dz = &segment.dz[start..];
                    let x = &segment.x[r * segment.stride + block * self.lanes..];
                    for (u, sum) in gradient.iter_mut().enumerate() {
                        *sum += dz[u] * x[u];
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
        self.cut(crew, gradient, vocabulary, |slot, block, gradient| {
            for (r, &token) in tokens.iter().enumerate() {
                let Ok(token) = usize::try_from(token) else { continue };
                let dz = &dz[block * block_stride + slot * self.lanes + r * row..];
                for (u, line) in gradient.chunks_exact_mut(vocabulary).enumerate() {
                    line[token] += dz[u];
                }
            }
        });
    }
}
