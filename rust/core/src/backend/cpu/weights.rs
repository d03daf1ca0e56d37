//! Weight gradients, deferred to the end of the backward run: one long product a weight instead
//! of a short one a step. Work is cut by rows of the gradient; each sum runs over the groups and
//! their packed rows in order.

use super::gemm::{Left, Start, panel_product};
use super::math::{Elementary, add};
use super::operands::{Each, Operands, Sources, Strips, cut};
use super::panels::MOST_VECTORS;
use super::segments::Segments;
use super::simd::{Factor, Isa, Pack, Panel, Task};
use super::threads::{Block, Crew, Matrix};
use crate::backend::Precision;
use crate::float::Float;
use std::array::from_fn;
use std::iter::once;
use std::mem::replace;
use std::sync::{Mutex, PoisonError};

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
    fn units(&self) -> usize {
        self.lanes * self.slots.iter().max().map_or(0, |slot| slot + 1)
    }

    /// A gradient with rows of `width` numbers as a matrix: a row of it is a gate, a block of columns one of units.
    fn matrix<'g, T>(&self, gradient: &'g mut [T], width: usize) -> Matrix<'g, T> {
        Matrix { data: gradient, stride: self.hidden * width, width: self.lanes * width }
    }

    /// Calls `f` with every unit block and its part of the gradient, gate by gate rows of `width` numbers.
    fn cut<T: Float>(
        &self,
        crew: Crew,
        gradient: &mut [T],
        width: usize,
        f: impl Fn(usize, Block<'_, T>) + Send + Sync,
    ) {
        let [matrix, none] = [self.matrix(gradient, width), self.matrix(&mut [], 0)];
        crew.blocks(self.blocks(), [matrix], [none], &|block, [gradient], _| f(block, gradient));
    }

    fn blocks(&self) -> usize {
        self.hidden.div_ceil(self.lanes)
    }

    /// `gradient += Σ dz ⊗ x`, rows of `terms` numbers.
    pub(super) fn outer<'a, T: Elementary>(
        &self,
        crew: Crew,
        segments: &impl Segments<'a, T>,
        terms: usize,
        gradient: &mut [T],
        operands: &Mutex<Operands<T>>,
    ) {
        let alone = Outer { target: *self, segments: segments.clone(), terms, gradient, bias: &mut [] };
        outer(crew, [Some(alone), None, None, None], operands);
    }

    /// What a piece of the rows adds to a unit block of a gradient.
    fn add_outer<'a, T: Elementary, F: Factor<T>>(
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
        self.cut(crew, gradient, 1, |block, gradient| self.add_sums(segments.clone(), block, gradient));
    }

    /// The same for a unit block.
    fn add_sums<'a, T: Elementary>(
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
        self.cut(crew, gradient, 1, |block, mut gradient| {
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
        self.cut(crew, gradient, vocabulary, |block, mut gradient| {
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

/// Weights at most whose gradients are summed together: of a layer's input, and of its recurrent products.
pub(super) const MOST_WEIGHTS: usize = 4;

/// One of some weights that are fed by the same rows of gradients: each of these is read once for all of them.
pub(super) struct Outer<'g, T, S> {
    pub(super) target: Target<'g>,
    /// What it multiplied. The segments of all weights have the same gradients.
    pub(super) segments: S,
    /// Numbers of a row of the weight.
    pub(super) terms: usize,
    pub(super) gradient: &'g mut [T],
    /// The gradient of what was added to its gates, or nothing.
    pub(super) bias: &'g mut [T],
}

/// `gradient += Σ dz ⊗ x` and `bias += Σ dz` of some weights.
pub(super) fn outer<'a, T: Elementary, S: Segments<'a, T>>(
    crew: Crew,
    mut weights: Each<Outer<'_, T, S>>,
    operands: &Mutex<Operands<T>>,
) {
    let targets = weights.each_ref().map(|weight| weight.as_ref().map(|weight| weight.target));
    let sources = weights.each_ref().map(|w| w.as_ref().map(|w| (w.segments.clone(), w.terms)));
    let Some(Target { isa, precision, .. }) = targets.iter().flatten().next().copied() else { return };
    let blocks = targets.iter().flatten().map(Target::blocks).max().unwrap_or(0);
    let units = targets.iter().flatten().map(Target::units).max().unwrap_or(0);
    let mut operands = operands.lock().unwrap_or_else(PoisonError::into_inner);
    let mut first = 0;
    loop {
        let mut matrices = weights.each_mut().map(|weight| match weight {
            Some(Outer { target, terms, gradient, bias, .. }) => {
                [target.matrix(gradient, *terms), target.matrix(bias, 1)]
            }
            None => [Matrix::none(), Matrix::none()],
        });
        let [gradients, biases] =
            [0, 1].map(|i| matrices.each_mut().map(|both| replace(&mut both[i], Matrix::none())));
        if precision == Precision::Bfloat16 {
            let shape = [blocks, units];
            let rounded =
                operands.round(crew, isa, &sources, shape, first, biases, &|block, biases, piece| {
                    add_biases::<_, _, 2>(&targets, &sources, block, biases, piece);
                });
            let Some((dz, strips)) = rounded else { return };
            first += dz.rows;
            crew.blocks(blocks, gradients, [Matrix::<T>::none()], &|block, gradients, _| {
                for (i, gradient) in gradients.into_iter().enumerate() {
                    if let (Some(target), Some((_, terms))) = (&targets[i], &sources[i]) {
                        target.add_outer(once(dz), strips[i].as_ref(), *terms, block, gradient);
                    }
                }
            });
        } else {
            let Some((rows, strips)) = operands.cut(crew, isa, &sources, first) else { return };
            let piece = [first, rows];
            first += rows;
            crew.blocks(blocks, gradients, biases, &|block, gradients, biases| {
                for (i, gradient) in gradients.into_iter().enumerate() {
                    if let (Some(target), Some((segments, terms))) = (&targets[i], &sources[i]) {
                        let these = cut::<_, 1>(segments, piece[0], rows).map(|(_, segment)| segment);
                        target.add_outer(these, strips[i].as_ref(), *terms, block, gradient);
                    }
                }
                add_biases::<_, _, 1>(&targets, &sources, block, biases, piece);
            });
        }
    }
}

/// What `count` sets of `N` rows from set `first` on add to a unit block of the biases.
fn add_biases<'a, T: Elementary, S: Segments<'a, T>, const N: usize>(
    targets: &Each<Target>,
    sources: &Sources<S>,
    block: usize,
    biases: [Block<'_, T>; MOST_WEIGHTS],
    [first, count]: [usize; 2],
) {
    for ((target, source), bias) in targets.iter().zip(sources).zip(biases) {
        if let (Some(target), Some((segments, _))) = (target, source) {
            target.add_sums(cut::<_, N>(segments, first, count).map(|(_, segment)| segment), block, bias);
        }
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

#[cfg(test)]
mod tests {
    use super::super::segments::Segment;
    use super::*;

    /// Small whole numbers, whose sums of products a float holds exactly.
    fn numbers(salt: usize, len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i % 1009 * (i % 31) + salt) % 9) as f32 - 4.0).collect()
    }

    /// Operands small enough to be read where they lie, and so large that they are read strip by strip and in
    /// several pieces.
    #[test]
    fn sums_are_exact_however_the_operand_is_read() {
        let (hidden, stride) = (19_usize, 96);
        // Gates apart, all side by side, and out of order.
        let slots: [&[usize]; 4] = [&[0, 2], &[0, 1, 2, 3], &[0, 1, 3, 2], &[2, 0, 1]];
        for (isa, slots) in Isa::available().into_iter().flat_map(|isa| slots.map(|slots| (isa, slots))) {
            let lanes = isa.lanes::<f32>();
            let (blocks, line) = (hidden.div_ceil(lanes), 4 * lanes);
            for (rows, terms) in [([3, 0, 130], 70), ([4100, 1, 60], 70), ([900, 13_000, 5], 90)] {
                let data = rows.map(|rows| (numbers(rows, blocks * rows * line), numbers(1, rows * stride)));
                let segments = rows.iter().zip(&data).map(|(&rows, (dz, x))| Segment {
                    dz,
                    unit: 1,
                    row: line,
                    block: rows * line,
                    x,
                    stride,
                    rows,
                });
                let of = |precision| {
                    let target = Target { isa, precision, lanes, hidden, slots };
                    let mut got = vec![0.0; slots.len() * hidden * terms];
                    target.outer(Crew::ALONE, &segments, terms, &mut got, &Mutex::default());
                    got
                };
                let both = [Precision::Full, Precision::Bfloat16].map(of);
                for (gate, slot) in slots.iter().enumerate() {
                    for (unit, column) in [(0, 0), (7, 63), (18, 64), (15, terms - 1), (16, 5)] {
                        let of_segment = |segment: Segment<'_, f32>| -> f32 {
                            let at = unit / lanes * segment.block + slot * lanes + unit % lanes;
                            let product =
                                |row| segment.dz[at + row * line] * segment.x[row * stride + column];
                            (0..segment.rows).map(product).sum()
                        };
                        let want: f32 = segments.clone().map(of_segment).sum();
                        let got = [0, 1].map(|i: usize| both[i][(gate * hidden + unit) * terms + column]);
                        assert_eq!(
                            got, [want; 2],
                            "{isa:?} {slots:?} {rows:?} rows, unit {unit}, column {column}"
                        );
                    }
                }
            }
        }
    }
}
