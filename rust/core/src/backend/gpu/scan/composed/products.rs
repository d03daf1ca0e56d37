//! The products of composed steps and their normalisation, forward beside backward, and the gradients of
//! gains and of the projection.

use super::super::layer::Layer;
use super::super::norm::Group;
use super::super::texts::{columns, runs};
use super::super::weights::at;
use super::Composed;
use crate::backend::gpu::calls::Calls;
use crate::backend::gpu::product::{Matrix, Operands, product, products_in, scratch_len};
use crate::backend::gpu::recording::Recorder;
use crate::cells::{Operand, Product};
use crate::error::Result;
use crate::params::ParamId;

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
            let z = layer.all(|direction| layer.z(direction, group.column));
            normed.forward(r, &mut calls, group, &z, false);
        }
        r.forward.append(calls);
    }

    /// The gradient of W_ih x from that of what it was normalised to.
    pub fn input_backward(&self, r: &Recorder<'_>, layer: &Layer<'_>, back: &mut Calls) {
        let Some(normed) = &self.of_input else { return };
        for group in layer.input_groups() {
            let d = layer.all(|direction| layer.z(direction, group.column));
            let dx = layer.all(|direction| normed.d(direction, group.column));
            normed.backward(r, back, group, &d, &dx);
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
        let full = product.operand == Operand::C;
        let x = |direction| layer.at(layer.operand(product.operand, direction), t);
        let w =
            |direction: usize, gate| layer.weights.transposed(layer.scans[direction], full, direction, gate);
        let z = |direction, column| layer.at(layer.z(direction, column), t);
        let terms = x(0).rows;
        if let Some(normed) = self.of_product.as_ref().filter(|_| !full) {
            for (group, column) in Self::groups(layer, product, t * batch, batch) {
                let both = layer.all(|direction| Operands {
                    a: x(direction),
                    b: w(direction, group.column / h),
                    bias: None,
                    c: layer.at(normed.n(direction, group.column), t),
                });
                let size = [batch, group.width, terms];
                products_in(r.context(), calls, &self.scratch, size, &both, false);
                let z = layer.all(|direction| z(direction, column));
                normed.forward(r, calls, group, &z, column < gates * h);
            }
            return;
        }
        for [gate, column, blocks] in runs(&layer.layout, product) {
            let both = layer.all(|direction| {
                let bias = layer.scans[direction].weights.bias_hh.filter(|_| !full);
                let bias = bias.map(|id| (&r.net.values, r.at(id) + gate * h));
                Operands { a: x(direction), b: w(direction, gate), bias, c: z(direction, column * h) }
            });
            // What the input does not feed starts here.
            let (size, add) = ([batch, blocks * h, terms], column < gates);
            products_in(r.context(), calls, &self.scratch, size, &both, add);
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
                let d = layer.all(|direction| layer.at(layer.z(direction, column), t));
                let dx = layer.all(|direction| layer.at(normed.d(direction, group.column), t));
                normed.backward(r, back, group, &d, &dx);
            }
        }
        let state = |part, direction: usize| layer.state(r, part, layer.scans[direction]);
        let to = |direction: usize| match product.operand {
            Operand::H if layer.features.masks_state => (&self.d_seen, direction * batch * n),
            Operand::H => (&r.shared.d_state, state(0, direction)),
            Operand::C => (&r.shared.d_state, state(1, direction)),
            Operand::ResetH => (&self.d_reset, direction * batch * n),
        };
        let mut add = match product.operand {
            Operand::H => !layer.features.masks_state || layer.layout.resets(),
            Operand::C => true,
            Operand::ResetH => false,
        };
        let (weights, first) = match product.operand {
            Operand::C => (&r.net.values, layer.each(|scan| at(r, scan.weights.ch))),
            _ => (layer.weights.hh(r), layer.weights.hh_at(r, layer.scans)),
        };
        for [gate, column, blocks] in runs(&layer.layout, product) {
            let both = layer.all(|direction| {
                let a = layer.at(self.d_product(layer, product.operand, direction, [gate, column]), t);
                let b = Matrix::new(weights, first[direction] as usize + gate * h * n, n);
                let (to, to_at) = to(direction);
                Operands { a, b, bias: None, c: Matrix::new(to, to_at, n) }
            });
            products_in(r.context(), back, &self.scratch, [batch, n, blocks * h], &both, add);
            add = true;
        }
    }

    /// Of a direction the gradients of a product's gates from `gate` on, which feed the columns of `z` from `column` on.
    pub fn d_product<'b>(
        &'b self,
        layer: &'b Layer<'_>,
        operand: Operand,
        direction: usize,
        [gate, column]: [usize; 2],
    ) -> Matrix<'b> {
        let h = layer.scans[0].hidden;
        match self.of_product.as_ref().filter(|_| operand != Operand::C) {
            Some(normed) => normed.d(direction, gate * h),
            None => layer.z(direction, column * h),
        }
    }

    /// W_hr h.
    pub fn project(&self, r: &Recorder<'_>, layer: &Layer<'_>, calls: &mut Calls, t: usize) {
        let (batch, h, width) = (layer.batch, layer.scans[0].hidden, layer.scans[0].width);
        let [each, step] = if layer.features.keeps_emitted { [layer.rows, t * batch] } else { [batch, 0] };
        let both = self.projections(layer, |direction, id| Operands {
            a: Matrix::new(&self.emitted, (direction * each + step) * h, h),
            b: Matrix::new(&r.net.values, r.at(id), h).t(),
            bias: None,
            c: Matrix::new(&self.projected, direction * batch * width, width),
        });
        products_in(r.context(), calls, &self.scratch, [batch, width, h], &both, false);
    }

    /// Something of each direction's projection; nothing where there is none.
    fn projections<'b>(
        &self,
        layer: &Layer<'_>,
        of: impl Fn(usize, ParamId) -> Operands<'b>,
    ) -> Vec<Operands<'b>> {
        let weights = layer.scans.iter().enumerate();
        weights.filter_map(|(direction, scan)| Some(of(direction, scan.weights.hr?))).collect()
    }

    /// The gradient of what is projected, of all steps of a direction.
    fn d_projected(&self, layer: &Layer<'_>, direction: usize) -> Matrix<'_> {
        let width = layer.scans[0].width;
        Matrix::new(&self.d_projected, direction * layer.rows * width, width)
    }

    /// Back through it, from the gradients that are kept of all steps.
    pub fn project_backward(&self, r: &Recorder<'_>, layer: &Layer<'_>, back: &mut Calls, t: usize) {
        let (batch, h, width) = (layer.batch, layer.scans[0].hidden, layer.scans[0].width);
        let both = self.projections(layer, |direction, id| Operands {
            a: layer.at(self.d_projected(layer, direction), t),
            b: Matrix::new(&r.net.values, r.at(id), h),
            bias: None,
            c: Matrix::new(&self.d_emitted, direction * batch * h, h),
        });
        products_in(r.context(), back, &self.scratch, [batch, h, width], &both, false);
    }

    /// Gradients of a direction's gains, of the memory's shift and of the projection, over all steps.
    pub fn weights_backward(
        &self,
        r: &Recorder<'_>,
        layer: &Layer<'_>,
        back: &mut Calls,
        direction: usize,
    ) -> Result<()> {
        let (context, rows, [_, fed]) = (r.context(), layer.rows, layer.widths());
        let (h, p) = (layer.scans[0].hidden, layer.scans[0].width);
        let dz = |column: usize| layer.z(direction, column);
        if let Some(normed) = &self.of_input {
            normed.weights_backward(r, back, direction, [0, fed], dz(0), false)?;
        }
        if let Some(normed) = &self.of_product {
            for product in layer.layout.products {
                for [gate, column, blocks] in runs(&layer.layout, product) {
                    let columns = [gate * h, blocks * h];
                    normed.weights_backward(r, back, direction, columns, dz(column * h), false)?;
                }
            }
        }
        if let Some(normed) = &self.of_memory {
            let d = self.shifted(layer, &self.d_normed_c, direction);
            normed.weights_backward(r, back, direction, [0, h], d, true)?;
        }
        if let Some(id) = layer.scans[direction].weights.hr {
            let d = self.d_projected(layer, direction);
            let x = Matrix::new(&self.emitted, direction * rows * h, h);
            let dw = Matrix::new(&r.shared.gradient, r.at(id), h);
            product(context, back, [p, h, rows], d.t(), x, None, dw, true)?;
        }
        Ok(())
    }
}
