//! One recurrent layer: its packed weights and the products with its input. The run through the
//! steps is in [`steps`], the weight gradients in [`gradients`], the state in and out in [`states`].

mod gradients;
mod states;
mod steps;

use super::gemm::{Left, Start, panel_product};
use super::math::Elementary;
use super::panels::{Panels, transpose_into};
use super::part::Tape;
use super::scratch::{Buffer, Rows};
use super::simd::{Isa, Strides};
use super::threads::Crew;
use crate::cells::{Cell, Layout, Operand};
use crate::params::Parameters;
use crate::program::{ScanWeights, SlotId};

/// A recurrent layer with its weights packed.
pub(super) struct Scan<T> {
    pub(super) cell: Cell,
    pub(super) layout: Layout,
    pub(super) weights: ScanWeights,
    pub(super) input: SlotId,
    pub(super) out: SlotId,
    /// I and H.
    pub(super) width: usize,
    pub(super) hidden: usize,
    /// This layer's place among the tapes.
    pub(super) tape: usize,
    /// Whether another op adds to the input's gradient too.
    pub(super) accumulate: bool,
    pub(super) isa: Isa,
    pub(super) lanes: usize,
    /// Unit blocks of one register.
    pub(super) blocks: usize,
    /// b_ih + b_hh of each slot, `[H / L][S·L]`.
    bias: Buffer<T>,
    /// Peephole weights of the gates i, f, o, each padded to whole registers; or nothing.
    peephole: [Buffer<T>; 3],
    /// W_ih, and its transpose for the input's gradient; absent for a one-hot input.
    pub(super) input_product: Option<[Panels<T>; 2]>,
    /// Each recurrent product's weight and its transpose.
    products: Vec<[Panels<T>; 2]>,
}

impl<T: Elementary> Scan<T> {
    pub(super) fn new(
        cell: Cell,
        weights: ScanWeights,
        [input, out]: [SlotId; 2],
        [width, hidden]: [usize; 2],
        tape: usize,
        one_hot: bool,
        isa: Isa,
    ) -> Self {
        let (layout, lanes) = (cell.layout(), isa.lanes::<T>());
        let blocks = hidden.div_ceil(lanes);
        let pair = |terms: usize, gates: usize| {
            [
                Panels::equal(terms, blocks, gates, lanes),
                Panels::columns(blocks * gates * lanes, terms, lanes),
            ]
        };
        let diagonal = weights.ch.is_some() && layout.products.iter().all(|p| p.operand != Operand::C);
        let peephole = || Buffer::new(if diagonal { blocks * lanes } else { 0 });
        Self {
            cell,
            layout,
            weights,
            input,
            out,
            width,
            hidden,
            tape,
            accumulate: false,
            isa,
            lanes,
            blocks,
            bias: Buffer::new(blocks * layout.slots * lanes),
            peephole: [peephole(), peephole(), peephole()],
            input_product: (!one_hot).then(|| pair(width, layout.input.len())),
            products: layout.products.iter().map(|p| pair(hidden, p.gates.len())).collect(),
        }
    }

    /// A tape for a group of `batch` rows and `rows` packed rows.
    pub(super) fn tape(&self, batch: usize, rows: usize) -> Tape<T> {
        let rows_if = |lead: usize, rows: usize, wanted: bool| {
            if wanted { Rows::new(lead, rows, self.hidden, self.lanes) } else { Rows::default() }
        };
        let memory = self.cell.has_memory();
        let resets = self.layout.products.iter().any(|p| p.operand == Operand::ResetH);
        Tape {
            z: Buffer::new(self.blocks * rows * self.layout.slots * self.lanes),
            c: rows_if(batch, rows, memory),
            reset: rows_if(0, rows, resets),
            dh: rows_if(0, batch, true),
            dc: rows_if(0, batch, memory),
            d_reset: rows_if(0, batch, resets),
        }
    }

    /// Numbers of one packed row in one unit block.
    pub(super) fn line(&self) -> usize {
        self.layout.slots * self.lanes
    }

    /// Packs the weights anew.
    pub(super) fn pack(&mut self, crew: Crew, parameters: &Parameters, values: &[T]) {
        let (lanes, hidden, line) = (self.lanes, self.hidden, self.line());
        let of = |id| &values[parameters.range(id)];
        self.bias.fill(T::ZERO);
        if let Some([ih, hh]) = self.weights.bias {
            let mut add = |slot: usize, from: &[T]| {
                for (u, &b) in from.iter().enumerate() {
                    self.bias[u / lanes * line + slot * lanes + u % lanes] += b;
                }
            };
            for (slot, &gate) in self.layout.input.iter().enumerate() {
                add(slot, &of(ih)[gate * hidden..][..hidden]);
            }
            for product in self.layout.products.iter().filter(|p| p.operand != Operand::C) {
                for (i, &gate) in product.gates.iter().enumerate() {
                    add(product.slot + i, &of(hh)[gate * hidden..][..hidden]);
                }
            }
        }
        if let (Some(ch), false) = (self.weights.ch, self.peephole[0].is_empty()) {
            for (gate, padded) in self.peephole.iter_mut().enumerate() {
                padded[..hidden].copy_from_slice(&of(ch)[gate * hidden..][..hidden]);
            }
        }
        if let Some(pair) = &mut self.input_product {
            pack_pair(pair, crew, of(self.weights.ih), self.width, hidden, lanes, self.layout.input);
        }
        for (pair, product) in self.products.iter_mut().zip(self.layout.products) {
            let weight = match (product.operand, self.weights.ch) {
                (Operand::C, Some(ch)) => of(ch),
                _ => of(self.weights.hh),
            };
            pack_pair(pair, crew, weight, hidden, hidden, lanes, product.gates);
        }
    }

    /// The input's part of `z` for `rows` rows of features: b + W_ih x.
    fn project(&self, rows: usize, x: &[T], x_stride: usize, z: &mut [T]) {
        let line = self.line();
        // Some rows at a time: they stay in the second cache while the panels stream by.
        for first in (0..rows).step_by(48) {
            let count = 48.min(rows - first);
            for block in 0..self.blocks {
                let z = &mut z[(block * rows + first) * line..][..count * line];
                self.project_block(block, count, &x[first * x_stride..], x_stride, z);
            }
        }
    }

    /// The same for one unit block.
    pub(super) fn project_block(&self, block: usize, rows: usize, x: &[T], x_stride: usize, z: &mut [T]) {
        let Some([input, _]) = &self.input_product else { return };
        let (bias, line, covered) = (self.bias(block), self.line(), self.layout.input.len() * self.lanes);
        let a = Left::rows(x, x_stride, self.width);
        panel_product(self.isa, rows, a, input.panel(block), Start::Row(bias), z, line);
        if covered < line {
            for row in z.chunks_exact_mut(line) {
                row[covered..].copy_from_slice(&bias[covered..]);
            }
        }
    }

    /// The gradient of the input of `count` rows, from the gradients in `z`, unit blocks of `rows`
    /// rows.
    pub(super) fn project_backward(
        &self,
        rows: usize,
        z: &[T],
        count: usize,
        start: Start<'_, T>,
        dx: &mut [T],
        stride: usize,
    ) {
        let Some([_, transposed]) = &self.input_product else { return };
        let dz = self.gradients(rows, z, 0, self.layout.input.len());
        transposed.product(self.isa, count, dz, start, dx, stride);
    }

    /// b_ih + b_hh of a unit block.
    pub(super) fn bias(&self, block: usize) -> &[T] {
        &self.bias[block * self.line()..][..self.line()]
    }

    /// Slots `slot .. slot + gates` of all unit blocks as the left-hand matrix of a product.
    fn gradients<'a>(&self, rows: usize, z: &'a [T], slot: usize, gates: usize) -> Left<'a, T> {
        let line = self.line();
        Left {
            data: &z[slot * self.lanes..],
            at: Strides { row: line, term: 1, block: rows * line },
            blocks: self.blocks,
            terms: gates * self.lanes,
        }
    }
}

/// Packs the gates of a (G·H, terms) weight, and its transpose.
fn pack_pair<T: Elementary>(
    [forward, backward]: &mut [Panels<T>; 2],
    crew: Crew,
    weight: &[T],
    terms: usize,
    hidden: usize,
    lanes: usize,
    gates: &[usize],
) {
    forward.fill(crew, |block, _, width, panel| {
        let units = lanes.min(hidden - block * lanes);
        for (i, gate) in gates.iter().enumerate() {
            let from = &weight[(gate * hidden + block * lanes) * terms..][..units * terms];
            transpose_into(from, terms, panel, width, i * lanes);
        }
    });
    backward.fill(crew, |_, column, width, panel| {
        let count = width.min(terms - column);
        for (i, gate) in gates.iter().enumerate() {
            for unit in 0..hidden {
                let line = (unit / lanes * gates.len() + i) * lanes + unit % lanes;
                let from = &weight[(gate * hidden + unit) * terms + column..][..count];
                panel[line * width..][..count].copy_from_slice(from);
            }
        }
    });
}
