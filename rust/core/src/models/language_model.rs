//! The language model: tokens in, a distribution over the next token out.
//!
//! ```text
//! e⟨t⟩ = E[x⟨t⟩]            x⟨1⟩ = the zero vector; without an embedding, one-hot
//! h⟨t⟩ = layers(e⟨t⟩)       state 0 before the first step
//! p(y⟨t⟩ | y⟨1⟩ … y⟨t−1⟩) = softmax(W_ya h⟨t⟩ + b_y)
//! ```
//! (Ng, Sequence Models, week 1: language model and sequence generation.)

use crate::error::Result;
use crate::layers::Recurrent;
use crate::program::{Builder, Program, Slot};
use serde::{Deserialize, Serialize};

/// What a language model is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LanguageModel {
    /// V.
    pub vocab_size: usize,
    /// Numbers in a token's embedding; none: one-hot input, a direct gather of the weights.
    pub embedding_size: Option<usize>,
    /// The layers. Their dropout also applies to the embedding and before the head.
    #[serde(flatten)]
    pub layers: Recurrent,
}

impl LanguageModel {
    /// The program, with parameters `embedding.weight`, PyTorch's names of the layers after
    /// `rnn.`, `head.weight` and `head.bias`.
    ///
    /// # Errors
    /// For sizes of 0, a dropout outside 0 to 1, or weights too many for memory.
    pub fn program(&self) -> Result<Program> {
        let dropout = self.layers.dropout;
        let (mut builder, mut slot) = Builder::new(Slot::Tokens { vocabulary: self.vocab_size })?;
        if let Some(width) = self.embedding_size {
            slot = builder.gather("embedding.", slot, width, 0.0, false)?;
            slot = builder.dropout(slot, dropout, false)?;
        }
        slot = self.layers.append(&mut builder, "rnn.", slot)?;
        slot = builder.dropout(slot, dropout, false)?;
        let logits = builder.linear("head.", slot, self.vocab_size, true, None)?;
        builder.finish_with_cross_entropy(logits)
    }
}
