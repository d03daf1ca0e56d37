//! Sums of numbers that are known by their logarithms.

/// ln Σ eˣ.
#[inline(always)]
pub(crate) fn log_sum(x: impl Iterator<Item = f64> + Clone) -> f64 {
    let top = x.clone().fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return top;
    }
    top + x.map(|x| (x - top).exp()).sum::<f64>().ln()
}
