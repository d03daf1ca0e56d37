//! What one group does in a step: its rows of `z`, what its products multiply, the cell's step.

use super::super::gemm::Left;
use super::super::groups::Group;
use super::super::math::Elementary;
use super::super::packed::Packed;
use super::super::panels::Nth;
use super::super::part::Part;
use super::super::pointwise::{self, Units, each_row, each_row_fetching};
use super::super::scratch::{Rows, row_or_none, tail};
use super::super::side_by_side::Through;
use super::super::table::Table;
use super::super::tape::Tape;
use super::super::threads::Crew;
use super::Scan;
use crate::cells::{Operand, Product, State, Step};
use crate::program::When;
use std::ops::Range;

/// A group on its way through the steps.
pub(super) struct Forward<'a, T> {
    pub(super) scan: &'a Scan<T>,
    /// Who shares a step.
    pub(super) crew: Crew<'a>,
    pub(super) part: &'a Part<T>,
    pub(super) tape: &'a mut Tape<T>,
    pub(super) out: &'a mut Rows<T>,
    /// Of the memory that the layer attends to.
    pub(super) context: &'a mut Rows<T>,
    pub(super) products: &'a [Packed<T>],
    /// The input's part of every distinct token, and which of them each packed row reads.
    pub(super) table: Option<(&'a Table<T>, &'a [u32])>,
    /// Steps whose input's part of `z` is there, or has room if it comes from the table.
    pub(super) ready: usize,
    /// The packed row whose numbers are the first in `z`, and how many rows of each unit block there are.
    pub(super) first: usize,
    pub(super) room: usize,
}

impl<T: Elementary> Scan<T> {
    /// What a product multiplies at step `t`, of h, h under its mask, c and r ⊙ h.
    pub(super) fn multiplied<'a>(
        &self,
        operand: Operand,
        group: &Group,
        t: usize,
        [h, seen, c, reset]: [&'a Rows<T>; 4],
    ) -> Left<'a, T> {
        let (rows, first) = match operand {
            Operand::H if seen.stride > 0 => (seen, group.prev(t)),
            Operand::H => (h, group.prev(t)),
            Operand::C => (c, group.prev(t)),
            Operand::ResetH => (reset, group.steps[t].first),
        };
        Left::rows(&rows.data[first * rows.stride..], rows.stride, self.terms(operand))
    }

    pub(in super::super) fn peephole_at(&self, unit: usize) -> [&[T]; 3] {
        [0, 1, 2].map(|gate| tail(&self.peephole[gate], unit))
    }
}

impl<T: Elementary> Forward<'_, T> {
    /// The row of the output where step `t` begins, and its rows.
    pub(super) fn now(&self, t: usize) -> (usize, usize) {
        let step = self.part.group.steps[t];
        (self.part.group.rows.len() + step.first, step.active)
    }

    /// Where unit block `block` of step `t` lies in `z`.
    pub(super) fn place(&self, t: usize, block: usize) -> Range<usize> {
        let (step, line) = (self.part.group.steps[t], self.scan.line());
        let start = (block * self.room + step.first - self.first) * line;
        start..start + step.active * line
    }

    /// From where the first of some unit blocks of step `t` begins to where the last ends.
    pub(super) fn places(&self, t: usize, blocks: &Range<usize>) -> Range<usize> {
        self.place(t, blocks.start).start..self.place(t, blocks.end - 1).end
    }

    /// From a unit block to the next.
    pub(super) fn apart(&self) -> usize {
        self.room * self.scan.line()
    }

    /// Rounds what the products of this pass multiply, where they take it rounded.
    pub(super) fn round(&mut self, t: usize, pass: usize) {
        let (scan, group) = (self.scan, &self.part.group);
        let Tape { c, reset, noise, rounded, .. } = &mut *self.tape;
        for ((product, weight), room) in scan.layout.products.iter().zip(self.products).zip(rounded) {
            if pass_of(product) == pass {
                let a = scan.multiplied(product.operand, group, t, [self.out, &noise.seen, c, reset]);
                weight.round(scan.isa, group.steps[t].active, a, room);
            }
        }
    }

    /// What the sums of a step's products start from for some unit blocks: the token's part, if that is in a table,
    /// and that of what it sees of a memory.
    pub(super) fn begin(&mut self, t: usize, blocks: &Range<usize>, nth: Nth) {
        let (line, first) = (self.scan.line(), self.part.group.steps[t].first);
        if let Some((table, rows)) = self.table {
            for block in blocks.clone() {
                let place = self.place(t, block);
                let z = self.tape.z[place].chunks_exact_mut(line);
                for (z, &token) in z.zip(&rows[first..]) {
                    z.copy_from_slice(table.row(block, token as usize, line));
                }
            }
        }
        self.see_context(t, blocks.clone(), nth);
    }

    /// What goes through a product for some unit blocks, into z or, where it is normalised, beside it.
    pub(super) fn through(&mut self, t: usize, number: usize, blocks: &Range<usize>) -> Through<'_, T> {
        let (scan, places, apart) = (self.scan, self.places(t, blocks), self.apart());
        let (group, product) = (&self.part.group, &scan.layout.products[number]);
        let Tape { z, norm, c, reset, noise, rounded, .. } = &mut *self.tape;
        let a = scan.multiplied(product.operand, group, t, [self.out, &noise.seen, c, reset]);
        let a = self.products[number].operand(a, &rounded[number]);
        let to = if scan.normalises() { &mut norm.recurrent.x } else { z };
        let c = &mut to[places][product.slot * scan.lanes..];
        Through { rows: group.steps[t].active, a, c, at: [scan.line(), apart] }
    }

    /// The cell's step for some unit blocks, all of them where a layer normalises; with the last ones it ends.
    pub(super) fn turn<const S: usize, C: Step<S>>(
        &mut self,
        cell: C,
        t: usize,
        pass: usize,
        blocks: Range<usize>,
    ) {
        let (scan, last) = (self.scan, pass == usize::from(C::RESETS));
        let in_halves = C::MEMORY && scan.normalises_memory();
        if scan.normalises() {
            self.normalise(t, pass);
        }
        for block in blocks.clone() {
            // What a cell has not is not compiled for it.
            if C::RESETS && !last {
                self.reset::<S, C>(cell, t, block);
            } else if in_halves {
                self.remember::<S, C>(cell, t, block);
            } else {
                self.step::<S, C>(cell, t, block);
            }
        }
        if !last || blocks.end < scan.blocks {
            return;
        }
        if in_halves {
            self.normalise_memory(t);
            (0..scan.blocks).for_each(|block| self.emit::<S, C>(cell, t, block));
        }
        self.project(t);
        self.zoneout(t);
        let (now, rows) = self.now(t);
        scan.see(self.tape, self.out, now, rows, 0);
        self.look(t, When::After);
    }

    fn reset<const S: usize, C: Step<S>>(&mut self, cell: C, t: usize, block: usize) {
        let (scan, place) = (self.scan, self.place(t, block));
        let (prev, step) = (self.part.group.prev(t), self.part.group.steps[t]);
        let (at, stride) = (block * scan.lanes, self.out.stride);
        let Tape { z, reset, noise, .. } = &mut *self.tape;
        let h = if noise.seen.stride > 0 { &noise.seen.data } else { &self.out.data };
        let (h, reset) = (&h[prev * stride + at..], &mut reset.at_mut(step.first)[at..]);
        each_row(scan.isa, step.active, stride, &mut z[place], pointwise::Reset { cell, h, reset });
    }

    fn step<const S: usize, C: Step<S>>(&mut self, cell: C, t: usize, block: usize) {
        let (scan, at, apart) = (self.scan, block * self.scan.lanes, self.apart());
        let (place, (now, rows)) = (self.place(t, block), self.now(t));
        let (prev, first) = (self.part.group.prev(t), self.part.group.steps[t].first);
        let Tape { z, c, noise, wide, .. } = &mut *self.tape;
        let z = (&mut z[..], place.start, apart);
        let units =
            Units { peephole: scan.peephole_at(at), candidate: row_or_none(&noise.candidate, first, at) };
        let (c_before, c_now): (&[T], &mut [T]) = if C::MEMORY {
            let (before, now) = c.data.split_at_mut(now * c.stride);
            (&before[prev * c.stride + at..], &mut now[at..])
        } else {
            (&[], &mut [])
        };
        if scan.projection.is_some() {
            let (stride, h) = (wide.stride, &mut wide.at_mut(first)[at..]);
            let (prev, next) = (State { h: &[][..], c: c_before }, State { h, c: c_now });
            each_row_fetching(scan.isa, rows, stride, z, pointwise::Forward { cell, prev, next, units });
        } else {
            let stride = self.out.stride;
            let (h_before, h_now) = self.out.data.split_at_mut(now * stride);
            let prev = State { h: &h_before[prev * stride + at..], c: c_before };
            let next = State { h: &mut h_now[at..], c: c_now };
            each_row_fetching(scan.isa, rows, stride, z, pointwise::Forward { cell, prev, next, units });
        }
    }
}

/// In which pass round the blocks a product is made.
pub(super) fn pass_of(product: &Product) -> usize {
    usize::from(product.operand == Operand::ResetH)
}
