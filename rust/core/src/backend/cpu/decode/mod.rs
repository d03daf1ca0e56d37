//! Reading texts a token at a time: a step of every op for a few rows, without a tape.
//!
//! What this knows are stacks of plain layers between an embedding, or one-hot tokens, and a head,
//! residual or not; [`ByRun`](super::super::ByRun) does the rest.

mod head;
mod layer;

use super::Cpu;
use super::context::Context;
use super::kernels::Kernel;
use super::math::Elementary;
use super::scratch::Rows;
use super::table::Table;
use super::threads::{Crew, enter};
use crate::backend::{Backend, Decoder, FOREIGN};
use crate::error::Result;
use crate::params::ParamId;
use crate::program::{Op, SlotId};
use head::Head;
use layer::{Input, Layer};

use std::any::Any;
use std::sync::Mutex;

/// Tokens of which a layer keeps its part, at most.
const TOKENS_KEPT: usize = 4096;

/// A slot at the step at hand.
#[derive(Clone, Copy)]
enum Seen {
    /// The tokens, or their embeddings.
    Tokens(Option<ParamId>),
    /// h of a layer, by its number.
    Layer(usize),
    /// A sum, by its number.
    Sum(usize),
}

enum Stage {
    Layer { op: usize, input: Seen },
    Sum { inputs: [Seen; 2], scale: f64 },
    Head { op: usize, input: Seen },
}

/// Texts being read, with their states.
pub(super) struct Steps<T> {
    stages: Vec<Stage>,
    layers: Vec<Layer<T>>,
    sums: Vec<Rows<T>>,
    head: Head<T>,
    /// Of every layer that reads tokens: its part of each token seen, by one version of the weights.
    tables: Vec<Option<Table<T>>>,
    version: u64,
    known: Known,
}

/// The tokens whose parts are in the tables.
struct Known {
    tokens: Vec<i32>,
    /// For each token + 1: its place in `tokens` + 1, or 0.
    places: Vec<u32>,
    /// The places of the tokens at hand.
    rows: Vec<u32>,
}

impl<T: Elementary> Steps<T> {
    /// For at most `rows` texts; None where the program has other ops.
    pub(super) fn new(cpu: &Cpu<T>, rows: usize) -> Option<Self> {
        let program = &cpu.program;
        let lanes = cpu.isa.lanes::<T>();
        let mut seen: Vec<Option<Seen>> = vec![None; program.slots.len()];
        seen[program.input] = Some(Seen::Tokens(None));
        let (mut stages, mut layers, mut sums, mut tables) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut head = None;
        let kernel = |matches: &dyn Fn(&Kernel<T>) -> bool| cpu.ops.iter().position(matches);
        for op in &program.ops {
            match *op {
                Op::Gather { table, out, .. } => seen[out] = Some(Seen::Tokens(Some(table))),
                Op::Dropout { input, out, .. } => seen[out] = seen[input],
                Op::Penalty { .. } | Op::CrossEntropy { .. } => {}
                Op::Add { inputs: [a, b], scale, out } => {
                    seen[out] = Some(Seen::Sum(sums.len()));
                    sums.push(Rows::new(0, rows, program.slots[out].width(), lanes));
                    stages.push(Stage::Sum { inputs: [numbers(&seen, a)?, numbers(&seen, b)?], scale });
                }
                Op::Scan(ref recurrence) => {
                    let op =
                        kernel(&|op| matches!(op, Kernel::Scan(s) if s.recurrence.out == recurrence.out))?;
                    let Kernel::Scan(scan) = &cpu.ops[op] else { return None };
                    if !scan.is_plain() {
                        return None;
                    }
                    let input = seen[recurrence.input]?;
                    tables.push(match input {
                        Seen::Tokens(embedding) => {
                            let room = TOKENS_KEPT.min(program.slots[program.input].width() + 1) + rows;
                            Some(Table::new(scan, room, embedding.is_some()))
                        }
                        _ => None,
                    });
                    seen[recurrence.out] = Some(Seen::Layer(layers.len()));
                    layers.push(Layer::new(scan, rows));
                    stages.push(Stage::Layer { op, input });
                }
                Op::Linear { input, out, .. } if out == program.output => {
                    let op = kernel(&|op| matches!(op, Kernel::Head(_)))?;
                    head = Some(Head::new(rows, program.slots[out].width(), lanes));
                    stages.push(Stage::Head { op, input: numbers(&seen, input)? });
                }
                _ => return None,
            }
        }
        let vocabulary = program.slots[program.input].width();
        let mut steps = Self {
            stages,
            layers,
            sums,
            head: head?,
            tables,
            version: cpu.version,
            known: Known {
                tokens: Vec::with_capacity(TOKENS_KEPT + rows),
                places: vec![0; vocabulary + 1],
                rows: Vec::with_capacity(rows),
            },
        };
        let mut state = vec![T::ZERO; program.state_width()];
        program.initial_state(&cpu.values, 1, &mut state);
        (0..rows).for_each(|row| steps.load(row, &state));
        Some(steps)
    }

    /// Looks the tokens at hand up in the tables; those not seen before are added.
    fn find(&mut self, cpu: &Cpu<T>, crew: Crew, tokens: &[i32]) {
        let Known { tokens: all, places, rows } = &mut self.known;
        if self.version != cpu.version || all.len() + tokens.len() > TOKENS_KEPT + rows.capacity() {
            self.version = cpu.version;
            all.clear();
            places.fill(0);
            self.tables.iter_mut().flatten().for_each(|table| table.len = 0);
        }
        let before = all.len();
        rows.clear();
        for &token in tokens {
            let place = &mut places[(token + 1) as usize];
            if *place == 0 {
                all.push(token);
                *place = all.len() as u32;
            }
            rows.push(*place - 1);
        }
        if all.len() == before {
            return;
        }
        let context = Context {
            isa: cpu.isa,
            parameters: &cpu.program.parameters,
            values: &cpu.values,
            training: None,
            tokens: all,
            from_tokens: true,
            memory_steps: 0,
            steps: 0,
            pairs: 0,
            operands: &Mutex::default(),
        };
        let layers = self.stages.iter().filter_map(|stage| match *stage {
            Stage::Layer { op, input } => Some((op, input)),
            _ => None,
        });
        for (table, (op, input)) in self.tables.iter_mut().zip(layers) {
            if let (Some(table), Seen::Tokens(embedding), Kernel::Scan(scan)) = (table, input, &cpu.ops[op]) {
                table.project(crew, scan, &context, embedding.map(|id| (id, 0.0)));
            }
        }
    }

    fn run(&mut self, cpu: &Cpu<T>, crew: Crew, tokens: &[i32]) {
        self.find(cpu, crew, tokens);
        let rows = tokens.len();
        let (mut layer, mut sum) = (0, 0);
        for stage in &self.stages {
            match *stage {
                Stage::Layer { op, input } => {
                    let Kernel::Scan(scan) = &cpu.ops[op] else { unreachable!("it was one") };
                    let (before, rest) = self.layers.split_at_mut(layer);
                    let input = match (input, &self.tables[layer]) {
                        (Seen::Tokens(_), Some(table)) => Input::Tokens(table, &self.known.rows),
                        (seen, _) => Input::Rows(rows_of(seen, before, &self.sums)),
                    };
                    rest[0].step(scan, crew, rows, input);
                    layer += 1;
                }
                Stage::Sum { inputs, scale } => {
                    let (before, rest) = self.sums.split_at_mut(sum);
                    let [a, b] = inputs.map(|seen| rows_of(seen, &self.layers, before));
                    let scale = T::from_f64(scale);
                    for row in 0..rows {
                        let sums = a.at(row).iter().zip(b.at(row)).map(|(&a, &b)| (a + b) * scale);
                        rest[0].row_mut(row).iter_mut().zip(sums).for_each(|(to, sum)| *to = sum);
                    }
                    sum += 1;
                }
                Stage::Head { op, input } => {
                    let Kernel::Head(head) = &cpu.ops[op] else { unreachable!("it was one") };
                    self.head.step(head, crew, rows, rows_of(input, &self.layers, &self.sums));
                }
            }
        }
    }
}

impl<T: Elementary> Decoder<T> for Steps<T> {
    fn step(&mut self, backend: &dyn Backend<T>, tokens: &[i32]) -> Result<()> {
        let cpu: &Cpu<T> = (backend as &dyn Any).downcast_ref().ok_or(FOREIGN)?;
        enter(cpu.shared_operations(tokens.len()), |crew| self.run(cpu, crew, tokens))
    }

    fn logits(&self, row: usize) -> &[T] {
        self.head.logits(row)
    }

    fn save(&self, row: usize, state: &mut [T]) -> Result<()> {
        let mut rest = state;
        for part in [Layer::h, Layer::c] {
            for (rows, width) in self.layers.iter().map(part) {
                let (own, after) = rest.split_at_mut(width);
                own.copy_from_slice(&rows.at(row)[..width]);
                rest = after;
            }
        }
        Ok(())
    }

    fn load(&mut self, row: usize, state: &[T]) {
        let mut rest = state;
        for part in [Layer::h_mut, Layer::c_mut] {
            for (rows, width) in self.layers.iter_mut().map(part) {
                let (own, after) = rest.split_at(width);
                rows.row_mut(row)[..width].copy_from_slice(own);
                rest = after;
            }
        }
    }
}

/// The slot as numbers, if it is known and holds some.
fn numbers(seen: &[Option<Seen>], slot: SlotId) -> Option<Seen> {
    seen[slot].filter(|seen| !matches!(seen, Seen::Tokens(_)))
}

fn rows_of<'a, T>(seen: Seen, layers: &'a [Layer<T>], sums: &'a [Rows<T>]) -> &'a Rows<T> {
    match seen {
        Seen::Layer(layer) => &layers[layer].h,
        Seen::Sum(sum) => &sums[sum],
        Seen::Tokens(_) => unreachable!("tokens where numbers are read"),
    }
}
