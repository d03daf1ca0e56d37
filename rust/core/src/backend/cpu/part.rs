//! What one group of a batch keeps during a run.

use super::groups::Group;
use super::memory::Memory;
use super::scratch::Rows;
use super::simd::fetch;
use super::tape::Tape;
use crate::float::Float;
use crate::program::{Slot, SlotId};

/// One group of the batch, with everything it reads and writes.
#[derive(Default)]
pub(crate) struct Part<T> {
    pub(crate) group: Group,
    /// For each slot of tokens: which row of the table of distinct tokens each packed row reads.
    pub(crate) token_rows: Vec<Vec<u32>>,
    pub(crate) targets: Vec<i32>,
    pub(crate) log_probs: Vec<T>,
    /// The numbers of each slot, packed; empty for tokens.
    pub(crate) slots: Vec<Rows<T>>,
    pub(crate) d_slots: Vec<Rows<T>>,
    /// A tape for each op that is a recurrent layer.
    pub(crate) tapes: Vec<Tape<T>>,
    /// For each op, the rows it asked for.
    pub(crate) scratch: Vec<Vec<Rows<T>>>,
    /// Logits of a chunk of rows, and their gradients in place.
    pub(crate) logits: Rows<T>,
    /// What the group's rows attend to.
    pub(crate) memory: Memory<T>,
    /// What penalties add to the loss.
    pub(crate) penalty: T,
}

impl<T: Float> Part<T> {
    /// Rows in use of a slot of this kind.
    pub(crate) fn len(&self, slot: Slot) -> usize {
        if slot.is_pooled() { self.group.rows.len() } else { self.group.len }
    }

    /// Every row of a slot of this kind: its batch row, time (0 after pooling) and number.
    pub(crate) fn places(&self, slot: Slot) -> impl Iterator<Item = (usize, usize, usize)> {
        let (rows, steps) = if slot.is_pooled() { (usize::MAX, 0) } else { (0, usize::MAX) };
        let pooled = self.group.rows.iter().enumerate().map(|(i, &b)| (b, 0, i));
        pooled.take(rows).chain(self.group.places().take(steps))
    }

    /// Copies (B, T, width) or (B, width) into packed rows.
    pub(crate) fn pack(&self, from: &[T], steps: usize, slot: Slot, rows: &mut Rows<T>) {
        let (width, steps) = (slot.width(), if slot.is_pooled() { 1 } else { steps });
        for (b, t, row) in self.places(slot) {
            let (from, rest) = from[(b * steps + t) * width..].split_at(width);
            // As a rule the next step of the same row, which comes after those of the others.
            fetch(rest, 0..width);
            rows.at_mut(row)[..width].copy_from_slice(from);
        }
    }

    /// The reverse for the group's row `i`: packed rows into (T, width), zero at steps that do not count,
    /// or into (width).
    pub(crate) fn unpack(&self, rows: &Rows<T>, i: usize, slot: Slot, to: &mut [T]) {
        let width = slot.width();
        if slot.is_pooled() {
            return to.copy_from_slice(&rows.at(i)[..width]);
        }
        if self.group.lengths[i] * width < to.len() {
            to.fill(T::ZERO);
        }
        for (t, row) in self.group.times_of_row(i) {
            to[t * width..][..width].copy_from_slice(&rows.at(row)[..width]);
        }
    }

    /// The numbers of one slot beside the gradients of others: taken out for as long as they are
    /// written to.
    pub(crate) fn with_slot<R>(&mut self, slot: SlotId, f: impl FnOnce(&mut Self, &mut Rows<T>) -> R) -> R {
        let mut rows = std::mem::take(&mut self.slots[slot]);
        let result = f(self, &mut rows);
        self.slots[slot] = rows;
        result
    }

    /// The same for the gradients of a slot.
    pub(crate) fn with_gradient<R>(
        &mut self,
        slot: SlotId,
        f: impl FnOnce(&mut Self, &mut Rows<T>) -> R,
    ) -> R {
        let mut rows = std::mem::take(&mut self.d_slots[slot]);
        let result = f(self, &mut rows);
        self.d_slots[slot] = rows;
        result
    }
}
