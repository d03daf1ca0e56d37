//! The innermost loop of every product, and what it multiplies.

use super::ops;
#[cfg(target_arch = "x86_64")]
use super::tiles;
use crate::float::Float;
use std::array::from_fn;
use std::mem::transmute_copy;
#[cfg(target_arch = "x86_64")]
use std::slice::{from_raw_parts, from_raw_parts_mut};

/// What a product sums.
pub(crate) trait Sum: Copy + Default + Send + Sync + 'static {
    /// The number whose lanes count those of the sums.
    type Lane: Float;
}

impl<T: Float> Sum for T {
    type Lane = T;
}

/// What a product multiplies, to sums of `S`.
pub(crate) trait Factor<S: Sum>: Copy + Default + Send + Sync + 'static {
    /// Whether an instruction set's dot products are of use, and whether its tiles are.
    const DOTS: bool = false;
    const TILES: bool = false;
    /// `sum + self · line`, lane by lane. `OPS`, one of [`ops`], is what the caller is compiled for.
    fn multiply_add<const L: usize, const OPS: u8>(self, line: [Self; L], sum: [S; L]) -> [S; L];

    /// `c[r][v] ← start + Σ a(r, k) · b[k][v]` on an instruction set that has tiles: `rows` rows of `a`, `row`
    /// factors apart; of `c` they are `stride` apart, and their registers `apart`. All start from one line, with
    /// registers so far apart, or from what is there.
    fn multiply_tiles(
        _rows: usize,
        _a: &[Self],
        _row: usize,
        _terms: usize,
        _b: Panel<'_, Self>,
        _start: Option<(&[S], usize)>,
        _c: &mut [S],
        [_stride, _apart]: [usize; 2],
    ) {
        unreachable!("factors without tiles");
    }
}

impl<T: Float> Factor<T> for T {
    #[inline(always)]
    fn multiply_add<const L: usize, const OPS: u8>(self, line: [T; L], sum: [T; L]) -> [T; L] {
        from_fn(|l| if OPS >= ops::FUSED { self.mul_add(line[l], sum[l]) } else { sum[l] + self * line[l] })
    }
}

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
        let number = |at: usize| halves[at / L][at % L];
        from_fn(|l| Self::new(number(2 * l), number(2 * l + 1)))
    }

    /// A square turned: its rows become its columns.
    #[inline(always)]
    pub(crate) fn turn<const L: usize, const OPS: u8>(square: [[Self; L]; L]) -> [[Self; L]; L] {
        #[cfg(target_arch = "x86_64")]
        if OPS >= ops::DOTS && L == 16 {
            use std::arch::x86_64::{__m512i, _mm512_permutex2var_epi32};
            // The first or the second halves of two rows, number by number in turns.
            const DEALT: [[u32; 16]; 2] = {
                let (mut dealt, mut l) = ([[0; 16]; 2], 0);
                while l < 16 {
                    let at = (l / 2 + 16 * (l % 2)) as u32;
                    (dealt[0][l], dealt[1][l]) = (at, 8 + at);
                    l += 1;
                }
                dealt
            };
            // SAFETY: as in `multiply_add` below.
            return unsafe {
                let dealt: [__m512i; 2] = transmute_copy(&DEALT);
                let mut rows: [__m512i; 16] = transmute_copy(&square);
                // As often as sixteen can be halved.
                for _ in 0..4 {
                    rows = from_fn(|i| _mm512_permutex2var_epi32(rows[i / 2], dealt[i % 2], rows[i / 2 + 8]));
                }
                transmute_copy(&rows)
            };
        }
        from_fn(|i| from_fn(|l| square[l][i]))
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

impl<T: Float> Factor<T> for Pair {
    const DOTS: bool = true;
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

/// Four whole numbers side by side: the operand's from 0 to 255, the weight's from −128 to 127.
pub(crate) type Quad = [u8; 4];

impl Sum for i32 {
    type Lane = f32;
}

impl Factor<i32> for Quad {
    const DOTS: bool = true;
    #[inline(always)]
    fn multiply_add<const L: usize, const OPS: u8>(self, line: [Self; L], sum: [i32; L]) -> [i32; L] {
        #[cfg(target_arch = "x86_64")]
        if OPS >= ops::DOTS && L == 16 {
            use std::arch::x86_64::{__m512i, _mm512_dpbusd_epi32, _mm512_set1_epi32};
            // SAFETY: DOTS is said by `x86::avx512_dot` alone, which enables the instruction; each
            // side of a copy is 64 bytes for 16 lanes, and any bits are numbers.
            return unsafe {
                let line: __m512i = transmute_copy(&line);
                let sum: __m512i = transmute_copy(&sum);
                let a = _mm512_set1_epi32(i32::from_le_bytes(self));
                transmute_copy(&_mm512_dpbusd_epi32(sum, a, line))
            };
        }
        #[cfg(target_arch = "x86_64")]
        if OPS >= ops::FUSED && L == 8 {
            use std::arch::x86_64::*;
            // SAFETY: FUSED with eight lanes is said by functions that enable AVX2 at least; each side
            // of a copy is 32 bytes for 8 lanes, and any bits are numbers.
            return unsafe {
                let line: __m256i = transmute_copy(&line);
                let sum: __m256i = transmute_copy(&sum);
                let a = _mm256_set1_epi32(i32::from_le_bytes(self));
                // The bytes of even and of odd number, each widened to 16 bits.
                let (even, odd) =
                    (_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(line)), _mm256_srai_epi16::<8>(line));
                let (even_a, odd_a) =
                    (_mm256_and_si256(a, _mm256_set1_epi16(0xff)), _mm256_srli_epi16::<8>(a));
                let sum = _mm256_add_epi32(sum, _mm256_madd_epi16(even, even_a));
                transmute_copy(&_mm256_add_epi32(sum, _mm256_madd_epi16(odd, odd_a)))
            };
        }
        from_fn(|l| {
            let products = self.iter().zip(line[l]).map(|(&a, b)| i32::from(a) * i32::from(b as i8));
            sum[l] + products.sum::<i32>()
        })
    }
}

/// Where an operand of [`multiply`] lies: element (row i, term k of block j) at
/// `i * row + j * block + k * term`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strides {
    pub(crate) row: usize,
    pub(crate) term: usize,
    pub(crate) block: usize,
}

/// The right-hand matrix of a product, or some of its columns: `vectors` (1 to 4) registers wide;
/// register v of term k begins at `k * stride + v * apart`.
#[derive(Clone, Copy)]
pub(crate) struct Panel<'a, F> {
    pub(crate) data: &'a [F],
    pub(crate) stride: usize,
    pub(crate) vectors: usize,
    pub(crate) apart: usize,
    /// What will be read next, to be fetched meanwhile; nothing where it is at hand.
    pub(crate) ahead: &'a [F],
}

/// Bytes in a line of the caches.
const CACHE_LINE: usize = 64;

/// Asks for the cache line at `address`, which need not be one that can be read.
#[inline(always)]
fn fetch<F>(address: *const F) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction belongs to every processor of this target, and has no effect but on caches.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// The innermost loop of every product: `sum[r][v] += Σ a(r, k) · b[k][v]` over `blocks` blocks
/// of `terms` terms, k running through them all.
#[inline(always)]
pub(crate) fn multiply<
    S: Sum,
    F: Factor<S>,
    const L: usize,
    const OPS: u8,
    const R: usize,
    const N: usize,
>(
    sum: &mut [[[S; L]; N]; R],
    a: &[F],
    at: Strides,
    blocks: usize,
    terms: usize,
    b: Panel<'_, F>,
) {
    if blocks == 0 || terms == 0 {
        return;
    }
    let last = (R - 1) * at.row + (blocks - 1) * at.block + (terms - 1) * at.term;
    assert!(last < a.len() && (blocks * terms - 1) * b.stride + (N - 1) * b.apart + L <= b.data.len());
    let line_len = CACHE_LINE / size_of::<F>();
    let fetched_a_term = b.ahead.len().div_ceil(line_len * blocks * terms);
    let (mut at_b, mut ahead) = (b.data.as_ptr(), b.ahead.as_ptr());
    for block in 0..blocks {
        let a = a[block * at.block..].as_ptr();
        for k in 0..terms {
            // SAFETY: the assertion above bounds the largest index of `a` used here, and `at_b`
            // advances `b.stride` elements on each of blocks·terms turns.
            let factor = |r: usize| unsafe { *a.add(r * at.row + k * at.term) };
            // SAFETY: as above.
            let line = |v: usize| unsafe { at_b.add(v * b.apart).cast::<[F; L]>().read_unaligned() };
            // The fewer of both are held in registers, the others pass by.
            if N < R {
                let lines: [[F; L]; N] = from_fn(line);
                for r in 0..R {
                    let factor = factor(r);
                    for v in 0..N {
                        sum[r][v] = factor.multiply_add::<L, OPS>(lines[v], sum[r][v]);
                    }
                }
            } else {
                let factors: [F; R] = from_fn(factor);
                for v in 0..N {
                    let line = line(v);
                    for r in 0..R {
                        sum[r][v] = factors[r].multiply_add::<L, OPS>(line, sum[r][v]);
                    }
                }
            }
            at_b = at_b.wrapping_add(b.stride);
            for _ in 0..fetched_a_term {
                fetch(ahead);
                ahead = ahead.wrapping_add(line_len);
            }
        }
    }
}
