//! The run of one layer through all steps of some groups.
//!
//! Per step and unit block: the block's pre-activations (the input's part is there already) take
//! the recurrent product while they sit in registers, then the cell's step runs on them while
//! they sit in the first cache. Where all units have to be known first (a reset gate, layer
//! normalisation) the blocks are gone round again; where threads share the products ([`super::shared`])
//! all of them come before the cell's step.

use super::super::context::Context;
use super::super::gemm::Start;
use super::super::groups::TOGETHER;
use super::super::math::Elementary;
use super::super::packed::Packed;
use super::super::panels::{FEW, Nth};
use super::super::part::Part;
use super::super::table::Table;
use super::super::threads::Crew;
use super::Scan;
use super::input::ROWS_AHEAD;
use super::step::{Forward, pass_of};
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

    /// Calls `run` with all groups, which threads share step by step, or with those of each thread.
    pub(super) fn by_crew(
        &self,
        crew: Crew,
        parts: &mut [Part<T>],
        run: impl Fn(Crew, &mut [Part<T>]) + Send + Sync,
    ) {
        let (groups, threads) = (parts.len(), crew.threads());
        if groups == 1 || threads == 1 || self.is_shared(groups, threads) {
            return run(crew, parts);
        }
        crew.chunks(parts, self.together(groups, threads), |_, parts| run(Crew::ALONE, parts));
    }

    /// How many of the groups a thread takes through the layer together: several where the recurrent weights do not
    /// stay in a cache of its own, as long as every thread has some.
    pub(in super::super) fn together(&self, groups: usize, threads: usize) -> usize {
        if self.is_wide() { (groups / threads).clamp(1, TOGETHER) } else { 1 }
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
        let all = from_fn(|_| {
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
        self.recurrence.cell.visit(Together { scan: self, crew, all });
        for (part, tape, out, context) in taken.into_iter().flatten() {
            (part.tapes[self.tape], part.slots[self.recurrence.out]) = (tape, out);
            if let Some(slot) = context_slot {
                part.slots[slot] = context;
            }
        }
    }
}

/// Groups that go through the steps side by side: what is read of a weight for one is there for all.
pub(super) struct Together<'a, T> {
    pub(super) scan: &'a Scan<T>,
    /// Who shares a step.
    pub(super) crew: Crew<'a>,
    all: [Option<Forward<'a, T>>; TOGETHER],
}

impl<'a, T: Elementary> Together<'a, T> {
    /// Those that have a step `t`.
    pub(super) fn at(&mut self, t: usize) -> impl Iterator<Item = &mut Forward<'a, T>> {
        self.all.iter_mut().flatten().filter(move |group| t < group.part.group.steps.len())
    }

    /// Calls `f` on each of them.
    fn each(&mut self, t: usize, f: impl Fn(&mut Forward<'a, T>) + Send + Sync) {
        let groups = self.at(t).count();
        if groups == 1 || !self.crew.is_team() {
            return self.at(t).for_each(f);
        }
        // The rows of the first ones are the longest.
        self.crew.each(&mut self.all[..groups], |_, group| group.iter_mut().for_each(&f));
    }

    /// What comes before the products of a pass, if there is anything; of shared ones also what their sums start
    /// from, where that is more than a copy.
    fn prepare(&mut self, t: usize, pass: usize, is_shared: bool) {
        let (scan, first) = (self.scan, pass == 0);
        let from_table = self.at(t).any(|group| group.table.is_some());
        let begins = is_shared && first && scan.begins_apart() && (from_table || scan.attend.is_some());
        if begins || first && scan.attend.is_some() || scan.precision != Precision::Full {
            self.each(t, |group| {
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
        let (scan, blocks) = (self.scan, self.scan.blocks);
        let groups = || self.all.iter().flatten().map(|group| &group.part.group);
        let (rows, steps) =
            (groups().map(|group| group.rows.len()).sum(), groups().map(|group| group.steps.len()).max());
        let worth = self.crew.is_team() && blocks > scan.blocks_a_job(rows);
        let few = worth && rows <= FEW && scan.goes_round_once() && groups().count() == 1;
        let is_shared = worth && scan.is_wide();
        // Where threads share the products, or where they are normalised, all of them come before the first step.
        let at_once = if is_shared || scan.normalises() { blocks } else { scan.at_once() };
        for t in 0..steps.unwrap_or(0) {
            self.at(t).filter(|group| group.ready == t).for_each(Forward::take_input);
            if few {
                self.at(t).for_each(|group| group.share::<S, C>(cell, t));
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
                    self.each(t, |group| group.turn::<S, C>(cell, t, pass, run.clone()));
                }
            }
        }
    }
}
