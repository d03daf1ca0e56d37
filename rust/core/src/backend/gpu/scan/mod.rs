//! One recurrent layer, in one direction or in both: the input's product of all steps at once, a call or two a
//! step, and on the way back the same from the end, then the gradients of the weights over all steps.
//!
//! The two directions of a bidirectional layer share each call: they have one half each of every buffer.

mod composed;
mod gradients;
mod layer;
mod look;
mod norm;
mod step;
mod sums;
mod team;
mod texts;
mod weights;

use super::calls::{Calls, words};
use super::copies::{copy, fill};
use super::kernel::over;
use super::product::{Matrix, product, sum_rows};
use super::recording::Recorder;
use crate::error::Result;
use crate::params::ParamId;
use crate::program::{Program, Recurrence, When};
use composed::Composed;
use gradients::weights_backward;
use layer::Layer;
use look::{Keys, Look};
use norm::Normed;
use team::Team;
use texts::Half;
use weights::{Weights, at};

/// Whether a step is several calls: see [`composed`].
fn is_composed(scan: &Recurrence) -> bool {
    let looks = scan.attention.is_some_and(|attention| attention.when == When::Before);
    scan.weights.hr.is_some() || scan.weights.norm.is_some() || looks
}

/// Whether two layers are the directions of one: of one form, so that a call can do a step of each.
pub(super) fn are_one(program: &Program, a: &Recurrence, b: &Recurrence) -> bool {
    let form = |scan: &Recurrence| {
        let weights = &scan.weights;
        let given = [weights.bias_ih, weights.bias_hh, weights.ch].map(|id: Option<ParamId>| id.is_some());
        let more = (weights.hr.is_some(), weights.norm.map(|norm| norm.memory.is_some()));
        (scan.cell, scan.hidden, scan.width, scan.noise, given, more, program.slots[scan.input].width())
    };
    let alone = |scan: &Recurrence| scan.attention.is_some();
    !alone(a) && !alone(b) && form(a) == form(b)
}

pub(super) fn record(r: &mut Recorder<'_>, scans: &[&Recurrence]) -> Result<()> {
    let (weights, keys) = (Weights::new(r, scans)?, Keys::new(r, scans[0])?);
    weights.forward(r, scans);
    // What comes last on the way back is recorded first.
    if let Some(keys) = &keys {
        keys.forward(r)?;
        keys.backward(r)?;
    }
    r.each_segment(|r| segment(r, scans, &weights, keys.as_ref()))?;
    if let Some(keys) = &keys {
        keys.start_backward(r);
    }
    Ok(())
}

/// The steps of a segment: a run from the state that is there to the one that is left, and as much of the
/// gradients.
fn segment(
    r: &mut Recorder<'_>,
    scans: &[&Recurrence],
    weights: &Weights,
    keys: Option<&Keys>,
) -> Result<()> {
    let layer = Layer::new(r, scans, weights)?;
    let composed = is_composed(scans[0]).then(|| Composed::new(r, &layer)).transpose()?;
    let composed = composed.as_ref();
    let normed = composed.and_then(|composed| composed.of_input.as_ref());
    for (direction, scan) in scans.iter().enumerate() {
        layer.input(r, normed, direction, scan)?;
        layer.start(r, direction, scan);
    }
    let look = keys.map(|keys| Look::new(r, &layer, keys)).transpose()?;
    let [before, after] = [true, false].map(|before| look.as_ref().filter(|look| look.is_before() == before));
    match composed {
        Some(composed) => composed.forward(r, &layer, before),
        None => layer.forward(r),
    }
    // What looks after all steps have as h, and the gradient of that.
    let [out, d_out] = [r.slot(scans[0].out), r.d_slot(scans[0].out)];
    let [h, d_h] = [&out, &d_out].map(|slot| Matrix::new(slot, 0, scans[0].width));
    if let Some(look) = after {
        let mut calls = Calls::default();
        look.forward(r, &mut calls, h, 0, layer.rows);
        r.forward.append(calls);
    }
    scans.iter().enumerate().for_each(|(direction, scan)| layer.end(r, direction, scan));
    let mut back = Calls::default();
    if r.signature.learns {
        if let Some(look) = after {
            look.backward(r, &mut back, [h, d_h], 0, layer.rows);
            look.weights_backward(r, &layer, &mut back, h)?;
        }
        match composed {
            Some(composed) => composed.backward(r, &layer, before, &mut back)?,
            None => layer.backward(r, &mut back),
        }
        if let Some(look) = before {
            look.weights_backward(r, &layer, &mut back, layer.hidden())?;
        }
        for (direction, scan) in scans.iter().enumerate() {
            layer.input_backward(r, normed, &mut back, direction, scan)?;
            weights_backward(r, &layer, composed, &mut back, direction)?;
        }
    }
    r.back(back);
    Ok(())
}

impl Layer<'_> {
    /// z = W_ih x + b_ih of all steps; a token is a one-hot x. Where W_ih x is to be normalised it goes there,
    /// without the bias.
    fn input(
        &self,
        r: &mut Recorder<'_>,
        normed: Option<&Normed>,
        direction: usize,
        scan: &Recurrence,
    ) -> Result<()> {
        let (context, values, [_, fed]) = (r.context(), &r.net.values, self.widths());
        let inputs = r.width(scan.input);
        let z = normed.map_or(self.z(direction, 0), |normed| normed.n(direction, 0));
        let w = Matrix::new(values, r.at(scan.weights.ih), inputs).t();
        let bias = scan.weights.bias_ih.filter(|_| normed.is_none()).map(|id| (values, r.at(id)));
        if r.has_tokens(scan.input) {
            r.tokens(scan.input)?.gather(context, &mut r.forward, fed, w, bias, z, false, 0.0);
            return Ok(());
        }
        let x = r.slot(scan.input);
        let x = Matrix::new(&x, 0, inputs);
        product(context, &mut r.forward, [self.rows, fed, inputs], x, w, bias, z, false)
    }

    /// dW_ih = dzᵀ x, dx = dz W_ih, db_ih = Σ dz.
    fn input_backward(
        &self,
        r: &Recorder<'_>,
        normed: Option<&Normed>,
        back: &mut Calls,
        direction: usize,
        scan: &Recurrence,
    ) -> Result<()> {
        let (context, rows, [_, fed]) = (r.context(), self.rows, self.widths());
        let (inputs, at) = (r.width(scan.input), r.at(scan.weights.ih));
        let (w, dw) = (Matrix::new(&r.net.values, at, inputs), Matrix::new(&r.shared.gradient, at, inputs));
        let dz = self.z(direction, 0);
        if let Some(id) = scan.weights.bias_ih {
            sum_rows(context, back, [rows, fed], dz, (&r.shared.gradient, r.at(id)))?;
        }
        let dz = normed.map_or(dz, |normed| normed.d(direction, 0));
        if r.has_tokens(scan.input) {
            r.tokens(scan.input)?.scatter(context, back, fed, dz, dw.t(), 0.0)?;
        } else {
            let (x, dx) = (r.slot(scan.input), r.d_slot(scan.input));
            let (x, dx) = (Matrix::new(&x, 0, inputs), Matrix::new(&dx, 0, inputs));
            product(context, back, [fed, inputs, rows], dz.t(), x, None, dw, true)?;
            product(context, back, [rows, inputs, fed], dz, w, None, dx, r.adds_to(scan.input))?;
        }
        Ok(())
    }

    /// The state at the start, and how the products see it.
    fn start(&self, r: &mut Recorder<'_>, direction: usize, scan: &Recurrence) {
        let (context, batch) = (r.context(), self.batch);
        let Recurrence { width, hidden, cell, .. } = *scan;
        let state = &r.shared.state;
        let to = direction * (self.rows + batch);
        let h_at = [self.state(r, 0, scan), to * width];
        copy(context, &mut r.forward, [state, &self.tape.h], h_at, batch * width);
        if cell.has_memory() {
            let c_at = [self.state(r, 1, scan), to * hidden];
            copy(context, &mut r.forward, [state, &self.tape.c], c_at, batch * hidden);
        }
        if self.features.masks_state && self.steps > 0 {
            let kernel = context.kernel("mask rows", include_str!("../wgsl/mask_rows.wgsl"));
            let [.., site, limit, scale] = self.draws();
            let site = site + direction as u32 * self.site_step();
            let seen_at = direction * self.rows * width;
            let numbers = words![batch, width, to * width, seen_at, site, limit, scale, false];
            r.forward.add(&kernel, &[&self.tape.h, &self.tape.seen], numbers, over(batch * width));
        }
    }

    fn forward(&self, r: &mut Recorder<'_>) {
        let Recurrence { hidden, width, .. } = *self.scans[0];
        let out: Vec<_> = self.scans.iter().map(|scan| r.slot(scan.out)).collect();
        let kernel =
            |&half: &Half| self.kernel(r, "step", step::forward(self.scans[0], self.features, half), &out);
        let kernels: Vec<_> = self.halves().iter().map(kernel).collect();
        let bias = self.each(|scan| at(r, scan.weights.bias_hh));
        let peephole = self.each(|scan| at(r, scan.weights.ch));
        let mut calls = Calls::default();
        let most = Team::of(self.scans[0]).steps(self.scans[0]);
        for t in (0..self.steps).step_by(most) {
            let count = most.min(self.steps - t);
            let mut numbers =
                words![t, count, self.steps, self.batch, hidden, width, self.site_step(), self.first]
                    .to_vec();
            numbers.extend([bias, peephole].concat());
            numbers.extend(self.draws());
            for (kernel, buffers) in &kernels {
                calls.add(kernel, buffers, &numbers, self.grid());
            }
        }
        drop(kernels);
        r.forward.append(calls);
    }

    /// The state after the last step.
    fn end(&self, r: &mut Recorder<'_>, direction: usize, scan: &Recurrence) {
        let (context, batch) = (r.context(), self.batch);
        let Recurrence { width, hidden, cell, .. } = *scan;
        let state = &r.shared.state;
        let last = direction * (self.rows + batch) + self.rows;
        let h_at = [last * width, self.state(r, 0, scan)];
        copy(context, &mut r.forward, [&self.tape.h, state], h_at, batch * width);
        if cell.has_memory() {
            let c_at = [last * hidden, self.state(r, 1, scan)];
            copy(context, &mut r.forward, [&self.tape.c, state], c_at, batch * hidden);
        }
    }

    /// Turns `z` into the gradients of pre-activations, and `d_state` into that of the state at the start.
    fn backward(&self, r: &Recorder<'_>, back: &mut Calls) {
        let Recurrence { hidden, width, .. } = *self.scans[0];
        let dy: Vec<_> = self.scans.iter().map(|scan| r.d_slot(scan.out)).collect();
        let kernel = |&half: &Half| {
            self.kernel(r, "step backward", step::backward(self.scans[0], self.features, half), &dy)
        };
        let kernels: Vec<_> = self.halves().iter().map(kernel).collect();
        let peephole = self.each(|scan| at(r, scan.weights.ch));
        let state = [0, 1].map(|part| self.each(|scan| self.state(r, part, scan) as u32));
        let offsets = [self.weights.hh_at(r, self.scans), peephole, peephole, state[0], state[1]].concat();
        let numbers = |t: u32, next: u32, count: usize| {
            let mut numbers =
                words![t, next, count, self.steps, self.batch, hidden, width, self.site_step()].to_vec();
            numbers.extend(&offsets);
            numbers.extend(self.draws());
            numbers.push(self.first as u32);
            numbers
        };
        if !self.layout.peepholes.is_empty() {
            let len = self.scans.len() * self.layout.peepholes.len() * self.batch * hidden;
            fill(r.context(), back, &self.tape.d_peephole, 0, len);
        }
        let most = Team::of(self.scans[0]).steps(self.scans[0]);
        for behind in (1..=self.steps).rev().step_by(most) {
            let (t, count) = (behind as u32 - 1, most.min(behind));
            let next = if behind == self.steps { u32::MAX } else { behind as u32 };
            for (kernel, buffers) in &kernels {
                back.add(kernel, buffers, &numbers(t, next, count), self.grid());
            }
        }
        if self.steps > 0 {
            let (kernel, buffers) = &kernels[0];
            back.add(kernel, buffers, &numbers(u32::MAX, 0, 1), self.grid());
        }
    }
}
