//! What stands behind a cell's step: the projection of h, and zoneout. Forward and back.

use super::super::gemm::{Left, Start};
use super::super::math::{Elementary, add};
use super::super::noise::{Blend, Extent, Share};
use super::super::scratch::row_or_none;
use super::super::tape::Tape;
use super::Scan;
use super::back::Backward;
use super::step::Forward;

impl<T: Elementary> Scan<T> {
    /// Whether the gradient of h is shared out before a step goes back.
    pub(super) fn shares_gradient(&self) -> bool {
        self.recurrence.noise.zoneout[0] > 0.0 || self.projection.is_some() || self.normalises_memory()
    }
}

impl<T: Elementary> Forward<'_, T> {
    /// h ← W_hr h.
    pub(super) fn project(&mut self, t: usize) {
        let Some(weight) = &self.scan.projection else { return };
        let ((now, rows), first) = (self.now(t), self.part.group.steps[t].first);
        let (wide, stride) = (&self.tape.wide, self.out.stride);
        let a = Left::rows(wide.at(first), wide.stride, self.scan.recurrence.hidden);
        weight.product(self.scan.isa, rows, a, Start::Zero, &mut self.out.data[now * stride..], stride);
    }

    /// Some units keep their old state.
    pub(super) fn zoneout(&mut self, t: usize) {
        let ((now, rows), first) = (self.now(t), self.part.group.steps[t].first);
        let prev = self.part.group.prev(t);
        let noise = &mut self.tape.noise;
        if noise.new_c.stride > 0 {
            let (stride, c) = (noise.new_c.stride, &self.tape.c.data);
            noise.new_c.at_mut(first)[..rows * stride].copy_from_slice(&c[now * stride..][..rows * stride]);
        }
        for (values, keep) in [&mut *self.out, &mut self.tape.c].into_iter().zip(&noise.keep) {
            if keep.stride > 0 {
                let stride = values.stride;
                let extent = Extent { rows, width: stride, stride };
                let (before, after) = values.data.split_at_mut(now * stride);
                let (prev, k) = (&before[prev * stride..], keep.at(first));
                self.scan.isa.run(Blend { extent, prev, next: after, k });
            }
        }
    }
}

impl<T: Elementary> Backward<'_, T> {
    /// Where projection or zoneout stand behind the step: the share of h's gradient, with that from
    /// above, that goes to what the step made; then back through the projection. Of c likewise.
    pub(super) fn share_gradient(&mut self, t: usize) {
        let (scan, step) = (self.scan, self.part.group.steps[t]);
        let rows = step.active;
        let Tape { dh, dc, noise, d_new, d_wide, .. } = &mut *self.tape;
        if scan.shares_gradient() {
            let stride = dh.stride;
            let extent = Extent { rows, width: stride, stride };
            let above = self.part.d_slots[scan.recurrence.out].at(step.first);
            let (k, new) = (row_or_none(&noise.keep[0], step.first, 0), d_new.at_mut(step.first));
            scan.isa.run(Share { extent, d: &mut dh.data, above, k, new });
        }
        if let Some(projection) = &scan.projection {
            let a = Left::rows(d_new.at(step.first), d_new.stride, scan.recurrence.width);
            let stride = d_wide.stride;
            projection.product_back(scan.isa, rows, a, Start::Zero, &mut d_wide.data, stride);
        }
        if noise.keep[1].stride > 0 {
            let stride = dc.stride;
            let extent = Extent { rows, width: stride, stride };
            let (k, new) = (noise.keep[1].at(step.first), &mut noise.d_new_c.data);
            scan.isa.run(Share { extent, d: &mut dc.data, above: &[], k, new });
        }
    }

    /// What zoneout kept of c's gradient joins what came through the step.
    pub(super) fn join_memory(&mut self, t: usize) {
        let noise = &self.tape.noise;
        if noise.keep[1].stride > 0 {
            let size = self.part.group.steps[t].active * noise.d_new_c.stride;
            add(&mut self.tape.dc.data[..size], &noise.d_new_c.data[..size]);
        }
    }
}
