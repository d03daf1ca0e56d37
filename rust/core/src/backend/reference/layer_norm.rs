//! Layer normalisation as an op, forward beside backward.

use super::Reference;
use super::norm::Normed;
use super::work::Work;
use crate::cells::Lanes;
use crate::float::Float;
use crate::params::ParamId;
use crate::program::SlotId;

/// y = normed(x) ⊙ gain + bias.
pub(super) fn forward<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    input: SlotId,
    [gain, bias]: [ParamId; 2],
    eps: f64,
    out: SlotId,
) {
    let (gain, bias) = (net.values(gain), net.values(bias));
    let width = gain.len();
    for place in work.places(net.program.slots[input]) {
        let row = place.at * width..(place.at + 1) * width;
        let normed = Normed::new(&work.slots[input][row.clone()], eps);
        for k in 0..width {
            work.slots[out][row.start + k] = normed.x[k] * gain[k] + bias[k];
        }
    }
}

pub(super) fn backward<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    input: SlotId,
    [gain, bias]: [ParamId; 2],
    eps: f64,
    out: SlotId,
) {
    let (d_gain, d_bias) = (net.program.parameters.range(gain), net.program.parameters.range(bias));
    let gain = net.values(gain);
    let width = gain.len();
    for place in work.places(net.program.slots[input]) {
        let row = place.at * width..(place.at + 1) * width;
        let normed = Normed::new(&work.slots[input][row.clone()], eps);
        let dy = &work.d_slots[out][row.clone()];
        for k in 0..width {
            work.gradient[d_gain.start + k] += dy[k] * normed.x[k];
            work.gradient[d_bias.start + k] += dy[k];
        }
        let d_normed: Vec<T> = dy.iter().zip(gain).map(|(&d, &gain)| d * gain).collect();
        for (dx, d) in work.d_slots[input][row].iter_mut().zip(normed.backward(&d_normed)) {
            *dx += d;
        }
    }
}
