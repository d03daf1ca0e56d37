//! Builds a [`Program`] op by op, with its parameters and shapes.

use super::{Op, Pooling, Program, Slot, SlotId};
use crate::cells::Activation;
use crate::error::{Error, Result};
use crate::params::{Init, ParamId, Parameters};

/// A program in the making.
#[derive(Debug)]
pub struct Builder {
    pub(super) program: Program,
}

impl Builder {
    /// Starts from what the batch holds; returns the builder and the input's slot.
    pub fn new(input: Slot) -> Result<(Self, SlotId)> {
        positive("input_size", input.width())?;
        let program = Program {
            parameters: Parameters::default(),
            slots: vec![input],
            ops: Vec::new(),
            states: Vec::new(),
            memory: None,
            input: 0,
            output: 0,
        };
        Ok((Self { program }, 0))
    }

    /// What a slot holds.
    pub fn slot(&self, slot: SlotId) -> Slot {
        self.program.slots[slot]
    }

    pub(super) fn width(&self, slot: SlotId) -> usize {
        self.slot(slot).width()
    }

    pub(super) fn push(&mut self, slot: Slot, op: impl FnOnce(SlotId) -> Op) -> SlotId {
        self.program.slots.push(slot);
        let out = self.program.slots.len() - 1;
        self.program.ops.push(op(out));
        out
    }

    /// A slot of numbers, of another width.
    fn like(&self, slot: SlotId, width: usize) -> Result<Slot> {
        match self.slot(slot) {
            Slot::Features(_) => Ok(Slot::Features(width)),
            Slot::Pooled(_) => Ok(Slot::Pooled(width)),
            Slot::Tokens { .. } => {
                Err(Error::value("blocks", "an embedding or a recurrent layer first", "tokens"))
            }
        }
    }

    pub(super) fn steps(&self, slot: SlotId, what: &'static str) -> Result<()> {
        match self.slot(slot) {
            Slot::Pooled(_) => Err(Error::value("blocks", format!("steps for {what}"), "what pooling left")),
            _ => Ok(()),
        }
    }

    fn add(&mut self, name: String, shape: &[usize], init: Init) -> Result<ParamId> {
        self.program.parameters.add(name, shape, init)
    }

    /// An embedding of tokens, standard normal at the start as PyTorch's; weight `{name}weight`.
    pub fn gather(
        &mut self,
        name: &str,
        tokens: SlotId,
        width: usize,
        dropout: f64,
        frozen: bool,
    ) -> Result<SlotId> {
        positive("embedding_size", width)?;
        probability("dropout", dropout)?;
        let Slot::Tokens { vocabulary } = self.slot(tokens) else {
            return Err(Error::value("blocks", "tokens for an embedding", "numbers"));
        };
        let table = self.add(format!("{name}weight"), &[vocabulary, width], Init::Normal)?;
        if frozen {
            self.program.parameters.freeze(table);
        }
        Ok(self.push(Slot::Features(width), |out| Op::Gather { tokens, table, dropout, out }))
    }

    /// Dropout; nothing at p = 0.
    pub fn dropout(&mut self, input: SlotId, p: f64, variational: bool) -> Result<SlotId> {
        probability("dropout", p)?;
        let kind = self.like(input, self.width(input))?;
        if p == 0.0 {
            return Ok(input);
        }
        let site = self.program.ops.iter().filter(|op| matches!(op, Op::Dropout { .. })).count() as u32;
        Ok(self.push(kind, |out| Op::Dropout { input, p, variational, site, out }))
    }

    /// A non-linearity of every number.
    pub fn activate(&mut self, input: SlotId, activation: Activation) -> Result<SlotId> {
        let kind = self.like(input, self.width(input))?;
        Ok(self.push(kind, |out| Op::Activate { input, activation, out }))
    }

    /// The steps in reverse order. What an embedding made is made again from the tokens reversed,
    /// so that a layer can still read it token by token.
    ///
    /// # Errors
    /// If the slot is pooled.
    pub fn reverse(&mut self, input: SlotId) -> Result<SlotId> {
        self.steps(input, "reversal")?;
        let made = self.program.ops.iter().find_map(|op| match *op {
            Op::Gather { tokens, table, dropout, out } if out == input => Some((tokens, table, dropout)),
            _ => None,
        });
        let kind = self.slot(input);
        match made {
            Some((tokens, table, dropout)) => {
                let tokens = self.reverse(tokens)?;
                Ok(self.push(kind, |out| Op::Gather { tokens, table, dropout, out }))
            }
            None => Ok(self.push(kind, |out| Op::Reverse { input, out })),
        }
    }

    fn same_kind(&self, a: SlotId, b: SlotId) -> Result<()> {
        if self.slot(a).is_pooled() == self.slot(b).is_pooled() {
            return Ok(());
        }
        Err(Error::value("blocks", "two outputs with steps, or two without", "one of each"))
    }

    /// Two slots side by side.
    ///
    /// # Errors
    /// If one is pooled and the other is not, or they are tokens.
    pub fn concat(&mut self, a: SlotId, b: SlotId) -> Result<SlotId> {
        self.same_kind(a, b)?;
        let kind = self.like(a, self.width(a) + self.width(b))?;
        Ok(self.push(kind, |out| Op::Concat { inputs: [a, b], out }))
    }

    /// (a + b) · scale.
    ///
    /// # Errors
    /// If the two differ in width or kind, or are tokens.
    pub fn sum(&mut self, a: SlotId, b: SlotId, scale: f64) -> Result<SlotId> {
        self.same_kind(a, b)?;
        if self.width(a) != self.width(b) {
            let (a, b) = (self.width(a), self.width(b));
            return Err(Error::value(
                "residual",
                "an input as wide as the output of its layer",
                format!("{a} and {b}"),
            ));
        }
        let kind = self.like(a, self.width(a))?;
        Ok(self.push(kind, |out| Op::Add { inputs: [a, b], scale, out }))
    }

    /// Layer normalisation over a row's numbers; `{name}weight` starts at 1, `{name}bias` at 0.
    pub fn layer_norm(&mut self, name: &str, input: SlotId, eps: f64) -> Result<SlotId> {
        if !(eps > 0.0 && eps.is_finite()) {
            return Err(Error::value("eps", "a finite number above 0", eps));
        }
        let width = self.width(input);
        let kind = self.like(input, width)?;
        let gain = self.add(format!("{name}weight"), &[width], Init::Constant(1.0))?;
        let bias = self.add(format!("{name}bias"), &[width], Init::Constant(0.0))?;
        Ok(self.push(kind, |out| Op::LayerNorm { input, gain, bias, eps, out }))
    }

    /// A linear map, uniform in ±1/√in at the start as PyTorch's; `{name}weight`, `{name}bias`. With
    /// `tied` its weight is that parameter, an embedding's.
    pub fn linear(
        &mut self,
        name: &str,
        input: SlotId,
        width: usize,
        bias: bool,
        tied: Option<&str>,
    ) -> Result<SlotId> {
        positive("output_size", width)?;
        let from = self.width(input);
        let kind = self.like(input, width)?;
        let init = Init::Uniform(1.0 / (from as f64).sqrt());
        let weight = match tied {
            Some(other) => {
                let id = self.program.parameters.id(other)?;
                let embeds = |op: &Op| matches!(op, Op::Gather { table, .. } if *table == id);
                if !self.program.ops.iter().any(embeds) {
                    return Err(Error::value("tied", "the weight of an embedding", format!("{other:?}")));
                }
                let shape = &self.program.parameters.get(id).shape;
                if shape != &[width, from] {
                    return Err(Error::shape("tied", format!("({width}, {from})"), shape));
                }
                id
            }
            None => self.add(format!("{name}weight"), &[width, from], init.clone())?,
        };
        let bias = if bias { Some(self.add(format!("{name}bias"), &[width], init)?) } else { None };
        Ok(self.push(kind, |out| Op::Linear { input, weight, bias, out }))
    }

    /// One vector for each row instead of one for each step.
    ///
    /// # Errors
    /// If there are no steps, or for [`Pooling::Ends`] if the width is odd.
    pub fn pool(&mut self, input: SlotId, how: Pooling) -> Result<SlotId> {
        self.steps(input, "pooling")?;
        self.like(input, 0)?;
        let width = self.width(input);
        if how == Pooling::Ends && width % 2 == 1 {
            return Err(Error::value(
                "kind",
                "two directions side by side for ends",
                format!("width {width}"),
            ));
        }
        Ok(self.push(Slot::Pooled(width), |out| Op::Pool { input, how, out }))
    }

    /// The same, weighed by attention of `size` units; `{name}weight`, `{name}bias`, `{name}context`,
    /// uniform in ±1/√in at the start.
    pub fn attention_pool(&mut self, name: &str, input: SlotId, size: usize) -> Result<SlotId> {
        self.steps(input, "pooling")?;
        self.like(input, 0)?;
        positive("size", size)?;
        let width = self.width(input);
        let uniform = |n: usize| Init::Uniform(1.0 / (n as f64).sqrt());
        let weight = self.add(format!("{name}weight"), &[size, width], uniform(width))?;
        let bias = self.add(format!("{name}bias"), &[size], uniform(width))?;
        let context = self.add(format!("{name}context"), &[size], uniform(size))?;
        let out = Slot::Pooled(width);
        Ok(self.push(out, |out| Op::AttentionPool { input, weight, bias, context, out }))
    }

    /// Penalties on activations; nothing where both factors are 0.
    pub fn penalty(&mut self, input: SlotId, activation: f64, temporal: f64) -> Result<()> {
        for (name, factor) in [("activation_penalty", activation), ("temporal_penalty", temporal)] {
            if !(factor >= 0.0 && factor.is_finite()) {
                return Err(Error::value(name, "a finite number of at least 0", factor));
            }
        }
        self.steps(input, "a penalty")?;
        self.like(input, 0)?;
        if activation > 0.0 || temporal > 0.0 {
            self.program.ops.push(Op::Penalty { input, activation, temporal });
        }
        Ok(())
    }

    /// Ends the program in `output`.
    pub fn finish(mut self, output: SlotId) -> Program {
        self.program.output = output;
        self.program
    }

    /// Ends the program in logits and their loss.
    ///
    /// # Errors
    /// If the logits are not what a linear map of every step has just made.
    pub fn finish_with_cross_entropy(mut self, logits: SlotId) -> Result<Program> {
        let last = matches!(self.program.ops.last(), Some(Op::Linear { out, .. }) if *out == logits);
        if !last || self.slot(logits).is_pooled() {
            return Err(Error::value(
                "logits",
                "what the last linear map made at every step",
                "another slot",
            ));
        }
        self.program.ops.push(Op::CrossEntropy { logits });
        Ok(self.finish(logits))
    }
}

pub(super) fn positive(name: &'static str, n: usize) -> Result<()> {
    if n == 0 { Err(Error::value(name, "a positive number", n)) } else { Ok(()) }
}

pub(super) fn probability(name: &'static str, p: f64) -> Result<()> {
    if (0.0..1.0).contains(&p) {
        Ok(())
    } else {
        Err(Error::value(name, "a number from 0 to less than 1", p))
    }
}
