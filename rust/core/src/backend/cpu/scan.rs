//! One recurrent layer: its packed weights, and its forward and backward run over one group.
//!
//! Per step and unit block: the block's pre-activations (the input's part is there already) take
//! the recurrent product while they sit in registers, then the cell's step runs on them while
//! they sit in the first cache.

use super::gemm::{Left, Start, panel_product};
use super::math::Elementary;
use super::panels::{Panels, transpose_into};
use super::part::{Part, Tape};
use super::pointwise::{ResetBackwardRows, ResetRows, StepBackwardRows, StepRows};
use super::scratch::{Buffer, Rows};
use super::simd::{Isa, Strides};
use super::threads::Crew;
use super::tokens::Table;
use crate::cells::{Cell, Layout, Operand, State, Step, Visit};
use crate::params::Parameters;
use crate::program::{ScanWeights, SlotId};
use std::mem::take;

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

    /// Runs the group through all steps. The state before the first is in the leading rows.
    pub(super) fn forward(&self, part: &mut Part<T>, table: Option<&Table<T>>) {
        let mut tape = take(&mut part.tapes[self.tape]);
        let mut out = take(&mut part.slots[self.out]);
        if table.is_none() {
            let x = &part.slots[self.input];
            self.project(part.group.len, x.at(0), x.stride, &mut tape.z);
        }
        self.cell.visit(Forward { scan: self, part, tape: &mut tape, out: &mut out, table });
        (part.tapes[self.tape], part.slots[self.out]) = (tape, out);
    }

    /// The way back: `dh` and `dc` hold the gradient of the final state and are left with that
    /// of the first; `z` is left with the gradients of the pre-activations.
    pub(super) fn backward(&self, part: &mut Part<T>, table: Option<&Table<T>>) {
        let mut tape = take(&mut part.tapes[self.tape]);
        self.cell.visit(Backward { scan: self, part, tape: &mut tape });
        if table.is_none() {
            let start = if self.accumulate { Start::There } else { Start::Zero };
            let dx = &mut part.d_slots[self.input];
            let stride = dx.stride;
            let rows = part.group.len;
            self.project_backward(rows, &tape.z, rows, start, dx.at_mut(0), stride);
        }
        part.tapes[self.tape] = tape;
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

struct Forward<'a, T> {
    scan: &'a Scan<T>,
    part: &'a Part<T>,
    tape: &'a mut Tape<T>,
    out: &'a mut Rows<T>,
    table: Option<&'a Table<T>>,
}

impl<T: Elementary> Visit for Forward<'_, T> {
    type Out = ();
    fn visit<const S: usize, C: Step<S>>(self, cell: C) {
        let Self { scan, part, tape, out, table } = self;
        let (group, stride, lanes, isa) = (&part.group, out.stride, scan.lanes, scan.isa);
        let line = S * lanes;
        for (t, step) in group.steps.iter().enumerate() {
            let (prev, now) = (group.prev(t), group.rows.len() + step.first);
            let (h_before, h_now) = out.data.split_at_mut(now * stride);
            let h_before = &h_before[prev * stride..];
            let (c_before, c_now): (&[T], &mut [T]) = if C::MEMORY {
                let (before, now) = tape.c.data.split_at_mut(now * stride);
                (&before[prev * stride..], now)
            } else {
                (&[], &mut [])
            };
            let column = |s: usize| s * lanes;
            // Twice round the blocks where a product waits for the reset gate of all units.
            for pass in 0..1 + usize::from(C::RESETS) {
                for block in 0..scan.blocks {
                    let z = &mut tape.z[(block * group.len + step.first) * line..][..step.active * line];
                    if let (Some(table), 0) = (table, pass) {
                        let rows = &part.token_rows[step.first..][..step.active];
                        for (row, &token) in z.chunks_exact_mut(line).zip(rows) {
                            row.copy_from_slice(table.row(block, token as usize, line));
                        }
                    }
                    for (product, [weight, _]) in scan.layout.products.iter().zip(&scan.products) {
                        let (operand, mine): (&[T], _) = match product.operand {
                            Operand::H => (h_before, pass == 0),
                            Operand::C => (c_before, pass == 0),
                            Operand::ResetH => (tape.reset.at(step.first), pass == 1),
                        };
                        if mine {
                            let a = Left::rows(operand, stride, scan.hidden);
                            let z = &mut z[column(product.slot)..];
                            panel_product(isa, step.active, a, weight.panel(block), Start::There, z, line);
                        }
                    }
                    let at = block * lanes;
                    if C::RESETS && pass == 0 {
                        let (h, reset) = (&h_before[at..], &mut tape.reset.at_mut(step.first)[at..]);
                        isa.run(ResetRows { cell, rows: step.active, stride, z, h, reset });
                    } else {
                        let prev = State { h: &h_before[at..], c: tail(c_before, at) };
                        let next = State { h: &mut h_now[at..], c: tail_mut(c_now, at) };
                        let peephole = scan.peephole_at(at);
                        isa.run(StepRows { cell, rows: step.active, stride, z, prev, next, peephole });
                    }
                }
            }
        }
    }
}

struct Backward<'a, T> {
    scan: &'a Scan<T>,
    part: &'a Part<T>,
    tape: &'a mut Tape<T>,
}

impl<T: Elementary> Visit for Backward<'_, T> {
    type Out = ();
    fn visit<const S: usize, C: Step<S>>(self, cell: C) {
        let Self { scan, part, tape } = self;
        let (group, lanes, isa) = (&part.group, scan.lanes, scan.isa);
        let (out, dy) = (&part.slots[scan.out], &part.d_slots[scan.out]);
        let (stride, line) = (out.stride, S * lanes);
        for (t, step) in group.steps.iter().enumerate().rev() {
            let (prev, now, rows) = (group.prev(t), group.rows.len() + step.first, step.active);
            let h_before = &out.data[prev * stride..];
            for block in 0..scan.blocks {
                let at = block * lanes;
                let z = &mut tape.z[(block * group.len + step.first) * line..][..rows * line];
                let memory = |row: usize| if C::MEMORY { &tape.c.data[row * stride + at..] } else { &[][..] };
                let prev = State { h: &h_before[at..], c: memory(prev) };
                let next = State { h: &out.data[now * stride + at..], c: memory(now) };
                let dy = &dy.at(step.first)[at..];
                let d = State { h: &mut tape.dh.data[at..], c: tail_mut(&mut tape.dc.data, at) };
                let peephole = scan.peephole_at(at);
                isa.run(StepBackwardRows { cell, rows, stride, z, prev, next, dy, d, peephole });
            }
            for (product, [_, transposed]) in scan.layout.products.iter().zip(&scan.products).rev() {
                let z = &tape.z[step.first * line..];
                let dz = scan.gradients(group.len, z, product.slot, product.gates.len());
                let add = |start: Start<'_, T>, to: &mut [T]| {
                    transposed.product(isa, rows, dz, start, to, stride);
                };
                match product.operand {
                    Operand::H => add(Start::There, &mut tape.dh.data),
                    Operand::C => add(Start::There, &mut tape.dc.data),
                    Operand::ResetH => {
                        add(Start::Zero, &mut tape.d_reset.data);
                        for block in 0..scan.blocks {
                            let at = block * lanes;
                            let z = &mut tape.z[(block * group.len + step.first) * line..][..rows * line];
                            let (h, d_reset) = (&h_before[at..], &tape.d_reset.data[at..]);
                            let dh = &mut tape.dh.data[at..];
                            isa.run(ResetBackwardRows { cell, rows, stride, z, h, d_reset, dh });
                        }
                    }
                }
            }
        }
    }
}

impl<T> Scan<T> {
    fn peephole_at(&self, unit: usize) -> [&[T]; 3] {
        [0, 1, 2].map(|gate| tail(&self.peephole[gate], unit))
    }
}

/// From `at` on, or nothing of nothing.
fn tail<T>(all: &[T], at: usize) -> &[T] {
    if all.is_empty() { all } else { &all[at..] }
}

fn tail_mut<T>(all: &mut [T], at: usize) -> &mut [T] {
    if all.is_empty() { all } else { &mut all[at..] }
}
