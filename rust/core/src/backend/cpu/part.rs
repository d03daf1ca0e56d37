//! What one group of a batch keeps during a run.

use super::groups::{Group, Run};
use super::scratch::{Buffer, Rows};
use crate::float::Float;

/// The tape of one recurrent layer over one group.
#[derive(Default)]
pub(crate) struct Tape<T> {
    /// The cell's slots, unit block by unit block, packed row by packed row: `[H / L][rows][S·L]`.
    /// First the input's part, then activated gates, then, after the backward run, the
    /// gradients of the pre-activations.
    pub(crate) z: Buffer<T>,
    /// c before the first step and after each.
    pub(crate) c: Rows<T>,
    /// r ⊙ h⟨t−1⟩, for the cells that have it.
    pub(crate) reset: Rows<T>,
    /// The gradient of the state, carried from step to step.
    pub(crate) dh: Rows<T>,
    pub(crate) dc: Rows<T>,
    pub(crate) d_reset: Rows<T>,
}

/// One group of the batch, with everything it reads and writes.
#[derive(Default)]
pub(crate) struct Part<T> {
    pub(crate) group: Group,
    pub(crate) runs: Vec<Run>,
    /// For a token input: which row of the table of distinct tokens each packed row reads.
    pub(crate) token_rows: Vec<u32>,
    pub(crate) targets: Vec<i32>,
    pub(crate) log_probs: Vec<T>,
    /// The numbers of each slot, packed; empty for tokens.
    pub(crate) slots: Vec<Rows<T>>,
    pub(crate) d_slots: Vec<Rows<T>>,
    /// A tape for each op that is a recurrent layer.
    pub(crate) tapes: Vec<Tape<T>>,
    /// Logits of a chunk of rows, and their gradients in place.
    pub(crate) logits: Rows<T>,
}

impl<T: Float> Part<T> {
    /// Copies rows of `from`, (B, T, width), to packed rows.
    pub(crate) fn pack(
        &mut self,
        from: &[T],
        steps: usize,
        width: usize,
        to: impl Fn(&mut Self) -> &mut Rows<T>,
    ) {
        let places: Vec<_> = self.group.places().collect();
        let rows = to(self);
        for (b, t, row) in places {
            rows.at_mut(row)[..width].copy_from_slice(&from[(b * steps + t) * width..][..width]);
        }
    }

    /// The reverse: packed rows into (B, T, width).
    pub(crate) fn unpack(&self, rows: &Rows<T>, steps: usize, width: usize, to: &mut [T]) {
        for (b, t, row) in self.group.places() {
            to[(b * steps + t) * width..][..width].copy_from_slice(&rows.at(row)[..width]);
        }
    }
}
