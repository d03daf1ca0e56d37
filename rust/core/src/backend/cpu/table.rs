//! What is made once for each distinct token of a batch, in place of once a step.

use super::packed::Room;
use super::scratch::{Buffer, Rows};
use super::tape::NormRows;

/// A layer's input part of every distinct token.
pub(super) struct Table<T> {
    /// Rows there is room for, and rows in use.
    pub(super) capacity: usize,
    pub(super) len: usize,
    /// As a tape's `z`: `[H / L][capacity][S·L]`; after the backward run the summed gradients.
    pub(super) z: Buffer<T>,
    /// Of a normalised layer, as on its tape.
    pub(super) norm: NormRows<T>,
    /// The embeddings of the tokens; empty for a one-hot input.
    pub(super) x: Rows<T>,
    pub(super) dx: Rows<T>,
    /// Those at hand, rounded.
    pub(super) rounded: Room,
}

impl<T> Table<T> {
    /// The input's part of one token in one unit block.
    #[inline]
    pub(super) fn row(&self, block: usize, row: usize, line: usize) -> &[T] {
        &self.z[(block * self.capacity + row) * line..][..line]
    }
}
