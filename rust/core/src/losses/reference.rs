//! The losses as plain loops in double precision: the specification.

use super::Pointwise;
use super::chain_rows::{Expected, Rows, Wrong};
use super::log_sum::log_sum;
use super::path_states::Row;
use super::softmax::Scale;
use crate::device::Elementary;
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

/// −ln of the probability of all paths that read as the row's labels, from tables of both directions:
/// `alpha` of beginnings up to and with a step, `beta` of ends after it (Graves et al. 2006, section 4.1).
pub(super) fn ctc<T: Elementary>(row: &mut Row<'_, T>) -> Option<f64> {
    let (symbols, classes) = (row.symbols(), row.classes);
    let (states, steps) = (symbols.len(), row.logits.len() / classes);
    let mut log_p = Vec::new();
    for z in row.logits.chunks_exact(classes) {
        let z: Vec<f64> = z.iter().map(|z| z.to_f64()).collect();
        if !z.iter().all(|z| z.is_finite()) {
            return None;
        }
        let all = log_sum(z.iter().copied());
        log_p.push(z.iter().map(|z| z - all).collect::<Vec<_>>());
    }
    if steps == 0 {
        return Some(0.0);
    }
    let follows = |s: usize, to: usize| match to.checked_sub(s) {
        Some(0 | 1) => true,
        Some(2) => symbols[to] != row.blank && symbols[to] != symbols[s],
        _ => false,
    };
    let none = f64::NEG_INFINITY;
    let mut alpha = vec![vec![none; states]; steps];
    let mut beta = vec![vec![none; states]; steps];
    for s in 0..states.min(2) {
        alpha[0][s] = log_p[0][symbols[s]];
        beta[steps - 1][states - 1 - s] = 0.0;
    }
    for t in 1..steps {
        for s in 0..states {
            let from = (0..states).filter(|&from| follows(from, s)).map(|from| alpha[t - 1][from]);
            alpha[t][s] = log_p[t][symbols[s]] + log_sum(from);
        }
    }
    for t in (0..steps - 1).rev() {
        for s in 0..states {
            let to = (0..states).filter(|&to| follows(s, to));
            beta[t][s] = log_sum(to.map(|to| log_p[t + 1][symbols[to]] + beta[t + 1][to]));
        }
    }
    let log_likelihood = log_sum((0..states).map(|s| alpha[steps - 1][s] + beta[steps - 1][s]));
    for t in 0..steps {
        for k in 0..classes {
            let at_k = (0..states).filter(|&s| symbols[s] == k).map(|s| alpha[t][s] + beta[t][s]);
            let gamma = (log_sum(at_k) - log_likelihood).exp();
            let slope = log_p[t][k].exp() - gamma;
            row.gradient[t * classes + k] = T::from_f64(slope * row.share).flush();
        }
    }
    Some(-log_likelihood)
}

/// What is expected of some rows, from tables of both directions: `alpha` of beginnings up to and with a
/// step, `beta` of ends after it.
pub(super) fn chain<T: Elementary>(rows: &mut Rows<'_, T>) -> Result<Expected, Wrong> {
    let (chain, k) = (rows.chain, rows.chain.tags);
    let mut out = Expected::zeros(k);
    for (row, &steps) in rows.lengths.iter().enumerate().filter(|(_, steps)| **steps > 0) {
        let emissions: Vec<f64> =
            rows.emissions[row * rows.size..][..steps * k].iter().map(|e| e.to_f64()).collect();
        if !emissions.iter().all(|e| e.is_finite()) {
            return Err(Wrong::NotFinite);
        }
        let e = |t: usize, j: usize| emissions[t * k + j];
        let mut alpha = vec![vec![0.0; k]; steps];
        let mut beta = vec![chain.end.clone(); steps];
        for j in 0..k {
            alpha[0][j] = chain.start[j] + e(0, j);
        }
        for t in 1..steps {
            for j in 0..k {
                alpha[t][j] = e(t, j) + log_sum((0..k).map(|i| alpha[t - 1][i] + chain.pair(i, j)));
            }
        }
        for t in (0..steps - 1).rev() {
            for i in 0..k {
                beta[t][i] = log_sum((0..k).map(|j| chain.pair(i, j) + e(t + 1, j) + beta[t + 1][j]));
            }
        }
        let log_z = log_sum((0..k).map(|j| alpha[steps - 1][j] + beta[steps - 1][j]));
        if log_z == f64::NEG_INFINITY {
            return Err(Wrong::Nothing { row: rows.first + row });
        }
        out.log_z += log_z;
        let gamma = |t: usize, j: usize| (alpha[t][j] + beta[t][j] - log_z).exp();
        for j in 0..k {
            out.start[j] += gamma(0, j);
            out.end[j] += gamma(steps - 1, j);
            for t in 0..steps {
                let share = T::from_f64(gamma(t, j) * rows.share).flush();
                rows.marginals[row * rows.size + t * k + j] = share;
            }
            for (t, i) in (1..steps).flat_map(|t| (0..k).map(move |i| (t, i))) {
                let pair = alpha[t - 1][i] + chain.pair(i, j) + e(t, j) + beta[t][j];
                out.pairs[i * k + j] += (pair - log_z).exp();
            }
        }
    }
    Ok(out)
}
