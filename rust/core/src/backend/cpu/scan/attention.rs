//! The looks of a layer's steps at its memory, and the gradients of their weights.

use super::super::context::Context;
use super::super::gemm::{Left, Start};
use super::super::linear::Linear;
use super::super::math::{Elementary, add};
use super::super::panels::Nth;
use super::super::part::Part;
use super::super::segments::Segment;
use super::super::tape::Tape;
use super::super::threads::Crew;
use super::Scan;
use super::back::Backward;
use super::gradients::whole;
use super::step::Forward;
use crate::program::{Attention, When};
use std::ops::Range;

impl<T: Elementary> Forward<'_, T> {
    /// Looks at the memory, if this is the time of a step to do so.
    pub(super) fn look(&mut self, t: usize, when: When) {
        let Some(attend) = self.scan.attend.as_ref().filter(|a| a.attention.when == when) else { return };
        let from = if when == When::Before { self.part.group.prev(t) } else { self.now(t).0 };
        let (part, tape) = (self.part, &mut self.tape.attend);
        attend.look(&part.group, t, (self.out, from), &part.memory, tape, self.context);
        if let Some(sight) = &attend.sight {
            let step = part.group.steps[t];
            let seen = Left::rows(self.context.at(step.first), self.context.stride, attend.attention.memory);
            sight.round(self.scan.isa, step.active, seen, &mut tape.rounded);
        }
    }

    /// Adds W_ch c to some unit blocks.
    pub(super) fn see_context(&mut self, t: usize, blocks: Range<usize>, nth: Nth) {
        let Some(attend) = &self.scan.attend else { return };
        let Some(sight) = &attend.sight else { return };
        let (place, apart, step) = (self.places(t, &blocks), self.apart(), self.part.group.steps[t]);
        let seen = Left::rows(self.context.at(step.first), self.context.stride, attend.attention.memory);
        let Tape { z, attend, .. } = &mut *self.tape;
        let (seen, z) = (sight.operand(seen, &attend.rounded), &mut z[place]);
        let line = self.scan.line();
        sight.blocks_product(self.scan.isa, step.active, seen, blocks, Start::There, z, [line, apart], nth);
    }
}

impl<T: Elementary> Backward<'_, T> {
    /// Back through the look at the memory, if this was its time.
    pub(super) fn look_back(&mut self, t: usize, when: When) {
        let (scan, group) = (self.scan, &self.part.group);
        let Some(attend) = scan.attend.as_ref().filter(|a| a.attention.when == when) else { return };
        let Tape { z, attend: tape, dh, .. } = &mut *self.tape;
        let first = group.steps[t].first;
        let from = if when == When::Before { group.prev(t) } else { group.rows.len() + first };
        let h = &self.part.slots[scan.recurrence.out];
        let dz = scan.gradients(group.len, &z[first * scan.line()..], 0, scan.layout.input.len());
        attend.look_back(self.part, t, (h, from), Some(dz), (self.memory, tape), dh);
    }
}

impl<T: Elementary> Scan<T> {
    /// Adds the gradients of attention's weights.
    pub(super) fn attention_gradients(
        &self,
        crew: Crew,
        parts: &[Part<T>],
        run: &Context<'_, T>,
        gradient: &mut [T],
    ) {
        let parameters = run.parameters;
        let Some(attend) = &self.attend else { return };
        let Attention { size, memory, weights, when, context, .. } = attend.attention;
        let tape = |part| {
            let part: &Part<T> = part;
            &part.tapes[self.tape]
        };
        let target = Linear::<T>::target(self.isa, self.precision, size);
        if let Some(id) = weights.query {
            // What each step's query was made of: h before it, or after.
            let segments = parts.iter().flat_map(|part| {
                let (d, h) = (&tape(part).attend.d_query, &part.slots[self.recurrence.out]);
                let lead = part.group.rows.len();
                part.group.runs.iter().map(move |run| {
                    let from = if when == When::Before { run.prev } else { lead + run.row };
                    let (dz, x, stride) = (d.at(run.row), &h.data()[from * h.stride..], h.stride);
                    Segment { dz, unit: 1, row: d.stride, block: self.lanes, x, stride, rows: run.len }
                })
            });
            target.outer(crew, &segments, attend.width, &mut gradient[parameters.range(id)], run.operands);
        }
        if let Some(id) = weights.key {
            let segments = parts.iter().map(|part| {
                let (d, x) = (&part.memory.d_keys, &part.memory.own.values);
                let (row, stride, rows) = (d.stride, x.stride, part.memory.len());
                Segment { dz: d.at(0), unit: 1, row, block: self.lanes, x: x.at(0), stride, rows }
            });
            target.outer(crew, &segments, memory, &mut gradient[parameters.range(id)], run.operands);
        }
        if let Some(id) = weights.vector {
            let sum = &mut gradient[parameters.range(id)];
            parts.iter().for_each(|part| add(sum, &tape(part).attend.d_vector));
        }
        if let Some(id) = weights.context {
            let segments = parts.iter().map(|part| {
                let c = &part.slots[context];
                whole(self.line(), part.group.len, &tape(part).z, c.at(0), c.stride)
            });
            let target = self.target(&self.input_slots);
            target.outer(crew, &segments, memory, &mut gradient[parameters.range(id)], run.operands);
        }
    }
}
