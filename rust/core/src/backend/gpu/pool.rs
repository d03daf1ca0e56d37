//! From one vector a step to one vector a row.

use super::activate;
use super::calls::{Calls, words};
use super::kernel::{GRID, over};
use super::product::{Matrix, product, sum_rows};
use super::recording::Recorder;
use crate::cells::Activation;
use crate::error::Result;
use crate::params::ParamId;
use crate::program::{Pooling, SlotId};

/// Columns of a workgroup that goes over the steps of a row: `COLUMNS` in its kernels.
const COLUMNS: usize = 16;

/// The last step, the mean, or the largest number of each unit; zeros for a row without steps.
pub(super) fn record(r: &mut Recorder<'_>, input: SlotId, how: Pooling, out: SlotId) -> Result<()> {
    let (context, width, batch) = (r.context(), r.width(input), r.batch());
    let places = r.places(input);
    let code: u32 = match how {
        Pooling::Last => 0,
        Pooling::Ends => 1,
        Pooling::Middle => 2,
        Pooling::LaterMiddle => 3,
        Pooling::Mean => 4,
        Pooling::Max => 5,
    };
    // Of the largest number of each unit its step.
    let chosen = r.buffer("steps of the largest", batch * width)?;
    let lengths = &r.shared.lengths;
    let kernel = context.kernel("pool", include_str!("wgsl/pool.wgsl"));
    let grid = [width.div_ceil(COLUMNS), batch.min(GRID), batch.div_ceil(GRID)];
    let buffers = [&r.slot(input), lengths, &chosen, &r.slot(out)];
    r.forward.add(&kernel, &buffers, words![batch, width, code], grid);

    // The gradient of each unit goes to the step it came from, or to all that the mean is of.
    let mut back = Calls::default();
    let kernel = context.kernel("pool backward", include_str!("wgsl/pool_backward.wgsl"));
    let buffers = [&r.d_slot(out), lengths, &chosen, &r.d_slot(input)];
    let len = places * width;
    back.add(&kernel, &buffers, words![len, batch, width, code, r.adds_to(input)], over(len));
    r.back(back);
    Ok(())
}

/// y = Σ_t a⟨t⟩ x⟨t⟩ with a = softmax_t(context · u⟨t⟩), u⟨t⟩ = tanh(W x⟨t⟩ + b).
pub(super) fn attention(
    r: &mut Recorder<'_>,
    input: SlotId,
    [weight, bias, context_vector]: [ParamId; 3],
    out: SlotId,
) -> Result<()> {
    let (context, width, batch, rows) = (r.context(), r.width(input), r.batch(), r.places(input));
    let size = r.net.program.parameters.range(bias).len();
    let [weight, bias, toward] = [weight, bias, context_vector].map(|id| r.at(id));
    let (values, gradient) = (&r.net.values, &r.shared.gradient);
    let lengths = &r.shared.lengths;
    let [sums, units] = ["sums of attention", "units of attention"].map(|name| r.buffer(name, rows * size));
    let [scores, shares] = ["scores", "shares"].map(|name| r.buffer(name, rows));
    let (sums, units, scores, shares) = (sums?, units?, scores?, shares?);
    let (x, y) = (r.slot(input), r.slot(out));
    let (xs, w) = (Matrix::new(&x, 0, width), Matrix::new(values, weight, width));
    let toward_row = Matrix::new(values, toward, size);
    let flat = |buffer| Matrix::new(buffer, 0, size);
    let column = |buffer| Matrix::new(buffer, 0, 1);
    let forward = &mut r.forward;
    let b = Some((values, bias));
    product(context, forward, [rows, size, width], xs, w.t(), b, flat(&sums), false)?;
    let kernel = context.kernel("activate", &activate::forward(Activation::Tanh));
    forward.add(&kernel, &[&sums, &units], words![rows * size], over(rows * size));
    let by_place = [rows, 1, size];
    product(context, forward, by_place, flat(&units), toward_row.t(), None, column(&scores), false)?;
    let of_rows = [batch.min(GRID), batch.div_ceil(GRID), 1];
    let steps = r.signature.shape.steps;
    let kernel = context.kernel("shares of steps", SHARES);
    forward.add(&kernel, &[&scores, lengths, &shares], words![batch, steps], of_rows);
    let kernel = context.kernel("weighted steps", include_str!("wgsl/weighted_steps.wgsl"));
    let grid = [width.div_ceil(COLUMNS), batch.min(GRID), batch.div_ceil(GRID)];
    forward.add(&kernel, &[&x, lengths, &shares, &y], words![batch, width], grid);

    // dx⟨t⟩ = a⟨t⟩ dy + Wᵀ du⟨t⟩, with ds⟨t⟩ = a⟨t⟩ (dy · x⟨t⟩ − Σ_t a⟨t⟩ dy · x⟨t⟩) the gradient of a score and
    // du⟨t⟩ = ds⟨t⟩ context ⊙ (1 − u⟨t⟩²); d context = Σ ds⟨t⟩ u⟨t⟩.
    let mut back = Calls::default();
    if r.signature.learns {
        let (dy, dx) = (r.d_slot(out), r.d_slot(input));
        let [d_shares, d_scores] = ["gradients of shares", "of scores"].map(|name| r.buffer(name, rows));
        let (d_shares, d_scores, d_units) = (d_shares?, d_scores?, r.buffer("of units", rows * size)?);
        let kernel = context.kernel("dots with rows", DOTS);
        let of_places = [rows.min(GRID), rows.div_ceil(GRID), 1];
        back.add(&kernel, &[&x, &dy, &d_shares], words![rows, width, batch], of_places);
        let kernel = context.kernel("shares backward", SHARES_BACKWARD);
        let buffers = [&shares, &d_shares, lengths, &d_scores];
        back.add(&kernel, &buffers, words![batch, steps], of_rows);
        let kernel = context.kernel("units backward", include_str!("wgsl/units_backward.wgsl"));
        let len = rows * size;
        back.add(&kernel, &[&d_scores, &units, values, &d_units], words![len, size, toward], over(len));
        let kernel = context.kernel("spread", include_str!("wgsl/spread.wgsl"));
        let numbers = words![rows * width, width, batch, r.adds_to(input)];
        back.add(&kernel, &[&shares, &dy, &dx], numbers, over(rows * width));
        let (dxs, dw) = (Matrix::new(&dx, 0, width), Matrix::new(gradient, weight, width));
        product(context, &mut back, [rows, width, size], flat(&d_units), w, None, dxs, true)?;
        product(context, &mut back, [size, width, rows], flat(&d_units).t(), xs, None, dw, true)?;
        let d_toward = Matrix::new(gradient, toward, size);
        let across = column(&d_scores).t();
        product(context, &mut back, [1, size, rows], across, flat(&units), None, d_toward, true)?;
        sum_rows(context, &mut back, [rows, size], flat(&d_units), (gradient, bias))?;
    }
    r.back(back);
    Ok(())
}

const SHARES: &str = concat!(include_str!("wgsl/fold.wgsl"), include_str!("wgsl/shares.wgsl"));
const SHARES_BACKWARD: &str =
    concat!(include_str!("wgsl/fold.wgsl"), include_str!("wgsl/shares_backward.wgsl"));
const DOTS: &str = concat!(include_str!("wgsl/fold.wgsl"), include_str!("wgsl/dots.wgsl"));
