//! Where the rows of a weight that is packed come from: as they are, or updated right before.

use super::threads::{Block, Matrix};
use crate::optim::{MOST_SLICES, Renew};
use std::ops::Range;

/// One weight.
pub(super) enum Weight<'a, T> {
    /// As it is.
    Still(&'a [T]),
    /// To be updated where it is read, once: with its moving averages, and its place among all weights.
    Old { numbers: [&'a mut [T]; MOST_SLICES], place: usize, renew: &'a Renew<'a, T> },
}

/// What tells how a weight's rows are had, while its numbers are with the threads.
pub(super) struct Source<'a, T> {
    still: &'a [T],
    renew: Option<(usize, &'a Renew<'a, T>)>,
}

impl<'a, T> Weight<'a, T> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Still(weight) => weight.len(),
            Self::Old { numbers: [weight, ..], .. } => weight.len(),
        }
    }

    /// Its numbers as matrices with rows of `stride` numbers, for threads that take `width` of each.
    pub(super) fn lend(self, stride: usize, width: usize) -> (Source<'a, T>, [Matrix<'a, T>; MOST_SLICES]) {
        let (still, numbers, renew) = match self {
            Self::Still(weight) => (weight, Default::default(), None),
            Self::Old { numbers, place, renew } => (&[][..], numbers, Some((place, renew))),
        };
        (Source { still, renew }, numbers.map(|data| Matrix { data, stride, width }))
    }
}

impl<T> Source<'_, T> {
    /// A block's part of one row of these matrices, up to date; `range`: where it lies in the weight.
    pub(super) fn row<'r>(
        &'r self,
        numbers: &'r mut [Block<'_, T>; MOST_SLICES],
        row: usize,
        range: Range<usize>,
    ) -> &'r [T] {
        let Some((place, renew)) = self.renew else { return &self.still[range] };
        renew(place + range.start, numbers.each_mut().map(|numbers| numbers.row(row)));
        numbers[0].row(row)
    }
}
