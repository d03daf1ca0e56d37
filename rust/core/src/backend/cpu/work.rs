//! One run: what a plan holds, and the order of the phases.

use super::cross_entropy::rows_at_once;
use super::groups::{deal, sizes};
use super::math::Elementary;
use super::part::{Part, Tape};
use super::scratch::Rows;
use super::threads::{Crew, enter};
use super::tokens::{Distinct, Table};
use super::{Cpu, Kernel};
use crate::backend::{Quantity, Upstream, WEIGHTS_CHANGED};
use crate::error::{Error, Result};
use crate::program::{Batch, DropoutKey, Input, Slot, StartState};
use crate::shape::Shape;

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
    from_tokens: bool,
    training: Option<DropoutKey>,
    /// The weights' version of a training run that no backward run has followed yet.
    ready: Option<u64>,
    /// All h, (L, B, H), then all c; and their gradients.
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
            from_tokens: false,
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
            };
            let tapes = cpu.ops.iter().filter_map(|op| match op {
                Kernel::Scan { scan, .. } => Some(scan.tape(batch, rows)),
                _ => None,
            });
            let mut part = Part {
                slots: program.slots.iter().map(slot).collect(),
                d_slots: program.slots.iter().map(slot).collect(),
                tapes: tapes.collect::<Vec<Tape<T>>>(),
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

    pub(super) fn gradient(&mut self) -> &mut [T] {
        &mut self.gradient
    }

    /// Packed rows of the last run.
    fn rows(&self) -> usize {
        self.parts.iter().map(|p| p.group.len).sum()
    }

    pub(super) fn forward(&mut self, cpu: &Cpu<T>, batch: &Batch<'_, T>) -> Result<()> {
        let lengths = batch.check(&cpu.program)?;
        self.ready = None;
        self.steps = batch.shape.steps;
        self.training = batch.training;
        let mut groups: Vec<_> = self.parts.iter_mut().map(|p| std::mem::take(&mut p.group)).collect();
        deal(&lengths, &mut groups);
        for (part, group) in self.parts.iter_mut().zip(groups) {
            part.runs = group.runs();
            part.group = group;
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
        let (program, values) = (&cpu.program, &cpu.values);
        match batch.start {
            StartState::Zero => self.state.fill(T::ZERO),
            StartState::Carry => {}
            StartState::From(state) => self.state.copy_from_slice(state),
        }
        match batch.input {
            Input::Tokens(tokens) => {
                self.from_tokens = true;
                self.collect(cpu, tokens);
                self.project(cpu, crew);
            }
            Input::Features(x) => {
                self.from_tokens = false;
                let (steps, slot) = (self.steps, program.input);
                let width = program.slots[slot].width();
                crew.each(&mut self.parts, |_, part| part.pack(x, steps, width, |p| &mut p.slots[slot]));
            }
        }
        let (state, tables, tokens) = (&self.state, &self.tables, &self.distinct.tokens);
        let (head_follows, from_tokens) = (batch.targets.is_some(), self.from_tokens);
        crew.each(&mut self.parts, |_, part| {
            for (scan, at) in cpu.scans(batch.shape.batch) {
                scan.load_state(part, state, at);
            }
            for (op, table) in cpu.ops.iter().zip(tables) {
                match op {
                    Kernel::Gather(gather) => {
                        gather.forward(part, &values[program.parameters.range(gather.table)], tokens)
                    }
                    Kernel::Dropout(dropout) => dropout.forward(part, batch.training),
                    Kernel::Linear(linear) if !(head_follows && linear.out == program.output) => {
                        linear.forward(part)
                    }
                    Kernel::Scan { scan, .. } => {
                        scan.forward(part, table.as_ref().filter(|_| from_tokens));
                    }
                    Kernel::Linear(_) | Kernel::CrossEntropy => {}
                }
            }
        });
        for (scan, at) in cpu.scans(batch.shape.batch) {
            self.parts.iter().for_each(|part| scan.save_state(part, &mut self.state, at));
        }
        if batch.training.is_some() {
            self.gradient.resize(program.parameters.len(), T::ZERO);
            self.gradient.fill(T::ZERO);
        }
        if let Some(targets) = batch.targets {
            self.score(cpu, targets, crew);
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
        self.distinct.collect(tokens, self.steps, &mut self.parts);
    }

    /// Projects the distinct tokens for the layers that are fed by them.
    fn project(&mut self, cpu: &Cpu<T>, crew: Crew) {
        let (program, values, most) = (&cpu.program, &cpu.values, self.distinct.tokens.len());
        for (op, table) in cpu.ops.iter().zip(&mut self.tables) {
            let Kernel::Scan { scan, embedding } = op else { continue };
            if embedding.is_none() && scan.input != program.input {
                continue;
            }
            if table.as_ref().is_none_or(|t| t.capacity < most) {
                *table = Some(Table::new(scan, most.next_power_of_two(), embedding.is_some()));
            }
            let Some(table) = table else { continue };
            let weight = &values[program.parameters.range(scan.weights.ih)];
            let embedding = embedding.map(|id| &values[program.parameters.range(id)]);
            table.project(crew, scan, &self.distinct.tokens, weight, embedding);
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
            Kernel::Linear(linear) if linear.out == cpu.program.output => Some(linear),
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
        let (program, steps, training) = (&cpu.program, self.steps, self.training);
        match upstream.state {
            Some(d) => self.d_state.copy_from_slice(d),
            None => self.d_state.fill(T::ZERO),
        }
        let (d_state, tables, from_tokens) = (&self.d_state, &self.tables, self.from_tokens);
        let batch: usize = self.parts.iter().map(|p| p.group.rows.len()).sum();
        crew.each(&mut self.parts, |_, part| {
            if let Some(dy) = upstream.output {
                let width = program.slots[program.output].width();
                part.pack(dy, steps, width, |p| &mut p.d_slots[program.output]);
            }
            for (scan, at) in cpu.scans(batch) {
                scan.load_gradient(part, d_state, at);
            }
            for (op, table) in cpu.ops.iter().zip(tables).rev() {
                match op {
                    Kernel::Linear(linear) if upstream.output.is_some() || linear.out != program.output => {
                        linear.backward(part);
                    }
                    Kernel::Dropout(dropout) => dropout.backward(part, training),
                    Kernel::Scan { scan, .. } => {
                        scan.backward(part, table.as_ref().filter(|_| from_tokens));
                    }
                    Kernel::Gather(_) | Kernel::Linear(_) | Kernel::CrossEntropy => {}
                }
            }
        });
        let (parts, gradient, parameters) = (&self.parts, &mut self.gradient, &program.parameters);
        let tokens = &self.distinct.tokens;
        for (op, table) in cpu.ops.iter().zip(&mut self.tables) {
            match op {
                Kernel::Gather(gather) => {
                    gather.weight_gradients(parts, tokens, &mut gradient[parameters.range(gather.table)]);
                }
                Kernel::Linear(linear) if upstream.output.is_some() || linear.out != program.output => {
                    linear.weight_gradients(crew, &linear.segments(parts), parameters, gradient);
                }
                Kernel::Scan { scan, embedding } => {
                    let Some(table) = table.as_mut().filter(|_| from_tokens) else {
                        scan.weight_gradients(crew, parts, None, parameters, gradient);
                        continue;
                    };
                    table.sum(crew, scan, parts);
                    scan.weight_gradients(crew, parts, Some((table, tokens)), parameters, gradient);
                    if let Some(id) = embedding {
                        table.embedding_gradient(crew, scan, tokens, &mut gradient[parameters.range(*id)]);
                    }
                }
                _ => {}
            }
        }
        for (scan, at) in cpu.scans(batch) {
            self.parts.iter().for_each(|part| scan.save_gradient(part, &mut self.d_state, at));
        }
    }

    pub(super) fn read(&self, cpu: &Cpu<T>, quantity: Quantity, out: &mut [T]) {
        let program = &cpu.program;
        let width = |slot: usize| program.slots[slot].width();
        match quantity {
            Quantity::State => out.copy_from_slice(&self.state),
            Quantity::StateGradient => out.copy_from_slice(&self.d_state),
            Quantity::ParameterGradient => out.copy_from_slice(&self.gradient),
            Quantity::Output | Quantity::InputGradient | Quantity::LogProbs => {
                out.fill(T::ZERO);
                for part in &self.parts {
                    match quantity {
                        Quantity::Output => {
                            part.unpack(&part.slots[program.output], self.steps, width(program.output), out);
                        }
                        Quantity::InputGradient => {
                            part.unpack(&part.d_slots[program.input], self.steps, width(program.input), out);
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

impl<T> Cpu<T> {
    /// The recurrent layers, with where the h and c of each begin in a state of `batch` rows.
    fn scans(&self, batch: usize) -> impl Iterator<Item = (&super::scan::Scan<T>, [usize; 2])> {
        let scans = self.ops.iter().filter_map(|op| match op {
            Kernel::Scan { scan, .. } => Some(&**scan),
            _ => None,
        });
        scans.enumerate().map(move |(layer, scan)| {
            (scan, [0, 1].map(|part| self.program.state_offset(part, layer, batch)))
        })
    }
}
