//! Elman's recurrent network (Elman 1990; Ng, Sequence Models, week 1).
//!
//! ```text
//! a⟨t⟩ = g(W_aa a⟨t−1⟩ + W_ax x⟨t⟩ + b_a)        g = tanh or ReLU
//! ```

use super::{Lanes, Layout, Operand, Product, State, Step};
use serde::{Deserialize, Serialize};

/// g of the recurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nonlinearity {
    /// tanh.
    Tanh,
    /// max(x, 0).
    Relu,
}

/// Slot 0: the pre-activation.
pub(super) const LAYOUT: Layout = Layout {
    slots: 1,
    gates: 1,
    input: &[0],
    products: &[Product { operand: Operand::H, slot: 0, gates: &[0] }],
};

/// The cell.
#[derive(Clone, Copy, Debug)]
pub struct Rnn(pub Nonlinearity);

impl Step<1> for Rnn {
    #[inline(always)]
    fn step<V: Lanes>(&self, z: &mut [V; 1], prev: State<V>, _p: &[V; 3]) -> State<V> {
        let h = match self.0 {
            Nonlinearity::Tanh => z[0].tanh(),
            Nonlinearity::Relu => z[0].relu(),
        };
        State { h: h.flush(), c: prev.c }
    }

    #[inline(always)]
    fn step_backward<V: Lanes>(
        &self,
        z: &mut [V; 1],
        _prev: State<V>,
        next: State<V>,
        d: State<V>,
        _p: &[V; 3],
    ) -> State<V> {
        let slope = match self.0 {
            Nonlinearity::Tanh => V::ONES - next.h * next.h,
            Nonlinearity::Relu => next.h.positive(),
        };
        z[0] = (d.h * slope).flush();
        State { h: V::ZEROS, c: V::ZEROS }
    }
}
