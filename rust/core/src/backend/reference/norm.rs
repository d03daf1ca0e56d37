//! Layer normalisation of a vector (Ba et al. 2016).

use super::vectors::dot;
use crate::float::Float;

/// A vector with mean 0 and variance 1.
pub(super) struct Normed<T> {
    /// (x − mean) / √(variance + eps).
    pub x: Vec<T>,
    /// 1 / √(variance + eps).
    scale: T,
}

impl<T: Float> Normed<T> {
    pub fn new(x: &[T], eps: f64) -> Self {
        let n = T::from_f64(x.len() as f64);
        let mean = x.iter().fold(T::ZERO, |sum, &x| sum + x) / n;
        let centred: Vec<T> = x.iter().map(|&x| x - mean).collect();
        let variance = dot(&centred, &centred) / n;
        let scale = T::ONE / (variance + T::from_f64(eps)).sqrt();
        Self { x: centred.iter().map(|&x| x * scale).collect(), scale }
    }

    /// From the gradient of the normalised vector to that of the one before.
    pub fn backward(&self, d: &[T]) -> Vec<T> {
        let n = T::from_f64(d.len() as f64);
        let mean = d.iter().fold(T::ZERO, |sum, &d| sum + d) / n;
        let along = dot(d, &self.x) / n;
        d.iter().zip(&self.x).map(|(&d, &x)| (d - mean - along * x) * self.scale).collect()
    }
}
