//! Gated recurrent units (Cho et al. 2014; Ng, Sequence Models, week 1), in PyTorch's sense of
//! the update gate: z = 1 − Γ_u of the notes.
//!
//! ```text
//! r = σ(W_ir x + b_ir + W_hr h + b_hr)
//! z = σ(W_iz x + b_iz + W_hz h + b_hz)
//! n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))      reset after  (PyTorch, cuDNN)
//! n = tanh(W_in x + b_in + W_hn (r ⊙ h) + b_hn)      reset before (the notes' full GRU)
//! n = tanh(W_in x + b_in + W_hn h + b_hn)            no reset     (the notes' simple GRU)
//! h' = (1 − z) ⊙ n + z ⊙ h
//! ```

use super::{Lanes, Layout, Operand, Product, State, Step};

/// Slots n (input's part), r, z, q (= W_hn h + b_hn); rows r, z, n.
pub(super) const AFTER: Layout = Layout {
    slots: 4,
    gates: 3,
    input: &[2, 0, 1],
    products: &[Product { operand: Operand::H, slot: 1, gates: &[0, 1, 2] }],
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
};

/// Slots and rows z, n.
pub(super) const NONE: Layout = Layout {
    slots: 2,
    gates: 2,
    input: &[0, 1],
    products: &[Product { operand: Operand::H, slot: 0, gates: &[0, 1] }],
};

/// h' = (1 − z) n + z h.
#[inline(always)]
fn blend<V: Lanes>(z: V, n: V, h: V) -> V {
    (n + z * (h - n)).flush()
}

/// Gradients of the pre-activations of z and n, and of h, through [`blend`].
#[inline(always)]
fn blend_backward<V: Lanes>(z: V, n: V, h: V, dh: V) -> (V, V, V) {
    let dz = dh * (h - n) * z * (V::ONES - z);
    let dn = dh * (V::ONES - z) * (V::ONES - n * n);
    (dz.flush(), dn.flush(), dh * z)
}

/// Reset after the product.
#[derive(Clone, Copy, Debug)]
pub struct GruAfter;

impl Step<4> for GruAfter {
    #[inline(always)]
    fn step<V: Lanes>(&self, s: &mut [V; 4], prev: State<V>, _p: &[V; 3]) -> State<V> {
        let (r, z) = (s[1].sigmoid(), s[2].sigmoid());
        let n = (s[0] + r * s[3]).tanh();
        (s[0], s[1], s[2]) = (n, r, z);
        State { h: blend(z, n, prev.h), c: prev.c }
    }

    #[inline(always)]
    fn step_backward<V: Lanes>(
        &self,
        s: &mut [V; 4],
        prev: State<V>,
        _next: State<V>,
        d: State<V>,
        _p: &[V; 3],
    ) -> State<V> {
        let [n, r, z, q] = *s;
        let (dz, dn, dh) = blend_backward(z, n, prev.h, d.h);
        let dr = dn * q * r * (V::ONES - r);
        *s = [dn, dr.flush(), dz, (dn * r).flush()];
        State { h: dh, c: V::ZEROS }
    }
}

/// Reset before the product.
#[derive(Clone, Copy, Debug)]
pub struct GruBefore;

impl Step<3> for GruBefore {
    const RESETS: bool = true;

    #[inline(always)]
    fn reset<V: Lanes>(&self, s: &mut [V; 3], h: V) -> V {
        (s[0], s[1]) = (s[0].sigmoid(), s[1].sigmoid());
        (s[0] * h).flush()
    }

    #[inline(always)]
    fn step<V: Lanes>(&self, s: &mut [V; 3], prev: State<V>, _p: &[V; 3]) -> State<V> {
        s[2] = s[2].tanh();
        State { h: blend(s[1], s[2], prev.h), c: prev.c }
    }

    #[inline(always)]
    fn step_backward<V: Lanes>(
        &self,
        s: &mut [V; 3],
        prev: State<V>,
        _next: State<V>,
        d: State<V>,
        _p: &[V; 3],
    ) -> State<V> {
        let dh;
        (s[1], s[2], dh) = blend_backward(s[1], s[2], prev.h, d.h);
        State { h: dh, c: V::ZEROS }
    }

    #[inline(always)]
    fn reset_backward<V: Lanes>(&self, s: &mut [V; 3], h: V, d_reset: V) -> V {
        let r = s[0];
        s[0] = (d_reset * h * r * (V::ONES - r)).flush();
        d_reset * r
    }
}

/// No reset gate.
#[derive(Clone, Copy, Debug)]
pub struct GruNone;

impl Step<2> for GruNone {
    #[inline(always)]
    fn step<V: Lanes>(&self, s: &mut [V; 2], prev: State<V>, _p: &[V; 3]) -> State<V> {
        *s = [s[0].sigmoid(), s[1].tanh()];
        State { h: blend(s[0], s[1], prev.h), c: prev.c }
    }

    #[inline(always)]
    fn step_backward<V: Lanes>(
        &self,
        s: &mut [V; 2],
        prev: State<V>,
        _next: State<V>,
        d: State<V>,
        _p: &[V; 3],
    ) -> State<V> {
        let dh;
        (s[0], s[1], dh) = blend_backward(s[0], s[1], prev.h, d.h);
        State { h: dh, c: V::ZEROS }
    }
}
