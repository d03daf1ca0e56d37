//! A linear map of every vector.

use super::Reference;
use super::vectors::{add, dot};
use super::work::{Place, Work};
use crate::cells::Lanes;
use crate::float::Float;
use crate::params::ParamId;
use crate::program::SlotId;

/// y = x Wᵀ + b.
pub(super) fn linear<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    input: SlotId,
    weight: ParamId,
    bias: Option<ParamId>,
    out: SlotId,
) {
    let (from, to) = (net.program.slots[input].width(), net.program.slots[out].width());
    let weight = net.values(weight);
    for Place { at, .. } in work.places(net.program.slots[out]) {
        for j in 0..to {
            let x = &work.slots[input][at * from..][..from];
            let bias = bias.map_or(T::ZERO, |bias| net.values(bias)[j]);
            work.slots[out][at * to + j] = bias + dot(&weight[j * from..][..from], x);
        }
    }
}

pub(super) fn linear_backward<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    input: SlotId,
    weight: ParamId,
    bias: Option<ParamId>,
    out: SlotId,
) {
    let (from, to) = (net.program.slots[input].width(), net.program.slots[out].width());
    let d_weight = net.program.parameters.range(weight).start;
    let weight = net.values(weight);
    for Place { at, .. } in work.places(net.program.slots[out]) {
        for j in 0..to {
            let d = work.d_slots[out][at * to + j];
            if let Some(bias) = bias {
                work.gradient[net.program.parameters.range(bias).start + j] += d;
            }
            let x = &work.slots[input][at * from..][..from];
            add(&mut work.gradient[d_weight + j * from..][..from], d, x);
            add(&mut work.d_slots[input][at * from..][..from], d, &weight[j * from..][..from]);
        }
    }
}
