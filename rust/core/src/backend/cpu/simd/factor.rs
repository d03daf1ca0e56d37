//! The innermost loop of every product, and what it multiplies.

use super::ops;
use crate::float::Float;
use std::array::from_fn;
#[cfg(target_arch = "x86_64")]
use std::mem::transmute_copy;
use std::ops::Range;

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
    /// Whether one is two terms of a sum.
    const PAIRS: bool = false;
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

/// Four whole numbers side by side: the operand's from 0 to 255, the weight's from −128 to 127.
pub(crate) type Quad = [u8; 4];

impl Sum for i32 {
    type Lane = f32;
}

/// Returns sums with the products of four bytes in each lane, those of even and of odd number widened to 16 bits.
#[cfg(target_arch = "x86_64")]
macro_rules! dot_of_bytes {
    (
        ($a:expr, $line:expr, $sum:expr) -> $register:ident, $set:ident, $set16:ident, $and:ident, $left:ident,
        $right:ident, $logical:ident, $madd:ident, $add:ident
    ) => {{
        use std::arch::x86_64::*;
        let (line, sum): ($register, $register) = (transmute_copy(&$line), transmute_copy(&$sum));
        let a = $set(i32::from_le_bytes($a));
        let even = $madd($right::<8>($left::<8>(line)), $and(a, $set16(0xff)));
        let odd = $madd($right::<8>(line), $logical::<8>(a));
        return transmute_copy(&$add($add(sum, even), odd));
    }};
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
        // SAFETY: FUSED with sixteen lanes is said by functions that enable AVX-512 F and BW at least, with eight by
        // functions that all enable AVX2 (of float64 those of AVX-512, too), and every processor of this target has
        // SSE2; each side of a copy is as long as the register, and any bits are numbers.
        unsafe {
            match L {
                16 if OPS >= ops::FUSED => {
                    dot_of_bytes!(
                        (self, line, sum) -> __m512i,
                        _mm512_set1_epi32, _mm512_set1_epi16, _mm512_and_si512, _mm512_slli_epi16,
                        _mm512_srai_epi16, _mm512_srli_epi16, _mm512_madd_epi16, _mm512_add_epi32
                    )
                }
                8 if OPS >= ops::FUSED => {
                    dot_of_bytes!(
                        (self, line, sum) -> __m256i,
                        _mm256_set1_epi32, _mm256_set1_epi16, _mm256_and_si256, _mm256_slli_epi16,
                        _mm256_srai_epi16, _mm256_srli_epi16, _mm256_madd_epi16, _mm256_add_epi32
                    )
                }
                4 => {
                    dot_of_bytes!(
                        (self, line, sum) -> __m128i,
                        _mm_set1_epi32, _mm_set1_epi16, _mm_and_si128, _mm_slli_epi16,
                        _mm_srai_epi16, _mm_srli_epi16, _mm_madd_epi16, _mm_add_epi32
                    )
                }
                _ => {}
            }
        }
        // For other processors and other numbers of lanes, in whole lanes: a byte is shifted to the upper end and back.
        from_fn(|l| {
            let line = i32::from_le_bytes(line[l]);
            let product = |at: usize| ((line << (24 - 8 * at)) >> 24) * i32::from(self[at]);
            sum[l] + product(0) + product(1) + product(2) + product(3)
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

/// Asks for the cache lines of some numbers, which will be read or written soon; of none if not all are there.
/// They begin a line, as a rule.
#[inline(always)]
pub(crate) fn fetch<F>(all: &[F], range: Range<usize>) {
    for line in all.get(range).unwrap_or_default().chunks(CACHE_LINE / size_of::<F>()) {
        fetch_line(line.as_ptr());
    }
}

/// Asks for the cache line at `address`.
#[inline(always)]
fn fetch_line<F>(address: *const F) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction belongs to every processor of this target, and has no effect but on caches.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// The sums of a tile from memory: register v of row r begins at `r * row + v * apart`.
#[inline(always)]
pub(crate) fn load_tile<S: Sum, const L: usize, const R: usize, const N: usize>(
    from: &[S],
    [row, apart]: [usize; 2],
) -> [[[S; L]; N]; R] {
    assert!((R - 1) * row + (N - 1) * apart + L <= from.len(), "a tile");
    let from = from.as_ptr();
    // SAFETY: the assertion bounds the largest index.
    from_fn(|r| from_fn(|v| unsafe { from.add(r * row + v * apart).cast::<[S; L]>().read_unaligned() }))
}

/// The same into memory.
#[inline(always)]
pub(crate) fn store_tile<S: Sum, const L: usize, const R: usize, const N: usize>(
    sums: &[[[S; L]; N]; R],
    to: &mut [S],
    [row, apart]: [usize; 2],
) {
    assert!((R - 1) * row + (N - 1) * apart + L <= to.len(), "a tile");
    let to = to.as_mut_ptr();
    for r in 0..R {
        for v in 0..N {
            // SAFETY: the assertion bounds the largest index.
            unsafe { to.add(r * row + v * apart).cast::<[S; L]>().write_unaligned(sums[r][v]) };
        }
    }
}

/// The innermost loop of every product: `sum[g][r][v] += Σ a_g(r, k) · b[k][v]` over `blocks` blocks
/// of `terms` terms, k running through them all, for `G` left-hand matrices that differ in where blocks begin alone.
#[inline(always)]
pub(crate) fn multiply<
    S: Sum,
    F: Factor<S>,
    const L: usize,
    const OPS: u8,
    const R: usize,
    const N: usize,
    const G: usize,
>(
    sum: &mut [[[[S; L]; N]; R]; G],
    a: [&[F]; G],
    at: [Strides; G],
    blocks: usize,
    terms: usize,
    b: Panel<'_, F>,
) {
    if blocks == 0 || terms == 0 {
        return;
    }
    let Strides { row, term, .. } = at[0];
    let last = |block: usize| (R - 1) * row + (blocks - 1) * block + (terms - 1) * term;
    assert!(a.iter().zip(at).all(|(a, at)| last(at.block) < a.len()));
    assert!((blocks * terms - 1) * b.stride + (N - 1) * b.apart + L <= b.data.len());
    let line_len = CACHE_LINE / size_of::<F>();
    let fetched_a_term = b.ahead.len().div_ceil(line_len * blocks * terms);
    let (mut at_b, mut ahead) = (b.data.as_ptr(), b.ahead.chunks(line_len));
    for block in 0..blocks {
        let a: [_; G] = from_fn(|g| a[g][block * at[g].block..].as_ptr());
        for k in 0..terms {
            // SAFETY: the first assertion bounds the largest index of each `a` used here.
            let factor = |g: usize, r: usize| unsafe { *a[g].add(r * row + k * term) };
            // SAFETY: the second one that of `b`: `at_b` advances `b.stride` elements on each of blocks·terms turns.
            let line = |v: usize| unsafe { at_b.add(v * b.apart).cast::<[F; L]>().read_unaligned() };
            // The fewer of both are held in registers, the others pass by.
            if N < R * G {
                let lines: [[F; L]; N] = from_fn(line);
                for g in 0..G {
                    for r in 0..R {
                        let factor = factor(g, r);
                        for v in 0..N {
                            sum[g][r][v] = factor.multiply_add::<L, OPS>(lines[v], sum[g][r][v]);
                        }
                    }
                }
            } else {
                let factors: [[F; R]; G] = from_fn(|g| from_fn(|r| factor(g, r)));
                for v in 0..N {
                    let line = line(v);
                    for g in 0..G {
                        for r in 0..R {
                            sum[g][r][v] = factors[g][r].multiply_add::<L, OPS>(line, sum[g][r][v]);
                        }
                    }
                }
            }
            at_b = at_b.wrapping_add(b.stride);
            for line in ahead.by_ref().take(fetched_a_term) {
                fetch_line(line.as_ptr());
            }
        }
    }
}
