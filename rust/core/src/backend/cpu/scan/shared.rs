//! A step of few rows. Its unit blocks are independent once the state before the step is known, and
//! what a run of them writes is a slice of each row: threads share them.

use super::super::gemm::{Left, Start};
use super::super::math::Elementary;
use super::super::panels::{FEW, Nth};
use super::super::pointwise::{self, Units, each_row};
use super::super::scratch::{row_or_none, tail, tail_mut};
use super::super::tape::Tape;
use super::super::threads::SHARE;
use super::Scan;
use super::step::Forward;
use crate::cells::{Operand, State, Step};
use std::array::from_fn;

/// What a job writes of a step: a piece of `z`, and of each row of h and of c.
const SLICES: usize = 1 + 2 * FEW;

impl<T: Elementary> Scan<T> {
    /// Unit blocks of a step of `rows` rows that are worth handing to another thread.
    fn blocks_a_job(&self, rows: usize) -> usize {
        SHARE.div_ceil(rows * self.block_operations()).next_multiple_of(self.at_once())
    }

    /// Whether a step goes round the unit blocks once.
    fn goes_round_once(&self) -> bool {
        !self.layout.resets() && !self.normalises() && self.projection.is_none() && self.attend.is_none()
    }
}

impl<T: Elementary> Forward<'_, T> {
    /// Whether threads share step `t`.
    pub(super) fn shares(&self, t: usize) -> bool {
        let (scan, rows) = (self.scan, self.part.group.steps[t].active);
        self.crew.is_team()
            && self.part.group.rows.len() <= FEW
            && scan.goes_round_once()
            && scan.blocks > scan.blocks_a_job(rows)
    }

    /// Step `t`, its unit blocks shared.
    pub(super) fn share<const S: usize, C: Step<S>>(&mut self, cell: C, t: usize) {
        self.round(t, 0);
        let (scan, group, table) = (self.scan, &self.part.group, self.table);
        let (lanes, line, (first, rows)) =
            (scan.lanes, scan.line(), (group.steps[t].first, group.steps[t].active));
        let (prev, (now, _)) = (group.prev(t), self.now(t));
        let (place, apart) = (self.place(t, 0), self.apart());
        let Tape { z, c, noise, rounded, .. } = &mut *self.tape;
        let (stride, c_stride) = (self.out.stride, c.stride);
        let (h, h_now) = self.out.data.split_at_mut(now * stride);
        let (c, c_now) = c.data.split_at_mut(now * c_stride);
        let seen = if noise.seen.stride > 0 { &noise.seen.data } else { &*h };
        let prev = State { h: &h[prev * stride..], c: &c[prev * c_stride..] };
        let multiplied = |operand| match operand {
            Operand::C => (prev.c, c_stride),
            Operand::H | Operand::ResetH => (&seen[group.prev(t) * stride..], stride),
        };
        let weights = scan.layout.products.iter().zip(self.products).zip(&*rounded);
        let products = weights.map(|((product, weight), room)| {
            let (from, stride) = multiplied(product.operand);
            let a = weight.operand(Left::rows(from, stride, scan.terms(product.operand)), room);
            (product.slot * lanes, weight, a)
        });
        let (each, units) = (scan.blocks_a_job(rows), scan.blocks * lanes);
        // z, then each row's h, then each row's c.
        let mut sizes = [each * lanes; SLICES];
        sizes[0] = each * apart;
        let c_rows = if C::MEMORY { rows } else { 0 };
        let mut h = h_now.chunks_mut(stride).take(rows);
        let mut c = c_now.chunks_mut(c_stride.max(1)).take(c_rows);
        let mut z = Some(&mut z[..scan.blocks * apart]);
        let slices = from_fn(|i| match i {
            0 => z.take().unwrap_or_default(),
            1..=FEW => h.next().map(|row| &mut row[..units]).unwrap_or_default(),
            _ => c.next().map(|row| &mut row[..units]).unwrap_or_default(),
        });
        self.crew.zipped_chunks(slices, sizes, &|job, [z, mut state @ ..]| {
            let (h, c) = state.split_at_mut(FEW);
            let blocks = job * each..scan.blocks.min((job + 1) * each);
            let z = &mut z[place.start..];
            if let Some((table, tokens)) = table {
                for (i, block) in blocks.clone().enumerate() {
                    for (z, &token) in z[i * apart..].chunks_exact_mut(line).zip(&tokens[first..][..rows]) {
                        z.copy_from_slice(table.row(block, token as usize, line));
                    }
                }
            }
            for (slot, weight, a) in products.clone() {
                let z = &mut z[slot..];
                weight.blocks_product(
                    scan.isa,
                    rows,
                    a,
                    blocks.clone(),
                    Start::There,
                    z,
                    [line, apart],
                    Nth::ONLY,
                );
            }
            for (i, block) in blocks.enumerate() {
                let (at, to, peephole) = (block * lanes, i * lanes, scan.peephole_at(block * lanes));
                for (row, (h, c)) in h.iter_mut().zip(&mut *c).take(rows).enumerate() {
                    let units = Units { peephole, candidate: row_or_none(&noise.candidate, first + row, at) };
                    let prev =
                        State { h: &prev.h[row * stride + at..], c: tail(prev.c, row * c_stride + at) };
                    let next = State { h: &mut h[to..], c: tail_mut(c, to) };
                    let z = &mut z[i * apart + row * line..][..line];
                    each_row(scan.isa, 1, stride, z, pointwise::Forward { cell, prev, next, units });
                }
            }
        });
        self.zoneout(t);
        let (now, rows) = self.now(t);
        scan.see(self.tape, self.out, now, rows, 0);
    }
}
