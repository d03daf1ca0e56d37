//! A step of a row alone. Its unit blocks are independent once the state before the step is known, and
//! what a run of them writes is a slice of each: threads share them.

use super::super::gemm::{Left, Start};
use super::super::math::Elementary;
use super::super::pointwise::{self, Units, each_row};
use super::super::threads::SHARE;
use super::steps::{Forward, row_or_none, tail, tail_mut};
use super::{Scan, Tape};
use crate::cells::{Operand, State, Step};

impl<T: Elementary> Scan<T> {
    /// Unit blocks that are worth handing to another thread.
    fn blocks_a_job(&self) -> usize {
        SHARE.div_ceil(self.block_operations())
    }

    /// Whether a step goes round the unit blocks once.
    fn goes_round_once(&self) -> bool {
        !self.layout.resets() && !self.normalises() && self.projection.is_none() && self.attend.is_none()
    }
}

impl<T: Elementary> Forward<'_, T> {
    /// Whether threads share step `t`.
    pub(super) fn shares(&self, t: usize) -> bool {
        let alone = self.part.group.rows.len() == 1 && self.part.group.steps[t].active == 1;
        let scan = self.scan;
        self.crew.is_team() && alone && scan.goes_round_once() && scan.blocks >= 2 * scan.blocks_a_job()
    }

    /// Step `t`, its unit blocks shared.
    pub(super) fn share<const S: usize, C: Step<S>>(&mut self, cell: C, t: usize) {
        self.round(t, 0);
        let (scan, group, table) = (self.scan, &self.part.group, self.table);
        let (lanes, line, first) = (scan.lanes, scan.line(), group.steps[t].first);
        let (prev, (now, _)) = (group.prev(t), self.now(t));
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
        let each = scan.blocks_a_job();
        let sizes = [each * group.len * line, each * lanes, each * lanes];
        let z = &mut z[..scan.blocks * group.len * line];
        let units = scan.blocks * lanes;
        let (h, c) = (&mut h_now[..units], if C::MEMORY { &mut c_now[..units] } else { &mut [] });
        self.crew.zipped_chunks([z, h, c], sizes, &|job, [z, h, c]| {
            for (i, z) in z.chunks_exact_mut(group.len * line).enumerate() {
                let (block, z) = (job * each + i, &mut z[first * line..][..line]);
                if let Some((table, rows)) = table {
                    z.copy_from_slice(table.row(block, rows[first] as usize, line));
                }
                for (slot, weight, a) in products.clone() {
                    weight.block_product(scan.isa, 1, a, block, Start::There, &mut z[slot..], line);
                }
                let (at, to) = (block * lanes, i * lanes);
                let peephole = scan.peephole_at(at);
                let units = Units { peephole, candidate: row_or_none(&noise.candidate, first, at) };
                let prev = State { h: &prev.h[at..], c: tail(prev.c, at) };
                let next = State { h: &mut h[to..], c: tail_mut(c, to) };
                each_row(scan.isa, 1, stride, z, pointwise::Forward { cell, prev, next, units });
            }
        });
        self.zoneout(t);
        let (now, rows) = self.now(t);
        scan.see(self.tape, self.out, now, rows, 0);
    }
}
