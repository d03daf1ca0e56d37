//! A non-linearity of every number.

use super::Reference;
use super::work::{Place, Work};
use crate::cells::{Activation, Lanes, Nonlinear};
use crate::float::Float;
use crate::program::SlotId;

/// y = f(x).
pub(super) fn forward<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    input: SlotId,
    activation: Activation,
    out: SlotId,
) {
    let slot = net.program.slots[out];
    for Place { at, .. } in work.places(slot) {
        for i in at * slot.width()..(at + 1) * slot.width() {
            work.slots[out][i] = activation.apply(work.slots[input][i]);
        }
    }
}

pub(super) fn backward<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    input: SlotId,
    activation: Activation,
    out: SlotId,
) {
    let slot = net.program.slots[out];
    for Place { at, .. } in work.places(slot) {
        for i in at * slot.width()..(at + 1) * slot.width() {
            let d = work.d_slots[out][i] * activation.slope(work.slots[out][i]);
            work.d_slots[input][i] += d;
        }
    }
}
