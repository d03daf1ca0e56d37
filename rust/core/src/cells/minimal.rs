//! Minimal recurrent cells (Feng et al. 2024, "Were RNNs all we needed?"): no gate sees the state,
//! so all products run over the whole sequence at once and the recurrence itself is a handful of
//! multiplications.
//!
//! ```text
//! minGRU    z = σ(W_z x + b_z)     n = g(W_n x + b_n)     h' = (1 − z) ⊙ h + z ⊙ n
//! minLSTM   f = σ(W_f x + b_f)     i = σ(W_i x + b_i)     n = g(W_n x + b_n)
//!           h' = (f ⊙ h + i ⊙ n) / (f + i)
//! ```
//! g is the identity unless another function is asked for.

use super::{Lanes, Layout, Nonlinear, State, Step, Unit};

/// Slots and rows z, n.
pub(super) const GRU: Layout =
    Layout { slots: 2, gates: 2, input: &[0, 1], products: &[], peepholes: &[], norms: &[] };

/// Slots and rows f, i, n.
pub(super) const LSTM: Layout = Layout { slots: 3, gates: 3, input: &[0, 1, 2], ..GRU };

/// minGRU.
#[derive(Clone, Copy, Debug)]
pub struct MinGru<A>(pub A);

impl<A: Nonlinear> Step<2> for MinGru<A> {
    #[inline(always)]
    fn step<V: Lanes>(&self, s: &mut [V; 2], prev: State<V>, unit: &Unit<V>) -> State<V> {
        *s = [s[0].sigmoid(), self.0.apply(s[1])];
        State { h: (prev.h + s[0] * (s[1] * unit.candidate - prev.h)).flush(), c: prev.c }
    }

    #[inline(always)]
    fn step_backward<V: Lanes>(
        &self,
        s: &mut [V; 2],
        prev: State<V>,
        d: State<V>,
        unit: &Unit<V>,
    ) -> State<V> {
        let [z, n] = *s;
        let dz = d.h * (n * unit.candidate - prev.h) * (V::ONES - z) * z;
        let dn = d.h * unit.candidate * self.0.slope(n) * z;
        *s = [dz.flush(), dn.flush()];
        State { h: d.h * (V::ONES - z), c: V::ZEROS }
    }
}

/// minLSTM.
#[derive(Clone, Copy, Debug)]
pub struct MinLstm<A>(pub A);

/// Keeps the share of two gates that are both shut from being 0 / 0. In single precision it begins to
/// matter where both pre-activations are below −83; the old state is kept then.
const TINY: f64 = 1e-37;

impl<A: Nonlinear> Step<3> for MinLstm<A> {
    #[inline(always)]
    fn step<V: Lanes>(&self, s: &mut [V; 3], prev: State<V>, unit: &Unit<V>) -> State<V> {
        *s = [s[0].sigmoid(), s[1].sigmoid(), self.0.apply(s[2])];
        let share = s[1] / (s[0] + s[1] + V::splat(TINY));
        State { h: (prev.h + share * (s[2] * unit.candidate - prev.h)).flush(), c: prev.c }
    }

    #[inline(always)]
    fn step_backward<V: Lanes>(
        &self,
        s: &mut [V; 3],
        prev: State<V>,
        d: State<V>,
        unit: &Unit<V>,
    ) -> State<V> {
        let [f, i, n] = *s;
        let total = V::ONES / (f + i + V::splat(TINY));
        let (kept, share) = (f * total, i * total);
        // ∂share/∂i = f / (f + i)², ∂share/∂f = −i / (f + i)²; each gate adds its own slope.
        let d_share = d.h * (n * unit.candidate - prev.h) * kept * share;
        let dn = d.h * unit.candidate * self.0.slope(n) * share;
        *s = [(-d_share * (V::ONES - f)).flush(), (d_share * (V::ONES - i)).flush(), dn.flush()];
        State { h: d.h * (V::ONES - share), c: V::ZEROS }
    }
}
