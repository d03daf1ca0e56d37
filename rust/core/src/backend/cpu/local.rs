//! What the ops without time have in common: each runs group by group, forward and back.

use super::context::{Context, Reach};
use super::fresh::Fresh;
use super::math::Elementary;
use super::part::Part;
use super::scratch::Rows;
use super::threads::Crew;

/// An op that runs group by group.
pub(super) trait Local<T: Elementary>: Send + Sync {
    /// Rows of its own for a group of `batch` rows and `rows` packed rows.
    fn scratch(&self, _batch: usize, _rows: usize, _lanes: usize) -> Vec<Rows<T>> {
        Vec::new()
    }

    /// Takes its weights over after they have changed.
    fn pack(&mut self, _weights: &mut Fresh<'_, T>) {}

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
