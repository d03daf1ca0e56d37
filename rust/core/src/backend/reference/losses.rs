//! What a program adds to its loss.

use super::Reference;
use super::vectors::add;
use super::work::Work;
use crate::cells::Lanes;
use crate::float::Float;
use crate::program::SlotId;

/// Factors of x² and of (x⟨s⟩ − x⟨s−1⟩)² in [`penalty`]: a factor divided by what it is a mean over.
fn shares<T: Float>(work: &Work<T>, width: usize, [activation, temporal]: [f64; 2]) -> [T; 2] {
    let lengths = &work.counted.lengths;
    let steps: usize = lengths.iter().sum();
    let pairs: usize = lengths.iter().map(|n| n.saturating_sub(1)).sum();
    [(activation, steps), (temporal, pairs)]
        .map(|(factor, n)| T::from_f64(if n == 0 { 0.0 } else { factor / (n * width) as f64 }))
}

/// activation · mean x² + temporal · mean (x⟨s⟩ − x⟨s−1⟩)².
pub(super) fn penalty<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    input: SlotId,
    factors: [f64; 2],
) {
    if work.training.is_none() {
        return;
    }
    let width = net.program.slots[input].width();
    let [own, change] = shares(work, width, factors);
    let mut sum = T::ZERO;
    for place in work.steps() {
        for i in place.at * width..(place.at + 1) * width {
            let x = work.slots[input][i];
            sum += own * x * x;
            if place.step > 0 {
                let d = x - work.slots[input][i - width];
                sum += change * d * d;
            }
        }
    }
    work.penalty += sum;
}

pub(super) fn penalty_backward<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    input: SlotId,
    factors: [f64; 2],
) {
    if work.training.is_none() {
        return;
    }
    let width = net.program.slots[input].width();
    let two = T::ONE + T::ONE;
    let [own, change] = shares(work, width, factors);
    for place in work.steps() {
        for i in place.at * width..(place.at + 1) * width {
            let x = work.slots[input][i];
            work.d_slots[input][i] += two * own * x;
            if place.step > 0 {
                let d = two * change * (x - work.slots[input][i - width]);
                work.d_slots[input][i] += d;
                work.d_slots[input][i - width] += -d;
            }
        }
    }
}

/// log p = z_y − max z − ln Σ exp(z − max z); the loss is the mean of −log p over scored steps.
pub(super) fn cross_entropy<T: Float + Lanes>(net: &Reference<T>, work: &mut Work<T>, logits: SlotId) {
    work.log_probs = vec![T::ZERO; work.shape.rows()];
    for place in work.steps() {
        if let Some((target, row)) = scored(net, work, logits, place.at) {
            let top = row.iter().fold(row[0], |m, &z| if z > m { z } else { m });
            let sum = row.iter().fold(T::ZERO, |s, &z| s + (z - top).exp());
            work.log_probs[place.at] = row[target] - top - sum.ln();
        }
    }
}

/// dz = (softmax(z) − onehot(y)) / n.
pub(super) fn cross_entropy_backward<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    logits: SlotId,
) {
    let steps = work.steps();
    let n = steps.iter().filter(|place| scored(net, work, logits, place.at).is_some()).count();
    let share = T::ONE / T::from_f64(n.max(1) as f64);
    for place in steps {
        let Some((target, row)) = scored(net, work, logits, place.at) else { continue };
        let log_sum = row[target] - work.log_probs[place.at];
        let d: Vec<T> = (0..row.len())
            .map(|j| (row[j] - log_sum).exp() - if j == target { T::ONE } else { T::ZERO })
            .collect();
        add(&mut work.d_slots[logits][place.at * d.len()..][..d.len()], share, &d);
    }
}

/// The target and the logits of a step that has one.
fn scored<'a, T: Float>(
    net: &Reference<T>,
    work: &'a Work<T>,
    logits: SlotId,
    at: usize,
) -> Option<(usize, &'a [T])> {
    let target = usize::try_from(work.targets.as_ref()?[at]).ok()?;
    let width = net.program.slots[logits].width();
    Some((target, &work.slots[logits][at * width..][..width]))
}
