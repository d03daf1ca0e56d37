//! What a device does with a program.

mod by_run;
pub(crate) mod cpu;
#[cfg(feature = "wgpu")]
pub(crate) mod gpu;
mod learner;
mod outcome;
pub(crate) mod reference;

pub(crate) use by_run::ByRun;
pub(crate) use learner::{Learner, mean_loss};
pub use outcome::{Outcome, Pending};

use crate::error::{Error, Result};
use crate::float::Float;
use crate::optim::Optimizer;
use crate::program::{Batch, FinalState, Memory};
use crate::rng::Stream;
use crate::shape::Shape;
use std::any::Any;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// A program compiled for one shape: scratch, and the tape of the last run.
pub struct Plan {
    /// The largest batch it can run.
    pub shape: Shape,
    work: Box<dyn Any + Send + Sync>,
}

impl Plan {
    /// Wraps a backend's own scratch.
    pub fn new<W: Any + Send + Sync>(shape: Shape, work: W) -> Self {
        Self { shape, work: Box::new(work) }
    }

    /// The scratch, for the backend that made it.
    pub fn work<W: Any>(&self) -> Result<&W> {
        self.work.downcast_ref().ok_or(FOREIGN)
    }

    /// The scratch, to be written to.
    pub fn work_mut<W: Any>(&mut self) -> Result<&mut W> {
        self.work.downcast_mut().ok_or(FOREIGN)
    }
}

/// What a backward run says when its forward run saw other weights.
pub(crate) const WEIGHTS_CHANGED: Error =
    Error::Tape("the weights have changed since the forward run, or are another network's");

/// A number for a state of a network's weights that no other network or state has.
pub(crate) fn next_version() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

pub(crate) const FOREIGN: Error = Error::Tape("made by another device or element type");

/// Gradients from outside that a backward run starts from.
#[derive(Clone, Copy, Debug)]
pub struct Upstream<'a, T> {
    /// Of the output, (B, T, O); absent for a program that ends in its own loss.
    pub output: Option<&'a [T]>,
    /// Of the final state, laid out as the state.
    pub state: Option<&'a [T]>,
}

/// What can be read from a plan after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// The output of every row and step, (B, T, O), zero at steps that do not count; or (B, O).
    /// Not kept by a run with targets.
    Output,
    /// The state after each row's last step: all h, scan by scan (B, H), then all c.
    State,
    /// log softmax(logits)\[target\] of every row and step, (B, T); 0 where not scored.
    LogProbs,
    /// Gradient of a features input, (B, T, I).
    InputGradient,
    /// Gradient of the state at the start, laid out as the state.
    StateGradient,
    /// Gradient of the memory, (B, S, D).
    MemoryGradient,
    /// Shares of the memory's steps in each context, (B, T, S); zero where a step does not count.
    Attention,
    /// What penalties add to the loss of a training run: one number.
    Penalty,
}

/// In what numbers a device multiplies. Weights, states and sums are the program's own in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// As they are.
    #[default]
    Full,
    /// Rounded to bfloat16 (8 bits of mantissa): faster where the processor multiplies such numbers in
    /// tiles or in fast dot products (AMD's), slower elsewhere.
    Bfloat16,
    /// Weights as bytes with a factor for each output, and what they are multiplied with as bytes with
    /// a factor for each row: four times as many in the same memory. Such a network runs and does not
    /// learn.
    Int8,
}

/// Texts that are read a token at a time, each from a state of its own, in rows from 0 on.
pub trait Decoder<T>: Send + Sync {
    /// Reads one token in each of the first rows, by the weights of the backend that made it.
    fn step(&mut self, backend: &dyn Backend<T>, tokens: &[i32]) -> Result<()>;
    /// The logits after a row's last token, (V).
    fn logits(&self, row: usize) -> &[T];
    /// Copies a row's state: all h, scan by scan, then all c.
    fn save(&self, row: usize, state: &mut [T]) -> Result<()>;
    /// Replaces it.
    fn load(&mut self, row: usize, state: &[T]);
    /// Whether it draws by itself, so that logits need not come here.
    fn draws(&self) -> bool {
        false
    }
    /// Reads and draws tokens in the first rows, where [`Decoder::draws`].
    fn draw(&mut self, _backend: &dyn Backend<T>, _drawing: &Drawing<'_>) -> Result<Vec<Vec<Draw>>> {
        Err(Error::Unsupported("drawing without logits".to_owned()))
    }
}

/// A drawn token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// The token.
    pub token: i32,
    /// Its log-probability in nats under the model itself: before bans, temperature and cuts.
    pub log_prob: f64,
}

/// Which tokens may be drawn, as [`crate::sampling::Sampler`] has it.
#[derive(Clone, Debug)]
pub struct Cuts {
    /// τ.
    pub temperature: f64,
    /// How many of the likeliest; all where nothing is cut.
    pub top_k: usize,
    /// What share of the weight; 1 where nothing is cut.
    pub top_p: f64,
    /// Runs of tokens that are not banned.
    pub allowed: Vec<Range<usize>>,
}

/// What is to be drawn in the first rows of a decoder.
pub struct Drawing<'a> {
    /// How.
    pub cuts: &'a Cuts,
    /// What each row reads first.
    pub tokens: &'a [i32],
    /// Each row's text.
    pub texts: &'a [Drawn],
    /// How many tokens of each; fewer where a text ends.
    pub n: usize,
}

/// A text of which some tokens have been drawn.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    /// Its random numbers.
    pub stream: Stream,
    /// Of which the next one has this number.
    pub count: u64,
    /// The token that ends it.
    pub stop: Option<i32>,
}

/// A program on a device, with its weights.
pub trait Backend<T>: Any + Send + Sync {
    /// Scratch for batches of this shape.
    fn plan(&self, shape: Shape) -> Result<Plan>;
    /// Replaces the weights from place `from` of the buffer on.
    fn upload(&mut self, from: usize, values: &[T]) -> Result<()>;
    /// Copies the weights from place `from` on.
    fn download(&self, from: usize, values: &mut [T]) -> Result<()>;
    /// For a causal program of tokens: reads `rows` texts, each from the state that the program starts from.
    fn decoder(&self, rows: usize) -> Result<Box<dyn Decoder<T>>>;
    /// Rows that a decoder has at most, where that is no matter of the threads there are.
    fn decoder_rows(&self) -> Option<usize> {
        None
    }
    /// Floating point operations that threads can share while `rows` texts read a token each.
    fn shared_operations(&self, rows: usize) -> f64;
    /// What runs that attend to a memory of `rows` rows make of it first, the same in all of them; nothing where
    /// there is nothing to be gained. It is there for as long as the weights stay.
    fn prepare(&self, _memory: &Memory<'_, T>, _rows: usize) -> Result<Box<dyn Any + Send + Sync>> {
        Ok(Box::new(()))
    }
    /// Runs the program and keeps what [`Backend::backward`] needs in the plan.
    fn forward(&self, plan: &mut Plan, batch: &Batch<'_, T>) -> Result<()>;
    /// Backpropagation through the plan's last forward run; good once a run.
    fn backward(&self, plan: &mut Plan, upstream: Upstream<'_, T>) -> Result<()>;
    /// Copies a result out of the plan.
    fn read(&self, plan: &Plan, quantity: Quantity, out: &mut [T]) -> Result<()>;
    /// A result of `len` numbers as a vector, which a device may fill with all its threads.
    fn result(&self, plan: &Plan, quantity: Quantity, len: usize) -> Result<Vec<T>>
    where
        T: Float,
    {
        let mut out = vec![T::ZERO; len];
        self.read(plan, quantity, &mut out)?;
        Ok(out)
    }
    /// Takes the gradient of every parameter, laid out as the parameters, out of the plan.
    fn gradient(&self, plan: &mut Plan) -> Result<Vec<T>>;
    /// Moves the weights along a gradient laid out as the parameters, and returns its global norm before
    /// clipping. Leaves everything as it was where the norm is not finite.
    fn apply(&mut self, gradient: &[T], optimizer: &mut Optimizer<T>, lr: f64) -> Result<f64>;
    /// One step of learning: forward, loss, backward, update, with whatever makes its runs one. A device
    /// that works on meanwhile need not have come to what is returned.
    fn learn(
        &mut self,
        plan: &mut Plan,
        batch: &Batch<'_, T>,
        optimizer: &mut Optimizer<T>,
        lr: f64,
    ) -> Result<(Outcome, FinalState<T>)>;
}
