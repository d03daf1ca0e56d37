//! What goes into one run of a program, checked before any backend sees it.

use super::{Program, Slot, StartState};
use crate::error::{Error, Result, tuple};
use crate::shape::{Shape, check_lengths, checked_product};
use std::any::Any;

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
    /// For one that is prepared, from which the rows of the batch choose.
    pub chosen: Option<Chosen<'a>>,
}

/// Rows of a [`Prepared`] memory.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    /// The row of the memory that each row of the batch attends to.
    pub rows: &'a [usize],
    /// What a device has made of the memory, for that device.
    pub made: &'a (dyn Any + Send + Sync),
}

/// A memory with what a device makes of it, made once for many runs without training: [`Memory`] for rows
/// that attend to some of its own, in any order, also several to one.
pub struct Prepared<T> {
    values: Vec<T>,
    steps: usize,
    lengths: Vec<usize>,
    made: Box<dyn Any + Send + Sync>,
}

impl<T: Copy> Prepared<T> {
    /// A copy of a memory of `rows` rows that fits, beside what was made of it.
    pub(crate) fn new(memory: &Memory<'_, T>, rows: usize, made: Box<dyn Any + Send + Sync>) -> Self {
        let lengths = (0..rows).map(|row| memory.length(row)).collect();
        Self { values: memory.values.to_vec(), steps: memory.steps, lengths, made }
    }

    /// As the memory of a batch whose row i attends to row `rows[i]` of this one.
    pub fn of<'a>(&'a self, rows: &'a [usize]) -> Memory<'a, T> {
        let Self { values, steps, lengths, made } = self;
        let chosen = Some(Chosen { rows, made: &**made });
        Memory { values, steps: *steps, lengths: Some(lengths), chosen }
    }

    /// Its rows.
    pub fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// S.
    pub fn steps(&self) -> usize {
        self.steps
    }
}

impl<T> Memory<'_, T> {
    /// The row that a row of the batch attends to.
    pub fn row(&self, row: usize) -> usize {
        self.chosen.map_or(row, |chosen| chosen.rows[row])
    }

    /// Steps that count for a row of the batch.
    pub fn length(&self, row: usize) -> usize {
        self.lengths.map_or(self.steps, |lengths| lengths[self.row(row)])
    }

    /// The numbers that a row of the batch attends to, (S, D).
    pub fn of_row(&self, row: usize, width: usize) -> &[T] {
        let len = self.steps * width;
        &self.values[self.row(row) * len..][..len]
    }

    /// Checks that a batch of so many rows can attend to it.
    pub(crate) fn check(&self, width: usize, batch: usize) -> Result<()> {
        let rows = match self.chosen {
            None => batch,
            Some(Chosen { rows, .. }) => {
                let own = self.lengths.map_or(0, <[_]>::len);
                if rows.len() != batch {
                    return Err(Error::shape("memory", format!("({batch}, S, {width})"), &[rows.len()]));
                }
                if let Some(row) = rows.iter().find(|&&row| row >= own) {
                    return Err(Error::value("rows", format!("rows of the memory, below {own}"), row));
                }
                own
            }
        };
        checked_product("memory", &[rows, self.steps, width])?;
        size("memory", self.values.len(), &[rows, self.steps, width])?;
        let Some(lengths) = self.lengths else { return Ok(()) };
        if lengths.len() != rows {
            return Err(Error::shape("memory_lengths", tuple(&[rows]), &[lengths.len()]));
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
            (Some(_), Some(memory)) if memory.chosen.is_some() && self.training.is_some() => {
                let expected = "an array in training, whose gradient is asked for";
                return Err(Error::value("memory", expected, "a prepared one"));
            }
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
