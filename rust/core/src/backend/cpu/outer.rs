//! Gradients of weights that are fed by the same rows of gradients, dW = Σ dz ⊗ x and db = Σ dz: these rows are
//! read once for all of them, and once for all columns while they stay in a cache.

use super::math::Elementary;
use super::operands::{Each, MOST_WEIGHTS, Operands, Sources, after, piece};
use super::segments::Segments;
use super::threads::{Block, Crew, Matrix};
use super::weights::Target;
use crate::backend::Precision;
use std::iter::once;
use std::mem::replace;
use std::sync::{Mutex, PoisonError};

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
    let mut sources = weights.each_ref().map(|w| w.as_ref().map(|w| (w.segments.clone(), w.terms)));
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
            crew.blocks(blocks, gradients, [Matrix::<T>::none()], &|block, gradients, _| {
                for (i, gradient) in gradients.into_iter().enumerate() {
                    if let (Some(target), Some((_, terms))) = (&targets[i], &sources[i]) {
                        target.add_outer(once(dz), strips[i].as_ref(), *terms, block, gradient);
                    }
                }
            });
            first = after::<_, 2>(&mut sources, first + dz.rows);
        } else {
            let Some((rows, strips)) = operands.strips(crew, isa, &sources, first) else { return };
            crew.blocks(blocks, gradients, biases, &|block, gradients, biases| {
                for (i, gradient) in gradients.into_iter().enumerate() {
                    if let (Some(target), Some((segments, terms))) = (&targets[i], &sources[i]) {
                        let these = piece::<_, 1>(segments, first, rows).map(|(_, segment)| segment);
                        target.add_outer(these, strips[i].as_ref(), *terms, block, gradient);
                    }
                }
                add_biases::<_, _, 1>(&targets, &sources, block, biases, [first, rows]);
            });
            first = after::<_, 1>(&mut sources, first + rows);
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
            target.add_sums(piece::<_, N>(segments, first, count).map(|(_, segment)| segment), block, bias);
        }
    }
}

impl Target<'_> {
    /// `gradient += Σ dz ⊗ x`, rows of `terms` numbers, of one weight.
    pub(super) fn outer<'a, T: Elementary>(
        &self,
        crew: Crew,
        segments: &impl Segments<'a, T>,
        terms: usize,
        gradient: &mut [T],
        operands: &Mutex<Operands<T>>,
    ) {
        let alone = Outer { target: *self, segments: segments.clone(), terms, gradient, bias: &mut [] };
        outer(crew, [Some(alone), None, None], operands);
    }
}

#[cfg(test)]
mod tests {
    use super::super::segments::Segment;
    use super::super::simd::Isa;
    use super::*;

    /// Small whole numbers, whose sums of products a float holds exactly.
    fn numbers(salt: usize, len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i % 1009 * (i % 31) + salt) % 9) as f32 - 4.0).collect()
    }

    /// Of one weight and of two with the same gradients: operands small enough to be read where they lie, or so
    /// large that they are read strip by strip and in several pieces, which end within segments.
    #[test]
    fn sums_are_exact_however_the_operands_are_read() {
        let (hidden, strides) = (19_usize, [96, 320]);
        // Gates apart, all side by side, and out of order.
        let slots: [&[usize]; 4] = [&[0, 2], &[0, 1, 2, 3], &[0, 1, 3, 2], &[2, 0, 1]];
        for (isa, number) in Isa::available().into_iter().flat_map(|isa| (0..4).map(move |i| (isa, i))) {
            let lanes = isa.lanes::<f32>();
            let (blocks, line) = (hidden.div_ceil(lanes), 4 * lanes);
            let slots = [slots[number], slots[(number + 1) % 4]];
            for (rows, terms) in [
                ([3, 0, 130], [70, 3]),
                ([4100, 1, 60], [70, 300]),
                ([900, 13_000, 5], [90, 17]),
                ([1, 1023, 2051], [90, 300]),
            ] {
                let dz = rows.map(|rows| numbers(rows, blocks * rows * line));
                let x = strides.map(|stride| rows.map(|rows| numbers(1, rows * stride)));
                let segments = |i: usize| {
                    rows.iter().zip(&dz).zip(&x[i]).map(move |((&rows, dz), x)| Segment {
                        dz,
                        unit: 1,
                        row: line,
                        block: rows * line,
                        x,
                        stride: strides[i],
                        rows,
                    })
                };
                let of = |precision, weights: usize| {
                    let size = |i: usize| slots[i].len() * hidden;
                    let mut gradients = [0, 1].map(|i| (vec![0.0; size(i) * terms[i]], vec![0.0; size(i)]));
                    let mut room = gradients.iter_mut();
                    let mut weight = |i: usize| {
                        let (gradient, bias) = room.next().filter(|_| i < weights)?;
                        let target = Target { isa, precision, lanes, hidden, slots: slots[i] };
                        Some(Outer { target, segments: segments(i), terms: terms[i], gradient, bias })
                    };
                    outer(Crew::ALONE, [weight(0), weight(1), None], &Mutex::default());
                    gradients
                };
                let forms = [Precision::Full, Precision::Bfloat16].map(|p| [(p, 1), (p, 2)]);
                let all = forms.as_flattened().iter().map(|&(precision, weights)| of(precision, weights));
                let all: Vec<_> = forms.as_flattened().iter().zip(all).collect();
                let sum = |i: usize, slot: usize, unit: usize, column: Option<usize>| -> f32 {
                    let of_segment = |segment: Segment<'_, f32>| -> f32 {
                        let at = unit / lanes * segment.block + slot * lanes + unit % lanes;
                        let x = |row| column.map_or(1.0, |c| segment.x[row * segment.stride + c]);
                        (0..segment.rows).map(|row| segment.dz[at + row * line] * x(row)).sum()
                    };
                    segments(i).map(of_segment).sum()
                };
                for (i, (gate, &slot)) in
                    (0..2).flat_map(|i| slots[i].iter().enumerate().map(move |g| (i, g)))
                {
                    for (unit, column) in [(0, 0), (7, 63), (18, 64), (15, terms[i] - 1), (16, 5)] {
                        let (row, column) = (gate * hidden + unit, column.min(terms[i] - 1));
                        let want = [sum(i, slot, unit, Some(column)), sum(i, slot, unit, None)];
                        for (form, gradients) in all.iter().filter(|((_, weights), _)| i < *weights) {
                            let (gradient, bias) = &gradients[i];
                            let got = [gradient[row * terms[i] + column], bias[row]];
                            assert_eq!(got, want, "{isa:?} {form:?} {slots:?} {rows:?} {i}: {row}, {column}");
                        }
                    }
                }
            }
        }
    }
}
