//! Builds a [`Program`] op by op, with its parameters and shapes.

use super::{LayerState, Op, Program, ScanWeights, Slot, SlotId};
use crate::cells::{Cell, Peephole};
use crate::error::{Error, Result};
use crate::params::{Init, Parameters};
use crate::shape::checked_product;

/// A program in the making.
#[derive(Debug)]
pub struct Builder {
    program: Program,
}

impl Builder {
    /// Starts from what the batch holds; returns the builder and the input's slot.
    pub fn new(input: Slot) -> Result<(Self, SlotId)> {
        if input.width() == 0 {
            return Err(Error::value("input_size", "a positive number", 0));
        }
        let program = Program {
            parameters: Parameters::default(),
            slots: vec![input],
            ops: Vec::new(),
            states: Vec::new(),
            input: 0,
            output: 0,
        };
        Ok((Self { program }, 0))
    }

    fn slot(&mut self, width: usize) -> SlotId {
        self.program.slots.push(Slot::Features(width));
        self.program.slots.len() - 1
    }

    fn width(&self, slot: SlotId) -> usize {
        self.program.slots[slot].width()
    }

    /// An embedding of tokens, standard normal at the start as PyTorch's; weight `{name}.weight`.
    pub fn gather(&mut self, name: &str, tokens: SlotId, width: usize) -> Result<SlotId> {
        positive("embedding_size", width)?;
        let rows = self.width(tokens);
        let table = self.program.parameters.add(format!("{name}.weight"), &[rows, width], Init::Normal)?;
        let out = self.slot(width);
        self.program.ops.push(Op::Gather { tokens, table, out });
        Ok(out)
    }

    /// Dropout; nothing at p = 0.
    pub fn dropout(&mut self, input: SlotId, p: f64) -> Result<SlotId> {
        if !(0.0..1.0).contains(&p) {
            return Err(Error::value("dropout", "a number from 0 to less than 1", p));
        }
        if p == 0.0 {
            return Ok(input);
        }
        let site = self.program.ops.iter().filter(|op| matches!(op, Op::Dropout { .. })).count() as u32;
        let out = self.slot(self.width(input));
        self.program.ops.push(Op::Dropout { input, p, site, out });
        Ok(out)
    }

    /// A recurrent layer; weights start uniform in ±1/√H as PyTorch's, with PyTorch's names after
    /// `prefix`.
    pub fn scan(
        &mut self,
        prefix: &str,
        cell: Cell,
        input: SlotId,
        hidden: usize,
        bias: bool,
    ) -> Result<SlotId> {
        positive("hidden_size", hidden)?;
        let layer = self.program.states.len();
        let (layout, width) = (cell.layout(), self.width(input));
        let init = Init::Uniform(1.0 / (hidden as f64).sqrt());
        let parameters = &mut self.program.parameters;
        let mut add =
            |name: &str, shape: &[usize]| parameters.add(format!("{prefix}{name}_l{layer}"), shape, init);
        let rows = checked_product("model size", &[4, hidden, hidden]).map(|_| layout.gates * hidden)?;
        let ih = add("weight_ih", &[rows, width])?;
        let hh = add("weight_hh", &[rows, hidden])?;
        let bias = if bias { Some([add("bias_ih", &[rows])?, add("bias_hh", &[rows])?]) } else { None };
        let ch = match cell {
            Cell::Lstm(Peephole::Full) => Some(add("weight_ch", &[3 * hidden, hidden])?),
            Cell::Lstm(Peephole::Prev | Peephole::Current) => Some(add("weight_ch", &[3 * hidden])?),
            _ => None,
        };
        let out = self.slot(hidden);
        self.program.states.push(LayerState { hidden, memory: cell.has_memory() });
        let weights = ScanWeights { ih, hh, bias, ch };
        self.program.ops.push(Op::Scan { input, cell, weights, hidden, layer, out });
        Ok(out)
    }

    /// A linear map, uniform in ±1/√in at the start as PyTorch's; `{name}.weight`, `{name}.bias`.
    pub fn linear(&mut self, name: &str, input: SlotId, width: usize) -> Result<SlotId> {
        let from = self.width(input);
        let init = Init::Uniform(1.0 / (from as f64).sqrt());
        let weight = self.program.parameters.add(format!("{name}.weight"), &[width, from], init)?;
        let bias = self.program.parameters.add(format!("{name}.bias"), &[width], init)?;
        let out = self.slot(width);
        self.program.ops.push(Op::Linear { input, weight, bias, out });
        Ok(out)
    }

    /// Ends the program in `output`.
    pub fn finish(mut self, output: SlotId) -> Program {
        self.program.output = output;
        self.program
    }

    /// Ends the program in logits and their loss.
    pub fn finish_with_cross_entropy(mut self, logits: SlotId) -> Program {
        self.program.ops.push(Op::CrossEntropy { logits });
        self.finish(logits)
    }
}

fn positive(name: &'static str, n: usize) -> Result<()> {
    if n == 0 { Err(Error::value(name, "a positive number", n)) } else { Ok(()) }
}
