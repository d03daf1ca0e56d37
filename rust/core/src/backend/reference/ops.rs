//! The ops without time: each forward beside its backward. Gradients accumulate.

use super::{Reference, Work};
use crate::cells::Lanes;
use crate::float::Float;
use crate::params::ParamId;
use crate::program::SlotId;
use crate::rng::{Kind, Stream};

/// y = table[token], 0 for token −1.
pub(super) fn gather<T: Float + Lanes>(net: &Reference<T>, work: &mut Work<T>, table: ParamId, out: SlotId) {
    let (table, width) = (&net.values[net.program.parameters.range(table)], net.program.slots[out].width());
    let tokens = work.tokens.as_ref().expect("a checked batch of tokens");
    for (_, _, at) in work.places() {
        if let Ok(token) = usize::try_from(tokens[at]) {
            let row = &table[token * width..][..width];
            work.slots[out][at * width..][..width].copy_from_slice(row);
        }
    }
}

pub(super) fn gather_backward<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    table: ParamId,
    out: SlotId,
) {
    let (range, width) = (net.program.parameters.range(table), net.program.slots[out].width());
    for (_, _, at) in work.places() {
        let token = work.tokens.as_ref().expect("a checked batch of tokens")[at];
        if let Ok(token) = usize::try_from(token) {
            for k in 0..width {
                work.gradient[range.start + token * width + k] += work.d_slots[out][at * width + k];
            }
        }
    }
}

/// y = x · mask, mask 0 or 1 / (1 − p) (Srivastava et al. 2014, scaled in training).
pub(super) fn dropout<T: Float>(work: &mut Work<T>, input: SlotId, p: f64, site: u32, out: SlotId) {
    work.slots[out] = work.slots[input].clone();
    let mut slot = std::mem::take(&mut work.slots[out]);
    mask(work, p, site, &mut slot);
    work.slots[out] = slot;
}

pub(super) fn dropout_backward<T: Float>(work: &mut Work<T>, input: SlotId, p: f64, site: u32, out: SlotId) {
    let mut d = work.d_slots[out].clone();
    mask(work, p, site, &mut d);
    add(&mut work.d_slots[input], &d);
}

fn mask<T: Float>(work: &Work<T>, p: f64, site: u32, slot: &mut [T]) {
    let (Some(key), rows) = (work.dropout, work.shape.rows()) else { return };
    if rows == 0 {
        return;
    }
    let width = slot.len() / rows;
    let stream = Stream::new(key.seed, Kind::Dropout, site, key.step);
    let mut mask = vec![T::ZERO; width];
    for (b, t, at) in work.places() {
        stream.keep_mask_row(t as u32, b as u32, 1.0 - p, &mut mask);
        for k in 0..width {
            slot[at * width + k] *= mask[k];
        }
    }
}

/// y = x Wᵀ + b.
pub(super) fn linear<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    input: SlotId,
    weight: ParamId,
    bias: ParamId,
    out: SlotId,
) {
    let (from, to) = (net.program.slots[input].width(), net.program.slots[out].width());
    let weight = &net.values[net.program.parameters.range(weight)];
    let bias = &net.values[net.program.parameters.range(bias)];
    for (_, _, at) in work.places() {
        for j in 0..to {
            let x = &work.slots[input][at * from..][..from];
            work.slots[out][at * to + j] = bias[j] + dot(&weight[j * from..][..from], x);
        }
    }
}

pub(super) fn linear_backward<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    input: SlotId,
    weight: ParamId,
    bias: ParamId,
    out: SlotId,
) {
    let (from, to) = (net.program.slots[input].width(), net.program.slots[out].width());
    let (w, b) = (net.program.parameters.range(weight), net.program.parameters.range(bias));
    for (_, _, at) in work.places() {
        for j in 0..to {
            let d = work.d_slots[out][at * to + j];
            work.gradient[b.start + j] += d;
            for k in 0..from {
                work.gradient[w.start + j * from + k] += d * work.slots[input][at * from + k];
                work.d_slots[input][at * from + k] += d * net.values[w.start + j * from + k];
            }
        }
    }
}

/// log p = z_y − max z − ln Σ exp(z − max z); the loss is the mean of −log p over scored rows.
pub(super) fn cross_entropy<T: Float>(work: &mut Work<T>, logits: SlotId) {
    work.log_probs = vec![T::ZERO; work.shape.rows()];
    for (_, _, at) in work.places() {
        if let Some((target, row)) = scored(work, logits, at) {
            let top = row.iter().fold(row[0], |m, &z| if z > m { z } else { m });
            let sum = row.iter().fold(T::ZERO, |s, &z| s + (z - top).exp());
            work.log_probs[at] = row[target] - top - sum.ln();
        }
    }
}

/// dz = (softmax(z) − onehot(y)) / n.
pub(super) fn cross_entropy_backward<T: Float>(work: &mut Work<T>, logits: SlotId) {
    let places = work.places();
    let n = places.iter().filter(|p| scored(work, logits, p.2).is_some()).count();
    let share = T::ONE / T::from_f64(n.max(1) as f64);
    for (_, _, at) in places {
        let Some((target, row)) = scored(work, logits, at) else { continue };
        let log_sum = row[target] - work.log_probs[at];
        let d: Vec<T> = (0..row.len())
            .map(|j| ((row[j] - log_sum).exp() - if j == target { T::ONE } else { T::ZERO }) * share)
            .collect();
        add(&mut work.d_slots[logits][at * d.len()..][..d.len()], &d);
    }
}

/// The target and the logits of a row that counts.
fn scored<T: Float>(work: &Work<T>, logits: SlotId, at: usize) -> Option<(usize, &[T])> {
    let target = usize::try_from(work.targets.as_ref()?[at]).ok()?;
    let width = work.slots[logits].len() / work.shape.rows();
    Some((target, &work.slots[logits][at * width..][..width]))
}

/// Gradients of padded rows do not count.
pub(super) fn clear_padding<T: Float>(work: &mut Work<T>, slot: SlotId) {
    let steps = work.shape.steps;
    let width = work.d_slots[slot].len() / work.shape.rows().max(1);
    for (b, &length) in work.lengths.iter().enumerate() {
        work.d_slots[slot][(b * steps + length) * width..(b + 1) * steps * width].fill(T::ZERO);
    }
}

pub(super) fn dot<T: Float>(a: &[T], b: &[T]) -> T {
    a.iter().zip(b).fold(T::ZERO, |sum, (&x, &y)| sum + x * y)
}

fn add<T: Float>(to: &mut [T], from: &[T]) {
    for (x, &d) in to.iter_mut().zip(from) {
        *x += d;
    }
}
