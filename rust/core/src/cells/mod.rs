//! Recurrent cells: each file holds a cell's equations, one step forward and one step back.
//!
//! A cell is pointwise: it sees the pre-activations of one unit (`z`, a *slot* for each term of
//! its equations), the state before the step, and returns the state after it. The products with
//! the weights are the backend's work; what they are is declared here as [`Layout`]. The step is
//! written once, generic over [`Lanes`]: one number in the reference, a vector register in the
//! fast backend. Cells never allocate, spawn or know a backend.

mod gru;
mod lanes;
mod lstm;
mod rnn;

pub use gru::{GruAfter, GruBefore, GruNone};
pub use lanes::Lanes;
pub use lstm::{Lstm, Peephole};
pub use rnn::{Nonlinearity, Rnn};

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Where the reset gate of a GRU sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reset {
    /// After the recurrent product: PyTorch, cuDNN, the Keras default.
    After,
    /// Before the recurrent product: Ng's full GRU, Cho et al. 2014.
    Before,
    /// No reset gate: Ng's simple GRU.
    None,
}

/// A recurrent cell and its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cell", content = "form", rename_all = "lowercase")]
pub enum Cell {
    /// Elman's network.
    Rnn(Nonlinearity),
    /// Gated recurrent unit.
    Gru(Reset),
    /// Long short-term memory.
    Lstm(Peephole),
}

/// The state of a unit: `h` is what the next layer sees; `c` is the LSTM's memory, unused elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct State<V> {
    /// Output, a⟨t⟩ in the notes.
    pub h: V,
    /// Memory, c⟨t⟩ in the notes.
    pub c: V,
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
}

/// One step of a cell with `S` slots.
pub trait Step<const S: usize>: Copy + Send + Sync {
    /// Whether the cell has a memory `c` beside `h`.
    const MEMORY: bool = false;
    /// Whether one product waits for the reset gate; then [`Step::reset`] runs before it.
    const RESETS: bool = false;

    /// The state after a step. `z` holds pre-activations on entry and, on return, what
    /// [`Step::step_backward`] needs. `p` are the peephole weights of the gates i, f, o.
    fn step<V: Lanes>(&self, z: &mut [V; S], prev: State<V>, p: &[V; 3]) -> State<V>;

    /// Turns `z` into the gradient of its pre-activations and returns what reaches the previous
    /// state without passing through a product. `d` is the gradient of the state after the step.
    fn step_backward<V: Lanes>(
        &self,
        z: &mut [V; S],
        prev: State<V>,
        next: State<V>,
        d: State<V>,
        p: &[V; 3],
    ) -> State<V>;

    /// Activates the gates and returns r ⊙ h⟨t−1⟩ (only where [`Step::RESETS`]).
    fn reset<V: Lanes>(&self, _z: &mut [V; S], h: V) -> V {
        h
    }

    /// Finishes `z` from the gradient of r ⊙ h⟨t−1⟩ and returns what reaches h⟨t−1⟩ through it.
    fn reset_backward<V: Lanes>(&self, _z: &mut [V; S], _h: V, d_reset: V) -> V {
        d_reset
    }
}

/// A computation over a cell whose type is known only at run time.
pub trait Visit {
    /// What it yields.
    type Out;
    /// Called with the concrete cell.
    fn visit<const S: usize, C: Step<S>>(self, cell: C) -> Self::Out;
}

impl Cell {
    /// The cell by its name ("rnn", "gru", "lstm") and form.
    pub fn parse(cell: &str, form: &str) -> Result<Self> {
        let wrong = |name, expected: &str| Error::value(name, expected, format!("{form:?}"));
        match cell {
            "rnn" => match form {
                "tanh" => Ok(Self::Rnn(Nonlinearity::Tanh)),
                "relu" => Ok(Self::Rnn(Nonlinearity::Relu)),
                _ => Err(wrong("nonlinearity", "\"tanh\" or \"relu\"")),
            },
            "gru" => match form {
                "after" => Ok(Self::Gru(Reset::After)),
                "before" => Ok(Self::Gru(Reset::Before)),
                "none" => Ok(Self::Gru(Reset::None)),
                _ => Err(wrong("reset", "\"after\", \"before\" or \"none\"")),
            },
            "lstm" => match form {
                "none" => Ok(Self::Lstm(Peephole::None)),
                "full" => Ok(Self::Lstm(Peephole::Full)),
                "prev" => Ok(Self::Lstm(Peephole::Prev)),
                "current" => Ok(Self::Lstm(Peephole::Current)),
                _ => Err(wrong("peephole", "\"none\", \"full\", \"prev\" or \"current\"")),
            },
            _ => Err(Error::value("cell", "\"rnn\", \"gru\" or \"lstm\"", format!("{cell:?}"))),
        }
    }

    /// How the cell's slots are fed.
    pub fn layout(self) -> Layout {
        match self {
            Self::Rnn(_) => rnn::LAYOUT,
            Self::Gru(Reset::After) => gru::AFTER,
            Self::Gru(Reset::Before) => gru::BEFORE,
            Self::Gru(Reset::None) => gru::NONE,
            Self::Lstm(Peephole::Full) => lstm::FULL,
            Self::Lstm(_) => lstm::PLAIN,
        }
    }

    /// Whether the cell has a memory `c` beside `h`.
    pub fn has_memory(self) -> bool {
        matches!(self, Self::Lstm(_))
    }

    /// Runs `visitor` on the concrete cell.
    pub fn visit<F: Visit>(self, visitor: F) -> F::Out {
        match self {
            Self::Rnn(nonlinearity) => visitor.visit(Rnn(nonlinearity)),
            Self::Gru(Reset::After) => visitor.visit(GruAfter),
            Self::Gru(Reset::Before) => visitor.visit(GruBefore),
            Self::Gru(Reset::None) => visitor.visit(GruNone),
            Self::Lstm(peephole) => visitor.visit(Lstm(peephole)),
        }
    }
}
