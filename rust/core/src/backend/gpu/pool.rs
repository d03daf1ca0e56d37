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
    let (width, batch) = (r.width(input), r.batch());
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
    r.each_segment(|r| {
        let (context, first, steps) = (r.context(), r.segment.first, r.steps());
        let kernel = context.kernel("pool", include_str!("wgsl/pool.wgsl"));
        let grid = [width.div_ceil(COLUMNS), batch.min(GRID), batch.div_ceil(GRID)];
        let buffers = [&r.slot(input), lengths, &chosen, &r.slot(out)];
        r.forward.add(&kernel, &buffers, words![batch, width, code, first, steps], grid);

        // The gradient of each unit goes to the step it came from, or to all that the mean is of.
        let mut back = Calls::default();
        let kernel = context.kernel("pool backward", include_str!("wgsl/pool_backward.wgsl"));
        let buffers = [&r.d_slot(out), lengths, &chosen, &r.d_slot(input)];
        let len = r.places(input) * width;
        let numbers = words![len, batch, width, code, first, r.adds_to(input)];
        back.add(&kernel, &buffers, numbers, over(len));
        r.back(back);
        Ok(())
    })
}

/// y = Σ_t a⟨t⟩ x⟨t⟩ with a = softmax_t(context · u⟨t⟩), u⟨t⟩ = tanh(W x⟨t⟩ + b).
pub(super) fn attention(
    r: &mut Recorder<'_>,
    input: SlotId,
    [weight, bias, context_vector]: [ParamId; 3],
    out: SlotId,
) -> Result<()> {
    let (width, batch, all) = (r.width(input), r.batch(), r.signature.shape.rows());
    let size = r.net.program.parameters.range(bias).len();
    let [weight, bias, toward] = [weight, bias, context_vector].map(|id| r.at(id));
    let (values, gradient, lengths) = (&r.net.values, &r.shared.gradient, &r.shared.lengths);
    // Of the places of all segments.
    let [scores, shares] = ["scores", "shares"].map(|name| r.buffer(name, all));
    let (scores, shares) = (scores?, shares?);
    let toward_row = Matrix::new(values, toward, size);
    let mut units_of = Vec::new();
    r.each_segment(|r| {
        let (context, rows) = (r.context(), r.places(input));
        let [sums, units] =
            ["sums of attention", "units of attention"].map(|name| r.buffer(name, rows * size));
        let (sums, units, x) = (sums?, units?, r.slot(input));
        let (xs, w) = (Matrix::new(&x, 0, width), Matrix::new(values, weight, width));
        let (first, forward) = (r.first(), &mut r.forward);
        let (b, z, u) = (Some((values, bias)), Matrix::new(&sums, 0, size), Matrix::new(&units, 0, size));
        product(context, forward, [rows, size, width], xs, w.t(), b, z, false)?;
        let kernel = context.kernel("activate", &activate::forward(Activation::Tanh));
        forward.add(&kernel, &[&sums, &units], words![rows * size], over(rows * size));
        let scores = column(&scores, first);
        product(context, forward, [rows, 1, size], u, toward_row.t(), None, scores, false)?;
        units_of.push(units);
        Ok(())
    })?;
    let (context, steps) = (r.context(), r.signature.shape.steps);
    let of_rows = [batch.min(GRID), batch.div_ceil(GRID), 1];
    let kernel = context.kernel("shares of steps", SHARES);
    r.forward.add(&kernel, &[&scores, lengths, &shares], words![batch, steps], of_rows);
    let kernel = context.kernel("weighted steps", include_str!("wgsl/weighted_steps.wgsl"));
    let grid = [width.div_ceil(COLUMNS), batch.min(GRID), batch.div_ceil(GRID)];
    r.each_segment(|r| {
        let buffers = [&r.slot(input), lengths, &shares, &r.slot(out)];
        r.forward.add(&kernel, &buffers, words![batch, width, r.segment.first, r.steps()], grid);
        Ok(())
    })?;
    if !r.signature.learns {
        return Ok(());
    }

    // dx⟨t⟩ = a⟨t⟩ dy + Wᵀ du⟨t⟩, with ds⟨t⟩ = a⟨t⟩ (dy · x⟨t⟩ − Σ_t a⟨t⟩ dy · x⟨t⟩) the gradient of a score and
    // du⟨t⟩ = ds⟨t⟩ context ⊙ (1 − u⟨t⟩²); d context = Σ ds⟨t⟩ u⟨t⟩.
    let [d_shares, d_scores] = ["gradients of shares", "of scores"].map(|name| r.buffer(name, all));
    let (d_shares, d_scores) = (d_shares?, d_scores?);
    // What comes last on the way back is recorded first.
    r.each_segment(|r| {
        let (rows, first) = (r.places(input), r.first());
        let (units, x, dy, dx) = (&units_of[r.segment.number], r.slot(input), r.d_slot(out), r.d_slot(input));
        let (d_units, len, mut back) = (r.buffer("of units", rows * size)?, rows * size, Calls::default());
        let kernel = context.kernel("units backward", include_str!("wgsl/units_backward.wgsl"));
        let numbers = words![len, size, toward, first];
        back.add(&kernel, &[&d_scores, units, values, &d_units], numbers, over(len));
        let kernel = context.kernel("spread", include_str!("wgsl/spread.wgsl"));
        let numbers = words![rows * width, width, batch, first, r.adds_to(input)];
        back.add(&kernel, &[&shares, &dy, &dx], numbers, over(rows * width));
        let (xs, w) = (Matrix::new(&x, 0, width), Matrix::new(values, weight, width));
        let (dxs, dw) = (Matrix::new(&dx, 0, width), Matrix::new(gradient, weight, width));
        let (u, du) = (Matrix::new(units, 0, size), Matrix::new(&d_units, 0, size));
        product(context, &mut back, [rows, width, size], du, w, None, dxs, true)?;
        product(context, &mut back, [size, width, rows], du.t(), xs, None, dw, true)?;
        let (d_toward, across) = (Matrix::new(gradient, toward, size), column(&d_scores, first).t());
        product(context, &mut back, [1, size, rows], across, u, None, d_toward, true)?;
        sum_rows(context, &mut back, [rows, size], du, (gradient, bias))?;
        r.back(back);
        Ok(())
    })?;
    let mut back = Calls::default();
    let kernel = context.kernel("shares backward", SHARES_BACKWARD);
    back.add(&kernel, &[&shares, &d_shares, lengths, &d_scores], words![batch, steps], of_rows);
    r.back(back);
    let kernel = context.kernel("dots with rows", DOTS);
    r.each_segment(|r| {
        let (mut back, rows) = (Calls::default(), r.places(input));
        let of_places = [rows.min(GRID), rows.div_ceil(GRID), 1];
        let buffers = [&r.slot(input), &r.d_slot(out), &d_shares];
        back.add(&kernel, &buffers, words![rows, width, batch, r.first()], of_places);
        r.back(back);
        Ok(())
    })
}

/// One number of each place, from a segment's first on.
fn column(buffer: &wgpu::Buffer, first: usize) -> Matrix<'_> {
    Matrix::new(buffer, first, 1)
}

const SHARES: &str = concat!(include_str!("wgsl/fold.wgsl"), include_str!("wgsl/shares.wgsl"));
const SHARES_BACKWARD: &str =
    concat!(include_str!("wgsl/fold.wgsl"), include_str!("wgsl/shares_backward.wgsl"));
const DOTS: &str = concat!(include_str!("wgsl/fold.wgsl"), include_str!("wgsl/dots.wgsl"));
