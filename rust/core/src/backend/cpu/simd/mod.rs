//! Instruction sets: detect once, then run a [`Task`] compiled for the best one.
//!
//! A task is written once, generic over the lane count `L`; its body is inlined into a function
//! that enables an instruction set, and the compiler vectorises the lane loops for it. This module
//! holds the crate's dispatch, and in [`factor`] the innermost loop of every product.
#![allow(unsafe_code)]
// Other processors take the portable path, and know nothing of dot products and tiles.
#![cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]

mod factor;
mod pack;
mod pair;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod turn;

pub(crate) use factor::{Factor, Panel, Quad, Strides, Sum, fetch, load_tile, multiply, store_tile};
pub(crate) use pack::Pack;
pub(crate) use pair::Pair;
pub(crate) use turn::turn;

use crate::error::{Error, Result};
use crate::float::Float;
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
    /// The same with dot products of bfloat16 (BF16) and of bytes (VNNI).
    Avx512Dot,
    /// The same with products of bfloat16 in tiles (AMX).
    Amx,
}

const SETS: [Set; 5] = [Set::Portable, Set::Avx2, Set::Avx512, Set::Avx512Dot, Set::Amx];

/// What an instruction set does in one instruction, as the `OPS` of a [`Task`].
pub(crate) mod ops {
    /// A product, a sum.
    pub(crate) const PLAIN: u8 = 0;
    /// A fused multiply-add, too.
    pub(crate) const FUSED: u8 = 1;
    /// Dot products of short numbers, too.
    pub(crate) const DOTS: u8 = 2;
}

/// A computation compiled once for each instruction set.
pub(crate) trait Task<T: Float> {
    /// Whether dot products of short numbers are of use to it; else it is not compiled again for them.
    const DOTS: bool = false;
    /// Whether these are of bfloat16 and nothing else in it needs the instruction set that has them.
    const PAIRS: bool = false;
    type Out;
    /// `L` lanes of `T` fill a register; `OPS`: one of [`ops`].
    fn run<const L: usize, const OPS: u8>(self) -> Self::Out;
}

impl Isa {
    /// Every instruction set this processor has, slowest first.
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut))]
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
                    if is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512vnni") {
                        all.push(Self(Set::Avx512Dot));
                        if tiles::usable() {
                            all.push(Self(Set::Amx));
                        }
                    }
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
                let asked = SETS.map(Self).into_iter().find(|i| i.name() == name);
                let known = || SETS.map(|set| Self(set).name()).join(", ");
                asked
                    .map(|isa| isa.min(best))
                    .ok_or_else(|| Error::value("SEQRS_CPU", known(), format!("{name:?}")))
            }
        }
    }

    /// Its name, as `SEQRS_CPU` takes it.
    pub fn name(self) -> &'static str {
        match self.0 {
            Set::Portable => "portable",
            Set::Avx2 => "avx2",
            Set::Avx512 => "avx512",
            Set::Avx512Dot => "avx512bf16",
            Set::Amx => "amx",
        }
    }

    /// Lanes of `T` in a register.
    pub(crate) fn lanes<T: Float>(self) -> usize {
        let bytes = match self.0 {
            Set::Portable => 16,
            Set::Avx2 => 32,
            Set::Avx512 | Set::Avx512Dot | Set::Amx => 64,
        };
        bytes / size_of::<T>()
    }

    /// Rows of a product's tile with a panel of 1 to 4 registers: its sums fit the register file beside
    /// what they are made of, and are enough to hide how long a multiply-add takes. `pairs`: of bfloat16; where
    /// multiply-adds make their products, a register of the panel becomes two.
    pub(crate) fn tile_rows(self, vectors: usize, pairs: bool) -> usize {
        let rows = match self.0 {
            Set::Portable => [6, 4, 2, 2],
            Set::Avx2 if pairs => [8, 4, 3, 2],
            Set::Avx2 => [8, 6, 3, 3],
            Set::Avx512 if pairs => [8, 8, 7, 5],
            Set::Avx512Dot if pairs && pairs_are_slow() => [8, 8, 7, 5],
            Set::Avx512 | Set::Avx512Dot | Set::Amx => [8, 8, 8, 6],
        };
        rows[vectors - 1]
    }

    /// Whether it multiplies bfloat16 in tiles, of whose rows there should be many.
    pub(crate) fn has_tiles(self) -> bool {
        self.0 == Set::Amx
    }

    /// Runs a task compiled for this instruction set.
    #[inline]
    pub(crate) fn run<T: Float, K: Task<T>>(self, task: K) -> K::Out {
        let double = size_of::<T>() == 8;
        match self.0 {
            Set::Portable if double => task.run::<2, { ops::PLAIN }>(),
            Set::Portable => task.run::<4, { ops::PLAIN }>(),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` yields Avx2 only on a processor with AVX2 and FMA, and `detect`
            // only what `available` yields.
            Set::Avx2 => unsafe { x86::avx2(task) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the same holds for Avx512Dot and every feature the function enables; Amx has them too.
            Set::Avx512Dot | Set::Amx if K::DOTS && !(K::PAIRS && pairs_are_slow()) => unsafe {
                x86::avx512_dot(task)
            },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the same holds for Avx512, whose features the other two have too.
            Set::Avx512 | Set::Avx512Dot | Set::Amx => unsafe { x86::avx512(task) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!("{} is never detected on this target", self.name()),
        }
    }
}

/// Whether dot products of bfloat16 take longer than the multiply-adds that they stand for, two of float32: Intel's
/// processors start one of them where they could start four multiply-adds, AMD's as many.
fn pairs_are_slow() -> bool {
    is_of_intel()
}

/// Whether Intel made this processor.
pub(crate) fn is_of_intel() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::__cpuid;
        static INTEL: OnceLock<bool> = OnceLock::new();
        // The beginning of "GenuineIntel".
        #[allow(unused_unsafe)]
        // SAFETY: every processor of this target has the instruction.
        *INTEL.get_or_init(|| unsafe { __cpuid(0) }.ebx == u32::from_le_bytes(*b"Genu"))
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Float, Task, ops::*};

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2<T: Float, K: Task<T>>(task: K) -> K::Out {
        if size_of::<T>() == 8 { task.run::<4, FUSED>() } else { task.run::<8, FUSED>() }
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    pub(super) fn avx512<T: Float, K: Task<T>>(task: K) -> K::Out {
        if size_of::<T>() == 8 { task.run::<8, FUSED>() } else { task.run::<16, FUSED>() }
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx512vnni,avx2,fma")]
    pub(super) fn avx512_dot<T: Float, K: Task<T>>(task: K) -> K::Out {
        if size_of::<T>() == 8 { task.run::<8, DOTS>() } else { task.run::<16, DOTS>() }
    }
}
