//! Layer normalisation (Ba et al. 2016).

use super::calls::{Calls, words};
use super::kernel::{GRID, over};
use super::product::{Matrix, sum_rows};
use super::recording::Recorder;
use crate::error::Result;
use crate::params::ParamId;
use crate::program::SlotId;

/// y = n ⊙ gain + bias with n = (x − mean) / √(variance + eps).
pub(super) fn record(
    r: &mut Recorder<'_>,
    input: SlotId,
    [gain, bias]: [ParamId; 2],
    eps: f64,
    out: SlotId,
) -> Result<()> {
    let (context, rows, width) = (r.context(), r.places(input), r.width(input));
    let (n, scales) = (r.buffer("normalised", rows * width)?, r.buffer("scales", rows)?);
    let [gain, bias] = [gain, bias].map(|id| r.at(id));
    let (values, gradient) = (&r.net.values, &r.shared.gradient);
    let grid = [rows.min(GRID), rows.div_ceil(GRID), 1];
    let kernel = context.kernel("normalise", NORMALISE);
    let numbers = words![rows, width, eps, gain, bias];
    r.forward.add(&kernel, &[&r.slot(input), values, &n, &scales, &r.slot(out)], numbers, grid);

    // dx = (d − mean d − n · mean(d n)) / √(variance + eps) with d = dy ⊙ gain; d gain = Σ dy n, d bias = Σ dy.
    let mut back = Calls::default();
    if r.signature.learns {
        let (dy, along) = (r.d_slot(out), r.buffer("gradient of the gain", rows * width)?);
        let kernel = context.kernel("normalise backward", NORMALISE_BACKWARD);
        let numbers = words![rows, width, gain, r.adds_to(input)];
        back.add(&kernel, &[&dy, values, &n, &scales, &r.d_slot(input)], numbers, grid);
        let kernel = context.kernel("times", include_str!("wgsl/times.wgsl"));
        back.add(&kernel, &[&dy, &n, &along], words![rows * width], over(rows * width));
        let whole = |buffer| Matrix::new(buffer, 0, width);
        sum_rows(context, &mut back, [rows, width], whole(&along), (gradient, gain))?;
        sum_rows(context, &mut back, [rows, width], whole(&dy), (gradient, bias))?;
    }
    r.back(back);
    Ok(())
}

const NORMALISE: &str = concat!(include_str!("wgsl/fold.wgsl"), include_str!("wgsl/normalise.wgsl"));
const NORMALISE_BACKWARD: &str =
    concat!(include_str!("wgsl/fold.wgsl"), include_str!("wgsl/normalise_backward.wgsl"));
