//! A step of learning on a backend that knows at once what it came to.

use super::{Backend, Outcome, Plan, Quantity, Upstream};
use crate::error::Result;
use crate::float::Float;
use crate::optim::Optimizer;
use crate::program::{Batch, FinalState};

/// What such a backend has beside its [`Backend`].
pub(crate) trait Learner<T: Float>: Backend<T> {
    /// Mean of −log p over the scored tokens of the last run with targets, nats; 0 where there were
    /// none.
    fn loss(&self, plan: &Plan) -> Result<f64>;
    /// [`Backend::apply`] along the plan's gradients.
    fn update(&mut self, plan: &mut Plan, optimizer: &mut Optimizer<T>, lr: f64) -> Result<f64>;

    /// Forward, backward and update, of rows with `states` numbers in their state. Where loss or norm is not
    /// finite the weights stay as they were.
    fn step(
        &mut self,
        states: usize,
        plan: &mut Plan,
        batch: &Batch<'_, T>,
        optimizer: &mut Optimizer<T>,
        lr: f64,
    ) -> Result<(Outcome, FinalState<T>)> {
        self.forward(plan, batch)?;
        let loss = self.loss(plan)?;
        let mut norm = f64::NAN;
        if loss.is_finite() {
            self.backward(plan, Upstream { output: None, state: None })?;
            norm = self.update(plan, optimizer, lr)?;
        }
        let mut state = vec![T::ZERO; batch.shape.batch * states];
        self.read(plan, Quantity::State, &mut state)?;
        Ok((Outcome::of(loss, norm), FinalState::Here(state)))
    }
}

/// Mean of −log p over the rows with a target.
pub(crate) fn mean_loss<T: Float>(rows: impl Iterator<Item = (i32, T)>) -> f64 {
    let scored = rows.filter(|(target, _)| *target >= 0).map(|(_, log_prob)| log_prob.to_f64());
    let (sum, count) = scored.fold((0.0, 0.0), |(sum, count), log_prob| (sum - log_prob, count + 1.0));
    if count == 0.0 { 0.0 } else { sum / count }
}
