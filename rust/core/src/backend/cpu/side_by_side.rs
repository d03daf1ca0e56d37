//! Products of a step of several groups of rows side by side: what is read of a weight for one is there for all, and
//! two groups share tiles. The sums are those of each group alone.

use super::gemm::{Left, Start};
use super::math::Elementary;
use super::packed::{Operand, Packed, Room};
use super::panels::{Nth, Panels};
use super::rounding::{round, rows_of};
use super::simd::{Factor, Isa};
use super::threads::Crew;
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

impl<T: Elementary> Packed<T> {
    /// `c ← start + a Wᵀ` for the columns of some unit blocks, of `of` groups.
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

    /// `c ← start + a W` of several groups, all of which take a panel before the next is read.
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

    /// The same of one group of few rows: threads share the panels.
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
