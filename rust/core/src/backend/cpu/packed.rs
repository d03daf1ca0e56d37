//! A weight packed for both of its products, y = W x and dx = Wᵀ dy, at the precision they are made
//! in: kept beside the weights and made anew when these change. The products are in [`super::products`].

use super::bytes::{ByteRows, Bytes};
use super::gemm::Left;
use super::math::Elementary;
use super::packing::{Rows, pack};
use super::panels::{MOST_VECTORS, Panels};
use super::rounding::{ToBytes, round, rows_of};
use super::simd::{Isa, Pair};
use super::source::Weight;
use super::threads::Crew;
use crate::backend::Precision;

/// A (rows, terms) weight and its transpose.
pub(crate) enum Packed<T> {
    Full([Panels<T>; 2]),
    /// As bfloat16.
    Short([Panels<Pair>; 2]),
    /// As bytes, without a transpose.
    Bytes(Bytes<T>),
}

/// The left-hand matrix of a product with a [`Packed`] weight.
#[derive(Clone, Copy)]
pub(crate) enum Operand<'a, T> {
    Full(Left<'a, T>),
    Short(Left<'a, Pair>),
    Bytes(ByteRows<'a>),
}

/// Room for the rounded rows of a left-hand matrix.
#[derive(Default)]
pub(crate) struct Room {
    pub(super) pairs: Vec<Pair>,
    bytes: Vec<u8>,
    scales: Vec<f32>,
}

impl Room {
    pub(super) const NONE: Self = Self { pairs: Vec::new(), bytes: Vec::new(), scales: Vec::new() };
}

impl<T: Elementary> Packed<T> {
    /// Room for any (rows, terms) weight.
    pub(crate) fn matrix(precision: Precision, rows: usize, terms: usize, lanes: usize) -> Self {
        match precision {
            Precision::Full => {
                Self::Full([Panels::columns(terms, rows, lanes), Panels::columns(rows, terms, lanes)])
            }
            Precision::Bfloat16 => Self::Short([
                Panels::columns(terms.div_ceil(2), rows, lanes),
                Panels::columns(rows.div_ceil(2), terms, lanes),
            ]),
            Precision::Int8 => {
                let panels = Panels::columns(terms.div_ceil(4), rows, lanes);
                Self::Bytes(Bytes::new(panels, rows.next_multiple_of(lanes), MOST_VECTORS * lanes))
            }
        }
    }

    /// Room for a (gates · H, terms) weight of `blocks` unit blocks: a panel holds all gates of one.
    pub(crate) fn gates(
        precision: Precision,
        terms: usize,
        blocks: usize,
        gates: usize,
        lanes: usize,
    ) -> Self {
        let units = blocks * gates * lanes;
        match precision {
            Precision::Full => {
                Self::Full([Panels::equal(terms, blocks, gates, lanes), Panels::columns(units, terms, lanes)])
            }
            // All unit blocks are whole registers: units are even in number.
            Precision::Bfloat16 => Self::Short([
                Panels::equal(terms.div_ceil(2), blocks, gates, lanes),
                Panels::columns(units / 2, terms, lanes),
            ]),
            Precision::Int8 => {
                let panels = Panels::equal(terms.div_ceil(4), blocks, gates, lanes);
                Self::Bytes(Bytes::new(panels, units, gates * lanes))
            }
        }
    }

    /// Packs a (rows, terms) weight.
    pub(crate) fn pack_matrix(&mut self, crew: Crew, isa: Isa, weight: Weight<'_, T>, terms: usize) {
        let of_gate = weight.len() / terms.max(1);
        let rows = Rows { gates: &[0], of_gate, strip: MOST_VECTORS * isa.lanes::<T>() };
        self.pack_gates(crew, isa, weight, terms, rows);
    }

    /// Packs some gates of a (G·H, terms) weight.
    pub(crate) fn pack_gates(
        &mut self,
        crew: Crew,
        isa: Isa,
        weight: Weight<'_, T>,
        terms: usize,
        rows: Rows,
    ) {
        match (self, weight) {
            (Self::Full(panels), weight) => pack(panels, crew, isa, weight, terms, rows),
            (Self::Short(panels), weight) => pack(panels, crew, isa, weight, terms, rows),
            (Self::Bytes(bytes), Weight::Still(weight)) => {
                bytes.pack(crew, |column| rows.of_column(column).map(|row| &weight[row * terms..][..terms]));
            }
            (Self::Bytes(_), Weight::Old { .. }) => unreachable!("bytes do not learn"),
        }
    }

    /// Rounds `a` into `room`, if this weight's products need it, for [`Packed::operand`].
    pub(crate) fn round(&self, isa: Isa, rows: usize, a: Left<'_, T>, room: &mut Room) {
        match self {
            Self::Full(_) => {}
            Self::Short(_) => {
                round(isa, rows, a, &mut room.pairs);
            }
            Self::Bytes(_) => {
                room.bytes.resize(rows * a.terms.next_multiple_of(4), 0);
                room.scales.resize(rows, 0.0);
                isa.run(ToBytes { rows, a, data: &mut room.bytes, scales: &mut room.scales });
            }
        }
    }

    /// `a` as the products of this weight take it.
    pub(crate) fn operand<'a>(&self, a: Left<'a, T>, rounded: &'a Room) -> Operand<'a, T> {
        match self {
            Self::Full(_) => Operand::Full(a),
            Self::Short(_) => Operand::Short(rows_of(&rounded.pairs, a)),
            Self::Bytes(_) => Operand::Bytes(ByteRows::of(&rounded.bytes, a.terms, &rounded.scales)),
        }
    }
}
