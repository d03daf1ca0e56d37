//! A stack of recurrent layers, in one direction or both.

use crate::cells::Cell;
use crate::error::{Error, Result};
use crate::program::{AttentionOptions, Builder, InitScheme, Noise, Program, ScanOptions, Slot, SlotId};
use serde::{Deserialize, Serialize};

/// H: of all layers, or of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Widths {
    /// The same for all.
    Same(usize),
    /// Layer by layer.
    Each(Vec<usize>),
}

/// How the two directions of a layer become one output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Merge {
    /// Side by side, the forward one first.
    #[default]
    Concat,
    /// a + b.
    Sum,
    /// (a + b) / 2.
    Mean,
}

/// More layers than this are a mistake.
const MOST_LAYERS: usize = 1024;

/// A stack of recurrent layers.
///
/// # Examples
/// ```
/// use seqrs::{cells::Cell, layers::Recurrent};
/// let lstm = Recurrent::new(Cell::parse("lstm", "none")?, 5, 2);
/// let program = Recurrent { bidirectional: true, ..lstm }.program(3)?;
/// assert_eq!(program.parameters.find("weight_ih_l1_reverse")?.shape, [20, 10]);
/// # Ok::<(), seqrs::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recurrent {
    /// The cell of every layer.
    #[serde(flatten)]
    pub cell: Cell,
    /// H.
    pub hidden_size: Widths,
    /// How many layers, where their widths do not say it.
    #[serde(default = "one")]
    pub num_layers: usize,
    /// Whether the layers have biases.
    #[serde(default = "yes")]
    pub bias: bool,
    /// Probability of dropout between layers.
    #[serde(default)]
    pub dropout: f64,
    /// Whether dropout between layers has one mask for all steps of a row.
    #[serde(default)]
    pub variational: bool,
    /// Whether every layer also runs over the reversed steps.
    #[serde(default)]
    pub bidirectional: bool,
    /// How the two directions become one.
    #[serde(default)]
    pub merge: Merge,
    /// P: h is projected to so many numbers; 0 for none.
    #[serde(default)]
    pub proj_size: usize,
    /// Whether every layer from the second on adds its input to its output.
    #[serde(default)]
    pub residual: bool,
    /// Layer normalisation inside the cell.
    #[serde(default)]
    pub layer_norm: bool,
    /// Whether the initial state is learned.
    #[serde(default)]
    pub learn_initial_state: bool,
    /// Probability of dropout on h as the products see it, one mask a row.
    #[serde(default)]
    pub recurrent_dropout: f64,
    /// Probability of dropout on the candidate.
    #[serde(default)]
    pub candidate_dropout: f64,
    /// Probability of dropout on the recurrent weights.
    #[serde(default)]
    pub weight_dropout: f64,
    /// Probabilities of keeping the old h and c.
    #[serde(default)]
    pub zoneout: [f64; 2],
    /// Factor of the mean square of the last layer's output.
    #[serde(default)]
    pub activation_penalty: f64,
    /// Factor of the mean square of its change from step to step.
    #[serde(default)]
    pub temporal_penalty: f64,
    /// How the weights start.
    #[serde(default)]
    pub init: InitScheme,
    /// What the forget gate's bias starts at.
    #[serde(default)]
    pub forget_bias: Option<f64>,
    /// How the layer attends to a memory: for one layer in one direction.
    #[serde(default)]
    pub attention: Option<AttentionOptions>,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

impl Recurrent {
    /// Layers of one width, with everything else as PyTorch has it by default.
    #[must_use]
    pub fn new(cell: Cell, hidden_size: usize, num_layers: usize) -> Self {
        Self {
            cell,
            hidden_size: Widths::Same(hidden_size),
            num_layers,
            bias: true,
            dropout: 0.0,
            variational: false,
            bidirectional: false,
            merge: Merge::Concat,
            proj_size: 0,
            residual: false,
            layer_norm: false,
            learn_initial_state: false,
            recurrent_dropout: 0.0,
            candidate_dropout: 0.0,
            weight_dropout: 0.0,
            zoneout: [0.0; 2],
            activation_penalty: 0.0,
            temporal_penalty: 0.0,
            init: InitScheme::Uniform,
            forget_bias: None,
            attention: None,
        }
    }

    /// H of every layer.
    ///
    /// # Errors
    /// If there is no layer, or more than a thousand.
    pub fn widths(&self) -> Result<Vec<usize>> {
        let layers = match &self.hidden_size {
            Widths::Same(_) => self.num_layers,
            Widths::Each(widths) => widths.len(),
        };
        if !(1..=MOST_LAYERS).contains(&layers) {
            return Err(Error::value("num_layers", format!("a number from 1 to {MOST_LAYERS}"), layers));
        }
        Ok(match &self.hidden_size {
            Widths::Same(width) => vec![*width; layers],
            Widths::Each(widths) => widths.clone(),
        })
    }

    /// Appends the stack to a program; its parameters are named after `prefix`.
    ///
    /// # Errors
    /// For sizes of 0, probabilities outside 0 to 1, options that do not go together, or weights
    /// too many for memory.
    pub fn append(&self, builder: &mut Builder, prefix: &str, input: SlotId) -> Result<SlotId> {
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::value("dropout", "a number from 0 to less than 1", self.dropout));
        }
        if self.attention.is_some() && (self.bidirectional || self.widths()?.len() > 1) {
            return Err(Error::value("attention", "one layer in one direction", "more"));
        }
        let mut slot = input;
        for (layer, hidden) in self.widths()?.into_iter().enumerate() {
            if layer > 0 {
                slot = builder.dropout(slot, self.dropout, self.variational)?;
            }
            let options = ScanOptions {
                cell: self.cell,
                hidden,
                projection: (self.proj_size > 0).then_some(self.proj_size),
                bias: self.bias,
                norm: self.layer_norm,
                learn_initial: self.learn_initial_state,
                noise: Noise {
                    recurrent: self.recurrent_dropout,
                    candidate: self.candidate_dropout,
                    weights: self.weight_dropout,
                    zoneout: self.zoneout,
                },
                init: self.init,
                forget_bias: self.forget_bias,
                attention: self.attention,
            };
            let mut out = builder.scan(prefix, &format!("l{layer}"), slot, &options)?;
            if self.bidirectional {
                let reversed = builder.reverse(slot)?;
                let back = builder.scan(prefix, &format!("l{layer}_reverse"), reversed, &options)?;
                let back = builder.reverse(back)?;
                out = match self.merge {
                    Merge::Concat => builder.concat(out, back)?,
                    Merge::Sum => builder.sum(out, back, 1.0)?,
                    Merge::Mean => builder.sum(out, back, 0.5)?,
                };
            }
            slot = if self.residual && layer > 0 { builder.sum(out, slot, 1.0)? } else { out };
        }
        builder.penalty(slot, self.activation_penalty, self.temporal_penalty)?;
        Ok(slot)
    }

    /// The stack alone: `input_size` features in, the last layer's h out.
    ///
    /// # Errors
    /// As [`Recurrent::append`].
    pub fn program(&self, input_size: usize) -> Result<Program> {
        let (mut builder, input) = Builder::new(Slot::Features(input_size))?;
        let output = self.append(&mut builder, "", input)?;
        Ok(builder.finish(output))
    }
}
