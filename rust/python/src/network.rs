//! Networks: programs with their weights on a device.

use crate::arrays::tokens;
use crate::error::IntoPython;
use crate::generator::Generator;
use crate::memory::Memory;
use crate::optimizer::Optimizer;
use crate::outcome::Outcome;
use crate::shared::{Network, Shared, Tape, is_double};
use crate::typed::{Attends, Backward, Counts, Forward, Scored};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySlice, PyTuple};
use seqrs::Error;
use seqrs::layers::Spec;
use seqrs::prelude::*;
use seqrs::program::Program;
use std::sync::Arc;

impl Network {
    fn on_device(program: Program, dtype: &str, device: &str, batch: usize, seed: u64) -> PyResult<Self> {
        let (double, precision) = match dtype {
            "bfloat16" => (false, Precision::Bfloat16),
            _ => (is_double(dtype)?, Precision::Full),
        };
        let (device, why) = match device {
            "auto" if dtype == "float32" => Device::for_program(&program, batch),
            "auto" => ("cpu", format!("{dtype} is for the processor alone")),
            named => (named, String::new()),
        };
        let device = Device::open(device).and_then(|device| device.with(precision)).into_python()?;
        Ok(Self { shared: Arc::new(Shared::new(program, device, double, seed).into_python()?), why })
    }
}

/// Output, state, and the shares of the memory's steps.
type Looked<'py> = (Bound<'py, PyAny>, Bound<'py, PyTuple>, Option<Bound<'py, PyAny>>);

/// Name, shape, place and frozenness of a parameter.
type Listed<'py> = (String, Bound<'py, PyTuple>, usize, bool);

fn check_rate(lr: f64) -> PyResult<()> {
    if lr >= 0.0 && lr.is_finite() {
        return Ok(());
    }
    Err(PyValueError::new_err(format!("lr: expected a finite number from 0 on, got {lr}")))
}

/// Calls the method for the network's element type.
macro_rules! typed {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        if $self.shared.double { $self.$method::<f64>($($argument),*) } else { $self.$method::<f32>($($argument),*) }
    };
}

#[pymethods]
impl Network {
    /// Blocks in a row, from their description.
    #[staticmethod]
    #[pyo3(signature = (spec, *, dtype, device, batch = 32, seed))]
    fn build(spec: &str, dtype: &str, device: &str, batch: usize, seed: u64) -> PyResult<Self> {
        let program = Spec::parse(spec).and_then(|spec| spec.program()).into_python()?;
        Self::on_device(program, dtype, device, batch, seed)
    }

    /// Tokens in, a distribution over the next token out.
    #[staticmethod]
    #[pyo3(signature = (*, cell, form, vocab_size, embedding_size, hidden_size, num_layers, dropout, dtype, device, batch = 32, seed))]
    #[allow(clippy::too_many_arguments)]
    fn language_model(
        cell: &str,
        form: &str,
        vocab_size: usize,
        embedding_size: Option<usize>,
        hidden_size: usize,
        num_layers: usize,
        dropout: f64,
        dtype: &str,
        device: &str,
        batch: usize,
        seed: u64,
    ) -> PyResult<Self> {
        let cell = Cell::parse(cell, form).into_python()?;
        let layers = Recurrent { dropout, ..Recurrent::new(cell, hidden_size, num_layers) };
        let model = LanguageModel { vocab_size, embedding_size, layers };
        Self::on_device(model.program().into_python()?, dtype, device, batch, seed)
    }

    /// "float32" or "float64".
    #[getter]
    pub(crate) fn dtype(&self) -> &'static str {
        if self.shared.double { "float64" } else { "float32" }
    }

    /// "cpu", "gpu" or "reference".
    #[getter]
    fn device(&self) -> &'static str {
        self.shared.device.name()
    }

    /// Why the device is what "auto" means; empty where another was named.
    #[getter]
    fn why(&self) -> &str {
        &self.why
    }

    /// Numbers in all parameters.
    #[getter]
    pub(crate) fn num_parameters(&self) -> usize {
        self.shared.program.parameters.len()
    }

    /// Numbers in the parameters that are not frozen.
    #[getter]
    fn num_trainable(&self) -> usize {
        self.shared.program.parameters.trainable()
    }

    /// Whether nothing is reversed or pooled.
    #[getter]
    fn causal(&self) -> bool {
        self.shared.program.is_causal()
    }

    /// Numbers in a step of the memory that it attends to; None where it attends to none.
    #[getter]
    fn memory_size(&self) -> Option<usize> {
        self.shared.program.memory
    }

    /// Name, shape, place in the buffer, and whether it is frozen.
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Vec<Listed<'py>>> {
        let list = self.shared.program.parameters.iter();
        list.map(|p| Ok((p.name.clone(), PyTuple::new(py, &p.shape)?, p.range.start, p.frozen))).collect()
    }

    /// Widths of h and c of every scan.
    fn states(&self) -> Vec<(usize, usize)> {
        self.shared.program.states.iter().map(|s| s.widths.into()).collect()
    }

    /// "steps" or "sequence", and the width.
    fn output(&self) -> (&'static str, usize) {
        let output = self.shared.output();
        (if output.is_pooled() { "sequence" } else { "steps" }, output.width())
    }

    /// A copy of one parameter.
    fn get<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        typed!(self.get_as(py, name))
    }

    /// Replaces some parameters, or none if one does not fit.
    fn set(&self, py: Python<'_>, values: &Bound<'_, PyDict>) -> PyResult<()> {
        typed!(self.set_as(py, values))
    }

    /// The output and the state after each row's last step, and a tape in training mode.
    #[pyo3(signature = (x, state, lengths, mask, training, seed, step, memory=None, memory_lengths=None))]
    #[allow(clippy::too_many_arguments)]
    fn forward<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        state: Option<&Bound<'py, PyTuple>>,
        lengths: Option<&Bound<'py, PyAny>>,
        mask: Option<&Bound<'py, PyAny>>,
        training: bool,
        seed: u64,
        step: u64,
        memory: Option<&Bound<'py, PyAny>>,
        memory_lengths: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Forward<'py>> {
        let key = training.then_some(DropoutKey { seed, step });
        let attended = Attends { memory, lengths: memory_lengths };
        let (done, _) = typed!(self.forward_as(py, x, state, Counts { lengths, mask }, attended, key))?;
        Ok(done)
    }

    /// Output, state, and the shares of the memory's steps in every context.
    #[allow(clippy::too_many_arguments)]
    fn attend<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        state: Option<&Bound<'py, PyTuple>>,
        lengths: Option<&Bound<'py, PyAny>>,
        mask: Option<&Bound<'py, PyAny>>,
        memory: Option<&Bound<'py, PyAny>>,
        memory_lengths: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Looked<'py>> {
        let attended = Attends { memory, lengths: memory_lengths };
        let ((y, state, _), shares) =
            typed!(self.forward_as(py, x, state, Counts { lengths, mask }, attended, None))?;
        Ok((y, state, shares))
    }

    /// A memory to attend to, (B, S, D), with what is made of it once for many runs without training.
    #[pyo3(signature = (memory, memory_lengths=None))]
    fn prepare(
        &self,
        py: Python<'_>,
        memory: &Bound<'_, PyAny>,
        memory_lengths: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Memory> {
        typed!(self.prepare_as(py, memory, memory_lengths))
    }

    /// Gradients of sum(dy * y) + sum(dstate * state).
    fn backward<'py>(
        &self,
        py: Python<'py>,
        tape: &Tape,
        dy: &Bound<'py, PyAny>,
        dstate: Option<&Bound<'py, PyTuple>>,
    ) -> PyResult<Backward<'py>> {
        typed!(self.backward_as(py, tape, dy, dstate))
    }

    /// One update by a gradient of all parameters; returns its norm before clipping.
    fn apply(
        &self,
        py: Python<'_>,
        gradient: &Bound<'_, PyAny>,
        optimizer: &Optimizer,
        lr: f64,
    ) -> PyResult<f64> {
        check_rate(lr)?;
        typed!(self.apply_as(py, gradient, optimizer, lr))
    }

    /// One step: x (B, I) features or (B,) tokens; y (B, O).
    #[pyo3(signature = (x, state, memory=None, memory_lengths=None))]
    fn step<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        state: Option<&Bound<'py, PyTuple>>,
        memory: Option<&Bound<'py, PyAny>>,
        memory_lengths: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        if !self.shared.program.is_causal() {
            let why = "one step of a network that reads the whole sequence".to_owned();
            return Err(Error::Unsupported(why)).into_python();
        }
        if x.getattr("ndim").and_then(|n| n.extract::<usize>()).is_ok_and(|n| n == 0) {
            return Err(Error::shape("x", "(B, I) or (B,)", &[])).into_python();
        }
        let x = x.get_item((PySlice::full(py), py.None()))?;
        let (y, state, _) = self.forward(py, &x, state, None, None, false, 0, 0, memory, memory_lengths)?;
        Ok((y.get_item((PySlice::full(py), 0))?, state))
    }

    /// Forward, backward, clip and update: what it came to, and the state after.
    #[allow(clippy::too_many_arguments)]
    fn train_step<'py>(
        &self,
        py: Python<'py>,
        inputs: &Bound<'py, PyAny>,
        targets: &Bound<'py, PyAny>,
        lengths: Option<&Bound<'py, PyAny>>,
        state: Option<&Bound<'py, PyAny>>,
        optimizer: &Optimizer,
        lr: f64,
        seed: u64,
        step: u64,
    ) -> PyResult<(Outcome, Bound<'py, PyAny>)> {
        check_rate(lr)?;
        let scored = Scored::new(inputs, targets, lengths)?;
        typed!(self.train_step_as(py, &scored, state, optimizer, lr, DropoutKey { seed, step }))
    }

    /// Log-probability of each target, (B, T), 0 where not scored; and the state after.
    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        inputs: &Bound<'py, PyAny>,
        targets: &Bound<'py, PyAny>,
        lengths: Option<&Bound<'py, PyAny>>,
        state: Option<&Bound<'py, PyTuple>>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let scored = Scored::new(inputs, targets, lengths)?;
        typed!(self.evaluate_as(py, &scored, state))
    }

    /// A copy for running alone, with its weights in "float32", "bfloat16" or "int8".
    fn at(&self, py: Python<'_>, weights: &str) -> PyResult<Self> {
        let precision = match weights {
            "float32" => Precision::Full,
            "bfloat16" => Precision::Bfloat16,
            "int8" => Precision::Int8,
            _ => {
                let expected = "\"float32\", \"bfloat16\" or \"int8\"";
                return Err(Error::value("weights", expected, format!("{weights:?}"))).into_python();
            }
        };
        typed!(self.at_as(py, precision))
    }

    /// Starts texts, one for each seed.
    #[pyo3(signature = (*, prompt, state, temperature, top_k, top_p, banned, stop, seeds))]
    #[allow(clippy::too_many_arguments)]
    fn generator(
        &self,
        py: Python<'_>,
        prompt: &Bound<'_, PyAny>,
        state: Option<&Bound<'_, PyTuple>>,
        temperature: f64,
        top_k: Option<usize>,
        top_p: Option<f64>,
        banned: &Bound<'_, PyAny>,
        stop: Option<i32>,
        seeds: Vec<u64>,
    ) -> PyResult<Generator> {
        let (prompt, _) = tokens("prompt", prompt)?;
        let (banned, _) = tokens("banned", banned)?;
        let width = self.shared.output().width();
        let sampler = Sampler::new(width, temperature, top_k, top_p, &banned).into_python()?;
        typed!(self.generator_as(py, &prompt, state, sampler, stop, &seeds))
    }
}
