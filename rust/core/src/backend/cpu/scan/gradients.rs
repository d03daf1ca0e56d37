//! The weight gradients of one recurrent layer, from the tapes of all groups.

use super::super::math::Elementary;
use super::super::part::Part;
use super::super::threads::Crew;
use super::super::tokens::Table;
use super::super::weights::{Segment, Target};
use super::Scan;
use crate::cells::{Cell, Operand};
use crate::params::Parameters;

impl<T: Elementary> Scan<T> {
    /// Adds the gradients of this layer's weights. `table`: the input was tokens, with `tokens`
    /// the distinct ones.
    pub(in super::super) fn weight_gradients(
        &self,
        crew: Crew,
        parts: &[Part<T>],
        table: Option<(&Table<T>, &[i32])>,
        parameters: &Parameters,
        gradient: &mut [T],
    ) {
        let line = self.line();
        let input = self.slots_of(self.layout.input, 0, self.layout.gates);
        let inputs = match table {
            Some((table, _)) => vec![Segment {
                dz: &table.z,
                row: line,
                block: table.capacity * line,
                x: table.x.data(),
                stride: table.x.stride,
                rows: table.len,
            }],
            None => {
                let rows = |p| {
                    let part: &Part<T> = p;
                    let x = &part.slots[self.input];
                    whole(line, part.group.len, &part.tapes[self.tape].z, x.at(0), x.stride)
                };
                parts.iter().map(rows).collect()
            }
        };
        let ih = &mut gradient[parameters.range(self.weights.ih)];
        match table {
            Some((table, tokens)) if table.x.stride == 0 => {
                self.target(&input).scatter(
                    crew,
                    &table.z,
                    [line, table.capacity * line],
                    tokens,
                    self.width,
                    ih,
                );
            }
            _ => self.target(&input).outer(crew, &inputs, self.width, ih),
        }
        if let Some([ih, hh]) = self.weights.bias {
            self.target(&input).sums(crew, &inputs, &mut gradient[parameters.range(ih)]);
            self.target(&self.recurrent_slots()).sums(crew, &inputs, &mut gradient[parameters.range(hh)]);
        }

        for product in self.layout.products {
            let segments = self.recurrent_segments(parts, product.operand);
            let weight = match (product.operand, self.weights.ch) {
                (Operand::C, Some(ch)) => parameters.range(ch),
                _ => parameters.range(self.weights.hh),
            };
            // A product may own only some of the weight's gates: those from its first gate on.
            let first = product.gates.iter().copied().min().unwrap_or(0);
            let slots = self.slots_of(product.gates, product.slot, first + product.gates.len());
            let own = &mut gradient[weight][first * self.hidden * self.hidden..];
            self.target(&slots[first..]).outer(crew, &segments, self.hidden, own);
        }
        if let (Cell::Lstm(form), Some(ch), 1) = (self.cell, self.weights.ch, self.layout.products.len()) {
            let own = &mut gradient[parameters.range(ch)];
            let (two, last) = own.split_at_mut(2 * self.hidden);
            let before = self.memory_segments(parts, false);
            let after = self.memory_segments(parts, true);
            self.target(&[0, 1]).diagonal(crew, &before, two);
            self.target(&[2]).diagonal(crew, form.output_gate_sees(&before, &after), last);
        }
    }

    fn target<'s>(&self, slots: &'s [usize]) -> Target<'s> {
        Target { isa: self.isa, lanes: self.lanes, hidden: self.hidden, slots }
    }

    /// For each gate of a weight, the slot it feeds.
    fn slots_of(&self, gates: &[usize], first_slot: usize, count: usize) -> Vec<usize> {
        let mut slots = vec![0; count];
        for (i, &gate) in gates.iter().enumerate() {
            slots[gate] = first_slot + i;
        }
        slots
    }

    /// For each gate of `weight_hh` and `bias_hh`, the slot it feeds.
    fn recurrent_slots(&self) -> Vec<usize> {
        let mut slots = vec![0; self.layout.gates];
        for product in self.layout.products.iter().filter(|p| p.operand != Operand::C) {
            for (i, &gate) in product.gates.iter().enumerate() {
                slots[gate] = product.slot + i;
            }
        }
        slots
    }

    fn recurrent_segments<'a>(&self, parts: &'a [Part<T>], operand: Operand) -> Vec<Segment<'a, T>> {
        let line = self.line();
        let of_part = |p: &'a Part<T>| {
            let (tape, block) = (&p.tapes[self.tape], p.group.len * line);
            let segment = move |row: usize, rows, x, stride| Segment {
                dz: &tape.z[row * line..],
                row: line,
                block,
                x,
                stride,
                rows,
            };
            match operand {
                Operand::ResetH => vec![segment(0, p.group.len, tape.reset.at(0), tape.reset.stride)],
                Operand::H | Operand::C => {
                    let source = if operand == Operand::H { &p.slots[self.out] } else { &tape.c };
                    let rows = p.runs.iter().map(|run| {
                        let x = &source.data()[run.prev * source.stride..];
                        segment(run.row, run.len, x, source.stride)
                    });
                    rows.collect()
                }
            }
        };
        parts.iter().flat_map(of_part).collect()
    }

    /// c before each step, or after it.
    fn memory_segments<'a>(&self, parts: &'a [Part<T>], after: bool) -> Vec<Segment<'a, T>> {
        if !after {
            return self.recurrent_segments(parts, Operand::C);
        }
        let line = self.line();
        let of_part = |p: &'a Part<T>| {
            let tape = &p.tapes[self.tape];
            whole(line, p.group.len, &tape.z, tape.c.at(0), tape.c.stride)
        };
        parts.iter().map(of_part).collect()
    }
}

/// All rows of a tape.
fn whole<'a, T>(line: usize, rows: usize, dz: &'a [T], x: &'a [T], stride: usize) -> Segment<'a, T> {
    Segment { dz, row: line, block: rows * line, x, stride, rows }
}
