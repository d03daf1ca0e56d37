//! A step as several calls, where more comes between its product and its end than one kernel can see of a row:
//! a projection, layer normalisation, a look at a memory before it. Each call does both directions of a layer.
//!
//! Everything that feeds a slot is added to `z` by the product or the normalisation that makes it; the cell's
//! equations read and write `z` alone ([`parts`]).

mod equations;
mod parts;
mod products;

use super::layer::Layer;
use super::look::Look;
use super::norm::Normed;
use super::texts::Text;
use super::weights::at;
use crate::backend::gpu::calls::{Calls, words};
use crate::backend::gpu::copies::fill;
use crate::backend::gpu::kernel::{Kernel, over};
use crate::backend::gpu::product::Matrix;
use crate::backend::gpu::recording::Recorder;
use crate::cells::Operand;
use crate::error::Result;
use crate::params::ParamId;
use crate::program::{Recurrence, ScanWeights};
use equations::Part;
use std::sync::Arc;

/// What a layer of composed steps has beside its tape.
pub(super) struct Composed {
    /// Of one direction, then of the other: h (B, H) as the cell made it, of all steps where its projection
    /// learns.
    emitted: wgpu::Buffer,
    d_emitted: wgpu::Buffer,
    /// W_hr h (B, P), and its gradient (T, B, P).
    projected: wgpu::Buffer,
    d_projected: wgpu::Buffer,
    /// Gradients of h̃ (B, P) and of r ⊙ h̃ (B, H).
    d_seen: wgpu::Buffer,
    d_reset: wgpu::Buffer,
    /// W_ih x, W_hh h̃ and c, normalised.
    pub of_input: Option<Normed>,
    pub of_product: Option<Normed>,
    of_memory: Option<Normed>,
    /// The memory normalised, scaled and shifted (T, B, H), and its gradient.
    normed_c: wgpu::Buffer,
    d_normed_c: wgpu::Buffer,
    /// Of the steps' products.
    scratch: wgpu::Buffer,
}

/// A kernel with its buffers, on `columns` numbers of each row.
struct Ready<'a> {
    kernel: Arc<Kernel>,
    buffers: Vec<&'a wgpu::Buffer>,
    columns: usize,
}

impl Layer<'_> {
    /// A matrix of all steps, at one of them.
    pub fn at<'b>(&self, all: Matrix<'b>, t: usize) -> Matrix<'b> {
        Matrix { at: all.at + t * self.batch * all.rows, ..all }
    }
}

impl Composed {
    pub fn new(r: &Recorder<'_>, layer: &Layer<'_>) -> Result<Self> {
        let (scan, layout, learns) = (layer.scans[0], &layer.layout, r.signature.learns);
        let (batch, rows, h, width) = (layer.batch, layer.rows, scan.hidden, scan.width);
        let all = layer.scans.len();
        let buffer =
            |name: &str, wanted: bool, len: usize| r.buffer(name, if wanted { all * len } else { 0 });
        let (norm, projects) = (scan.weights.norm, scan.weights.hr.is_some());
        let memory = norm.and_then(|norm| norm.memory);
        let (fed, groups) = (layout.gates * h, layout.norms.len());
        let weights = |of: fn(&ScanWeights) -> [Option<ParamId>; 2]| {
            layer.all(|direction| of(&layer.scans[direction].weights))
        };
        let of_input = weights(|w| [w.norm.map(|norm| norm.gain_ih), w.bias_ih]);
        let of_product = weights(|w| [w.norm.map(|norm| norm.gain_hh), w.bias_hh]);
        let of_memory = weights(|w| {
            let memory = w.norm.and_then(|norm| norm.memory);
            [memory.map(|[gain, _]| gain), memory.map(|[_, bias]| bias)]
        });
        let emitted_rows = if layer.features.keeps_emitted { rows } else { batch };
        Ok(Self {
            emitted: buffer("emitted", true, emitted_rows * h)?,
            d_emitted: buffer("gradient of what is emitted", learns, batch * h)?,
            projected: buffer("projected", projects, batch * width)?,
            d_projected: buffer("gradient of what is projected", projects && learns, rows * width)?,
            d_seen: buffer("gradient of masked hidden states", learns, batch * width)?,
            d_reset: buffer("gradient of reset hidden states", learns && layout.resets(), batch * h)?,
            of_input: Normed::new(r, "inputs", [fed, groups], &of_input, true)?,
            of_product: Normed::new(r, "products", [fed, groups], &of_product, true)?,
            of_memory: Normed::new(r, "memories", [h, 1], &of_memory, false)?,
            normed_c: buffer("shifted memories", memory.is_some(), rows * h)?,
            d_normed_c: buffer("gradient of shifted memories", memory.is_some() && learns, rows * h)?,
            scratch: buffer("parts of products", true, products::scratch(layer))?,
        })
    }

    fn ready<'b>(
        &'b self,
        r: &'b Recorder<'_>,
        layer: &'b Layer<'_>,
        part: Part,
        text: Text,
        slots: &'b [wgpu::Buffer],
    ) -> Ready<'b> {
        let named = |name: &&str| match *name {
            "emitted" => &self.emitted,
            "d_emitted" => &self.d_emitted,
            "projected" => &self.projected,
            "d_projected" => &self.d_projected,
            "d_seen" => &self.d_seen,
            "d_reset" => &self.d_reset,
            "n_c" => self.of_memory.as_ref().map_or(&slots[0], |normed| &normed.n),
            "d_made" => self.of_memory.as_ref().map_or(&slots[0], |normed| &normed.d),
            "normed_c" => &self.normed_c,
            "d_normed_c" => &self.d_normed_c,
            name => layer.named(r, name, slots),
        };
        let buffers = text.buffers.iter().map(named).collect();
        let scan = layer.scans[0];
        let columns = if part == Part::End { scan.width } else { scan.hidden };
        Ready { kernel: r.context().kernel("part of a step", &text.body), buffers, columns }
    }

    fn run(&self, r: &Recorder<'_>, layer: &Layer<'_>, calls: &mut Calls, ready: &Ready<'_>, t: usize) {
        let Recurrence { hidden, width, .. } = *layer.scans[0];
        let (batch, steps) = (layer.batch, layer.steps);
        let (columns, last) = (ready.columns, t + 1 == steps);
        let mut numbers = words![t, steps, batch, hidden, width, columns, layer.site_step(), last].to_vec();
        let state = |part| layer.each(|scan| layer.state(r, part, scan) as u32);
        numbers.extend([layer.each(|scan| at(r, scan.weights.ch)), state(0), state(1)].concat());
        numbers.extend(layer.draws());
        numbers.push(layer.first as u32);
        let [x, y, _] = over(batch * columns);
        calls.add(&ready.kernel, &ready.buffers, &numbers, [x, y, layer.scans.len()]);
    }

    /// The memory normalised, scaled and shifted, or its gradient, of a direction.
    fn shifted<'b>(&self, layer: &Layer<'_>, all: &'b wgpu::Buffer, direction: usize) -> Matrix<'b> {
        let h = layer.scans[0].hidden;
        Matrix::new(all, direction * layer.rows * h, h)
    }

    /// The parts of the cell's step between its products and its end.
    fn cell(&self) -> &'static [Part] {
        if self.of_memory.is_some() { &[Part::Memory, Part::Emit] } else { &[Part::Step] }
    }

    pub fn forward(&self, r: &mut Recorder<'_>, layer: &Layer<'_>, look: Option<&Look<'_>>) {
        self.input(r, layer);
        let (out, mut calls) = (layer.all(|direction| r.slot(layer.scans[direction].out)), Calls::default());
        let ready =
            |part| self.ready(r, layer, part, parts::forward(layer.scans[0], layer.features, part), &out);
        let (reset, end) = (layer.layout.resets().then(|| ready(Part::Reset)), ready(Part::End));
        let cell: Vec<_> = self.cell().iter().map(|&part| ready(part)).collect();
        for t in 0..layer.steps {
            if let Some(look) = look {
                look.forward(r, &mut calls, layer.at(layer.hidden(), t), t * layer.batch, layer.batch);
                look.seen(r, layer, &mut calls, t);
            }
            for product in layer.layout.products {
                if let Some(reset) = reset.as_ref().filter(|_| product.operand == Operand::ResetH) {
                    self.run(r, layer, &mut calls, reset, t);
                }
                self.product(r, layer, &mut calls, product, t);
            }
            for (i, part) in cell.iter().enumerate() {
                self.run(r, layer, &mut calls, part, t);
                if let Some(normed) = self.of_memory.as_ref().filter(|_| i == 0) {
                    let to =
                        layer.all(|direction| layer.at(self.shifted(layer, &self.normed_c, direction), t));
                    normed.forward(r, &mut calls, layer.memory_group(t), &to, false);
                }
            }
            self.project(r, layer, &mut calls, t);
            self.run(r, layer, &mut calls, &end, t);
        }
        r.forward.append(calls);
    }

    /// As [`Layer::backward`].
    pub fn backward(
        &self,
        r: &Recorder<'_>,
        layer: &Layer<'_>,
        look: Option<&Look<'_>>,
        back: &mut Calls,
    ) -> Result<()> {
        let scan = layer.scans[0];
        let (batch, h, width) = (layer.batch, scan.hidden, scan.width);
        let dy = layer.all(|direction| r.d_slot(layer.scans[direction].out));
        let ready = |part| self.ready(r, layer, part, parts::backward(scan, layer.features, part), &dy);
        let (reset, end) = (layer.layout.resets().then(|| ready(Part::Reset)), ready(Part::End));
        let cell: Vec<_> = self.cell().iter().rev().map(|&part| ready(part)).collect();
        if !layer.layout.peepholes.is_empty() {
            let len = layer.scans.len() * layer.layout.peepholes.len() * batch * h;
            fill(r.context(), back, &layer.tape.d_peephole, 0, len);
        }
        for t in (0..layer.steps).rev() {
            self.run(r, layer, back, &end, t);
            self.project_backward(r, layer, back, t);
            for (i, part) in cell.iter().enumerate() {
                self.run(r, layer, back, part, t);
                if let Some(normed) = self.of_memory.as_ref().filter(|_| i == 0) {
                    let d = |direction| layer.at(self.shifted(layer, &self.d_normed_c, direction), t);
                    let dx = layer.all(|direction| Matrix::new(&normed.d, direction * batch * h, h));
                    normed.backward(r, back, layer.memory_group(t), &layer.all(d), &dx);
                }
            }
            for product in layer.layout.products.iter().rev() {
                self.product_backward(r, layer, back, product, t);
                if let Some(reset) = reset.as_ref().filter(|_| product.operand == Operand::ResetH) {
                    self.run(r, layer, back, reset, t);
                }
            }
            if layer.features.masks_state {
                let kernel = r.context().kernel("mask rows", include_str!("../../wgsl/mask_rows.wgsl"));
                let [.., site, limit, scale] = layer.draws();
                for (direction, scan) in layer.scans.iter().enumerate() {
                    let (from, to) = (direction * batch * width, layer.state(r, 0, scan));
                    let site = site + direction as u32 * layer.site_step();
                    let numbers = words![batch, width, from, to, site, limit, scale, true];
                    back.add(&kernel, &[&self.d_seen, &r.shared.d_state], numbers, over(batch * width));
                }
            }
            if let Some(look) = look {
                look.seen_backward(r, layer, back, t);
                let d_h = Matrix::new(&r.shared.d_state, layer.state(r, 0, scan), width);
                look.backward(r, back, [layer.at(layer.hidden(), t), d_h], t * batch, batch);
            }
        }
        self.input_backward(r, layer, back);
        (0..layer.scans.len()).try_for_each(|direction| self.weights_backward(r, layer, back, direction))
    }
}
