//! The border of the backend: whatever comes from outside waits for its turn, and nothing worse than an
//! error goes back.

use super::Gpu;
use crate::backend::{Backend, Decoder, Outcome, Plan, Quantity, Upstream};
use crate::error::Result;
use crate::optim::Optimizer;
use crate::program::{Batch, FinalState};
use crate::shape::Shape;

/// A backend whose every method is called through [`super::Context::guard`].
pub(super) struct Guarded(pub Gpu);

impl Guarded {
    fn call<R>(&self, f: impl FnOnce(&Gpu) -> Result<R>) -> Result<R> {
        self.0.context.guard(|| f(&self.0))
    }

    fn call_mut<R>(&mut self, f: impl FnOnce(&mut Gpu) -> Result<R>) -> Result<R> {
        self.0.context.guard(|| f(&mut self.0))
    }
}

impl Backend<f32> for Guarded {
    fn plan(&self, shape: Shape) -> Result<Plan> {
        self.call(|gpu| gpu.plan(shape))
    }

    fn upload(&mut self, from: usize, values: &[f32]) -> Result<()> {
        self.call_mut(|gpu| gpu.upload(from, values))
    }

    fn download(&self, from: usize, values: &mut [f32]) -> Result<()> {
        self.call(|gpu| gpu.download(from, values))
    }

    fn decoder(&self, rows: usize) -> Result<Box<dyn Decoder<f32>>> {
        self.call(|gpu| gpu.decoder(rows))
    }

    fn decoder_rows(&self) -> Option<usize> {
        self.0.decoder_rows()
    }

    fn shared_operations(&self, rows: usize) -> f64 {
        self.0.shared_operations(rows)
    }

    fn forward(&self, plan: &mut Plan, batch: &Batch<'_, f32>) -> Result<()> {
        self.call(|gpu| gpu.forward(plan, batch))
    }

    fn backward(&self, plan: &mut Plan, upstream: Upstream<'_, f32>) -> Result<()> {
        self.call(|gpu| gpu.backward(plan, upstream))
    }

    fn read(&self, plan: &Plan, quantity: Quantity, out: &mut [f32]) -> Result<()> {
        self.call(|gpu| gpu.read(plan, quantity, out))
    }

    fn gradient(&self, plan: &mut Plan) -> Result<Vec<f32>> {
        self.call(|gpu| gpu.gradient(plan))
    }

    fn apply(&mut self, gradient: &[f32], optimizer: &mut Optimizer<f32>, lr: f64) -> Result<f64> {
        self.call_mut(|gpu| gpu.apply(gradient, optimizer, lr))
    }

    fn learn(
        &mut self,
        plan: &mut Plan,
        batch: &Batch<'_, f32>,
        optimizer: &mut Optimizer<f32>,
        lr: f64,
    ) -> Result<(Outcome, FinalState<f32>)> {
        self.call_mut(|gpu| gpu.learn(plan, batch, optimizer, lr))
    }
}
