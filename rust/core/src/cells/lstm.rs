//! Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000; Ng,
//! Sequence Models, week 1), with and without peepholes.
//!
//! ```text
//! i = σ(W_ii x + b_ii + W_hi h + b_hi + peep_i)      Γ_u in the notes
//! f = σ(W_if x + b_if + W_hf h + b_hf + peep_f)      Γ_f;  coupled: f = 1 − i (Greff et al. 2015)
//! g = tanh(W_ig x + b_ig + W_hg h + b_hg)            c̃
//! o = σ(W_io x + b_io + W_ho h + b_ho + peep_o)      Γ_o
//! c' = f ⊙ c + i ⊙ g                                 candidate dropout: i ⊙ (g ⊙ m)
//! h' = o ⊙ tanh(c')
//! ```
//! `peep` is 0 (none), W_c c (full: the notes as written), w ⊙ c (prev), or w ⊙ c for i and f
//! and w ⊙ c' for o (current: Gers and Schmidhuber 2000, ONNX). Both tanh may be another function;
//! c' may be cut to ±clip.

use super::{Lanes, Layout, Nonlinear, Operand, Product, Seen, Sight, State, Step, Unit};

/// Which memory the gates see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

const fn sees(slot: usize, seen: Seen) -> Sight {
    Sight { slot, seen }
}

/// Slots i, f, o, g; rows i, f, g, o; or, coupled, slots i, o, g and rows i, g, o. `weight_ch` has
/// the gates i, f, o, or i, o.
pub(super) fn layout(peephole: Peephole, coupled: bool) -> Layout {
    const H: Product = Product { operand: Operand::H, slot: 0, gates: &[0, 1, 3, 2] };
    const C: Product = Product { operand: Operand::C, slot: 0, gates: &[0, 1, 2] };
    const H_COUPLED: Product = Product { operand: Operand::H, slot: 0, gates: &[0, 2, 1] };
    const C_COUPLED: Product = Product { operand: Operand::C, slot: 0, gates: &[0, 1] };
    use Seen::{After, Before};
    let products: &[Product] = match (peephole, coupled) {
        (Peephole::Full, false) => &[H, C],
        (_, false) => &[H],
        (Peephole::Full, true) => &[H_COUPLED, C_COUPLED],
        (_, true) => &[H_COUPLED],
    };
    let peepholes: &[Sight] = match (peephole, coupled) {
        (Peephole::None | Peephole::Full, _) => &[],
        (Peephole::Prev, false) => &const { [sees(0, Before), sees(1, Before), sees(2, Before)] },
        (Peephole::Current, false) => &const { [sees(0, Before), sees(1, Before), sees(2, After)] },
        (Peephole::Prev, true) => &const { [sees(0, Before), sees(1, Before)] },
        (Peephole::Current, true) => &const { [sees(0, Before), sees(1, After)] },
    };
    if coupled {
        Layout { slots: 3, gates: 3, input: &[0, 2, 1], products, peepholes, norms: &[&[0, 1, 2]] }
    } else {
        Layout { slots: 4, gates: 4, input: &[0, 1, 3, 2], products, peepholes, norms: &[&[0, 1, 2, 3]] }
    }
}

/// The cell.
#[derive(Clone, Copy, Debug)]
pub struct Lstm<A> {
    /// Which memory the gates see.
    pub peephole: Peephole,
    /// c' is cut to ± this.
    pub clip: Option<f64>,
    /// The function of the candidate g.
    pub candidate: A,
    /// The function of c' in h'.
    pub output: A,
}

impl<A: Nonlinear> Lstm<A> {
    #[inline(always)]
    fn diagonal(&self) -> bool {
        matches!(self.peephole, Peephole::Prev | Peephole::Current)
    }

    /// f c + i g, before it is cut.
    #[inline(always)]
    fn sum<V: Lanes>(&self, [i, f, _, g]: &[V; 4], c: V, unit: &Unit<V>) -> V {
        *f * c + *i * (*g * unit.candidate)
    }

    #[inline(always)]
    fn cut<V: Lanes>(&self, c: V) -> V {
        match self.clip {
            Some(bound) => c.clip(bound).flush(),
            None => c.flush(),
        }
    }
}

impl<A: Nonlinear> Step<4> for Lstm<A> {
    const MEMORY: bool = true;

    #[inline(always)]
    fn step_backward<V: Lanes>(
        &self,
        z: &mut [V; 4],
        prev: State<V>,
        d: State<V>,
        unit: &Unit<V>,
    ) -> State<V> {
        let c = self.cut(self.sum(z, prev.c, unit));
        let dc = d.c + self.emit_backward(z, c, d.h);
        self.memory_backward(z, prev, dc, unit)
    }

    #[inline(always)]
    fn memory<V: Lanes>(&self, z: &mut [V; 4], prev: State<V>, unit: &Unit<V>) -> V {
        let ([mut i, mut f, mut o, g], p) = (*z, &unit.peephole);
        if self.diagonal() {
            i = i + p[0] * prev.c;
            f = f + p[1] * prev.c;
        }
        (z[0], z[1], z[3]) = (i.sigmoid(), f.sigmoid(), self.candidate.apply(g));
        let c = self.cut(self.sum(z, prev.c, unit));
        if self.diagonal() {
            o = o + p[2] * if self.peephole == Peephole::Current { c } else { prev.c };
        }
        z[2] = o.sigmoid();
        c
    }

    #[inline(always)]
    fn emit<V: Lanes>(&self, z: &[V; 4], seen: V) -> V {
        (z[2] * self.output.apply(seen)).flush()
    }

    #[inline(always)]
    fn emit_backward<V: Lanes>(&self, z: &mut [V; 4], seen: V, dh: V) -> V {
        let (o, y) = (z[2], self.output.apply(seen));
        z[2] = (dh * (V::ONES - o) * o * y).flush();
        dh * o * self.output.slope(y)
    }

    #[inline(always)]
    fn memory_backward<V: Lanes>(
        &self,
        z: &mut [V; 4],
        prev: State<V>,
        mut dc: V,
        unit: &Unit<V>,
    ) -> State<V> {
        let ([i, f, d_o, g], p) = (*z, &unit.peephole);
        if self.peephole == Peephole::Current {
            dc = dc + p[2] * d_o;
        }
        if let Some(bound) = self.clip {
            dc = dc * self.sum(z, prev.c, unit).within(bound);
        }
        let d_i = (dc * (g * unit.candidate) * (V::ONES - i) * i).flush();
        let d_f = (dc * (V::ONES - f) * f * prev.c).flush();
        let d_g = (dc * unit.candidate * self.candidate.slope(g) * i).flush();
        *z = [d_i, d_f, d_o, d_g];

        let mut dc_prev = dc * f;
        if self.diagonal() {
            dc_prev = dc_prev + p[0] * d_i + p[1] * d_f;
        }
        if self.peephole == Peephole::Prev {
            dc_prev = dc_prev + p[2] * d_o;
        }
        State { h: V::ZEROS, c: dc_prev.flush() }
    }
}

/// The LSTM whose forget gate is 1 − i: since 1 − σ(x) = σ(−x), it is the other with f's
/// pre-activation −i.
#[derive(Clone, Copy, Debug)]
pub struct Coupled<A>(pub Lstm<A>);

/// Slots i, o, g as i, f, o, g.
#[inline(always)]
fn four<V: Lanes>([i, o, g]: [V; 3], f: V) -> [V; 4] {
    [i, f, o, g]
}

#[inline(always)]
fn unit_of_four<V: Lanes>(unit: &Unit<V>) -> Unit<V> {
    let [i, o, _] = unit.peephole;
    Unit { peephole: [i, -i, o], ..*unit }
}

impl<A: Nonlinear> Step<3> for Coupled<A> {
    const MEMORY: bool = true;

    #[inline(always)]
    fn step_backward<V: Lanes>(
        &self,
        z: &mut [V; 3],
        prev: State<V>,
        d: State<V>,
        unit: &Unit<V>,
    ) -> State<V> {
        let mut all = four(*z, V::ONES - z[0]);
        let before = self.0.step_backward(&mut all, prev, d, &unit_of_four(unit));
        *z = [all[0] - all[1], all[2], all[3]];
        before
    }

    #[inline(always)]
    fn memory<V: Lanes>(&self, z: &mut [V; 3], prev: State<V>, unit: &Unit<V>) -> V {
        let mut all = four(*z, -z[0]);
        let c = self.0.memory(&mut all, prev, &unit_of_four(unit));
        *z = [all[0], all[2], all[3]];
        c
    }

    #[inline(always)]
    fn emit<V: Lanes>(&self, z: &[V; 3], seen: V) -> V {
        self.0.emit(&four(*z, V::ZEROS), seen)
    }

    #[inline(always)]
    fn emit_backward<V: Lanes>(&self, z: &mut [V; 3], seen: V, dh: V) -> V {
        let mut all = four(*z, V::ZEROS);
        let d = self.0.emit_backward(&mut all, seen, dh);
        z[1] = all[2];
        d
    }

    #[inline(always)]
    fn memory_backward<V: Lanes>(&self, z: &mut [V; 3], prev: State<V>, dc: V, unit: &Unit<V>) -> State<V> {
        let mut all = four(*z, V::ONES - z[0]);
        let before = self.0.memory_backward(&mut all, prev, dc, &unit_of_four(unit));
        *z = [all[0] - all[1], all[2], all[3]];
        before
    }
}
