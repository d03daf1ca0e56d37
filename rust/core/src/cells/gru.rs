//! Gated recurrent units (Cho et al. 2014; Ng, Sequence Models, week 1), in PyTorch's sense of
//! the update gate: z = 1 − Γ_u of the notes.
//!
//! ```text
//! r = σ(W_ir x + b_ir + W_hr h + b_hr)
//! z = σ(W_iz x + b_iz + W_hz h + b_hz)
//! n = g(W_in x + b_in + r ⊙ (W_hn h + b_hn))      reset after  (PyTorch, cuDNN)
//! n = g(W_in x + b_in + W_hn (r ⊙ h) + b_hn)      reset before (the notes' full GRU)
//! n = g(W_in x + b_in + W_hn h + b_hn)            no reset     (the notes' simple GRU)
//! h' = (1 − z) ⊙ n + z ⊙ h                        g = tanh unless another is asked for
//! ```
//! Candidate dropout takes n ⊙ m in place of n in the last line (Semeniuta et al. 2016).

use super::{Lanes, Layout, Nonlinear, Operand, Product, State, Step, Unit};

/// Slots n (input's part), r, z, q (= W_hn h + b_hn); rows r, z, n.
pub(super) const AFTER: Layout = Layout {
    slots: 4,
    gates: 3,
    input: &[2, 0, 1],
    products: &[Product { operand: Operand::H, slot: 1, gates: &[0, 1, 2] }],
    peepholes: &[],
    norms: &[&[0, 1], &[2]],
};

/// Slots and rows r, z, n.
pub(super) const BEFORE: Layout = Layout {
    slots: 3,
    gates: 3,
    input: &[0, 1, 2],
    products: &[
        Product { operand: Operand::H, slot: 0, gates: &[0, 1] },
        Product { operand: Operand::ResetH, slot: 2, gates: &[2] },
    ],
    ..AFTER
};

/// Slots and rows z, n.
pub(super) const NONE: Layout = Layout {
    slots: 2,
    gates: 2,
    input: &[0, 1],
    products: &[Product { operand: Operand::H, slot: 0, gates: &[0, 1] }],
    peepholes: &[],
    norms: &[&[0], &[1]],
};

/// h' = (1 − z) n + z h.
#[inline(always)]
fn blend<V: Lanes>(z: V, n: V, h: V, unit: &Unit<V>) -> V {
    let n = n * unit.candidate;
    (n + z * (h - n)).flush()
}

/// Gradients of the pre-activation of z, of n (before its slope), and of h, through [`blend`].
#[inline(always)]
fn blend_backward<V: Lanes>(z: V, n: V, h: V, dh: V, unit: &Unit<V>) -> (V, V, V) {
    let dz = dh * (h - n * unit.candidate) * (V::ONES - z) * z;
    let dn = dh * (V::ONES - z) * unit.candidate;
    (dz.flush(), dn, dh * z)
}

/// Reset after the product.
#[derive(Clone, Copy, Debug)]
pub struct GruAfter<A>(pub A);

impl<A: Nonlinear> Step<4> for GruAfter<A> {
    #[inline(always)]
    fn step<V: Lanes>(&self, s: &mut [V; 4], prev: State<V>, unit: &Unit<V>) -> State<V> {
        let (r, z) = (s[1].sigmoid(), s[2].sigmoid());
        let n = self.0.apply(s[0] + r * s[3]);
        (s[0], s[1], s[2]) = (n, r, z);
        State { h: blend(z, n, prev.h, unit), c: prev.c }
    }

    #[inline(always)]
    fn step_backward<V: Lanes>(
        &self,
        s: &mut [V; 4],
        prev: State<V>,
        d: State<V>,
        unit: &Unit<V>,
    ) -> State<V> {
        let [n, r, z, q] = *s;
        let (dz, dn, dh) = blend_backward(z, n, prev.h, d.h, unit);
        let dn = (dn * self.0.slope(n)).flush();
        let dr = dn * q * (V::ONES - r) * r;
        *s = [dn, dr.flush(), dz, (dn * r).flush()];
        State { h: dh, c: V::ZEROS }
    }
}

/// Reset before the product.
#[derive(Clone, Copy, Debug)]
pub struct GruBefore<A>(pub A);

impl<A: Nonlinear> Step<3> for GruBefore<A> {
    const RESETS: bool = true;

    #[inline(always)]
    fn reset<V: Lanes>(&self, s: &mut [V; 3], h: V) -> V {
        (s[0], s[1]) = (s[0].sigmoid(), s[1].sigmoid());
        (s[0] * h).flush()
    }

    #[inline(always)]
    fn step<V: Lanes>(&self, s: &mut [V; 3], prev: State<V>, unit: &Unit<V>) -> State<V> {
        s[2] = self.0.apply(s[2]);
        State { h: blend(s[1], s[2], prev.h, unit), c: prev.c }
    }

    #[inline(always)]
    fn step_backward<V: Lanes>(
        &self,
        s: &mut [V; 3],
        prev: State<V>,
        d: State<V>,
        unit: &Unit<V>,
    ) -> State<V> {
        let (dz, dn, dh) = blend_backward(s[1], s[2], prev.h, d.h, unit);
        (s[1], s[2]) = (dz, (dn * self.0.slope(s[2])).flush());
        State { h: dh, c: V::ZEROS }
    }

    #[inline(always)]
    fn reset_backward<V: Lanes>(&self, s: &mut [V; 3], h: V, d_reset: V) -> V {
        let r = s[0];
        s[0] = (d_reset * h * (V::ONES - r) * r).flush();
        d_reset * r
    }
}

/// No reset gate.
#[derive(Clone, Copy, Debug)]
pub struct GruNone<A>(pub A);

impl<A: Nonlinear> Step<2> for GruNone<A> {
    #[inline(always)]
    fn step<V: Lanes>(&self, s: &mut [V; 2], prev: State<V>, unit: &Unit<V>) -> State<V> {
        *s = [s[0].sigmoid(), self.0.apply(s[1])];
        State { h: blend(s[0], s[1], prev.h, unit), c: prev.c }
    }

    #[inline(always)]
    fn step_backward<V: Lanes>(
        &self,
        s: &mut [V; 2],
        prev: State<V>,
        d: State<V>,
        unit: &Unit<V>,
    ) -> State<V> {
        let (dz, dn, dh) = blend_backward(s[0], s[1], prev.h, d.h, unit);
        *s = [dz, (dn * self.0.slope(s[1])).flush()];
        State { h: dh, c: V::ZEROS }
    }
}
