//! The specification: the program walked op by op with plain loops, in the order of the
//! equations. No threads, no packing, no fusion. Users reach it as `device="reference"`.

mod activate;
mod arrange;
mod dropout;
mod embedding;
mod layer_norm;
mod linear;
mod losses;
mod norm;
mod ops;
mod pool;
mod scan;
mod tape;
mod vectors;
mod work;

use super::{
    Backend, ByRun, Decoder, Learner, Outcome, Plan, Quantity, Upstream, WEIGHTS_CHANGED, mean_loss,
    next_version,
};
use crate::cells::Lanes;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::optim::Optimizer;
use crate::params::ParamId;
use crate::program::{Batch, FinalState, Input, Program, Slot, StartState};
use crate::shape::Shape;
use work::Work;

/// A program and its weights.
pub(crate) struct Reference<T> {
    program: Program,
    values: Vec<T>,
    /// Changes with the weights.
    version: u64,
}

impl<T: Float + Lanes> Reference<T> {
    pub(crate) fn new(program: Program) -> Self {
        let values = vec![T::ZERO; program.parameters.len()];
        Self { program, values, version: next_version() }
    }

    /// A parameter's numbers.
    fn values(&self, id: ParamId) -> &[T] {
        &self.values[self.program.parameters.range(id)]
    }
}

impl<T: Float + Lanes> Backend<T> for Reference<T> {
    fn plan(&self, shape: Shape) -> Result<Plan> {
        Ok(Plan::new(shape, Work::<T>::new(shape, self.program.state_width())))
    }

    fn upload(&mut self, from: usize, values: &[T]) -> Result<()> {
        self.values[from..from + values.len()].copy_from_slice(values);
        self.version = next_version();
        Ok(())
    }

    fn download(&self, from: usize, values: &mut [T]) -> Result<()> {
        values.copy_from_slice(&self.values[from..from + values.len()]);
        Ok(())
    }

    fn forward(&self, plan: &mut Plan, batch: &Batch<'_, T>) -> Result<()> {
        let work: &mut Work<T> = plan.work_mut()?;
        let program = &self.program;
        batch.check(program, &mut work.counted)?;
        work.shape = batch.shape;
        work.training = batch.training;
        work.starts_itself = matches!(batch.start, StartState::Zero);
        match batch.start {
            StartState::Zero => {
                work.state = vec![T::ZERO; program.state_width() * batch.shape.batch];
                program.initial_state(&self.values, batch.shape.batch, &mut work.state);
            }
            StartState::Carry => {}
            StartState::From(state) => work.state = state.to_vec(),
            StartState::Held(state) => work.state = state.fetch()?,
        }
        work.targets = batch.targets.map(|targets| work.to_steps(Slot::Features(1), targets));
        work.slots = program.slots.iter().map(|&slot| vec![T::ZERO; stored(slot, batch.shape)]).collect();
        work.tokens = vec![None; program.slots.len()];
        match batch.input {
            Input::Tokens(tokens) => {
                work.tokens[program.input] = Some(work.to_steps(Slot::Features(1), tokens));
            }
            Input::Features(x) => work.slots[program.input] = work.to_steps(program.slots[program.input], x),
        }
        let memory = batch.memory.zip(program.memory);
        let memory_of = |row| memory.iter().flat_map(move |(memory, width)| memory.of_row(row, *width));
        work.memory = (0..batch.shape.batch).flat_map(memory_of).copied().collect();
        work.memory_steps = batch.memory.map_or(0, |memory| memory.steps);
        let memory_rows =
            (0..batch.shape.batch).map(|row| batch.memory.map_or(0, |memory| memory.length(row)));
        work.memory_lengths = memory_rows.collect();
        work.attention = vec![T::ZERO; batch.shape.rows() * work.memory_steps];
        work.tapes.clear();
        work.penalty = T::ZERO;
        program.ops.iter().for_each(|op| ops::forward(self, work, op));
        work.has_run = Some(self.version);
        Ok(())
    }

    fn decoder(&self, rows: usize) -> Result<Box<dyn Decoder<T>>> {
        Ok(Box::new(ByRun::new(self, &self.program, &self.values, rows)?))
    }

    fn shared_operations(&self, _rows: usize) -> f64 {
        0.0
    }

    fn backward(&self, plan: &mut Plan, upstream: Upstream<'_, T>) -> Result<()> {
        let work: &mut Work<T> = plan.work_mut()?;
        let program = &self.program;
        match work.has_run.take() {
            None => {
                return Err(Error::Tape(
                    "backward needs a forward run first, and only one backward follows it",
                ));
            }
            Some(version) if version != self.version => return Err(WEIGHTS_CHANGED),
            Some(_) => {}
        }
        work.d_slots = work.slots.iter().map(|slot| vec![T::ZERO; slot.len()]).collect();
        work.gradient = vec![T::ZERO; self.values.len()];
        work.d_memory = vec![T::ZERO; work.memory.len()];
        work.d_state = upstream.state.map_or_else(|| vec![T::ZERO; work.state.len()], <[T]>::to_vec);
        if let Some(dy) = upstream.output {
            work.d_slots[program.output] = work.to_steps(program.slots[program.output], dy);
        }
        program.ops.iter().rev().for_each(|op| ops::backward(self, work, op));
        if work.starts_itself {
            program.initial_state_backward(&work.d_state, work.shape.batch, &mut work.gradient);
        }
        Ok(())
    }

    fn read(&self, plan: &Plan, quantity: Quantity, out: &mut [T]) -> Result<()> {
        let work: &Work<T> = plan.work()?;
        let Program { slots, input, output, .. } = &self.program;
        match quantity {
            Quantity::Output => out.copy_from_slice(&work.to_times(slots[*output], &work.slots[*output])),
            Quantity::State => out.copy_from_slice(&work.state),
            Quantity::LogProbs => out.copy_from_slice(&work.to_times(Slot::Features(1), &work.log_probs)),
            Quantity::Penalty => out.copy_from_slice(&[work.penalty]),
            Quantity::InputGradient => {
                out.copy_from_slice(&work.to_times(slots[*input], &work.d_slots[*input]));
            }
            Quantity::StateGradient => out.copy_from_slice(&work.d_state),
            Quantity::MemoryGradient => out.copy_from_slice(&work.d_memory),
            Quantity::Attention => {
                out.copy_from_slice(&work.to_times(Slot::Features(work.memory_steps), &work.attention));
            }
        }
        Ok(())
    }

    fn gradient(&self, plan: &mut Plan) -> Result<Vec<T>> {
        Ok(plan.work::<Work<T>>()?.gradient.clone())
    }

    fn apply(&mut self, gradient: &[T], optimizer: &mut Optimizer<T>, lr: f64) -> Result<f64> {
        let learn = self.program.parameters.trainable();
        let norm = optimizer.update(&mut self.values[..learn], &gradient[..learn], lr)?;
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
        self.step(self.program.state_width(), plan, batch, optimizer, lr)
    }
}

impl<T: Float + Lanes> Learner<T> for Reference<T> {
    fn loss(&self, plan: &Plan) -> Result<f64> {
        let work: &Work<T> = plan.work()?;
        let targets = work.targets.as_deref().unwrap_or_default();
        Ok(mean_loss(work.steps().iter().filter_map(|p| Some((*targets.get(p.at)?, work.log_probs[p.at])))))
    }

    fn update(&mut self, plan: &mut Plan, optimizer: &mut Optimizer<T>, lr: f64) -> Result<f64> {
        self.apply(&plan.work::<Work<T>>()?.gradient, optimizer, lr)
    }
}

/// Numbers kept for a slot: a token's one-hot vector never is.
fn stored(slot: Slot, shape: Shape) -> usize {
    match slot {
        Slot::Tokens { .. } => 0,
        Slot::Features(width) => shape.rows() * width,
        Slot::Pooled(width) => shape.batch * width,
    }
}
