//! A layer's attention to the memory of a group: see [`crate::program::Attention`] for the equations.
//! Keys are made once a run; queries and contexts step by step (see [`super::attention`]).

use super::super::fresh::Fresh;
use super::super::gemm::{Left, Start};
use super::super::groups::Group;
use super::super::look::{Look, LookBack, Sight};
use super::super::math::{Elementary, add};
use super::super::memory::{Memory, Seen, fit};
use super::super::packed::Packed;
use super::super::packing::Rows as PackedRows;
use super::super::part::Part;
use super::super::scratch::{Buffer, Rows};
use super::super::simd::Isa;
use super::super::tape::AttendTape;
use super::super::threads::Crew;
use crate::backend::Precision;
use crate::program::{Attention, Score};
use std::mem::take;
use std::ops::Range;

/// Keys of a job.
const KEYS_AT_ONCE: usize = 64;

/// Attention with its weights packed.
pub(in super::super) struct Attend<T> {
    pub(in super::super) attention: Attention,
    /// Numbers in h.
    pub(super) width: usize,
    isa: Isa,
    /// W and U, where the score has them.
    query: Option<Packed<T>>,
    key: Option<Packed<T>>,
    /// v, padded; empty without one.
    vector: Buffer<T>,
    /// W_ch, where the cell sees the context.
    pub(super) sight: Option<Packed<T>>,
}

impl<T: Elementary> Attend<T> {
    pub(super) fn new(attention: Attention, scan: [usize; 3], isa: Isa, precision: Precision) -> Self {
        let ([width, blocks, gates], lanes) = (scan, isa.lanes::<T>());
        let Attention { size, memory, weights, score, .. } = attention;
        let additive = score == Score::Additive;
        Self {
            attention,
            width,
            isa,
            query: weights.query.map(|_| Packed::matrix(precision, size, width, lanes)),
            key: weights.key.map(|_| Packed::matrix(precision, size, memory, lanes)),
            vector: Buffer::new(if additive { size.next_multiple_of(lanes) } else { 0 }),
            sight: weights.context.map(|_| Packed::gates(precision, memory, blocks, gates, lanes)),
        }
    }

    /// A tape for a group of `batch` rows and `rows` packed rows.
    pub(super) fn tape(&self, batch: usize, rows: usize) -> AttendTape<T> {
        let (lanes, Attention { size, memory, .. }) = (self.isa.lanes::<T>(), self.attention);
        AttendTape {
            query: if self.query.is_some() { Rows::new(0, rows, size, lanes) } else { Rows::default() },
            d_query: Rows::new(0, rows, size, lanes),
            d_context: Rows::new(0, batch, memory, lanes),
            d_vector: Buffer::new(self.vector.len()),
            ..AttendTape::default()
        }
    }

    pub(super) fn pack(&mut self, all: &mut Fresh<'_, T>, rows: PackedRows) {
        let Attention { size, memory, weights, .. } = self.attention;
        if let (Some(packed), Some(id)) = (&mut self.query, weights.query) {
            all.pack_matrix(id, self.width, packed);
        }
        if let (Some(packed), Some(id)) = (&mut self.key, weights.key) {
            all.pack_matrix(id, memory, packed);
        }
        if let Some(id) = weights.vector {
            self.vector[..size].copy_from_slice(all.of(id));
        }
        if let (Some(packed), Some(id)) = (&mut self.sight, weights.context) {
            all.pack_gates(id, memory, rows, packed);
        }
    }

    /// Makes the keys, unless they are there, and room for the shares of `rows` packed rows.
    pub(super) fn start(&self, memory: &mut Memory<T>, tape: &mut AttendTape<T>, rows: usize, steps: usize) {
        if !memory.is_ready() {
            self.make_keys(Crew::ALONE, memory);
        }
        if tape.shares.data.len() < rows * steps {
            tape.shares.data = Buffer::new((rows * steps).next_power_of_two());
        }
        tape.shares.stride = steps;
    }

    /// U m of every step of a memory's own.
    pub(in super::super) fn make_keys(&self, crew: Crew, memory: &mut Memory<T>) {
        let Some(key) = &self.key else { return };
        let count = memory.len();
        let Seen { values, keys } = &mut memory.own;
        fit(keys, count, self.attention.size, self.isa.lanes::<T>());
        let stride = keys.stride;
        crew.chunks(&mut keys.data[..count * stride], KEYS_AT_ONCE * stride, |number, keys| {
            let values = (values.at(number * KEYS_AT_ONCE), values.stride);
            let left = Left::rows(values.0, values.1, self.attention.memory);
            key.product(self.isa, keys.len() / stride, left, Start::Zero, keys, stride);
        });
    }

    /// Step `t` of a group looks at the memory, with the rows of h from `from` on.
    pub(super) fn look(
        &self,
        group: &Group,
        t: usize,
        (h, from): (&Rows<T>, usize),
        memory: &Memory<T>,
        tape: &mut AttendTape<T>,
        context: &mut Rows<T>,
    ) {
        let (step, h, stride) = (group.steps[t], &h.data[from * h.stride..], h.stride);
        if let Some(query) = &self.query {
            let (left, to) = (Left::rows(h, stride, self.width), tape.query.stride);
            query.product(self.isa, step.active, left, Start::Zero, tape.query.at_mut(step.first), to);
        }
        for i in 0..step.active {
            let row = step.first + i;
            let query = if self.query.is_some() { tape.query.at(row) } else { &h[i * stride..] };
            let sight = self.sight_of(memory, query, &memory.of_row(i));
            let (shares, context) = (tape.shares.row_mut(row), context.row_mut(row));
            self.isa.run(Look { sight, shares, context });
        }
    }

    fn sight_of<'a>(&'a self, memory: &'a Memory<T>, query: &'a [T], steps: &Range<usize>) -> Sight<'a, T> {
        let Seen { values, keys } = memory.seen();
        Sight {
            query,
            keys: if self.key.is_some() { keys } else { values },
            values,
            steps: steps.clone(),
            vector: &self.vector,
            widths: [self.attention.size, self.attention.memory],
        }
    }

    /// Clears what the way back adds to.
    pub(super) fn start_back(&self, memory: &mut Memory<T>, tape: &mut AttendTape<T>) {
        let Attention { size, memory: width, .. } = self.attention;
        let (lanes, count) = (self.isa.lanes::<T>(), memory.len());
        for (rows, width) in [(&mut memory.d_values, width), (&mut memory.d_keys, size)] {
            fit(rows, count, width, lanes);
            let used = count * rows.stride;
            rows.data[..used].fill(T::ZERO);
        }
        tape.d_vector.fill(T::ZERO);
    }

    /// Back through the look of step `t`: from the context's gradient above, and from `dz`, that of what
    /// the cell saw of it, to the memory and to `dh`.
    pub(super) fn look_back(
        &self,
        part: &Part<T>,
        t: usize,
        (h, from): (&Rows<T>, usize),
        dz: Option<Left<'_, T>>,
        (memory, tape): (&mut Memory<T>, &mut AttendTape<T>),
        dh: &mut Rows<T>,
    ) {
        let (step, h, stride) = (part.group.steps[t], &h.data[from * h.stride..], h.stride);
        let (above, context) = (&part.d_slots[self.attention.context], &part.slots[self.attention.context]);
        let AttendTape { query, d_query, shares, d_context, d_vector, .. } = tape;
        let used = step.active * d_context.stride;
        d_context.data[..used].copy_from_slice(&above.at(step.first)[..used]);
        if let Some((sight, dz)) = self.sight.as_ref().zip(dz) {
            let stride = d_context.stride;
            sight.product_back(self.isa, step.active, dz, Start::There, &mut d_context.data, stride);
        }
        let (mut d_keys, mut d_values) = (take(&mut memory.d_keys), take(&mut memory.d_values));
        for i in 0..step.active {
            let row = step.first + i;
            let query = if self.query.is_some() { query.at(row) } else { &h[i * stride..] };
            self.isa.run(LookBack {
                sight: self.sight_of(memory, query, &memory.of_row(i)),
                shares: shares.at(row),
                context: context.at(row),
                d_context: d_context.at(i),
                d_query: d_query.row_mut(row),
                d_keys: &mut d_keys,
                d_values: &mut d_values,
                d_vector,
            });
        }
        (memory.d_keys, memory.d_values) = (d_keys, d_values);
        let stride = dh.stride;
        match &self.query {
            Some(query) => {
                let left = Left::rows(d_query.at(step.first), d_query.stride, self.attention.size);
                query.product_back(self.isa, step.active, left, Start::There, &mut dh.data, stride);
            }
            None => {
                let used = step.active * stride;
                add(&mut dh.data[..used], &d_query.at(step.first)[..used]);
            }
        }
    }

    /// From the gradients of the keys to those of the memory.
    pub(super) fn finish_back(&self, memory: &mut Memory<T>) {
        let count = memory.len();
        let Memory { d_values, d_keys, .. } = memory;
        let stride = d_values.stride;
        match &self.key {
            Some(key) => {
                let left = Left::rows(d_keys.at(0), d_keys.stride, self.attention.size);
                key.product_back(self.isa, count, left, Start::There, d_values.at_mut(0), stride);
            }
            None => add(&mut d_values.data[..count * stride], &d_keys.data[..count * stride]),
        }
    }
}
