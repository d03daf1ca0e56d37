//! One run: what a plan holds. The order of the phases is in [`forward`] and [`backward`]; what comes out is read
//! in [`results`].

mod backward;
mod forward;
mod results;

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
use super::threads::Crew;
use super::tokens::Distinct;
use crate::backend::Precision;
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

    /// Who shares the groups, who shares what is done for some of them, and how many go through a layer together:
    /// several where the recurrent weights do not stay in a cache of a core's own. It changes no bit.
    fn crews<'a>(&self, groups: usize, crew: Crew<'a>) -> (Crew<'a>, Crew<'a>, usize) {
        let threads = crew.threads();
        if groups == 1 || self.scans().any(|scan| scan.is_shared(groups, threads)) {
            return (Crew::ALONE, crew, TOGETHER);
        }
        let together = self.scans().map(|scan| scan.together(groups, threads)).max();
        (crew, Crew::ALONE, together.unwrap_or(1))
    }

    /// The recurrent layers, with where the h and c of each begin in a state of `batch` rows.
    fn scans_in_state(&self, batch: usize) -> impl Iterator<Item = (&Scan<T>, [usize; 2])> {
        self.scans().map(move |scan| {
            (scan, [0, 1].map(|part| self.program.state_offset(part, scan.recurrence.layer, batch)))
        })
    }
}
