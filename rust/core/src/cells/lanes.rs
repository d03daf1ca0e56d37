//! The number a cell's equations are written in: one float, or a vector of them.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// A float, or several side by side, with the functions the cells use.
///
/// The scalar implementations here take the standard library's functions; a vector
/// implementation belongs to a backend and is held against these.
pub trait Lanes:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    /// 0 in every lane.
    const ZEROS: Self;
    /// 1 in every lane.
    const ONES: Self;
    /// This number in every lane.
    fn splat(x: f64) -> Self;
    /// 1 / (1 + e⁻ˣ).
    fn sigmoid(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// max(x, 0); NaN stays NaN.
    fn relu(self) -> Self;
    /// 1 where x > 0, else 0: the derivative of [`Lanes::relu`] at its output.
    fn positive(self) -> Self;
    /// |x|.
    fn abs(self) -> Self;
    /// x cut to ±bound; NaN stays NaN.
    fn clip(self, bound: f64) -> Self;
    /// 1 where |x| < bound, else 0: the derivative of [`Lanes::clip`].
    fn within(self, bound: f64) -> Self;
    /// 0 in place of a subnormal number.
    fn flush(self) -> Self;
}

macro_rules! scalar {
    ($t:ident) => {
        impl Lanes for $t {
            const ZEROS: Self = 0.0;
            const ONES: Self = 1.0;
            fn splat(x: f64) -> Self {
                x as $t
            }
            fn sigmoid(self) -> Self {
                // Each branch takes the exponential of a negative number: no overflow.
                if self >= 0.0 {
                    1.0 / (1.0 + (-self).exp())
                } else {
                    let e = self.exp();
                    e / (1.0 + e)
                }
            }
            fn tanh(self) -> Self {
                $t::tanh(self)
            }
            fn relu(self) -> Self {
                if self < 0.0 { 0.0 } else { self }
            }
            fn positive(self) -> Self {
                if self > 0.0 { 1.0 } else { 0.0 }
            }
            fn abs(self) -> Self {
                $t::abs(self)
            }
            fn clip(self, bound: f64) -> Self {
                let bound = bound as $t;
                let below = if self > bound { bound } else { self };
                if below < -bound { -bound } else { below }
            }
            fn within(self, bound: f64) -> Self {
                if $t::abs(self) < bound as $t { 1.0 } else { 0.0 }
            }
            fn flush(self) -> Self {
                crate::float::Float::flush(self)
            }
        }
    };
}
scalar!(f32);
scalar!(f64);
