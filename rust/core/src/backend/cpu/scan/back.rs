//! The run of one layer back through all steps of some groups: the reverse of [`super::steps`].
//!
//! `dh` and `dc` hold the gradient of the state after the step at hand and are left with that
//! before it; `z` is left with the gradients of the pre-activations, and of a normalised layer
//! x̂ with those of the products. The input's gradient follows some steps behind.

use super::super::gemm::Start;
use super::super::groups::{Group, TOGETHER};
use super::super::math::Elementary;
use super::super::memory::Memory;
use super::super::packed::Packed;
use super::super::part::Part;
use super::super::pointwise::{self, Above, Units, each_row, each_row_fetching};
use super::super::products_back::Back;
use super::super::scratch::{Rows, row_or_none, tail_mut};
use super::super::tape::Tape;
use super::super::threads::Crew;
use super::Scan;
use super::together::{Together, Walk};
use crate::cells::{Operand, Product, State, Step, Visit};
use crate::program::When;
use std::array::from_fn;
use std::mem::take;
use std::ops::Range;

impl<T: Elementary> Scan<T> {
    /// The way back, from the gradients of the final state and of the output.
    pub(in super::super) fn backward(
        &self,
        crew: Crew,
        parts: &mut [Part<T>],
        from_table: bool,
        products: &[Packed<T>],
    ) {
        self.by_crew(crew, parts, |crew, parts| self.run_back(crew, parts, from_table, products));
    }

    fn run_back(&self, crew: Crew, parts: &mut [Part<T>], from_table: bool, products: &[Packed<T>]) {
        // Threads that have no group share what others pass on.
        let passes = if parts.len() < crew.threads() { crew } else { Crew::ALONE };
        let mut groups = parts.iter_mut();
        let mut taken: [_; TOGETHER] = from_fn(|_| {
            let part = groups.next()?;
            let mut tape = take(&mut part.tapes[self.tape]);
            // Also of a group without steps.
            tape.norm.recurrent.d_gain.fill(T::ZERO);
            tape.norm.input.d_gain.fill(T::ZERO);
            tape.norm.d_memory.iter_mut().for_each(|d| d.fill(T::ZERO));
            let memory = take(&mut part.memory);
            let dx = if from_table { Rows::default() } else { take(&mut part.d_slots[self.input.slot]) };
            Some((part, tape, memory, dx))
        });
        if let Some(attend) = &self.attend {
            crew.each(&mut taken, |_, group| {
                group.iter_mut().for_each(|(_, tape, memory, _)| attend.start_back(memory, &mut tape.attend));
            });
        }
        let mut all = taken.iter_mut().flatten();
        let groups = from_fn(|_| {
            let (part, tape, memory, dx) = all.next()?;
            let part = &**part;
            Some(Backward { scan: self, passes, part, tape, memory, dx, missing: part.group.len })
        });
        let groups = Together { crew, all: groups };
        self.recurrence.cell.visit(StepsBack { scan: self, products, from_table, groups });
        if let Some(attend) = &self.attend {
            crew.each(&mut taken, |_, group| {
                group.iter_mut().for_each(|(_, _, memory, _)| attend.finish_back(memory));
            });
        }
        for (part, tape, memory, dx) in taken.into_iter().flatten() {
            (part.memory, part.tapes[self.tape]) = (memory, tape);
            if !from_table {
                part.d_slots[self.input.slot] = dx;
            }
        }
    }

    /// After the backward run: the gradients of W_ih x, laid out as `z`.
    pub(super) fn input_gradients<'a>(&self, tape: &'a Tape<T>) -> &'a [T] {
        if self.normalises() { &tape.norm.input.x } else { &tape.z }
    }

    /// After the backward run: the gradients of the recurrent products, laid out as `z`.
    pub(super) fn recurrent_gradients<'a>(&self, tape: &'a Tape<T>) -> &'a [T] {
        if self.normalises() { &tape.norm.recurrent.x } else { &tape.z }
    }
}

/// A group's way back.
pub(super) struct Backward<'a, T> {
    pub(super) scan: &'a Scan<T>,
    /// Who shares the input's gradient.
    pub(super) passes: Crew<'a>,
    pub(super) part: &'a Part<T>,
    pub(super) tape: &'a mut Tape<T>,
    pub(super) memory: &'a mut Memory<T>,
    /// The gradient of the input, and the row before which it is not there yet.
    pub(super) dx: &'a mut Rows<T>,
    pub(super) missing: usize,
}

/// All that a run back through the steps sees.
struct StepsBack<'a, T> {
    scan: &'a Scan<T>,
    products: &'a [Packed<T>],
    /// The input's gradient is made elsewhere.
    from_table: bool,
    groups: Together<'a, Backward<'a, T>>,
}

impl<T: Elementary> Walk for Backward<'_, T> {
    fn group(&self) -> &Group {
        &self.part.group
    }
}

impl<T: Elementary> StepsBack<'_, T> {
    /// Back through a product to what it multiplied.
    fn multiply(&mut self, t: usize, product: &Product, weight: &Packed<T>) {
        let start = if product.operand == Operand::ResetH { Start::Zero } else { Start::There };
        let (crew, isa) = (self.groups.crew, self.scan.isa);
        let mut groups = self.groups.at(t);
        let mut all: [_; TOGETHER] = from_fn(|_| groups.next().map(|group| group.through(t, product)));
        weight.products_back(crew, isa, start, &mut all);
    }
}

impl<T: Elementary> Visit for StepsBack<'_, T> {
    type Out = ();
    fn visit<const S: usize, C: Step<S>>(mut self, cell: C) {
        let (scan, products, from_table) = (self.scan, self.products, self.from_table);
        for t in (0..self.groups.steps()).rev() {
            self.groups.each(t, |group| {
                group.finish(t + 1, from_table);
                group.look_back(t, When::After);
                group.share_gradient(t);
                if C::MEMORY && scan.normalises_memory() {
                    (0..scan.blocks).for_each(|block| group.emit::<S, C>(cell, t, block));
                    group.normalise_memory(t);
                    (0..scan.blocks).for_each(|block| group.remember::<S, C>(cell, t, block));
                } else {
                    (0..scan.blocks).for_each(|block| group.step::<S, C>(cell, t, block));
                }
                group.join_memory(t);
                group.tape.noise.d_seen.data.fill(T::ZERO);
            });
            for (product, weight) in scan.layout.products.iter().zip(products).rev() {
                if scan.normalises() {
                    self.groups.each(t, |group| group.normalise(t, product));
                }
                self.multiply(t, product, weight);
                if C::RESETS && product.operand == Operand::ResetH {
                    self.groups.each(t, |group| {
                        (0..scan.blocks).for_each(|block| group.reset::<S, C>(cell, t, block));
                    });
                }
            }
        }
        // What threads share must not lie within what they have of a group.
        if self.groups.at(0).any(|group| group.passes.is_team()) {
            self.groups.at(0).for_each(|group| group.finish(0, from_table));
        } else {
            self.groups.each(0, |group| group.finish(0, from_table));
        }
    }
}

impl<T: Elementary> Backward<'_, T> {
    /// Where unit block `block` of step `t` lies in `z`.
    pub(super) fn place(&self, t: usize, block: usize) -> Range<usize> {
        let (group, line) = (&self.part.group, self.scan.line());
        let start = (block * group.len + group.steps[t].first) * line;
        start..start + group.steps[t].active * line
    }

    /// What follows the products of step `t`, if it has such a step.
    fn finish(&mut self, t: usize, from_table: bool) {
        if t < self.part.group.steps.len() {
            self.unsee(t);
            self.look_back(t, When::Before);
            if !from_table {
                self.pass_on(t);
            }
        }
    }

    fn step<const S: usize, C: Step<S>>(&mut self, cell: C, t: usize, block: usize) {
        let (scan, place, at) = (self.scan, self.place(t, block), block * self.scan.lanes);
        let (prev, step, out) = (self.part.group.prev(t), self.part.group.steps[t], scan.recurrence.out);
        let (h, dy) = (&self.part.slots[out], &self.part.d_slots[out]);
        let Tape { z, c, dh, dc, noise, d_new, d_wide, .. } = &mut *self.tape;
        let units = Units {
            peephole: scan.peephole_at(at),
            candidate: row_or_none(&noise.candidate, step.first, at),
        };
        let dc = if noise.keep[1].stride > 0 { &mut noise.d_new_c } else { dc };
        let c = if C::MEMORY { &c.data[prev * c.stride + at..] } else { &[][..] };
        let (stride, h, above, dh) = if scan.projection.is_some() {
            (d_wide.stride, &[][..], Above::Whole(&d_wide.data[at..]), &mut [][..])
        } else {
            let above = if scan.shares_gradient() {
                Above::Whole(&d_new.at(step.first)[at..])
            } else {
                Above::Beside(&dy.at(step.first)[at..])
            };
            (h.stride, &h.data[prev * h.stride + at..], above, &mut dh.data[at..])
        };
        let (prev, d) = (State { h, c }, State { h: dh, c: tail_mut(&mut dc.data, at) });
        let op = pointwise::Backward { cell, prev, dh: above, d, units };
        let z = (&mut z[..], place.start, self.part.group.len * scan.line());
        each_row_fetching(scan.isa, step.active, stride, z, op);
    }

    /// What goes back through a product, and where to.
    fn through(&mut self, t: usize, product: &Product) -> Back<'_, T> {
        let (scan, group, step) = (self.scan, &self.part.group, self.part.group.steps[t]);
        let Tape { z, norm, dh, dc, d_reset, noise, rounded: [room, _], .. } = &mut *self.tape;
        let dz: &[T] = if scan.normalises() { &norm.recurrent.x } else { z };
        let a = scan.gradients(group.len, &dz[step.first * scan.line()..], product.slot, product.gates.len());
        let to = match product.operand {
            Operand::H if noise.d_seen.stride > 0 => &mut noise.d_seen,
            Operand::H => dh,
            Operand::C => dc,
            Operand::ResetH => d_reset,
        };
        Back { rows: step.active, a, stride: to.stride, c: &mut to.data, room }
    }

    fn reset<const S: usize, C: Step<S>>(&mut self, cell: C, t: usize, block: usize) {
        let (scan, place, at) = (self.scan, self.place(t, block), block * self.scan.lanes);
        let (prev, rows) = (self.part.group.prev(t), self.part.group.steps[t].active);
        let Tape { z, dh, d_reset, noise, .. } = &mut *self.tape;
        let out = &self.part.slots[scan.recurrence.out];
        let masked = noise.seen.stride > 0;
        let (h, dh) = if masked { (&noise.seen, &mut noise.d_seen) } else { (out, dh) };
        let (stride, h) = (h.stride, &h.data[prev * h.stride + at..]);
        let (d_reset, dh) = (&d_reset.data[at..], &mut dh.data[at..]);
        let op = pointwise::ResetBackward { cell, h, d_reset, dh };
        each_row(scan.isa, rows, stride, &mut z[place], op);
    }
}
