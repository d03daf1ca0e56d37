//! Layer normalisation as an op: of the rows of one slot.

use super::context::{Context, Reach};
use super::fresh::Fresh;
use super::linear::Linear;
use super::local::Local;
use super::math::{Elementary, add};
use super::norm::{Gains, Norm, Spread};
use super::part::Part;
use super::scratch::{Buffer, Rows};
use super::simd::Isa;
use super::threads::Crew;
use crate::backend::Precision;
use crate::params::ParamId;
use crate::program::{Slot, SlotId};

/// The op.
pub(super) struct LayerNorm<T> {
    input: Reach,
    out: SlotId,
    kind: Slot,
    gain: ParamId,
    bias: ParamId,
    eps: f64,
    isa: Isa,
    padded_gain: Buffer<T>,
    padded_bias: Buffer<T>,
}

impl<T: Elementary> LayerNorm<T> {
    pub(super) fn new(
        [input, out]: [SlotId; 2],
        [gain, bias]: [ParamId; 2],
        eps: f64,
        kind: Slot,
        isa: Isa,
    ) -> Self {
        let padded = || Buffer::new(kind.width().next_multiple_of(isa.lanes::<T>()));
        let (padded_gain, padded_bias) = (padded(), padded());
        Self { input: Reach::new(input), out, kind, gain, bias, eps, isa, padded_gain, padded_bias }
    }

    fn norm(&self, row: usize) -> Norm<'_> {
        let spread = Spread { row, block: self.isa.lanes::<T>(), slots: &[0] };
        Norm { isa: self.isa, units: self.kind.width(), eps: self.eps, spread }
    }

    fn gains(&self) -> Gains<'_, T> {
        Gains { gain: &self.padded_gain, bias: Some(&self.padded_bias), block: self.isa.lanes::<T>() }
    }
}

impl<T: Elementary> Local<T> for LayerNorm<T> {
    /// x̂; each row's scale; the gradient of the gain.
    fn scratch(&self, batch: usize, rows: usize, lanes: usize) -> Vec<Rows<T>> {
        let (width, rows) = (self.kind.width(), if self.kind.is_pooled() { batch } else { rows });
        vec![Rows::new(0, rows, width, lanes), Rows::new(0, 1, rows, lanes), Rows::new(0, 1, width, lanes)]
    }

    fn pack(&mut self, weights: &mut Fresh<'_, T>) {
        let width = self.kind.width();
        self.padded_gain[..width].copy_from_slice(weights.of(self.gain));
        self.padded_bias[..width].copy_from_slice(weights.of(self.bias));
    }

    fn forward(&self, part: &mut Part<T>, own: &mut [Rows<T>], _run: &Context<'_, T>) {
        let [hat, scale, _] = own else { unreachable!("asked for in scratch") };
        let (rows, width) = (part.len(self.kind), self.kind.width());
        let input = &part.slots[self.input.slot];
        for r in 0..rows {
            hat.at_mut(r)[..width].copy_from_slice(&input.at(r)[..width]);
        }
        let out = &mut part.slots[self.out];
        let at = [out.stride, self.isa.lanes::<T>()];
        self.norm(hat.stride).forward(rows, &mut hat.data, self.gains(), out.at_mut(0), at, &mut scale.data);
    }

    fn backward(&self, part: &mut Part<T>, own: &mut [Rows<T>], _run: &Context<'_, T>) {
        let [hat, scale, d_gain] = own else { unreachable!("asked for in scratch") };
        let (rows, width) = (part.len(self.kind), self.kind.width());
        let dy = &part.d_slots[self.out];
        d_gain.data.fill(T::ZERO);
        let at = [dy.stride, self.isa.lanes::<T>()];
        let (dy, d_gain) = (dy.at(0), &mut d_gain.data);
        self.norm(hat.stride).backward(rows, &mut hat.data, self.gains(), dy, at, &scale.data, d_gain);
        let dx = &mut part.d_slots[self.input.slot];
        for r in 0..rows {
            self.input.put_row(dx.row_mut(r), hat.at(r)[..width].iter().copied());
        }
    }

    fn weight_gradients(
        &self,
        crew: Crew,
        op: usize,
        parts: &[Part<T>],
        run: &Context<'_, T>,
        gradient: &mut [T],
    ) {
        let gain = &mut gradient[run.parameters.range(self.gain)];
        for part in parts {
            add(gain, &part.scratch[op][2].data);
        }
        let segments = Linear::segments_of(self.isa, parts, self.kind, [self.input.slot, self.out]);
        let bias = &mut gradient[run.parameters.range(self.bias)];
        Linear::<T>::target(self.isa, Precision::Full, self.kind.width()).sums(crew, &segments, bias);
    }

    fn reaches(&mut self) -> Vec<&mut Reach> {
        vec![&mut self.input]
    }
}
