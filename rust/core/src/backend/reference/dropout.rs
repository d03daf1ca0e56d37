//! Zeros at random.

use super::Reference;
use super::work::{Place, Work};
use crate::cells::Lanes;
use crate::float::Float;
use crate::program::SlotId;
use crate::rng::Kind;

/// The masks of a slot, vector by vector (Srivastava et al. 2014; variational: one a row, Gal and
/// Ghahramani 2016).
fn masks<T: Float + Lanes>(
    net: &Reference<T>,
    work: &Work<T>,
    slot: SlotId,
    p: f64,
    variational: bool,
    site: u32,
) -> Vec<(usize, Vec<T>)> {
    let slot = net.program.slots[slot];
    let mask = |Place { row, step, at }| {
        let once = variational || slot.is_pooled();
        let time = if once { 0 } else { work.counted.time(row, step) };
        (at * slot.width(), work.mask(Kind::Dropout, site as usize, p, [time, row], slot.width()))
    };
    work.places(slot).into_iter().map(mask).collect()
}

/// y = x ⊙ mask.
pub(super) fn dropout<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    input: SlotId,
    p: f64,
    variational: bool,
    site: u32,
    out: SlotId,
) {
    for (start, mask) in masks(net, work, input, p, variational, site) {
        for (i, &m) in (start..).zip(&mask) {
            work.slots[out][i] = work.slots[input][i] * m;
        }
    }
}

pub(super) fn dropout_backward<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    input: SlotId,
    p: f64,
    variational: bool,
    site: u32,
    out: SlotId,
) {
    for (start, mask) in masks(net, work, input, p, variational, site) {
        for (i, &m) in (start..).zip(&mask) {
            let d = work.d_slots[out][i] * m;
            work.d_slots[input][i] += d;
        }
    }
}
