//! Products of a step of several groups of rows side by side: what is read of a weight for one is there for all, and
//! two groups share tiles. The sums are those of each group alone.

use super::gemm::{Left, Start};
use super::math::Elementary;
use super::packed::{Operand, Packed, Room};
use super::panels::{Nth, Panels, Piece};
use super::simd::{Factor, Isa};
use std::ops::Range;

/// What a group of rows brings to a product with some unit blocks that several go through side by side: `at` are
/// from a row of `c` to the next, and from what belongs to a block to that of the next.
pub(crate) struct Through<'a, T> {
    pub(crate) rows: usize,
    pub(crate) a: Operand<'a, T>,
    pub(crate) c: &'a mut [T],
    pub(crate) at: [usize; 2],
}

/// The same on the way back: `rows` rows of c are `stride` apart; `room` is for rounding.
pub(crate) struct Back<'a, T> {
    pub(crate) rows: usize,
    pub(crate) a: Left<'a, T>,
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
            // How far apart blocks are matters where there are several.
            let form = |of: &Through<'a, T>| [of.rows, of.at[0], if blocks.len() > 1 { of.at[1] } else { 0 }];
            let like = |other: &(usize, Through<'a, T>)| form(&other.1) == form(&one);
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
}

/// A group's rows of a left-hand matrix and of what it is multiplied into, `stride` apart.
pub(super) struct Group<'a, S, F> {
    pub(super) rows: usize,
    pub(super) a: Left<'a, F>,
    pub(super) c: &'a mut [S],
    pub(super) stride: usize,
}

/// Multiplies all groups by a piece of a panel, two and two together, into c from its columns on.
pub(super) fn multiply<'a, T: Elementary, F: Factor<T>>(
    panels: &Panels<F>,
    isa: Isa,
    start: Start<'_, T>,
    piece: Piece,
    all: impl Iterator<Item = Group<'a, T, F>>,
    of: usize,
) {
    let mut groups = all.enumerate().peekable();
    while let Some((number, Group { rows, a, c, stride })) = groups.next() {
        let (piece, nth) = (piece.clone(), Nth { number, of });
        match groups.next_if(|(_, other)| (other.rows, other.stride) == (rows, stride)) {
            Some((_, other)) => {
                panels.piece_product(piece, isa, rows, [a, other.a], start, [c, other.c], stride, nth);
            }
            None => panels.piece_product(piece, isa, rows, [a], start, [c], stride, nth),
        }
    }
}

/// Takes all groups through all pieces of the panels; `left`: what one multiplies.
pub(super) fn side_by_side<T: Elementary, F: Factor<T>>(
    panels: &Panels<F>,
    isa: Isa,
    start: Start<'_, T>,
    all: &mut [Option<Back<'_, T>>],
    left: impl for<'a> Fn(Left<'a, T>, &'a Room) -> Left<'a, F>,
) {
    let of = all.iter().flatten().count();
    let Some(first) = all.iter().flatten().next().map(|back| Left { data: &[], ..left(back.a, back.room) })
    else {
        return;
    };
    for piece in panels.pieces(first) {
        let column = panels.column(piece.panel);
        let all = all.iter_mut().flatten().map(|Back { rows, a, c, stride, room }| Group {
            rows: *rows,
            a: left(*a, room),
            c: &mut c[column..],
            stride: *stride,
        });
        multiply(panels, isa, start, piece, all, of);
    }
}

#[cfg(test)]
mod tests {
    use super::super::packing::Rows;
    use super::super::simd::Strides;
    use super::super::source::Weight;
    use super::super::threads::{self, Crew};
    use super::*;
    use crate::backend::Precision;
    use std::array::from_fn;

    /// Numbers whose sums depend on their order.
    fn numbers<T: Elementary>(len: usize, salt: usize) -> Vec<T> {
        (0..len).map(|i| T::from_f64(((i * 37 + salt * 11) % 101) as f64 / 101.0 - 0.5)).collect()
    }

    /// A weight of `gates` gates with `blocks` unit blocks.
    struct Case<T> {
        isa: Isa,
        gates: usize,
        blocks: usize,
        terms: usize,
        packed: Packed<T>,
    }

    impl<T: Elementary> Case<T> {
        fn new(isa: Isa, precision: Precision, [gates, blocks, terms]: [usize; 3]) -> Self {
            let lanes = isa.lanes::<T>();
            let mut packed = Packed::<T>::gates(precision, terms, blocks, gates, lanes);
            let weight = numbers::<T>(gates * blocks * lanes * terms, 1);
            let of = Rows { gates: &[0, 1, 2, 3][..gates], of_gate: blocks * lanes, strip: lanes };
            threads::enter(0.0, |crew| packed.pack_gates(crew, isa, Weight::Still(&weight), terms, of))
                .expect("its own thread");
            Self { isa, gates, blocks, terms, packed }
        }

        /// Forward; `lens` are the rows of each group's blocks, of which the first `rows` are multiplied.
        fn forward(&self, rows: &[usize], lens: &[usize], blocks: Range<usize>, start: Start<'_, T>) {
            let (isa, packed, line) = (self.isa, &self.packed, self.gates * self.isa.lanes::<T>());
            let a: Vec<_> =
                rows.iter().enumerate().map(|(i, &rows)| numbers::<T>(rows * self.terms, 10 * i)).collect();
            let left = |i: usize| Left::rows(&a[i], self.terms, self.terms);
            let mut rooms: Vec<_> = rows.iter().map(|_| Room::default()).collect();
            rooms.iter_mut().enumerate().for_each(|(i, room)| packed.round(isa, rows[i], left(i), room));
            let operand = |i: usize| packed.operand(left(i), &rooms[i]);
            let sums =
                lens.iter().enumerate().map(|(i, len)| numbers::<T>(len * line * self.blocks, 10 * i + 2));
            let mut together: Vec<_> = sums.collect();
            let mut alone = together.clone();
            let at = |i: usize| [line, lens[i] * line];
            let all = together.iter_mut().enumerate();
            let all = all.map(|(i, c)| Through { rows: rows[i], a: operand(i), c, at: at(i) });
            packed.blocks_products(isa, all, rows.len(), &blocks, start);
            for (i, c) in alone.iter_mut().enumerate() {
                packed.blocks_product(isa, rows[i], operand(i), blocks.clone(), start, c, at(i), Nth::ONLY);
            }
            assert!(together == alone, "{isa:?} {} {rows:?} {lens:?} {blocks:?}", T::NAME);
        }

        fn back(&self, rows: &[usize], lens: &[usize], start: Start<'_, T>) {
            let (isa, lanes, stride) = (self.isa, self.isa.lanes::<T>(), self.terms.next_multiple_of(16));
            let terms = self.gates * lanes;
            let dz = lens.iter().enumerate();
            let dz: Vec<_> = dz.map(|(i, len)| numbers::<T>(len * terms * self.blocks, 10 * i + 3)).collect();
            let sums = rows.iter().enumerate().map(|(i, rows)| numbers::<T>(rows * stride, 10 * i + 4));
            let mut together: Vec<_> = sums.collect();
            let (mut alone, mut shared) = (together.clone(), together.clone());
            let left = |i: usize| {
                let at = Strides { row: terms, term: 1, block: lens[i] * terms };
                Left { data: &dz[i][..], at, blocks: self.blocks, terms }
            };
            let mut rooms: Vec<_> = rows.iter().map(|_| Room::default()).collect();
            let mut run = |crew: Crew, sums: &mut [Vec<T>]| {
                let mut all = sums.iter_mut().zip(&mut rooms).enumerate();
                let next = |_| {
                    let (i, (c, room)) = all.next()?;
                    Some(Back { rows: rows[i], a: left(i), stride, c, room })
                };
                self.packed.products_back(crew, isa, start, &mut from_fn(next));
            };
            run(Crew::ALONE, &mut together);
            threads::enter(1e9, |crew| run(crew, &mut shared)).expect("a team");
            for (i, c) in alone.iter_mut().enumerate() {
                let back = Back { rows: rows[i], a: left(i), stride, c, room: &mut Room::default() };
                self.packed.products_back(Crew::ALONE, isa, start, &mut [Some(back), None, None, None]);
            }
            assert!(together == alone, "{isa:?} {} {rows:?} {lens:?} back", T::NAME);
            assert!(shared == alone, "{isa:?} {} {rows:?} {lens:?} back, shared", T::NAME);
        }
    }

    fn as_alone<T: Elementary>(isa: Isa, precision: Precision) {
        let bias = numbers::<T>(4 * 9 * 16, 5);
        // The last is large enough that what comes next is fetched.
        for shape in [
            [4, 3, 1],
            [4, 1, 33],
            [3, 3, 33],
            [1, 9, 20],
            [4, 9, if isa.name() == "portable" { 64 } else { 1500 }],
        ] {
            let case = Case::<T>::new(isa, precision, shape);
            for rows in
                [&[8, 8, 8, 8][..], &[8, 8, 7], &[5, 7, 7], &[16, 16], &[2, 2], &[3, 3, 3], &[1, 1], &[6]]
            {
                let equal = vec![17; rows.len()];
                let other: Vec<_> = (17..).take(rows.len()).collect();
                for lens in [&equal, &other] {
                    for start in [Start::Zero, Start::There, Start::Row(&bias)] {
                        case.forward(rows, lens, 0..case.blocks, start);
                        case.forward(rows, lens, 0..1, start);
                    }
                    case.back(rows, lens, Start::There);
                    case.back(rows, lens, Start::Zero);
                }
            }
        }
    }

    #[test]
    fn groups_side_by_side_have_the_sums_of_each_alone() {
        for isa in Isa::available() {
            for precision in [Precision::Full, Precision::Bfloat16] {
                as_alone::<f32>(isa, precision);
                as_alone::<f64>(isa, precision);
            }
        }
    }
}
