//! A weight packed for both of its products, y = W x and dx = Wᵀ dy, at the precision they are made
//! in: kept beside the weights and made anew when these change.

use super::bytes::{ByteRows, Bytes, ToBytes};
use super::gemm::{Left, Start, panel_product};
use super::math::Elementary;
use super::packing::{Rows, pack};
use super::panels::{MOST_VECTORS, Nth, Panels};
use super::rounding::{round, rows_of};
use super::simd::{Isa, Pair};
use super::source::Weight;
use super::threads::Crew;
use crate::backend::Precision;
use std::cell::RefCell;
use std::ops::Range;

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
    pairs: Vec<Pair>,
    bytes: Vec<u8>,
    scales: Vec<f32>,
}

/// `c ← start + a W` for `rows` rows of c, `stride` apart; `room` is for rounding.
pub(crate) struct Back<'a, T> {
    pub(crate) rows: usize,
    pub(crate) a: Left<'a, T>,
    pub(crate) start: Start<'a, T>,
    pub(crate) c: &'a mut [T],
    pub(crate) stride: usize,
    pub(crate) room: &'a mut Room,
}

thread_local! {
    /// Rounded rows of the product at hand.
    static ROUNDED: RefCell<Room> =
        const { RefCell::new(Room { pairs: Vec::new(), bytes: Vec::new(), scales: Vec::new() }) };
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

    /// `c ← start + a Wᵀ` for the columns of one panel.
    pub(crate) fn panel_product(
        &self,
        isa: Isa,
        rows: usize,
        a: Operand<'_, T>,
        panel: usize,
        start: Start<'_, T>,
        c: &mut [T],
        stride: usize,
    ) {
        match (self, a) {
            (Self::Full([weight, _]), Operand::Full(a)) => {
                panel_product(isa, rows, a, weight.panel(panel), start, c, stride);
            }
            (Self::Short([weight, _]), Operand::Short(a)) => {
                panel_product(isa, rows, a, weight.panel(panel), start, c, stride);
            }
            (Self::Bytes(weight), Operand::Bytes(a)) => {
                weight.panel_product(isa, rows, a, panel, start, c, stride);
            }
            _ => unreachable!("an operand made for another weight"),
        }
    }

    /// The same for the columns of some unit blocks: a row of `c` is `stride` from the next, what belongs to
    /// a block `apart` from that of the next.
    pub(crate) fn blocks_product(
        &self,
        isa: Isa,
        rows: usize,
        a: Operand<'_, T>,
        blocks: Range<usize>,
        start: Start<'_, T>,
        c: &mut [T],
        [stride, apart]: [usize; 2],
        nth: Nth,
    ) {
        match (self, a) {
            (Self::Full([weight, _]), Operand::Full(a)) => {
                weight.run(isa, rows, a, blocks, start, c, [stride, apart], nth);
            }
            (Self::Short([weight, _]), Operand::Short(a)) => {
                weight.run(isa, rows, a, blocks, start, c, [stride, apart], nth);
            }
            (Self::Bytes(weight), Operand::Bytes(a)) => {
                for (i, block) in blocks.enumerate() {
                    let start = match start {
                        Start::Row(bias) => Start::Row(&bias[i * weight.width()..]),
                        other => other,
                    };
                    weight.panel_product(isa, rows, a, block, start, &mut c[i * apart..], stride);
                }
            }
            _ => unreachable!("an operand made for another weight"),
        }
    }

    /// `c ← start + a Wᵀ`.
    pub(crate) fn product(
        &self,
        isa: Isa,
        rows: usize,
        a: Left<'_, T>,
        start: Start<'_, T>,
        c: &mut [T],
        stride: usize,
    ) {
        self.through(0, isa, rows, a, start, c, stride);
    }

    /// `c ← start + a W`.
    pub(crate) fn product_back(
        &self,
        isa: Isa,
        rows: usize,
        a: Left<'_, T>,
        start: Start<'_, T>,
        c: &mut [T],
        stride: usize,
    ) {
        self.through(1, isa, rows, a, start, c, stride);
    }

    /// The same for several groups of rows, all of which take a panel before the next is read.
    pub(crate) fn products_back(&self, isa: Isa, all: &mut [Option<Back<'_, T>>]) {
        let of = all.iter().flatten().count();
        let Some(first) = all.iter().flatten().next().map(|back| back.a) else { return };
        match self {
            Self::Full([_, panels]) => {
                for piece in panels.pieces(first) {
                    for (number, back) in all.iter_mut().flatten().enumerate() {
                        let Back { rows, a, start, c, stride, .. } = back;
                        let (piece, nth) = (piece.clone(), Nth { number, of });
                        panels.piece_product(piece, isa, *rows, *a, *start, c, *stride, nth);
                    }
                }
            }
            Self::Short([_, panels]) => {
                for Back { rows, a, room, .. } in all.iter_mut().flatten() {
                    round(isa, *rows, *a, &mut room.pairs);
                }
                for piece in panels.pieces(rows_of(&[], first)) {
                    for (number, back) in all.iter_mut().flatten().enumerate() {
                        let Back { rows, a, start, c, stride, room } = back;
                        let (a, piece) = (rows_of(&room.pairs, *a), piece.clone());
                        panels.piece_product(piece, isa, *rows, a, *start, c, *stride, Nth { number, of });
                    }
                }
            }
            Self::Bytes(_) => unreachable!("nothing learns through bytes"),
        }
    }

    /// The same for a few rows of c, whose panels threads share.
    pub(crate) fn few_rows_back(
        &self,
        crew: Crew,
        isa: Isa,
        Back { rows, a, start, c, stride, room }: Back<'_, T>,
    ) {
        self.round(isa, rows, a, room);
        match (self, self.operand(a, room)) {
            (Self::Full([_, w]), Operand::Full(a)) => w.few_rows(crew, isa, rows, a, start, c, stride),
            (Self::Short([_, w]), Operand::Short(a)) => w.few_rows(crew, isa, rows, a, start, c, stride),
            _ => unreachable!("nothing learns through bytes"),
        }
    }

    fn through(
        &self,
        way: usize,
        isa: Isa,
        rows: usize,
        a: Left<'_, T>,
        start: Start<'_, T>,
        c: &mut [T],
        stride: usize,
    ) {
        match self {
            Self::Full(panels) => panels[way].product(isa, rows, a, start, c, stride),
            Self::Short(panels) => ROUNDED.with_borrow_mut(|room| {
                let a = round(isa, rows, a, &mut room.pairs);
                panels[way].product(isa, rows, a, start, c, stride);
            }),
            Self::Bytes(weight) if way == 0 => ROUNDED.with_borrow_mut(|room| {
                self.round(isa, rows, a, room);
                let Operand::Bytes(a) = self.operand(a, room) else { unreachable!("its own operand") };
                weight.product(isa, rows, a, start, c, stride);
            }),
            Self::Bytes(_) => unreachable!("nothing learns through bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::threads;
    use super::*;
    use ndarray::{Array2, s};

    /// Small numbers whose products and sums a float holds exactly: every order of a sum agrees, and
    /// rounding them to bfloat16 changes nothing.
    fn matrix(rows: usize, columns: usize, salt: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, columns), |(i, j)| ((i * 7 + j * 13 + salt) % 9) as f64 - 4.0)
    }

    fn cast<T: Elementary>(m: &Array2<f64>) -> Vec<T> {
        m.iter().map(|&x| T::from_f64(x)).collect()
    }

    /// `product` of a, in rows or turned, with b.
    fn check<T: Elementary>(
        what: &str,
        [a, b]: [&Array2<f64>; 2],
        stride: usize,
        turn: bool,
        product: impl Fn(Left<'_, T>, &mut [T]),
    ) {
        let (rows, terms, columns) = (a.nrows(), a.ncols(), b.ncols());
        let (left, turned) = (cast(a), cast(&a.t().to_owned()));
        let start: Vec<T> = (0..rows * stride).map(|i| T::from_f64((i % 5) as f64)).collect();
        let before = Array2::from_shape_fn((rows, stride), |(i, j)| ((i * stride + j) % 5) as f64);
        let want = a.dot(b) + before.slice(s![.., ..columns]);
        let lefts = [Left::rows(&left, terms, terms), Left::columns(&turned, [1, rows], terms)];
        for from in lefts.into_iter().take(1 + usize::from(turn)) {
            let mut c = start.clone();
            product(from, &mut c);
            for ((i, j), &want) in want.indexed_iter() {
                assert_eq!(c[i * stride + j].to_f64(), want, "{what} at {i},{j}");
            }
            // Columns beyond the matrix are products with zeros.
            for (i, row) in c.chunks_exact(stride).enumerate() {
                assert_eq!(row[columns..], start[i * stride + columns..(i + 1) * stride]);
            }
        }
    }

    fn both_ways<T: Elementary>(isa: Isa, precision: Precision, rows: usize, terms: usize, columns: usize) {
        let weight = matrix(columns, terms, 2);
        let mut packed = Packed::<T>::matrix(precision, columns, terms, isa.lanes::<T>());
        threads::enter(0.0, |crew| packed.pack_matrix(crew, isa, Weight::Still(&cast(&weight)), terms))
            .expect("its own thread");
        let what = format!("{isa:?} {precision:?} {} {rows}x{terms}x{columns}", T::NAME);
        let turn = precision == Precision::Full;
        let stride = columns.next_multiple_of(isa.lanes::<T>());
        let (a, b) = (matrix(rows, terms, 1), weight.t().to_owned());
        check(&what, [&a, &b], stride, turn, |a, c| packed.product(isa, rows, a, Start::There, c, stride));
        let stride = terms.next_multiple_of(isa.lanes::<T>());
        let a = matrix(rows, columns, 1);
        let back = format!("{what} back");
        check(&back, [&a, &weight], stride, turn, |a, c| {
            packed.product_back(isa, rows, a, Start::There, c, stride);
        });
    }

    #[test]
    fn products_equal_the_oracle_on_every_instruction_set() {
        for isa in Isa::available() {
            for rows in [1, 2, 3, 4, 5, 6, 7, 12, 13, 16, 17, 31, 33, 50] {
                for terms in [1, 2, 3, 15, 16, 17, 31, 33, 64, 127, 513] {
                    for columns in [1, 7, 16, 17, 64, 65, 130] {
                        for precision in [Precision::Full, Precision::Bfloat16] {
                            both_ways::<f32>(isa, precision, rows, terms, columns);
                            both_ways::<f64>(isa, precision, rows, terms, columns);
                        }
                    }
                }
            }
        }
    }
}
