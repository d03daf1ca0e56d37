//! The gradients' norm, clipping and the update rule, on the device.

use super::Gpu;
use super::calls::{Calls, Recorded, words};
use super::context::Context;
use super::kernel::{THREADS, over};
use crate::backend::Pending;
use crate::error::{Error, Result};
use crate::optim::{Held, Numbers, Optimizer, Rule};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Gradients whose squares one workgroup adds.
const CHUNK: usize = 64 * THREADS;
/// The calls of an update whose numbers change from one to the next.
const SQUARES: usize = 0;
const NORM: usize = 1;
const RULE: usize = 2;

/// Moving averages on the device.
pub(super) struct Averages {
    context: &'static Context,
    /// The first and the second; a rule that keeps none has one number of each.
    buffers: [wgpu::Buffer; 2],
    lens: Vec<usize>,
    /// A number that no other averages have.
    id: u64,
}

impl std::fmt::Debug for Averages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Averages({:?} on {})", self.lens, self.context.info.name)
    }
}

impl Held<f32> for Averages {
    fn fetch(&self) -> Result<Vec<Vec<f32>>> {
        self.context.guard(|| {
            self.lens
                .iter()
                .zip(&self.buffers)
                .map(|(&len, buffer)| self.context.read(buffer, 0, len))
                .collect()
        })
    }
}

impl Averages {
    fn new(context: &'static Context, moments: &[Vec<f32>]) -> Result<Self> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let buffer = |i: usize| {
            let values = moments.get(i).map_or(&[][..], Vec::as_slice);
            let buffer = context.buffer("moving averages", values.len())?;
            context.write(&buffer, 0, values);
            Ok(buffer)
        };
        let id = LAST.fetch_add(1, Ordering::Relaxed);
        let lens = moments.iter().map(Vec::len).collect();
        Ok(Self { context, buffers: [buffer(0)?, buffer(1)?], lens, id })
    }
}

/// The calls of an update of one network along one buffer of gradients.
pub(super) struct Update {
    averages: u64,
    calls: Recorded,
}

impl Update {
    /// Submits an update along `gradient`, of a run whose loss is at place 0 of `outcome`. Where that or the
    /// norm is not finite, here or in an update that nobody has looked at, the weights stay as they are.
    pub fn submit(
        known: &mut Option<Self>,
        net: &Gpu,
        [gradient, outcome, run]: [&wgpu::Buffer; 3],
        optimizer: &mut Optimizer<f32>,
        lr: f64,
    ) -> Result<Arc<dyn Pending>> {
        let trainable = net.program.parameters.trainable();
        if optimizer.len() != trainable {
            return Err(Error::shape("optimizer", format!("({trainable},)"), &[optimizer.len()]));
        }
        let numbers = optimizer.numbers(lr)?;
        let here = |averages: &&Averages| std::ptr::eq(averages.context, net.context);
        if optimizer.held::<Averages>().filter(here).is_none() {
            optimizer.hold(|moments| Ok(Box::new(Averages::new(net.context, moments)?)))?;
        }
        let averages = optimizer.held::<Averages>().filter(here);
        let averages = averages.ok_or(Error::Tape("the optimiser's averages left the device"))?;
        let update = match known {
            Some(update) if update.averages == averages.id => update,
            other => {
                let calls = record(net, gradient, outcome, run, averages)?;
                other.insert(Self { averages: averages.id, calls })
            }
        };
        let bound = numbers.clip_value.min(f64::from(f32::MAX)) as f32;
        update.calls.set(net.context, SQUARES, words![trainable, bound]);
        update.calls.set(net.context, NORM, words![trainable.div_ceil(CHUNK), net.unread.place()?]);
        update.calls.set(net.context, RULE, &rule_words(trainable, bound, &numbers, lr));
        update.calls.submit(net.context);
        net.unread.note(optimizer.count())
    }
}

fn record(
    net: &Gpu,
    gradient: &wgpu::Buffer,
    outcome: &wgpu::Buffer,
    run: &wgpu::Buffer,
    averages: &Averages,
) -> Result<Recorded> {
    let (context, len) = (net.context, net.program.parameters.trainable());
    let parts = len.div_ceil(CHUNK);
    let squares = context.buffer("squares", parts)?;
    let mut calls = Calls::default();
    let kernel = context.kernel("squares", SQUARES_TEXT);
    calls.add(&kernel, &[gradient, &squares], &[], [parts.max(1), 1, 1]);
    let kernel = context.kernel("norm", NORM_TEXT);
    calls.add(&kernel, &[&squares, outcome, &net.unread.told], &[], [1, 1, 1]);
    let kernel = context.kernel("update", include_str!("wgsl/update.wgsl"));
    let [first, second] = &averages.buffers;
    let mut grid = over(len);
    grid[0] = grid[0].max(1);
    grid[1] = grid[1].max(1);
    calls.add(&kernel, &[gradient, outcome, &net.values, first, second], &[], grid);
    Ok(calls.finish(context, run))
}

/// The numbers of the update kernel: its struct `P`.
fn rule_words(len: usize, bound: f32, numbers: &Numbers, lr: f64) -> [u32; 13] {
    let (rule, a, b, eps, rate, root) = match numbers.rule {
        Rule::Sgd { momentum } => (if momentum == 0.0 { 0u32 } else { 1 }, momentum, 0.0, 0.0, lr, 1.0),
        Rule::RmsProp { rho, eps } => (2, rho, 0.0, eps, lr, 1.0),
        Rule::Adam { betas: (b1, b2), eps } | Rule::AdamW { betas: (b1, b2), eps } => {
            let bias = |beta: f64| 1.0 - beta.powf(numbers.step as f64);
            (3, b1, b2, eps, lr / bias(b1), 1.0 / bias(b2).sqrt())
        }
    };
    let limit = numbers.clip_norm.min(f64::from(f32::MAX));
    let words =
        words![len, rule, bound, limit, numbers.added, numbers.kept, a, 1.0 - a, b, 1.0 - b, eps, rate, root];
    *words
}

const SQUARES_TEXT: &str = concat!(include_str!("wgsl/fold.wgsl"), include_str!("wgsl/squares.wgsl"));
const NORM_TEXT: &str = concat!(include_str!("wgsl/fold.wgsl"), include_str!("wgsl/norm.wgsl"));
