//! The fast backend: packed weights, fused steps, a thread team.
//!
//! A run goes through three kinds of phase. Groups of the batch pass through all ops without
//! waiting for each other ([`groups`]); distinct tokens are projected before that ([`tokens`]);
//! the head, its loss and the weight gradients follow, cut by output rows ([`weights`]).
//! `unsafe` is confined to [`simd`] and [`threads`].

mod activate;
mod attention;
mod bytes;
mod combine;
mod context;
mod cross_entropy;
mod decode;
mod dropout;
mod embedding;
mod fresh;
mod gemm;
mod groups;
mod halves;
mod kernels;
mod layer_norm;
mod linear;
mod local;
mod look;
mod loops;
mod math;
mod memory;
mod noise;
mod norm;
mod operands;
mod outer;
mod packed;
mod packing;
mod panels;
mod part;
mod penalty;
mod pointwise;
mod pool;
mod products;
mod products_back;
mod rounding;
mod scan;
mod scratch;
mod segments;
mod side_by_side;
mod simd;
mod source;
mod table;
mod tape;
mod threads;
mod tokens;
mod weights;
mod work;

pub use simd::Isa;
pub use threads::{num_threads, set_num_threads};

pub(crate) use math::Elementary;
pub(crate) use simd::Task;
pub(crate) use threads::{Crew, enter};

use super::{Backend, ByRun, Decoder, Learner, Outcome, Plan, Quantity, Upstream, next_version};
use crate::backend::Precision;
use crate::error::{Error, Result};
use crate::optim::Optimizer;
use crate::program::{self, Batch, FinalState, Program};
use crate::shape::{Shape, room};
use decode::Steps;
use fresh::Fresh;
use kernels::Kernel;
use loops::Loops;
use memory::Memory;
use std::any::Any;
use threads::SHARE;
use work::Work;

/// A program compiled for this processor, with its weights packed.
pub(crate) struct Cpu<T> {
    program: Program,
    isa: Isa,
    precision: Precision,
    values: Vec<T>,
    /// Changes with the weights.
    version: u64,
    ops: Vec<Kernel<T>>,
    /// Floating point operations of one row's forward run.
    row_operations: f64,
    /// Which weights an update has not come to yet.
    old: Vec<bool>,
}

impl<T: Elementary> Cpu<T> {
    pub(crate) fn new(program: Program, isa: Isa, precision: Precision) -> Self {
        let values = vec![T::ZERO; program.parameters.len()];
        let (ops, row_operations) = kernels::compile(&program, isa, precision);
        Self {
            program,
            isa,
            precision,
            values,
            version: next_version(),
            ops,
            row_operations,
            old: Vec::new(),
        }
    }

    /// Refuses to train what is packed for running alone.
    fn check_learns(&self) -> Result<()> {
        match self.precision {
            Precision::Full | Precision::Bfloat16 => Ok(()),
            Precision::Int8 => Err(Error::Unsupported("training with int8 weights".to_owned())),
        }
    }

    /// Packs every weight anew.
    fn pack(&mut self) -> Result<()> {
        self.version = next_version();
        let Self { program, isa, values, ops, .. } = self;
        enter(values.len() as f64 * 8.0, |crew| {
            let mut weights = Fresh::still(crew, *isa, &program.parameters, values);
            ops.iter_mut().for_each(|op| op.pack(&mut weights));
        })
    }
}

impl<T: Elementary> Backend<T> for Cpu<T> {
    fn plan(&self, shape: Shape) -> Result<Plan> {
        // Asked for in one piece and given back: what follows is many pieces, and would abort.
        drop(room::<T>("batch", Work::numbers(self, shape))?);
        Ok(Plan::new(shape, Work::new(self, shape)))
    }

    fn upload(&mut self, from: usize, values: &[T]) -> Result<()> {
        self.values[from..from + values.len()].copy_from_slice(values);
        self.pack()
    }

    fn download(&self, from: usize, values: &mut [T]) -> Result<()> {
        values.copy_from_slice(&self.values[from..from + values.len()]);
        Ok(())
    }

    fn prepare(&self, memory: &program::Memory<'_, T>, rows: usize) -> Result<Box<dyn Any + Send + Sync>> {
        let Some(attend) = self.scans().find_map(|scan| scan.attend.as_ref()) else {
            return Ok(Box::new(()));
        };
        let (width, lanes) = (attend.attention.memory, self.isa.lanes::<T>());
        let mut own = Memory::default();
        own.load(memory, &(0..rows).collect::<Vec<_>>(), width, lanes);
        let operations = (2 * own.len() * width * attend.attention.size) as f64;
        enter(operations, |crew| attend.make_keys(crew, &mut own))?;
        Ok(Box::new(own.made(self.version)))
    }

    fn forward(&self, plan: &mut Plan, batch: &Batch<'_, T>) -> Result<()> {
        if batch.training.is_some() {
            self.check_learns()?;
        }
        plan.work_mut::<Work<T>>()?.forward(self, batch)
    }

    fn decoder(&self, rows: usize) -> Result<Box<dyn Decoder<T>>> {
        Ok(match Steps::new(self, rows) {
            Some(steps) => Box::new(steps),
            None => Box::new(ByRun::new(self, &self.program, &self.values, rows)?),
        })
    }

    fn shared_operations(&self, rows: usize) -> f64 {
        // A text alone is shared by its units, where a step has enough of them.
        let shares = rows > 1 || self.row_operations > 4.0 * SHARE as f64;
        if shares { self.row_operations * rows as f64 } else { 0.0 }
    }

    fn backward(&self, plan: &mut Plan, upstream: Upstream<'_, T>) -> Result<()> {
        plan.work_mut::<Work<T>>()?.backward(self, upstream)
    }

    fn read(&self, plan: &Plan, quantity: Quantity, out: &mut [T]) -> Result<()> {
        plan.work::<Work<T>>()?.read(self, quantity, out)
    }

    fn result(&self, plan: &Plan, quantity: Quantity, len: usize) -> Result<Vec<T>> {
        plan.work::<Work<T>>()?.result(self, quantity, len)
    }

    fn gradient(&self, plan: &mut Plan) -> Result<Vec<T>> {
        Ok(std::mem::take(plan.work_mut::<Work<T>>()?.gradient()))
    }

    fn apply(&mut self, gradient: &[T], optimizer: &mut Optimizer<T>, lr: f64) -> Result<f64> {
        self.check_learns()?;
        let Self { program, isa, values, ops, old, .. } = self;
        let (parameters, trainable) = (&program.parameters, program.parameters.trainable());
        let (values, frozen) = values.split_at_mut(trainable);
        let norm = enter(trainable as f64 * 24.0, |crew| {
            let loops = Loops { isa: *isa, crew };
            optimizer.update_on(loops, values, &gradient[..trainable], lr, |numbers, renew| {
                Fresh::renewed(loops, parameters, numbers, frozen, renew, old, |weights| {
                    ops.iter_mut().for_each(|op| op.pack(weights));
                });
            })
        })??;
        if norm.is_finite() {
            self.version = next_version();
        }
        Ok(norm)
    }

    fn learn(
        &mut self,
        plan: &mut Plan,
        batch: &Batch<'_, T>,
        optimizer: &mut Optimizer<T>,
        lr: f64,
    ) -> Result<(Outcome, FinalState<T>)> {
        let operations = 3.0 * self.row_operations * batch.shape.rows() as f64;
        let states = self.program.state_width();
        enter(operations, |_| self.step(states, plan, batch, optimizer, lr))?
    }
}

impl<T: Elementary> Learner<T> for Cpu<T> {
    fn loss(&self, plan: &Plan) -> Result<f64> {
        Ok(plan.work::<Work<T>>()?.loss())
    }

    fn update(&mut self, plan: &mut Plan, optimizer: &mut Optimizer<T>, lr: f64) -> Result<f64> {
        let gradient = std::mem::take(plan.work_mut::<Work<T>>()?.gradient());
        let norm = self.apply(&gradient, optimizer, lr);
        *plan.work_mut::<Work<T>>()?.gradient() = gradient;
        norm
    }
}
