//! Elman's recurrent network (Elman 1990; Ng, Sequence Models, week 1).
//!
//! ```text
//! a⟨t⟩ = g(W_aa a⟨t−1⟩ + W_ax x⟨t⟩ + b_a)
//! ```

use super::{Lanes, Layout, Nonlinear, Operand, Product, State, Step, Unit};

/// Slot 0: the pre-activation, then a⟨t⟩.
pub(super) const LAYOUT: Layout = Layout {
    slots: 1,
    gates: 1,
    input: &[0],
    products: &[Product { operand: Operand::H, slot: 0, gates: &[0] }],
    peepholes: &[],
    norms: &[&[0]],
};

/// The cell, with its g.
#[derive(Clone, Copy, Debug)]
pub struct Rnn<A>(pub A);

impl<A: Nonlinear> Step<1> for Rnn<A> {
    #[inline(always)]
    fn step<V: Lanes>(&self, z: &mut [V; 1], prev: State<V>, _unit: &Unit<V>) -> State<V> {
        let h = self.0.apply(z[0]).flush();
        z[0] = h;
        State { h, c: prev.c }
    }

    #[inline(always)]
    fn step_backward<V: Lanes>(
        &self,
        z: &mut [V; 1],
        _prev: State<V>,
        d: State<V>,
        _unit: &Unit<V>,
    ) -> State<V> {
        z[0] = (d.h * self.0.slope(z[0])).flush();
        State { h: V::ZEROS, c: V::ZEROS }
    }
}
