//! Non-linearities, each with its derivative written in terms of its own output.

use super::Lanes;

/// A non-linearity by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Hyperbolic tangent.
    Tanh,
    /// max(x, 0).
    Relu,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// min(max(x + 3, 0), 6) / 6, as PyTorch and Keras 3 have it.
    HardSigmoid,
    /// x.
    Identity,
    /// x / (1 + |x|).
    Softsign,
}

impl Activation {
    /// All of them, with the names they are known by.
    pub const ALL: [(&'static str, Self); 6] = [
        ("tanh", Self::Tanh),
        ("relu", Self::Relu),
        ("sigmoid", Self::Sigmoid),
        ("hard_sigmoid", Self::HardSigmoid),
        ("identity", Self::Identity),
        ("softsign", Self::Softsign),
    ];

    /// The one of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(known, activation)| (known == name).then_some(activation))
    }
}

/// A function and its slope, for cells that are generic over it.
pub trait Nonlinear: Copy + Send + Sync {
    /// y = f(x).
    fn apply<V: Lanes>(self, x: V) -> V;
    /// f′(x), given y = f(x).
    fn slope<V: Lanes>(self, y: V) -> V;
}

/// Hyperbolic tangent, known when the kernels are compiled: the case that has to be fast.
#[derive(Clone, Copy, Debug)]
pub struct Tanh;

impl Nonlinear for Tanh {
    #[inline(always)]
    fn apply<V: Lanes>(self, x: V) -> V {
        x.tanh()
    }
    #[inline(always)]
    fn slope<V: Lanes>(self, y: V) -> V {
        // 1 − y², without a square that can be subnormal.
        (V::ONES - y) * (V::ONES + y)
    }
}

impl Nonlinear for Activation {
    #[inline(always)]
    fn apply<V: Lanes>(self, x: V) -> V {
        match self {
            Self::Tanh => Tanh.apply(x),
            Self::Relu => x.relu(),
            Self::Sigmoid => x.sigmoid(),
            Self::HardSigmoid => (x * V::splat(1.0 / 6.0)).clip(0.5) + V::splat(0.5),
            Self::Identity => x,
            Self::Softsign => x / (V::ONES + x.abs()),
        }
    }
    #[inline(always)]
    fn slope<V: Lanes>(self, y: V) -> V {
        match self {
            Self::Tanh => Tanh.slope(y),
            Self::Relu => y.positive(),
            Self::Sigmoid => y * (V::ONES - y),
            Self::HardSigmoid => (y - V::splat(0.5)).within(0.5) * V::splat(1.0 / 6.0),
            Self::Identity => V::ONES,
            Self::Softsign => (V::ONES - y.abs()) * (V::ONES - y.abs()),
        }
    }
}
