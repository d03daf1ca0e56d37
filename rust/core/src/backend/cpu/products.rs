//! The products of a packed weight, y = W x and dx = Wᵀ dy.

use super::gemm::{Left, Start};
use super::math::Elementary;
use super::packed::{Operand, Packed, Room};
use super::panels::Nth;
use super::rounding::round;
use super::simd::Isa;
use std::cell::RefCell;
use std::ops::Range;

thread_local! {
    /// Rounded rows of the product at hand.
    static ROUNDED: RefCell<Room> = const { RefCell::new(Room::NONE) };
}

impl<T: Elementary> Packed<T> {
    /// `c ← start + a Wᵀ` for the columns of some unit blocks, or of one panel. `at`: from a row of `c` to the next, and
    /// from what belongs to a block to that of the next, which does not matter of one alone. A row to start from
    /// begins at the first of these columns.
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
}
