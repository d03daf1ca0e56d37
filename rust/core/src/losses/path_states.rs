//! The states of paths that read as given labels, for [`ctc`](super::ctc): blank, first label, blank, …, blank.

use crate::float::Float;
use std::ops::RangeInclusive;

/// One row whose labels fit: a job.
pub(super) struct Row<'a, T> {
    pub(super) classes: usize,
    pub(super) blank: usize,
    /// The weight of its loss.
    pub(super) share: f64,
    pub(super) labels: &'a [i32],
    /// (T, V), of the steps that count.
    pub(super) logits: &'a [T],
    pub(super) gradient: &'a mut [T],
    /// None where a logit is not finite.
    pub(super) loss: Option<f64>,
}

impl<T: Float> Row<'_, T> {
    /// The symbol of each state.
    pub(super) fn symbols(&self) -> Vec<usize> {
        let labels = self.labels.iter().flat_map(|&label| [label as usize, self.blank]);
        [self.blank].into_iter().chain(labels).collect()
    }
}

/// The steps of the shortest path: one for each label, and one for the blank between equal neighbours.
pub(super) fn steps_needed(labels: &[i32]) -> usize {
    labels.len() + labels.windows(2).filter(|pair| pair[0] == pair[1]).count()
}

/// The states that lead to state `s`: itself, the one before, and the one before that, where what lies
/// between is a blank between labels that differ.
#[inline(always)]
pub(super) fn sources(symbols: &[usize], s: usize) -> RangeInclusive<usize> {
    let skips = s % 2 == 1 && s > 1 && symbols[s] != symbols[s - 2];
    s.saturating_sub(if skips { 2 } else { 1 })..=s
}
