//! Pairs of bfloat16: rounding to them, and their products.

use super::Factor;
#[cfg(target_arch = "x86_64")]
use super::Panel;
#[cfg(target_arch = "x86_64")]
use super::ops;
#[cfg(target_arch = "x86_64")]
use super::tiles;
use crate::float::Float;
use std::array::from_fn;
#[cfg(target_arch = "x86_64")]
use std::mem::transmute_copy;
#[cfg(target_arch = "x86_64")]
use std::slice::{from_raw_parts, from_raw_parts_mut};

/// Two bfloat16 side by side, the first in the low half: two terms of a sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Pair(u32);

impl Pair {
    /// Two numbers, rounded.
    #[inline(always)]
    pub(crate) fn new<T: Float>(first: T, second: T) -> Self {
        Self(bfloat16(first) | bfloat16(second) << 16)
    }

    /// Two registers of numbers, lane by lane.
    #[inline(always)]
    pub(crate) fn zip<T: Float, const L: usize, const OPS: u8>(first: [T; L], second: [T; L]) -> [Self; L] {
        #[cfg(target_arch = "x86_64")]
        if OPS >= ops::DOTS && L == 16 && size_of::<T>() == 4 {
            use std::arch::x86_64::{__m512i, _mm512_permutexvar_epi16};
            const TURNS: [u16; 32] = {
                let (mut turns, mut l) = ([0; 32], 0);
                while l < 16 {
                    (turns[2 * l], turns[2 * l + 1]) = (l as u16, 16 + l as u16);
                    l += 1;
                }
                turns
            };
            // SAFETY: as in `multiply_add` below.
            return unsafe {
                let all: __m512i = transmute_copy(&Self::neighbours::<T, L, OPS>([first, second]));
                transmute_copy(&_mm512_permutexvar_epi16(transmute_copy(&TURNS), all))
            };
        }
        from_fn(|l| Self::new(first[l], second[l]))
    }

    /// Two registers of numbers that lie one after the other, each number with its neighbour.
    #[inline(always)]
    pub(crate) fn neighbours<T: Float, const L: usize, const OPS: u8>(halves: [[T; L]; 2]) -> [Self; L] {
        #[cfg(target_arch = "x86_64")]
        if OPS >= ops::DOTS && L == 16 && size_of::<T>() == 4 {
            use std::arch::x86_64::{__m512, _mm512_cvtne2ps_pbh};
            // SAFETY: as in `multiply_add` below.
            return unsafe {
                let [first, second]: [__m512; 2] = [transmute_copy(&halves[0]), transmute_copy(&halves[1])];
                transmute_copy(&_mm512_cvtne2ps_pbh(second, first))
            };
        }
        let rounded = halves.map(|half| half.map(bfloat16));
        let number = |at: usize| rounded[at / L][at % L];
        from_fn(|l| Self(number(2 * l) | number(2 * l + 1) << 16))
    }

    /// The first and the second number.
    #[inline(always)]
    pub(crate) fn parts(self) -> [f32; 2] {
        [f32::from_bits(self.0 << 16), f32::from_bits(self.0 & 0xffff_0000)]
    }
}

/// The bits of the nearest bfloat16, of two equally near the even one. NaN stays NaN.
#[inline(always)]
fn bfloat16<T: Float>(x: T) -> u32 {
    let x = x.to_f64() as f32;
    let bits = x.to_bits();
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    if x.is_nan() { bits >> 16 | 0x40 } else { nearest }
}

/// Returns sums with both products of a pair in each lane: a bfloat16 is the upper half of a float32.
#[cfg(target_arch = "x86_64")]
macro_rules! dot_of_pairs {
    (
        ($a:expr, $line:expr, $sum:expr) -> $register:ident, $set:ident, $and:ident, $left:ident, $cast:ident,
        $multiply_add:ident
    ) => {{
        use std::arch::x86_64::*;
        let [a, b]: [$register; 2] = [$set($a.0 as i32), transmute_copy(&$line)];
        let second = |pairs| $cast($and(pairs, $set(!0xffff)));
        let first = |pairs| $cast($left::<16>(pairs));
        let sum = $multiply_add(second(a), second(b), transmute_copy(&$sum));
        return transmute_copy(&$multiply_add(first(a), first(b), sum));
    }};
}

impl<T: Float> Factor<T> for Pair {
    const DOTS: bool = true;
    const PAIRS: bool = true;
    const TILES: bool = cfg!(target_arch = "x86_64") && size_of::<T>() == 4;
    #[inline(always)]
    fn multiply_add<const L: usize, const OPS: u8>(self, line: [Self; L], sum: [T; L]) -> [T; L] {
        #[cfg(target_arch = "x86_64")]
        if OPS >= ops::DOTS && L == 16 && size_of::<T>() == 4 {
            use std::arch::x86_64::{__m512, __m512bh, _mm512_dpbf16_ps};
            // SAFETY: DOTS is said by `x86::avx512_dot` alone, which enables the instruction; each
            // side of a copy is 64 bytes for 16 lanes, and any bits are numbers.
            return unsafe {
                let [a, b]: [__m512bh; 2] = [transmute_copy(&[self; L]), transmute_copy(&line)];
                let sum: __m512 = transmute_copy(&sum);
                transmute_copy(&_mm512_dpbf16_ps(sum, a, b))
            };
        }
        // The second product is added first, as that instruction does it.
        #[cfg(target_arch = "x86_64")]
        if OPS >= ops::FUSED && size_of::<T>() == 4 {
            // SAFETY: FUSED with sixteen lanes is said by functions that enable AVX-512 F at least, with eight by one
            // that enables AVX2 and FMA; each side of a copy is as long as the register, and any bits are numbers.
            unsafe {
                match L {
                    16 => dot_of_pairs!(
                        (self, line, sum) -> __m512i, _mm512_set1_epi32, _mm512_and_si512, _mm512_slli_epi32,
                        _mm512_castsi512_ps, _mm512_fmadd_ps
                    ),
                    8 => dot_of_pairs!(
                        (self, line, sum) -> __m256i, _mm256_set1_epi32, _mm256_and_si256, _mm256_slli_epi32,
                        _mm256_castsi256_ps, _mm256_fmadd_ps
                    ),
                    _ => {}
                }
            }
        }
        let [a, second_a] = self.parts().map(T::from_f32);
        from_fn(|l| {
            let [b, second_b] = line[l].parts().map(T::from_f32);
            let sum = second_a.multiply_add::<1, OPS>([second_b], [sum[l]]);
            a.multiply_add::<1, OPS>([b], sum)[0]
        })
    }

    #[cfg(target_arch = "x86_64")]
    fn multiply_tiles(
        rows: usize,
        a: &[Self],
        row: usize,
        terms: usize,
        b: Panel<'_, Self>,
        start: Option<(&[T], usize)>,
        c: &mut [T],
        at: [usize; 2],
    ) {
        assert!(<Self as Factor<T>>::TILES);
        // SAFETY: as the assertion says, T has four bytes: it is f32.
        let (start, c) = unsafe {
            let start = start.map(|(line, apart)| (from_raw_parts(line.as_ptr().cast(), line.len()), apart));
            (start, from_raw_parts_mut(c.as_mut_ptr().cast(), c.len()))
        };
        tiles::multiply_add(rows, a, row, terms, b, start, c, at);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Isa, Task};
    use super::*;

    /// Sums with a pair's products, whichever instructions a product of matrices would choose.
    struct Sums<'a> {
        pair: Pair,
        line: &'a [Pair; 16],
        sums: [f32; 16],
    }

    impl Task<f32> for Sums<'_> {
        const DOTS: bool = true;
        type Out = [f32; 16];
        fn run<const L: usize, const OPS: u8>(mut self) -> [f32; 16] {
            for (sums, line) in self.sums.chunks_exact_mut(L).zip(self.line.chunks_exact(L)) {
                let (line, before) = (from_fn(|l| line[l]), from_fn(|l| sums[l]));
                sums.copy_from_slice(&self.pair.multiply_add::<L, OPS>(line, before));
            }
            self.sums
        }
    }

    #[test]
    fn both_products_of_a_pair_are_added_the_second_first() {
        let number = |i: usize| ((i * 37 % 101) as f32 / 7.0 - 7.0) * 10.0_f32.powi(i as i32 % 7 - 3);
        for salt in 0..50 {
            let pair = Pair::new(number(salt), number(salt + 1));
            let line = from_fn(|l| Pair::new(number(3 * l + salt), number(5 * l + salt)));
            let sums = from_fn(|l| number(7 * l + salt));
            let want: [f32; 16] = from_fn(|l| {
                let ([a, second_a], [b, second_b]) = (pair.parts(), line[l].parts());
                a.mul_add(b, second_a.mul_add(second_b, sums[l]))
            });
            for isa in Isa::available() {
                assert_eq!(isa.run(Sums { pair, line: &line, sums }), want, "{isa:?}");
            }
        }
    }
}
