//! Attention pooling (Yang et al. 2016): u⟨t⟩ = tanh(W x⟨t⟩ + b), a = softmax_t(c · u⟨t⟩),
//! y = Σ_t a_t x⟨t⟩.

use super::context::{Context, Reach};
use super::fresh::Fresh;
use super::gemm::{Left, Start};
use super::local::Local;
use super::math::{Elementary, add};
use super::outer::{Outer, outer};
use super::packed::Packed;
use super::part::Part;
use super::scratch::{Buffer, Rows};
use super::segments::Segment;
use super::simd::Isa;
use super::threads::Crew;
use super::weights::Target;
use crate::backend::Precision;
use crate::params::ParamId;
use crate::program::SlotId;

/// The op.
pub(super) struct AttentionPool<T> {
    input: Reach,
    out: SlotId,
    /// W, b and c.
    weights: [ParamId; 3],
    width: usize,
    size: usize,
    isa: Isa,
    precision: Precision,
    bias: Buffer<T>,
    context: Buffer<T>,
    /// W and its transpose.
    packed: Packed<T>,
}

impl<T: Elementary> AttentionPool<T> {
    pub(super) fn new(
        [input, out]: [SlotId; 2],
        weights: [ParamId; 3],
        [width, size]: [usize; 2],
        isa: Isa,
        precision: Precision,
    ) -> Self {
        let lanes = isa.lanes::<T>();
        let padded = || Buffer::new(size.next_multiple_of(lanes));
        Self {
            input: Reach::new(input),
            out,
            weights,
            width,
            size,
            isa,
            precision,
            bias: padded(),
            context: padded(),
            packed: Packed::matrix(precision, size, width, lanes),
        }
    }
}

impl<T: Elementary> Local<T> for AttentionPool<T> {
    /// u, later its pre-activation's gradient; a; the gradient of c.
    fn scratch(&self, _batch: usize, rows: usize, lanes: usize) -> Vec<Rows<T>> {
        vec![
            Rows::new(0, rows, self.size, lanes),
            Rows::new(0, rows, 1, 1),
            Rows::new(0, 1, self.size, lanes),
        ]
    }

    fn pack(&mut self, weights: &mut Fresh<'_, T>) {
        let [weight, bias, context] = self.weights;
        self.bias[..self.size].copy_from_slice(weights.of(bias));
        self.context[..self.size].copy_from_slice(weights.of(context));
        weights.pack_matrix(weight, self.width, &mut self.packed);
    }

    fn forward(&self, part: &mut Part<T>, own: &mut [Rows<T>], _run: &Context<'_, T>) {
        let [u, a, _] = own else { unreachable!("asked for in scratch") };
        let (x, stride) = (&part.slots[self.input.slot], u.stride);
        let left = Left::rows(x.at(0), x.stride, self.width);
        self.packed.product(self.isa, part.group.len, left, Start::Row(&self.bias), u.at_mut(0), stride);
        for row in 0..part.group.len {
            let (line, context) = (&mut u.at_mut(row)[..self.size], &self.context);
            line.iter_mut().for_each(|x| *x = crate::float::Float::tanh(*x));
            a.at_mut(row)[0] = line.iter().zip(&context[..]).fold(T::ZERO, |sum, (&u, &c)| sum + u * c);
        }
        part.with_slot(self.out, |part, out| {
            let x = &part.slots[self.input.slot];
            for i in 0..part.group.rows.len() {
                let to = &mut out.at_mut(i)[..self.width];
                to.fill(T::ZERO);
                let scores = part.group.of_row(i).map(|row| a.at(row)[0]);
                let Some(top) = scores.reduce(|m, s| if s > m { s } else { m }) else { continue };
                let sum = part.group.of_row(i).fold(T::ZERO, |sum, row| sum + (a.at(row)[0] - top).exp());
                for row in part.group.of_row(i) {
                    let weight = (a.at(row)[0] - top).exp() / sum;
                    a.at_mut(row)[0] = weight;
                    to.iter_mut().zip(x.at(row)).for_each(|(to, &x)| *to += weight * x);
                }
            }
        });
    }

    fn backward(&self, part: &mut Part<T>, own: &mut [Rows<T>], _run: &Context<'_, T>) {
        let [u, a, d_context] = own else { unreachable!("asked for in scratch") };
        d_context.data.fill(T::ZERO);
        part.with_gradient(self.input.slot, |part, dx| {
            let (x, dy, y) = (&part.slots[self.input.slot], &part.d_slots[self.out], &part.slots[self.out]);
            for i in 0..part.group.rows.len() {
                let (dy, y) = (&dy.at(i)[..self.width], &y.at(i)[..self.width]);
                for row in part.group.of_row(i) {
                    let (weight, x) = (a.at(row)[0], x.at(row));
                    self.input.put_row(dx.row_mut(row), dy.iter().map(|&d| d * weight));
                    // ds_t = a_t (dy · x_t − Σ_s a_s dy · x_s), and that sum is dy · y.
                    let along = (0..self.width).fold(T::ZERO, |sum, k| sum + dy[k] * (x[k] - y[k]));
                    let d_score = weight * along;
                    let line = &mut u.at_mut(row)[..self.size];
                    for ((u, d), &c) in line.iter_mut().zip(&mut d_context.data[..]).zip(&self.context[..]) {
                        *d += d_score * *u;
                        *u = d_score * c * (T::ONE - *u * *u);
                    }
                }
            }
            let (rows, stride) = (part.group.len, dx.stride);
            let left = Left::rows(u.at(0), u.stride, self.size);
            self.packed.product_back(self.isa, rows, left, Start::There, dx.at_mut(0), stride);
        });
    }

    fn weight_gradients(
        &self,
        crew: Crew,
        op: usize,
        parts: &[Part<T>],
        run: &Context<'_, T>,
        gradient: &mut [T],
    ) {
        let lanes = self.isa.lanes::<T>();
        let of_part = |part| {
            let part: &Part<T> = part;
            let (dz, x) = (&part.scratch[op][0], &part.slots[self.input.slot]);
            Segment {
                dz: dz.at(0),
                unit: 1,
                row: dz.stride,
                block: lanes,
                x: x.at(0),
                stride: x.stride,
                rows: part.group.len,
            }
        };
        let segments = parts.iter().map(of_part);
        let target =
            Target { isa: self.isa, precision: self.precision, lanes, hidden: self.size, slots: &[0] };
        let [weight, bias, context] = self.weights.map(|id| run.parameters.range(id));
        let ranges = [weight, bias];
        let [own, bias] = gradient.get_disjoint_mut(ranges).expect("parameters lie apart");
        let own = Outer { target, segments, terms: self.width, gradient: own, bias };
        outer(crew, [Some(own), None, None], run.operands);
        for part in parts {
            add(&mut gradient[context.clone()], &part.scratch[op][2].data);
        }
    }

    fn reaches(&mut self) -> Vec<&mut Reach> {
        vec![&mut self.input]
    }
}
