//! What goes into one run of a program, checked before any backend sees it.

use super::{Program, Slot, StartState};
use crate::error::{Error, Result, tuple};
use crate::shape::{Shape, check_lengths, checked_product};

/// The input of every row and step, (B, T) or (B, T, I), row major.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a, T> {
    /// Tokens below the vocabulary; −1 is the zero vector.
    Tokens(&'a [i32]),
    /// Numbers.
    Features(&'a [T]),
}

/// What a layer of the program attends to: the outputs of an encoder, say.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'a, T> {
    /// (B, S, D), row major.
    pub values: &'a [T],
    /// S.
    pub steps: usize,
    /// Steps of each row, the first ones; all S where absent.
    pub lengths: Option<&'a [usize]>,
}

impl<T> Memory<'_, T> {
    /// Steps of a row that count.
    pub fn length(&self, row: usize) -> usize {
        self.lengths.map_or(self.steps, |lengths| lengths[row])
    }

    fn check(&self, width: usize, batch: usize) -> Result<()> {
        checked_product("memory", &[batch, self.steps, width])?;
        size("memory", self.values.len(), &[batch, self.steps, width])?;
        let Some(lengths) = self.lengths else { return Ok(()) };
        if lengths.len() != batch {
            return Err(Error::shape("memory_lengths", tuple(&[batch]), &[lengths.len()]));
        }
        match lengths.iter().find(|&&n| n > self.steps) {
            Some(n) => Err(Error::value("memory_lengths", format!("numbers from 0 to {}", self.steps), n)),
            None => Ok(()),
        }
    }
}

/// Which masks a training run draws: they are a function of these two and of nothing else.
#[derive(Clone, Copy, Debug)]
pub struct DropoutKey {
    /// The model's seed.
    pub seed: u64,
    /// The number of the training step.
    pub step: u64,
}

/// One run's input.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a, T> {
    /// B and T.
    pub shape: Shape,
    /// The input.
    pub input: Input<'a, T>,
    /// For a program with a loss: the right answer at every step, (B, T); −1 is not scored.
    pub targets: Option<&'a [i32]>,
    /// Steps of each row; all T where absent.
    pub lengths: Option<&'a [usize]>,
    /// Which steps count, (B, T); those beyond a row's length do not. The others copy the state.
    pub mask: Option<&'a [bool]>,
    /// What the program attends to, where it does.
    pub memory: Option<Memory<'a, T>>,
    /// Where the state starts.
    pub start: StartState<'a, T>,
    /// Present in a training run: dropout is on, and a backward run may follow.
    pub training: Option<DropoutKey>,
}

/// The steps of each row that count.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// How many there are in each row.
    pub lengths: Vec<usize>,
    /// With a mask: the time of each, (B, T). Empty without one: they are the first.
    times: Vec<u32>,
    steps: usize,
}

impl Counted {
    /// The time of a row's counted step number `step`.
    #[inline]
    pub fn time(&self, row: usize, step: usize) -> usize {
        if self.times.is_empty() { step } else { self.times[row * self.steps + step] as usize }
    }

    /// Leaves the steps that count by a mask, (B, T).
    fn choose(&mut self, mask: &[bool], steps: usize) {
        self.steps = steps;
        self.times.resize(mask.len(), 0);
        for (b, length) in self.lengths.iter_mut().enumerate() {
            let row = b * steps..b * steps + *length;
            let counted = (0..).zip(&mask[row.clone()]).filter(|(_, counts)| **counts);
            *length = 0;
            for (t, _) in counted {
                self.times[row.start + *length] = t;
                *length += 1;
            }
        }
    }
}

impl<T: Copy + 'static> Batch<'_, T> {
    /// Checks everything against the program and counts the steps.
    pub fn check(&self, program: &Program, counted: &mut Counted) -> Result<()> {
        let Shape { batch, steps } = self.shape;
        let places = &[batch, steps];
        match (self.input, program.slots[program.input]) {
            (Input::Tokens(tokens), Slot::Tokens { vocabulary }) => {
                size("inputs", tokens.len(), places)?;
                check_tokens("inputs", tokens, vocabulary)?;
            }
            // Tokens into a layer that takes features: one-hot vectors that are never built.
            (Input::Tokens(tokens), slot) if program.takes_tokens() => {
                size("x", tokens.len(), places)?;
                check_tokens("x", tokens, slot.width())?;
            }
            (Input::Tokens(_), _) => return Err(Error::value("x", "floating point features", "tokens")),
            (Input::Features(x), Slot::Features(width)) => {
                checked_product("x", &[batch, steps, width])?;
                size("x", x.len(), &[batch, steps, width])?;
            }
            (Input::Features(_), _) => {
                return Err(Error::value("x", "integer tokens", "floating point features"));
            }
        }
        if let Some(targets) = self.targets {
            size("targets", targets.len(), places)?;
            check_tokens("targets", targets, program.slots[program.output].width())?;
        }
        let given = match self.start {
            StartState::From(state) => Some(state.len()),
            StartState::Held(state) => Some(state.size()),
            StartState::Zero | StartState::Carry => None,
        };
        let width = program.state_width();
        if let Some(given) = given.filter(|&given| given != batch * width) {
            let want = format!("of {width} numbers for each of {batch} rows");
            return Err(Error::shape("state", want, &[given]));
        }
        match (program.memory, self.memory) {
            (None, None) => {}
            (Some(width), Some(memory)) => memory.check(width, batch)?,
            (Some(width), None) => {
                return Err(Error::value(
                    "memory",
                    format!("(B, S, {width}) for the layer that attends"),
                    "none",
                ));
            }
            (None, Some(_)) => {
                return Err(Error::value("memory", "none, because no layer attends to one", "some"));
            }
        }
        counted.lengths.clear();
        counted.lengths.extend(check_lengths(self.lengths, self.shape)?);
        counted.times.clear();
        if let Some(mask) = self.mask {
            size("mask", mask.len(), places)?;
            counted.choose(mask, steps);
        }
        Ok(())
    }
}

fn size(name: &'static str, got: usize, want: &[usize]) -> Result<()> {
    if got == want.iter().product::<usize>() { Ok(()) } else { Err(Error::shape(name, tuple(want), &[got])) }
}

fn check_tokens(name: &'static str, tokens: &[i32], vocabulary: usize) -> Result<()> {
    match tokens.iter().find(|&&t| t < -1 || i64::from(t) >= vocabulary as i64) {
        Some(t) => Err(Error::value(name, format!("tokens from -1 to {}", vocabulary as i64 - 1), t)),
        None => Ok(()),
    }
}
