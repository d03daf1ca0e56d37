//! Products of a step of several groups of rows side by side: what is read of a weight for one is there for all, and
//! two groups share tiles. The sums are those of each group alone. The way back is in [`super::products_back`].

use super::gemm::Start;
use super::math::Elementary;
use super::packed::{Operand, Packed};
use super::panels::Nth;
use super::simd::Isa;
use std::ops::Range;

/// What a group of rows brings to a product with some unit blocks that several go through side by side: `at` are
/// from a row of `c` to the next, and from what belongs to a block to that of the next.
pub(crate) struct Through<'a, T> {
    pub(crate) rows: usize,
    pub(crate) a: Operand<'a, T>,
    pub(crate) c: &'a mut [T],
    pub(crate) at: [usize; 2],
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

#[cfg(test)]
pub(super) mod tests {
    use super::super::gemm::Left;
    use super::super::packed::Room;
    use super::super::packing::Rows;
    use super::super::source::Weight;
    use super::super::threads;
    use super::*;
    use crate::backend::Precision;

    /// Numbers whose sums depend on their order.
    pub(crate) fn numbers<T: Elementary>(len: usize, salt: usize) -> Vec<T> {
        (0..len).map(|i| T::from_f64(((i * 37 + salt * 11) % 101) as f64 / 101.0 - 0.5)).collect()
    }

    /// A weight of `gates` gates with `blocks` unit blocks.
    pub(crate) struct Case<T> {
        pub(crate) isa: Isa,
        pub(crate) gates: usize,
        pub(crate) blocks: usize,
        pub(crate) terms: usize,
        pub(crate) packed: Packed<T>,
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
    }

    /// Every shape with every choice of rows and of rows in a block.
    pub(crate) fn cases<T: Elementary>(
        isa: Isa,
        precision: Precision,
        check: impl Fn(&Case<T>, &[usize], &[usize]),
    ) {
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
                check(&case, rows, &vec![17; rows.len()]);
                check(&case, rows, &(17..).take(rows.len()).collect::<Vec<_>>());
            }
        }
    }

    fn as_alone<T: Elementary>(isa: Isa, precision: Precision) {
        let bias = numbers::<T>(4 * 9 * 16, 5);
        cases::<T>(isa, precision, |case, rows, lens| {
            for start in [Start::Zero, Start::There, Start::Row(&bias)] {
                case.forward(rows, lens, 0..case.blocks, start);
                case.forward(rows, lens, 0..1, start);
            }
        });
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
