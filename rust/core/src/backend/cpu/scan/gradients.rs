//! The weight gradients of one recurrent layer, from the tapes of all groups.

use super::super::context::Context;
use super::super::linear::Linear;
use super::super::math::{Elementary, add};
use super::super::operands::MOST_WEIGHTS;
use super::super::outer::{Outer, outer};
use super::super::part::Part;
use super::super::segments::{Segment, Segments};
use super::super::table::Table;
use super::super::threads::Crew;
use super::super::weights::Target;
use super::Scan;
use crate::cells::{Operand, Seen};
use crate::params::ParamId;

/// What a product of a layer multiplies.
#[derive(Clone, Copy)]
enum Source {
    Input,
    Product(Operand),
}

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
        let (input_slots, recurrent_slots) = (&self.input_slots, &self.recurrent_slots);
        // What is fed by the gradients in `z` is summed with one reading of them.
        let together = table.is_none() && !self.normalises();
        if !together {
            let ih = &mut gradient[parameters.range(weights.ih)];
            match table {
                Some(table) if table.x.stride == 0 => {
                    let (line, dz) = (self.line(), self.product_gradients(table));
                    let at = [line, table.capacity * line];
                    self.target(input_slots).scatter(crew, dz, at, run.tokens, self.inputs, ih);
                }
                _ => {
                    let segments = self.input_segments(parts, table, true);
                    self.target(input_slots).outer(crew, &segments, self.inputs, ih, run.operands);
                }
            }
            if let Some(bias) = weights.bias_ih {
                let segments = self.input_segments(parts, table, false);
                self.target(input_slots).sums(crew, &segments, &mut gradient[parameters.range(bias)]);
            }
        }
        // Added to the same gates, both biases have the same gradient.
        let same = weights.bias_ih.zip(weights.bias_hh).filter(|_| recurrent_slots == input_slots);
        let own = weights.bias_hh.filter(|_| same.is_none());
        self.step_gradients(crew, parts, together, own.filter(|_| !self.normalises()), run, gradient);
        if let Some((bias, copy)) = same {
            gradient.copy_within(parameters.range(bias), parameters.range(copy).start);
        }
        if let Some(bias) = own.filter(|_| self.normalises()) {
            let segments = self.input_segments(parts, table, false);
            self.target(recurrent_slots).sums(crew, &segments, &mut gradient[parameters.range(bias)]);
        }
        if let (Some(hh), Some(key)) = (weights.hh, run.training.filter(|_| self.drops_weights())) {
            self.drop_weights(key, &mut gradient[parameters.range(hh)]);
        }
        if let Some(ch) = weights.ch.filter(|_| !self.layout.peepholes.is_empty()) {
            let gates = gradient[parameters.range(ch)].chunks_exact_mut(self.recurrence.hidden);
            for (sight, own) in self.layout.peepholes.iter().zip(gates) {
                let slots = [sight.slot];
                let target = self.target(&slots);
                match sight.seen {
                    Seen::Before => {
                        target.diagonal(crew, &self.step_segments(parts, Source::Product(Operand::C)), own)
                    }
                    Seen::After => target.diagonal(crew, &self.memory_segments(parts), own),
                }
            }
        }
        if let Some(hr) = weights.hr {
            let of_part = |part| {
                let part: &Part<T> = part;
                let (dy, x) = (&part.tapes[self.tape].d_new, &part.tapes[self.tape].wide);
                let (row, stride, rows) = (dy.stride, x.stride, part.group.len);
                Segment { dz: dy.at(0), unit: 1, row, block: self.lanes, x: x.at(0), stride, rows }
            };
            let segments = parts.iter().map(of_part);
            let target = Linear::<T>::target(self.isa, self.precision, self.recurrence.width);
            let gradient = &mut gradient[parameters.range(hr)];
            target.outer(crew, &segments, self.recurrence.hidden, gradient, run.operands);
        }
        self.attention_gradients(crew, parts, run, gradient);
        self.gain_gradients(parts, table, run, gradient);
    }

    /// Adds the gradients of the weights of the recurrent products and of their bias, and, where they are fed by
    /// the same, of the input's.
    fn step_gradients(
        &self,
        crew: Crew,
        parts: &[Part<T>],
        input: bool,
        bias_hh: Option<ParamId>,
        run: &Context<'_, T>,
        gradient: &mut [T],
    ) {
        let (weights, size) = (self.recurrence.weights, self.recurrence.hidden);
        let range = |id: ParamId| run.parameters.range(id);
        let mut sources = [None; MOST_WEIGHTS];
        // Of each in the gradient: where its weight lies, and its bias.
        let mut ranges = [const { 0..0 }; 2 * MOST_WEIGHTS];
        if input {
            sources[0] = Some((Source::Input, &self.input_slots[..], self.inputs));
            (ranges[0], ranges[1]) = (range(weights.ih), weights.bias_ih.map_or(0..0, range));
        }
        for (i, (product, slots)) in (1..).zip(self.layout.products.iter().zip(&self.product_slots)) {
            let (weight, bias) = match product.operand {
                Operand::C => (weights.ch, None),
                Operand::H | Operand::ResetH => (weights.hh, bias_hh),
            };
            let (terms, first) = (self.terms(product.operand), product.first_gate() * size);
            let rows = |id, terms| {
                let start = range(id).start + first * terms;
                start..start + slots.len() * size * terms
            };
            if let Some(weight) = weight {
                sources[i] = Some((Source::Product(product.operand), &slots[..], terms));
                (ranges[2 * i], ranges[2 * i + 1]) =
                    (rows(weight, terms), bias.map_or(0..0, |id| rows(id, 1)));
            }
        }
        let mut slices = gradient.get_disjoint_mut(ranges).expect("parameters lie apart").into_iter();
        let all = sources.map(|source| {
            let (gradient, bias) = (slices.next()?, slices.next()?);
            let (source, slots, terms) = source?;
            let segments = self.step_segments(parts, source);
            Some(Outer { target: self.target(slots), segments, terms, gradient, bias })
        });
        outer(crew, all, run.operands);
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
        if let Some(table) = table {
            gather(norm.gain_ih, &self.input_slots, &table.norm.d_gain);
        }
        for tape in parts.iter().map(|part| &part.tapes[self.tape].norm) {
            if table.is_none() {
                gather(norm.gain_ih, &self.input_slots, &tape.input.d_gain);
            }
            gather(norm.gain_hh, &self.recurrent_slots, &tape.recurrent.d_gain);
        }
        for part in parts {
            for (d, id) in part.tapes[self.tape].norm.d_memory.iter().zip(norm.memory.iter().flatten()) {
                add(&mut gradient[run.parameters.range(*id)], d);
            }
        }
    }

    pub(super) fn target<'s>(&self, slots: &'s [usize]) -> Target<'s> {
        Target {
            isa: self.isa,
            precision: self.precision,
            lanes: self.lanes,
            hidden: self.recurrence.hidden,
            slots,
        }
    }

    /// After the backward run: the gradients of a table's W_ih x, laid out as its `z`.
    fn product_gradients<'a>(&self, table: &'a Table<T>) -> &'a [T] {
        if self.normalises() { &table.norm.x } else { &table.z }
    }

    /// The rows of the input with the gradients of W_ih x (`products`) or of the pre-activations.
    fn input_segments<'a>(
        &'a self,
        parts: &'a [Part<T>],
        table: Option<&'a Table<T>>,
        products: bool,
    ) -> impl Segments<'a, T> {
        let line = self.line();
        let of_table = table.map(|table| {
            let dz = if products { self.product_gradients(table) } else { &table.z };
            let (block, x, stride) = (table.capacity * line, table.x.data(), table.x.stride);
            Segment { dz, unit: 1, row: line, block, x, stride, rows: table.len }
        });
        let of_part = move |part: &'a Part<T>| {
            let (x, tape) = (&part.slots[self.input.slot], &part.tapes[self.tape]);
            let dz = if products { self.input_gradients(tape) } else { &tape.z };
            whole(line, part.group.len, dz, x.at(0), x.stride)
        };
        let parts = if table.is_some() { &[] } else { parts };
        of_table.into_iter().chain(parts.iter().map(of_part))
    }

    /// What a product multiplied at each step, with its gradients.
    fn step_segments<'a>(&'a self, parts: &'a [Part<T>], of: Source) -> impl Segments<'a, T> {
        let line = self.line();
        parts.iter().flat_map(move |part| {
            let (tape, block) = (&part.tapes[self.tape], part.group.len * line);
            let dz = self.recurrent_gradients(tape);
            let source = match of {
                Source::Input => &part.slots[self.input.slot],
                Source::Product(Operand::ResetH) => &tape.reset,
                Source::Product(Operand::H) if tape.noise.seen.stride > 0 => &tape.noise.seen,
                Source::Product(Operand::H) => &part.slots[self.recurrence.out],
                Source::Product(Operand::C) => &tape.c,
            };
            let (stride, lead) = (source.stride, source.lead);
            part.group.runs.iter().map(move |run| {
                let first = match of {
                    Source::Input | Source::Product(Operand::ResetH) => lead + run.row,
                    Source::Product(Operand::H | Operand::C) => run.prev,
                };
                let (dz, x) = (&dz[run.row * line..], &source.data()[first * stride..]);
                Segment { dz, unit: 1, row: line, block, x, stride, rows: run.len }
            })
        })
    }

    /// c as each step made it.
    fn memory_segments<'a>(&'a self, parts: &'a [Part<T>]) -> impl Segments<'a, T> {
        parts.iter().map(move |part| {
            let tape = &part.tapes[self.tape];
            let c = if tape.noise.new_c.stride > 0 { &tape.noise.new_c } else { &tape.c };
            whole(self.line(), part.group.len, &tape.z, c.at(0), c.stride)
        })
    }
}

/// All rows of a tape.
pub(super) fn whole<'a, T>(
    line: usize,
    rows: usize,
    dz: &'a [T],
    x: &'a [T],
    stride: usize,
) -> Segment<'a, T> {
    Segment { dz, unit: 1, row: line, block: rows * line, x, stride, rows }
}
