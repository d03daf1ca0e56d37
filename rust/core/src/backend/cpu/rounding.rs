//! Operands of products rounded: to bfloat16, or row by row to bytes.

use super::bytes::MOST;
use super::gemm::Left;
use super::math::Elementary;
use super::simd::{Isa, Pack, Pair, Task, fetch, turn};

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
                let (registers, _) = from.as_chunks::<L>();
                let (halves, _) = registers.as_chunks::<2>();
                let (whole, _) = to.as_chunks_mut::<L>();
                for (to, &halves) in whole.iter_mut().zip(halves) {
                    *to = Pair::neighbours::<T, L, OPS>(halves);
                }
                for (to, from) in to.iter_mut().zip(from.chunks(2)).skip(halves.len() * L) {
                    *to = Pair::new(from[0], from.get(1).copied().unwrap_or(T::ZERO));
                }
            }
        }
    }
}

/// `rows` rows of `width` numbers, `stride` apart, rounded: each row is paired with the next, into rows of
/// pairs `to_stride` apart; the last of an odd number with zeros. Rows are padded to whole registers.
pub(super) fn round_columns<T: Elementary>(
    isa: Isa,
    [rows, width, stride]: [usize; 3],
    from: &[T],
    to: &mut [Pair],
    to_stride: usize,
) {
    isa.run(RoundColumns { rows, width, stride, from, to, to_stride });
}

struct RoundColumns<'a, T> {
    rows: usize,
    width: usize,
    stride: usize,
    from: &'a [T],
    to: &'a mut [Pair],
    to_stride: usize,
}

impl<T: Elementary> Task<T> for RoundColumns<'_, T> {
    const DOTS: bool = true;
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) {
        let lines = self.to.chunks_exact_mut(self.to_stride).zip(self.from.chunks(2 * self.stride));
        for (number, (to, rows)) in lines.take(self.rows.div_ceil(2)).enumerate() {
            let (first, _) = rows[..self.width].as_chunks::<L>();
            let (to, _) = to[..self.width].as_chunks_mut::<L>();
            if 2 * number + 1 < self.rows {
                let (second, _) = rows[self.stride..][..self.width].as_chunks::<L>();
                for ((to, &first), &second) in to.iter_mut().zip(first).zip(second) {
                    *to = Pair::zip::<T, L, OPS>(first, second);
                }
            } else {
                for (to, &first) in to.iter_mut().zip(first) {
                    *to = Pair::zip::<T, L, OPS>(first, [T::ZERO; L]);
                }
            }
        }
    }
}

/// The same, and turned: the pairs of a column lie side by side, in rows `to_stride` apart.
pub(super) fn round_turned<T: Elementary>(
    isa: Isa,
    [rows, width, stride]: [usize; 3],
    from: &[T],
    to: &mut [Pair],
    to_stride: usize,
) {
    isa.run(RoundTurned { rows, width, stride, from, to, to_stride });
}

struct RoundTurned<'a, T> {
    rows: usize,
    width: usize,
    stride: usize,
    from: &'a [T],
    to: &'a mut [Pair],
    to_stride: usize,
}

impl<T: Elementary> Task<T> for RoundTurned<'_, T> {
    const DOTS: bool = true;
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) {
        let pairs = self.rows.div_ceil(2);
        for first in (0..pairs).step_by(L) {
            let count = L.min(pairs - first);
            for column in (0..self.width).step_by(L) {
                let row = |row: usize| {
                    // The same columns of the next square, too.
                    let next = (row + 2 * L) * self.stride + column;
                    fetch(self.from, next..next + L);
                    Pack::<T, L>::load(&self.from[row * self.stride + column..]).0
                };
                let mut square = [[Pair::default(); L]; L];
                for (number, line) in (first..first + count).zip(&mut square) {
                    let second = if 2 * number + 1 < self.rows { row(2 * number + 1) } else { [T::ZERO; L] };
                    *line = Pair::zip::<T, L, OPS>(row(2 * number), second);
                }
                for (l, &line) in turn::<T, Pair, L, OPS>(square).iter().enumerate() {
                    let to = &mut self.to[(column + l) * self.to_stride + first..][..count];
                    match to.first_chunk_mut() {
                        Some(to) => *to = line,
                        None => to.copy_from_slice(&line[..count]),
                    }
                }
            }
        }
    }
}

/// Rounds rows of numbers to bytes, as [`super::bytes`] has them.
pub(crate) struct ToBytes<'a, T> {
    pub(crate) rows: usize,
    pub(crate) a: Left<'a, T>,
    pub(crate) data: &'a mut [u8],
    pub(crate) scales: &'a mut [f32],
}

impl<T: Elementary> Task<T> for ToBytes<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) {
        let Left { data, at, blocks, terms } = self.a;
        debug_assert!(at.term == 1 && blocks == 1, "rows that lie together");
        let stride = terms.next_multiple_of(4);
        for (r, (to, scale)) in
            self.data.chunks_exact_mut(stride).zip(self.scales).take(self.rows).enumerate()
        {
            let row = &data[r * at.row..][..terms];
            let (mut most, mut finite) = ([T::ZERO; L], [T::ZERO; L]);
            let (registers, rest) = row.as_chunks::<L>();
            let mut see = |l: usize, x: T| {
                most[l] = if x.abs() > most[l] { x.abs() } else { most[l] };
                // x · 0 is 0 for a finite number, else NaN.
                finite[l] += x * T::ZERO;
            };
            registers.iter().for_each(|line| (0..L).for_each(|l| see(l, line[l])));
            rest.iter().enumerate().for_each(|(l, &x)| see(l, x));
            let most = most.into_iter().fold(T::ZERO, |a, b| if b > a { b } else { a });
            let nan = finite.into_iter().fold(T::ZERO, |a, b| a + b).to_f64();
            *scale = (most.to_f64() / MOST + nan) as f32;
            let per = if most > T::ZERO { (MOST / most.to_f64()) as f32 } else { 0.0 };
            // Adding 1.5 · 2²³ leaves the rounded integer in the low bits of the sum.
            for (to, x) in to.iter_mut().zip(row) {
                let rounded = x.to_f64() as f32 * per + 12_582_912.0;
                *to = (rounded.to_bits() as u8).wrapping_add(128);
            }
        }
    }
}
