//! One recurrent layer in one direction: the input's product of all steps at once, a call or two a step, and
//! on the way back the same from the end, then the gradients of the weights over all steps.

mod texts;
mod weights;

use super::calls::{Calls, words};
use super::kernel::{Kernel, over};
use super::product::{Matrix, product};
use super::recording::{Recorder, copy};
use crate::cells::{Layout, Operand, Seen};
use crate::error::{Error, Result};
use crate::program::{Program, Recurrence};
use crate::rng::Kind;
use std::sync::Arc;
use texts::{Features, Half, ROWS, Text, UNITS};
use weights::Weights;

/// Refuses what this device has no kernels for.
pub(super) fn check(_program: &Program, scan: &Recurrence) -> Result<()> {
    let refuse = |what: &str| {
        Err(Error::Unsupported(format!("{what} of a recurrent layer on device=\"gpu\"; use device=\"cpu\"")))
    };
    if scan.attention.is_some() {
        return refuse("attention");
    }
    if scan.weights.norm.is_some() {
        return refuse("layer normalisation");
    }
    if scan.weights.hr.is_some() {
        return refuse("a projection");
    }
    Ok(())
}

/// The buffers of a layer. Those that it does not need are of a few numbers.
struct Tape {
    /// Slots of every step (T, B, S · H): pre-activations, then activations, then their gradients.
    z: wgpu::Buffer,
    /// h (T + 1, B, H) and c (T + 1, B, H): the state before each step, and at the end.
    h: wgpu::Buffer,
    c: wgpu::Buffer,
    /// h as the products see it, under its mask (T, B, H).
    seen: wgpu::Buffer,
    /// r ⊙ h (T, B, H).
    reset: wgpu::Buffer,
    /// c as the cell made it (T, B, H), where zoneout makes the state another.
    made: wgpu::Buffer,
    /// Row by row, the gradients of peepholes (K, B, H).
    d_peephole: wgpu::Buffer,
}

/// A layer in a recording.
struct Layer<'a> {
    scan: &'a Recurrence,
    layout: Layout,
    features: Features,
    tape: Tape,
    weights: Weights,
    /// Where its h and its c lie in the state.
    state: [usize; 2],
}

impl<'a> Layer<'a> {
    fn new(r: &Recorder<'_>, scan: &'a Recurrence) -> Result<Self> {
        let (layout, memory, noise) = (scan.cell.layout(), scan.cell.has_memory(), scan.noise);
        let learns = r.signature.learns;
        let sees_made = layout.peepholes.iter().any(|sight| sight.seen == Seen::After);
        let features = Features {
            bias: scan.weights.bias_hh.is_some(),
            masks_state: learns && noise.recurrent > 0.0,
            masks_candidate: learns && noise.candidate > 0.0,
            zoneout: noise.zoneout.map(|p| p > 0.0),
            draws: learns,
            keeps_memory: learns && sees_made && noise.zoneout[1] > 0.0,
        };
        let (rows, batch, h) = (r.signature.shape.rows(), r.batch(), scan.hidden);
        let buffer = |name: &str, wanted: bool, len: usize| r.buffer(name, if wanted { len } else { 0 });
        let tape = Tape {
            z: buffer("slots of a layer", true, rows * layout.slots * h)?,
            h: buffer("hidden states", true, (rows + batch) * scan.width)?,
            c: buffer("memories", memory, (rows + batch) * h)?,
            seen: buffer("masked hidden states", features.masks_state, rows * scan.width)?,
            reset: buffer("reset hidden states", layout.resets(), rows * h)?,
            made: buffer("memories as made", features.keeps_memory, rows * h)?,
            d_peephole: buffer("gradients of peepholes", learns, layout.peepholes.len() * batch * h)?,
        };
        let weights = Weights::new(r, scan)?;
        let state = [0, 1].map(|part| r.net.program.state_offset(part, scan.layer, batch));
        Ok(Self { scan, layout, features, tape, weights, state })
    }

    /// The kernel of a text and its buffers.
    fn kernel<'b>(
        &'b self,
        r: &'b Recorder<'_>,
        name: &str,
        text: Text,
        out: &'b wgpu::Buffer,
    ) -> (Arc<Kernel>, Vec<&'b wgpu::Buffer>) {
        let Tape { z, h, c, seen, reset, made, d_peephole } = &self.tape;
        let named = |name: &&str| match *name {
            "values" => &r.net.values,
            "lengths" => &r.shared.lengths,
            "z" => z,
            "h" => h,
            "c" => c,
            "seen" => seen,
            "reset" => reset,
            "made" => made,
            "d_peephole" => d_peephole,
            "d_state" => &r.shared.d_state,
            "hh_t" => &self.weights.hh_t,
            "ch_t" => &self.weights.ch_t,
            "hh" => self.weights.hh(r),
            "ch" => &r.net.values,
            // The slot that the layer writes, or its gradient.
            _ => out,
        };
        let buffers = text.buffers.iter().map(named).collect();
        (r.context().kernel(name, &text.body), buffers)
    }

    fn grid(&self, r: &Recorder<'_>) -> [usize; 3] {
        [self.scan.hidden.div_ceil(UNITS), r.batch().div_ceil(ROWS), 1]
    }

    /// The numbers of the draws, as both kernels have them.
    fn draws(&self) -> [u32; 12] {
        let noise = self.scan.noise;
        let site = |kind: Kind| (kind as u32) << 24 | self.scan.layer as u32;
        let limit = |p: f64| ((1.0 - p) * f64::from(1 << 24)).ceil() as u32;
        let scale = |p: f64| 1.0 / (1.0 - p);
        let [zone_h, zone_c] = noise.zoneout;
        *words![
            site(Kind::CandidateDropout),
            limit(noise.candidate),
            scale(noise.candidate),
            site(Kind::ZoneoutHidden),
            limit(zone_h),
            1.0 - zone_h,
            site(Kind::ZoneoutCell),
            limit(zone_c),
            1.0 - zone_c,
            site(Kind::RecurrentDropout),
            limit(noise.recurrent),
            scale(noise.recurrent),
        ]
    }

    /// The place of a parameter; NONE for one that the layer lacks.
    fn at(r: &Recorder<'_>, id: Option<crate::params::ParamId>) -> u32 {
        id.map_or(u32::MAX, |id| r.at(id) as u32)
    }
}

pub(super) fn record(r: &mut Recorder<'_>, scan: &Recurrence) -> Result<()> {
    let layer = Layer::new(r, scan)?;
    layer.weights.forward(r, scan);
    layer.input(r)?;
    layer.start(r);
    layer.forward(r);
    layer.end(r);
    let mut back = Calls::default();
    if r.signature.learns {
        layer.backward(r, &mut back);
        layer.input_backward(r, &mut back)?;
        layer.weights.backward(r, &layer, &mut back)?;
    }
    r.back(back);
    Ok(())
}

impl Layer<'_> {
    fn rows(&self, r: &Recorder<'_>) -> usize {
        r.signature.shape.rows()
    }

    /// Numbers of a step's row in `z`, and those of them that the input feeds.
    fn widths(&self) -> [usize; 2] {
        [self.layout.slots * self.scan.hidden, self.layout.gates * self.scan.hidden]
    }

    /// z = W_ih x + b_ih of all steps; a token is a one-hot x.
    fn input(&self, r: &mut Recorder<'_>) -> Result<()> {
        let (context, rows, [width, fed]) = (r.context(), self.rows(r), self.widths());
        let (input, inputs) = (self.scan.input, r.width(self.scan.input));
        let (values, at) = (&r.net.values, r.at(self.scan.weights.ih));
        let bias = self.scan.weights.bias_ih.map(|id| (values, r.at(id)));
        let z = Matrix::new(&self.tape.z, 0, width);
        let w = Matrix::new(values, at, inputs).t();
        if r.has_tokens(input) {
            let tokens = r.tokens(input)?;
            tokens.gather(context, &mut r.forward, fed, w, bias, z, false, 0.0);
            return Ok(());
        }
        let x = r.slot(input);
        product(context, &mut r.forward, [rows, fed, inputs], Matrix::new(&x, 0, inputs), w, bias, z, false)
    }

    /// dW_ih = dzᵀ x, dx = dz W_ih, db_ih = Σ dz.
    fn input_backward(&self, r: &mut Recorder<'_>, back: &mut Calls) -> Result<()> {
        let (context, rows, [width, fed]) = (r.context(), self.rows(r), self.widths());
        let (input, inputs) = (self.scan.input, r.width(self.scan.input));
        let at = r.at(self.scan.weights.ih);
        let (w, dw) = (Matrix::new(&r.net.values, at, inputs), Matrix::new(&r.shared.gradient, at, inputs));
        let dz = Matrix::new(&self.tape.z, 0, width);
        if r.has_tokens(input) {
            r.tokens(input)?.scatter(context, back, fed, dz, dw.t(), 0.0)?;
        } else {
            let (x, dx) = (r.slot(input), r.d_slot(input));
            let (x, dx) = (Matrix::new(&x, 0, inputs), Matrix::new(&dx, 0, inputs));
            product(context, back, [fed, inputs, rows], dz.t(), x, None, dw, true)?;
            product(context, back, [rows, inputs, fed], dz, w, None, dx, r.adds_to(input))?;
        }
        if let Some(id) = self.scan.weights.bias_ih {
            super::product::sum_rows(context, back, [rows, fed], dz, (&r.shared.gradient, r.at(id)))?;
        }
        Ok(())
    }

    /// The state at the start, and how the products see it.
    fn start(&self, r: &mut Recorder<'_>) {
        let (context, batch) = (r.context(), r.batch());
        let Recurrence { width, hidden, .. } = *self.scan;
        let state = &r.shared.state;
        copy(context, &mut r.forward, [state, &self.tape.h], [self.state[0], 0], batch * width);
        if self.scan.cell.has_memory() {
            copy(context, &mut r.forward, [state, &self.tape.c], [self.state[1], 0], batch * hidden);
        }
        if self.features.masks_state && r.steps() > 0 {
            let kernel = context.kernel("mask rows", include_str!("../wgsl/mask_rows.wgsl"));
            let draws = self.draws();
            let numbers = words![batch, width, 0u32, 0u32, draws[9], draws[10], draws[11], false];
            let buffers = [&self.tape.h, &self.tape.seen];
            r.forward.add(&kernel, &buffers, numbers, over(batch * width));
        }
    }

    fn forward(&self, r: &mut Recorder<'_>) {
        let halves: &[Half] =
            if self.layout.resets() { &[Half::First, Half::Second] } else { &[Half::Whole] };
        let out = r.slot(self.scan.out);
        let mut calls = Calls::default();
        let kernels: Vec<_> = halves
            .iter()
            .map(|&half| self.kernel(r, "step", texts::forward(self.scan, self.features, half), &out))
            .collect();
        let bias = Self::at(r, self.scan.weights.bias_hh);
        let peephole = Self::at(r, self.scan.weights.ch);
        for t in 0..r.steps() {
            let mut numbers =
                words![t, r.batch(), self.scan.hidden, self.scan.width, bias, peephole].to_vec();
            numbers.extend(self.draws());
            numbers.push((t + 1 == r.steps()).into());
            for (kernel, buffers) in &kernels {
                calls.add(kernel, buffers, &numbers, self.grid(r));
            }
        }
        drop(kernels);
        r.forward.append(calls);
    }

    /// The state after the last step.
    fn end(&self, r: &mut Recorder<'_>) {
        let (context, batch, steps) = (r.context(), r.batch(), r.steps());
        let Recurrence { width, hidden, .. } = *self.scan;
        let state = &r.shared.state;
        let last = steps * batch;
        copy(context, &mut r.forward, [&self.tape.h, state], [last * width, self.state[0]], batch * width);
        if self.scan.cell.has_memory() {
            copy(
                context,
                &mut r.forward,
                [&self.tape.c, state],
                [last * hidden, self.state[1]],
                batch * hidden,
            );
        }
    }

    /// Turns `z` into the gradients of pre-activations, and `d_state` into that of the state at the start.
    fn backward(&self, r: &Recorder<'_>, back: &mut Calls) {
        let halves: &[Half] =
            if self.layout.resets() { &[Half::First, Half::Second] } else { &[Half::Whole] };
        let dy = r.d_slot(self.scan.out);
        let kernels: Vec<_> = halves
            .iter()
            .map(|&half| {
                self.kernel(r, "step backward", texts::backward(self.scan, self.features, half), &dy)
            })
            .collect();
        let numbers = |t: u32, next: u32| {
            let mut numbers = words![
                t,
                next,
                r.batch(),
                self.scan.hidden,
                self.scan.width,
                self.weights.hh_at(r, self.scan),
                Self::at(r, self.scan.weights.ch),
                Self::at(r, self.scan.weights.ch),
                self.state[0],
                self.state[1],
            ]
            .to_vec();
            numbers.extend(self.draws());
            numbers
        };
        if !self.layout.peepholes.is_empty() {
            let len = self.layout.peepholes.len() * r.batch() * self.scan.hidden;
            super::recording::fill(r.context(), back, &self.tape.d_peephole, 0, len);
        }
        let steps = r.steps() as u32;
        for t in (0..steps).rev() {
            let next = if t + 1 == steps { u32::MAX } else { t + 1 };
            for (kernel, buffers) in &kernels {
                back.add(kernel, buffers, &numbers(t, next), self.grid(r));
            }
        }
        if steps > 0 {
            let (kernel, buffers) = &kernels[0];
            back.add(kernel, buffers, &numbers(u32::MAX, 0), self.grid(r));
        }
    }

    /// What a recurrent product multiplied, of all steps.
    fn operand(&self, operand: Operand) -> Matrix<'_> {
        let Recurrence { width, hidden, .. } = *self.scan;
        match operand {
            Operand::H if self.features.masks_state => Matrix::new(&self.tape.seen, 0, width),
            Operand::H => Matrix::new(&self.tape.h, 0, width),
            Operand::ResetH => Matrix::new(&self.tape.reset, 0, hidden),
            Operand::C => Matrix::new(&self.tape.c, 0, hidden),
        }
    }
}
