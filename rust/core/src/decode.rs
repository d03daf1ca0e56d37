//! Drawing text token by token (Ng, Sequence Models, week 1: sampling novel sequences).
//!
//! The model reads x⟨1⟩ = 0 (token −1) from the state a⟨0⟩ = 0, a token is drawn from its
//! distribution and read next, until a stop token or for as long as one likes.

use crate::backend::Plan;
use crate::device::Element;
use crate::error::{Error, Result};
use crate::network::Network;
use crate::program::{Batch, Input, StartState};
use crate::rng::{Kind, Stream};
use crate::sampling::{Draw, Sampler};
use crate::shape::Shape;

const ONE: Shape = Shape { batch: 1, steps: 1 };

/// Where a text starts.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a, T> {
    /// Tokens read first; `[-1]` is the zero vector alone.
    pub prompt: &'a [i32],
    /// The state before them; zeros where absent.
    pub state: Option<&'a [T]>,
    /// Drawing this token ends the text.
    pub stop: Option<i32>,
    /// The draws are a function of this number.
    pub seed: u64,
}

/// One text being drawn: the recurrent state, the last token and the random stream.
pub struct Generator<T> {
    plan: Plan,
    sampler: Sampler,
    stream: Stream,
    stop: Option<i32>,
    logits: Vec<T>,
    last: i32,
    /// Whether `logits` are those after `last`.
    current: bool,
    drawn: u64,
    done: bool,
}

impl<T: Element> Generator<T> {
    /// Reads the prompt.
    ///
    /// # Errors
    /// For an empty prompt, a token outside the vocabulary, or a state of the wrong size.
    pub fn new(network: &Network<T>, start: Start<'_, T>, sampler: Sampler) -> Result<Self> {
        let Some((&last, before)) = start.prompt.split_last() else {
            return Err(Error::value("prompt", "at least one token", "none"));
        };
        if !network.program().has_loss() {
            return Err(Error::Unsupported("drawing text from a network without a vocabulary".to_owned()));
        }
        if !network.program().is_causal() {
            return Err(Error::Unsupported("drawing text from a network that reads it backwards".to_owned()));
        }
        let vocabulary = network.program().slots[network.program().output].width();
        if let Some(token) = start.prompt.iter().find(|&&t| t < -1 || i64::from(t) >= vocabulary as i64) {
            return Err(Error::value("prompt", format!("tokens from -1 to below {vocabulary}"), token));
        }
        let mut generator = Self {
            plan: network.plan(ONE)?,
            sampler,
            stream: Stream::new(start.seed, Kind::Sample, 0, 0),
            stop: start.stop,
            logits: vec![T::ZERO; vocabulary],
            last,
            current: false,
            drawn: 0,
            done: false,
        };
        // No token yet: takes the state in.
        let state = start.state.map_or(StartState::Zero, StartState::From);
        let nothing =
            Batch { input: Input::Tokens(&[-1]), lengths: Some(&[0]), ..generator.batch(&[], state) };
        network.forward_into(&mut generator.plan, &nothing, &mut generator.logits)?;
        for &token in before {
            generator.read(network, token)?;
        }
        Ok(generator)
    }

    /// Draws one more token.
    ///
    /// # Errors
    /// If the model's logits are not finite; nothing has been drawn then.
    pub fn draw(&mut self, network: &Network<T>) -> Result<Draw> {
        if !self.current {
            self.read(network, self.last)?;
            self.current = true;
        }
        let draw = self.sampler.draw(&self.logits, self.stream.uniform(self.drawn))?;
        self.drawn += 1;
        (self.last, self.current) = (draw.token, false);
        self.done = self.stop == Some(draw.token);
        Ok(draw)
    }

    /// Whether the stop token was drawn.
    pub fn done(&self) -> bool {
        self.done
    }

    /// The state after all tokens read so far; the last drawn one is not among them.
    ///
    /// # Errors
    /// If the plan belongs to another network.
    pub fn state(&self, network: &Network<T>) -> Result<Vec<T>> {
        network.state(&self.plan)
    }

    fn read(&mut self, network: &Network<T>, token: i32) -> Result<()> {
        let tokens = [token];
        let batch = self.batch(&tokens, StartState::Carry);
        network.forward_into(&mut self.plan, &batch, &mut self.logits)
    }

    fn batch<'a>(&self, tokens: &'a [i32], start: StartState<'a, T>) -> Batch<'a, T> {
        Batch {
            shape: ONE,
            input: Input::Tokens(tokens),
            targets: None,
            lengths: None,
            mask: None,
            start,
            training: None,
        }
    }
}
