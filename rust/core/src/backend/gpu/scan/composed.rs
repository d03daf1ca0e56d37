//! A step as several calls, where more comes between its product and its end than one kernel can see of a row:
//! a projection, layer normalisation, a look at a memory before it.
//!
//! Everything that feeds a slot is added to `z` by the product or the normalisation that makes it; the cell's
//! equations read and write `z` alone ([`super::cell`]).

use super::super::calls::{Calls, words};
use super::super::kernel::{Kernel, over};
use super::super::product::{Matrix, product, product_in, scratch_len};
use super::super::recording::{Recorder, fill};
use super::cell::{self, Part};
use super::look::Look;
use super::norm::{Group, Normed};
use super::texts::{Text, columns, runs};
use super::{Layer, at};
use crate::cells::{Operand, Product};
use crate::error::Result;
use std::sync::Arc;

/// What a layer of composed steps has beside its tape.
pub(super) struct Composed {
    /// h (B, H) as the cell made it, of all steps where its projection learns.
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

    /// The groups of the gates that the input feeds, of all steps.
    fn input_groups(&self) -> impl Iterator<Item = Group> + '_ {
        let (h, rows) = (self.scans[0].hidden, self.rows);
        self.layout.norms.iter().enumerate().map(move |(number, gates)| {
            let [column, width] = [gates[0] * h, gates.len() * h];
            Group { number, column, width, first: 0, rows }
        })
    }

    /// The memories of a step.
    fn memory_group(&self, t: usize) -> Group {
        let (width, rows) = (self.scans[0].hidden, self.batch);
        Group { number: 0, column: 0, width, first: t * rows, rows }
    }
}

impl Composed {
    pub fn new(r: &Recorder<'_>, layer: &Layer<'_>) -> Result<Self> {
        let (scan, layout, learns) = (layer.scans[0], &layer.layout, r.signature.learns);
        let (batch, rows, h, width) = (layer.batch, layer.rows, scan.hidden, scan.width);
        let buffer = |name: &str, wanted: bool, len: usize| r.buffer(name, if wanted { len } else { 0 });
        let (norm, projects) = (scan.weights.norm, scan.weights.hr.is_some());
        let memory = norm.and_then(|norm| norm.memory);
        let (fed, groups) = (layout.gates * h, layout.norms.len());
        let of_input = [norm.map(|norm| norm.gain_ih), scan.weights.bias_ih];
        let of_product = [norm.map(|norm| norm.gain_hh), scan.weights.bias_hh];
        let of_memory = [memory.map(|[gain, _]| gain), memory.map(|[_, bias]| bias)];
        let emitted_rows = if layer.features.keeps_emitted { rows } else { batch };
        // The longest of each shape of product that a step has, forward and back.
        let sizes = [
            [batch, fed, width],
            [batch, fed, h],
            [batch, width, fed],
            [batch, h, fed],
            [batch, width, h],
            [batch, h, width],
            [batch, h, 2 * h],
            [batch, h, h],
        ];
        Ok(Self {
            emitted: buffer("emitted", true, emitted_rows * h)?,
            d_emitted: buffer("gradient of what is emitted", learns, batch * h)?,
            projected: buffer("projected", projects, batch * width)?,
            d_projected: buffer("gradient of what is projected", projects && learns, rows * width)?,
            d_seen: buffer("gradient of masked hidden states", learns, batch * width)?,
            d_reset: buffer("gradient of reset hidden states", learns && layout.resets(), batch * h)?,
            of_input: Normed::new(r, "inputs", [fed, groups], of_input, true)?,
            of_product: Normed::new(r, "products", [fed, groups], of_product, true)?,
            of_memory: Normed::new(r, "memories", [h, 1], of_memory, false)?,
            normed_c: buffer("shifted memories", memory.is_some(), rows * h)?,
            d_normed_c: buffer("gradient of shifted memories", memory.is_some() && learns, rows * h)?,
            scratch: r.buffer("parts of products", sizes.into_iter().map(scratch_len).max().unwrap_or(0))?,
        })
    }

    fn ready<'b>(
        &'b self,
        r: &'b Recorder<'_>,
        layer: &'b Layer<'_>,
        part: Part,
        text: Text,
        out: &'b wgpu::Buffer,
    ) -> Ready<'b> {
        let named = |name: &&str| match *name {
            "emitted" => &self.emitted,
            "d_emitted" => &self.d_emitted,
            "projected" => &self.projected,
            "d_projected" => &self.d_projected,
            "d_seen" => &self.d_seen,
            "d_reset" => &self.d_reset,
            "n_c" => self.of_memory.as_ref().map_or(out, |normed| &normed.n),
            "d_made" => self.of_memory.as_ref().map_or(out, |normed| &normed.d),
            "normed_c" => &self.normed_c,
            "d_normed_c" => &self.d_normed_c,
            name => layer.named(r, name, std::slice::from_ref(out)),
        };
        let buffers = text.buffers.iter().map(named).collect();
        let scan = layer.scans[0];
        let columns = if part == Part::End { scan.width } else { scan.hidden };
        Ready { kernel: r.context().kernel("part of a step", &text.body), buffers, columns }
    }

    fn run(&self, r: &Recorder<'_>, layer: &Layer<'_>, calls: &mut Calls, ready: &Ready<'_>, t: usize) {
        let (batch, scan) = (layer.batch, layer.scans[0]);
        let ([d_h, d_c], last) = ([0, 1].map(|part| layer.state(r, part, scan)), t + 1 == layer.steps);
        let mut numbers = words![t, batch, scan.hidden, scan.width, ready.columns, d_h, d_c, last].to_vec();
        numbers.extend([at(r, scan.weights.ch); 2]);
        numbers.extend(layer.draws());
        calls.add(&ready.kernel, &ready.buffers, &numbers, over(batch * ready.columns));
    }

    /// The parts of the cell's step between its products and its end.
    fn cell(&self) -> &'static [Part] {
        if self.of_memory.is_some() { &[Part::Memory, Part::Emit] } else { &[Part::Step] }
    }

    /// The groups of gates of a product with layer normalisation: for each the group, and its column in `z`.
    fn groups(layer: &Layer<'_>, product: &Product, first: usize, rows: usize) -> Vec<(Group, usize)> {
        let (h, columns) = (layer.scans[0].hidden, columns(&layer.layout));
        let norms = layer.layout.norms.iter().enumerate();
        let groups = norms.filter_map(|(number, gates)| {
            let slot = product.slot + product.gates.iter().position(|gate| *gate == gates[0])?;
            let group = Group { number, column: gates[0] * h, width: gates.len() * h, first, rows };
            Some((group, columns[slot] * h))
        });
        groups.collect()
    }

    /// z = N(W_ih x) + b_ih of all steps, from the product where [`Layer::input`] has put it.
    fn input(&self, r: &mut Recorder<'_>, layer: &Layer<'_>) {
        let Some(normed) = &self.of_input else { return };
        let mut calls = Calls::default();
        for group in layer.input_groups() {
            normed.forward(r, &mut calls, group, layer.z(0, group.column), false);
        }
        r.forward.append(calls);
    }

    pub fn forward(&self, r: &mut Recorder<'_>, layer: &Layer<'_>, look: Option<&Look>) {
        self.input(r, layer);
        let (out, mut calls) = (r.slot(layer.scans[0].out), Calls::default());
        let ready =
            |part| self.ready(r, layer, part, cell::forward(layer.scans[0], layer.features, part), &out);
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
                    let to = layer.at(Matrix::new(&self.normed_c, 0, normed.width), t);
                    normed.forward(r, &mut calls, layer.memory_group(t), to, false);
                }
            }
            self.project(r, layer, &mut calls, t);
            self.run(r, layer, &mut calls, &end, t);
        }
        r.forward.append(calls);
    }

    /// z += N(W x) + b for the gates of a product.
    fn product(&self, r: &Recorder<'_>, layer: &Layer<'_>, calls: &mut Calls, product: &Product, t: usize) {
        let (batch, h, gates) = (layer.batch, layer.scans[0].hidden, layer.layout.gates);
        let (x, [_, fed]) = (layer.at(layer.operand(product.operand, 0), t), layer.widths());
        let full = product.operand == Operand::C;
        let weights = |gate: usize| {
            let (w, of) = if full { (&layer.weights.ch_t, gates - 1) } else { (&layer.weights.hh_t, gates) };
            Matrix::new(w, gate * h, of * h)
        };
        let z = |column: usize| layer.at(layer.z(0, column), t);
        if let Some(normed) = self.of_product.as_ref().filter(|_| !full) {
            let n = |column: usize| layer.at(Matrix::new(&normed.n, column, fed), t);
            for (group, column) in Self::groups(layer, product, t * batch, batch) {
                let (size, w) = ([batch, group.width, x.rows], weights(group.column / h));
                product_in(r.context(), calls, &self.scratch, size, x, w, None, n(group.column), false);
                normed.forward(r, calls, group, z(column), column < gates * h);
            }
            return;
        }
        let bias = layer.scans[0].weights.bias_hh.filter(|_| !full);
        for [gate, column, blocks] in runs(&layer.layout, product) {
            let bias = bias.map(|id| (&r.net.values, r.at(id) + gate * h));
            let (size, to) = ([batch, blocks * h, x.rows], z(column * h));
            // What the input does not feed starts here.
            let add = column < gates;
            product_in(r.context(), calls, &self.scratch, size, x, weights(gate), bias, to, add);
        }
    }

    /// W_hr h.
    fn project(&self, r: &Recorder<'_>, layer: &Layer<'_>, calls: &mut Calls, t: usize) {
        let Some(id) = layer.scans[0].weights.hr else { return };
        let (batch, h, width) = (layer.batch, layer.scans[0].hidden, layer.scans[0].width);
        let row = if layer.features.keeps_emitted { t * batch } else { 0 };
        let x = Matrix::new(&self.emitted, row * h, h);
        let w = Matrix::new(&r.net.values, r.at(id), h).t();
        let to = Matrix::new(&self.projected, 0, width);
        product_in(r.context(), calls, &self.scratch, [batch, width, h], x, w, None, to, false);
    }

    /// As [`Layer::backward`].
    pub fn backward(
        &self,
        r: &Recorder<'_>,
        layer: &Layer<'_>,
        look: Option<&Look>,
        back: &mut Calls,
    ) -> Result<()> {
        let scan = layer.scans[0];
        let (batch, h, width, dy) = (layer.batch, scan.hidden, scan.width, r.d_slot(scan.out));
        let ready = |part| self.ready(r, layer, part, cell::backward(scan, layer.features, part), &dy);
        let (reset, end) = (layer.layout.resets().then(|| ready(Part::Reset)), ready(Part::End));
        let cell: Vec<_> = self.cell().iter().rev().map(|&part| ready(part)).collect();
        if !layer.layout.peepholes.is_empty() {
            let len = layer.layout.peepholes.len() * batch * h;
            fill(r.context(), back, &layer.tape.d_peephole, 0, len);
        }
        for t in (0..layer.steps).rev() {
            self.run(r, layer, back, &end, t);
            if let Some(id) = scan.weights.hr {
                let d = layer.at(Matrix::new(&self.d_projected, 0, width), t);
                let (w, to) = (Matrix::new(&r.net.values, r.at(id), h), Matrix::new(&self.d_emitted, 0, h));
                product_in(r.context(), back, &self.scratch, [batch, h, width], d, w, None, to, false);
            }
            for (i, part) in cell.iter().enumerate() {
                self.run(r, layer, back, part, t);
                if let Some(normed) = self.of_memory.as_ref().filter(|_| i == 0) {
                    let d = layer.at(Matrix::new(&self.d_normed_c, 0, h), t);
                    let dx = Matrix::new(&normed.d, 0, h);
                    normed.backward(r, back, layer.memory_group(t), d, dx);
                }
            }
            for product in layer.layout.products.iter().rev() {
                self.product_backward(r, layer, back, product, t);
                if let Some(reset) = reset.as_ref().filter(|_| product.operand == Operand::ResetH) {
                    self.run(r, layer, back, reset, t);
                }
            }
            if layer.features.masks_state {
                let kernel = r.context().kernel("mask rows", include_str!("../wgsl/mask_rows.wgsl"));
                let [.., site, limit, scale] = layer.draws();
                let numbers =
                    words![batch, width, 0u32, layer.state(r, 0, layer.scans[0]), site, limit, scale, true];
                back.add(&kernel, &[&self.d_seen, &r.shared.d_state], numbers, over(batch * width));
            }
            if let Some(look) = look {
                look.seen_backward(r, layer, back, t);
                let d_h = Matrix::new(&r.shared.d_state, layer.state(r, 0, scan), width);
                look.backward(r, back, [layer.at(layer.hidden(), t), d_h], t * batch, batch);
            }
        }
        self.input_backward(r, layer, back);
        self.weights_backward(r, layer, back)
    }

    /// From the gradients of a product to that of what it multiplied.
    fn product_backward(
        &self,
        r: &Recorder<'_>,
        layer: &Layer<'_>,
        back: &mut Calls,
        product: &Product,
        t: usize,
    ) {
        let (batch, h) = (layer.batch, layer.scans[0].hidden);
        let n = layer.operand(product.operand, 0).rows;
        if let Some(normed) = self.of_product.as_ref().filter(|_| product.operand != Operand::C) {
            for (group, column) in Self::groups(layer, product, t * batch, batch) {
                let d = layer.at(layer.z(0, column), t);
                let dx = layer.at(Matrix::new(&normed.d, group.column, normed.width), t);
                normed.backward(r, back, group, d, dx);
            }
        }
        let (to, to_at, mut add) = match product.operand {
            Operand::H if layer.features.masks_state => (&self.d_seen, 0, layer.layout.resets()),
            Operand::H => (&r.shared.d_state, layer.state(r, 0, layer.scans[0]), true),
            Operand::C => (&r.shared.d_state, layer.state(r, 1, layer.scans[0]), true),
            Operand::ResetH => (&self.d_reset, 0, false),
        };
        let (weights, first) = match product.operand {
            Operand::C => (&r.net.values, at(r, layer.scans[0].weights.ch)),
            _ => (layer.weights.hh(r), layer.weights.hh_at(r, layer.scans)[0]),
        };
        for [gate, column, blocks] in runs(&layer.layout, product) {
            let d = layer.at(self.d_product(layer, product.operand, [gate, column]), t);
            let w = Matrix::new(weights, first as usize + gate * h * n, n);
            let (size, to) = ([batch, n, blocks * h], Matrix::new(to, to_at, n));
            product_in(r.context(), back, &self.scratch, size, d, w, None, to, add);
            add = true;
        }
    }

    /// The gradients of a product's gates from `gate` on, which feed the columns of `z` from `column` on.
    pub fn d_product<'b>(
        &'b self,
        layer: &'b Layer<'_>,
        operand: Operand,
        [gate, column]: [usize; 2],
    ) -> Matrix<'b> {
        let h = layer.scans[0].hidden;
        match self.of_product.as_ref().filter(|_| operand != Operand::C) {
            Some(normed) => Matrix::new(&normed.d, gate * h, normed.width),
            None => layer.z(0, column * h),
        }
    }

    /// The gradient of W_ih x from that of what it was normalised to.
    fn input_backward(&self, r: &Recorder<'_>, layer: &Layer<'_>, back: &mut Calls) {
        let Some(normed) = &self.of_input else { return };
        for group in layer.input_groups() {
            let d = layer.z(0, group.column);
            let dx = Matrix::new(&normed.d, group.column, normed.width);
            normed.backward(r, back, group, d, dx);
        }
    }

    /// Gradients of gains, of the memory's shift and of the projection, over all steps.
    fn weights_backward(&self, r: &Recorder<'_>, layer: &Layer<'_>, back: &mut Calls) -> Result<()> {
        let (context, rows, [_, fed]) = (r.context(), layer.rows, layer.widths());
        let (h, p) = (layer.scans[0].hidden, layer.scans[0].width);
        let dz = |column: usize| layer.z(0, column);
        if let Some(normed) = &self.of_input {
            normed.weights_backward(context, r, back, [0, fed], dz(0), false)?;
        }
        if let Some(normed) = &self.of_product {
            for product in layer.layout.products {
                for [gate, column, blocks] in runs(&layer.layout, product) {
                    let columns = [gate * h, blocks * h];
                    normed.weights_backward(context, r, back, columns, dz(column * h), false)?;
                }
            }
        }
        if let Some(normed) = &self.of_memory {
            let d = Matrix::new(&self.d_normed_c, 0, h);
            normed.weights_backward(context, r, back, [0, h], d, true)?;
        }
        if let Some(id) = layer.scans[0].weights.hr {
            let (d, x) = (Matrix::new(&self.d_projected, 0, p), Matrix::new(&self.emitted, 0, h));
            let dw = Matrix::new(&r.shared.gradient, r.at(id), h);
            product(context, back, [p, h, rows], d.t(), x, None, dw, true)?;
        }
        Ok(())
    }
}
