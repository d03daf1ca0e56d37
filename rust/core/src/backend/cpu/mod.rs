//! The fast backend: packed weights, fused steps, a thread team.
//!
//! A run goes through three kinds of phase. Groups of the batch pass through all ops without
//! waiting for each other ([`groups`]); distinct tokens are projected before that ([`tokens`]);
//! the head, its loss and the weight gradients follow, cut by output rows ([`weights`]).
//! `unsafe` is confined to [`simd`].

mod cross_entropy;
mod dense;
mod gemm;
mod groups;
mod math;
mod panels;
mod part;
mod pointwise;
mod scan;
mod scratch;
mod simd;
mod threads;
mod tokens;
mod weights;
mod work;

pub use simd::Isa;
pub use threads::{num_threads, set_num_threads};

pub(crate) use math::Elementary;
pub(crate) use simd::Task;
pub(crate) use threads::{Crew, enter};

use super::{Backend, Plan, Quantity, Upstream};
use crate::error::Result;
use crate::optim::Optimizer;
use crate::params::ParamId;
use crate::program::{Batch, Op, Program, Slot, SlotId};
use crate::shape::Shape;
use dense::{Dropout, Gather, Linear};
use scan::Scan;
use work::Work;

/// A program compiled for this processor, with its weights packed.
pub(crate) struct Cpu<T> {
    program: Program,
    isa: Isa,
    values: Vec<T>,
    /// Counts the changes of the weights.
    version: u64,
    ops: Vec<Kernel<T>>,
    /// Floating point operations of one row's forward run.
    row_operations: f64,
}

/// One op, ready to run.
enum Kernel<T> {
    Gather(Gather),
    Dropout(Dropout),
    Linear(Linear<T>),
    Scan { scan: Box<Scan<T>>, embedding: Option<ParamId> },
    CrossEntropy,
}

impl<T: Elementary> Cpu<T> {
    pub(crate) fn new(program: Program, isa: Isa) -> Self {
        let values = vec![T::ZERO; program.parameters.len()];
        let width = |slot: SlotId| program.slots[slot].width();
        let mut ops = Vec::with_capacity(program.ops.len());
        let (mut row_operations, mut tapes) = (0.0, 0);
        for (index, op) in program.ops.iter().enumerate() {
            match *op {
                Op::Gather { table, out, .. } => {
                    // An embedding read by a layer and nothing else is folded into its projection.
                    if !matches!(program.ops.get(index + 1), Some(Op::Scan { input, .. }) if *input == out) {
                        ops.push(Kernel::Gather(Gather { table, out, width: width(out) }));
                    }
                }
                Op::Dropout { input, p, site, out } => {
                    let width = width(out);
                    ops.push(Kernel::Dropout(Dropout { input, out, width, p, site, accumulate: false, isa }));
                }
                Op::Linear { input, weight, bias, out } => {
                    let sizes = [width(input), width(out)];
                    row_operations += 2.0 * (sizes[0] * sizes[1]) as f64;
                    ops.push(Kernel::Linear(Linear::new([input, out], [weight, bias], sizes, isa)));
                }
                Op::Scan { input, cell, weights, hidden, out, .. } => {
                    let embedding = match index.checked_sub(1).map(|before| &program.ops[before]) {
                        Some(Op::Gather { table, out, .. }) if *out == input => Some(*table),
                        _ => None,
                    };
                    let one_hot = matches!(program.slots[input], Slot::Tokens { .. });
                    let sizes = [width(input), hidden];
                    let terms = hidden + if one_hot || embedding.is_some() { 0 } else { sizes[0] };
                    row_operations += 2.0 * (cell.layout().gates * hidden * terms) as f64;
                    let scan = Box::new(Scan::new(cell, weights, [input, out], sizes, tapes, one_hot, isa));
                    ops.push(Kernel::Scan { scan, embedding });
                    tapes += 1;
                }
                Op::CrossEntropy { .. } => ops.push(Kernel::CrossEntropy),
            }
        }
        let mut cpu = Self { program, isa, values, version: 0, ops, row_operations };
        cpu.mark_accumulation();
        cpu
    }

    /// Backwards, the first op to reach a slot's gradient sets it and the others add.
    fn mark_accumulation(&mut self) {
        let mut reached = vec![false; self.program.slots.len()];
        for op in self.ops.iter_mut().rev() {
            let (input, accumulate) = match op {
                Kernel::Dropout(dropout) => (dropout.input, &mut dropout.accumulate),
                Kernel::Linear(linear) => (linear.input, &mut linear.accumulate),
                Kernel::Scan { scan, .. } => (scan.input, &mut scan.accumulate),
                Kernel::Gather(_) | Kernel::CrossEntropy => continue,
            };
            *accumulate = std::mem::replace(&mut reached[input], true);
        }
    }

    /// Packs every weight anew.
    fn pack(&mut self) -> Result<()> {
        self.version += 1;
        let Self { program, values, ops, .. } = self;
        enter(values.len() as f64 * 8.0, |crew| {
            for op in ops.iter_mut() {
                match op {
                    Kernel::Linear(linear) => linear.pack(crew, &program.parameters, values),
                    Kernel::Scan { scan, .. } => scan.pack(crew, &program.parameters, values),
                    Kernel::Gather(_) | Kernel::Dropout(_) | Kernel::CrossEntropy => {}
                }
            }
        })
    }
}

impl<T: Elementary> Backend<T> for Cpu<T> {
    fn plan(&self, shape: Shape) -> Result<Plan> {
        Ok(Plan::new(shape, Work::new(self, shape)))
    }

    fn upload(&mut self, from: usize, values: &[T]) -> Result<()> {
        self.values[from..from + values.len()].copy_from_slice(values);
        self.pack()
    }

    fn download(&self, from: usize, values: &mut [T]) {
        values.copy_from_slice(&self.values[from..from + values.len()]);
    }

    fn forward(&self, plan: &mut Plan, batch: &Batch<'_, T>) -> Result<()> {
        plan.work_mut::<Work<T>>()?.forward(self, batch)
    }

    fn backward(&self, plan: &mut Plan, upstream: Upstream<'_, T>) -> Result<()> {
        plan.work_mut::<Work<T>>()?.backward(self, upstream)
    }

    fn read(&self, plan: &Plan, quantity: Quantity, out: &mut [T]) -> Result<()> {
        plan.work::<Work<T>>()?.read(self, quantity, out);
        Ok(())
    }

    fn update(&mut self, plan: &mut Plan, optimizer: &mut Optimizer<T>, lr: f64) -> Result<f64> {
        let gradient = plan.work_mut::<Work<T>>()?.gradient();
        let values = &mut self.values;
        let norm = enter(values.len() as f64 * 16.0, |_| optimizer.update(values, gradient, lr))??;
        if norm.is_finite() {
            self.pack()?;
        }
        Ok(norm)
    }
}
