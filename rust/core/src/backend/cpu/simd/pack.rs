//! Numbers side by side, added and multiplied lane by lane.

use crate::float::Float;
use std::array::from_fn;
use std::ops::{Add, Div, Mul, Neg, Sub};

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
