//! A model as a [`Program`]: a straight list of ops at whole-sequence grain over named slots.
//!
//! Layers and models build programs; backends run them. Running the list backwards, each op with
//! its gradient, is backpropagation through time. Shapes are checked here, when the list is
//! built, and nowhere else.

mod attention;
mod batch;
mod builder;
mod op;
mod recurrence;
mod scan;
mod state;

pub use attention::{Attention, AttentionOptions, AttentionWeights, Score, When};
pub use batch::{Batch, Chosen, Counted, DropoutKey, Input, Memory, Prepared};
pub use builder::Builder;
pub use op::{Op, Pooling};
pub use recurrence::{NORM_EPS, Noise, NormWeights, Recurrence, ScanWeights};
pub use scan::{InitScheme, ScanOptions};
pub use state::{FinalState, HeldState, StartState};

use crate::float::Float;
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
    /// This many numbers for each row, after pooling over its steps.
    Pooled(usize),
}

impl Slot {
    /// Numbers a row as a layer sees it: a token is a one-hot vector.
    pub fn width(self) -> usize {
        match self {
            Self::Tokens { vocabulary } => vocabulary,
            Self::Features(width) | Self::Pooled(width) => width,
        }
    }

    /// Whether there is one for each row instead of one for each step.
    pub fn is_pooled(self) -> bool {
        matches!(self, Self::Pooled(_))
    }
}

/// The state of one scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerState {
    /// Numbers in h and in c (0: it has none).
    pub widths: [usize; 2],
    /// What they start from, where that is learned.
    pub initial: [Option<ParamId>; 2],
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
    /// The recurrent state, scan by scan: a layer's forward direction before its reverse one.
    pub states: Vec<LayerState>,
    /// D, numbers in a step of the memory that a batch brings along, where a layer attends to one.
    pub memory: Option<usize>,
    /// Where the batch goes in.
    pub input: SlotId,
    /// Where the answer comes out.
    pub output: SlotId,
}

impl Program {
    /// Numbers in the whole state of one row: h of every scan, then c of every scan that has one.
    pub fn state_width(&self) -> usize {
        self.states.iter().flat_map(|s| s.widths).sum()
    }

    /// Where h (part 0) or c (part 1) of `scan` begins in a state of `batch` rows. The state is
    /// all h, scan by scan (B, H), then all c.
    pub fn state_offset(&self, part: usize, scan: usize, batch: usize) -> usize {
        let of = |part: usize, states: &[LayerState]| states.iter().map(|s| s.widths[part]).sum::<usize>();
        (of(0, &self.states) * part + of(part, &self.states[..scan])) * batch
    }

    /// The state that a run without one starts from: zeros, or what has been learned.
    pub fn initial_state<T: Float>(&self, values: &[T], batch: usize, state: &mut [T]) {
        state.fill(T::ZERO);
        for (id, place) in self.initials(batch) {
            let learned = &values[self.parameters.range(id)];
            state[place].chunks_exact_mut(learned.len()).for_each(|row| row.copy_from_slice(learned));
        }
    }

    /// Adds the gradient of [`Program::initial_state`], row by row.
    pub fn initial_state_backward<T: Float>(&self, d_state: &[T], batch: usize, gradient: &mut [T]) {
        for (id, place) in self.initials(batch) {
            let sum = &mut gradient[self.parameters.range(id)];
            for row in d_state[place].chunks_exact(sum.len()) {
                sum.iter_mut().zip(row).for_each(|(sum, &d)| *sum += d);
            }
        }
    }

    /// The learned parts of the state at the start, and where the rows of each are in a state.
    pub(crate) fn initials(
        &self,
        batch: usize,
    ) -> impl Iterator<Item = (ParamId, std::ops::Range<usize>)> + '_ {
        let parts =
            self.states.iter().enumerate().flat_map(|(scan, state)| [(scan, state, 0), (scan, state, 1)]);
        parts.filter_map(move |(scan, state, part)| {
            let start = self.state_offset(part, scan, batch);
            Some((state.initial[part]?, start..start + state.widths[part] * batch))
        })
    }

    /// Whether the program ends in a loss over a vocabulary.
    pub fn has_loss(&self) -> bool {
        matches!(self.ops.last(), Some(Op::CrossEntropy { .. }))
    }

    /// Whether its output at a step depends on earlier steps alone, so that it can go step by step.
    pub fn is_causal(&self) -> bool {
        !self.ops.iter().any(|op| matches!(op, Op::Reverse { .. }))
            && !self.slots.iter().any(|slot| slot.is_pooled())
    }

    /// Whether the input may be tokens: it is declared so, or only recurrent layers read it.
    pub fn takes_tokens(&self) -> bool {
        !self.is_of_input(self.output)
            && (0..self.slots.len()).filter(|&slot| self.is_of_input(slot)).all(|slot| {
                self.ops
                    .iter()
                    .filter(|op| op.inputs().contains(&slot))
                    .all(|op| matches!(op, Op::Scan(_) | Op::Gather { .. } | Op::Reverse { .. }))
            })
    }

    /// Whether a slot is the input or the input reversed: tokens where the input is.
    pub fn is_of_input(&self, slot: SlotId) -> bool {
        slot == self.input
            || self.ops.iter().any(
                |op| matches!(op, Op::Reverse { input, out } if *out == slot && self.is_of_input(*input)),
            )
    }

    /// Whether `slot` is read by one op and is not the output.
    pub fn has_one_reader(&self, slot: SlotId) -> bool {
        slot != self.output && self.ops.iter().filter(|op| op.inputs().contains(&slot)).count() == 1
    }
}
