//! Blocks in a row, as data: how a binding or a file describes a model of its own.

use super::Recurrent;
use crate::cells::Activation;
use crate::error::{Error, Result};
use crate::program::{Builder, Pooling, Program, Slot, SlotId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a model takes in at each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpecInput {
    /// So many numbers.
    Features(usize),
    /// A token of so many.
    Tokens(usize),
}

/// How a row's steps become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// The last step.
    Last,
    /// Of a bidirectional layer, the last step of each direction.
    Ends,
    /// The two steps in the middle side by side; the same one twice where there is one.
    Center,
    /// The mean.
    Mean,
    /// The largest number, unit by unit.
    Max,
    /// The largest numbers and the means side by side.
    #[serde(rename = "max+mean")]
    MaxMean,
    /// A mean weighed by attention.
    Attention,
}

/// One block. Its parameters are `{name}.weight` and so on, or `weight` for an empty name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "block", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)] // few of them, and only while a program is built
pub enum Block {
    /// Vectors of tokens.
    Embedding {
        /// Names its parameters.
        name: String,
        /// Numbers in a vector.
        size: usize,
        /// Probability of dropping a token.
        #[serde(default)]
        dropout: f64,
        /// Whether the vectors stay as they are.
        #[serde(default)]
        frozen: bool,
    },
    /// Recurrent layers.
    Recurrent {
        /// Names its parameters.
        name: String,
        /// The layers.
        #[serde(flatten)]
        layers: Recurrent,
    },
    /// y = x Wᵀ + b.
    Linear {
        /// Names its parameters.
        name: String,
        /// Numbers in y.
        size: usize,
        /// Whether there is b.
        bias: bool,
        /// The parameter that W is, instead of one of its own.
        tied: Option<String>,
    },
    /// Zeros at random.
    Dropout {
        /// Their probability.
        p: f64,
        /// One mask for all steps of a row.
        variational: bool,
    },
    /// A non-linearity.
    Activation {
        /// Its name: "tanh", "relu" and so on.
        kind: String,
    },
    /// Layer normalisation.
    LayerNorm {
        /// Names its parameters.
        name: String,
        /// Added to the variance.
        eps: f64,
    },
    /// One vector for each row.
    Pool {
        /// Names its parameters.
        name: String,
        /// How.
        kind: Pool,
        /// Units of the attention.
        #[serde(default)]
        size: usize,
    },
}

/// A model: what goes in, and the blocks it passes through.
///
/// # Examples
/// ```
/// use seqrs::layers::Spec;
/// let spec = Spec::parse(r#"{"input": {"tokens": 50}, "blocks": [
///     {"block": "embedding", "name": "0", "size": 8},
///     {"block": "recurrent", "name": "1", "cell": "gru", "form": "after", "hidden_size": 16},
///     {"block": "pool", "name": "2", "kind": "mean"},
///     {"block": "linear", "name": "3", "size": 2, "bias": true, "tied": null}]}"#)?;
/// let program = spec.program()?;
/// assert_eq!(program.parameters.find("1.weight_hh_l0")?.shape, [48, 16]);
/// # Ok::<(), seqrs::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// What goes in.
    pub input: SpecInput,
    /// The blocks in order.
    pub blocks: Vec<Block>,
}

impl Spec {
    /// Reads JSON.
    ///
    /// # Errors
    /// If it is no such description, or has a name that none has.
    pub fn parse(json: &str) -> Result<Self> {
        let wrong = |e: serde_json::Error| Error::value("spec", "a description of blocks", e);
        let spec: Self = serde_json::from_str(json).map_err(wrong)?;
        let given: Value = serde_json::from_str(json).map_err(wrong)?;
        // serde cannot deny unknown fields where there are flattened ones; but what was understood,
        // written again, has all the names there are.
        let known = serde_json::to_value(&spec).map_err(wrong)?;
        match unknown("", &given, &known) {
            Some(name) => {
                Err(Error::value("spec", "a description of blocks", format!("unknown field `{name}`")))
            }
            None => Ok(spec),
        }
    }

    /// The program.
    ///
    /// # Errors
    /// Where a block does not fit the one before it, or an option is out of its range.
    pub fn program(&self) -> Result<Program> {
        let input = match self.input {
            SpecInput::Features(width) => Slot::Features(width),
            SpecInput::Tokens(vocabulary) => Slot::Tokens { vocabulary },
        };
        let (mut builder, mut slot) = Builder::new(input)?;
        for block in &self.blocks {
            slot = block.append(&mut builder, slot)?;
        }
        match builder.slot(slot) {
            Slot::Tokens { .. } => Err(Error::value("blocks", "an embedding or a recurrent layer", "none")),
            _ => Ok(builder.finish(slot)),
        }
    }
}

impl Block {
    fn append(&self, builder: &mut Builder, input: SlotId) -> Result<SlotId> {
        let prefix = |name: &str| if name.is_empty() { String::new() } else { format!("{name}.") };
        match self {
            Self::Embedding { name, size, dropout, frozen } => {
                builder.gather(&prefix(name), input, *size, *dropout, *frozen)
            }
            Self::Recurrent { name, layers } => layers.append(builder, &prefix(name), input),
            Self::Linear { name, size, bias, tied } => {
                builder.linear(&prefix(name), input, *size, *bias, tied.as_deref())
            }
            Self::Dropout { p, variational } => builder.dropout(input, *p, *variational),
            Self::Activation { kind } => {
                let known = || Activation::ALL.map(|(name, _)| name).join(", ");
                let parsed = Activation::parse(kind);
                builder.activate(input, parsed.ok_or_else(|| Error::value("kind", known(), kind))?)
            }
            Self::LayerNorm { name, eps } => builder.layer_norm(&prefix(name), input, *eps),
            Self::Pool { name, kind, size } => match kind {
                Pool::Last => builder.pool(input, Pooling::Last),
                Pool::Ends => builder.pool(input, Pooling::Ends),
                Pool::Center => side_by_side(builder, input, [Pooling::Middle, Pooling::LaterMiddle]),
                Pool::MaxMean => side_by_side(builder, input, [Pooling::Max, Pooling::Mean]),
                Pool::Mean => builder.pool(input, Pooling::Mean),
                Pool::Max => builder.pool(input, Pooling::Max),
                Pool::Attention => builder.attention_pool(&prefix(name), input, *size),
            },
        }
    }
}

/// The first name in `given` that `known` lacks, with the way to it.
fn unknown(path: &str, given: &Value, known: &Value) -> Option<String> {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => given.iter().find_map(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            known.get(name).map_or(Some(path.clone()), |known| unknown(&path, value, known))
        }),
        (Value::Array(given), Value::Array(known)) => {
            let mut pairs = given.iter().zip(known).enumerate();
            pairs.find_map(|(i, (given, known))| unknown(&format!("{path}[{i}]"), given, known))
        }
        _ => None,
    }
}

/// What two kinds of pooling make of the same steps.
fn side_by_side(builder: &mut Builder, input: SlotId, how: [Pooling; 2]) -> Result<SlotId> {
    let [a, b] = how;
    let (a, b) = (builder.pool(input, a)?, builder.pool(input, b)?);
    builder.concat(a, b)
}
