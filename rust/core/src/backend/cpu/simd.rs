//! Instruction sets: detect once, then run a [`Task`] compiled for the best one.
//!
//! A task is written once, generic over the lane count `L`; its body is inlined into a function
//! that enables an instruction set, and the compiler vectorises the lane loops for it. This file
//! holds the crate's dispatch and the bounds-free loads of its innermost loop.
#![allow(unsafe_code)]

use crate::error::{Error, Result};
use crate::float::Float;
use std::array::from_fn;
use std::ops::{Add, Div, Mul, Neg, Sub};
use std::sync::OnceLock;

/// An instruction set that the kernels are compiled for and this processor has: there is no way
/// to make one that it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Isa(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Set {
    /// What every processor of the target has.
    Portable,
    /// AVX2 with fused multiply-add.
    Avx2,
    /// AVX-512 F, VL, BW, DQ.
    Avx512,
}

/// A computation compiled once for each instruction set.
pub(crate) trait Task<T: Float> {
    type Out;
    /// `L` lanes of `T` fill a register; `FMA`: a fused multiply-add is one instruction.
    fn run<const L: usize, const FMA: bool>(self) -> Self::Out;
}

impl Isa {
    /// Every instruction set this processor has, slowest first.
    pub fn available() -> Vec<Self> {
        let mut all = vec![Self(Set::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                all.push(Self(Set::Avx2));
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                {
                    all.push(Self(Set::Avx512));
                }
            }
        }
        all
    }

    /// The best available one, or the one `SEQRS_CPU` names, which can only force downwards.
    pub fn detect() -> Result<Self> {
        static BEST: OnceLock<Isa> = OnceLock::new();
        let best = *BEST.get_or_init(|| Self::available().pop().unwrap_or(Self(Set::Portable)));
        match std::env::var("SEQRS_CPU") {
            Err(_) => Ok(best),
            Ok(name) => {
                let asked =
                    [Set::Portable, Set::Avx2, Set::Avx512].map(Self).into_iter().find(|i| i.name() == name);
                asked
                    .map(|isa| isa.min(best))
                    .ok_or_else(|| Error::value("SEQRS_CPU", "portable, avx2 or avx512", format!("{name:?}")))
            }
        }
    }

    /// Its name, as `SEQRS_CPU` takes it.
    pub fn name(self) -> &'static str {
        match self.0 {
            Set::Portable => "portable",
            Set::Avx2 => "avx2",
            Set::Avx512 => "avx512",
        }
    }

    /// Lanes of `T` in a register.
    pub(crate) fn lanes<T: Float>(self) -> usize {
        let bytes = match self.0 {
            Set::Portable => 16,
            Set::Avx2 => 32,
            Set::Avx512 => 64,
        };
        bytes / size_of::<T>()
    }

    /// Rows of a product's tile: rows × 4 accumulators fit the register file.
    pub(crate) fn tile_rows(self) -> usize {
        match self.0 {
            Set::Portable => 2,
            Set::Avx2 => 3,
            Set::Avx512 => 6,
        }
    }

    /// Runs a task compiled for this instruction set.
    #[inline]
    pub(crate) fn run<T: Float, K: Task<T>>(self, task: K) -> K::Out {
        let double = size_of::<T>() == 8;
        match self.0 {
            Set::Portable if double => task.run::<2, false>(),
            Set::Portable => task.run::<4, false>(),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` yields Avx2 only on a processor with AVX2 and FMA, and `detect`
            // only what `available` yields.
            Set::Avx2 => unsafe { x86::avx2(task) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the same holds for Avx512 and every feature the function enables.
            Set::Avx512 => unsafe { x86::avx512(task) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!("{} is never detected on this target", self.name()),
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Float, Task};

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2<T: Float, K: Task<T>>(task: K) -> K::Out {
        if size_of::<T>() == 8 { task.run::<4, true>() } else { task.run::<8, true>() }
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    pub(super) fn avx512<T: Float, K: Task<T>>(task: K) -> K::Out {
        if size_of::<T>() == 8 { task.run::<8, true>() } else { task.run::<16, true>() }
    }
}

/// `L` numbers side by side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pack<T, const L: usize>(pub(crate) [T; L]);

impl<T: Float, const L: usize> Pack<T, L> {
    /// The first `L` numbers of a slice.
    #[inline(always)]
    pub(crate) fn load(from: &[T]) -> Self {
        let from = &from[..L];
        Self(from_fn(|l| from[l]))
    }

    /// Into the first `L` places of a slice.
    #[inline(always)]
    pub(crate) fn store(self, to: &mut [T]) {
        to[..L].copy_from_slice(&self.0);
    }

    /// The lanes' sum, in a fixed order.
    #[inline(always)]
    pub(crate) fn sum(self) -> T {
        self.0.into_iter().fold(T::ZERO, |sum, x| sum + x)
    }
}

macro_rules! lane_wise {
    ($trait:ident, $method:ident, $op:tt) => {
        impl<T: Float, const L: usize> $trait for Pack<T, L> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self(from_fn(|l| self.0[l] $op other.0[l]))
            }
        }
    };
}
lane_wise!(Add, add, +);
lane_wise!(Sub, sub, -);
lane_wise!(Mul, mul, *);
lane_wise!(Div, div, /);

impl<T: Float, const L: usize> Neg for Pack<T, L> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self(from_fn(|l| -self.0[l]))
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

/// The innermost loop of every product: `sum[r][v] += Σ a(r, k) · b[k][v]` over `blocks` blocks
/// of `terms` terms, k running through them all; term k of `b` begins at `k * b_stride`.
#[inline(always)]
pub(crate) fn multiply<T: Float, const L: usize, const FMA: bool, const R: usize, const N: usize>(
    sum: &mut [[[T; L]; N]; R],
    a: &[T],
    at: Strides,
    blocks: usize,
    terms: usize,
    b: &[T],
    b_stride: usize,
) {
    if blocks == 0 || terms == 0 {
        return;
    }
    let last = (R - 1) * at.row + (blocks - 1) * at.block + (terms - 1) * at.term;
    assert!(last < a.len() && (blocks * terms - 1) * b_stride + N * L <= b.len());
    let mut b = b.as_ptr();
    for block in 0..blocks {
        let a = a[block * at.block..].as_ptr();
        for k in 0..terms {
            // SAFETY: the assertion above bounds the largest index of `a` used here, and `b`
            // advances `b_stride` elements on each of blocks·terms turns.
            let factors: [T; R] = from_fn(|r| unsafe { *a.add(r * at.row + k * at.term) });
            for v in 0..N {
                // SAFETY: as above.
                let line: [T; L] = unsafe { b.add(v * L).cast::<[T; L]>().read_unaligned() };
                for r in 0..R {
                    for l in 0..L {
                        sum[r][v][l] = if FMA {
                            factors[r].mul_add(line[l], sum[r][v][l])
                        } else {
                            sum[r][v][l] + factors[r] * line[l]
                        };
                    }
                }
            }
            b = b.wrapping_add(b_stride);
        }
    }
}
