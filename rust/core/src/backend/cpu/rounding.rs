//! Operands of products rounded to bfloat16.

use super::gemm::Left;
use super::math::Elementary;
use super::simd::{Isa, Pair, Task};
use std::array::from_fn;

/// A matrix rounded, row by row in `room`: its neighbouring terms are pairs.
pub(super) fn round<'a, T: Elementary>(
    isa: Isa,
    rows: usize,
    a: Left<'_, T>,
    room: &'a mut Vec<Pair>,
) -> Left<'a, Pair> {
    let stride = rows_of(&[], a).terms;
    room.resize(rows * stride, Pair::default());
    isa.run(Round { rows, a, stride, to: room });
    rows_of(room, a)
}

/// The rows that [`round`] made of a matrix.
pub(super) fn rows_of<'a, T>(rounded: &'a [Pair], of: Left<'_, T>) -> Left<'a, Pair> {
    let pairs = (of.blocks * of.terms).div_ceil(2);
    Left::rows(rounded, pairs, pairs)
}

struct Round<'a, T> {
    rows: usize,
    a: Left<'a, T>,
    stride: usize,
    to: &'a mut [Pair],
}

impl<T: Elementary> Task<T> for Round<'_, T> {
    const DOTS: bool = true;
    type Out = ();
    /// Only a single block may be odd in length.
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) {
        let Left { data, at, blocks, terms } = self.a;
        debug_assert!(at.term == 1 && (blocks <= 1 || terms.is_multiple_of(2)));
        for (r, to) in self.to.chunks_exact_mut(self.stride.max(1)).take(self.rows).enumerate() {
            for (block, to) in to.chunks_mut(terms.div_ceil(2).max(1)).take(blocks).enumerate() {
                let from = &data[r * at.row + block * at.block..][..terms];
                for (to, from) in to.chunks_mut(L).zip(from.chunks(2 * L)) {
                    if from.len() == 2 * L {
                        let halves = [0, L].map(|at| from_fn(|l| from[at + l]));
                        to.copy_from_slice(&Pair::neighbours::<T, L, OPS>(halves));
                    } else {
                        for (to, from) in to.iter_mut().zip(from.chunks(2)) {
                            *to = Pair::new(from[0], from.get(1).copied().unwrap_or(T::ZERO));
                        }
                    }
                }
            }
        }
    }
}

/// `rows` rows of `width` numbers, `stride` apart, rounded: each row is paired with the next, into rows of
/// `width` pairs; the last of an odd number with zeros. Rows are padded to whole registers.
pub(super) fn round_columns<T: Elementary>(
    isa: Isa,
    [rows, width, stride]: [usize; 3],
    from: &[T],
    to: &mut [Pair],
) {
    isa.run(RoundColumns { rows, width, stride, from, to });
}

struct RoundColumns<'a, T> {
    rows: usize,
    width: usize,
    stride: usize,
    from: &'a [T],
    to: &'a mut [Pair],
}

impl<T: Elementary> Task<T> for RoundColumns<'_, T> {
    const DOTS: bool = true;
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) {
        let lines = self.to.chunks_exact_mut(self.width).take(self.rows.div_ceil(2));
        for (line, to) in lines.enumerate() {
            let first = &self.from[2 * line * self.stride..][..self.width];
            let second =
                (2 * line + 1 < self.rows).then(|| &self.from[(2 * line + 1) * self.stride..][..self.width]);
            for (at, to) in to.chunks_exact_mut(L).enumerate().map(|(number, to)| (number * L, to)) {
                let second = second.map_or([T::ZERO; L], |second| from_fn(|l| second[at + l]));
                to.copy_from_slice(&Pair::zip::<T, L, OPS>(from_fn(|l| first[at + l]), second));
            }
        }
    }
}
