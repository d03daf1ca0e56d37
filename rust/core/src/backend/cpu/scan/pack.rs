//! Packing a layer's weights, as they are or with some of them dropped.

use super::super::fresh::Fresh;
use super::super::math::Elementary;
use super::super::noise::choose;
use super::super::packed::Packed;
use super::super::packing::Rows;
use super::super::source::Weight;
use super::super::threads::Crew;
use super::Scan;
use crate::cells::Operand;
use crate::params::Parameters;
use crate::program::DropoutKey;
use crate::rng::{Kind, Stream};

impl<T: Elementary> Scan<T> {
    /// Packs the weights anew.
    pub(in super::super) fn pack(&mut self, all: &mut Fresh<'_, T>) {
        let (lanes, hidden, line) = (self.lanes, self.recurrence.hidden, self.line());
        let weights = self.recurrence.weights;
        // Adds H numbers of each gate to the slots they belong to.
        let spread = |to: &mut [T], from: &[T], slots: &[usize]| {
            for (gate, &slot) in from.chunks_exact(hidden).zip(slots) {
                for (u, &x) in gate.iter().enumerate() {
                    to[u / lanes * line + slot * lanes + u % lanes] += x;
                }
            }
        };
        let (input_slots, recurrent_slots) = (&self.input_slots, &self.recurrent_slots);
        self.bias.fill(T::ZERO);
        for (bias, slots) in [(weights.bias_ih, input_slots), (weights.bias_hh, recurrent_slots)] {
            if let Some(bias) = bias {
                spread(&mut self.bias, all.of(bias), slots);
            }
        }
        if let (Some(own), Some(norm)) = (&mut self.norm, weights.norm) {
            own.input.fill(T::ZERO);
            own.recurrent.fill(T::ZERO);
            spread(&mut own.input, all.of(norm.gain_ih), input_slots);
            spread(&mut own.recurrent, all.of(norm.gain_hh), recurrent_slots);
            for (padded, id) in own.memory.iter_mut().flatten().zip(norm.memory.iter().flatten()) {
                padded[..hidden].copy_from_slice(all.of(*id));
            }
        }
        if let Some(ch) = weights.ch.filter(|_| !self.layout.peepholes.is_empty()) {
            for (padded, own) in self.peephole.iter_mut().zip(all.of(ch).chunks_exact(hidden)) {
                padded[..hidden].copy_from_slice(own);
            }
        }
        if let (Some(packed), Some(weight)) = (&mut self.projection, weights.hr) {
            all.pack_matrix(weight, hidden, packed);
        }
        let rows = |gates| Rows { gates, of_gate: hidden, strip: lanes };
        if let Some(packed) = &mut self.input_product {
            all.pack_gates(weights.ih, self.inputs, rows(self.layout.input), packed);
        }
        if let Some(attend) = &mut self.attend {
            attend.pack(all, rows(self.layout.input));
        }
        for (packed, product) in self.products.iter_mut().zip(self.layout.products) {
            let (weight, terms) = match product.operand {
                Operand::C => (weights.ch, hidden),
                Operand::H | Operand::ResetH => (weights.hh, self.recurrence.width),
            };
            if let Some(weight) = weight {
                all.pack_gates(weight, terms, rows(product.gates), packed);
            }
        }
    }

    /// Packs the recurrent products with W_hh under its dropout mask.
    pub(in super::super) fn pack_dropped(
        &self,
        products: &mut Option<Vec<Packed<T>>>,
        crew: Crew,
        parameters: &Parameters,
        values: &[T],
        key: DropoutKey,
    ) {
        let weights = self.recurrence.weights;
        let Some(hh) = weights.hh else { return };
        let mut dropped = values[parameters.range(hh)].to_vec();
        self.drop_weights(key, &mut dropped);
        let products = products.get_or_insert_with(|| self.empty_products());
        for (packed, product) in products.iter_mut().zip(self.layout.products) {
            let weight = match product.operand {
                Operand::C => weights.ch.map(|ch| &values[parameters.range(ch)]),
                Operand::H | Operand::ResetH => Some(&dropped[..]),
            };
            let rows = Rows { gates: product.gates, of_gate: self.recurrence.hidden, strip: self.lanes };
            if let Some(weight) = weight {
                packed.pack_gates(crew, self.isa, Weight::Still(weight), self.terms(product.operand), rows);
            }
        }
    }

    /// Multiplies numbers laid out as W_hh by its dropout mask (DropConnect, Wan et al. 2013).
    pub(in super::super) fn drop_weights(&self, key: DropoutKey, numbers: &mut [T]) {
        let keep = 1.0 - self.recurrence.noise.weights;
        let stream = Stream::new(key.seed, Kind::WeightDropout, self.recurrence.layer as u32, key.step);
        let mut mask = vec![T::ZERO; self.recurrence.width];
        for (row, numbers) in numbers.chunks_exact_mut(self.recurrence.width).enumerate() {
            choose(self.isa, stream, [0, row], keep, 1.0 / keep, &mut mask);
            numbers.iter_mut().zip(&mask).for_each(|(x, &m)| *x *= m);
        }
    }
}
