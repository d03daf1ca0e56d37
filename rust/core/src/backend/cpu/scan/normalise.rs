//! Layer normalisation within a layer: of its input's products, of its recurrent products and of its memory,
//! there and back.

use super::super::halves;
use super::super::math::{Elementary, add};
use super::super::norm::{Gains, Norm, Spread};
use super::super::pointwise::{Units, each_row};
use super::super::scratch::{Buffer, row_or_none};
use super::super::tape::{NormRows, Tape};
use super::Scan;
use super::back::Backward;
use super::step::Forward;
use crate::cells::{Layout, Operand, Product, Step};
use crate::program::{NORM_EPS, NormWeights};

/// The gains of a normalised layer, laid out as the bias; and of its memory, one register a block.
pub(super) struct ScanNorm<T> {
    pub(super) input: Buffer<T>,
    pub(super) recurrent: Buffer<T>,
    pub(super) memory: Option<[Buffer<T>; 2]>,
    /// The slots normalised together, of the input's products and of the recurrent ones.
    input_slots: Vec<Vec<usize>>,
    recurrent_slots: Vec<Vec<usize>>,
}

impl<T: Elementary> ScanNorm<T> {
    /// Room for the gains of a layer of `blocks` unit blocks of `lanes` units.
    pub(super) fn new(norm: NormWeights, layout: &Layout, blocks: usize, lanes: usize) -> Self {
        let line = || Buffer::new(blocks * layout.slots * lanes);
        let units = || Buffer::new(blocks * lanes);
        let groups = |slots: Vec<usize>| {
            layout.norms.iter().map(|gates| gates.iter().map(|&gate| slots[gate]).collect()).collect()
        };
        Self {
            input: line(),
            recurrent: line(),
            memory: norm.memory.map(|_| [units(), units()]),
            input_slots: groups(layout.input_slots()),
            recurrent_slots: groups(layout.recurrent_slots()),
        }
    }
}

impl<T: Elementary> Scan<T> {
    pub(super) fn normalises_memory(&self) -> bool {
        self.norm.as_ref().is_some_and(|norm| norm.memory.is_some())
    }

    /// Whether `z` holds other numbers than the gradients of the products.
    pub(in super::super) fn normalises(&self) -> bool {
        self.norm.is_some()
    }

    /// Normalises rows `first ..` of W_ih x, of `room` rows a unit block, into z.
    pub(in super::super) fn normalise_input(
        &self,
        room: usize,
        first: usize,
        count: usize,
        z: &mut [T],
        kept: &mut NormRows<T>,
    ) {
        let Some(norm) = &self.norm else { return };
        let (line, at) = (self.line(), first * self.line());
        let covered = self.layout.input.len() * self.lanes;
        for block in 0..self.blocks {
            for row in z[block * room * line + at..].chunks_exact_mut(line).take(count) {
                row[covered..].copy_from_slice(&self.bias(block)[covered..]);
            }
        }
        for (group, slots) in norm.input_slots.iter().enumerate() {
            let gains = Gains { gain: &norm.input, bias: Some(&self.bias), block: line };
            let scale = &mut kept.scale[group * room + first..][..count];
            let x = &mut kept.x[at..];
            self.of(room * line, slots).forward(count, x, gains, &mut z[at..], [line, room * line], scale);
        }
    }

    /// Turns x̂ of W_ih x into its gradient, for all `rows` rows of a tape or table, and adds to that of the gains.
    pub(in super::super) fn normalise_input_backward(
        &self,
        room: usize,
        rows: usize,
        dz: &[T],
        kept: &mut NormRows<T>,
    ) {
        let Some(norm) = &self.norm else { return };
        let line = self.line();
        for (group, slots) in norm.input_slots.iter().enumerate() {
            let gains = Gains { gain: &norm.input, bias: None, block: line };
            let scale = &kept.scale[group * room..][..rows];
            let (x, d_gain) = (&mut kept.x, &mut kept.d_gain);
            self.of(room * line, slots).backward(rows, x, gains, dz, [line, room * line], scale, d_gain);
        }
    }

    /// A normalisation over slots of rows laid out as `z`, its unit blocks `block` apart.
    fn of<'a>(&self, block: usize, slots: &'a [usize]) -> Norm<'a> {
        let spread = Spread { row: self.line(), block, slots };
        Norm { isa: self.isa, units: self.recurrence.hidden, eps: NORM_EPS, spread }
    }

    /// A normalisation over rows of H numbers, `stride` apart.
    fn rows_of(&self, stride: usize) -> Norm<'_> {
        let spread = Spread { row: stride, block: self.lanes, slots: &[0] };
        Norm { isa: self.isa, units: self.recurrence.hidden, eps: NORM_EPS, spread }
    }

    /// In which pass round the blocks a normalised group's product is made.
    fn pass_of(&self, group: usize) -> usize {
        let gate = self.layout.norms[group][0];
        let waits = |p: &Product| p.operand == Operand::ResetH && p.gates.contains(&gate);
        usize::from(self.layout.products.iter().any(waits))
    }
}

impl<T: Elementary> Forward<'_, T> {
    /// Adds the normalised products of this pass to z.
    pub(super) fn normalise(&mut self, t: usize, pass: usize) {
        let (scan, group) = (self.scan, &self.part.group);
        let Some(norm) = &scan.norm else { return };
        let (line, block, step) = (scan.line(), group.len * scan.line(), group.steps[t]);
        let Tape { z, norm: kept, .. } = &mut *self.tape;
        for (index, slots) in norm.recurrent_slots.iter().enumerate() {
            if scan.pass_of(index) == pass {
                let gains = Gains { gain: &norm.recurrent, bias: None, block: line };
                let at = step.first * line;
                let scale = &mut kept.recurrent.scale[index * group.len + step.first..][..step.active];
                let x = &mut kept.recurrent.x[at..];
                scan.of(block, slots).forward(step.active, x, gains, &mut z[at..], [line, block], scale);
            }
        }
    }

    /// The first half of a step whose memory is normalised.
    pub(super) fn remember<const S: usize, C: Step<S>>(&mut self, cell: C, t: usize, block: usize) {
        let (scan, place, at) = (self.scan, self.place(t, block), block * self.scan.lanes);
        let (now, rows) = self.now(t);
        let (prev, first) = (self.part.group.prev(t), self.part.group.steps[t].first);
        let Tape { z, c, noise, .. } = &mut *self.tape;
        let units =
            Units { peephole: scan.peephole_at(at), candidate: row_or_none(&noise.candidate, first, at) };
        let stride = c.stride;
        let (before, now) = c.data.split_at_mut(now * stride);
        let (prev_c, next_c) = (&before[prev * stride + at..], &mut now[at..]);
        let op = halves::Memory { cell, prev_c, next_c, units };
        each_row(scan.isa, rows, stride, &mut z[place], op);
    }

    pub(super) fn normalise_memory(&mut self, t: usize) {
        let Some([gain, bias]) = self.scan.norm.as_ref().and_then(|norm| norm.memory.as_ref()) else {
            return;
        };
        let ((now, rows), first) = (self.now(t), self.part.group.steps[t].first);
        let Tape { c, norm, .. } = &mut *self.tape;
        let (stride, lanes) = (c.stride, self.scan.lanes);
        let x = norm.memory.at_mut(first);
        x[..rows * stride].copy_from_slice(&c.data[now * stride..][..rows * stride]);
        let gains = Gains { gain, bias: Some(bias), block: lanes };
        let (y, scale) = (norm.seen.at_mut(first), &mut norm.memory_scale[first..][..rows]);
        self.scan.rows_of(stride).forward(rows, x, gains, y, [stride, lanes], scale);
    }

    /// The second half: h from the normalised memory.
    pub(super) fn emit<const S: usize, C: Step<S>>(&mut self, cell: C, t: usize, block: usize) {
        let (scan, place, at) = (self.scan, self.place(t, block), block * self.scan.lanes);
        let ((now, rows), first) = (self.now(t), self.part.group.steps[t].first);
        let Tape { z, norm, wide, .. } = &mut *self.tape;
        let (stride, seen) = (norm.seen.stride, &norm.seen.at(first)[at..]);
        let h = if scan.projection.is_some() {
            &mut wide.at_mut(first)[at..]
        } else {
            &mut self.out.data[now * stride + at..]
        };
        each_row(scan.isa, rows, stride, &mut z[place], halves::Emit { cell, seen, h });
    }
}

impl<T: Elementary> Backward<'_, T> {
    /// Back through the normalisation of a product: x̂ becomes the product's gradient.
    pub(super) fn normalise(&mut self, t: usize, product: &Product) {
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

    pub(super) fn remember<const S: usize, C: Step<S>>(&mut self, cell: C, t: usize, block: usize) {
        let (scan, place, at) = (self.scan, self.place(t, block), block * self.scan.lanes);
        let (prev, step) = (self.part.group.prev(t), self.part.group.steps[t]);
        let Tape { z, c, dc, noise, .. } = &mut *self.tape;
        let units = Units {
            peephole: scan.peephole_at(at),
            candidate: row_or_none(&noise.candidate, step.first, at),
        };
        let dc = if noise.keep[1].stride > 0 { &mut noise.d_new_c } else { dc };
        let (stride, prev_c, dc) = (c.stride, &c.data[prev * c.stride + at..], &mut dc.data[at..]);
        let op = halves::MemoryBackward { cell, prev_c, dc, units };
        each_row(scan.isa, step.active, stride, &mut z[place], op);
    }

    /// Adds to c's gradient what comes through its normalisation.
    pub(super) fn normalise_memory(&mut self, t: usize) {
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

    /// Back through h from the normalised memory, of which the gradient takes the place.
    pub(super) fn emit<const S: usize, C: Step<S>>(&mut self, cell: C, t: usize, block: usize) {
        let (scan, place, at) = (self.scan, self.place(t, block), block * self.scan.lanes);
        let step = self.part.group.steps[t];
        let Tape { z, norm, d_new, d_wide, .. } = &mut *self.tape;
        let dh = if scan.projection.is_some() { &d_wide.data[at..] } else { &d_new.at(step.first)[at..] };
        let (stride, seen) = (norm.seen.stride, &mut norm.seen.at_mut(step.first)[at..]);
        let op = halves::EmitBackward { cell, seen, dh };
        each_row(scan.isa, step.active, stride, &mut z[place], op);
    }
}
