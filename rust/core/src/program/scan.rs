//! Building one recurrent layer in one direction: its options and its weights.

use super::builder::{Builder, positive, probability};
use super::{AttentionOptions, LayerState, Noise, NormWeights, Op, Recurrence, ScanWeights, Slot, SlotId};
use crate::cells::{Cell, Kind, Peephole};
use crate::error::{Error, Result};
use crate::params::Init;
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
    /// How it attends to the memory, where it does.
    pub attention: Option<AttentionOptions>,
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

impl Builder {
    /// A recurrent layer in one direction, its parameters named `{prefix}weight_ih_{suffix}` and so on.
    /// Returns h at every step, with the context beside it where the layer attends.
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
        let attention = options.attention.map(|a| self.attention(prefix, suffix, options, a)).transpose()?;
        let out = self.push(Slot::Features(width), |out| {
            let recurrence = Recurrence { input, out, cell, hidden, width, layer, weights, noise, attention };
            Op::Scan(Box::new(recurrence))
        });
        attention.map_or(Ok(out), |attention| self.concat(out, attention.context))
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
        let rows = checked_product("model size", &[layout.gates, hidden])?;
        let uniform = Init::Uniform(1.0 / (hidden as f64).sqrt());
        let (ih, hh, bias) = match init {
            InitScheme::Uniform => (uniform.clone(), uniform.clone(), uniform),
            InitScheme::Orthogonal => (
                Init::Uniform((6.0 / (inputs as f64 + rows as f64)).sqrt()),
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
        let parameters = &mut self.program.parameters;
        let mut add = |name: &str, shape: &[usize], init: Init| {
            parameters.add(format!("{prefix}{name}_{suffix}"), shape, init)
        };
        let ih = add("weight_ih", &[rows, inputs], ih)?;
        let mut add_if = |wanted: bool, name: &str, shape: &[usize], init: Init| {
            if wanted { add(name, shape, init).map(Some) } else { Ok(None) }
        };
        let hh = add_if(recurrent, "weight_hh", &[rows, width], hh)?;
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
}
