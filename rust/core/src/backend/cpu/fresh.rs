//! All weights while they are packed: as they are, or each updated by an optimiser right before, so that one
//! pass over memory does both.

use super::loops::Loops;
use super::math::Elementary;
use super::packed::Packed;
use super::packing::Rows;
use super::simd::Isa;
use super::threads::{Block, Crew, Matrix};
use crate::optim::{MOST_SLICES, Renew, in_pieces};
use crate::params::{ParamId, Parameters};
use std::ops::Range;

/// The weights, to be asked for one by one.
pub(super) struct Fresh<'a, T> {
    crew: Crew<'a>,
    isa: Isa,
    parameters: &'a Parameters,
    /// Those that learn, with their moving averages.
    numbers: [&'a mut [T]; MOST_SLICES],
    /// The frozen ones, which come after them.
    frozen: &'a [T],
    /// Updates some of them, from the place that is told.
    renew: Option<&'a Renew<'a, T>>,
    /// For each parameter, whether it still waits for its update.
    old: &'a mut [bool],
}

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

impl<'a, T: Elementary> Fresh<'a, T> {
    /// The weights as they are.
    pub(super) fn still(crew: Crew<'a>, isa: Isa, parameters: &'a Parameters, values: &'a [T]) -> Self {
        Self {
            crew,
            isa,
            parameters,
            numbers: Default::default(),
            frozen: values,
            renew: None,
            old: Default::default(),
        }
    }

    /// Weights with their moving averages, to be updated by `renew`; `old` is room for a flag a parameter.
    pub(super) fn renewed(
        Loops { crew, isa }: Loops<'a>,
        parameters: &'a Parameters,
        numbers: [&'a mut [T]; MOST_SLICES],
        frozen: &'a [T],
        renew: &'a Renew<'a, T>,
        old: &'a mut Vec<bool>,
    ) -> Self {
        old.clear();
        old.extend(parameters.iter().map(|parameter| !parameter.frozen));
        Self { crew, isa, parameters, numbers, frozen, renew: Some(renew), old }
    }

    /// One of them, up to date.
    pub(super) fn of(&mut self, id: ParamId) -> &[T] {
        self.update(id.number());
        self.at(self.parameters.range(id))
    }

    /// Packs a (rows, terms) weight.
    pub(super) fn pack_matrix(&mut self, id: ParamId, terms: usize, packed: &mut Packed<T>) {
        let (crew, isa) = (self.crew, self.isa);
        packed.pack_matrix(crew, isa, self.take(id, true), terms);
    }

    /// Packs some gates of a (G·H, terms) weight.
    pub(super) fn pack_gates(&mut self, id: ParamId, terms: usize, rows: Rows, packed: &mut Packed<T>) {
        let all = rows.gates.len() * rows.of_gate * terms == self.parameters.range(id).len();
        let (crew, isa) = (self.crew, self.isa);
        packed.pack_gates(crew, isa, self.take(id, all), terms, rows);
    }

    /// Updates whatever was not asked for.
    pub(super) fn finish(mut self) {
        (0..self.old.len()).for_each(|number| self.update(number));
    }

    /// A weight that is packed next: to be updated then, if all of it is packed at once.
    fn take(&mut self, id: ParamId, all: bool) -> Weight<'_, T> {
        let range = self.parameters.range(id);
        match self.renew {
            Some(renew) if all && self.old[id.number()] => {
                self.old[id.number()] = false;
                Weight::Old { place: range.start, numbers: part(&mut self.numbers, range), renew }
            }
            _ => Weight::Still(self.of(id)),
        }
    }

    fn at(&self, range: Range<usize>) -> &[T] {
        let learn = self.numbers[0].len();
        if range.start < learn {
            &self.numbers[0][range]
        } else {
            &self.frozen[range.start - learn..][..range.len()]
        }
    }

    fn update(&mut self, number: usize) {
        let Some(renew) = self.renew.filter(|_| self.old[number]) else { return };
        self.old[number] = false;
        let Some(range) = self.parameters.iter().nth(number).map(|parameter| parameter.range.clone()) else {
            return;
        };
        let (place, loops) = (range.start, Loops { crew: self.crew, isa: self.isa });
        in_pieces(loops, part(&mut self.numbers, range), &|first, numbers| renew(place + first, numbers));
    }
}

/// The same range of all slices that there are.
fn part<'n, T>(numbers: &'n mut [&mut [T]; MOST_SLICES], range: Range<usize>) -> [&'n mut [T]; MOST_SLICES] {
    numbers.each_mut().map(|numbers| numbers.get_mut(range.clone()).unwrap_or_default())
}

impl<'a, T> Weight<'a, T> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Still(weight) => weight.len(),
            Self::Old { numbers: [weight, ..], .. } => weight.len(),
        }
    }

    /// Its numbers as matrices with rows of `stride` numbers, for threads that take `width` of each.
    pub(super) fn cut(self, stride: usize, width: usize) -> (Source<'a, T>, [Matrix<'a, T>; MOST_SLICES]) {
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
