//! The weight gradients of one recurrent layer, from the tapes of all groups.

use super::super::context::Context;
use super::super::linear::Linear;
use super::super::math::Elementary;
use super::super::part::Part;
use super::super::threads::Crew;
use super::super::tokens::{Table, add};
use super::super::weights::{Segment, Target};
use super::Scan;
use crate::cells::{Operand, Product, Seen};

impl<T: Elementary> Scan<T> {
    /// Adds the gradients of this layer's weights. `table`: the input was tokens.
    pub(in super::super) fn weight_gradients(
        &self,
        crew: Crew,
        parts: &[Part<T>],
        table: Option<&Table<T>>,
        run: &Context<'_, T>,
        gradient: &mut [T],
    ) {
        let (parameters, weights) = (run.parameters, self.recurrence.weights);
        let input_slots = self.layout.input_slots();
        let recurrent_slots = self.layout.recurrent_slots();
        let ih = &mut gradient[parameters.range(weights.ih)];
        match table {
            Some(table) if table.x.stride == 0 => {
                let (line, dz) = (self.line(), table.product_gradients(self));
                let at = [line, table.capacity * line];
                self.target(&input_slots).scatter(crew, dz, at, run.tokens, self.inputs, ih);
            }
            _ => {
                let segments = self.input_segments(parts, table, true);
                self.target(&input_slots).outer(crew, &segments, self.inputs, ih);
            }
        }
        let segments = self.input_segments(parts, table, false);
        if let Some(bias) = weights.bias_ih {
            self.target(&input_slots).sums(crew, &segments, &mut gradient[parameters.range(bias)]);
        }
        if let Some(bias) = weights.bias_hh {
            self.target(&recurrent_slots).sums(crew, &segments, &mut gradient[parameters.range(bias)]);
        }
        for product in self.layout.products {
            let weight = match product.operand {
                Operand::C => weights.ch,
                Operand::H | Operand::ResetH => weights.hh,
            };
            if let Some(weight) = weight {
                self.product_gradient(crew, parts, product, &mut gradient[parameters.range(weight)]);
            }
        }
        if let (Some(hh), Some(key)) = (weights.hh, run.training.filter(|_| self.drops_weights())) {
            self.drop_weights(key, &mut gradient[parameters.range(hh)]);
        }
        if let Some(ch) = weights.ch.filter(|_| !self.layout.peepholes.is_empty()) {
            let gates = gradient[parameters.range(ch)].chunks_exact_mut(self.recurrence.hidden);
            for (sight, own) in self.layout.peepholes.iter().zip(gates) {
                let segments = match sight.seen {
                    Seen::Before => self.recurrent_segments(parts, Operand::C),
                    Seen::After => self.memory_segments(parts),
                };
                self.target(&[sight.slot]).diagonal(crew, &segments, own);
            }
        }
        if let Some(hr) = weights.hr {
            let of_part = |p| {
                let part: &Part<T> = p;
                let (dy, x) = (&part.tapes[self.tape].d_new, &part.tapes[self.tape].wide);
                let (row, stride, rows) = (dy.stride, x.stride, part.group.len);
                Segment { dz: dy.at(0), row, block: self.lanes, x: x.at(0), stride, rows }
            };
            let segments: Vec<_> = parts.iter().map(of_part).collect();
            let target = Linear::<T>::target(self.isa, self.recurrence.width);
            target.outer(crew, &segments, self.recurrence.hidden, &mut gradient[parameters.range(hr)]);
        }
        self.gain_gradients(parts, table, run, gradient);
    }

    pub(in super::super) fn drops_weights(&self) -> bool {
        self.recurrence.noise.weights > 0.0
    }

    /// The gradients of the gains, which every group has summed for itself.
    fn gain_gradients(
        &self,
        parts: &[Part<T>],
        table: Option<&Table<T>>,
        run: &Context<'_, T>,
        gradient: &mut [T],
    ) {
        let Some(norm) = self.recurrence.weights.norm else { return };
        let mut gather = |id, slots: &[usize], from: &[T]| {
            let gates = gradient[run.parameters.range(id)].chunks_exact_mut(self.recurrence.hidden);
            for (own, slot) in gates.zip(slots) {
                for (u, sum) in own.iter_mut().enumerate() {
                    *sum += from[u / self.lanes * self.line() + slot * self.lanes + u % self.lanes];
                }
            }
        };
        let (input_slots, recurrent_slots) = (self.layout.input_slots(), self.layout.recurrent_slots());
        if let Some(table) = table {
            gather(norm.gain_ih, &input_slots, &table.norm.d_gain);
        }
        for tape in parts.iter().map(|part| &part.tapes[self.tape].norm) {
            if table.is_none() {
                gather(norm.gain_ih, &input_slots, &tape.input.d_gain);
            }
            gather(norm.gain_hh, &recurrent_slots, &tape.recurrent.d_gain);
        }
        for part in parts {
            for (d, id) in part.tapes[self.tape].norm.d_memory.iter().zip(norm.memory.iter().flatten()) {
                add(&mut gradient[run.parameters.range(*id)], d);
            }
        }
    }

    fn target<'s>(&self, slots: &'s [usize]) -> Target<'s> {
        Target { isa: self.isa, lanes: self.lanes, hidden: self.recurrence.hidden, slots }
    }

    /// The rows of the input with the gradients of W_ih x (`products`) or of the pre-activations.
    fn input_segments<'a>(
        &self,
        parts: &'a [Part<T>],
        table: Option<&'a Table<T>>,
        products: bool,
    ) -> Vec<Segment<'a, T>> {
        let line = self.line();
        if let Some(table) = table {
            let dz = if products { table.product_gradients(self) } else { &table.z };
            let (block, x, stride) = (table.capacity * line, table.x.data(), table.x.stride);
            return vec![Segment { dz, row: line, block, x, stride, rows: table.len }];
        }
        let of_part = |p| {
            let part: &Part<T> = p;
            let (x, tape) = (&part.slots[self.input.slot], &part.tapes[self.tape]);
            let dz = if products { self.input_gradients(tape) } else { &tape.z };
            whole(line, part.group.len, dz, x.at(0), x.stride)
        };
        parts.iter().map(of_part).collect()
    }

    /// Of one recurrent product, which may own only some of the weight's gates: those from its
    /// first gate on.
    fn product_gradient(&self, crew: Crew, parts: &[Part<T>], product: &Product, gradient: &mut [T]) {
        let segments = self.recurrent_segments(parts, product.operand);
        let first = product.gates.iter().copied().min().unwrap_or(0);
        let mut slots = vec![0; product.gates.len()];
        for (i, &gate) in product.gates.iter().enumerate() {
            slots[gate - first] = product.slot + i;
        }
        let (hidden, terms) = (self.recurrence.hidden, self.terms(product.operand));
        self.target(&slots).outer(crew, &segments, terms, &mut gradient[first * hidden * terms..]);
    }

    fn recurrent_segments<'a>(&self, parts: &'a [Part<T>], operand: Operand) -> Vec<Segment<'a, T>> {
        let line = self.line();
        let of_part = |p: &'a Part<T>| {
            let (tape, block) = (&p.tapes[self.tape], p.group.len * line);
            let dz = self.recurrent_gradients(tape);
            let segment = move |row: usize, rows, x, stride| Segment {
                dz: &dz[row * line..],
                row: line,
                block,
                x,
                stride,
                rows,
            };
            let source = match operand {
                Operand::ResetH => {
                    return vec![segment(0, p.group.len, tape.reset.at(0), tape.reset.stride)];
                }
                Operand::H if tape.noise.seen.stride > 0 => &tape.noise.seen,
                Operand::H => &p.slots[self.recurrence.out],
                Operand::C => &tape.c,
            };
            let rows = p.runs.iter().map(|run| {
                let x = &source.data()[run.prev * source.stride..];
                segment(run.row, run.len, x, source.stride)
            });
            rows.collect()
        };
        parts.iter().flat_map(of_part).collect()
    }

    /// c as each step made it.
    fn memory_segments<'a>(&self, parts: &'a [Part<T>]) -> Vec<Segment<'a, T>> {
        let of_part = |p: &'a Part<T>| {
            let tape = &p.tapes[self.tape];
            let c = if tape.noise.new_c.stride > 0 { &tape.noise.new_c } else { &tape.c };
            whole(self.line(), p.group.len, &tape.z, c.at(0), c.stride)
        };
        parts.iter().map(of_part).collect()
    }
}

/// All rows of a tape.
fn whole<'a, T>(line: usize, rows: usize, dz: &'a [T], x: &'a [T], stride: usize) -> Segment<'a, T> {
    Segment { dz, row: line, block: rows * line, x, stride, rows }
}
