//! A program with its weights on one device, and what one does with it: run, learn, score.

use crate::backend::{Backend, Decoder, Plan, Quantity, Upstream};
use crate::device::{Device, Element, Precision};
use crate::error::{Error, Result};
use crate::optim::Optimizer;
use crate::plans::{Loan, Plans};
use crate::program::{Batch, FinalState, Input, Memory, Prepared, Program};

pub use crate::backend::Outcome;
use crate::shape::{Shape, checked_product};

/// A program with its weights on one device.
///
/// # Examples
/// A tiny language model that learns "ababab…":
/// ```
/// use seqrs::{optim::{Optimizer, Rule}, prelude::*};
///
/// let layers = Recurrent::new(Cell::parse("lstm", "none")?, 8, 1);
/// let model = LanguageModel { vocab_size: 2, embedding_size: None, layers };
/// let mut network: Network<f32> = Network::new(model.program()?, Device::open("cpu")?, 0)?;
/// let rule = Rule::Adam { betas: (0.9, 0.999), eps: 1e-8 };
/// let mut adam = Optimizer::new(rule, 0.0, Some(5.0), None, network.num_trainable())?;
/// let batch = Batch {
///     shape: Shape { batch: 1, steps: 4 },
///     input: Input::Tokens(&[-1, 0, 1, 0]),
///     targets: Some(&[0, 1, 0, 1]),
///     lengths: None,
///     mask: None,
///     memory: None,
///     start: StartState::Zero,
///     training: Some(DropoutKey { seed: 0, step: 0 }),
/// };
/// let first = network.train_step(&batch, &mut adam, 0.05)?;
/// let last = (0..50).try_fold(first.loss, |_, _| network.train_step(&batch, &mut adam, 0.05).map(|s| s.loss))?;
/// assert!(last < 0.1 * first.loss);
/// # Ok::<(), seqrs::Error>(())
/// ```
pub struct Network<T> {
    program: Program,
    backend: Box<dyn Backend<T>>,
    device: Device,
    plans: Plans,
}

/// The outcome of a run.
#[derive(Clone, Debug)]
pub struct Run<T> {
    /// (B, T, O), zeros at steps that do not count; or (B, O) after pooling.
    pub output: Vec<T>,
    /// All h, scan by scan (B, H), then all c, after each row's last step.
    pub state: Vec<T>,
    /// Shares of the memory's steps in each context, (B, T, S), where the program attends to one.
    pub attention: Option<Vec<T>>,
}

/// The gradients of a backward run.
#[derive(Clone, Debug)]
pub struct Gradients<T> {
    /// Of the input, (B, T, I); absent for tokens.
    pub input: Option<Vec<T>>,
    /// Of the state at the start.
    pub state: Vec<T>,
    /// Of the memory, (B, S, D), where the program attends to one.
    pub memory: Option<Vec<T>>,
    /// Of all parameters, laid out as [`crate::params::Parameters`] says.
    pub parameters: Vec<T>,
}

/// The outcome of one training step.
#[derive(Clone, Debug)]
pub struct TrainStep<T> {
    /// Mean of −log p over the scored tokens, nats, before the update; without penalties.
    pub loss: f64,
    /// Global norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// As in [`Run`].
    pub state: Vec<T>,
}

/// What a run in training mode keeps for the way back. Once dropped, its memory serves the
/// network's next run of the shape.
pub struct Tape {
    plan: Loan,
    shape: Shape,
    from_features: bool,
    memory_steps: usize,
    penalty: f64,
}

impl Tape {
    /// What penalties on activations add to the loss; their gradients are part of the backward run.
    pub fn penalty(&self) -> f64 {
        self.penalty
    }
}

impl<T: Element> Network<T> {
    /// Puts a program on a device, its weights drawn from `seed`.
    ///
    /// # Errors
    /// Where the device refuses.
    pub fn new(program: Program, device: Device, seed: u64) -> Result<Self> {
        let values = program.parameters.initialise(seed)?;
        let mut backend = device.backend(program.clone())?;
        backend.upload(0, &values)?;
        Ok(Self { program, backend, device, plans: Plans::default() })
    }

    /// A copy that multiplies in other numbers, for drawing and scoring with less memory and time.
    ///
    /// # Errors
    /// If the device multiplies in full precision alone.
    ///
    /// # Examples
    /// ```
    /// use seqrs::prelude::*;
    /// let layers = Recurrent::new(Cell::parse("lstm", "none")?, 32, 1);
    /// let model = LanguageModel { vocab_size: 5, embedding_size: None, layers };
    /// let network: Network<f32> = Network::new(model.program()?, Device::open("cpu")?, 0)?;
    /// let small = network.at(Precision::Int8)?;
    /// let start = Start { prompt: &[-1], state: None, stop: None, seed: 1 };
    /// let sampler = Sampler::new(5, 1.0, None, None, &[])?;
    /// let draw = Generator::new(&small, start, sampler)?.draw(&small)?;
    /// assert!(draw.log_prob < 0.0);
    /// # Ok::<(), seqrs::Error>(())
    /// ```
    pub fn at(&self, precision: Precision) -> Result<Self> {
        let device = self.device.with(precision)?;
        let mut values = vec![T::ZERO; self.num_parameters()];
        self.backend.download(0, &mut values)?;
        let mut backend = device.backend(self.program.clone())?;
        backend.upload(0, &values)?;
        Ok(Self { program: self.program.clone(), backend, device, plans: Plans::default() })
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Where it runs.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Numbers in all parameters.
    pub fn num_parameters(&self) -> usize {
        self.program.parameters.len()
    }

    /// A copy of one parameter, row major.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn get(&self, name: &str) -> Result<Vec<T>> {
        let range = self.program.parameters.find(name)?.range.clone();
        let mut values = vec![T::ZERO; range.len()];
        self.backend.download(range.start, &mut values)?;
        Ok(values)
    }

    /// Replaces one parameter.
    ///
    /// # Errors
    /// If there is none of this name, or it has another size.
    pub fn set(&mut self, name: &str, values: &[T]) -> Result<()> {
        let parameter = self.program.parameters.find(name)?;
        if values.len() != parameter.range.len() {
            return Err(Error::shape(name, format!("{:?}", parameter.shape), &[values.len()]));
        }
        self.backend.upload(parameter.range.start, values)
    }

    /// Replaces several parameters, all or none.
    ///
    /// # Errors
    /// If there is none of a name, or it has another size.
    pub fn set_all(&mut self, parameters: &[(&str, &[T])]) -> Result<()> {
        let mut all = vec![T::ZERO; self.num_parameters()];
        self.backend.download(0, &mut all)?;
        for (name, values) in parameters {
            let parameter = self.program.parameters.find(name)?;
            if values.len() != parameter.range.len() {
                return Err(Error::shape(*name, format!("{:?}", parameter.shape), &[values.len()]));
            }
            all[parameter.range.clone()].copy_from_slice(values);
        }
        self.backend.upload(0, &all)
    }

    /// Moves the weights along a gradient laid out as the parameters, by one update of `optimizer`.
    /// Returns its norm before clipping; where that is not finite the weights stay.
    ///
    /// # Errors
    /// If the gradient or the optimiser is of another size.
    pub fn apply(&mut self, gradient: &[T], optimizer: &mut Optimizer<T>, lr: f64) -> Result<f64> {
        if gradient.len() != self.num_parameters() {
            return Err(Error::shape("gradient", format!("({},)", self.num_parameters()), &[gradient.len()]));
        }
        self.backend.apply(gradient, optimizer, lr)
    }

    /// Numbers in the parameters that learn: what an optimiser is made for.
    pub fn num_trainable(&self) -> usize {
        self.program.parameters.trainable()
    }

    /// Runs a batch.
    ///
    /// # Errors
    /// If the batch does not fit the program.
    pub fn run(&self, batch: &Batch<'_, T>) -> Result<Run<T>> {
        without_targets(batch)?;
        let mut plan = self.loan(batch.shape)?;
        self.backend.forward(&mut plan, batch)?;
        self.results(&plan, batch)
    }

    /// Prepares a memory of `rows` rows for many runs that attend to it, a step of a text each, say.
    ///
    /// # Errors
    /// If no layer attends to one, or it does not fit.
    pub fn prepare(&self, memory: &Memory<'_, T>, rows: usize) -> Result<Prepared<T>> {
        let Some(width) = self.program.memory else {
            return Err(Error::value("memory", "none, because no layer attends to one", "some"));
        };
        if memory.chosen.is_some() {
            return Err(Error::value("memory", "an array", "one that is prepared"));
        }
        memory.check(width, rows)?;
        Ok(Prepared::new(memory, rows, self.backend.prepare(memory, rows)?))
    }

    /// Runs a batch in training mode and keeps a tape for [`Network::backward`].
    ///
    /// # Errors
    /// If the batch does not fit the program.
    pub fn forward(&self, batch: &Batch<'_, T>) -> Result<(Run<T>, Tape)> {
        without_targets(batch)?;
        let mut plan = self.loan(batch.shape)?;
        self.backend.forward(&mut plan, batch)?;
        let run = self.results(&plan, batch)?;
        let from_features = matches!(batch.input, Input::Features(_));
        let penalty = self.read(&plan, Quantity::Penalty, 1)?[0].to_f64();
        let memory_steps = memory_steps(batch);
        Ok((run, Tape { plan, shape: batch.shape, from_features, memory_steps, penalty }))
    }

    /// Gradients of Σ dy ⊙ y + Σ dstate ⊙ state, from a tape of this network.
    ///
    /// # Errors
    /// If the tape was used before or belongs to another network, or an array has the wrong size.
    pub fn backward(&self, tape: &mut Tape, dy: &[T], dstate: Option<&[T]>) -> Result<Gradients<T>> {
        let Shape { batch, steps } = tape.shape;
        if dy.len() != self.outputs(tape.shape) {
            let (output, steps) = (self.program.slots[self.program.output], format!(" {steps},"));
            let steps = if output.is_pooled() { "" } else { &steps };
            return Err(Error::shape("dy", format!("({batch},{steps} {})", output.width()), &[dy.len()]));
        }
        let states = batch * self.program.state_width();
        if let Some(d) = dstate.filter(|d| d.len() != states) {
            return Err(Error::shape("dstate", format!("of {states} numbers in all"), &[d.len()]));
        }
        let upstream = Upstream { output: Some(dy), state: dstate };
        self.backend.backward(&mut tape.plan, upstream)?;
        let parameters = self.backend.gradient(&mut tape.plan)?;
        let read = |quantity, len| self.read(&tape.plan, quantity, len);
        let input = self.program.slots[self.program.input].width();
        Ok(Gradients {
            input: if tape.from_features {
                Some(read(Quantity::InputGradient, batch * steps * input)?)
            } else {
                None
            },
            state: read(Quantity::StateGradient, states)?,
            memory: match self.program.memory {
                Some(width) => Some(read(Quantity::MemoryGradient, batch * tape.memory_steps * width)?),
                None => None,
            },
            parameters,
        })
    }

    /// One step of learning: forward, backward, clip, update. Where the loss or the gradients'
    /// norm is not finite the weights stay as they were, and the caller sees it in the result.
    ///
    /// # Errors
    /// If the batch does not fit the program.
    pub fn train_step(
        &mut self,
        batch: &Batch<'_, T>,
        optimizer: &mut Optimizer<T>,
        lr: f64,
    ) -> Result<TrainStep<T>> {
        let (outcome, state) = self.learn(batch, optimizer, lr)?;
        let (loss, gradient_norm) = (outcome.loss()?, outcome.gradient_norm()?);
        Ok(TrainStep { loss, gradient_norm, state: state.into_vec()? })
    }

    /// The same for a loop that need not know at once: the loss and the norm, and the state for the next step
    /// ([`FinalState::start`]), which on a graphics processor stay there until somebody asks. It works on
    /// meanwhile; the host asks by itself every 16 steps.
    ///
    /// Weights and optimiser are those that looking at every step gives, up to one that is not finite: what has
    /// been begun after it, before anyone knew, changes nothing either, and its norm is NaN. Until then
    /// [`Optimizer::steps`] counts what has been begun.
    ///
    /// # Errors
    /// If the batch does not fit the program, or the device fails.
    pub fn learn(
        &mut self,
        batch: &Batch<'_, T>,
        optimizer: &mut Optimizer<T>,
        lr: f64,
    ) -> Result<(Outcome, FinalState<T>)> {
        self.check_targets(batch)?;
        let mut plan = self.loan(batch.shape)?;
        self.backend.learn(&mut plan, batch, optimizer, lr)
    }

    /// Log-probability in nats of each target, (B, T), 0 where not scored; and the state after.
    ///
    /// # Errors
    /// If the batch does not fit the program.
    pub fn log_probs(&self, batch: &Batch<'_, T>) -> Result<Run<T>> {
        self.check_targets(batch)?;
        let mut plan = self.loan(batch.shape)?;
        self.backend.forward(&mut plan, batch)?;
        Ok(Run {
            output: self.read(&plan, Quantity::LogProbs, batch.shape.rows())?,
            state: self.state(&plan)?,
            attention: self.attention(&plan, batch)?,
        })
    }

    fn check_targets(&self, batch: &Batch<'_, T>) -> Result<()> {
        if !self.program.has_loss() {
            return Err(Error::Unsupported("a loss on a network without a vocabulary".to_owned()));
        }
        match batch.targets {
            Some(_) => Ok(()),
            None => Err(Error::value("targets", "the token that follows at every step", "none")),
        }
    }

    fn plan(&self, shape: Shape) -> Result<Plan> {
        self.check_size(shape)?;
        self.backend.plan(shape)
    }

    /// Refuses what no memory could hold.
    fn check_size(&self, shape: Shape) -> Result<()> {
        let widest = self.program.slots.iter().map(|slot| slot.width()).max().unwrap_or(0);
        let width = widest.max(self.program.state_width()).max(1);
        checked_product("batch", &[shape.batch.max(1), shape.steps.max(1), width]).map(drop)
    }

    fn state(&self, plan: &Plan) -> Result<Vec<T>> {
        self.read(plan, Quantity::State, plan.shape.batch * self.program.state_width())
    }

    pub(crate) fn backend(&self) -> &dyn Backend<T> {
        &*self.backend
    }

    pub(crate) fn decoder(&self, rows: usize) -> Result<Box<dyn Decoder<T>>> {
        self.check_size(Shape { batch: rows, steps: 1 })?;
        self.backend.decoder(rows)
    }

    /// A plan with room for `shape`, for as long as the caller holds it.
    fn loan(&self, shape: Shape) -> Result<Loan> {
        self.plans.take(shape, || self.plan(shape))
    }

    /// Numbers in the output of a batch.
    fn outputs(&self, shape: Shape) -> usize {
        let slot = self.program.slots[self.program.output];
        slot.width() * if slot.is_pooled() { shape.batch } else { shape.rows() }
    }

    fn results(&self, plan: &Plan, batch: &Batch<'_, T>) -> Result<Run<T>> {
        Ok(Run {
            output: self.read(plan, Quantity::Output, self.outputs(batch.shape))?,
            state: self.state(plan)?,
            attention: self.attention(plan, batch)?,
        })
    }

    fn attention(&self, plan: &Plan, batch: &Batch<'_, T>) -> Result<Option<Vec<T>>> {
        if self.program.memory.is_none() {
            return Ok(None);
        }
        self.read(plan, Quantity::Attention, batch.shape.rows() * memory_steps(batch)).map(Some)
    }

    fn read(&self, plan: &Plan, quantity: Quantity, len: usize) -> Result<Vec<T>> {
        self.backend.result(plan, quantity, len)
    }
}

/// S, 0 without a memory.
fn memory_steps<T>(batch: &Batch<'_, T>) -> usize {
    batch.memory.as_ref().map_or(0, |memory| memory.steps)
}

/// Refuses targets where they would be passed over.
fn without_targets<T>(batch: &Batch<'_, T>) -> Result<()> {
    match batch.targets {
        None => Ok(()),
        Some(_) => Err(Error::value("targets", "none: they are for train_step and log_probs", "some")),
    }
}
