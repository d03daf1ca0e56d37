//! Two sums over vectors, in the order of their numbers.

use crate::float::Float;

/// Σ a b.
pub(super) fn dot<T: Float>(a: &[T], b: &[T]) -> T {
    a.iter().zip(b).fold(T::ZERO, |sum, (&x, &y)| sum + x * y)
}

/// to += factor · from.
pub(super) fn add<T: Float>(to: &mut [T], factor: T, from: &[T]) {
    for (x, &d) in to.iter_mut().zip(from) {
        *x += factor * d;
    }
}
