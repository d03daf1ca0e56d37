//! The run of one layer through all steps of some groups.
//!
//! Per step and unit block: the block's pre-activations (the input's part is there already) take
//! the recurrent product while they sit in registers, then the cell's step runs on them while
//! they sit in the first cache. Where all units have to be known first (a reset gate, layer
//! normalisation) the blocks are gone round again; where threads share the products ([`super::shared`])
//! all of them come before the cell's step.

use super::super::context::Context;
use super::super::gemm::Start;
use super::super::groups::{Group, TOGETHER};
use super::super::math::Elementary;
use super::super::packed::Packed;
use super::super::panels::{FEW, Nth};
use super::super::part::Part;
use super::super::table::Table;
use super::super::threads::Crew;
use super::Scan;
use super::input::ROWS_AHEAD;
use super::step::{Forward, pass_of};
use super::together::{Together, Walk};
use crate::backend::Precision;
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
        self.by_crew(crew, parts, |crew, parts| self.run(crew, parts, table, products, run));
    }

    fn run(
        &self,
        crew: Crew,
        parts: &mut [Part<T>],
        table: Option<&Table<T>>,
        products: &[Packed<T>],
        run: &Context<'_, T>,
    ) {
        let context_slot = self.attend.as_ref().map(|attend| attend.attention.context);
        let mut groups = parts.iter_mut();
        let mut taken: [_; TOGETHER] = from_fn(|_| {
            let part = groups.next()?;
            let tape = take(&mut part.tapes[self.tape]);
            let out = take(&mut part.slots[self.recurrence.out]);
            let context = context_slot.map(|slot| take(&mut part.slots[slot])).unwrap_or_default();
            Some((part, tape, out, context))
        });
        crew.each(&mut taken, |_, group| {
            let Some((part, tape, out, _)) = group else { return };
            self.draw_masks(part, tape, run);
            self.see(tape, out, 0, part.group.rows.len(), 0);
            if let Some(attend) = &self.attend {
                attend.start(&mut part.memory, &mut tape.attend, part.group.len, run.memory_steps);
            }
        });
        let mut all = taken.iter_mut().flatten();
        let groups = from_fn(|_| {
            let (part, tape, out, context) = all.next()?;
            let part = &**part;
            let table = table.zip(self.tokens);
            let table = table.map(|(table, tokens)| (table, &part.token_rows[tokens.slot][..]));
            // Without a way back nothing is kept of a step that is over: `z` stays in a cache.
            let passing = run.training.is_none() && !self.normalises();
            let room = if passing { ROWS_AHEAD.max(part.group.rows.len()) } else { usize::MAX };
            let room = room.min(part.group.len);
            let (ready, first) = (0, 0);
            Some(Forward { scan: self, crew, part, tape, out, context, products, table, ready, first, room })
        });
        self.recurrence.cell.visit(Steps { scan: self, groups: Together { crew, all: groups } });
        for (part, tape, out, context) in taken.into_iter().flatten() {
            (part.tapes[self.tape], part.slots[self.recurrence.out]) = (tape, out);
            if let Some(slot) = context_slot {
                part.slots[slot] = context;
            }
        }
    }
}

/// All that a run through the steps sees.
pub(super) struct Steps<'a, T> {
    pub(super) scan: &'a Scan<T>,
    pub(super) groups: Together<'a, Forward<'a, T>>,
}

impl<T: Elementary> Walk for Forward<'_, T> {
    fn group(&self) -> &Group {
        &self.part.group
    }
}

impl<T: Elementary> Steps<'_, T> {
    /// What comes before the products of a pass, if there is anything; of shared ones also what their sums start
    /// from, where that is more than a copy.
    fn prepare(&mut self, t: usize, pass: usize, is_shared: bool) {
        let (scan, first) = (self.scan, pass == 0);
        let from_table = self.groups.at(t).any(|group| group.table.is_some());
        let begins = is_shared && first && scan.begins_apart() && (from_table || scan.attend.is_some());
        if begins || first && scan.attend.is_some() || scan.precision != Precision::Full {
            self.groups.each(t, |group| {
                if first {
                    group.look(t, When::Before);
                }
                group.round(t, pass);
                if begins {
                    group.begin(t, &(0..scan.blocks), Nth::ONLY);
                }
            });
        }
    }

    /// The products of this pass for some unit blocks.
    fn multiply(&mut self, t: usize, pass: usize, blocks: Range<usize>) {
        let (scan, of) = (self.scan, self.groups.at(t).count());
        if pass == 0 {
            for (number, group) in self.groups.at(t).enumerate() {
                group.begin(t, &blocks, Nth { number, of });
            }
        }
        let start = if scan.normalises() { Start::Zero } else { Start::There };
        for (number, product) in scan.layout.products.iter().enumerate() {
            if pass_of(product) == pass {
                let Some(weight) = self.groups.at(t).next().map(|group| &group.products[number]) else {
                    return;
                };
                let all = self.groups.at(t).map(|group| group.through(t, number, &blocks));
                weight.blocks_products(scan.isa, all, of, &blocks, start);
            }
        }
    }
}

impl<T: Elementary> Visit for Steps<'_, T> {
    type Out = ();
    fn visit<const S: usize, C: Step<S>>(mut self, cell: C) {
        let (scan, blocks) = (self.scan, self.scan.blocks);
        let (rows, alone) = (self.groups.rows(), self.groups.all[1].is_none());
        let worth = self.groups.crew.is_team() && blocks > scan.blocks_a_job(rows);
        let few = worth && rows <= FEW && scan.goes_round_once() && alone;
        let is_shared = worth && scan.is_wide();
        // Where threads share the products, or where they are normalised, all of them come before the first step.
        let at_once = if is_shared || scan.normalises() { blocks } else { scan.at_once() };
        for t in 0..self.groups.steps() {
            self.groups.at(t).filter(|group| group.ready == t).for_each(Forward::take_input);
            if few {
                self.groups.at(t).for_each(|group| group.share::<S, C>(cell, t));
                continue;
            }
            // Twice round the blocks where a product waits for the reset gate of all units.
            for pass in 0..1 + usize::from(C::RESETS) {
                self.prepare(t, pass, is_shared);
                for first in (0..blocks).step_by(at_once) {
                    let run = first..blocks.min(first + at_once);
                    if is_shared {
                        self.share_products(t, pass);
                    } else {
                        self.multiply(t, pass, run.clone());
                    }
                    self.groups.each(t, |group| group.turn::<S, C>(cell, t, pass, run.clone()));
                }
            }
        }
    }
}
