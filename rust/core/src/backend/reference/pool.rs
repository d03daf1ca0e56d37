//! From one vector a step to one vector a row.

use super::Reference;
use super::vectors::{add, dot};
use super::work::Work;
use crate::cells::Lanes;
use crate::float::Float;
use crate::params::ParamId;
use crate::program::{Pooling, SlotId};

/// The last step, the mean, or the largest number of each unit; zeros for a row without steps.
pub(super) fn pool<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    input: SlotId,
    how: Pooling,
    out: SlotId,
) {
    let width = net.program.slots[input].width();
    for (b, steps) in rows(work).into_iter().enumerate().filter(|(_, steps)| !steps.is_empty()) {
        for k in 0..width {
            let x = |at: usize| work.slots[input][at * width + k];
            let n = T::from_f64(steps.len() as f64);
            work.slots[out][b * width + k] = match how {
                Pooling::Mean => steps.clone().fold(T::ZERO, |sum, at| sum + x(at)) / n,
                Pooling::Max => x(largest(steps.clone(), x)),
                _ => how.step(steps.len(), k, width).map_or(T::ZERO, |step| x(steps.start + step)),
            };
        }
    }
}

pub(super) fn pool_backward<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    input: SlotId,
    how: Pooling,
    out: SlotId,
) {
    let width = net.program.slots[input].width();
    for (b, steps) in rows(work).into_iter().enumerate().filter(|(_, steps)| !steps.is_empty()) {
        for k in 0..width {
            let d = work.d_slots[out][b * width + k];
            match how {
                Pooling::Mean => {
                    let n = T::from_f64(steps.len() as f64);
                    steps.clone().for_each(|at| work.d_slots[input][at * width + k] += d / n);
                }
                Pooling::Max => {
                    let at = largest(steps.clone(), |at| work.slots[input][at * width + k]);
                    work.d_slots[input][at * width + k] += d;
                }
                _ => {
                    if let Some(step) = how.step(steps.len(), k, width) {
                        work.d_slots[input][(steps.start + step) * width + k] += d;
                    }
                }
            }
        }
    }
}

/// The places of each row's steps.
fn rows<T>(work: &Work<T>) -> Vec<std::ops::Range<usize>> {
    let rows = work.counted.lengths.iter().enumerate();
    rows.map(|(b, &n)| b * work.shape.steps..b * work.shape.steps + n).collect()
}

/// The first place of the largest number; NaN counts as larger.
fn largest<T: Float>(steps: std::ops::Range<usize>, x: impl Fn(usize) -> T) -> usize {
    let above = |a: T, b: T| a > b || a.partial_cmp(&a).is_none();
    steps.clone().fold(steps.start, |best, at| if above(x(at), x(best)) { at } else { best })
}

/// What attention computes of one row.
struct Attention<T> {
    /// tanh(W x⟨t⟩ + b), step by step.
    units: Vec<Vec<T>>,
    /// softmax⟨t⟩(context · units⟨t⟩).
    shares: Vec<T>,
}

fn attend<T: Float + Lanes>(
    net: &Reference<T>,
    x: &[T],
    [weight, bias, context]: [ParamId; 3],
) -> Attention<T> {
    let (weight, bias, context) = (net.values(weight), net.values(bias), net.values(context));
    let width = weight.len() / bias.len();
    let units: Vec<Vec<T>> = x
        .chunks_exact(width)
        .map(|x| {
            let row = |a: usize| &weight[a * width..][..width];
            (0..bias.len()).map(|a| Float::tanh(dot(row(a), x) + bias[a])).collect()
        })
        .collect();
    let scores: Vec<T> = units.iter().map(|units| dot(context, units)).collect();
    let top = scores.iter().fold(scores[0], |m, &z| if z > m { z } else { m });
    let powers: Vec<T> = scores.iter().map(|&score| (score - top).exp()).collect();
    let sum = powers.iter().fold(T::ZERO, |sum, &p| sum + p);
    Attention { units, shares: powers.iter().map(|&p| p / sum).collect() }
}

/// Σ_t shares⟨t⟩ x⟨t⟩.
pub(super) fn attention<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    input: SlotId,
    weights: [ParamId; 3],
    out: SlotId,
) {
    let width = net.program.slots[input].width();
    for (b, steps) in rows(work).into_iter().enumerate().filter(|(_, steps)| !steps.is_empty()) {
        let x = work.slots[input][steps.start * width..steps.end * width].to_vec();
        let Attention { shares, .. } = attend(net, &x, weights);
        for (&share, x) in shares.iter().zip(x.chunks_exact(width)) {
            add(&mut work.slots[out][b * width..][..width], share, x);
        }
    }
}

pub(super) fn attention_backward<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    input: SlotId,
    weights: [ParamId; 3],
    out: SlotId,
) {
    let width = net.program.slots[input].width();
    let [d_weight, d_bias, d_context] = weights.map(|id| net.program.parameters.range(id).start);
    let (weight, context) = (net.values(weights[0]), net.values(weights[2]));
    for (b, steps) in rows(work).into_iter().enumerate().filter(|(_, steps)| !steps.is_empty()) {
        let x = work.slots[input][steps.start * width..steps.end * width].to_vec();
        let dy = work.d_slots[out][b * width..][..width].to_vec();
        let Attention { units, shares } = attend(net, &x, weights);
        let d_shares: Vec<T> = x.chunks_exact(width).map(|x| dot(&dy, x)).collect();
        let mean = dot(&shares, &d_shares);
        for (step, x) in x.chunks_exact(width).enumerate() {
            let dx = &mut work.d_slots[input][(steps.start + step) * width..][..width];
            add(dx, shares[step], &dy);
            let d_score = shares[step] * (d_shares[step] - mean);
            for (a, &unit) in units[step].iter().enumerate() {
                work.gradient[d_context + a] += d_score * unit;
                let d_sum = d_score * context[a] * (T::ONE - unit * unit);
                work.gradient[d_bias + a] += d_sum;
                add(&mut work.gradient[d_weight + a * width..][..width], d_sum, x);
                add(dx, d_sum, &weight[a * width..][..width]);
            }
        }
    }
}
