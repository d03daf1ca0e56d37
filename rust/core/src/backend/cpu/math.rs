//! The cells' functions on several lanes at once.
//!
//! Single precision uses one range reduction and one division a function, without branches, so
//! that a compiler turns the loop over lanes into vector code. All three stay within 3 units
//! in the last place (tested below) and pass NaN on. Double precision, there for checking
//! gradients, takes the standard library's functions lane by lane.

use super::simd::{Pack, Sum};
use crate::cells::Lanes;
use crate::float::Float;
use std::array::from_fn;

/// A float with lane-wise functions.
pub(crate) trait Elementary: Float + Sum<Lane = Self> {
    fn sigmoid_each<const L: usize>(x: [Self; L]) -> [Self; L];
    fn tanh_each<const L: usize>(x: [Self; L]) -> [Self; L];
    /// eˣ for x ≤ 0 (softmax after the maximum is taken off).
    fn exp_each<const L: usize>(x: [Self; L]) -> [Self; L];
}

/// a b + c, in one rounding if `fused`.
#[inline(always)]
fn multiply_add(fused: bool, a: f32, b: f32, c: f32) -> f32 {
    if fused { a.mul_add(b, c) } else { a * b + c }
}

/// Whether registers of so many lanes come with a fused multiply-add: those of 32 bytes and more do.
const fn has_fused(lanes: usize) -> bool {
    lanes * size_of::<f32>() >= 32
}

/// e^(sign x) = 2ⁿ(1 + p) with n = round(sign x / ln 2), p = expm1(sign x − n ln 2); returns (2ⁿ, p).
/// x within ±87, so that 2ⁿ is a normal number; the sign, ±1, costs nothing. What is left of x is squared `scale` times
/// as large, a power of two: the square of a tiny number is subnormal, and slow, long before it is itself.
#[inline(always)]
fn exp_parts(fused: bool, sign: f32, scale: f32, x: f32) -> (f32, f32) {
    // Adding 1.5 · 2²³ leaves the rounded integer in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first exact in a product with any n here.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let shifted = multiply_add(fused, x, sign * std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    // x − sign n ln 2: sign times what the polynomial is of, whose odd powers take the sign.
    let r = multiply_add(fused, n, -sign * LN2_LOW, multiply_add(fused, n, -sign * LN2_HIGH, x));
    // Least maximal error of expm1(r) − r over |r| ≤ ln 2 / 2 (own fit): 3e-9. All over scale².
    let (scaled, over) = (r * scale, 1.0 / (scale * scale));
    let q = multiply_add(fused, over * 1.395_054e-3, r, over * sign * 8.368_918e-3);
    let q = multiply_add(fused, q, r, over * 4.166_620_6e-2);
    let q = multiply_add(fused, q, r, over * sign * 0.166_665_18);
    let q = multiply_add(fused, q, r, over * 0.5);
    let p = multiply_add(fused, scaled * scaled, q, sign * r);
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    (power, p)
}

/// x within ±limit; NaN stays NaN.
#[inline(always)]
fn clamp(x: f32, limit: f32) -> f32 {
    let x = if x > limit { limit } else { x };
    if x < -limit { -limit } else { x }
}

#[inline(always)]
fn sigmoid(fused: bool, x: f32) -> f32 {
    let (s, p) = exp_parts(fused, -1.0, 1.0, clamp(x, 87.0));
    1.0 / (1.0 + multiply_add(fused, s, p, s))
}

#[inline(always)]
fn tanh(fused: bool, x: f32) -> f32 {
    // tanh x = t / (t + 2) with t = expm1(2x); beyond ±9.1 it rounds to ±1.
    // In a shut LSTM x, the memory, is tiny. Products that are rounded on their own, with coefficients so much smaller,
    // would be no better.
    let scale = if fused { (1_u64 << 45) as f32 } else { 1.0 };
    let (s, p) = exp_parts(fused, 1.0, scale, clamp(x + x, 18.2));
    let t = multiply_add(fused, s, p, s - 1.0);
    t / (t + 2.0)
}

#[inline(always)]
fn exp(fused: bool, x: f32) -> f32 {
    let (s, p) = exp_parts(fused, 1.0, 1.0, clamp(x, 87.0));
    multiply_add(fused, s, p, s)
}

// Plain loops: a closure may stay a function of its own, compiled without the caller's instructions.
impl Elementary for f32 {
    #[inline(always)]
    fn sigmoid_each<const L: usize>(mut x: [Self; L]) -> [Self; L] {
        for x in &mut x {
            *x = sigmoid(has_fused(L), *x);
        }
        x
    }
    #[inline(always)]
    fn tanh_each<const L: usize>(mut x: [Self; L]) -> [Self; L] {
        for x in &mut x {
            *x = tanh(has_fused(L), *x);
        }
        x
    }
    #[inline(always)]
    fn exp_each<const L: usize>(mut x: [Self; L]) -> [Self; L] {
        for x in &mut x {
            *x = exp(has_fused(L), *x);
        }
        x
    }
}

impl Elementary for f64 {
    fn sigmoid_each<const L: usize>(x: [Self; L]) -> [Self; L] {
        x.map(Lanes::sigmoid)
    }
    fn tanh_each<const L: usize>(x: [Self; L]) -> [Self; L] {
        x.map(f64::tanh)
    }
    fn exp_each<const L: usize>(x: [Self; L]) -> [Self; L] {
        x.map(f64::exp)
    }
}

/// `to += from`.
pub(super) fn add<T: Float>(to: &mut [T], from: &[T]) {
    for (x, &d) in to.iter_mut().zip(from) {
        *x += d;
    }
}

impl<T: Elementary, const L: usize> Lanes for Pack<T, L> {
    const ZEROS: Self = Self([T::ZERO; L]);
    const ONES: Self = Self([T::ONE; L]);
    #[inline(always)]
    fn splat(x: f64) -> Self {
        Self([T::from_f64(x); L])
    }
    #[inline(always)]
    fn sigmoid(self) -> Self {
        Self(T::sigmoid_each(self.0))
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        Self(T::tanh_each(self.0))
    }
    #[inline(always)]
    fn relu(self) -> Self {
        Self(from_fn(|l| if self.0[l] < T::ZERO { T::ZERO } else { self.0[l] }))
    }
    #[inline(always)]
    fn positive(self) -> Self {
        Self(from_fn(|l| if self.0[l] > T::ZERO { T::ONE } else { T::ZERO }))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Self(from_fn(|l| if self.0[l] < T::ZERO { -self.0[l] } else { self.0[l] }))
    }
    #[inline(always)]
    fn clip(self, bound: f64) -> Self {
        let bound = T::from_f64(bound);
        let below = Self(from_fn(|l| if self.0[l] > bound { bound } else { self.0[l] }));
        Self(from_fn(|l| if below.0[l] < -bound { -bound } else { below.0[l] }))
    }
    #[inline(always)]
    fn within(self, bound: f64) -> Self {
        let (size, bound) = (self.abs(), T::from_f64(bound));
        Self(from_fn(|l| if size.0[l] < bound { T::ONE } else { T::ZERO }))
    }
    #[inline(always)]
    fn flush(self) -> Self {
        Self(from_fn(|l| Float::flush(self.0[l])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest error in units in the last place over a strided scan of all floats within ±limit.
    fn worst_ulp(limit: f32, f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> f64 {
        let mut worst: f64 = 0.0;
        for bits in (0..limit.to_bits()).step_by(211) {
            for x in [f32::from_bits(bits), -f32::from_bits(bits)] {
                let want = exact(f64::from(x));
                let nearest = want as f32;
                let ulp = f64::from(nearest.abs().max(f32::MIN_POSITIVE).next_up())
                    - f64::from(nearest.abs().max(f32::MIN_POSITIVE));
                worst = worst.max((f64::from(f(x)) - want).abs() / ulp);
            }
        }
        worst
    }

    #[test]
    fn within_three_ulp() {
        for fused in [false, true] {
            assert!(worst_ulp(86.0, |x| sigmoid(fused, x), |x| 1.0 / (1.0 + (-x).exp())) <= 3.0);
            assert!(worst_ulp(20.0, |x| tanh(fused, x), f64::tanh) <= 3.0);
            assert!(worst_ulp(86.0, |x| exp(fused, x), f64::exp) <= 3.0);
        }
    }

    #[test]
    fn ends_and_nan() {
        for fused in [false, true] {
            assert_eq!(tanh(fused, f32::INFINITY), 1.0);
            assert_eq!(tanh(fused, f32::NEG_INFINITY), -1.0);
            assert_eq!(sigmoid(fused, f32::INFINITY), 1.0);
            assert!(sigmoid(fused, f32::NEG_INFINITY) < 1e-37);
            assert!(tanh(fused, f32::NAN).is_nan() && sigmoid(fused, f32::NAN).is_nan());
            assert!(exp(fused, f32::NAN).is_nan());
            assert_eq!(tanh(fused, 0.0), 0.0);
        }
    }
}
