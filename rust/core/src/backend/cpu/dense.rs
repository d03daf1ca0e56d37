//! The ops without time over one group, each forward beside its backward.

use super::gemm::{Left, Start};
use super::math::Elementary;
use super::panels::{Panels, transpose_into};
use super::part::Part;
use super::scratch::Buffer;
use super::simd::{Isa, Task};
use super::threads::Crew;
use super::tokens::add;
use super::weights::{Segment, Target};
use crate::params::{ParamId, Parameters};
use crate::program::{DropoutKey, SlotId};
use crate::rng::{Kind, Stream};
use std::mem::take;

/// An embedding whose rows are needed one by one (something stands between it and the layer).
pub(super) struct Gather {
    pub(super) table: ParamId,
    pub(super) out: SlotId,
    pub(super) width: usize,
}

impl Gather {
    pub(super) fn forward<T: Elementary>(&self, part: &mut Part<T>, table: &[T], tokens: &[i32]) {
        let out = &mut part.slots[self.out];
        for (row, &place) in part.token_rows.iter().enumerate() {
            let to = &mut out.at_mut(row)[..self.width];
            match usize::try_from(tokens[place as usize]) {
                Ok(token) => to.copy_from_slice(&table[token * self.width..][..self.width]),
                Err(_) => to.fill(T::ZERO),
            }
        }
    }

    /// Adds every row's gradient to its token's, group by group and row by row.
    pub(super) fn weight_gradients<T: Elementary>(
        &self,
        parts: &[Part<T>],
        tokens: &[i32],
        gradient: &mut [T],
    ) {
        for part in parts {
            let d = &part.d_slots[self.out];
            for (row, &place) in part.token_rows.iter().enumerate() {
                if let Ok(token) = usize::try_from(tokens[place as usize]) {
                    add(&mut gradient[token * self.width..][..self.width], d.at(row));
                }
            }
        }
    }
}

/// Dropout; in a run without training its output is its input.
pub(super) struct Dropout {
    pub(super) input: SlotId,
    pub(super) out: SlotId,
    pub(super) width: usize,
    pub(super) p: f64,
    pub(super) site: u32,
    pub(super) accumulate: bool,
    pub(super) isa: Isa,
}

impl Dropout {
    pub(super) fn forward<T: Elementary>(&self, part: &mut Part<T>, key: Option<DropoutKey>) {
        let mut out = take(&mut part.slots[self.out]);
        let (input, stride) = (&part.slots[self.input], out.stride);
        self.apply(part, key, input.at(0), input.stride, Start::Zero, out.at_mut(0), stride);
        part.slots[self.out] = out;
    }

    pub(super) fn backward<T: Elementary>(&self, part: &mut Part<T>, key: Option<DropoutKey>) {
        let mut d_in = take(&mut part.d_slots[self.input]);
        let (d_out, stride) = (&part.d_slots[self.out], d_in.stride);
        let start = if self.accumulate { Start::There } else { Start::Zero };
        self.apply(part, key, d_out.at(0), d_out.stride, start, d_in.at_mut(0), stride);
        part.d_slots[self.input] = d_in;
    }

    fn apply<T: Elementary>(
        &self,
        part: &Part<T>,
        key: Option<DropoutKey>,
        from: &[T],
        from_stride: usize,
        start: Start<'_, T>,
        to: &mut [T],
        to_stride: usize,
    ) {
        let stream = key.map(|key| Stream::new(key.seed, Kind::Dropout, self.site, key.step));
        let mut mask = vec![T::ONE; self.width];
        for (b, t, row) in part.group.places() {
            if let Some(stream) = stream {
                self.isa.run(Mask {
                    stream,
                    t: t as u32,
                    row: b as u32,
                    keep: 1.0 - self.p,
                    mask: &mut mask,
                });
            }
            let from = &from[row * from_stride..][..self.width];
            let to = &mut to[row * to_stride..][..self.width];
            let there = matches!(start, Start::There);
            for ((to, &x), &m) in to.iter_mut().zip(from).zip(&mask) {
                *to = if there { *to + x * m } else { x * m };
            }
        }
    }
}

struct Mask<'a, T> {
    stream: Stream,
    t: u32,
    row: u32,
    keep: f64,
    mask: &'a mut [T],
}

impl<T: Elementary> Task<T> for Mask<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const FMA: bool>(self) {
        self.stream.keep_mask_row(self.t, self.row, self.keep, self.mask);
    }
}

/// y = x Wᵀ + b.
pub(super) struct Linear<T> {
    pub(super) input: SlotId,
    pub(super) out: SlotId,
    weight: ParamId,
    bias: ParamId,
    /// Columns of x and of y.
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) accumulate: bool,
    pub(super) isa: Isa,
    /// b, padded to whole registers with numbers no softmax can see.
    padded_bias: Buffer<T>,
    forward: Panels<T>,
    backward: Panels<T>,
}

impl<T: Elementary> Linear<T> {
    pub(super) fn new(
        [input, out]: [SlotId; 2],
        [weight, bias]: [ParamId; 2],
        [from, to]: [usize; 2],
        isa: Isa,
    ) -> Self {
        let lanes = isa.lanes::<T>();
        Self {
            input,
            out,
            weight,
            bias,
            from,
            to,
            accumulate: false,
            isa,
            padded_bias: Buffer::new(to.next_multiple_of(lanes)),
            forward: Panels::columns(from, to, lanes),
            backward: Panels::columns(to, from, lanes),
        }
    }

    pub(super) fn pack(&mut self, crew: Crew, parameters: &Parameters, values: &[T]) {
        let (weight, from, to) = (&values[parameters.range(self.weight)], self.from, self.to);
        self.padded_bias.fill(T::from_f64(-3e38));
        self.padded_bias[..to].copy_from_slice(&values[parameters.range(self.bias)]);
        self.forward.fill(crew, |_, column, width, panel| {
            let rows = width.min(to - column);
            transpose_into(&weight[column * from..][..rows * from], from, panel, width, 0);
        });
        self.backward.fill(crew, |_, column, width, panel| {
            let count = width.min(from - column);
            for (row, line) in weight.chunks_exact(from).zip(panel.chunks_exact_mut(width)) {
                line[..count].copy_from_slice(&row[column..][..count]);
            }
        });
    }

    /// `rows` rows of y from rows of x.
    pub(super) fn product(&self, rows: usize, x: &[T], x_stride: usize, y: &mut [T], y_stride: usize) {
        let a = Left::rows(x, x_stride, self.from);
        self.forward.product(self.isa, rows, a, Start::Row(&self.padded_bias), y, y_stride);
    }

    /// `rows` rows of dx from rows of dy.
    pub(super) fn product_backward(
        &self,
        rows: usize,
        dy: &[T],
        dy_stride: usize,
        dx: &mut [T],
        dx_stride: usize,
    ) {
        let start = if self.accumulate { Start::There } else { Start::Zero };
        let a = Left::rows(dy, dy_stride, self.to);
        self.backward.product(self.isa, rows, a, start, dx, dx_stride);
    }

    pub(super) fn forward(&self, part: &mut Part<T>) {
        let mut y = take(&mut part.slots[self.out]);
        let (x, stride) = (&part.slots[self.input], y.stride);
        self.product(part.group.len, x.at(0), x.stride, y.at_mut(0), stride);
        part.slots[self.out] = y;
    }

    pub(super) fn backward(&self, part: &mut Part<T>) {
        let mut dx = take(&mut part.d_slots[self.input]);
        let (dy, stride) = (&part.d_slots[self.out], dx.stride);
        self.product_backward(part.group.len, dy.at(0), dy.stride, dx.at_mut(0), stride);
        part.d_slots[self.input] = dx;
    }

    /// Gradients kept in the slots, as segments.
    pub(super) fn segments<'a>(&self, parts: &'a [Part<T>]) -> Vec<Segment<'a, T>> {
        let of_part = |p: &'a Part<T>| {
            let (dy, x) = (&p.d_slots[self.out], &p.slots[self.input]);
            let block = self.isa.lanes::<T>();
            Segment { dz: dy.at(0), row: dy.stride, block, x: x.at(0), stride: x.stride, rows: p.group.len }
        };
        parts.iter().map(of_part).collect()
    }

    pub(super) fn weight_gradients(
        &self,
        crew: Crew,
        segments: &[Segment<'_, T>],
        parameters: &Parameters,
        gradient: &mut [T],
    ) {
        let target = Target { isa: self.isa, lanes: self.isa.lanes::<T>(), hidden: self.to, slots: &[0] };
        target.outer(crew, segments, self.from, &mut gradient[parameters.range(self.weight)]);
        target.sums(crew, segments, &mut gradient[parameters.range(self.bias)]);
    }
}
