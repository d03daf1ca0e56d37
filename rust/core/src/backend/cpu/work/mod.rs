//! One run: what a plan holds. The order of the phases is in [`forward`] and [`backward`].

mod backward;
mod forward;

use super::Cpu;
use super::context::Context;
use super::cross_entropy::rows_at_once;
use super::groups::{TOGETHER, count, sizes};
use super::kernels::Kernel;
use super::linear::Linear;
use super::math::Elementary;
use super::operands::Operands;
use super::packed::Packed;
use super::part::Part;
use super::scan::Scan;
use super::scratch::Rows;
use super::table::Table;
use super::threads::enter;
use super::tokens::Distinct;
use crate::backend::{Precision, Quantity, mean_loss};
use crate::error::Result;
use crate::program::{Counted, DropoutKey, Slot};
use crate::shape::Shape;
use std::mem::take;
use std::sync::Mutex;

/// Scratch for batches of one shape, and the tape of the last run.
pub(super) struct Work<T> {
    steps: usize,
    /// S of the memory, 0 without one.
    memory_steps: usize,
    counted: Counted,
    /// The rows of the batch, longest first.
    order: Vec<usize>,
    parts: Vec<Part<T>>,
    distinct: Distinct,
    /// The weights' version for which the tables hold projections of all of `distinct`.
    projected: Option<u64>,
    /// For each op that is a layer fed by tokens: its projection of the distinct ones.
    tables: Vec<Option<Table<T>>>,
    /// For each op that is a layer with dropped weights: its recurrent products of this run.
    dropped: Vec<Option<Vec<Packed<T>>>>,
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
    operands: Mutex<Operands<T>>,
}

/// What copying a number is worth in floating point operations.
const OPERATIONS_TO_COPY: f64 = 16.0;

impl<T: Elementary> Work<T> {
    pub(super) fn new(cpu: &Cpu<T>, shape: Shape) -> Self {
        let program = &cpu.program;
        let lanes = cpu.isa.lanes::<T>();
        let state = vec![T::ZERO; program.state_width() * shape.batch];
        let mut work = Self {
            steps: shape.steps,
            memory_steps: 0,
            counted: Counted::default(),
            order: Vec::new(),
            parts: Vec::new(),
            distinct: Distinct::new(if program.takes_tokens() {
                program.slots[program.input].width()
            } else {
                0
            }),
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
            operands: Mutex::default(),
        };
        let hidden = cpu.scans().map(|scan| scan.recurrence.hidden).max().unwrap_or(0);
        let tiles = cpu.isa.has_tiles() && cpu.precision == Precision::Bfloat16 && size_of::<T>() == 4;
        for batch in sizes(shape.batch, count(shape.batch, hidden, tiles)) {
            let rows = batch * shape.steps;
            let slot = |(id, slot): (usize, &Slot)| match *slot {
                _ if cpu.head().is_some_and(|head| head.out == id) => Rows::default(),
                Slot::Tokens { .. } => Rows::default(),
                Slot::Features(width) => Rows::new(batch, rows, width, lanes),
                Slot::Pooled(width) => Rows::new(0, batch, width, lanes),
            };
            let scratch = |op: &Kernel<T>| match op {
                Kernel::Local(op) => op.scratch(batch, rows, lanes),
                Kernel::Head(_) | Kernel::Scan(_) => Vec::new(),
            };
            let mut part = Part {
                slots: program.slots.iter().enumerate().map(slot).collect(),
                d_slots: program.slots.iter().enumerate().map(slot).collect(),
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

    /// Numbers that a plan for such a batch holds at least: its slots and tapes.
    pub(super) fn numbers(cpu: &Cpu<T>, shape: Shape) -> usize {
        let head = cpu.head().map_or(0, |head| head.to);
        let slots = cpu.program.slots.iter().filter(|slot| matches!(slot, Slot::Features(_)));
        let slots = slots.map(|slot| slot.width()).sum::<usize>().saturating_sub(head);
        let tapes = cpu.scans().map(|scan| scan.blocks * scan.line()).sum::<usize>();
        (2 * slots + tapes).saturating_mul(shape.rows())
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
    fn context<'a>(
        &self,
        cpu: &'a Cpu<T>,
        tokens: &'a [i32],
        operands: &'a Mutex<Operands<T>>,
    ) -> Context<'a, T> {
        let later = |p: &Part<T>| p.group.lengths.iter().map(|n| n.saturating_sub(1)).sum::<usize>();
        Context {
            isa: cpu.isa,
            parameters: &cpu.program.parameters,
            values: &cpu.values,
            training: self.training,
            tokens,
            from_tokens: self.from_tokens,
            memory_steps: self.memory_steps,
            steps: self.rows(),
            pairs: self.parts.iter().map(later).sum(),
            operands,
        }
    }

    pub(super) fn loss(&self) -> f64 {
        let rows = |part| {
            let part: &Part<T> = part;
            part.targets.iter().copied().zip(part.log_probs.iter().copied())
        };
        mean_loss(self.parts.iter().flat_map(rows))
    }

    pub(super) fn read(&self, cpu: &Cpu<T>, quantity: Quantity, out: &mut [T]) -> Result<()> {
        let program = &cpu.program;
        match quantity {
            Quantity::State => out.copy_from_slice(&self.state),
            Quantity::StateGradient => out.copy_from_slice(&self.d_state),
            Quantity::Penalty => out[0] = self.parts.iter().fold(T::ZERO, |sum, part| sum + part.penalty),
            Quantity::Output => {
                self.unpack(program.slots[program.output], out, |p| &p.slots[program.output])?
            }
            Quantity::InputGradient => {
                self.unpack(program.slots[program.input], out, |p| &p.d_slots[program.input])?;
            }
            Quantity::MemoryGradient => {
                let width = program.memory.unwrap_or(0);
                out.fill(T::ZERO);
                for part in &self.parts {
                    for (i, &b) in part.group.rows.iter().enumerate() {
                        let to = out[b * self.memory_steps * width..].chunks_exact_mut(width);
                        for (row, to) in part.memory.of_row(i).zip(to) {
                            to.copy_from_slice(&part.memory.d_values.at(row)[..width]);
                        }
                    }
                }
            }
            Quantity::Attention => {
                out.fill(T::ZERO);
                for scan in cpu.scans().filter(|scan| scan.attend.is_some()) {
                    for part in &self.parts {
                        let shares = &part.tapes[scan.tape].attend.shares;
                        for (i, &b) in part.group.rows.iter().enumerate() {
                            let count = part.memory.of_row(i).len();
                            for (t, row) in part.group.times_of_row(i) {
                                let to = &mut out[(b * self.steps + t) * self.memory_steps..][..count];
                                to.copy_from_slice(&shares.at(row)[..count]);
                            }
                        }
                    }
                }
            }
            Quantity::LogProbs => {
                out.fill(T::ZERO);
                for part in &self.parts {
                    for (b, t, row) in part.group.places() {
                        out[b * self.steps + t] = part.log_probs[row];
                    }
                }
            }
        }
        Ok(())
    }

    /// A result as a vector, filled by all threads where it is large.
    pub(super) fn result(&self, cpu: &Cpu<T>, quantity: Quantity, len: usize) -> Result<Vec<T>> {
        let program = &cpu.program;
        match quantity {
            Quantity::Output => {
                self.unpacked(program.slots[program.output], len, |p| &p.slots[program.output])
            }
            Quantity::InputGradient => {
                self.unpacked(program.slots[program.input], len, |p| &p.d_slots[program.input])
            }
            _ => {
                let mut out = vec![T::ZERO; len];
                self.read(cpu, quantity, &mut out).map(|()| out)
            }
        }
    }

    /// A slot's packed rows into (B, T, width) or (B, width).
    fn unpack(
        &self,
        slot: Slot,
        out: &mut [T],
        rows: impl for<'p> Fn(&'p Part<T>) -> &'p Rows<T> + Send + Sync,
    ) -> Result<()> {
        let size = self.row_numbers(slot);
        let fill = |b, to: &mut [T]| self.unpack_row(slot, b, to, &rows);
        enter(out.len() as f64 * OPERATIONS_TO_COPY, |crew| crew.chunks(out, size, fill))
    }

    /// The same into a vector of `len` numbers.
    fn unpacked(
        &self,
        slot: Slot,
        len: usize,
        rows: impl for<'p> Fn(&'p Part<T>) -> &'p Rows<T> + Send + Sync,
    ) -> Result<Vec<T>> {
        let fill = |b, to: &mut [T]| self.unpack_row(slot, b, to, &rows);
        enter(len as f64 * OPERATIONS_TO_COPY, |crew| crew.made(len, self.row_numbers(slot), fill))
    }

    /// Numbers of a batch row of a slot, at least one.
    fn row_numbers(&self, slot: Slot) -> usize {
        (slot.width() * if slot.is_pooled() { 1 } else { self.steps }).max(1)
    }

    fn unpack_row(
        &self,
        slot: Slot,
        b: usize,
        to: &mut [T],
        rows: &impl for<'p> Fn(&'p Part<T>) -> &'p Rows<T>,
    ) {
        for part in &self.parts {
            if let Some(i) = part.group.rows.iter().position(|&row| row == b) {
                part.unpack(rows(part), i, slot, to);
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
    dropped: &'a Option<Vec<Packed<T>>>,
    context: &Context<'_, T>,
) -> &'a [Packed<T>] {
    match dropped {
        Some(dropped) if context.training.is_some() => dropped,
        _ => &scan.products,
    }
}

impl<T: Elementary> Cpu<T> {
    fn head(&self) -> Option<&Linear<T>> {
        self.ops.iter().find_map(|op| match op {
            Kernel::Head(linear) => Some(&**linear),
            _ => None,
        })
    }

    pub(super) fn scans(&self) -> impl Iterator<Item = &Scan<T>> {
        self.ops.iter().filter_map(|op| match op {
            Kernel::Scan(scan) => Some(&**scan),
            _ => None,
        })
    }

    /// How many of the groups a thread takes through a layer together: several where the recurrent weights
    /// do not stay in a cache of its own, as long as every thread has some. It changes no bit.
    fn together(&self, groups: usize, threads: usize) -> usize {
        if self.scans().any(Scan::is_wide) { (groups / threads).clamp(1, TOGETHER) } else { 1 }
    }

    /// The recurrent layers, with where the h and c of each begin in a state of `batch` rows.
    fn scans_in_state(&self, batch: usize) -> impl Iterator<Item = (&Scan<T>, [usize; 2])> {
        self.scans().map(move |scan| {
            (scan, [0, 1].map(|part| self.program.state_offset(part, scan.recurrence.layer, batch)))
        })
    }
}
