//! What the ops without time have in common: each runs group by group, forward and back.

use super::math::Elementary;
use super::part::Part;
use super::scratch::Rows;
use super::simd::Isa;
use super::threads::Crew;
use crate::params::Parameters;
use crate::program::{DropoutKey, SlotId};
use crate::rng::{Kind, Stream};

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
    /// Counted steps of the whole batch, and pairs of successive ones.
    pub(super) steps: usize,
    pub(super) pairs: usize,
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

/// An op that runs group by group.
pub(super) trait Local<T: Elementary>: Send + Sync {
    /// Rows of its own for a group of `batch` rows and `rows` packed rows.
    fn scratch(&self, _batch: usize, _rows: usize, _lanes: usize) -> Vec<Rows<T>> {
        Vec::new()
    }

    /// Takes its weights over after they have changed.
    fn pack(&mut self, _crew: Crew, _parameters: &Parameters, _values: &[T]) {}

    fn forward(&self, part: &mut Part<T>, own: &mut [Rows<T>], run: &Context<'_, T>);

    /// Carries the gradient of what it wrote to what it read.
    fn backward(&self, part: &mut Part<T>, own: &mut [Rows<T>], run: &Context<'_, T>);

    /// Adds the gradients of its weights; its number among the ops says where its own rows are.
    fn weight_gradients(
        &self,
        _crew: Crew,
        _op: usize,
        _parts: &[Part<T>],
        _run: &Context<'_, T>,
        _gradient: &mut [T],
    ) {
    }

    /// The slots whose gradients it writes.
    fn reaches(&mut self) -> Vec<&mut Reach>;
}
