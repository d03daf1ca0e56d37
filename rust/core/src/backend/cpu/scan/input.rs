//! A layer's products with its input, some steps ahead of the run through the steps, and its gradient, some
//! steps behind the way back.

use super::super::gemm::{Left, Start};
use super::super::math::Elementary;
use super::super::packed::{Operand as Rounded, Room};
use super::super::panels::Nth;
use super::super::tape::Tape;
use super::super::threads::Crew;
use super::Scan;
use super::back::Backward;
use super::step::Forward;
use std::ops::Range;

/// Rows of the input that pass through its panels together: enough that a weight read once is used often,
/// few enough that what is made of them is still at hand when their steps come.
pub(super) const ROWS_AHEAD: usize = 48;

/// Rows of the input's gradient in one job, made while what their steps left in `z` is at hand.
const ROWS_A_JOB: usize = 48;

impl<T: Elementary> Scan<T> {
    /// The input's part of `z` for some of the `room` rows of a tape: b + W_ih x, of rows `x`.
    pub(super) fn project(
        &self,
        crew: Crew,
        room: usize,
        rows: Range<usize>,
        (x, stride): (&[T], usize),
        tape: &mut Tape<T>,
    ) {
        let (line, first, count) = (self.line(), rows.start, rows.len());
        let Tape { z, norm, rounded: [rounded, _], .. } = tape;
        let x = self.round_input(count, x, stride, rounded);
        let to = if self.normalises() { &mut norm.input.x[..] } else { &mut z[..] };
        let (apart, job) = (room * line, self.at_once());
        crew.chunks(&mut to[..self.blocks * apart], job * apart, |number, to| {
            let blocks = number * job..self.blocks.min((number + 1) * job);
            self.project_blocks(blocks, count, x, &mut to[first * line..], apart);
        });
        self.normalise_input(room, first, count, z, &mut norm.input);
    }

    /// Rows of x as the input's product takes them; none: the input is one-hot.
    pub(in super::super) fn round_input<'a>(
        &self,
        rows: usize,
        x: &'a [T],
        stride: usize,
        room: &'a mut Room,
    ) -> Option<Rounded<'a, T>> {
        let a = Left::rows(x, stride, self.inputs);
        self.input_product.as_ref().map(|input| {
            input.round(self.isa, rows, a, room);
            input.operand(a, room)
        })
    }

    /// The same for some unit blocks, `apart` from each other; of a normalised layer W_ih x alone.
    pub(in super::super) fn project_blocks(
        &self,
        blocks: Range<usize>,
        rows: usize,
        x: Option<Rounded<'_, T>>,
        z: &mut [T],
        apart: usize,
    ) {
        let (Some(input), Some(x)) = (&self.input_product, x) else { return };
        let (line, covered) = (self.line(), self.layout.input.len() * self.lanes);
        if covered == line {
            let start =
                if self.normalises() { Start::Zero } else { Start::Row(&self.bias[blocks.start * line..]) };
            return input.blocks_product(self.isa, rows, x, blocks, start, z, [line, apart], Nth::ONLY);
        }
        for (block, at) in blocks.zip((0..).step_by(apart)) {
            let (bias, z) = (self.bias(block), &mut z[at..]);
            let start = if self.normalises() { Start::Zero } else { Start::Row(bias) };
            input.blocks_product(self.isa, rows, x, block..block + 1, start, z, [line, apart], Nth::ONLY);
            for row in z.chunks_exact_mut(line).take(rows) {
                row[covered..].copy_from_slice(&bias[covered..]);
            }
        }
    }

    /// The gradient of the input of `count` rows, from the gradients in `z`, unit blocks of `rows`
    /// rows.
    pub(in super::super) fn project_backward(
        &self,
        rows: usize,
        z: &[T],
        count: usize,
        start: Start<'_, T>,
        dx: &mut [T],
        stride: usize,
    ) {
        let Some(input) = &self.input_product else { return };
        let dz = self.gradients(rows, z, 0, self.layout.input.len());
        input.product_back(self.isa, count, dz, start, dx, stride);
    }
}

impl<T: Elementary> Forward<'_, T> {
    /// The input's part of the next steps.
    pub(super) fn take_input(&mut self) {
        let group = &self.part.group;
        let first = group.steps[self.ready].first;
        if self.room < group.len {
            self.first = first;
        }
        let rest = group.steps[self.ready..].iter().map(|step| step.first + step.active);
        let together = rest.take_while(|end| end - first <= ROWS_AHEAD);
        let (steps, end) = together.fold((0, first), |(steps, _), end| (steps + 1, end));
        self.ready += steps;
        if self.table.is_none() {
            let (x, place) = (&self.part.slots[self.scan.input.slot], first - self.first..end - self.first);
            self.scan.project(self.crew, self.room, place, (x.at(first), x.stride), self.tape);
        }
    }
}

impl<T: Elementary> Backward<'_, T> {
    /// The gradient of the input of step `t` and of those after it that wait with it, if with one more step they
    /// would be more rows than a job. Of a normalised layer, and where threads share the jobs, all steps wait.
    pub(super) fn pass_on(&mut self, t: usize) {
        let (scan, rows, steps) = (self.scan, self.part.group.len, &self.part.group.steps);
        let all_wait = scan.normalises() || self.passes.is_team();
        if t > 0 && (all_wait || self.missing - steps[t - 1].first <= ROWS_A_JOB) {
            return;
        }
        let first = steps[t].first;
        scan.normalise_input_backward(rows, rows, &self.tape.z, &mut self.tape.norm.input);
        let start = if scan.input.adds { Start::There } else { Start::Zero };
        let (stride, dz) = (self.dx.stride, scan.input_gradients(self.tape));
        let dx = &mut self.dx.at_mut(first)[..(self.missing - first) * stride];
        self.passes.chunks(dx, ROWS_A_JOB * stride, |job, dx| {
            let dz = &dz[(first + job * ROWS_A_JOB) * scan.line()..];
            scan.project_backward(rows, dz, dx.len() / stride, start, dx, stride);
        });
        self.missing = first;
    }
}
