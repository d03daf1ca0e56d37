//! All weights while they are packed: as they are, or each updated by an optimiser right before, so that one
//! pass over memory does both.

use super::loops::Loops;
use super::math::Elementary;
use super::packed::Packed;
use super::packing::Rows;
use super::simd::Isa;
use super::source::Weight;
use super::threads::Crew;
use crate::optim::{MOST_SLICES, Renew, in_pieces};
use crate::params::{ParamId, Parameters};
use std::ops::Range;

/// The weights, to be asked for one by one; one that several products pack is updated as a whole before.
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

    /// Calls `pack` with weights and their moving averages, and updates all of them by `renew`, those that are
    /// packed right before; `old` is room for a flag a parameter.
    pub(super) fn renewed(
        Loops { crew, isa }: Loops<'a>,
        parameters: &'a Parameters,
        numbers: [&'a mut [T]; MOST_SLICES],
        frozen: &'a [T],
        renew: &'a Renew<'a, T>,
        old: &'a mut Vec<bool>,
        pack: impl FnOnce(&mut Self),
    ) {
        old.clear();
        old.extend(parameters.iter().map(|parameter| !parameter.frozen));
        let mut all = Self { crew, isa, parameters, numbers, frozen, renew: Some(renew), old };
        pack(&mut all);
        for (number, parameter) in parameters.iter().enumerate() {
            all.update(number, parameter.range.clone());
        }
    }

    /// One of them, up to date.
    pub(super) fn of(&mut self, id: ParamId) -> &[T] {
        self.update(id.number(), self.parameters.range(id));
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

    /// Updates a parameter that waits for it.
    fn update(&mut self, number: usize, range: Range<usize>) {
        let Some(renew) = self.renew.filter(|_| self.old[number]) else { return };
        self.old[number] = false;
        let (place, loops) = (range.start, Loops { crew: self.crew, isa: self.isa });
        in_pieces(loops, part(&mut self.numbers, range), &|first, numbers| renew(place + first, numbers));
    }
}

/// The same range of all slices that there are.
fn part<'n, T>(numbers: &'n mut [&mut [T]; MOST_SLICES], range: Range<usize>) -> [&'n mut [T]; MOST_SLICES] {
    numbers.each_mut().map(|numbers| numbers.get_mut(range.clone()).unwrap_or_default())
}
