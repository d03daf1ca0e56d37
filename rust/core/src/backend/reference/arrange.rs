//! Numbers put elsewhere: rows reversed, slots side by side or added up.

use super::Reference;
use super::vectors::add;
use super::work::{Place, Work};
use crate::cells::Lanes;
use crate::float::Float;
use crate::program::SlotId;

/// The places of a row's steps that count, and those that they have in the reversed row.
fn reversed<T: Float>(work: &Work<T>) -> Vec<(usize, usize)> {
    let other = |Place { row, step, at }| (at, at - step + work.counted.lengths[row] - 1 - step);
    work.steps().into_iter().map(other).collect()
}

pub(super) fn reverse<T: Float + Lanes>(net: &Reference<T>, work: &mut Work<T>, input: SlotId, out: SlotId) {
    if let Some(tokens) = &work.tokens[input] {
        let mut turned = vec![-1; tokens.len()];
        reversed(work).into_iter().for_each(|(at, to)| turned[to] = tokens[at]);
        work.tokens[out] = Some(turned);
        return;
    }
    let width = net.program.slots[input].width();
    for (at, to) in reversed(work) {
        let x = work.slots[input][at * width..][..width].to_vec();
        work.slots[out][to * width..][..width].copy_from_slice(&x);
    }
}

pub(super) fn reverse_backward<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    input: SlotId,
    out: SlotId,
) {
    if work.tokens[input].is_some() {
        return;
    }
    let width = net.program.slots[input].width();
    for (at, to) in reversed(work) {
        let d = work.d_slots[out][to * width..][..width].to_vec();
        add(&mut work.d_slots[input][at * width..][..width], T::ONE, &d);
    }
}

pub(super) fn concat<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    inputs: [SlotId; 2],
    out: SlotId,
) {
    let [a, b] = inputs.map(|input| net.program.slots[input].width());
    for Place { at, .. } in work.places(net.program.slots[out]) {
        let both = [&work.slots[inputs[0]][at * a..][..a], &work.slots[inputs[1]][at * b..][..b]].concat();
        work.slots[out][at * (a + b)..][..a + b].copy_from_slice(&both);
    }
}

pub(super) fn concat_backward<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    inputs: [SlotId; 2],
    out: SlotId,
) {
    let [a, b] = inputs.map(|input| net.program.slots[input].width());
    for Place { at, .. } in work.places(net.program.slots[out]) {
        let d = work.d_slots[out][at * (a + b)..][..a + b].to_vec();
        add(&mut work.d_slots[inputs[0]][at * a..][..a], T::ONE, &d[..a]);
        add(&mut work.d_slots[inputs[1]][at * b..][..b], T::ONE, &d[a..]);
    }
}

/// y = (a + b) · scale.
pub(super) fn sum<T: Float>(work: &mut Work<T>, inputs: [SlotId; 2], scale: f64, out: SlotId) {
    for input in inputs {
        let x = work.slots[input].clone();
        add(&mut work.slots[out], T::from_f64(scale), &x);
    }
}

pub(super) fn sum_backward<T: Float>(work: &mut Work<T>, inputs: [SlotId; 2], scale: f64, out: SlotId) {
    let d = work.d_slots[out].clone();
    for input in inputs {
        add(&mut work.d_slots[input], T::from_f64(scale), &d);
    }
}
