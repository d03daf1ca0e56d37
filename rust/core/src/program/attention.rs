//! Attention of a recurrent layer over a memory: an encoder's outputs, beside the batch's input.
//!
//! Of a row, with h its query and m_1 … m_S those steps of its memory that count:
//! ```text
//! e_s = v · tanh(W h + U m_s)     additive (Bahdanau et al. 2015)
//! e_s = h · m_s                   dot      (Luong et al. 2015)
//! e_s = h · U m_s                 general  (Luong et al. 2015)
//! a   = softmax(e)
//! c   = Σ_s a_s m_s               the context; zeros where no step counts
//! ```
//! Before a step (Bahdanau) the query is h⟨t−1⟩, and the cell sees c⟨t⟩ beside x⟨t⟩: W_ch c⟨t⟩ is added
//! to W_ih x⟨t⟩. After it (Luong) the query is h⟨t⟩, and the cell sees nothing of the memory. In
//! either case [h⟨t⟩; c⟨t⟩] is what the next op reads.

use super::SlotId;
use super::builder::{Builder, positive};
use super::scan::ScanOptions;
use crate::error::{Error, Result};
use crate::params::{Init, ParamId};
use crate::program::Slot;
use serde::{Deserialize, Serialize};

/// How well a step of the memory answers a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Score {
    /// v · tanh(W h + U m).
    Additive,
    /// h · m.
    Dot,
    /// h · U m.
    General,
}

/// When a step looks at the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// With h⟨t−1⟩, and the cell sees the context.
    Before,
    /// With h⟨t⟩.
    After,
}

/// What attention is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttentionOptions {
    /// The score.
    pub score: Score,
    /// When.
    pub when: When,
    /// D, numbers in a step of the memory.
    pub memory: usize,
    /// A, units of an additive score.
    pub size: usize,
}

/// Attention of one recurrent layer.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// The score.
    pub score: Score,
    /// When.
    pub when: When,
    /// D.
    pub memory: usize,
    /// Numbers in a query and in a key: A, or those in h.
    pub size: usize,
    /// c at every step: features.
    pub context: SlotId,
    /// Its weights.
    pub weights: AttentionWeights,
}

/// The weights of attention; those that a form lacks are absent.
#[derive(Clone, Copy, Debug)]
pub struct AttentionWeights {
    /// W, (A, P).
    pub query: Option<ParamId>,
    /// U, (A, D) or (P, D).
    pub key: Option<ParamId>,
    /// v, (A).
    pub vector: Option<ParamId>,
    /// W_ch, (G·H, D): how the cell sees the context.
    pub context: Option<ParamId>,
}

impl Builder {
    /// What attends in a layer of `options`, with the slot of its context; the parameters are
    /// `{prefix}weight_query_{suffix}` and so on.
    pub(super) fn attention(
        &mut self,
        prefix: &str,
        suffix: &str,
        options: &ScanOptions,
        attention: AttentionOptions,
    ) -> Result<Attention> {
        let AttentionOptions { score, when, memory, size } = attention;
        positive("memory_size", memory)?;
        let width = options.projection.unwrap_or(options.hidden);
        if score == Score::Dot && memory != width {
            let expected = format!("{width}, the size of h, for score=\"dot\"");
            return Err(Error::value("memory_size", expected, memory));
        }
        if self.program.memory.replace(memory).is_some() {
            return Err(Error::value("blocks", "one layer that attends to the memory", "a second one"));
        }
        let size = if score == Score::Additive { size } else { width };
        positive("attention_size", size)?;
        let rows = options.cell.layout().gates * options.hidden;
        let parameters = &mut self.program.parameters;
        let mut add = |wanted: bool, name: &str, shape: &[usize], terms: usize| {
            let init = Init::Uniform(1.0 / (terms as f64).sqrt());
            let name = format!("{prefix}weight_{name}_{suffix}");
            if wanted { parameters.add(name, shape, init).map(Some) } else { Ok(None) }
        };
        let weights = AttentionWeights {
            query: add(score == Score::Additive, "query", &[size, width], width)?,
            key: add(score != Score::Dot, "key", &[size, memory], memory)?,
            vector: add(score == Score::Additive, "score", &[size], size)?,
            context: add(when == When::Before, "context", &[rows, memory], options.hidden)?,
        };
        self.program.slots.push(Slot::Features(memory));
        Ok(Attention { score, when, memory, size, context: self.program.slots.len() - 1, weights })
    }
}
