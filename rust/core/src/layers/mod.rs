//! Builders of programs: stacks of recurrent layers.

use crate::cells::Cell;
use crate::error::{Error, Result};
use crate::program::{Builder, Program, Slot, SlotId};
use serde::{Deserialize, Serialize};

/// A stack of recurrent layers of one width.
///
/// # Examples
/// ```
/// use seqrs::{cells::Cell, layers::Recurrent};
/// let stack = Recurrent { cell: Cell::parse("lstm", "none")?, hidden_size: 5, num_layers: 2, bias: true, dropout: 0.0 };
/// let program = stack.program(3)?;
/// assert_eq!(program.parameters.find("weight_ih_l1")?.shape, [20, 5]);
/// # Ok::<(), seqrs::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recurrent {
    /// The cell of every layer.
    #[serde(flatten)]
    pub cell: Cell,
    /// H of every layer.
    pub hidden_size: usize,
    /// How many layers.
    pub num_layers: usize,
    /// Whether the layers have biases.
    pub bias: bool,
    /// Probability of dropout between layers.
    pub dropout: f64,
}

impl Recurrent {
    /// Appends the stack to a program; its parameters are named after `prefix`.
    ///
    /// # Errors
    /// For sizes of 0, a dropout outside 0 to 1, or weights too many for memory.
    pub fn append(&self, builder: &mut Builder, prefix: &str, input: SlotId) -> Result<SlotId> {
        if self.num_layers == 0 {
            return Err(Error::value("num_layers", "a positive number", 0));
        }
        let mut slot = input;
        for layer in 0..self.num_layers {
            if layer > 0 {
                slot = builder.dropout(slot, self.dropout)?;
            }
            slot = builder.scan(prefix, self.cell, slot, self.hidden_size, self.bias)?;
        }
        Ok(slot)
    }

    /// The stack alone: `input_size` features in, the last layer's h out.
    ///
    /// # Errors
    /// As [`Recurrent::append`].
    pub fn program(&self, input_size: usize) -> Result<Program> {
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::value("dropout", "a number from 0 to less than 1", self.dropout));
        }
        let (mut builder, input) = Builder::new(Slot::Features(input_size))?;
        let output = self.append(&mut builder, "", input)?;
        Ok(builder.finish(output))
    }
}
