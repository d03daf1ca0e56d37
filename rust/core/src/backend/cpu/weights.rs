//! Weight gradients, deferred to the end of the backward run: one long product a weight instead
//! of a short one a step. Work is cut by rows of the gradient; each sum runs over the groups and
//! their packed rows in order.

use super::gemm::{Left, Start, panel_product};
use super::math::{Elementary, add};
use super::operands::Strips;
use super::panels::MOST_VECTORS;
use super::segments::Segments;
use super::simd::{Factor, Isa, Pack, Panel, Task};
use super::threads::{Block, Crew, Matrix};
use crate::backend::Precision;
use crate::float::Float;
use std::array::from_fn;

/// Rows of a sum taken at once: they and their gradients stay in the first cache.
const ROWS_AT_ONCE: usize = 128;
/// Gates of a weight at most.
const MOST_GATES: usize = 4;
/// Numbers in a register at most.
const MOST_LANES: usize = 16;
/// Numbers in a tile of a gradient: the units of one register by the columns of one panel.
const TILE: usize = MOST_LANES * MOST_LANES * MOST_VECTORS;

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
    pub(super) fn units(&self) -> usize {
        self.lanes * self.slots.iter().max().map_or(0, |slot| slot + 1)
    }

    /// A gradient with rows of `width` numbers as a matrix: a row of it is a gate, a block of columns one of units.
    pub(super) fn matrix<'g, T>(&self, gradient: &'g mut [T], width: usize) -> Matrix<'g, T> {
        Matrix { data: gradient, stride: self.hidden * width, width: self.lanes * width }
    }

    /// Calls `f` with every unit block and its part of the gradient, gate by gate rows of `width` numbers.
    fn each_block<T: Float>(
        &self,
        crew: Crew,
        gradient: &mut [T],
        width: usize,
        f: impl Fn(usize, Block<'_, T>) + Send + Sync,
    ) {
        let [matrix, none] = [self.matrix(gradient, width), self.matrix(&mut [], 0)];
        crew.blocks(self.blocks(), [matrix], [none], &|block, [gradient], _| f(block, gradient));
    }

    pub(super) fn blocks(&self) -> usize {
        self.hidden.div_ceil(self.lanes)
    }

    /// What a piece of the rows adds to a unit block of a gradient.
    pub(super) fn add_outer<'a, T: Elementary, F: Factor<T>>(
        &self,
        segments: impl Segments<'a, F>,
        strips: Option<&Strips<'_, F>>,
        terms: usize,
        block: usize,
        mut gradient: Block<'_, T>,
    ) {
        let (lanes, width) = (self.lanes, MOST_VECTORS * self.lanes);
        // Gates whose slots lie side by side are the rows of one product.
        let mut by_slot: [usize; MOST_GATES] = from_fn(|gate| gate);
        let by_slot = &mut by_slot[..self.slots.len()];
        by_slot.sort_unstable_by_key(|&gate| self.slots[gate]);
        for first_column in (0..terms).step_by(width) {
            let columns = (terms - first_column).min(width);
            let vectors = columns.div_ceil(lanes);
            let mut sums = Aligned([T::ZERO; MOST_GATES * TILE]);
            let mut before = 0;
            for segment in segments.clone() {
                for first in (0..segment.rows).step_by(ROWS_AT_ONCE) {
                    let count = ROWS_AT_ONCE.min(segment.rows - first);
                    let dz = &segment.dz[block * segment.block + first * segment.row..];
                    let mut x = match strips {
                        Some(strips) => strips.panel(first_column, before + first, count),
                        None => {
                            let data = &segment.x[first * segment.stride + first_column..];
                            Panel { data, stride: segment.stride, vectors, apart: lanes, ahead: &[] }
                        }
                    };
                    // The first columns fetch the next rows' gradients, which the others find in a cache,
                    // where those of a block lie side by side.
                    let rows = count * segment.row..(segment.rows - first).min(2 * count) * segment.row;
                    if first_column == 0 && segment.unit == 1 && segment.row <= segment.block {
                        x.ahead = dz.get(rows).filter(|rows| !rows.is_empty()).unwrap_or(x.ahead);
                    }
                    let (next, of) = (x.ahead, self.slots.len());
                    x.vectors = vectors;
                    let mut start = 0;
                    for run in by_slot.chunk_by(|&a, &b| self.slots[a] + 1 == self.slots[b]) {
                        let end = start + run.len();
                        x.ahead = &next[start * next.len() / of..end * next.len() / of];
                        let data = &dz[self.slots[run[0]] * lanes * segment.unit..];
                        let dz = Left::columns(data, [segment.unit, segment.row], count);
                        let sums = &mut sums.0[start * lanes * width..];
                        panel_product(self.isa, run.len() * lanes, dz, x, Start::There, sums, width);
                        start = end;
                    }
                }
                before += segment.rows;
            }
            for (&gate, sums) in by_slot.iter().zip(sums.0.chunks_exact(lanes * width)) {
                for (row, sum) in gradient.row(gate).chunks_exact_mut(terms).zip(sums.chunks_exact(width)) {
                    add(&mut row[first_column..][..columns], sum);
                }
            }
        }
    }

    /// `gradient += Σ dz`: a bias.
    pub(super) fn sums<'a, T: Elementary>(
        &self,
        crew: Crew,
        segments: &impl Segments<'a, T>,
        gradient: &mut [T],
    ) {
        self.each_block(crew, gradient, 1, |block, gradient| {
            self.add_sums(segments.clone(), block, gradient)
        });
    }

    /// The same for a unit block.
    pub(super) fn add_sums<'a, T: Elementary>(
        &self,
        segments: impl Segments<'a, T>,
        block: usize,
        mut gradient: Block<'_, T>,
    ) {
        if gradient.row(0).is_empty() {
            return;
        }
        let sums = self.isa.run(SumRows { slots: self.slots, block, segments });
        for (gate, sums) in sums.iter().enumerate().take(self.slots.len()) {
            add(gradient.row(gate), sums);
        }
    }

    /// `gradient += Σ dz ⊙ x`: one weight a unit.
    pub(super) fn diagonal<'a, T: Elementary>(
        &self,
        crew: Crew,
        segments: &impl Segments<'a, T>,
        gradient: &mut [T],
    ) {
        self.each_block(crew, gradient, 1, |block, mut gradient| {
            for segment in segments.clone() {
                for r in 0..segment.rows {
                    let dz = &segment.dz[block * segment.block + r * segment.row..];
                    let x = &segment.x[r * segment.stride + block * self.lanes..];
                    for (gate, slot) in self.slots.iter().enumerate() {
                        for (u, sum) in gradient.row(gate).iter_mut().enumerate() {
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
        self.each_block(crew, gradient, vocabulary, |block, mut gradient| {
            for (r, &token) in tokens.iter().enumerate() {
                let Ok(token) = usize::try_from(token) else { continue };
                let dz = &dz[block * block_stride + r * row..];
                for (gate, slot) in self.slots.iter().enumerate() {
                    for (u, line) in gradient.row(gate).chunks_exact_mut(vocabulary).enumerate() {
                        line[token] += dz[slot * self.lanes + u];
                    }
                }
            }
        });
    }
}

/// Σ dz of each slot of a unit block.
struct SumRows<'a, S> {
    slots: &'a [usize],
    block: usize,
    segments: S,
}

impl<'a, T: Elementary, S: Segments<'a, T>> Task<T> for SumRows<'_, S> {
    type Out = [[T; MOST_LANES]; MOST_GATES];
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) -> Self::Out {
        let mut sums = [[T::ZERO; MOST_LANES]; MOST_GATES];
        for segment in self.segments {
            for r in 0..segment.rows {
                let dz = &segment.dz[self.block * segment.block + r * segment.row..];
                for (sum, slot) in sums.iter_mut().zip(self.slots) {
                    let line = Pack::<T, L>::load(&dz[slot * L..]).0;
                    for l in 0..L {
                        sum[l] += line[l];
                    }
                }
            }
        }
        sums
    }
}
