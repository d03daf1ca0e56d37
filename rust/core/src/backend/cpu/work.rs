//! One run: what a plan holds, and the order of the phases.

use super::Cpu;
use super::cross_entropy::rows_at_once;
use super::groups::{deal, sizes};
use super::kernels::Kernel;
use super::local::Context;
use super::math::Elementary;
use super::panels::Panels;
use super::part::Part;
use super::scan::Scan;
use super::scratch::Rows;
use super::threads::{Crew, enter};
use super::tokens::{Distinct, Table};
use crate::backend::{Quantity, Upstream, WEIGHTS_CHANGED};
use crate::error::{Error, Result};
use crate::program::{Batch, DropoutKey, Input, Slot, StartState};
use crate::shape::Shape;
use std::mem::take;

/// Distinct tokens kept projected from run to run.
const TOKENS_KEPT: usize = 4096;

/// Scratch for batches of one shape, and the tape of the last run.
pub(super) struct Work<T> {
    steps: usize,
    parts: Vec<Part<T>>,
    distinct: Distinct,
    /// The weights' version for which the tables hold projections of all of `distinct`.
    projected: Option<u64>,
    /// For each op that is a layer fed by tokens: its projection of the distinct ones.
    tables: Vec<Option<Table<T>>>,
    /// For each op that is a layer with dropped weights: its recurrent products of this run.
    dropped: Vec<Option<Vec<[Panels<T>; 2]>>>,
    from_tokens: bool,
    /// Whether the state started from the program's own.
    from_initial: bool,
    training: Option<DropoutKey>,
    /// The weights' version of a training run that no backward run has followed yet.
    ready: Option<u64>,
    /// All h, scan by scan (B, H), then all c; and their gradients.
    state: Vec<T>,
    d_state: Vec<T>,
    gradient: Vec<T>,
}

impl<T: Elementary> Work<T> {
    pub(super) fn new(cpu: &Cpu<T>, shape: Shape) -> Self {
        let program = &cpu.program;
        let sizes = sizes(shape.batch);
        let lanes = cpu.isa.lanes::<T>();
        let state = vec![T::ZERO; program.state_width() * shape.batch];
        let mut work = Self {
            steps: shape.steps,
            parts: Vec::with_capacity(sizes.len()),
            distinct: Distinct::new(program.slots[program.input].width()),
            projected: None,
            tables: cpu.ops.iter().map(|_| None).collect(),
            dropped: cpu.ops.iter().map(|_| None).collect(),
            from_tokens: false,
            from_initial: false,
            training: None,
            ready: None,
            d_state: state.clone(),
            state,
            gradient: Vec::new(),
        };
        for batch in sizes {
            let rows = batch * shape.steps;
            let slot = |slot: &Slot| match *slot {
                Slot::Tokens { .. } => Rows::default(),
                Slot::Features(width) => Rows::new(batch, rows, width, lanes),
                Slot::Pooled(width) => Rows::new(0, batch, width, lanes),
            };
            let scratch = |op: &Kernel<T>| match op {
                Kernel::Local(op) => op.scratch(batch, rows, lanes),
                Kernel::Head(_) | Kernel::Scan(_) => Vec::new(),
            };
            let mut part = Part {
                slots: program.slots.iter().map(slot).collect(),
                d_slots: program.slots.iter().map(slot).collect(),
                token_rows: vec![Vec::new(); program.slots.len()],
                tapes: cpu.scans().map(|scan| scan.tape(batch, rows)).collect(),
                scratch: cpu.ops.iter().map(scratch).collect(),
                ..Part::default()
            };
            if program.has_loss() {
                let vocabulary = program.slots[program.output].width();
                part.logits = Rows::new(0, rows_at_once(rows, vocabulary), vocabulary, lanes);
            }
            work.parts.push(part);
        }
        work
    }

    pub(super) fn gradient(&mut self) -> &mut Vec<T> {
        &mut self.gradient
    }

    /// Packed rows of the last run.
    fn rows(&self) -> usize {
        self.parts.iter().map(|p| p.group.len).sum()
    }

    /// Rows of the batch.
    fn batch(&self) -> usize {
        self.parts.iter().map(|p| p.group.rows.len()).sum()
    }

    /// What every group sees of the run.
    fn context<'a>(&self, cpu: &'a Cpu<T>, tokens: &'a [i32]) -> Context<'a, T> {
        let later = |p: &Part<T>| p.group.lengths.iter().map(|n| n.saturating_sub(1)).sum::<usize>();
        Context {
            isa: cpu.isa,
            parameters: &cpu.program.parameters,
            values: &cpu.values,
            training: self.training,
            tokens,
            from_tokens: self.from_tokens,
            steps: self.rows(),
            pairs: self.parts.iter().map(later).sum(),
        }
    }

    pub(super) fn forward(&mut self, cpu: &Cpu<T>, batch: &Batch<'_, T>) -> Result<()> {
        let counted = batch.check(&cpu.program)?;
        self.ready = None;
        self.steps = batch.shape.steps;
        self.training = batch.training;
        let mut groups: Vec<_> = self.parts.iter_mut().map(|p| take(&mut p.group)).collect();
        deal(&counted, &mut groups);
        for (part, group) in self.parts.iter_mut().zip(groups) {
            part.runs = group.runs();
            part.group = group;
            part.penalty = T::ZERO;
        }
        let operations = if self.parts.len() > 1 || batch.training.is_some() {
            cpu.row_operations * self.rows() as f64
        } else {
            0.0
        };
        enter(operations, |crew| self.run(cpu, batch, crew))?;
        self.ready = batch.training.is_some().then_some(cpu.version);
        Ok(())
    }

    fn run(&mut self, cpu: &Cpu<T>, batch: &Batch<'_, T>, crew: Crew) {
        let (program, steps) = (&cpu.program, self.steps);
        self.from_initial = matches!(batch.start, StartState::Zero);
        match batch.start {
            StartState::Zero => program.initial_state(&cpu.values, batch.shape.batch, &mut self.state),
            StartState::Carry => {}
            StartState::From(state) => self.state.copy_from_slice(state),
        }
        match batch.input {
            Input::Tokens(tokens) => {
                self.from_tokens = true;
                self.collect(cpu, tokens);
            }
            Input::Features(x) => {
                self.from_tokens = false;
                let input = program.input;
                let kind = program.slots[input];
                crew.each(&mut self.parts, |_, part| part.pack(x, steps, kind, |p| &mut p.slots[input]));
            }
        }
        let distinct = take(&mut self.distinct.tokens);
        let context = self.context(cpu, &distinct);
        if context.from_tokens {
            self.project(cpu, crew, &context);
        }
        self.drop_weights(cpu, crew);
        let (state, tables, dropped) = (&self.state, &self.tables, &self.dropped);
        crew.each(&mut self.parts, |_, part| {
            for (scan, at) in cpu.scans_in_state(batch.shape.batch) {
                scan.load_state(part, state, at);
            }
            for (i, op) in cpu.ops.iter().enumerate() {
                match op {
                    Kernel::Local(op) => with_scratch(part, i, |part, own| op.forward(part, own, &context)),
                    Kernel::Head(_) if batch.targets.is_some() => {}
                    Kernel::Head(head) => head.run(part),
                    Kernel::Scan(scan) => {
                        let table = tables[i].as_ref().filter(|_| context.from_tokens);
                        scan.forward(part, table, products(scan, &dropped[i], &context), &context);
                    }
                }
            }
        });
        for (scan, at) in cpu.scans_in_state(batch.shape.batch) {
            self.parts.iter().for_each(|part| scan.save_state(part, &mut self.state, at));
        }
        if batch.training.is_some() {
            self.gradient.resize(program.parameters.len(), T::ZERO);
            self.gradient.fill(T::ZERO);
        }
        if let Some(targets) = batch.targets {
            self.score(cpu, targets, crew);
        }
        self.distinct.tokens = distinct;
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
    fn score(&mut self, cpu: &Cpu<T>, targets: &[i32], crew: Crew) {
        let steps = self.steps;
        let mut scored = 0;
        for part in &mut self.parts {
            part.targets.clear();
            part.targets.extend(part.group.places().map(|(b, t, _)| targets[b * steps + t]));
            scored += part.targets.iter().filter(|&&t| t >= 0).count();
            part.log_probs.clear();
            part.log_probs.resize(part.group.len, T::ZERO);
        }
        let head = cpu.ops.iter().find_map(|op| match op {
            Kernel::Head(linear) => Some(linear),
            _ => None,
        });
        if let Some(head) = head {
            let training = self.training.map(|_| (scored, &cpu.program.parameters, &mut self.gradient[..]));
            head.cross_entropy(crew, &mut self.parts, training);
        }
    }

    pub(super) fn backward(&mut self, cpu: &Cpu<T>, upstream: Upstream<'_, T>) -> Result<()> {
        match self.ready.take() {
            None => return Err(Error::Tape("backward follows one forward run in training mode, once")),
            Some(version) if version != cpu.version => return Err(WEIGHTS_CHANGED),
            Some(_) => {}
        }
        enter(2.0 * cpu.row_operations * self.rows() as f64, |crew| self.run_back(cpu, upstream, crew))
    }

    fn run_back(&mut self, cpu: &Cpu<T>, upstream: Upstream<'_, T>, crew: Crew) {
        let (program, steps, batch) = (&cpu.program, self.steps, self.batch());
        match upstream.state {
            Some(d) => self.d_state.copy_from_slice(d),
            None => self.d_state.fill(T::ZERO),
        }
        let distinct = take(&mut self.distinct.tokens);
        let context = self.context(cpu, &distinct);
        let (d_state, dropped) = (&self.d_state, &self.dropped);
        crew.each(&mut self.parts, |_, part| {
            if let Some(dy) = upstream.output {
                let kind = program.slots[program.output];
                part.pack(dy, steps, kind, |p| &mut p.d_slots[program.output]);
            }
            for (scan, at) in cpu.scans_in_state(batch) {
                scan.load_gradient(part, d_state, at);
            }
            for (i, op) in cpu.ops.iter().enumerate().rev() {
                match op {
                    Kernel::Local(op) => with_scratch(part, i, |part, own| op.backward(part, own, &context)),
                    // Without a gradient from outside the loss has been here already.
                    Kernel::Head(head) if upstream.output.is_some() => head.run_back(part),
                    Kernel::Head(_) => {}
                    Kernel::Scan(scan) => {
                        let from_table = scan.tokens.is_some() && context.from_tokens;
                        scan.backward(part, from_table, products(scan, &dropped[i], &context));
                    }
                }
            }
        });
        let (parts, gradient) = (&self.parts, &mut self.gradient);
        for (i, (op, table)) in cpu.ops.iter().zip(&mut self.tables).enumerate() {
            match op {
                Kernel::Local(op) => op.weight_gradients(crew, i, parts, &context, gradient),
                Kernel::Head(head) if upstream.output.is_some() => {
                    head.own_gradients(crew, parts, &context, gradient)
                }
                Kernel::Head(_) => {}
                Kernel::Scan(scan) => {
                    let mut table = table.as_mut().filter(|_| context.from_tokens);
                    if let Some(table) = &mut table {
                        table.sum(crew, scan, parts);
                    }
                    scan.weight_gradients(crew, parts, table.as_deref(), &context, gradient);
                    if let (Some(table), Some(tokens)) = (table, scan.tokens)
                        && let Some(embedding) = tokens.embedding
                    {
                        table.embedding_gradient(crew, scan, &context, embedding, gradient);
                    }
                }
            }
        }
        for (scan, at) in cpu.scans_in_state(batch) {
            self.parts.iter().for_each(|part| scan.save_gradient(part, &mut self.d_state, at));
        }
        if self.from_initial {
            program.initial_state_backward(&self.d_state, batch, &mut self.gradient);
        }
        self.distinct.tokens = distinct;
    }

    pub(super) fn read(&self, cpu: &Cpu<T>, quantity: Quantity, out: &mut [T]) {
        let program = &cpu.program;
        match quantity {
            Quantity::State => out.copy_from_slice(&self.state),
            Quantity::StateGradient => out.copy_from_slice(&self.d_state),
            Quantity::ParameterGradient => out.copy_from_slice(&self.gradient),
            Quantity::Penalty => out[0] = self.parts.iter().fold(T::ZERO, |sum, part| sum + part.penalty),
            Quantity::Output | Quantity::InputGradient | Quantity::LogProbs => {
                out.fill(T::ZERO);
                let kind = |slot: usize| program.slots[slot];
                for part in &self.parts {
                    match quantity {
                        Quantity::Output => {
                            part.unpack(&part.slots[program.output], self.steps, kind(program.output), out);
                        }
                        Quantity::InputGradient => {
                            part.unpack(&part.d_slots[program.input], self.steps, kind(program.input), out);
                        }
                        _ => {
                            for (b, t, row) in part.group.places() {
                                out[b * self.steps + t] = part.log_probs[row];
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Lends an op the rows it asked for.
fn with_scratch<T: Elementary>(part: &mut Part<T>, op: usize, f: impl FnOnce(&mut Part<T>, &mut [Rows<T>])) {
    let mut own = take(&mut part.scratch[op]);
    f(part, &mut own);
    part.scratch[op] = own;
}

/// A layer's recurrent products: under a mask in training, if it drops weights.
fn products<'a, T: Elementary>(
    scan: &'a Scan<T>,
    dropped: &'a Option<Vec<[Panels<T>; 2]>>,
    context: &Context<'_, T>,
) -> &'a [[Panels<T>; 2]] {
    match dropped {
        Some(dropped) if context.training.is_some() => dropped,
        _ => &scan.products,
    }
}

impl<T: Elementary> Cpu<T> {
    fn scans(&self) -> impl Iterator<Item = &Scan<T>> {
        self.ops.iter().filter_map(|op| match op {
            Kernel::Scan(scan) => Some(&**scan),
            _ => None,
        })
    }

    /// The recurrent layers, with where the h and c of each begin in a state of `batch` rows.
    fn scans_in_state(&self, batch: usize) -> impl Iterator<Item = (&Scan<T>, [usize; 2])> {
        self.scans().map(move |scan| {
            (scan, [0, 1].map(|part| self.program.state_offset(part, scan.recurrence.layer, batch)))
        })
    }
}
