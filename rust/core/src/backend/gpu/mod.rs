//! The backend of graphics processors: Vulkan, Metal and DX12 through wgpu, in float32.
//!
//! A program becomes lists of calls of kernels, recorded once for a shape of batch (`recording`); a run brings
//! the batch, submits the lists and brings results back (`run`). Kernels are WGSL (`wgsl/`); what a cell
//! computes is its own Rust, traced (`symbol`).

mod activate;
mod adapters;
mod arrange;
mod attended;
mod budget;
mod buffers;
mod calls;
mod context;
mod copies;
mod cross_entropy;
mod decode;
mod dropout;
mod embedding;
mod fit;
mod guarded;
mod kept;
mod kernel;
mod layer_norm;
mod linear;
mod ops;
mod penalty;
mod pool;
mod process;
mod product;
mod recording;
mod run;
mod scan;
mod segments;
mod symbol;
#[cfg(test)]
mod tests;
mod tokens;
mod unread;
mod update;

pub use adapters::Adapter;
pub(crate) use adapters::{adapters, choose};
pub(crate) use context::{Context, finish, reset};

use super::{Backend, Decoder, Outcome, Plan, Quantity, Upstream, WEIGHTS_CHANGED, next_version};
use crate::error::{Error, Result};
use crate::optim::Optimizer;
use crate::program::{Batch, FinalState, Program};
use crate::shape::Shape;
use decode::Texts;
use guarded::Guarded;
use kept::Kept;
use run::Work;
use std::sync::Arc;
use unread::Unread;
use update::Update;

/// A program and its weights.
pub(crate) struct Gpu {
    context: &'static Context,
    program: Program,
    /// The weights, laid out as the parameters.
    values: wgpu::Buffer,
    /// Changes with the weights.
    version: u64,
    /// What updates came to.
    unread: Arc<Unread>,
}

/// The scratch of a plan.
struct Scratch {
    work: Work,
    update: Option<Update>,
}

/// A number that a backend of this device can be asked for.
pub(crate) trait Number: Sized {
    /// The program on the device, its weights all 0.
    fn backend(context: &'static Context, program: Program) -> Result<Box<dyn Backend<Self>>>;
}

impl Number for f32 {
    fn backend(context: &'static Context, program: Program) -> Result<Box<dyn Backend<Self>>> {
        Ok(Box::new(Guarded(context.guard(|| Gpu::new(context, program))?)))
    }
}

impl Number for f64 {
    fn backend(_: &'static Context, _: Program) -> Result<Box<dyn Backend<Self>>> {
        let why = "float64 on device=\"gpu\": its shading language has none; use float32, or device=\"cpu\"";
        Err(Error::Unsupported(why.to_owned()))
    }
}

impl Gpu {
    fn new(context: &'static Context, program: Program) -> Result<Self> {
        let (values, unread) = (context.buffer("weights", program.parameters.len())?, Unread::new(context)?);
        Ok(Self { context, program, values, version: next_version(), unread })
    }

    /// All weights.
    fn weights(&self) -> Result<Vec<f32>> {
        self.context.read(&self.values, 0, self.program.parameters.len())
    }
}

impl Backend<f32> for Gpu {
    fn plan(&self, shape: Shape) -> Result<Plan> {
        Ok(Plan::new(shape, Scratch { work: Work::new(self, shape)?, update: None }))
    }

    fn upload(&mut self, from: usize, values: &[f32]) -> Result<()> {
        self.unread.look()?;
        self.context.write(&self.values, from, values);
        self.version = next_version();
        self.context.check()
    }

    fn download(&self, from: usize, values: &mut [f32]) -> Result<()> {
        values.copy_from_slice(&self.context.read::<f32>(&self.values, from, values.len())?);
        Ok(())
    }

    fn decoder(&self, rows: usize) -> Result<Box<dyn Decoder<f32>>> {
        Ok(Box::new(Texts::new(self, rows)?))
    }

    fn decoder_rows(&self) -> Option<usize> {
        Some(decode::ROWS)
    }

    fn shared_operations(&self, _rows: usize) -> f64 {
        0.0
    }

    fn forward(&self, plan: &mut Plan, batch: &Batch<'_, f32>) -> Result<()> {
        plan.work_mut::<Scratch>()?.work.forward(self, batch)
    }

    fn backward(&self, plan: &mut Plan, upstream: Upstream<'_, f32>) -> Result<()> {
        let Scratch { work, .. } = plan.work_mut()?;
        match work.has_run.take() {
            None => {
                return Err(Error::Tape(
                    "backward needs a forward run first, and only one backward follows it",
                ));
            }
            Some(version) if version != self.version => return Err(WEIGHTS_CHANGED),
            Some(_) => {}
        }
        work.start_backward(self, upstream.output, upstream.state)?;
        work.recording()?.backward.submit(self.context);
        self.context.check()
    }

    fn read(&self, plan: &Plan, quantity: Quantity, out: &mut [f32]) -> Result<()> {
        plan.work::<Scratch>()?.work.read(self, quantity, out)
    }

    fn gradient(&self, plan: &mut Plan) -> Result<Vec<f32>> {
        let gradient = &plan.work::<Scratch>()?.work.shared.gradient;
        self.context.read(gradient, 0, self.program.parameters.len())
    }

    fn apply(&mut self, gradient: &[f32], optimizer: &mut Optimizer<f32>, lr: f64) -> Result<f64> {
        self.unread.look()?;
        let outside = self.context.buffer("gradient", gradient.len())?;
        self.context.write(&outside, 0, gradient);
        let outcome = self.context.buffer("outcome", 4)?;
        let run = self.context.uniform("run", 8)?;
        let update = Update::submit(&mut None, self, [&outside, &outcome, &run], optimizer, lr)?;
        self.unread.look()?;
        let norm = update.known().map_or(f64::NAN, |[_, norm]| norm);
        if norm.is_finite() {
            self.version = next_version();
        }
        Ok(norm)
    }

    fn learn(
        &mut self,
        plan: &mut Plan,
        batch: &Batch<'_, f32>,
        optimizer: &mut Optimizer<f32>,
        lr: f64,
    ) -> Result<(Outcome, FinalState<f32>)> {
        self.forward(plan, batch)?;
        self.backward(plan, Upstream { output: None, state: None })?;
        let Scratch { work, update } = plan.work_mut()?;
        let shared = &work.shared;
        let states = self.program.state_width() * batch.shape.batch;
        let state = Kept::of(self.context, &shared.state, states)?;
        let buffers = [&shared.gradient, &shared.outcome, &shared.run];
        let update = Update::submit(update, self, buffers, optimizer, lr);
        // The device may be at it even if a look at earlier ones has failed.
        self.version = next_version();
        Ok((Outcome::pending(update?), FinalState::Held(Arc::new(state))))
    }
}
