//! The specification: the program walked op by op with plain loops, in the order of the
//! equations. No threads, no packing, no fusion. Users reach it as `device="reference"`.

mod ops;
mod scan;

use super::{Backend, Plan, Quantity, Upstream, WEIGHTS_CHANGED};
use crate::cells::Lanes;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::optim::Optimizer;
use crate::program::{Batch, DropoutKey, Input, Op, Program, Slot, StartState};
use crate::shape::Shape;
use scan::Tape;

/// A program and its weights.
pub(crate) struct Reference<T> {
    program: Program,
    values: Vec<T>,
    /// Counts the changes of the weights.
    version: u64,
}

/// One run: every slot's numbers and gradients, rows in the order of the batch, (B, T, width).
struct Work<T> {
    shape: Shape,
    lengths: Vec<usize>,
    tokens: Option<Vec<i32>>,
    targets: Option<Vec<i32>>,
    dropout: Option<DropoutKey>,
    slots: Vec<Vec<T>>,
    d_slots: Vec<Vec<T>>,
    tapes: Vec<Tape<T>>,
    state: Vec<T>,
    d_state: Vec<T>,
    log_probs: Vec<T>,
    gradient: Vec<T>,
    /// The weights' version of a run that no backward run has followed yet.
    has_run: Option<u64>,
}

impl<T: Float + Lanes> Reference<T> {
    pub(crate) fn new(program: Program) -> Self {
        let values = vec![T::ZERO; program.parameters.len()];
        Self { program, values, version: 0 }
    }
}

impl<T: Float + Lanes> Backend<T> for Reference<T> {
    fn plan(&self, shape: Shape) -> Result<Plan> {
        let state = vec![T::ZERO; self.program.state_width() * shape.batch];
        Ok(Plan::new(
            shape,
            Work {
                shape,
                lengths: Vec::new(),
                tokens: None,
                targets: None,
                dropout: None,
                slots: Vec::new(),
                d_slots: Vec::new(),
                tapes: Vec::new(),
                d_state: Vec::new(),
                state,
                log_probs: Vec::new(),
                gradient: Vec::new(),
                has_run: None,
            },
        ))
    }

    fn upload(&mut self, from: usize, values: &[T]) -> Result<()> {
        self.values[from..from + values.len()].copy_from_slice(values);
        self.version += 1;
        Ok(())
    }

    fn download(&self, from: usize, values: &mut [T]) {
        values.copy_from_slice(&self.values[from..from + values.len()]);
    }

    fn forward(&self, plan: &mut Plan, batch: &Batch<'_, T>) -> Result<()> {
        let work: &mut Work<T> = plan.work_mut()?;
        work.lengths = batch.check(&self.program)?;
        work.shape = batch.shape;
        match batch.start {
            StartState::Zero => work.state = vec![T::ZERO; self.program.state_width() * batch.shape.batch],
            StartState::Carry => {}
            StartState::From(state) => work.state = state.to_vec(),
        }
        work.targets = batch.targets.map(<[i32]>::to_vec);
        work.dropout = batch.training;
        let rows = batch.shape.rows();
        work.slots = self.program.slots.iter().map(|slot| vec![T::ZERO; rows * stored(*slot)]).collect();
        work.tapes.clear();
        work.tokens = None;
        match batch.input {
            Input::Tokens(tokens) => work.tokens = Some(tokens.to_vec()),
            Input::Features(x) => work.slots[self.program.input].copy_from_slice(x),
        }
        for op in &self.program.ops {
            match *op {
                Op::Gather { table, out, .. } => ops::gather(self, work, table, out),
                Op::Dropout { input, p, site, out } => ops::dropout(work, input, p, site, out),
                Op::Linear { input, weight, bias, out } => ops::linear(self, work, input, weight, bias, out),
                Op::Scan { .. } => scan::forward(self, work, op),
                Op::CrossEntropy { logits } => ops::cross_entropy(work, logits),
            }
        }
        work.has_run = Some(self.version);
        Ok(())
    }

    fn backward(&self, plan: &mut Plan, upstream: Upstream<'_, T>) -> Result<()> {
        let work: &mut Work<T> = plan.work_mut()?;
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
        work.d_state = upstream.state.map_or_else(|| vec![T::ZERO; work.state.len()], <[T]>::to_vec);
        if let Some(dy) = upstream.output {
            work.d_slots[self.program.output].copy_from_slice(dy);
            ops::clear_padding(work, self.program.output);
        }
        for op in self.program.ops.iter().rev() {
            match *op {
                Op::Gather { table, out, .. } => ops::gather_backward(self, work, table, out),
                Op::Dropout { input, p, site, out } => ops::dropout_backward(work, input, p, site, out),
                Op::Linear { input, weight, bias, out } => {
                    ops::linear_backward(self, work, input, weight, bias, out);
                }
                Op::Scan { .. } => scan::backward(self, work, op),
                Op::CrossEntropy { logits } => ops::cross_entropy_backward(work, logits),
            }
        }
        Ok(())
    }

    fn read(&self, plan: &Plan, quantity: Quantity, out: &mut [T]) -> Result<()> {
        let work: &Work<T> = plan.work()?;
        let from = match quantity {
            Quantity::Output => &work.slots[self.program.output],
            Quantity::State => &work.state,
            Quantity::LogProbs => &work.log_probs,
            Quantity::ParameterGradient => &work.gradient,
            Quantity::InputGradient => &work.d_slots[self.program.input],
            Quantity::StateGradient => &work.d_state,
        };
        out.copy_from_slice(from);
        Ok(())
    }

    fn update(&mut self, plan: &mut Plan, optimizer: &mut Optimizer<T>, lr: f64) -> Result<f64> {
        let work: &mut Work<T> = plan.work_mut()?;
        self.version += 1;
        optimizer.update(&mut self.values, &work.gradient, lr)
    }
}

/// Numbers kept for a row: a token's one-hot vector never is.
fn stored(slot: Slot) -> usize {
    match slot {
        Slot::Tokens { .. } => 0,
        Slot::Features(width) => width,
    }
}

impl<T: Float> Work<T> {
    /// Every (row, step) within the rows' lengths, with its place in a (B, T) array.
    fn places(&self) -> Vec<(usize, usize, usize)> {
        let steps = self.shape.steps;
        let rows = self.lengths.iter().enumerate();
        rows.flat_map(|(b, &n)| (0..n).map(move |t| (b, t, b * steps + t))).collect()
    }
}
