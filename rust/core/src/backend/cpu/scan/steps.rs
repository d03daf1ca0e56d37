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
use super::super::noise::{Blend, Extent};
use super::super::norm::Gains;
use super::super::packed::Packed;
use super::super::panels::Nth;
use super::super::part::Part;
use super::super::pointwise::{self, Units, each_row, each_row_fetching};
use super::super::scratch::Rows;
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
    ready: usize,
    /// The packed row whose numbers are the first in `z`, and how many rows of each unit block there are.
    first: usize,
    room: usize,
}

/// Rows of the input that pass through its panels together: enough that a weight read once is used often,
/// few enough that what is made of them is still at hand when their steps come.
const ROWS_AHEAD: usize = 48;

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

impl<T: Elementary> Visit for Together<'_, T> {
    type Out = ();
    fn visit<const S: usize, C: Step<S>>(mut self, cell: C) {
        let (blocks, at_once, normalises) = (self.scan.blocks, self.scan.at_once, self.scan.normalises());
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
                    if normalises {
                        group.multiply(t, pass, 0..blocks, Nth::ONLY);
                        group.normalise(t, pass);
                    }
                }
                let of = self.at(t).count();
                for first in (0..blocks).step_by(at_once) {
                    let run = first..blocks.min(first + at_once);
                    for (number, group) in self.at(t).enumerate() {
                        if !normalises {
                            group.multiply(t, pass, run.clone(), Nth { number, of });
                        }
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
    fn places(&self, t: usize, blocks: &Range<usize>) -> Range<usize> {
        self.place(t, blocks.start).start..self.place(t, blocks.end - 1).end
    }

    /// From a unit block to the next.
    pub(super) fn apart(&self) -> usize {
        self.room * self.scan.line()
    }

    /// The input's part of the next steps.
    fn take_input(&mut self) {
        let group = &self.part.group;
        let first = group.steps[self.ready].first;
        if self.room < group.len {
            self.first = first;
        }
        let rest = group.steps[self.ready..].iter().map(|step| step.first + step.active);
        let together = rest.take_while(|end| end - first <= ROWS_AHEAD);
        let (steps, end) = together.fold((0, first), |(steps, _), end| (steps + 1, end));
        self.ready += steps;
        if self.table.is_none() {
            let (x, place) = (&self.part.slots[self.scan.input.slot], first - self.first..end - self.first);
            self.scan.project(self.crew, self.room, place, (x.at(first), x.stride), self.tape);
        }
    }

    /// Looks at the memory, if this is the time of a step to do so.
    fn look(&mut self, t: usize, when: When) {
        let Some(attend) = self.scan.attend.as_ref().filter(|a| a.attention.when == when) else { return };
        let from = if when == When::Before { self.part.group.prev(t) } else { self.now(t).0 };
        let (part, tape) = (self.part, &mut self.tape.attend);
        attend.look(&part.group, t, (self.out, from), &part.memory, tape, self.context);
        if let Some(sight) = &attend.sight {
            let step = part.group.steps[t];
            let seen = Left::rows(self.context.at(step.first), self.context.stride, attend.attention.memory);
            sight.round(self.scan.isa, step.active, seen, &mut tape.rounded);
        }
    }

    /// Adds W_ch c to some unit blocks.
    fn see_context(&mut self, t: usize, blocks: Range<usize>, nth: Nth) {
        let Some(attend) = &self.scan.attend else { return };
        let Some(sight) = &attend.sight else { return };
        let (place, apart, step) = (self.places(t, &blocks), self.apart(), self.part.group.steps[t]);
        let seen = Left::rows(self.context.at(step.first), self.context.stride, attend.attention.memory);
        let Tape { z, attend, .. } = &mut *self.tape;
        let (seen, z) = (sight.operand(seen, &attend.rounded), &mut z[place]);
        let line = self.scan.line();
        sight.blocks_product(self.scan.isa, step.active, seen, blocks, Start::There, z, [line, apart], nth);
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

    /// The products of this pass for some unit blocks, into z or, where they are normalised, beside it.
    fn multiply(&mut self, t: usize, pass: usize, blocks: Range<usize>, nth: Nth) {
        let (scan, places, apart) = (self.scan, self.places(t, &blocks), self.apart());
        let (group, line) = (&self.part.group, scan.line());
        let step = group.steps[t];
        if let (Some((table, rows)), 0) = (self.table, pass) {
            for block in blocks.clone() {
                let place = self.place(t, block);
                let z = self.tape.z[place].chunks_exact_mut(line);
                for (z, &token) in z.zip(&rows[step.first..]) {
                    z.copy_from_slice(table.row(block, token as usize, line));
                }
            }
        }
        if pass == 0 {
            self.see_context(t, blocks.clone(), nth);
        }
        let normalises = scan.normalises();
        let Tape { z, norm, c, reset, noise, rounded, .. } = &mut *self.tape;
        let (to, start) = if normalises {
            (&mut norm.recurrent.x[places], Start::Zero)
        } else {
            (&mut z[places], Start::There)
        };
        for ((product, weight), rounded) in scan.layout.products.iter().zip(self.products).zip(rounded) {
            if pass_of(product) == pass {
                let a = scan.multiplied(product.operand, group, t, [self.out, &noise.seen, c, reset]);
                let (a, to) = (weight.operand(a, rounded), &mut to[product.slot * scan.lanes..]);
                weight.blocks_product(
                    scan.isa,
                    step.active,
                    a,
                    blocks.clone(),
                    start,
                    to,
                    [line, apart],
                    nth,
                );
            }
        }
    }

    /// Adds the normalised products of this pass to z.
    fn normalise(&mut self, t: usize, pass: usize) {
        let (scan, group) = (self.scan, &self.part.group);
        let Some(norm) = &scan.norm else { return };
        let (line, block, step) = (scan.line(), group.len * scan.line(), group.steps[t]);
        let Tape { z, norm: kept, .. } = &mut *self.tape;
        for (index, slots) in norm.recurrent_slots.iter().enumerate() {
            if scan.pass_of(index) == pass {
                let gains = Gains { gain: &norm.recurrent, bias: None, block: line };
                let at = step.first * line;
                let scale = &mut kept.recurrent.scale[index * group.len + step.first..][..step.active];
                let x = &mut kept.recurrent.x[at..];
                scan.of(block, slots).forward(step.active, x, gains, &mut z[at..], [line, block], scale);
            }
        }
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

    /// The first half of a step whose memory is normalised.
    fn remember<const S: usize, C: Step<S>>(&mut self, cell: C, t: usize, block: usize) {
        let (scan, place, at) = (self.scan, self.place(t, block), block * self.scan.lanes);
        let (now, rows) = self.now(t);
        let (prev, first) = (self.part.group.prev(t), self.part.group.steps[t].first);
        let Tape { z, c, noise, .. } = &mut *self.tape;
        let units =
            Units { peephole: scan.peephole_at(at), candidate: row_or_none(&noise.candidate, first, at) };
        let stride = c.stride;
        let (before, now) = c.data.split_at_mut(now * stride);
        let (prev_c, next_c) = (&before[prev * stride + at..], &mut now[at..]);
        let op = pointwise::Memory { cell, prev_c, next_c, units };
        each_row(scan.isa, rows, stride, &mut z[place], op);
    }

    fn normalise_memory(&mut self, t: usize) {
        let Some([gain, bias]) = self.scan.norm.as_ref().and_then(|norm| norm.memory.as_ref()) else {
            return;
        };
        let ((now, rows), first) = (self.now(t), self.part.group.steps[t].first);
        let Tape { c, norm, .. } = &mut *self.tape;
        let (stride, lanes) = (c.stride, self.scan.lanes);
        let x = norm.memory.at_mut(first);
        x[..rows * stride].copy_from_slice(&c.data[now * stride..][..rows * stride]);
        let gains = Gains { gain, bias: Some(bias), block: lanes };
        let (y, scale) = (norm.seen.at_mut(first), &mut norm.memory_scale[first..][..rows]);
        self.scan.rows_of(stride).forward(rows, x, gains, y, [stride, lanes], scale);
    }

    /// The second half: h from the normalised memory.
    fn emit<const S: usize, C: Step<S>>(&mut self, cell: C, t: usize, block: usize) {
        let (scan, place, at) = (self.scan, self.place(t, block), block * self.scan.lanes);
        let ((now, rows), first) = (self.now(t), self.part.group.steps[t].first);
        let Tape { z, norm, wide, .. } = &mut *self.tape;
        let (stride, seen) = (norm.seen.stride, &norm.seen.at(first)[at..]);
        let h = if scan.projection.is_some() {
            &mut wide.at_mut(first)[at..]
        } else {
            &mut self.out.data[now * stride + at..]
        };
        each_row(scan.isa, rows, stride, &mut z[place], pointwise::Emit { cell, seen, h });
    }

    /// h ← W_hr h.
    fn project(&mut self, t: usize) {
        let Some(weight) = &self.scan.projection else { return };
        let ((now, rows), first) = (self.now(t), self.part.group.steps[t].first);
        let (wide, stride) = (&self.tape.wide, self.out.stride);
        let a = Left::rows(wide.at(first), wide.stride, self.scan.recurrence.hidden);
        weight.product(self.scan.isa, rows, a, Start::Zero, &mut self.out.data[now * stride..], stride);
    }

    /// Some units keep their old state.
    pub(super) fn zoneout(&mut self, t: usize) {
        let ((now, rows), first) = (self.now(t), self.part.group.steps[t].first);
        let prev = self.part.group.prev(t);
        let noise = &mut self.tape.noise;
        if noise.new_c.stride > 0 {
            let (stride, c) = (noise.new_c.stride, &self.tape.c.data);
            noise.new_c.at_mut(first)[..rows * stride].copy_from_slice(&c[now * stride..][..rows * stride]);
        }
        for (values, keep) in [&mut *self.out, &mut self.tape.c].into_iter().zip(&noise.keep) {
            if keep.stride > 0 {
                let stride = values.stride;
                let extent = Extent { rows, width: stride, stride };
                let (before, after) = values.data.split_at_mut(now * stride);
                let (prev, k) = (&before[prev * stride..], keep.at(first));
                self.scan.isa.run(Blend { extent, prev, next: after, k });
            }
        }
    }
}

/// In which pass round the blocks a product is made.
fn pass_of(product: &Product) -> usize {
    usize::from(product.operand == Operand::ResetH)
}

/// From unit `at` of packed row `row` on, or nothing where there are no rows.
pub(super) fn row_or_none<T: Elementary>(rows: &Rows<T>, row: usize, at: usize) -> &[T] {
    if rows.stride == 0 { &[] } else { &rows.at(row)[at..] }
}

/// From `at` on, or nothing of nothing.
pub(super) fn tail<T>(all: &[T], at: usize) -> &[T] {
    if all.is_empty() { all } else { &all[at..] }
}

pub(in super::super) fn tail_mut<T>(all: &mut [T], at: usize) -> &mut [T] {
    if all.is_empty() { all } else { &mut all[at..] }
}
