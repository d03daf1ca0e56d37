//! The products of composed steps and their normalisation, forward beside backward, and the gradients of
//! gains and of the projection.

use super::super::layer::{Layer, at};
use super::super::norm::Group;
use super::super::texts::{columns, runs};
use super::Composed;
use crate::backend::gpu::calls::Calls;
use crate::backend::gpu::product::{Matrix, product, product_in, scratch_len};
use crate::backend::gpu::recording::Recorder;
use crate::cells::{Operand, Product};
use crate::error::Result;

impl Layer<'_> {
    /// The groups of the gates that the input feeds, of all steps.
    fn input_groups(&self) -> impl Iterator<Item = Group> + '_ {
        let (h, rows) = (self.scans[0].hidden, self.rows);
        self.layout.norms.iter().enumerate().map(move |(number, gates)| {
            let [column, width] = [gates[0] * h, gates.len() * h];
            Group { number, column, width, first: 0, rows }
        })
    }

    /// The memories of a step.
    pub fn memory_group(&self, t: usize) -> Group {
        let (width, rows) = (self.scans[0].hidden, self.batch);
        Group { number: 0, column: 0, width, first: t * rows, rows }
    }
}

/// Numbers of the scratch that a step's products need, forward and back.
pub(super) fn scratch(layer: &Layer<'_>) -> usize {
    let (batch, h, width) = (layer.batch, layer.scans[0].hidden, layer.scans[0].width);
    let of_gates = (1..=layer.layout.gates).flat_map(|gates| {
        let fed = gates * h;
        [[batch, fed, width], [batch, fed, h], [batch, width, fed], [batch, h, fed]]
    });
    of_gates.chain([[batch, width, h], [batch, h, width]]).map(scratch_len).max().unwrap_or(0)
}

impl Composed {
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
    pub fn input(&self, r: &mut Recorder<'_>, layer: &Layer<'_>) {
        let Some(normed) = &self.of_input else { return };
        let mut calls = Calls::default();
        for group in layer.input_groups() {
            normed.forward(r, &mut calls, group, layer.z(0, group.column), false);
        }
        r.forward.append(calls);
    }

    /// The gradient of W_ih x from that of what it was normalised to.
    pub fn input_backward(&self, r: &Recorder<'_>, layer: &Layer<'_>, back: &mut Calls) {
        let Some(normed) = &self.of_input else { return };
        for group in layer.input_groups() {
            let d = layer.z(0, group.column);
            let dx = Matrix::new(&normed.d, group.column, normed.width);
            normed.backward(r, back, group, d, dx);
        }
    }

    /// z += N(W x) + b for the gates of a product.
    pub fn product(
        &self,
        r: &Recorder<'_>,
        layer: &Layer<'_>,
        calls: &mut Calls,
        product: &Product,
        t: usize,
    ) {
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

    /// From the gradients of a product to that of what it multiplied.
    pub fn product_backward(
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

    /// W_hr h.
    pub fn project(&self, r: &Recorder<'_>, layer: &Layer<'_>, calls: &mut Calls, t: usize) {
        let Some(id) = layer.scans[0].weights.hr else { return };
        let (batch, h, width) = (layer.batch, layer.scans[0].hidden, layer.scans[0].width);
        let row = if layer.features.keeps_emitted { t * batch } else { 0 };
        let x = Matrix::new(&self.emitted, row * h, h);
        let w = Matrix::new(&r.net.values, r.at(id), h).t();
        let to = Matrix::new(&self.projected, 0, width);
        product_in(r.context(), calls, &self.scratch, [batch, width, h], x, w, None, to, false);
    }

    /// Back through it, from the gradients that are kept of all steps.
    pub fn project_backward(&self, r: &Recorder<'_>, layer: &Layer<'_>, back: &mut Calls, t: usize) {
        let Some(id) = layer.scans[0].weights.hr else { return };
        let (h, width) = (layer.scans[0].hidden, layer.scans[0].width);
        let d = layer.at(Matrix::new(&self.d_projected, 0, width), t);
        let (w, to) = (Matrix::new(&r.net.values, r.at(id), h), Matrix::new(&self.d_emitted, 0, h));
        product_in(r.context(), back, &self.scratch, [layer.batch, h, width], d, w, None, to, false);
    }

    /// Gradients of gains, of the memory's shift and of the projection, over all steps.
    pub fn weights_backward(&self, r: &Recorder<'_>, layer: &Layer<'_>, back: &mut Calls) -> Result<()> {
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
