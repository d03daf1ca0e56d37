//! Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000; Ng,
//! Sequence Models, week 1), with and without peepholes.
//!
//! ```text
//! i = σ(W_ii x + b_ii + W_hi h + b_hi + peep_i)      Γ_u in the notes
//! f = σ(W_if x + b_if + W_hf h + b_hf + peep_f)      Γ_f
//! g = tanh(W_ig x + b_ig + W_hg h + b_hg)            c̃
//! o = σ(W_io x + b_io + W_ho h + b_ho + peep_o)      Γ_o
//! c' = f ⊙ c + i ⊙ g
//! h' = o ⊙ tanh(c')
//! ```
//! `peep` is 0 (none), W_c c (full: the notes as written), w ⊙ c (prev), or w ⊙ c for i and f
//! and w ⊙ c' for o (current: Gers and Schmidhuber 2000, ONNX).

use super::{Lanes, Layout, Operand, Product, State, Step};
use serde::{Deserialize, Serialize};

/// Which memory the gates see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Peephole {
    /// None.
    None,
    /// Every gate sees W·c⟨t−1⟩.
    Full,
    /// Every gate sees one weight a unit times c⟨t−1⟩.
    Prev,
    /// As `Prev`, but the output gate sees c⟨t⟩.
    Current,
}

impl Peephole {
    /// The memory the output gate sees, given that before and after the step.
    pub fn output_gate_sees<V>(self, before: V, after: V) -> V {
        if self == Self::Current { after } else { before }
    }
}

/// Slots i, f, o, g; rows i, f, g, o.
pub(super) const PLAIN: Layout = Layout {
    slots: 4,
    gates: 4,
    input: &[0, 1, 3, 2],
    products: &[Product { operand: Operand::H, slot: 0, gates: &[0, 1, 3, 2] }],
};

/// With the full peephole; `weight_ch` has rows i, f, o.
pub(super) const FULL: Layout = Layout {
    products: &[
        Product { operand: Operand::H, slot: 0, gates: &[0, 1, 3, 2] },
        Product { operand: Operand::C, slot: 0, gates: &[0, 1, 2] },
    ],
    ..PLAIN
};

/// The cell.
#[derive(Clone, Copy, Debug)]
pub struct Lstm(pub Peephole);

impl Step<4> for Lstm {
    const MEMORY: bool = true;

    #[inline(always)]
    fn step<V: Lanes>(&self, z: &mut [V; 4], prev: State<V>, p: &[V; 3]) -> State<V> {
        let [mut i, mut f, mut o, g] = *z;
        if matches!(self.0, Peephole::Prev | Peephole::Current) {
            i = i + p[0] * prev.c;
            f = f + p[1] * prev.c;
        }
        let (i, f, g) = (i.sigmoid(), f.sigmoid(), g.tanh());
        let c = (f * prev.c + i * g).flush();
        if matches!(self.0, Peephole::Prev | Peephole::Current) {
            o = o + p[2] * self.0.output_gate_sees(prev.c, c);
        }
        let o = o.sigmoid();
        *z = [i, f, o, g];
        State { h: (o * c.tanh()).flush(), c }
    }

    #[inline(always)]
    fn step_backward<V: Lanes>(
        &self,
        z: &mut [V; 4],
        prev: State<V>,
        next: State<V>,
        d: State<V>,
        p: &[V; 3],
    ) -> State<V> {
        let [i, f, o, g] = *z;
        let tanh_c = next.c.tanh();
        let d_o = (d.h * tanh_c * o * (V::ONES - o)).flush();
        let mut dc = d.c + d.h * o * (V::ONES - tanh_c * tanh_c);
        if self.0 == Peephole::Current {
            dc = dc + p[2] * d_o;
        }
        let d_i = (dc * g * i * (V::ONES - i)).flush();
        let d_f = (dc * prev.c * f * (V::ONES - f)).flush();
        let d_g = (dc * i * (V::ONES - g * g)).flush();
        *z = [d_i, d_f, d_o, d_g];

        let mut dc_prev = dc * f;
        if matches!(self.0, Peephole::Prev | Peephole::Current) {
            dc_prev = dc_prev + p[0] * d_i + p[1] * d_f;
        }
        if self.0 == Peephole::Prev {
            dc_prev = dc_prev + p[2] * d_o;
        }
        State { h: V::ZEROS, c: dc_prev.flush() }
    }
}
