//! What all groups of a batch see of a run, and how an op writes the gradient of what it reads.

use super::math::Elementary;
use super::operands::Operands;
use super::simd::Isa;
use crate::params::Parameters;
use crate::program::{DropoutKey, SlotId};
use crate::rng::{Kind, Stream};
use std::sync::Mutex;

/// What every group sees of a run.
pub(super) struct Context<'a, T> {
    pub(super) isa: Isa,
    pub(super) parameters: &'a Parameters,
    pub(super) values: &'a [T],
    pub(super) training: Option<DropoutKey>,
    /// The distinct tokens of the batch.
    pub(super) tokens: &'a [i32],
    /// Whether the input is tokens.
    pub(super) from_tokens: bool,
    /// S of the memory.
    pub(super) memory_steps: usize,
    /// Counted steps of the whole batch, and pairs of successive ones.
    pub(super) steps: usize,
    pub(super) pairs: usize,
    /// Room for the operands of one weight gradient at a time.
    pub(super) operands: &'a Mutex<Operands<T>>,
}

impl<T> Context<'_, T> {
    /// The random numbers of a kind and site in a training run.
    pub(super) fn stream(&self, kind: Kind, site: usize) -> Option<Stream> {
        self.training.map(|key| Stream::new(key.seed, kind, site as u32, key.step))
    }
}

/// How an op adds to the gradient of a slot it reads: the first one to reach it sets it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    pub(super) slot: SlotId,
    /// Whether another op has written it before.
    pub(super) adds: bool,
}

impl Reach {
    pub(super) fn new(slot: SlotId) -> Self {
        Self { slot, adds: false }
    }

    /// `to = value`, or `to += value`.
    #[inline(always)]
    pub(super) fn put<T: Elementary>(self, to: &mut T, value: T) {
        *to = if self.adds { *to + value } else { value };
    }

    /// The same for a row and its padding, which is cleared when the row is set: a run that was not
    /// finite may have left NaN there, and NaN times a padded weight of 0 is NaN.
    #[inline(always)]
    pub(super) fn put_row<T: Elementary>(self, to: &mut [T], values: impl Iterator<Item = T>) {
        let mut places = to.iter_mut();
        for (value, to) in values.zip(&mut places) {
            self.put(to, value);
        }
        if !self.adds {
            places.for_each(|padding| *padding = T::ZERO);
        }
    }
}
