//! One recurrent layer: its packed weights and the products with its input. The run through the
//! steps is in [`steps`] and [`back`], that of few rows in [`shared`], its random masks in [`masks`], the weight gradients in
//! [`gradients`], the state in and out in [`states`], what is kept of a run in [`tape`].

mod attend;
mod back;
mod gradients;
mod masks;
mod pack;
mod shared;
mod states;
mod steps;
mod tape;

use attend::Attend;
pub(super) use steps::tail_mut;

use super::context::Reach;
use super::gemm::{Left, Start};
use super::math::Elementary;
use super::norm::{Gains, Norm, Spread};
use super::packed::{Operand as Rounded, Packed, Room};
use super::panels::{KEPT, MOST_VECTORS, Nth};
use super::scratch::Buffer;
use super::simd::{Isa, Strides};
use super::tape::{NormRows, Tape};
use super::threads::Crew;
use crate::backend::Precision;
use crate::cells::{Layout, Operand, Product, Seen};
use crate::params::ParamId;
use crate::program::{NORM_EPS, Recurrence, SlotId};
use std::ops::Range;

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
    /// Blocks that are multiplied at a time: several, where a product has one register of each, or where a group has
    /// the weights to itself.
    pub(super) at_once: usize,
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

/// The gains of a normalised layer, laid out as the bias; and of its memory, one register a block.
struct ScanNorm<T> {
    input: Buffer<T>,
    recurrent: Buffer<T>,
    memory: Option<[Buffer<T>; 2]>,
    /// The slots normalised together, of the input's products and of the recurrent ones.
    input_slots: Vec<Vec<usize>>,
    recurrent_slots: Vec<Vec<usize>>,
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
        let groups = |slots: &[usize]| -> Vec<Vec<usize>> {
            layout.norms.iter().map(|gates| gates.iter().map(|&gate| slots[gate]).collect()).collect()
        };
        let norm = recurrence.weights.norm.map(|norm| ScanNorm {
            input: Buffer::new(line),
            recurrent: Buffer::new(line),
            memory: norm.memory.map(|_| [Buffer::new(blocks * lanes), Buffer::new(blocks * lanes)]),
            input_slots: groups(&input_slots),
            recurrent_slots: groups(&recurrent_slots),
        });
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
            at_once: 1,
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
        let layout = &scan.layout;
        let narrow = layout.input.len() == 1 || layout.products.iter().any(|p| p.gates.len() == 1);
        if narrow || !scan.is_wide() {
            scan.at_once = MOST_VECTORS;
        }
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

    /// Whether the weights of the recurrent products do not stay in a cache of a core's own: then groups go through
    /// them side by side.
    pub(super) fn is_wide(&self) -> bool {
        self.blocks * self.block_operations() * size_of::<T>() > KEPT
    }

    /// Whether a gate sees the memory after the step.
    fn sees_after(&self) -> bool {
        self.layout.peepholes.iter().any(|sight| sight.seen == Seen::After)
    }

    /// Whether the gradient of h is shared out before a step goes back.
    fn shares_gradient(&self) -> bool {
        self.recurrence.noise.zoneout[0] > 0.0 || self.projection.is_some() || self.normalises_memory()
    }

    fn normalises_memory(&self) -> bool {
        self.norm.as_ref().is_some_and(|norm| norm.memory.is_some())
    }

    /// Whether `z` holds other numbers than the gradients of the products.
    pub(super) fn normalises(&self) -> bool {
        self.norm.is_some()
    }

    /// The input's part of `z` for some of the `room` rows of a tape: b + W_ih x, of rows `x`.
    fn project(
        &self,
        crew: Crew,
        room: usize,
        rows: Range<usize>,
        (x, stride): (&[T], usize),
        tape: &mut Tape<T>,
    ) {
        let (line, first, count) = (self.line(), rows.start, rows.len());
        let Tape { z, norm, rounded: [rounded, _], .. } = tape;
        let x = self.round_input(count, x, stride, rounded);
        let to = if self.normalises() { &mut norm.input.x[..] } else { &mut z[..] };
        let (apart, job) = (room * line, self.at_once);
        crew.chunks(&mut to[..self.blocks * apart], job * apart, |number, to| {
            let blocks = number * job..self.blocks.min((number + 1) * job);
            self.project_blocks(blocks, count, x, &mut to[first * line..], apart);
        });
        self.normalise_input(room, first, count, z, &mut norm.input);
    }

    /// Rows of x as the input's product takes them; none: the input is one-hot.
    pub(super) fn round_input<'a>(
        &self,
        rows: usize,
        x: &'a [T],
        stride: usize,
        room: &'a mut Room,
    ) -> Option<Rounded<'a, T>> {
        let a = Left::rows(x, stride, self.inputs);
        self.input_product.as_ref().map(|input| {
            input.round(self.isa, rows, a, room);
            input.operand(a, room)
        })
    }

    /// The same for some unit blocks, `apart` from each other; of a normalised layer W_ih x alone.
    pub(super) fn project_blocks(
        &self,
        blocks: Range<usize>,
        rows: usize,
        x: Option<Rounded<'_, T>>,
        z: &mut [T],
        apart: usize,
    ) {
        let (Some(input), Some(x)) = (&self.input_product, x) else { return };
        let (line, covered) = (self.line(), self.layout.input.len() * self.lanes);
        if covered == line {
            let start =
                if self.normalises() { Start::Zero } else { Start::Row(&self.bias[blocks.start * line..]) };
            return input.blocks_product(self.isa, rows, x, blocks, start, z, [line, apart], Nth::ONLY);
        }
        for (block, at) in blocks.zip((0..).step_by(apart)) {
            let (bias, z) = (self.bias(block), &mut z[at..]);
            let start = if self.normalises() { Start::Zero } else { Start::Row(bias) };
            input.blocks_product(self.isa, rows, x, block..block + 1, start, z, [line, apart], Nth::ONLY);
            for row in z.chunks_exact_mut(line).take(rows) {
                row[covered..].copy_from_slice(&bias[covered..]);
            }
        }
    }

    /// Normalises rows `first ..` of W_ih x, of `room` rows a unit block, into z.
    pub(super) fn normalise_input(
        &self,
        room: usize,
        first: usize,
        count: usize,
        z: &mut [T],
        kept: &mut NormRows<T>,
    ) {
        let Some(norm) = &self.norm else { return };
        let (line, at) = (self.line(), first * self.line());
        let covered = self.layout.input.len() * self.lanes;
        for block in 0..self.blocks {
            for row in z[block * room * line + at..].chunks_exact_mut(line).take(count) {
                row[covered..].copy_from_slice(&self.bias(block)[covered..]);
            }
        }
        for (group, slots) in norm.input_slots.iter().enumerate() {
            let gains = Gains { gain: &norm.input, bias: Some(&self.bias), block: line };
            let scale = &mut kept.scale[group * room + first..][..count];
            let x = &mut kept.x[at..];
            self.of(room * line, slots).forward(count, x, gains, &mut z[at..], [line, room * line], scale);
        }
    }

    /// Turns x̂ of W_ih x into its gradient, for all `rows` rows of a tape or table, and adds to that of the gains.
    pub(super) fn normalise_input_backward(
        &self,
        room: usize,
        rows: usize,
        dz: &[T],
        kept: &mut NormRows<T>,
    ) {
        let Some(norm) = &self.norm else { return };
        let line = self.line();
        for (group, slots) in norm.input_slots.iter().enumerate() {
            let gains = Gains { gain: &norm.input, bias: None, block: line };
            let scale = &kept.scale[group * room..][..rows];
            let (x, d_gain) = (&mut kept.x, &mut kept.d_gain);
            self.of(room * line, slots).backward(rows, x, gains, dz, [line, room * line], scale, d_gain);
        }
    }

    /// A normalisation over slots of rows laid out as `z`, its unit blocks `block` apart.
    fn of<'a>(&self, block: usize, slots: &'a [usize]) -> Norm<'a> {
        let spread = Spread { row: self.line(), block, slots };
        Norm { isa: self.isa, units: self.recurrence.hidden, eps: NORM_EPS, spread }
    }

    /// A normalisation over rows of H numbers, `stride` apart.
    fn rows_of(&self, stride: usize) -> Norm<'_> {
        let spread = Spread { row: stride, block: self.lanes, slots: &[0] };
        Norm { isa: self.isa, units: self.recurrence.hidden, eps: NORM_EPS, spread }
    }

    /// In which pass round the blocks a normalised group's product is made.
    fn pass_of(&self, group: usize) -> usize {
        let gate = self.layout.norms[group][0];
        let waits = |p: &Product| p.operand == Operand::ResetH && p.gates.contains(&gate);
        usize::from(self.layout.products.iter().any(waits))
    }

    /// The gradient of the input of `count` rows, from the gradients in `z`, unit blocks of `rows`
    /// rows.
    pub(super) fn project_backward(
        &self,
        rows: usize,
        z: &[T],
        count: usize,
        start: Start<'_, T>,
        dx: &mut [T],
        stride: usize,
    ) {
        let Some(input) = &self.input_product else { return };
        let dz = self.gradients(rows, z, 0, self.layout.input.len());
        input.product_back(self.isa, count, dz, start, dx, stride);
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
