//! The run of one layer through all steps of some groups.
//!
//! Per step and unit block: the block's pre-activations (the input's part is there already) take
//! the recurrent product while they sit in registers, then the cell's step runs on them while
//! they sit in the first cache. Where all units have to be known first (a reset gate, layer
//! normalisation) the blocks are gone round again.

use super::super::context::Context;
use super::super::gemm::{Left, Start};
use super::super::groups::{Group, TOGETHER};
use super::super::math::Elementary;
use super::super::packed::Packed;
use super::super::panels::Nth;
use super::super::part::Part;
use super::super::pointwise::{self, Units, each_row, each_row_fetching};
use super::super::products::Through;
use super::super::scratch::{Rows, row_or_none, tail};
use super::super::table::Table;
use super::super::tape::Tape;
use super::super::threads::Crew;
use super::Scan;
use crate::cells::{Operand, Product, State, Step, Visit};
use crate::program::When;
use std::array::from_fn;
use std::mem::take;
use std::ops::Range;

impl<T: Elementary> Scan<T> {
    /// Runs some groups, at most [`TOGETHER`], through all steps. The state before the first is in the
    /// leading rows.
    pub(in super::super) fn forward(
        &self,
        crew: Crew,
        parts: &mut [Part<T>],
        table: Option<&Table<T>>,
        products: &[Packed<T>],
        run: &Context<'_, T>,
    ) {
        let context_slot = self.attend.as_ref().map(|attend| attend.attention.context);
        let mut taken: [_; TOGETHER] = from_fn(|i| {
            let part = parts.get_mut(i)?;
            let mut tape = take(&mut part.tapes[self.tape]);
            let out = take(&mut part.slots[self.recurrence.out]);
            let context = context_slot.map(|slot| take(&mut part.slots[slot])).unwrap_or_default();
            self.draw_masks(part, &mut tape, run);
            self.see(&mut tape, &out, 0, part.group.rows.len(), 0);
            if let Some(attend) = &self.attend {
                attend.start(&mut part.memory, &mut tape.attend, part.group.len, run.memory_steps);
            }
            Some((tape, out, context))
        });
        let mut all = taken.iter_mut().flatten().zip(&*parts);
        let all = from_fn(|_| {
            let ((tape, out, context), part) = all.next()?;
            let table = table.zip(self.tokens);
            let table = table.map(|(table, tokens)| (table, &part.token_rows[tokens.slot][..]));
            // Without a way back nothing is kept of a step that is over: `z` stays in a cache.
            let passing = run.training.is_none() && !self.normalises();
            let room = if passing { ROWS_AHEAD.max(part.group.rows.len()) } else { usize::MAX };
            let room = room.min(part.group.len);
            let (ready, first) = (0, 0);
            Some(Forward { scan: self, crew, part, tape, out, context, products, table, ready, first, room })
        });
        self.recurrence.cell.visit(Together { scan: self, all });
        for ((tape, out, context), part) in taken.into_iter().flatten().zip(parts) {
            (part.tapes[self.tape], part.slots[self.recurrence.out]) = (tape, out);
            if let Some(slot) = context_slot {
                part.slots[slot] = context;
            }
        }
    }

    /// What a product multiplies at step `t`, of h, h under its mask, c and r ⊙ h.
    pub(super) fn multiplied<'a>(
        &self,
        operand: Operand,
        group: &Group,
        t: usize,
        [h, seen, c, reset]: [&'a Rows<T>; 4],
    ) -> Left<'a, T> {
        let (rows, first) = match operand {
            Operand::H if seen.stride > 0 => (seen, group.prev(t)),
            Operand::H => (h, group.prev(t)),
            Operand::C => (c, group.prev(t)),
            Operand::ResetH => (reset, group.steps[t].first),
        };
        Left::rows(&rows.data[first * rows.stride..], rows.stride, self.terms(operand))
    }

    pub(in super::super) fn peephole_at(&self, unit: usize) -> [&[T]; 3] {
        [0, 1, 2].map(|gate| tail(&self.peephole[gate], unit))
    }
}

pub(super) struct Forward<'a, T> {
    pub(super) scan: &'a Scan<T>,
    /// Who shares a step.
    pub(super) crew: Crew<'a>,
    pub(super) part: &'a Part<T>,
    pub(super) tape: &'a mut Tape<T>,
    pub(super) out: &'a mut Rows<T>,
    /// Of the memory that the layer attends to.
    pub(super) context: &'a mut Rows<T>,
    pub(super) products: &'a [Packed<T>],
    /// The input's part of every distinct token, and which of them each packed row reads.
    pub(super) table: Option<(&'a Table<T>, &'a [u32])>,
    /// Steps whose input's part of `z` is there, or has room if it comes from the table.
    pub(super) ready: usize,
    /// The packed row whose numbers are the first in `z`, and how many rows of each unit block there are.
    pub(super) first: usize,
    pub(super) room: usize,
}

/// Rows of the input that pass through its panels together: enough that a weight read once is used often,
/// few enough that what is made of them is still at hand when their steps come.
pub(super) const ROWS_AHEAD: usize = 48;

/// Groups that go through the steps side by side: what is read of a weight for one is there for all.
struct Together<'a, T> {
    scan: &'a Scan<T>,
    all: [Option<Forward<'a, T>>; TOGETHER],
}

impl<'a, T> Together<'a, T> {
    /// Those that have a step `t`.
    fn at(&mut self, t: usize) -> impl Iterator<Item = &mut Forward<'a, T>> {
        self.all.iter_mut().flatten().filter(move |group| t < group.part.group.steps.len())
    }
}

impl<T: Elementary> Together<'_, T> {
    /// The products of this pass for some unit blocks.
    fn multiply(&mut self, t: usize, pass: usize, blocks: Range<usize>) {
        let (scan, of) = (self.scan, self.at(t).count());
        if pass == 0 {
            for (number, group) in self.at(t).enumerate() {
                group.begin(t, &blocks, Nth { number, of });
            }
        }
        let start = if scan.normalises() { Start::Zero } else { Start::There };
        for (number, product) in scan.layout.products.iter().enumerate() {
            if pass_of(product) == pass {
                let Some(weight) = self.at(t).next().map(|group| &group.products[number]) else { return };
                let all = self.at(t).map(|group| group.through(t, number, &blocks));
                weight.blocks_products(scan.isa, all, of, &blocks, start);
            }
        }
    }
}

impl<T: Elementary> Visit for Together<'_, T> {
    type Out = ();
    fn visit<const S: usize, C: Step<S>>(mut self, cell: C) {
        let (blocks, at_once, normalises) = (self.scan.blocks, self.scan.at_once(), self.scan.normalises());
        let steps = self.all.iter().flatten().map(|group| group.part.group.steps.len()).max();
        for t in 0..steps.unwrap_or(0) {
            self.at(t).filter(|group| group.ready == t).for_each(Forward::take_input);
            // A group that threads share is alone.
            if let Some(group) = self.at(t).find(|group| group.shares(t)) {
                group.share::<S, C>(cell, t);
                continue;
            }
            self.at(t).for_each(|group| group.look(t, When::Before));
            // Twice round the blocks where a product waits for the reset gate of all units.
            for pass in 0..1 + usize::from(C::RESETS) {
                let last = pass == usize::from(C::RESETS);
                for group in self.at(t) {
                    group.round(t, pass);
                }
                if normalises {
                    self.multiply(t, pass, 0..blocks);
                    self.at(t).for_each(|group| group.normalise(t, pass));
                }
                for first in (0..blocks).step_by(at_once) {
                    let run = first..blocks.min(first + at_once);
                    if !normalises {
                        self.multiply(t, pass, run.clone());
                    }
                    for group in self.at(t) {
                        for block in run.clone() {
                            // What a cell has not is not compiled for it.
                            if C::RESETS && !last {
                                group.reset::<S, C>(cell, t, block);
                            } else if C::MEMORY && group.scan.normalises_memory() {
                                group.remember::<S, C>(cell, t, block);
                            } else {
                                group.step::<S, C>(cell, t, block);
                            }
                        }
                    }
                }
            }
            for group in self.at(t) {
                if C::MEMORY && group.scan.normalises_memory() {
                    group.normalise_memory(t);
                    (0..blocks).for_each(|block| group.emit::<S, C>(cell, t, block));
                }
                group.project(t);
                group.zoneout(t);
                let (now, rows) = group.now(t);
                group.scan.see(group.tape, group.out, now, rows, 0);
                group.look(t, When::After);
            }
        }
    }
}

impl<T: Elementary> Forward<'_, T> {
    /// The row of the output where step `t` begins, and its rows.
    pub(super) fn now(&self, t: usize) -> (usize, usize) {
        let step = self.part.group.steps[t];
        (self.part.group.rows.len() + step.first, step.active)
    }

    /// Where unit block `block` of step `t` lies in `z`.
    pub(super) fn place(&self, t: usize, block: usize) -> Range<usize> {
        let (step, line) = (self.part.group.steps[t], self.scan.line());
        let start = (block * self.room + step.first - self.first) * line;
        start..start + step.active * line
    }

    /// From where the first of some unit blocks of step `t` begins to where the last ends.
    pub(super) fn places(&self, t: usize, blocks: &Range<usize>) -> Range<usize> {
        self.place(t, blocks.start).start..self.place(t, blocks.end - 1).end
    }

    /// From a unit block to the next.
    pub(super) fn apart(&self) -> usize {
        self.room * self.scan.line()
    }

    /// Rounds what the products of this pass multiply, where they take it rounded.
    pub(super) fn round(&mut self, t: usize, pass: usize) {
        let (scan, group) = (self.scan, &self.part.group);
        let Tape { c, reset, noise, rounded, .. } = &mut *self.tape;
        for ((product, weight), room) in scan.layout.products.iter().zip(self.products).zip(rounded) {
            if pass_of(product) == pass {
                let a = scan.multiplied(product.operand, group, t, [self.out, &noise.seen, c, reset]);
                weight.round(scan.isa, group.steps[t].active, a, room);
            }
        }
    }

    /// What the sums of a step's products start from for some unit blocks: the token's part, if that is in a table,
    /// and that of what it sees of a memory.
    fn begin(&mut self, t: usize, blocks: &Range<usize>, nth: Nth) {
        let (line, first) = (self.scan.line(), self.part.group.steps[t].first);
        if let Some((table, rows)) = self.table {
            for block in blocks.clone() {
                let place = self.place(t, block);
                let z = self.tape.z[place].chunks_exact_mut(line);
                for (z, &token) in z.zip(&rows[first..]) {
                    z.copy_from_slice(table.row(block, token as usize, line));
                }
            }
        }
        self.see_context(t, blocks.clone(), nth);
    }

    /// What goes through a product for some unit blocks, into z or, where it is normalised, beside it.
    fn through(&mut self, t: usize, number: usize, blocks: &Range<usize>) -> Through<'_, T> {
        let (scan, places, apart) = (self.scan, self.places(t, blocks), self.apart());
        let (group, product) = (&self.part.group, &scan.layout.products[number]);
        let Tape { z, norm, c, reset, noise, rounded, .. } = &mut *self.tape;
        let a = scan.multiplied(product.operand, group, t, [self.out, &noise.seen, c, reset]);
        let a = self.products[number].operand(a, &rounded[number]);
        let to = if scan.normalises() { &mut norm.recurrent.x } else { z };
        let c = &mut to[places][product.slot * scan.lanes..];
        Through { rows: group.steps[t].active, a, c, at: [scan.line(), apart] }
    }

    fn reset<const S: usize, C: Step<S>>(&mut self, cell: C, t: usize, block: usize) {
        let (scan, place) = (self.scan, self.place(t, block));
        let (prev, step) = (self.part.group.prev(t), self.part.group.steps[t]);
        let (at, stride) = (block * scan.lanes, self.out.stride);
        let Tape { z, reset, noise, .. } = &mut *self.tape;
        let h = if noise.seen.stride > 0 { &noise.seen.data } else { &self.out.data };
        let (h, reset) = (&h[prev * stride + at..], &mut reset.at_mut(step.first)[at..]);
        each_row(scan.isa, step.active, stride, &mut z[place], pointwise::Reset { cell, h, reset });
    }

    fn step<const S: usize, C: Step<S>>(&mut self, cell: C, t: usize, block: usize) {
        let (scan, at, apart) = (self.scan, block * self.scan.lanes, self.apart());
        let (place, (now, rows)) = (self.place(t, block), self.now(t));
        let (prev, first) = (self.part.group.prev(t), self.part.group.steps[t].first);
        let Tape { z, c, noise, wide, .. } = &mut *self.tape;
        let z = (&mut z[..], place.start, apart);
        let units =
            Units { peephole: scan.peephole_at(at), candidate: row_or_none(&noise.candidate, first, at) };
        let (c_before, c_now): (&[T], &mut [T]) = if C::MEMORY {
            let (before, now) = c.data.split_at_mut(now * c.stride);
            (&before[prev * c.stride + at..], &mut now[at..])
        } else {
            (&[], &mut [])
        };
        if scan.projection.is_some() {
            let (stride, h) = (wide.stride, &mut wide.at_mut(first)[at..]);
            let (prev, next) = (State { h: &[][..], c: c_before }, State { h, c: c_now });
            each_row_fetching(scan.isa, rows, stride, z, pointwise::Forward { cell, prev, next, units });
        } else {
            let stride = self.out.stride;
            let (h_before, h_now) = self.out.data.split_at_mut(now * stride);
            let prev = State { h: &h_before[prev * stride + at..], c: c_before };
            let next = State { h: &mut h_now[at..], c: c_now };
            each_row_fetching(scan.isa, rows, stride, z, pointwise::Forward { cell, prev, next, units });
        }
    }
}

/// In which pass round the blocks a product is made.
pub(super) fn pass_of(product: &Product) -> usize {
    usize::from(product.operand == Operand::ResetH)
}
