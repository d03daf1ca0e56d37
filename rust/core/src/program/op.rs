//! The ops that a program is made of.

use super::{Recurrence, SlotId};
use crate::cells::Activation;
use crate::params::ParamId;
use serde::{Deserialize, Serialize};

/// How a row's steps become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The last step that counts.
    Last,
    /// Of a bidirectional layer what either direction has at its own end: the first half of the units from
    /// the last step that counts, the second half from the first.
    Ends,
    /// The step in the middle of those that count, the earlier of two.
    Middle,
    /// The same, the later of two.
    LaterMiddle,
    /// The mean over the steps that count.
    Mean,
    /// The largest number over the steps that count, unit by unit.
    Max,
}

impl Pooling {
    /// The step, of `steps` that count, that unit `k` of `width` is taken from; None where it is made of all.
    pub(crate) fn step(self, steps: usize, k: usize, width: usize) -> Option<usize> {
        match self {
            Self::Last => steps.checked_sub(1),
            Self::Ends if k < width / 2 => steps.checked_sub(1),
            Self::Ends => Some(0),
            Self::Middle => Some(steps.saturating_sub(1) / 2),
            Self::LaterMiddle => Some(steps / 2),
            Self::Mean | Self::Max => None,
        }
    }
}

/// One op.
#[derive(Clone, Debug)]
pub enum Op {
    /// Embedding: row `tokens` of `table` (V, width); zeros for −1. In training whole tokens are
    /// zeroed with probability `dropout`, one mask a run (Gal and Ghahramani 2016).
    Gather {
        /// A tokens slot.
        tokens: SlotId,
        /// (V, width).
        table: ParamId,
        /// The probability of zero.
        dropout: f64,
        /// Features.
        out: SlotId,
    },
    /// Zeroes each number with probability `p` and divides the rest by 1 − p; only in training.
    Dropout {
        /// Features or pooled.
        input: SlotId,
        /// The probability of zero.
        p: f64,
        /// One mask for all steps of a row.
        variational: bool,
        /// Tells the masks of several dropouts apart.
        site: u32,
        /// Of the input's kind.
        out: SlotId,
    },
    /// y = f(x), number by number.
    Activate {
        /// Features or pooled.
        input: SlotId,
        /// f.
        activation: Activation,
        /// Of the input's kind and width.
        out: SlotId,
    },
    /// Each row's counted steps in reverse order.
    Reverse {
        /// Tokens or features.
        input: SlotId,
        /// Of the input's kind.
        out: SlotId,
    },
    /// Two slots side by side.
    Concat {
        /// Of one kind.
        inputs: [SlotId; 2],
        /// As wide as both.
        out: SlotId,
    },
    /// (a + b) · scale.
    Add {
        /// Of one kind and width.
        inputs: [SlotId; 2],
        /// 1 for a sum, ½ for a mean.
        scale: f64,
        /// Of the inputs' kind and width.
        out: SlotId,
    },
    /// One recurrent layer in one direction, over all steps.
    Scan(Box<Recurrence>),
    /// (x − mean) / √(variance + eps) ⊙ gain + bias over a row's numbers (Ba et al. 2016).
    LayerNorm {
        /// Features or pooled.
        input: SlotId,
        /// (width).
        gain: ParamId,
        /// (width).
        bias: ParamId,
        /// Added to the variance.
        eps: f64,
        /// Of the input's kind and width.
        out: SlotId,
    },
    /// y = x Wᵀ + b.
    Linear {
        /// Features or pooled.
        input: SlotId,
        /// (out, in).
        weight: ParamId,
        /// (out).
        bias: Option<ParamId>,
        /// Of the input's kind.
        out: SlotId,
    },
    /// One vector for each row; zeros where no step counts.
    Pool {
        /// Features.
        input: SlotId,
        /// How.
        how: Pooling,
        /// Pooled, of the same width.
        out: SlotId,
    },
    /// Σ_t a_t x_t with a = softmax_t(context · tanh(W x_t + b)) over the steps that count (Yang et
    /// al. 2016); zeros where none does.
    AttentionPool {
        /// Features.
        input: SlotId,
        /// (A, width).
        weight: ParamId,
        /// (A).
        bias: ParamId,
        /// (A).
        context: ParamId,
        /// Pooled, of the same width.
        out: SlotId,
    },
    /// Adds to the loss of a training run: `activation` times the mean of x², and `temporal` times
    /// the mean of (x⟨t⟩ − x⟨t−1⟩)², over the counted steps, or pairs of them, and units (Merity
    /// et al. 2017).
    Penalty {
        /// Features.
        input: SlotId,
        /// Factor of the first.
        activation: f64,
        /// Factor of the second.
        temporal: f64,
    },
    /// Mean over the scored rows of −log softmax(logits)\[target\].
    CrossEntropy {
        /// Features of the vocabulary's width.
        logits: SlotId,
    },
}

impl Op {
    /// The slots it reads.
    pub fn inputs(&self) -> Vec<SlotId> {
        match *self {
            Self::Gather { tokens, .. } => vec![tokens],
            Self::Concat { inputs, .. } | Self::Add { inputs, .. } => inputs.to_vec(),
            Self::Scan(ref scan) => vec![scan.input],
            Self::CrossEntropy { logits } => vec![logits],
            Self::Dropout { input, .. }
            | Self::Activate { input, .. }
            | Self::Reverse { input, .. }
            | Self::LayerNorm { input, .. }
            | Self::Linear { input, .. }
            | Self::Pool { input, .. }
            | Self::AttentionPool { input, .. }
            | Self::Penalty { input, .. } => vec![input],
        }
    }
}
