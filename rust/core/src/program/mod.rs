//! A model as a [`Program`]: a straight list of ops at whole-sequence grain over named slots.
//!
//! Layers and models build programs; backends run them. Running the list backwards, each op with
//! its gradient, is backpropagation through time. Shapes are checked here, when the list is
//! built, and nowhere else.

mod batch;
mod builder;

pub use batch::{Batch, DropoutKey, Input, StartState};
pub use builder::Builder;

use crate::cells::Cell;
use crate::params::{ParamId, Parameters};

/// A slot's number within its program.
pub type SlotId = usize;

/// What a slot holds for each (row, step) of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// A token below `vocabulary`, or −1 for the zero vector.
    Tokens {
        /// V.
        vocabulary: usize,
    },
    /// This many numbers.
    Features(usize),
}

impl Slot {
    /// Numbers a row as a layer sees it: a token is a one-hot vector.
    pub fn width(self) -> usize {
        match self {
            Self::Tokens { vocabulary } => vocabulary,
            Self::Features(width) => width,
        }
    }
}

/// The weights of one recurrent layer.
#[derive(Clone, Copy, Debug)]
pub struct ScanWeights {
    /// (G·H, I).
    pub ih: ParamId,
    /// (G·H, H).
    pub hh: ParamId,
    /// Two of (G·H).
    pub bias: Option<[ParamId; 2]>,
    /// Peephole: (3·H), or (3·H, H) for the full form.
    pub ch: Option<ParamId>,
}

/// One op.
#[derive(Clone, Debug)]
pub enum Op {
    /// Embedding: row `tokens` of `table` (V, width); zeros for −1.
    Gather {
        /// A tokens slot.
        tokens: SlotId,
        /// (V, width).
        table: ParamId,
        /// Features.
        out: SlotId,
    },
    /// Zeroes each number with probability `p` and divides the rest by 1 − p; only in training.
    Dropout {
        /// Features.
        input: SlotId,
        /// The probability of zero.
        p: f64,
        /// Tells the masks of several dropouts apart.
        site: u32,
        /// Features of the same width.
        out: SlotId,
    },
    /// One recurrent layer in one direction, over all steps.
    Scan {
        /// Tokens (one-hot) or features.
        input: SlotId,
        /// The cell.
        cell: Cell,
        /// Its weights.
        weights: ScanWeights,
        /// H.
        hidden: usize,
        /// Which layer's state it carries.
        layer: usize,
        /// h at every step: features.
        out: SlotId,
    },
    /// y = x Wᵀ + b.
    Linear {
        /// Features.
        input: SlotId,
        /// (out, in).
        weight: ParamId,
        /// (out).
        bias: ParamId,
        /// Features.
        out: SlotId,
    },
    /// Mean over the scored rows of −log softmax(logits)\[target\].
    CrossEntropy {
        /// Features of the vocabulary's width.
        logits: SlotId,
    },
}

/// A layer's state: H and whether it has a memory beside h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerState {
    /// H.
    pub hidden: usize,
    /// h and c, or h alone.
    pub memory: bool,
}

/// A model: parameters, slots and ops.
#[derive(Clone, Debug)]
pub struct Program {
    /// The weights' names, shapes and places.
    pub parameters: Parameters,
    /// What each slot holds.
    pub slots: Vec<Slot>,
    /// The ops in order.
    pub ops: Vec<Op>,
    /// The recurrent state, layer by layer.
    pub states: Vec<LayerState>,
    /// Where the batch goes in.
    pub input: SlotId,
    /// Where the answer comes out.
    pub output: SlotId,
}

impl Program {
    /// Numbers in the whole state of one row: h of every layer, then c of every layer that has one.
    pub fn state_width(&self) -> usize {
        self.states.iter().map(|s| s.hidden * if s.memory { 2 } else { 1 }).sum()
    }

    /// Where h (part 0) or c (part 1) of `layer` begins in a state of `batch` rows. The state is
    /// all h, (L, B, H), then all c.
    pub fn state_offset(&self, part: usize, layer: usize, batch: usize) -> usize {
        let h: usize = self.states.iter().map(|s| s.hidden).sum();
        let before: usize = self.states[..layer].iter().map(|s| s.hidden).sum();
        (part * h + before) * batch
    }

    /// Whether the program ends in a loss over a vocabulary.
    pub fn has_loss(&self) -> bool {
        matches!(self.ops.last(), Some(Op::CrossEntropy { .. }))
    }
}
