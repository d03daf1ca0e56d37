//! The phases of a forward run.

use super::super::Cpu;
use super::super::context::Context;
use super::super::groups::deal;
use super::super::kernels::Kernel;
use super::super::math::Elementary;
use super::super::part::Part;
use super::super::table::Table;
use super::super::threads::{Crew, enter};
use super::{Work, products, with_scratch};
use crate::error::Result;
use crate::program::{Batch, Input, StartState};
use std::mem::take;

/// Numbers of a gradient that a job sets to zero.
const CLEARED_AT_ONCE: usize = 64 << 10;

/// Distinct tokens kept projected from run to run.
const TOKENS_KEPT: usize = 4096;

impl<T: Elementary> Work<T> {
    pub(in super::super) fn forward(&mut self, cpu: &Cpu<T>, batch: &Batch<'_, T>) -> Result<()> {
        self.ready = None;
        batch.check(&cpu.program, &mut self.counted)?;
        self.steps = batch.shape.steps;
        self.training = batch.training;
        deal(&self.counted, &mut self.order, self.parts.iter_mut().map(|part| &mut part.group));
        self.parts.iter_mut().for_each(|part| part.penalty = T::ZERO);
        if let StartState::Held(state) = batch.start {
            self.state.copy_from_slice(&state.fetch()?);
        }
        enter(cpu.row_operations * self.rows() as f64, |crew| self.run(cpu, batch, crew))?;
        self.ready = batch.training.is_some().then_some(cpu.version);
        Ok(())
    }

    fn run(&mut self, cpu: &Cpu<T>, batch: &Batch<'_, T>, crew: Crew) {
        let (program, steps) = (&cpu.program, self.steps);
        self.from_initial = matches!(batch.start, StartState::Zero);
        match batch.start {
            StartState::Zero => program.initial_state(&cpu.values, batch.shape.batch, &mut self.state),
            // It is there already.
            StartState::Carry | StartState::Held(_) => {}
            StartState::From(state) => self.state.copy_from_slice(state),
        }
        match batch.input {
            Input::Tokens(tokens) => {
                self.from_tokens = true;
                self.collect(cpu, tokens);
            }
            Input::Features(_) => self.from_tokens = false,
        }
        self.memory_steps = batch.memory.map_or(0, |memory| memory.steps);
        if let Some((memory, width)) = batch.memory.zip(program.memory) {
            let lanes = cpu.isa.lanes::<T>();
            crew.each(&mut self.parts, |_, Part { memory: own, group, .. }| {
                if !own.borrow(&memory, &group.rows, cpu.version) {
                    own.load(&memory, &group.rows, width, lanes);
                }
            });
        }
        let distinct = take(&mut self.distinct.tokens);
        let operands = take(&mut self.operands);
        let context = self.context(cpu, &distinct, &operands);
        if context.from_tokens {
            self.project(cpu, crew, &context);
        }
        self.drop_weights(cpu, crew);
        let (state, tables, dropped) = (&self.state, &self.tables, &self.dropped);
        let (outer, inner, together) = cpu.crews(self.parts.len(), crew);
        outer.chunks(&mut self.parts, together, |_, parts| {
            if let Input::Features(x) = batch.input {
                let (input, kind) = (program.input, program.slots[program.input]);
                inner.each(parts, |_, part| {
                    part.with_slot(input, |part, rows| part.pack(x, steps, kind, rows));
                });
            }
            for (scan, at) in cpu.scans_in_state(batch.shape.batch) {
                parts.iter_mut().for_each(|part| scan.load_state(part, state, at));
            }
            for (i, op) in cpu.ops.iter().enumerate() {
                match op {
                    Kernel::Local(op) => inner.each(parts, |_, part| {
                        with_scratch(part, i, |part, own| op.forward(part, own, &context));
                    }),
                    Kernel::Head(_) if batch.targets.is_some() => {}
                    Kernel::Head(head) => inner.each(parts, |_, part| {
                        head.make_room(&mut part.slots[head.out], part.group.len);
                        head.run(part);
                    }),
                    Kernel::Scan(scan) => {
                        let table = tables[i].as_ref().filter(|_| context.from_tokens);
                        scan.forward(inner, parts, table, products(scan, &dropped[i], &context), &context);
                    }
                }
            }
        });
        for (scan, at) in cpu.scans_in_state(batch.shape.batch) {
            self.parts.iter().for_each(|part| scan.save_state(part, &mut self.state, at));
        }
        if batch.training.is_some() {
            self.clear_gradient(program.parameters.len(), crew);
        }
        if let Some(targets) = batch.targets {
            self.score(cpu, targets, crew, &context);
        }
        self.distinct.tokens = distinct;
        self.operands = operands;
    }

    /// A gradient of zeros for so many weights.
    fn clear_gradient(&mut self, len: usize, crew: Crew) {
        if self.gradient.len() == len {
            crew.chunks(&mut self.gradient, CLEARED_AT_ONCE, |_, piece| piece.fill(T::ZERO));
        } else {
            self.gradient = crew.made(len, CLEARED_AT_ONCE, |_, _| {});
        }
    }

    /// Collects the batch's distinct tokens. Without training those of earlier runs stay, while
    /// the weights do: a text is drawn with each token projected once.
    fn collect(&mut self, cpu: &Cpu<T>, tokens: &[i32]) {
        let stays = self.training.is_none() && self.projected == Some(cpu.version);
        if !stays || self.distinct.tokens.len() > TOKENS_KEPT {
            self.distinct.clear();
            self.tables.iter_mut().flatten().for_each(|table| table.len = 0);
        }
        self.projected = self.training.is_none().then_some(cpu.version);
        self.distinct.collect(tokens, self.steps, cpu.program.input, &mut self.parts);
    }

    /// Projects the distinct tokens for the layers that are fed by them.
    fn project(&mut self, cpu: &Cpu<T>, crew: Crew, context: &Context<'_, T>) {
        let most = context.tokens.len();
        for (op, table) in cpu.ops.iter().zip(&mut self.tables) {
            let Kernel::Scan(scan) = op else { continue };
            let Some(tokens) = scan.tokens else { continue };
            if table.as_ref().is_none_or(|t| t.capacity < most) {
                *table = Some(Table::new(scan, most.next_power_of_two(), tokens.embedding.is_some()));
            }
            if let Some(table) = table {
                table.project(crew, scan, context, tokens.embedding);
            }
        }
    }

    /// Packs the recurrent weights under their masks.
    fn drop_weights(&mut self, cpu: &Cpu<T>, crew: Crew) {
        let Some(key) = self.training else { return };
        for (op, dropped) in cpu.ops.iter().zip(&mut self.dropped) {
            if let Kernel::Scan(scan) = op
                && scan.drops_weights()
            {
                scan.pack_dropped(dropped, crew, &cpu.program.parameters, &cpu.values, key);
            }
        }
    }

    /// The head and its loss.
    fn score(&mut self, cpu: &Cpu<T>, targets: &[i32], crew: Crew, context: &Context<'_, T>) {
        let steps = self.steps;
        let mut scored = 0;
        for part in &mut self.parts {
            part.targets.clear();
            part.targets.extend(part.group.places().map(|(b, t, _)| targets[b * steps + t]));
            scored += part.targets.iter().filter(|&&t| t >= 0).count();
            part.log_probs.clear();
            part.log_probs.resize(part.group.len, T::ZERO);
        }
        if let Some(head) = cpu.head() {
            let training = self.training.map(|_| (scored, context, &mut self.gradient[..]));
            head.cross_entropy(crew, &mut self.parts, training);
        }
    }
}
