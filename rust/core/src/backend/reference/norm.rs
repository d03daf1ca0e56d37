//! Layer normalisation (Ba et al. 2016): of a vector, and as an op.

use super::Reference;
use super::work::{Work, dot};
use crate::cells::Lanes;
use crate::float::Float;
use crate::params::ParamId;
use crate::program::SlotId;

/// A vector with mean 0 and variance 1.
pub(super) struct Normed<T> {
    /// (x − mean) / √(variance + eps).
    pub x: Vec<T>,
    /// 1 / √(variance + eps).
    scale: T,
}

impl<T: Float> Normed<T> {
    pub fn new(x: &[T], eps: f64) -> Self {
        let n = T::from_f64(x.len() as f64);
        let mean = x.iter().fold(T::ZERO, |sum, &x| sum + x) / n;
        let centred: Vec<T> = x.iter().map(|&x| x - mean).collect();
        let variance = dot(&centred, &centred) / n;
        let scale = T::ONE / (variance + T::from_f64(eps)).sqrt();
        Self { x: centred.iter().map(|&x| x * scale).collect(), scale }
    }

    /// From the gradient of the normalised vector to that of the one before.
    pub fn backward(&self, d: &[T]) -> Vec<T> {
        let n = T::from_f64(d.len() as f64);
        let mean = d.iter().fold(T::ZERO, |sum, &d| sum + d) / n;
        let along = dot(d, &self.x) / n;
        d.iter().zip(&self.x).map(|(&d, &x)| (d - mean - along * x) * self.scale).collect()
    }
}

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
