//! The products of a packed weight, y = W x and dx = Wᵀ dy, of one group of rows and of several at once.

use super::gemm::{Left, Start, panel_product};
use super::math::Elementary;
use super::packed::{Operand, Packed, Room};
use super::panels::{Nth, Panels};
use super::rounding::{round, rows_of};
use super::simd::{Factor, Isa};
use super::threads::Crew;
use std::cell::RefCell;
use std::ops::Range;

/// What a group of rows brings to a product with some unit blocks that several go through side by side: `at` are
/// from a row of `c` to the next, and from what belongs to a block to that of the next.
pub(crate) struct Through<'a, T> {
    pub(crate) rows: usize,
    pub(crate) a: Operand<'a, T>,
    pub(crate) c: &'a mut [T],
    pub(crate) at: [usize; 2],
}

/// The same on the way back: `c ← start + a W` for `rows` rows of c, `stride` apart; `room` is for rounding.
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
    static ROUNDED: RefCell<Room> = const { RefCell::new(Room::NONE) };
}

impl<T: Elementary> Packed<T> {
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
        at: [usize; 2],
        nth: Nth,
    ) {
        match (self, a) {
            (Self::Full([weight, _]), Operand::Full(a)) => {
                weight.run(isa, rows, [a], blocks, start, [c], at, nth);
            }
            (Self::Short([weight, _]), Operand::Short(a)) => {
                weight.run(isa, rows, [a], blocks, start, [c], at, nth);
            }
            (Self::Bytes(weight), Operand::Bytes(a)) => {
                let [stride, apart] = at;
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

    /// The same for several groups, two and two together.
    pub(crate) fn blocks_products<'a>(
        &self,
        isa: Isa,
        all: impl Iterator<Item = Through<'a, T>>,
        of: usize,
        blocks: &Range<usize>,
        start: Start<'_, T>,
    ) where
        T: 'a,
    {
        let mut all = all.enumerate().peekable();
        while let Some((number, one)) = all.next() {
            let (blocks, nth) = (blocks.clone(), Nth { number, of });
            let like = |other: &(usize, Through<'a, T>)| (other.1.rows, other.1.at) == (one.rows, one.at);
            let Some((_, other)) = all.next_if(like) else {
                self.blocks_product(isa, one.rows, one.a, blocks, start, one.c, one.at, nth);
                continue;
            };
            let c = [one.c, other.c];
            match (self, one.a, other.a) {
                (Self::Full([weight, _]), Operand::Full(a), Operand::Full(b)) => {
                    weight.run(isa, one.rows, [a, b], blocks, start, c, one.at, nth);
                }
                (Self::Short([weight, _]), Operand::Short(a), Operand::Short(b)) => {
                    weight.run(isa, one.rows, [a, b], blocks, start, c, one.at, nth);
                }
                _ => {
                    for (a, c) in [one.a, other.a].into_iter().zip(c) {
                        self.blocks_product(isa, one.rows, a, blocks.clone(), start, c, one.at, nth);
                    }
                }
            }
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
        let Some(first) = all.iter().flatten().next().map(|back| back.a) else { return };
        match self {
            Self::Full([_, panels]) => side_by_side(panels, isa, panels.pieces(first), all, |a, _| a),
            Self::Short([_, panels]) => {
                for Back { rows, a, room, .. } in all.iter_mut().flatten() {
                    round(isa, *rows, *a, &mut room.pairs);
                }
                let pieces = panels.pieces(rows_of(&[], first));
                side_by_side(panels, isa, pieces, all, |a, room| rows_of(&room.pairs, a));
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

/// Takes all groups through some pieces of panels, two and two together; `left`: what one multiplies.
fn side_by_side<T: Elementary, F: Factor<T>>(
    panels: &Panels<F>,
    isa: Isa,
    pieces: impl Iterator<Item = (usize, Range<usize>)>,
    all: &mut [Option<Back<'_, T>>],
    left: impl for<'a> Fn(Left<'a, T>, &'a Room) -> Left<'a, F>,
) {
    let of = all.iter().flatten().count();
    for piece in pieces {
        let mut groups = all.iter_mut().flatten().enumerate().peekable();
        while let Some((number, one)) = groups.next() {
            let (piece, nth, start, stride) = (piece.clone(), Nth { number, of }, one.start, one.stride);
            let other = groups.next_if(|(_, other)| (other.rows, other.stride) == (one.rows, stride));
            let a = left(one.a, one.room);
            match other {
                Some((_, other)) => {
                    let (a, c) = ([a, left(other.a, other.room)], [&mut *one.c, &mut *other.c]);
                    panels.piece_product(piece, isa, one.rows, a, start, c, stride, nth);
                }
                None => {
                    panels.piece_product(piece, isa, one.rows, [a], start, [&mut *one.c], stride, nth);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::packing::Rows;
    use super::super::source::Weight;
    use super::super::threads;
    use super::*;
    use crate::backend::Precision;
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

    /// Numbers whose sums depend on their order.
    fn numbers<T: Elementary>(len: usize, salt: usize) -> Vec<T> {
        (0..len).map(|i| T::from_f64(((i * 37 + salt * 11) % 101) as f64 / 101.0 - 0.5)).collect()
    }

    fn back<'a, T>(
        [rows, units, stride]: [usize; 3],
        dz: &'a [T],
        c: &'a mut [T],
        room: &'a mut Room,
    ) -> Back<'a, T> {
        Back { rows, a: Left::rows(dz, units, units), start: Start::There, c, stride, room }
    }

    fn side_by_side_as_alone<T: Elementary>(isa: Isa, precision: Precision, rows: &[usize], terms: usize) {
        let (lanes, [blocks, gates]) = (isa.lanes::<T>(), [3, 4]);
        let (hidden, units) = (blocks * lanes, blocks * gates * lanes);
        let mut packed = Packed::<T>::gates(precision, terms, blocks, gates, lanes);
        let weight = numbers::<T>(gates * hidden * terms, 1);
        let of = Rows { gates: &[0, 1, 2, 3], of_gate: hidden, strip: lanes };
        threads::enter(0.0, |crew| packed.pack_gates(crew, isa, Weight::Still(&weight), terms, of))
            .expect("its own thread");
        let what = format!("{isa:?} {precision:?} {} {rows:?} {terms}", T::NAME);

        let a: Vec<_> = rows.iter().map(|&rows| numbers::<T>(rows * terms, rows)).collect();
        let left = |i: usize| Left::rows(&a[i], terms, terms);
        let mut rooms: Vec<_> = rows.iter().map(|_| Room::default()).collect();
        rooms.iter_mut().enumerate().for_each(|(i, room)| packed.round(isa, rows[i], left(i), room));
        let mut together: Vec<_> = rows.iter().map(|rows| numbers::<T>(rows * units, 2)).collect();
        let mut alone = together.clone();
        let operand = |i: usize| packed.operand(left(i), &rooms[i]);
        let all = together.iter_mut().enumerate().map(|(i, c)| {
            let at = [gates * lanes, rows[i] * gates * lanes];
            Through { rows: rows[i], a: operand(i), c, at }
        });
        packed.blocks_products(isa, all, rows.len(), &(0..blocks), Start::There);
        for (i, c) in alone.iter_mut().enumerate() {
            let at = [gates * lanes, rows[i] * gates * lanes];
            packed.blocks_product(isa, rows[i], operand(i), 0..blocks, Start::There, c, at, Nth::ONLY);
        }
        assert!(together == alone, "{what}");

        let stride = terms.next_multiple_of(lanes);
        let dz: Vec<_> = rows.iter().map(|rows| numbers::<T>(rows * units, 3)).collect();
        let mut together: Vec<_> = rows.iter().map(|rows| numbers::<T>(rows * stride, 4)).collect();
        let mut alone = together.clone();
        let mut all: Vec<_> = together.iter_mut().zip(&mut rooms).zip(&dz).collect();
        let shape = |c: &[T]| [c.len() / stride, units, stride];
        let all = all.iter_mut().map(|((c, room), dz)| Some(back(shape(c), dz, c, room)));
        packed.products_back(isa, &mut all.collect::<Vec<_>>());
        for (c, dz) in alone.iter_mut().zip(&dz) {
            packed.products_back(isa, &mut [Some(back(shape(c), dz, c, &mut Room::default()))]);
        }
        assert!(together == alone, "{what} back");
    }

    #[test]
    fn groups_side_by_side_have_the_sums_of_each_alone() {
        for isa in Isa::available() {
            for rows in
                [&[8, 8, 8, 8][..], &[8, 8, 7], &[5, 7, 7], &[16, 16], &[2, 2], &[3, 3, 3], &[1, 1], &[6]]
            {
                for terms in [1, 33, 700] {
                    for precision in [Precision::Full, Precision::Bfloat16] {
                        side_by_side_as_alone::<f32>(isa, precision, rows, terms);
                        side_by_side_as_alone::<f64>(isa, precision, rows, terms);
                    }
                }
            }
        }
    }
}
