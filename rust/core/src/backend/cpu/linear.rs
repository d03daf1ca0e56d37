//! A linear map over one group, forward beside backward.

use super::context::{Context, Reach};
use super::fresh::Fresh;
use super::gemm::{Left, Start};
use super::local::Local;
use super::math::Elementary;
use super::outer::{Outer, outer};
use super::packed::{Operand, Packed, Room};
use super::panels::{MOST_VECTORS, Nth};
use super::part::Part;
use super::scratch::{Buffer, Rows, padded};
use super::segments::{Segment, Segments};
use super::simd::Isa;
use super::threads::Crew;
use super::weights::Target;
use crate::backend::Precision;
use crate::params::ParamId;
use crate::program::{Slot, SlotId};

/// y = x Wᵀ + b.
pub(super) struct Linear<T> {
    pub(super) input: Reach,
    pub(super) out: SlotId,
    weight: ParamId,
    bias: Option<ParamId>,
    /// Columns of x and of y.
    pub(super) from: usize,
    pub(super) to: usize,
    /// What y is.
    kind: Slot,
    pub(super) isa: Isa,
    precision: Precision,
    /// b, padded to whole registers with numbers no softmax can see.
    padded_bias: Buffer<T>,
    /// W and its transpose.
    packed: Packed<T>,
}

impl<T: Elementary> Linear<T> {
    pub(super) fn new(
        [input, out]: [SlotId; 2],
        weight: ParamId,
        bias: Option<ParamId>,
        from: usize,
        kind: Slot,
        isa: Isa,
        precision: Precision,
    ) -> Self {
        let (lanes, to) = (isa.lanes::<T>(), kind.width());
        Self {
            input: Reach::new(input),
            out,
            weight,
            bias,
            from,
            to,
            kind,
            isa,
            precision,
            padded_bias: Buffer::new(to.next_multiple_of(lanes)),
            packed: Packed::matrix(precision, to, from, lanes),
        }
    }

    /// `rows` rows of y from rows of x.
    pub(super) fn product(&self, rows: usize, x: &[T], x_stride: usize, y: &mut [T], y_stride: usize) {
        let a = Left::rows(x, x_stride, self.from);
        self.packed.product(self.isa, rows, a, Start::Row(&self.padded_bias), y, y_stride);
    }

    /// Rows of x as [`Linear::panel_product`] takes them.
    pub(super) fn operand<'a>(
        &self,
        rows: usize,
        x: &'a [T],
        stride: usize,
        room: &'a mut Room,
    ) -> Operand<'a, T> {
        let a = Left::rows(x, stride, self.from);
        self.packed.round(self.isa, rows, a, room);
        self.packed.operand(a, room)
    }

    /// The columns of y in one panel.
    pub(super) fn panel_product(
        &self,
        rows: usize,
        x: Operand<'_, T>,
        panel: usize,
        y: &mut [T],
        stride: usize,
    ) {
        let bias = &self.padded_bias[panel * MOST_VECTORS * self.lanes()..];
        let (one, start) = (panel..panel + 1, Start::Row(bias));
        self.packed.blocks_product(self.isa, rows, x, one, start, y, [stride, 0], Nth::ONLY);
    }

    pub(super) fn lanes(&self) -> usize {
        self.isa.lanes::<T>()
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
        let start = if self.input.adds { Start::There } else { Start::Zero };
        let a = Left::rows(dy, dy_stride, self.to);
        self.packed.product_back(self.isa, rows, a, start, dx, dx_stride);
    }

    /// Rows of a slot of this kind, with the gradients of what was made of them.
    pub(super) fn segments_of(
        isa: Isa,
        parts: &[Part<T>],
        kind: Slot,
        [input, out]: [SlotId; 2],
    ) -> impl Segments<'_, T> {
        let of_part = move |part| {
            let part: &Part<T> = part;
            let (dy, x) = (&part.d_slots[out], &part.slots[input]);
            let block = isa.lanes::<T>();
            Segment {
                dz: dy.at(0),
                unit: 1,
                row: dy.stride,
                block,
                x: x.at(0),
                stride: x.stride,
                rows: part.len(kind),
            }
        };
        parts.iter().map(of_part)
    }

    /// Gradients of a weight with `rows` rows of which each belongs to one column of dy.
    pub(super) fn target(isa: Isa, precision: Precision, rows: usize) -> Target<'static> {
        Target { isa, precision, lanes: isa.lanes::<T>(), hidden: rows, slots: &[0] }
    }

    /// y of a group.
    pub(super) fn run(&self, part: &mut Part<T>) {
        part.with_slot(self.out, |part, y| {
            let (x, stride) = (&part.slots[self.input.slot], y.stride);
            self.product(part.len(self.kind), x.at(0), x.stride, y.at_mut(0), stride);
        });
    }

    /// Room for `count` rows of y, made when it is first asked for: for a head, whose whole output is
    /// large and which a run with a loss never writes.
    pub(super) fn make_room(&self, rows: &mut Rows<T>, count: usize) {
        let lanes = self.isa.lanes::<T>();
        if rows.data().len() < count * padded(self.to, lanes) {
            *rows = Rows::new(0, count, self.to, lanes);
        }
    }

    /// dx of a group.
    pub(super) fn run_back(&self, part: &mut Part<T>) {
        part.with_gradient(self.input.slot, |part, dx| {
            let (dy, stride) = (&part.d_slots[self.out], dx.stride);
            self.product_backward(part.len(self.kind), dy.at(0), dy.stride, dx.at_mut(0), stride);
        });
    }

    /// Adds the gradients of the weights, from the gradients in the slots.
    pub(super) fn own_gradients(
        &self,
        crew: Crew,
        parts: &[Part<T>],
        run: &Context<'_, T>,
        gradient: &mut [T],
    ) {
        let segments = Self::segments_of(self.isa, parts, self.kind, [self.input.slot, self.out]);
        self.gradients_of(crew, &segments, run, gradient);
    }

    pub(super) fn gradients_of<'a>(
        &self,
        crew: Crew,
        segments: &impl Segments<'a, T>,
        run: &Context<'_, T>,
        gradient: &mut [T],
    ) {
        let of = |id| run.parameters.range(id);
        let ranges = [of(self.weight), self.bias.map_or(0..0, of)];
        let [gradient, bias] = gradient.get_disjoint_mut(ranges).expect("parameters lie apart");
        let target = Self::target(self.isa, self.precision, self.to);
        let own = Outer { target, segments: segments.clone(), terms: self.from, gradient, bias };
        outer(crew, [Some(own), None, None], run.operands);
    }
}

impl<T: Elementary> Local<T> for Linear<T> {
    fn pack(&mut self, weights: &mut Fresh<'_, T>) {
        self.padded_bias.fill(T::from_f64(-3e38));
        match self.bias {
            Some(bias) => self.padded_bias[..self.to].copy_from_slice(weights.of(bias)),
            None => self.padded_bias[..self.to].fill(T::ZERO),
        }
        weights.pack_matrix(self.weight, self.from, &mut self.packed);
    }

    fn forward(&self, part: &mut Part<T>, _own: &mut [Rows<T>], _run: &Context<'_, T>) {
        self.run(part);
    }

    fn backward(&self, part: &mut Part<T>, _own: &mut [Rows<T>], _run: &Context<'_, T>) {
        self.run_back(part);
    }

    fn weight_gradients(
        &self,
        crew: Crew,
        _op: usize,
        parts: &[Part<T>],
        run: &Context<'_, T>,
        gradient: &mut [T],
    ) {
        self.own_gradients(crew, parts, run, gradient);
    }

    fn reaches(&mut self) -> Vec<&mut Reach> {
        vec![&mut self.input]
    }
}
