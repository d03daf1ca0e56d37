//! Squares of numbers turned in registers.

#[cfg(target_arch = "x86_64")]
use super::ops;
use super::{Factor, Sum};
use std::array::from_fn;
#[cfg(target_arch = "x86_64")]
use std::mem::transmute_copy;

/// A square turned: its rows become its columns.
#[inline(always)]
pub(crate) fn turn<S: Sum, F: Factor<S>, const L: usize, const OPS: u8>(square: [[F; L]; L]) -> [[F; L]; L] {
    #[cfg(target_arch = "x86_64")]
    if OPS >= ops::FUSED && L == 16 && size_of::<F>() == 4 {
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
        // SAFETY: FUSED with sixteen lanes is said by `x86::avx512` and `x86::avx512_dot` alone, which enable the
        // instruction; factors are numbers of any bits, and both sides of a copy are 16 times 64 bytes.
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
