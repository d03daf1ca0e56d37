//! Recurrent cells: each file holds a cell's equations, one step forward and one step back.
//!
//! A cell is pointwise: it sees the pre-activations of one unit (`z`, a *slot* for each term of
//! its equations), the state before the step, and returns the state after it. The products with
//! the weights are the backend's work; what they are is declared here as [`Layout`]. The step is
//! written once, generic over [`Lanes`]: one number in the reference, a vector register in the
//! fast backend. Cells never allocate, spawn or know a backend.
//!
//! On the way back the factors that a shut gate or an empty memory makes tiny come last, where that costs no waiting
//! and no more products: on Intel's processors each that is subnormal, or has such a factor, takes some 150 cycles.

mod activation;
mod cell;
mod gru;
mod lanes;
mod lstm;
mod minimal;
mod rnn;

pub use activation::{Activation, Nonlinear, Tanh};
pub use cell::{Cell, Kind, Reset};
pub use gru::{GruAfter, GruBefore, GruNone};
pub use lanes::Lanes;
pub use lstm::{Coupled, Lstm, Peephole};
pub use minimal::{MinGru, MinLstm};
pub use rnn::Rnn;

/// The state of a unit: `h` is what the next layer sees; `c` is the LSTM's memory, unused elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct State<V> {
    /// Output, a⟨t⟩ in the notes.
    pub h: V,
    /// Memory, c⟨t⟩ in the notes.
    pub c: V,
}

/// What a unit's step knows beside its pre-activations and its state.
#[derive(Clone, Copy, Debug)]
pub struct Unit<V> {
    /// Peephole weights, in the order of [`Layout::peepholes`].
    pub peephole: [V; 3],
    /// Factor on the candidate: its dropout mask, or 1.
    pub candidate: V,
}

/// What a recurrent product multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// h⟨t−1⟩.
    H,
    /// c⟨t−1⟩ (full peephole).
    C,
    /// r ⊙ h⟨t−1⟩, known only after the reset gate (GRU with reset before).
    ResetH,
}

/// One recurrent product: rows `gates` of its weight times `operand`, added to the slots from
/// `slot` on.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// What is multiplied. [`Operand::C`] uses `weight_ch`, the others `weight_hh`.
    pub operand: Operand,
    /// The first slot that receives the product.
    pub slot: usize,
    /// For each slot from `slot` on, the block of H rows of the weight that feeds it.
    pub gates: &'static [usize],
}

impl Product {
    /// The first block of H rows of its weight that is its own.
    pub fn first_gate(&self) -> usize {
        self.gates.iter().copied().min().unwrap_or(0)
    }

    /// For each of its blocks from the first on, the slot it feeds.
    pub fn slots(&self) -> Vec<usize> {
        let mut slots = vec![0; self.gates.len()];
        for (i, &gate) in self.gates.iter().enumerate() {
            slots[gate - self.first_gate()] = self.slot + i;
        }
        slots
    }
}

/// Which memory a gate sees through its peephole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// c⟨t−1⟩.
    Before,
    /// c⟨t⟩.
    After,
}

/// A gate with a peephole of one weight a unit.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// The gate's slot.
    pub slot: usize,
    /// What it sees.
    pub seen: Seen,
}

/// How a cell's slots are fed.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Slots a unit.
    pub slots: usize,
    /// Blocks of H rows in `weight_ih`.
    pub gates: usize,
    /// For each slot from 0 on, the block of `weight_ih` that feeds it.
    pub input: &'static [usize],
    /// The recurrent products, in order; one with [`Operand::ResetH`] comes last.
    pub products: &'static [Product],
    /// The gates with one weight a unit on the memory, in the order of `weight_ch`.
    pub peepholes: &'static [Sight],
    /// The gates that layer normalisation takes together; none: the cell has no such form.
    pub norms: &'static [&'static [usize]],
}

impl Layout {
    /// Whether a product waits for the reset gate.
    pub fn resets(&self) -> bool {
        self.products.iter().any(|p| p.operand == Operand::ResetH)
    }

    /// For each gate of `weight_hh`, the slot its product feeds.
    pub fn recurrent_slots(&self) -> Vec<usize> {
        let mut slots = vec![0; self.gates];
        for product in self.products.iter().filter(|p| p.operand != Operand::C) {
            for (i, &gate) in product.gates.iter().enumerate() {
                slots[gate] = product.slot + i;
            }
        }
        slots
    }

    /// For each gate of `weight_ih`, the slot it feeds.
    pub fn input_slots(&self) -> Vec<usize> {
        let mut slots = vec![0; self.gates];
        for (slot, &gate) in self.input.iter().enumerate() {
            slots[gate] = slot;
        }
        slots
    }
}

/// One step of a cell with `S` slots.
pub trait Step<const S: usize>: Copy + Send + Sync {
    /// Whether the cell has a memory `c` beside `h`.
    const MEMORY: bool = false;
    /// Whether one product waits for the reset gate; then [`Step::reset`] runs before it.
    const RESETS: bool = false;

    /// The state after a step. `z` holds pre-activations on entry and, on return, what
    /// [`Step::step_backward`] needs. Of a cell with a memory it is [`Step::memory`], then [`Step::emit`].
    #[inline(always)]
    fn step<V: Lanes>(&self, z: &mut [V; S], prev: State<V>, unit: &Unit<V>) -> State<V> {
        let c = self.memory(z, prev, unit);
        State { h: self.emit(z, c), c }
    }

    /// Turns `z` into the gradient of its pre-activations and returns what reaches the previous
    /// state without passing through a product. `d` is the gradient of the state after the step.
    fn step_backward<V: Lanes>(
        &self,
        z: &mut [V; S],
        prev: State<V>,
        d: State<V>,
        unit: &Unit<V>,
    ) -> State<V>;

    /// Activates the gates and returns r ⊙ h⟨t−1⟩ (only where [`Step::RESETS`]).
    fn reset<V: Lanes>(&self, _z: &mut [V; S], h: V) -> V {
        h
    }

    /// Finishes `z` from the gradient of r ⊙ h⟨t−1⟩ and returns what reaches h⟨t−1⟩ through it.
    fn reset_backward<V: Lanes>(&self, _z: &mut [V; S], _h: V, d_reset: V) -> V {
        d_reset
    }

    // A cell with a memory ([`Step::MEMORY`]) gives its step in two halves: the memory can be normalised in
    // between, and that of many rows be made before any goes on.

    /// First half: the memory after the step.
    fn memory<V: Lanes>(&self, _z: &mut [V; S], _prev: State<V>, _unit: &Unit<V>) -> V {
        unreachable!("{HALVES}")
    }

    /// Second half: h from the memory, or from what was made of it.
    fn emit<V: Lanes>(&self, _z: &[V; S], _seen: V) -> V {
        unreachable!("{HALVES}")
    }

    /// Backwards through the second half: the gradient of `seen`.
    fn emit_backward<V: Lanes>(&self, _z: &mut [V; S], _seen: V, _dh: V) -> V {
        unreachable!("{HALVES}")
    }

    /// Backwards through the first half, as [`Step::step_backward`]; `dc` is the gradient of the
    /// memory after the step.
    fn memory_backward<V: Lanes>(
        &self,
        _z: &mut [V; S],
        _prev: State<V>,
        _dc: V,
        _unit: &Unit<V>,
    ) -> State<V> {
        unreachable!("{HALVES}")
    }
}

const HALVES: &str = "only a cell with a memory is asked for halves of a step, and it gives both";

/// A computation over a cell whose type is known only at run time.
pub trait Visit {
    /// What it yields.
    type Out;
    /// Called with the concrete cell.
    fn visit<const S: usize, C: Step<S>>(self, cell: C) -> Self::Out;
}
