//! The update rules: the equation of one weight each, with its source.

use crate::error::{Error, Result};
use crate::float::Float;

/// The update rule and its own settings.
///
/// θ is a weight, g its gradient, η the learning rate, t = 1, 2, … the number of the update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Gradient descent with momentum: v ← μ v + g, θ ← θ − η v.
    ///
    /// PyTorch's form of momentum (`torch.optim.SGD`, no dampening): the rate is outside of v, so
    /// that a schedule acts at once.
    Sgd {
        /// Share μ of the last update that is kept, in [0, 1); 0 keeps no buffer.
        momentum: f64,
    },
    /// RMSprop: s ← ρ s + (1 − ρ) g², θ ← θ − η g / (√s + ε).
    ///
    /// Tieleman and Hinton 2012 (Coursera, lecture 6.5), with PyTorch's ε outside of the root.
    RmsProp {
        /// Decay of the mean square, in [0, 1).
        rho: f64,
        /// Added to the denominator, above 0.
        eps: f64,
    },
    /// Adam: m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², θ ← θ − η m̂ / (√v̂ + ε) with
    /// m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ).
    ///
    /// Kingma and Ba 2015, algorithm 1.
    Adam {
        /// Decay of the mean and of the mean square, each in [0, 1).
        betas: (f64, f64),
        /// Added to the denominator, above 0.
        eps: f64,
    },
    /// AdamW: Adam, but weight decay λ shrinks the weight itself, θ ← θ − η λ θ, and stays out of
    /// the moving averages.
    ///
    /// Loshchilov and Hutter 2019, with PyTorch's λ multiplied by the rate.
    AdamW {
        /// Decay of the mean and of the mean square, each in [0, 1).
        betas: (f64, f64),
        /// Added to the denominator, above 0.
        eps: f64,
    },
}

impl Rule {
    /// The moving averages the rule keeps, by PyTorch's names.
    #[must_use]
    pub fn moments(self) -> &'static [&'static str] {
        match self {
            Self::Sgd { momentum: 0.0 } => &[],
            Self::Sgd { .. } => &["momentum_buffer"],
            Self::RmsProp { .. } => &["square_avg"],
            Self::Adam { .. } | Self::AdamW { .. } => &["exp_avg", "exp_avg_sq"],
        }
    }

    /// An error for a setting out of its range, as a number of type `T`.
    pub(super) fn validate<T: Float>(self) -> Result<()> {
        match self {
            Self::Sgd { momentum } => share("momentum", momentum),
            Self::RmsProp { rho, eps } => share("rho", rho).and(positive::<T>("eps", eps)),
            Self::Adam { betas: (b1, b2), eps } | Self::AdamW { betas: (b1, b2), eps } => {
                share("betas", b1).and(share("betas", b2)).and(positive::<T>("eps", eps))
            }
        }
    }
}

/// Refuses what is not in [0, 1).
fn share(name: &'static str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) {
        Ok(())
    } else {
        Err(Error::value(name, "a number from 0 to below 1", value))
    }
}

/// Refuses what is not above 0 and finite as a `T`: a value that rounds to 0 divides by 0.
pub(super) fn positive<T: Float>(name: &'static str, value: f64) -> Result<()> {
    let rounded = T::from_f64(value);
    if rounded >= T::MIN_POSITIVE && rounded.is_finite() {
        Ok(())
    } else {
        Err(Error::value(name, format!("a finite {} number above 0", T::NAME), value))
    }
}

/// [`Rule::Sgd`]: gradient and v in, what is taken from the weight and the new v out.
pub(super) fn sgd<T: Float>(momentum: f64, lr: f64) -> impl Fn(T, [T; 1]) -> (T, [T; 1]) {
    let [momentum, lr] = [momentum, lr].map(T::from_f64);
    move |g, [v]| {
        let v = momentum * v + g;
        (lr * v, [v])
    }
}

/// [`Rule::RmsProp`]: gradient and s in, what is taken from the weight and the new s out.
pub(super) fn rmsprop<T: Float>(rho: f64, eps: f64, lr: f64) -> impl Fn(T, [T; 1]) -> (T, [T; 1]) {
    let [rho, rest, eps, lr] = [rho, 1.0 - rho, eps, lr].map(T::from_f64);
    move |g, [s]| {
        let s = rho * s + rest * g * g;
        (lr * (g / (s.sqrt() + eps)), [s])
    }
}

/// [`Rule::Adam`]: gradient, m and v in, what is taken from the weight and the new m and v out.
pub(super) fn adam<T: Float>(
    (b1, b2): (f64, f64),
    eps: f64,
    lr: f64,
    t: u64,
) -> impl Fn(T, [T; 2]) -> (T, [T; 2]) {
    let bias = |beta: f64| 1.0 - beta.powf(t as f64);
    // √v̂ = √v · root
    let [lr, root, eps] = [lr / bias(b1), 1.0 / bias(b2).sqrt(), eps].map(T::from_f64);
    let [b1, rest1, b2, rest2] = [b1, 1.0 - b1, b2, 1.0 - b2].map(T::from_f64);
    move |g, [m, v]| {
        let m = b1 * m + rest1 * g;
        let v = b2 * v + rest2 * g * g;
        (lr * (m / (v.sqrt() * root + eps)), [m, v])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range() {
        let adam = |b1, b2, eps| Rule::Adam { betas: (b1, b2), eps };
        for (rule, message) in [
            (Rule::Sgd { momentum: 1.0 }, "momentum: expected a number from 0 to below 1, got 1"),
            (Rule::Sgd { momentum: f64::NAN }, "momentum: expected a number from 0 to below 1, got NaN"),
            (Rule::RmsProp { rho: -0.1, eps: 1e-8 }, "rho: expected a number from 0 to below 1, got -0.1"),
            (adam(0.9, 1.5, 1e-8), "betas: expected a number from 0 to below 1, got 1.5"),
            (adam(0.9, 0.999, 0.0), "eps: expected a finite float32 number above 0, got 0"),
            (adam(0.9, 0.999, f64::INFINITY), "eps: expected a finite float32 number above 0, got inf"),
        ] {
            assert_eq!(rule.validate::<f32>().unwrap_err().to_string(), message);
        }
        assert!(adam(0.0, 0.999, 1e-300).validate::<f64>().is_ok());
    }
}
