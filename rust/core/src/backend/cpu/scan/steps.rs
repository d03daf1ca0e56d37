//! The run of one layer through all steps of some groups.
//!
//! Per step and unit block: the block's pre-activations (the input's part is there already) take
//! the recurrent product while they sit in registers, then the cell's step runs on them while
//! they sit in the first cache. Where all units have to be known first (a reset gate, layer
//! normalisation) the blocks are gone round again.

use super::super::context::Context;
use super::super::gemm::Start;
use super::super::groups::TOGETHER;
use super::super::math::Elementary;
use super::super::packed::Packed;
use super::super::panels::Nth;
use super::super::part::Part;
use super::super::table::Table;
use super::super::threads::Crew;
use super::Scan;
use super::input::ROWS_AHEAD;
use super::step::{Forward, pass_of};
use crate::cells::{Step, Visit};
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
}

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
