//! The losses as plain loops in double precision: the specification.

use super::Pointwise;
use super::softmax::Scale;
use crate::float::Float;
use std::ops::Range;

/// −Σ q ln softmax(z) of every row whose target is not −1, and (softmax(z) − q) · share.
pub(super) fn cross_entropy<T: Float>(
    logits: &[T],
    targets: &[i32],
    Scale { classes, smoothing, share }: Scale,
    gradient: &mut [T],
) -> Option<f64> {
    let mut total = 0.0;
    for (row, &target) in targets.iter().enumerate().filter(|(_, target)| **target >= 0) {
        let z: Vec<f64> = logits[row * classes..][..classes].iter().map(|z| z.to_f64()).collect();
        if !z.iter().all(|z| z.is_finite()) {
            return None;
        }
        let top = z.iter().copied().fold(z[0], f64::max);
        let log_sum = top + z.iter().map(|z| (z - top).exp()).sum::<f64>().ln();
        for k in 0..classes {
            let wanted = if k as i64 == i64::from(target) { 1.0 } else { 0.0 };
            let q = (1.0 - smoothing) * wanted + smoothing / classes as f64;
            let log_p = z[k] - log_sum;
            if q > 0.0 {
                total -= q * log_p;
            }
            gradient[row * classes + k] = T::from_f64((log_p.exp() - q) * share).flush();
        }
    }
    Some(total)
}

/// The loss of every number in `runs`, and its gradient times `share`.
pub(super) fn sum<T: Float>(
    loss: Pointwise,
    [prediction, target]: [&[T]; 2],
    runs: &[Range<usize>],
    share: f64,
    gradient: &mut [T],
) -> Option<f64> {
    let mut total = 0.0;
    for i in runs.iter().cloned().flatten() {
        if !(prediction[i].is_finite() && target[i].is_finite() && loss.takes(target[i])) {
            return None;
        }
        let (p, y) = (prediction[i].to_f64(), target[i].to_f64());
        let d = p - y;
        let (value, slope) = match loss {
            Pointwise::SquaredError => (d * d, 2.0 * d),
            Pointwise::AbsoluteError => (d.abs(), if d == 0.0 { 0.0 } else { d.signum() }),
            Pointwise::Huber { delta } if d.abs() <= delta => (d * d / 2.0, d),
            Pointwise::Huber { delta } => (delta * (d.abs() - delta / 2.0), delta * d.signum()),
            Pointwise::BinaryCrossEntropy => {
                let value = p.max(0.0) - p * y + (-p.abs()).exp().ln_1p();
                (value, 1.0 / (1.0 + (-p).exp()) - y)
            }
        };
        total += value;
        gradient[i] = T::from_f64(slope * share).flush();
    }
    Some(total)
}
