//! One recurrent layer: its packed weights. The products with its input are in [`input`]; the run through the steps
//! in [`steps`], the way back in [`back`], which groups go [`together`]; what each group does in one of them in [`step`],
//! what threads share of one in [`shared`]; what some layers have in their steps in [`behind`], [`normalise`] and
//! [`attention`], their random masks in [`masks`]; the weight gradients in [`gradients`], the state in and out in
//! [`states`], what is kept of a run in [`tape`].

mod attend;
mod attention;
mod back;
mod behind;
mod gradients;
mod input;
mod masks;
mod normalise;
mod pack;
mod shared;
mod states;
mod step;
mod steps;
mod tape;
mod together;

use attend::Attend;
use normalise::ScanNorm;

use super::context::Reach;
use super::gemm::Left;
use super::math::Elementary;
use super::packed::Packed;
use super::panels::{KEPT, MOST_VECTORS};
use super::scratch::Buffer;
use super::simd::{Isa, Strides};
use crate::backend::Precision;
use crate::cells::{Layout, Operand, Product, Seen};
use crate::params::ParamId;
use crate::program::{Recurrence, SlotId};

/// Where a layer that is fed by tokens finds them.
#[derive(Clone, Copy)]
pub(super) struct Tokens {
    /// The slot of tokens it reads.
    pub(super) slot: SlotId,
    /// The embedding in between, with its dropout; none: one-hot.
    pub(super) embedding: Option<(ParamId, f64)>,
}

/// A recurrent layer with its weights packed.
pub(super) struct Scan<T> {
    pub(super) recurrence: Recurrence,
    pub(super) layout: Layout,
    pub(super) input: Reach,
    /// Present where the input may be tokens.
    pub(super) tokens: Option<Tokens>,
    /// I.
    pub(super) inputs: usize,
    /// This layer's place among the tapes.
    pub(super) tape: usize,
    pub(super) isa: Isa,
    pub(super) precision: Precision,
    pub(super) lanes: usize,
    /// Unit blocks of one register.
    pub(super) blocks: usize,
    /// b_ih + b_hh of each slot, `[H / L][S·L]`.
    bias: Buffer<T>,
    /// Peephole weights, each padded to whole registers; or nothing.
    peephole: [Buffer<T>; 3],
    /// W_ih, and its transpose for the input's gradient; absent for a one-hot input.
    input_product: Option<Packed<T>>,
    /// Each recurrent product's weight and its transpose.
    pub(super) products: Vec<Packed<T>>,
    /// For each gate of W_ih and of W_hh, the slot it feeds.
    input_slots: Vec<usize>,
    recurrent_slots: Vec<usize>,
    /// For each recurrent product, the slots that its weight's gates feed.
    product_slots: Vec<Vec<usize>>,
    /// W_hr and its transpose.
    projection: Option<Packed<T>>,
    norm: Option<ScanNorm<T>>,
    pub(super) attend: Option<Attend<T>>,
}

impl<T: Elementary> Scan<T> {
    pub(super) fn new(
        recurrence: &Recurrence,
        tokens: Option<Tokens>,
        always_tokens: bool,
        inputs: usize,
        tape: usize,
        isa: Isa,
        precision: Precision,
    ) -> Self {
        let (layout, lanes, hidden) = (recurrence.cell.layout(), isa.lanes::<T>(), recurrence.hidden);
        let blocks = hidden.div_ceil(lanes);
        let line = blocks * layout.slots * lanes;
        let peephole = |k: usize| Buffer::new(if k < layout.peepholes.len() { blocks * lanes } else { 0 });
        let one_hot = always_tokens && tokens.is_some_and(|tokens| tokens.embedding.is_none());
        let width = recurrence.width;
        let (input_slots, recurrent_slots) = (layout.input_slots(), layout.recurrent_slots());
        let norm = recurrence.weights.norm.map(|norm| ScanNorm::new(norm, &layout, blocks, lanes));
        let mut scan = Self {
            recurrence: recurrence.clone(),
            layout,
            input: Reach::new(recurrence.input),
            tokens,
            inputs,
            tape,
            isa,
            precision,
            lanes,
            blocks,
            bias: Buffer::new(line),
            peephole: [0, 1, 2].map(peephole),
            input_product: (!one_hot)
                .then(|| Packed::gates(precision, inputs, blocks, layout.input.len(), lanes)),
            products: Vec::new(),
            input_slots,
            recurrent_slots,
            product_slots: layout.products.iter().map(Product::slots).collect(),
            projection: recurrence.weights.hr.map(|_| Packed::matrix(precision, width, hidden, lanes)),
            norm,
            attend: recurrence
                .attention
                .map(|attention| Attend::new(attention, [width, blocks, layout.input.len()], isa, precision)),
        };
        scan.products = scan.empty_products();
        scan
    }

    /// Room for the recurrent products.
    fn empty_products(&self) -> Vec<Packed<T>> {
        let room = |p: &Product| {
            Packed::gates(self.precision, self.terms(p.operand), self.blocks, p.gates.len(), self.lanes)
        };
        self.layout.products.iter().map(room).collect()
    }

    /// Numbers of what a recurrent product multiplies.
    fn terms(&self, operand: Operand) -> usize {
        if operand == Operand::C { self.recurrence.hidden } else { self.recurrence.width }
    }

    /// Numbers of one packed row in one unit block.
    pub(super) fn line(&self) -> usize {
        self.layout.slots * self.lanes
    }

    /// Whether a step is the products and the cell's own, and nothing else.
    pub(super) fn is_plain(&self) -> bool {
        let attends = self.attend.is_some();
        !attends
            && !self.normalises()
            && self.projection.is_none()
            && self.recurrence.noise.zoneout == [0.0; 2]
    }

    /// Multiplications of the recurrent products for one row of a unit block, and one for the rest.
    pub(super) fn block_operations(&self) -> usize {
        let of = |p: &Product| p.gates.len() * self.lanes * self.terms(p.operand);
        1 + self.layout.products.iter().map(of).sum::<usize>()
    }

    /// Blocks that are multiplied at a time: several, where a product has one register of each, or where a group
    /// has the weights to itself.
    pub(super) fn at_once(&self) -> usize {
        let narrow = self.layout.input.len() == 1 || self.layout.products.iter().any(|p| p.gates.len() == 1);
        if narrow || !self.is_wide() { MOST_VECTORS } else { 1 }
    }

    /// Numbers of the recurrent weights, about.
    fn weights(&self) -> usize {
        self.blocks * self.block_operations()
    }

    /// Whether the weights of the recurrent products do not stay in a cache of a core's own: then groups go through
    /// them side by side.
    pub(super) fn is_wide(&self) -> bool {
        self.weights() * size_of::<T>() > KEPT
    }

    /// Whether a gate sees the memory after the step.
    fn sees_after(&self) -> bool {
        self.layout.peepholes.iter().any(|sight| sight.seen == Seen::After)
    }

    /// b_ih + b_hh of a unit block.
    pub(super) fn bias(&self, block: usize) -> &[T] {
        &self.bias[block * self.line()..][..self.line()]
    }

    /// Slots `slot .. slot + gates` of all unit blocks as the left-hand matrix of a product.
    fn gradients<'a>(&self, rows: usize, z: &'a [T], slot: usize, gates: usize) -> Left<'a, T> {
        let line = self.line();
        Left {
            data: &z[slot * self.lanes..],
            at: Strides { row: line, term: 1, block: rows * line },
            blocks: self.blocks,
            terms: gates * self.lanes,
        }
    }
}
