//! The weights of one recurrent layer, and their gradients, as plain vectors.

use super::super::Reference;
use super::super::vectors::add;
use super::super::work::Work;
use crate::cells::Lanes;
use crate::float::Float;
use crate::params::ParamId;
use crate::program::Recurrence;
use crate::rng::Kind;

/// The weights of a layer, or their gradients. A bias that the layer lacks is zeros, everything
/// else that it lacks is empty.
pub(super) struct Weights<T> {
    pub ih: Vec<T>,
    pub hh: Vec<T>,
    pub bias_ih: Vec<T>,
    pub bias_hh: Vec<T>,
    pub ch: Vec<T>,
    pub hr: Vec<T>,
    pub gain_ih: Vec<T>,
    pub gain_hh: Vec<T>,
    pub gain_c: Vec<T>,
    pub bias_c: Vec<T>,
    /// Of attention.
    pub query: Vec<T>,
    pub key: Vec<T>,
    pub vector: Vec<T>,
    pub context: Vec<T>,
}

impl<T: Float + Lanes> Weights<T> {
    /// Zeros.
    pub fn zeros(net: &Reference<T>, scan: &Recurrence) -> Self {
        let zeros = |n| vec![T::ZERO; n];
        let mut weights = Self {
            ih: zeros(0),
            hh: zeros(0),
            bias_ih: zeros(0),
            bias_hh: zeros(0),
            ch: zeros(0),
            hr: zeros(0),
            gain_ih: zeros(0),
            gain_hh: zeros(0),
            gain_c: zeros(0),
            bias_c: zeros(0),
            query: zeros(0),
            key: zeros(0),
            vector: zeros(0),
            context: zeros(0),
        };
        for (id, values) in weights.each(scan) {
            *values = zeros(net.values(id).len());
        }
        let rows = scan.cell.layout().gates * scan.hidden;
        weights.bias_ih.resize(rows, T::ZERO);
        weights.bias_hh.resize(rows, T::ZERO);
        weights
    }

    /// The network's, the recurrent ones under their mask (DropConnect, Merity et al. 2018).
    pub fn of(net: &Reference<T>, work: &Work<T>, scan: &Recurrence) -> Self {
        let mut weights = Self::zeros(net, scan);
        for (id, values) in weights.each(scan) {
            values.copy_from_slice(net.values(id));
        }
        drop_connections(work, scan, &mut weights.hh);
        weights
    }

    /// Adds gradients of [`Weights::of`] to the network's.
    pub fn add_to(mut self, net: &Reference<T>, work: &mut Work<T>, scan: &Recurrence) {
        drop_connections(work, scan, &mut self.hh);
        for (id, values) in self.each(scan) {
            add(&mut work.gradient[net.program.parameters.range(id)], T::ONE, values);
        }
    }

    fn each(&mut self, scan: &Recurrence) -> Vec<(ParamId, &mut Vec<T>)> {
        let (ids, attention) = (&scan.weights, scan.attention.map(|attention| attention.weights));
        let memory = ids.norm.and_then(|norm| norm.memory);
        let each = [
            (Some(ids.ih), &mut self.ih),
            (ids.hh, &mut self.hh),
            (ids.bias_ih, &mut self.bias_ih),
            (ids.bias_hh, &mut self.bias_hh),
            (ids.ch, &mut self.ch),
            (ids.hr, &mut self.hr),
            (ids.norm.map(|norm| norm.gain_ih), &mut self.gain_ih),
            (ids.norm.map(|norm| norm.gain_hh), &mut self.gain_hh),
            (memory.map(|[gain, _]| gain), &mut self.gain_c),
            (memory.map(|[_, bias]| bias), &mut self.bias_c),
            (attention.and_then(|w| w.query), &mut self.query),
            (attention.and_then(|w| w.key), &mut self.key),
            (attention.and_then(|w| w.vector), &mut self.vector),
            (attention.and_then(|w| w.context), &mut self.context),
        ];
        each.into_iter().filter_map(|(id, values)| Some((id?, values))).collect()
    }
}

/// `weight_hh`, or its gradient, times the mask of this run.
fn drop_connections<T: Float>(work: &Work<T>, scan: &Recurrence, hh: &mut [T]) {
    for (row, weights) in hh.chunks_exact_mut(scan.width).enumerate() {
        let mask = work.mask(Kind::WeightDropout, scan.layer, scan.noise.weights, [0, row], scan.width);
        weights.iter_mut().zip(mask).for_each(|(weight, m)| *weight *= m);
    }
}
