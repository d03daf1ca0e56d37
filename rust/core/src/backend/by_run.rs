//! Reading a token at a time by whole runs of one step: for what has no decoder of its own.

use super::{Backend, Decoder, Plan, Quantity};
use crate::error::Result;
use crate::float::Float;
use crate::program::{Batch, Input, Program, StartState};
use crate::shape::Shape;

const ONE: Shape = Shape { batch: 1, steps: 1 };

/// Rows that are run one after the other.
pub(crate) struct ByRun<T> {
    plan: Plan,
    /// Numbers in a row's state and logits.
    widths: [usize; 2],
    states: Vec<T>,
    logits: Vec<T>,
}

impl<T: Float> ByRun<T> {
    pub(crate) fn new(
        backend: &impl Backend<T>,
        program: &Program,
        weights: &[T],
        rows: usize,
    ) -> Result<Self> {
        let widths = [program.state_width(), program.slots[program.output].width()];
        let [mut states, logits] = widths.map(|width| vec![T::ZERO; width * rows]);
        for state in states.chunks_exact_mut(widths[0].max(1)) {
            program.initial_state(weights, 1, state);
        }
        Ok(Self { plan: backend.plan(ONE)?, widths, states, logits })
    }
}

impl<T: Float> Decoder<T> for ByRun<T> {
    fn step(&mut self, backend: &dyn Backend<T>, tokens: &[i32]) -> Result<()> {
        let [width, vocabulary] = self.widths;
        for (row, token) in tokens.iter().enumerate() {
            let state = &mut self.states[row * width..][..width];
            let batch = Batch {
                shape: ONE,
                input: Input::Tokens(std::slice::from_ref(token)),
                targets: None,
                lengths: None,
                mask: None,
                memory: None,
                start: StartState::From(state),
                training: None,
            };
            backend.forward(&mut self.plan, &batch)?;
            backend.read(&self.plan, Quantity::State, state)?;
            let logits = &mut self.logits[row * vocabulary..][..vocabulary];
            backend.read(&self.plan, Quantity::Output, logits)?;
        }
        Ok(())
    }

    fn logits(&self, row: usize) -> &[T] {
        &self.logits[row * self.widths[1]..][..self.widths[1]]
    }

    fn save(&self, row: usize, state: &mut [T]) -> Result<()> {
        state.copy_from_slice(&self.states[row * self.widths[0]..][..self.widths[0]]);
        Ok(())
    }

    fn load(&mut self, row: usize, state: &[T]) {
        self.states[row * self.widths[0]..][..self.widths[0]].copy_from_slice(state);
    }
}
