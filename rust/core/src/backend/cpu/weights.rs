//! Weight gradients, deferred to the end of the backward run: one long product a weight instead
//! of a short one a step. Work is cut by rows of the gradient; each sum runs over the groups and
//! their packed rows in order.

use super::gemm::{Left, Panel, Start, panel_product};
use super::math::Elementary;
use super::panels::widths;
use super::scratch::Buffer;
use super::simd::Isa;
use super::threads::Crew;
use super::tokens::add;
use crate::float::Float;

/// Rows of a sum taken at once: their gradients stay in the first cache.
const ROWS_AT_ONCE: usize = 128;

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

/// One gradient matrix: block `gate` of `hidden` rows comes from slot `slots[gate]`.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) isa: Isa,
    pub(super) lanes: usize,
    pub(super) hidden: usize,
    pub(super) slots: &'a [usize],
}

impl Target<'_> {
    /// Cuts a gradient of `width` numbers a row into jobs of at most L rows: (slot, block, rows).
    fn cut<'g, T>(&self, gradient: &'g mut [T], width: usize) -> Vec<(usize, usize, &'g mut [T])> {
        let gates = gradient.chunks_mut(self.hidden * width).zip(self.slots);
        gates
            .flat_map(|(rows, &slot)| {
                rows.chunks_mut(self.lanes * width).enumerate().map(move |(block, rows)| (slot, block, rows))
            })
            .collect()
    }

    /// `gradient += Σ dz ⊗ x`, rows of `terms` numbers.
    pub(super) fn outer<T: Elementary>(
        &self,
        crew: Crew,
        segments: &[Segment<'_, T>],
        terms: usize,
        gradient: &mut [T],
    ) {
        let widths = widths(terms, self.lanes);
        let width = terms.next_multiple_of(self.lanes);
        crew.each(&mut self.cut(gradient, terms), |_, (slot, block, gradient)| {
            let units = gradient.len() / terms;
            let mut sum = Buffer::new(units * width);
            for segment in segments {
                for first in (0..segment.rows).step_by(ROWS_AT_ONCE) {
                    let count = ROWS_AT_ONCE.min(segment.rows - first);
                    let start = *block * segment.block + *slot * self.lanes + first * segment.row;
                    let dz = Left::columns(&segment.dz[start..], segment.row, count);
                    let mut column = 0;
                    for &vectors in &widths {
                        let data = &segment.x[first * segment.stride + column..];
                        let x = Panel { data, stride: segment.stride, vectors };
                        panel_product(self.isa, units, dz, x, Start::There, &mut sum[column..], width);
                        column += vectors * self.lanes;
                    }
                }
            }
            for (row, sum) in gradient.chunks_exact_mut(terms).zip(sum.chunks_exact(width)) {
                add(row, &sum[..terms]);
            }
        });
    }

    /// `gradient += Σ dz`: a bias.
    pub(super) fn sums<T: Elementary>(&self, crew: Crew, segments: &[Segment<'_, T>], gradient: &mut [T]) {
        crew.each(&mut self.cut(gradient, 1), |_, (slot, block, gradient)| {
            for segment in segments {
                for r in 0..segment.rows {
                    let start = *block * segment.block + *slot * self.lanes + r * segment.row;
                    add(gradient, &segment.dz[start..]);
                }
            }
        });
    }

    /// `gradient += Σ dz ⊙ x`: one weight a unit.
    pub(super) fn diagonal<T: Elementary>(
        &self,
        crew: Crew,
        segments: &[Segment<'_, T>],
        gradient: &mut [T],
    ) {
        crew.each(&mut self.cut(gradient, 1), |_, (slot, block, gradient)| {
            for segment in segments {
                for r in 0..segment.rows {
                    let start = *block * segment.block + *slot * self.lanes + r * segment.row;
                    let dz = &segment.dz[start..];
                    let x = &segment.x[r * segment.stride + *block * self.lanes..];
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
        crew.each(&mut self.cut(gradient, vocabulary), |_, (slot, block, gradient)| {
            for (r, &token) in tokens.iter().enumerate() {
                let Ok(token) = usize::try_from(token) else { continue };
                let dz = &dz[*block * block_stride + *slot * self.lanes + r * row..];
                for (u, line) in gradient.chunks_exact_mut(vocabulary).enumerate() {
                    line[token] += dz[u];
                }
            }
        });
    }
}
