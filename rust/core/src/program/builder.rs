//! Builds a [`Program`] op by op, with its parameters and shapes.

use super::{LayerState, Noise, NormWeights, Op, Pooling, Program, Recurrence, ScanWeights, Slot, SlotId};
use crate::cells::{Cell, Kind, Peephole};
use crate::error::{Error, Result};
use crate::params::{Init, ParamId, Parameters};
use crate::shape::checked_product;
use serde::{Deserialize, Serialize};

/// How the weights of a recurrent layer start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InitScheme {
    /// Uniform in ±1/√H, as PyTorch's.
    #[default]
    Uniform,
    /// Input weights uniform in ±√(6 / (in + out)) (Glorot and Bengio 2010), recurrent ones
    /// orthogonal gate by gate (Saxe et al. 2014), biases 0, as Keras's.
    Orthogonal,
}

/// What one recurrent layer in one direction is made of.
#[derive(Clone, Debug)]
pub struct ScanOptions {
    /// The cell.
    pub cell: Cell,
    /// H.
    pub hidden: usize,
    /// P, where h is projected.
    pub projection: Option<usize>,
    /// Whether there are biases.
    pub bias: bool,
    /// Layer normalisation.
    pub norm: bool,
    /// Whether the initial state is learned.
    pub learn_initial: bool,
    /// Regularisers.
    pub noise: Noise,
    /// How the weights start.
    pub init: InitScheme,
    /// What the forget gate's biases add up to at the start; absent: as the others.
    pub forget_bias: Option<f64>,
}

/// A program in the making.
#[derive(Debug)]
pub struct Builder {
    program: Program,
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
            input: 0,
            output: 0,
        };
        Ok((Self { program }, 0))
    }

    /// What a slot holds.
    pub fn slot(&self, slot: SlotId) -> Slot {
        self.program.slots[slot]
    }

    fn width(&self, slot: SlotId) -> usize {
        self.slot(slot).width()
    }

    fn push(&mut self, slot: Slot, op: impl FnOnce(SlotId) -> Op) -> SlotId {
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

    fn steps(&self, slot: SlotId, what: &'static str) -> Result<()> {
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

    /// The steps in reverse order. What an embedding made is made again from the tokens reversed,
    /// so that a layer can still read it token by token.
    pub fn reverse(&mut self, input: SlotId) -> SlotId {
        let made = self.program.ops.iter().find_map(|op| match *op {
            Op::Gather { tokens, table, dropout, out } if out == input => Some((tokens, table, dropout)),
            _ => None,
        });
        let kind = self.slot(input);
        match made {
            Some((tokens, table, dropout)) => {
                let tokens = self.reverse(tokens);
                self.push(kind, |out| Op::Gather { tokens, table, dropout, out })
            }
            None => self.push(kind, |out| Op::Reverse { input, out }),
        }
    }

    /// Two slots side by side.
    pub fn concat(&mut self, a: SlotId, b: SlotId) -> Result<SlotId> {
        let kind = self.like(a, self.width(a) + self.width(b))?;
        Ok(self.push(kind, |out| Op::Concat { inputs: [a, b], out }))
    }

    /// (a + b) · scale.
    pub fn sum(&mut self, a: SlotId, b: SlotId, scale: f64) -> Result<SlotId> {
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

    /// A recurrent layer in one direction, its parameters named `{prefix}weight_ih_{suffix}` and so on.
    pub fn scan(
        &mut self,
        prefix: &str,
        suffix: &str,
        input: SlotId,
        options: &ScanOptions,
    ) -> Result<SlotId> {
        self.steps(input, "a recurrent layer")?;
        options.check()?;
        let weights = self.scan_weights(prefix, suffix, self.width(input), options)?;
        let &ScanOptions { cell, hidden, noise, .. } = options;
        let width = options.projection.unwrap_or(hidden);
        let memory = if cell.has_memory() { hidden } else { 0 };
        let layer = self.program.states.len();
        self.program.states.push(LayerState { widths: [width, memory], initial: weights.initial });
        Ok(self.push(Slot::Features(width), |out| {
            Op::Scan(Box::new(Recurrence { input, out, cell, hidden, width, layer, weights, noise }))
        }))
    }

    fn scan_weights(
        &mut self,
        prefix: &str,
        suffix: &str,
        inputs: usize,
        options: &ScanOptions,
    ) -> Result<ScanWeights> {
        let ScanOptions { cell, hidden, init, .. } = *options;
        let layout = cell.layout();
        let width = options.projection.unwrap_or(hidden);
        let rows = checked_product("model size", &[4, hidden, hidden]).map(|_| layout.gates * hidden)?;
        let uniform = Init::Uniform(1.0 / (hidden as f64).sqrt());
        let (ih, hh, bias) = match init {
            InitScheme::Uniform => (uniform.clone(), uniform.clone(), uniform),
            InitScheme::Orthogonal => (
                Init::Uniform((6.0 / (inputs + rows) as f64).sqrt()),
                Init::Blocks(vec![Init::Orthogonal; layout.gates]),
                Init::Constant(0.0),
            ),
        };
        // PyTorch's order of gates: the forget gate is the second of four.
        let with_forget = |start: f64| match options.forget_bias {
            Some(_) => {
                let start = Init::Constant(start);
                Init::Blocks(
                    (0..layout.gates).map(|g| if g == 1 { start.clone() } else { bias.clone() }).collect(),
                )
            }
            None => bias.clone(),
        };
        let recurrent = !layout.products.is_empty();
        let peepholes = match cell.kind {
            Kind::Lstm { peephole: Peephole::Full, .. } => Some(vec![(layout.gates - 1) * hidden, hidden]),
            _ if layout.peepholes.is_empty() => None,
            _ => Some(vec![layout.peepholes.len() * hidden]),
        };
        let mut add = |name: &str, shape: &[usize], init: Init| {
            self.program.parameters.add(format!("{prefix}{name}_{suffix}"), shape, init)
        };
        let mut add_if = |wanted: bool, name: &str, shape: &[usize], init: Init| {
            if wanted { add(name, shape, init).map(Some) } else { Ok(None) }
        };
        let Some(ih) = add_if(true, "weight_ih", &[rows, inputs], ih.clone())? else { unreachable!() };
        let hh = add_if(recurrent, "weight_hh", &[rows, width], hh.clone())?;
        let bias_ih =
            add_if(options.bias, "bias_ih", &[rows], with_forget(options.forget_bias.unwrap_or(0.0)))?;
        let bias_hh = add_if(options.bias && recurrent, "bias_hh", &[rows], with_forget(0.0))?;
        let ch = match peepholes {
            Some(shape) => add_if(true, "weight_ch", &shape, Init::Uniform(1.0 / (hidden as f64).sqrt()))?,
            None => None,
        };
        let projected = options.projection.is_some();
        let hr =
            add_if(projected, "weight_hr", &[width, hidden], Init::Uniform(1.0 / (hidden as f64).sqrt()))?;
        let one = Init::Constant(1.0);
        let gain_ih = add_if(options.norm, "gain_ih", &[rows], one.clone())?;
        let gain_hh = add_if(options.norm, "gain_hh", &[rows], one.clone())?;
        let memory = options.norm && cell.has_memory();
        let gain_c = add_if(memory, "gain_c", &[hidden], one)?;
        let zero = Init::Constant(0.0);
        let bias_c = add_if(memory, "bias_c", &[hidden], zero.clone())?;
        let initial_h = add_if(options.learn_initial, "initial_h", &[width], zero.clone())?;
        let initial_c = add_if(options.learn_initial && cell.has_memory(), "initial_c", &[hidden], zero)?;
        let norm = gain_ih.zip(gain_hh).map(|(gain_ih, gain_hh)| NormWeights {
            gain_ih,
            gain_hh,
            memory: gain_c.zip(bias_c).map(|(gain, bias)| [gain, bias]),
        });
        Ok(ScanWeights { ih, hh, bias_ih, bias_hh, ch, hr, norm, initial: [initial_h, initial_c] })
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
    pub fn pool(&mut self, input: SlotId, how: Pooling) -> Result<SlotId> {
        self.steps(input, "pooling")?;
        self.like(input, 0)?;
        let width = self.width(input);
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
    pub fn finish_with_cross_entropy(mut self, logits: SlotId) -> Program {
        self.program.ops.push(Op::CrossEntropy { logits });
        self.finish(logits)
    }
}

impl ScanOptions {
    /// Refuses what no equation stands for.
    fn check(&self) -> Result<()> {
        let Self { cell, noise, .. } = self;
        positive("hidden_size", self.hidden)?;
        self.projection.map_or(Ok(()), |p| positive("proj_size", p))?;
        probability("recurrent_dropout", noise.recurrent)?;
        probability("candidate_dropout", noise.candidate)?;
        probability("weight_dropout", noise.weights)?;
        noise.zoneout.iter().try_for_each(|&p| probability("zoneout", p))?;
        let refuse = |wrong: bool, name, expected| {
            if wrong { Err(Error::value(name, expected, format!("{:?}", cell.kind))) } else { Ok(()) }
        };
        let layout = cell.layout();
        let no_product = layout.products.is_empty();
        refuse(self.projection.is_some() && !cell.has_memory(), "proj_size", "an LSTM")?;
        let norms = !layout.norms.is_empty() && cell.kind != Kind::Rnn;
        let peephole = matches!(cell.kind, Kind::Lstm { peephole, .. } if peephole != Peephole::None);
        refuse(self.norm && (!norms || peephole), "layer_norm", "a GRU, or an LSTM without peepholes")?;
        refuse(
            noise.candidate > 0.0 && cell.kind == Kind::Rnn,
            "candidate_dropout",
            "a cell with a candidate",
        )?;
        refuse(noise.recurrent > 0.0 && no_product, "recurrent_dropout", "a cell with recurrent weights")?;
        refuse(noise.weights > 0.0 && no_product, "weight_dropout", "a cell with recurrent weights")?;
        refuse(
            noise.zoneout[1] > 0.0 && !cell.has_memory(),
            "zoneout",
            "a cell with a memory for the second number",
        )?;
        if let Some(bias) = self.forget_bias {
            let forgets = matches!(cell.kind, Kind::Lstm { coupled: false, .. });
            refuse(
                !forgets || !self.bias,
                "forget_bias",
                "an LSTM with biases and a forget gate of its own",
            )?;
            if !bias.is_finite() {
                return Err(Error::value("forget_bias", "a finite number", bias));
            }
        }
        Ok(())
    }
}

fn positive(name: &'static str, n: usize) -> Result<()> {
    if n == 0 { Err(Error::value(name, "a positive number", n)) } else { Ok(()) }
}

fn probability(name: &'static str, p: f64) -> Result<()> {
    if (0.0..1.0).contains(&p) {
        Ok(())
    } else {
        Err(Error::value(name, "a number from 0 to less than 1", p))
    }
}
