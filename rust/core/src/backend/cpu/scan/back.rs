//! The run of one layer back through all steps of some groups: the reverse of [`super::steps`].
//!
//! `dh` and `dc` hold the gradient of the state after the step at hand and are left with that
//! before it; `z` is left with the gradients of the pre-activations, and of a normalised layer
//! x̂ with those of the products. The input's gradient follows some steps behind.

use super::super::gemm::{Left, Start};
use super::super::groups::TOGETHER;
use super::super::math::{Elementary, add};
use super::super::memory::Memory;
use super::super::noise::{Extent, Multiply, Share};
use super::super::norm::Gains;
use super::super::packed::{Back, Packed};
use super::super::panels::FEW;
use super::super::part::Part;
use super::super::pointwise::{self, Above, Units, each_row, each_row_fetching};
use super::super::scratch::Rows;
use super::super::tape::Tape;
use super::super::threads::Crew;
use super::Scan;
use super::steps::{row_or_none, tail_mut};
use crate::cells::{Operand, Product, State, Step, Visit};
use crate::program::When;
use std::array::from_fn;
use std::mem::take;

/// Rows of the input's gradient in one job, made while what their steps left in `z` is at hand.
const ROWS_A_JOB: usize = 48;

impl<T: Elementary> Scan<T> {
    /// The way back, from the gradients of the final state and of the output.
    pub(in super::super) fn backward(
        &self,
        crew: Crew,
        parts: &mut [Part<T>],
        from_table: bool,
        products: &[Packed<T>],
    ) {
        let mut taken: [_; TOGETHER] = from_fn(|i| {
            let part = parts.get_mut(i)?;
            let mut tape = take(&mut part.tapes[self.tape]);
            // Also of a group without steps.
            tape.norm.recurrent.d_gain.fill(T::ZERO);
            tape.norm.input.d_gain.fill(T::ZERO);
            tape.norm.d_memory.iter_mut().for_each(|d| d.fill(T::ZERO));
            let mut memory = take(&mut part.memory);
            if let Some(attend) = &self.attend {
                attend.start_back(&mut memory, &mut tape.attend);
            }
            let dx = if from_table { Rows::default() } else { take(&mut part.d_slots[self.input.slot]) };
            Some((tape, memory, dx))
        });
        let mut all = taken.iter_mut().flatten().zip(&*parts);
        let all = from_fn(|_| {
            let ((tape, memory, dx), part) = all.next()?;
            Some(Backward { scan: self, crew, part, tape, memory, dx, missing: part.group.len })
        });
        self.recurrence.cell.visit(Together { scan: self, products, from_table, all });
        for ((tape, mut memory, dx), part) in taken.into_iter().flatten().zip(parts) {
            if let Some(attend) = &self.attend {
                attend.finish_back(&mut memory);
            }
            (part.memory, part.tapes[self.tape]) = (memory, tape);
            if !from_table {
                part.d_slots[self.input.slot] = dx;
            }
        }
    }

    /// After the backward run: the gradients of W_ih x, laid out as `z`.
    pub(super) fn input_gradients<'a>(&self, tape: &'a Tape<T>) -> &'a [T] {
        if self.normalises() { &tape.norm.input.x } else { &tape.z }
    }

    /// After the backward run: the gradients of the recurrent products, laid out as `z`.
    pub(super) fn recurrent_gradients<'a>(&self, tape: &'a Tape<T>) -> &'a [T] {
        if self.normalises() { &tape.norm.recurrent.x } else { &tape.z }
    }
}

struct Backward<'a, T> {
    scan: &'a Scan<T>,
    /// Who shares a step.
    crew: Crew<'a>,
    part: &'a Part<T>,
    tape: &'a mut Tape<T>,
    memory: &'a mut Memory<T>,
    /// The gradient of the input, and the row before which it is not there yet.
    dx: &'a mut Rows<T>,
    missing: usize,
}

/// Groups that go back through the steps side by side.
struct Together<'a, T> {
    scan: &'a Scan<T>,
    products: &'a [Packed<T>],
    /// The input's gradient is made elsewhere.
    from_table: bool,
    all: [Option<Backward<'a, T>>; TOGETHER],
}

impl<'a, T: Elementary> Together<'a, T> {
    /// Those that have a step `t`.
    fn at(&mut self, t: usize) -> impl Iterator<Item = &mut Backward<'a, T>> {
        self.all.iter_mut().flatten().filter(move |group| t < group.part.group.steps.len())
    }

    /// Back through a product to what it multiplied.
    fn multiply(&mut self, t: usize, product: &Product, weight: &Packed<T>) {
        // A group whose panels threads share is alone.
        if let Some(group) =
            self.at(t).find(|group| group.crew.is_team() && group.part.group.rows.len() <= FEW)
        {
            let (crew, isa) = (group.crew, group.scan.isa);
            return weight.few_rows_back(crew, isa, group.through(t, product));
        }
        let isa = self.scan.isa;
        let mut groups = self.at(t);
        let mut all: [_; TOGETHER] = from_fn(|_| groups.next().map(|group| group.through(t, product)));
        weight.products_back(isa, &mut all);
    }
}

impl<T: Elementary> Visit for Together<'_, T> {
    type Out = ();
    fn visit<const S: usize, C: Step<S>>(mut self, cell: C) {
        let (scan, products, from_table) = (self.scan, self.products, self.from_table);
        let steps = self.all.iter().flatten().map(|group| group.part.group.steps.len()).max();
        for t in (0..steps.unwrap_or(0)).rev() {
            for group in self.at(t) {
                group.look_back(t, When::After);
                group.share_gradient(t);
                if C::MEMORY && scan.normalises_memory() {
                    (0..scan.blocks).for_each(|block| group.emit::<S, C>(cell, t, block));
                    group.normalise_memory(t);
                    (0..scan.blocks).for_each(|block| group.remember::<S, C>(cell, t, block));
                } else {
                    (0..scan.blocks).for_each(|block| group.step::<S, C>(cell, t, block));
                }
                group.join_memory(t);
                group.tape.noise.d_seen.data.fill(T::ZERO);
            }
            for (product, weight) in scan.layout.products.iter().zip(products).rev() {
                self.at(t).for_each(|group| group.normalise(t, product));
                self.multiply(t, product, weight);
                if C::RESETS && product.operand == Operand::ResetH {
                    for group in self.at(t) {
                        (0..scan.blocks).for_each(|block| group.reset::<S, C>(cell, t, block));
                    }
                }
            }
            for group in self.at(t) {
                group.unsee(t);
                group.look_back(t, When::Before);
                if !from_table {
                    group.pass_on(t);
                }
            }
        }
    }
}

impl<T: Elementary> Backward<'_, T> {
    /// Where unit block `block` of step `t` lies in `z`.
    fn place(&self, t: usize, block: usize) -> std::ops::Range<usize> {
        let (group, line) = (&self.part.group, self.scan.line());
        let start = (block * group.len + group.steps[t].first) * line;
        start..start + group.steps[t].active * line
    }

    /// Back through the look at the memory, if this was its time.
    fn look_back(&mut self, t: usize, when: When) {
        let (scan, group) = (self.scan, &self.part.group);
        let Some(attend) = scan.attend.as_ref().filter(|a| a.attention.when == when) else { return };
        let Tape { z, attend: tape, dh, .. } = &mut *self.tape;
        let first = group.steps[t].first;
        let from = if when == When::Before { group.prev(t) } else { group.rows.len() + first };
        let h = &self.part.slots[scan.recurrence.out];
        let dz = scan.gradients(group.len, &z[first * scan.line()..], 0, scan.layout.input.len());
        attend.look_back(self.part, t, (h, from), Some(dz), (self.memory, tape), dh);
    }

    /// Where projection or zoneout stand behind the step: the share of h's gradient, with that from
    /// above, that goes to what the step made; then back through the projection. Of c likewise.
    fn share_gradient(&mut self, t: usize) {
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
    fn join_memory(&mut self, t: usize) {
        let noise = &self.tape.noise;
        if noise.keep[1].stride > 0 {
            let size = self.part.group.steps[t].active * noise.d_new_c.stride;
            add(&mut self.tape.dc.data[..size], &noise.d_new_c.data[..size]);
        }
    }

    fn step<const S: usize, C: Step<S>>(&mut self, cell: C, t: usize, block: usize) {
        let (scan, place, at) = (self.scan, self.place(t, block), block * self.scan.lanes);
        let (prev, step, out) = (self.part.group.prev(t), self.part.group.steps[t], scan.recurrence.out);
        let (h, dy) = (&self.part.slots[out], &self.part.d_slots[out]);
        let Tape { z, c, dh, dc, noise, d_new, d_wide, .. } = &mut *self.tape;
        let units = Units {
            peephole: scan.peephole_at(at),
            candidate: row_or_none(&noise.candidate, step.first, at),
        };
        let dc = if noise.keep[1].stride > 0 { &mut noise.d_new_c } else { dc };
        let c = if C::MEMORY { &c.data[prev * c.stride + at..] } else { &[][..] };
        let (stride, h, above, dh) = if scan.projection.is_some() {
            (d_wide.stride, &[][..], Above::Whole(&d_wide.data[at..]), &mut [][..])
        } else {
            let above = if scan.shares_gradient() {
                Above::Whole(&d_new.at(step.first)[at..])
            } else {
                Above::Beside(&dy.at(step.first)[at..])
            };
            (h.stride, &h.data[prev * h.stride + at..], above, &mut dh.data[at..])
        };
        let (prev, d) = (State { h, c }, State { h: dh, c: tail_mut(&mut dc.data, at) });
        let op = pointwise::Backward { cell, prev, dh: above, d, units };
        let z = (&mut z[..], place.start, self.part.group.len * scan.line());
        each_row_fetching(scan.isa, step.active, stride, z, op);
    }

    /// Back through h from the normalised memory, of which the gradient takes the place.
    fn emit<const S: usize, C: Step<S>>(&mut self, cell: C, t: usize, block: usize) {
        let (scan, place, at) = (self.scan, self.place(t, block), block * self.scan.lanes);
        let step = self.part.group.steps[t];
        let Tape { z, norm, d_new, d_wide, .. } = &mut *self.tape;
        let dh = if scan.projection.is_some() { &d_wide.data[at..] } else { &d_new.at(step.first)[at..] };
        let (stride, seen) = (norm.seen.stride, &mut norm.seen.at_mut(step.first)[at..]);
        let op = pointwise::EmitBackward { cell, seen, dh };
        each_row(scan.isa, step.active, stride, &mut z[place], op);
    }

    /// Adds to c's gradient what comes through its normalisation.
    fn normalise_memory(&mut self, t: usize) {
        let Some([gain, _]) = self.scan.norm.as_ref().and_then(|norm| norm.memory.as_ref()) else { return };
        let step = self.part.group.steps[t];
        let Tape { norm, noise, dc, .. } = &mut *self.tape;
        let (stride, lanes) = (norm.seen.stride, self.scan.lanes);
        let (x, dy) = (norm.memory.at_mut(step.first), norm.seen.at(step.first));
        let [d_gain, d_bias] = &mut norm.d_memory;
        for row in dy.chunks_exact(stride).take(step.active) {
            add(d_bias, row);
        }
        let gains = Gains { gain, bias: None, block: lanes };
        let scale = &norm.memory_scale[step.first..][..step.active];
        self.scan.rows_of(stride).backward(step.active, x, gains, dy, [stride, lanes], scale, d_gain);
        let dc = if noise.keep[1].stride > 0 { &mut noise.d_new_c } else { dc };
        add(&mut dc.data[..step.active * stride], x);
    }

    fn remember<const S: usize, C: Step<S>>(&mut self, cell: C, t: usize, block: usize) {
        let (scan, place, at) = (self.scan, self.place(t, block), block * self.scan.lanes);
        let (prev, step) = (self.part.group.prev(t), self.part.group.steps[t]);
        let Tape { z, c, dc, noise, .. } = &mut *self.tape;
        let units = Units {
            peephole: scan.peephole_at(at),
            candidate: row_or_none(&noise.candidate, step.first, at),
        };
        let dc = if noise.keep[1].stride > 0 { &mut noise.d_new_c } else { dc };
        let (stride, prev_c, dc) = (c.stride, &c.data[prev * c.stride + at..], &mut dc.data[at..]);
        let op = pointwise::MemoryBackward { cell, prev_c, dc, units };
        each_row(scan.isa, step.active, stride, &mut z[place], op);
    }

    /// Back through the normalisation of a product: x̂ becomes the product's gradient.
    fn normalise(&mut self, t: usize, product: &Product) {
        let (scan, group) = (self.scan, &self.part.group);
        let Some(norm) = &scan.norm else { return };
        let (line, block, step) = (scan.line(), group.len * scan.line(), group.steps[t]);
        let Tape { z, norm: kept, .. } = &mut *self.tape;
        for (index, slots) in norm.recurrent_slots.iter().enumerate() {
            if !product.gates.contains(&scan.layout.norms[index][0]) {
                continue;
            }
            let gains = Gains { gain: &norm.recurrent, bias: None, block: line };
            let at = step.first * line;
            let scale = &kept.recurrent.scale[index * group.len + step.first..][..step.active];
            let (x, d_gain) = (&mut kept.recurrent.x[at..], &mut kept.recurrent.d_gain);
            scan.of(block, slots).backward(step.active, x, gains, &z[at..], [line, block], scale, d_gain);
        }
    }

    /// The gradient of the input of step `t` and of those after it that wait with it, if with one more step they
    /// would be more rows than a job. Of a normalised layer, and where threads share the jobs, all steps wait.
    fn pass_on(&mut self, t: usize) {
        let (scan, rows, steps) = (self.scan, self.part.group.len, &self.part.group.steps);
        let all_wait = scan.normalises() || self.crew.is_team();
        if t > 0 && (all_wait || self.missing - steps[t - 1].first <= ROWS_A_JOB) {
            return;
        }
        let first = steps[t].first;
        scan.normalise_input_backward(rows, rows, &self.tape.z, &mut self.tape.norm.input);
        let start = if scan.input.adds { Start::There } else { Start::Zero };
        let (stride, dz) = (self.dx.stride, scan.input_gradients(self.tape));
        let dx = &mut self.dx.at_mut(first)[..(self.missing - first) * stride];
        self.crew.chunks(dx, ROWS_A_JOB * stride, |job, dx| {
            let dz = &dz[(first + job * ROWS_A_JOB) * scan.line()..];
            scan.project_backward(rows, dz, dx.len() / stride, start, dx, stride);
        });
        self.missing = first;
    }

    /// What goes back through a product, and where to.
    fn through(&mut self, t: usize, product: &Product) -> Back<'_, T> {
        let (scan, group, step) = (self.scan, &self.part.group, self.part.group.steps[t]);
        let Tape { z, norm, dh, dc, d_reset, noise, rounded: [room, _], .. } = &mut *self.tape;
        let dz: &[T] = if scan.normalises() { &norm.recurrent.x } else { z };
        let a = scan.gradients(group.len, &dz[step.first * scan.line()..], product.slot, product.gates.len());
        let (to, start) = match product.operand {
            Operand::H if noise.d_seen.stride > 0 => (&mut noise.d_seen, Start::There),
            Operand::H => (dh, Start::There),
            Operand::C => (dc, Start::There),
            Operand::ResetH => (d_reset, Start::Zero),
        };
        Back { rows: step.active, a, start, stride: to.stride, c: &mut to.data, room }
    }

    fn reset<const S: usize, C: Step<S>>(&mut self, cell: C, t: usize, block: usize) {
        let (scan, place, at) = (self.scan, self.place(t, block), block * self.scan.lanes);
        let (prev, rows) = (self.part.group.prev(t), self.part.group.steps[t].active);
        let Tape { z, dh, d_reset, noise, .. } = &mut *self.tape;
        let out = &self.part.slots[scan.recurrence.out];
        let masked = noise.seen.stride > 0;
        let (h, dh) = if masked { (&noise.seen, &mut noise.d_seen) } else { (out, dh) };
        let (stride, h) = (h.stride, &h.data[prev * h.stride + at..]);
        let (d_reset, dh) = (&d_reset.data[at..], &mut dh.data[at..]);
        let op = pointwise::ResetBackward { cell, h, d_reset, dh };
        each_row(scan.isa, rows, stride, &mut z[place], op);
    }

    /// From what the products saw of h to h.
    fn unsee(&mut self, t: usize) {
        let Tape { dh, noise, .. } = &mut *self.tape;
        if noise.d_seen.stride > 0 {
            let (rows, stride) = (self.part.group.steps[t].active, dh.stride);
            let extent = Extent { rows, width: stride, stride };
            let (a, b) = (&noise.d_seen.data[..], &noise.mask.data[..]);
            self.scan.isa.run(Multiply { extent, a, b, adds: true, out: &mut dh.data });
        }
    }
}
