//! The run of one layer through all steps of a group, forward and back.
//!
//! Per step and unit block: the block's pre-activations (the input's part is there already) take
//! the recurrent product while they sit in registers, then the cell's step runs on them while
//! they sit in the first cache.

use super::super::gemm::{Left, Start, panel_product};
use super::super::math::Elementary;
use super::super::part::{Part, Tape};
use super::super::pointwise::{ResetBackwardRows, ResetRows, StepBackwardRows, StepRows};
use super::super::scratch::Rows;
use super::super::tokens::Table;
use super::Scan;
use crate::cells::{Operand, State, Step, Visit};
use std::mem::take;

impl<T: Elementary> Scan<T> {
    /// Runs the group through all steps. The state before the first is in the leading rows.
    pub(in super::super) fn forward(&self, part: &mut Part<T>, table: Option<&Table<T>>) {
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
    pub(in super::super) fn backward(&self, part: &mut Part<T>, table: Option<&Table<T>>) {
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
