//! Networks: programs with their weights on a device.

use crate::arrays::{array, is_integer, lengths, new_array, new_state, numbers, same_shape, state, tokens};
use crate::error::IntoPython;
use crate::generator::Generator;
use crate::optimizer::Optimizer;
use crate::shared::{Number, Shared};
use numpy::PyUntypedArrayMethods;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySlice, PyTuple};
use seqrs::prelude::*;
use seqrs::program::Program;
use seqrs::{Error, decode, network};
use std::sync::{Arc, Mutex, PoisonError};

/// What one training-mode forward pass keeps for its backward pass; good for one use.
#[pyclass(frozen, module = "seqrs._native")]
pub(crate) struct Tape {
    tape: Mutex<network::Tape>,
    /// The network that made it.
    owner: Arc<Shared>,
    shape: Shape,
}

/// A program (list of ops) with its weights on one device.
#[pyclass(frozen, module = "seqrs._native")]
pub(crate) struct Network {
    shared: Arc<Shared>,
}

/// An input array as the core takes it.
enum Data<T> {
    Tokens(Vec<i32>),
    Features(Vec<T>),
}

impl Network {
    fn on_device(program: Program, dtype: &str, device: &str, seed: u64) -> PyResult<Self> {
        let device = Device::open(device).into_python()?;
        let double = match dtype {
            "float32" => false,
            "float64" => true,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "dtype: expected \"float32\" or \"float64\", got {dtype:?}"
                )));
            }
        };
        Ok(Self { shared: Arc::new(Shared::new(program, device, double, seed).into_python()?) })
    }

    /// Checks that an array argument is (B, T), and returns the two.
    fn two(name: &str, shape: &[usize]) -> PyResult<Shape> {
        match *shape {
            [batch, steps] => Ok(Shape { batch, steps }),
            _ => Err(Error::shape(name, "(B, T)", shape)).into_python(),
        }
    }
}

/// Tokens (B, T) or features (B, T, I) with their shape.
fn input<T: Number>(x: &Bound<'_, PyAny>) -> PyResult<(Data<T>, Shape)> {
    if is_integer(x) {
        let (tokens, shape) = tokens("x", x)?;
        return Ok((Data::Tokens(tokens), Network::two("x", &shape)?));
    }
    let features = array::<T>("x", x)?;
    match *features.shape() {
        [batch, steps, _] => Ok((Data::Features(numbers(&features).into_owned()), Shape { batch, steps })),
        ref shape => Err(Error::shape("x", "(B, T, I)", shape)).into_python(),
    }
}

impl<T> Data<T> {
    fn as_input(&self) -> Input<'_, T> {
        match self {
            Self::Tokens(tokens) => Input::Tokens(tokens),
            Self::Features(x) => Input::Features(x),
        }
    }
}

fn from<T>(state: Option<&Vec<T>>) -> StartState<'_, T> {
    state.map_or(StartState::Zero, |s| StartState::From(s))
}

/// Calls the method for the network's element type.
macro_rules! typed {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        if $self.shared.double { $self.$method::<f64>($($argument),*) } else { $self.$method::<f32>($($argument),*) }
    };
}

#[pymethods]
impl Network {
    /// A stack of recurrent layers.
    #[staticmethod]
    #[pyo3(signature = (*, cell, form, input_size, hidden_size, num_layers, bias, dropout, dtype, device, seed))]
    #[allow(clippy::too_many_arguments)]
    fn recurrent(
        cell: &str,
        form: &str,
        input_size: usize,
        hidden_size: usize,
        num_layers: usize,
        bias: bool,
        dropout: f64,
        dtype: &str,
        device: &str,
        seed: u64,
    ) -> PyResult<Self> {
        let cell = Cell::parse(cell, form).into_python()?;
        let stack = Recurrent { cell, hidden_size, num_layers, bias, dropout };
        Self::on_device(stack.program(input_size).into_python()?, dtype, device, seed)
    }

    /// Tokens in, a distribution over the next token out.
    #[staticmethod]
    #[pyo3(signature = (*, cell, form, vocab_size, embedding_size, hidden_size, num_layers, dropout, dtype, device, seed))]
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
        seed: u64,
    ) -> PyResult<Self> {
        let cell = Cell::parse(cell, form).into_python()?;
        let layers = Recurrent { cell, hidden_size, num_layers, bias: true, dropout };
        let model = LanguageModel { vocab_size, embedding_size, layers };
        Self::on_device(model.program().into_python()?, dtype, device, seed)
    }

    /// "float32" or "float64".
    #[getter]
    pub(crate) fn dtype(&self) -> &'static str {
        if self.shared.double { "float64" } else { "float32" }
    }

    /// "cpu" or "reference".
    #[getter]
    fn device(&self) -> &'static str {
        self.shared.device.name()
    }

    /// Numbers in all parameters.
    #[getter]
    pub(crate) fn num_parameters(&self) -> usize {
        self.shared.program.parameters.len()
    }

    /// Names and shapes in order.
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyTuple>)>> {
        let list = self.shared.program.parameters.iter();
        list.map(|p| Ok((p.name.clone(), PyTuple::new(py, &p.shape)?))).collect()
    }

    /// A copy of one parameter.
    fn get<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        typed!(self.get_as(py, name))
    }

    /// Replaces one parameter.
    fn set(&self, py: Python<'_>, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        typed!(self.set_as(py, name, value))
    }

    /// The output and the state after each row's last step, and a tape in training mode.
    #[allow(clippy::too_many_arguments)]
    fn forward<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        state: Option<&Bound<'py, PyTuple>>,
        lengths: Option<&Bound<'py, PyAny>>,
        training: bool,
        seed: u64,
        step: u64,
    ) -> PyResult<Forward<'py>> {
        let key = training.then_some(DropoutKey { seed, step });
        typed!(self.forward_as(py, x, state, lengths, key))
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

    /// One step: x (B, I) features or (B,) tokens; y (B, O).
    fn step<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        state: Option<&Bound<'py, PyTuple>>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let x = x.get_item((PySlice::full(py), py.None()))?;
        let (y, state, _) = self.forward(py, &x, state, None, false, 0, 0)?;
        Ok((y.get_item((PySlice::full(py), 0))?, state))
    }

    /// Forward, backward, clip and update: mean loss, gradient norm before clipping, state after.
    #[allow(clippy::too_many_arguments)]
    fn train_step<'py>(
        &self,
        py: Python<'py>,
        inputs: &Bound<'py, PyAny>,
        targets: &Bound<'py, PyAny>,
        lengths: Option<&Bound<'py, PyAny>>,
        state: Option<&Bound<'py, PyTuple>>,
        optimizer: &Optimizer,
        lr: f64,
        seed: u64,
        step: u64,
    ) -> PyResult<(f64, f64, Bound<'py, PyTuple>)> {
        if !(lr >= 0.0 && lr.is_finite()) {
            return Err(PyValueError::new_err(format!("lr: expected a finite number from 0 on, got {lr}")));
        }
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

    /// Starts a text.
    #[pyo3(signature = (*, prompt, state, temperature, top_k, top_p, banned, stop, seed))]
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
        seed: u64,
    ) -> PyResult<Generator> {
        let (prompt, _) = tokens("prompt", prompt)?;
        let (banned, _) = tokens("banned", banned)?;
        let width = self.shared.output_width();
        let sampler = Sampler::new(width, temperature, top_k, top_p, &banned).into_python()?;
        typed!(self.generator_as(py, &prompt, state, sampler, stop, seed))
    }
}

/// Output, state, tape.
type Forward<'py> = (Bound<'py, PyAny>, Bound<'py, PyTuple>, Option<Tape>);
/// Gradients of the input, of the state and of each parameter.
type Backward<'py> = (Option<Bound<'py, PyAny>>, Bound<'py, PyTuple>, Bound<'py, PyDict>);

/// The same, for one element type.
impl Network {
    fn get_as<'py, T: Number>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let shape = &self.shared.program.parameters.find(name).into_python()?.shape;
        let values = py.detach(|| self.shared.read(|of| T::network(of).get(name))).into_python()?;
        Ok(new_array(py, values, shape)?.into_any())
    }

    fn set_as<T: Number>(&self, py: Python<'_>, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = array::<T>(name, value)?;
        let want = self.shared.program.parameters.find(name).into_python()?.shape.as_slice();
        same_shape(name, value.shape(), want)?;
        let value = numbers(&value);
        py.detach(|| self.shared.write(|of| T::network_mut(of).set(name, &value))).into_python()
    }

    fn forward_as<'py, T: Number>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        start: Option<&Bound<'py, PyTuple>>,
        steps: Option<&Bound<'py, PyAny>>,
        training: Option<DropoutKey>,
    ) -> PyResult<Forward<'py>> {
        let (x, shape) = input::<T>(x)?;
        let (state_shape, parts) = self.shared.state_shape(shape.batch);
        let start = state::<T>("state", start, state_shape, parts)?;
        let lengths = lengths(steps)?;
        let batch = Batch {
            shape,
            input: x.as_input(),
            targets: None,
            lengths: lengths.as_deref(),
            start: from(start.as_ref()),
            training,
        };
        let done = py.detach(|| {
            self.shared.read(|of| {
                let network = T::network(of);
                match training {
                    Some(_) => network.forward(&batch).map(|(run, tape)| (run, Some(tape))),
                    None => network.run(&batch).map(|run| (run, None)),
                }
            })
        });
        let (run, tape) = done.into_python()?;
        let tape = tape.map(|tape| Tape { tape: Mutex::new(tape), owner: Arc::clone(&self.shared), shape });
        let y = new_array(py, run.output, &[shape.batch, shape.steps, self.shared.output_width()])?;
        Ok((y.into_any(), new_state(py, &run.state, state_shape, parts)?, tape))
    }

    fn backward_as<'py, T: Number>(
        &self,
        py: Python<'py>,
        tape: &Tape,
        dy: &Bound<'py, PyAny>,
        dstate: Option<&Bound<'py, PyTuple>>,
    ) -> PyResult<Backward<'py>> {
        if !Arc::ptr_eq(&tape.owner, &self.shared) {
            return Err(Error::Tape("made by another network")).into_python();
        }
        let Shape { batch, steps } = tape.shape;
        let dy = array::<T>("dy", dy)?;
        same_shape("dy", dy.shape(), &[batch, steps, self.shared.output_width()])?;
        let (state_shape, parts) = self.shared.state_shape(batch);
        let dstate = state::<T>("dstate", dstate, state_shape, parts)?;
        let dy = numbers(&dy);
        let done = py.detach(|| {
            let mut tape = tape.tape.lock().unwrap_or_else(PoisonError::into_inner);
            self.shared.read(|of| T::network(of).backward(&mut tape, &dy, dstate.as_deref()))
        });
        let gradients = done.into_python()?;
        let program = &self.shared.program;
        let parameters = PyDict::new(py);
        for p in program.parameters.iter() {
            let values = gradients.parameters[p.range.clone()].to_vec();
            parameters.set_item(&p.name, new_array(py, values, &p.shape)?)?;
        }
        let width = program.slots[program.input].width();
        let dx = gradients.input.map(|dx| new_array(py, dx, &[batch, steps, width])).transpose()?;
        Ok((dx.map(Bound::into_any), new_state(py, &gradients.state, state_shape, parts)?, parameters))
    }

    fn train_step_as<'py, T: Number>(
        &self,
        py: Python<'py>,
        scored: &Scored,
        start: Option<&Bound<'py, PyTuple>>,
        optimizer: &Optimizer,
        lr: f64,
        key: DropoutKey,
    ) -> PyResult<(f64, f64, Bound<'py, PyTuple>)> {
        let (state_shape, parts) = self.shared.state_shape(scored.shape.batch);
        let start = state::<T>("state", start, state_shape, parts)?;
        let batch = scored.batch(from(start.as_ref()), Some(key));
        let done = py.detach(|| {
            self.shared.write(|of| {
                optimizer.with(|optimizer| {
                    T::optimizer(optimizer).map(|own| T::network_mut(of).train_step(&batch, own, lr))
                })
            })
        });
        let Some(done) = done else {
            return Err(PyTypeError::new_err("optimizer: expected one of the network's dtype, got another"));
        };
        let done = done.into_python()?;
        Ok((done.loss, done.gradient_norm, new_state(py, &done.state, state_shape, parts)?))
    }

    fn evaluate_as<'py, T: Number>(
        &self,
        py: Python<'py>,
        scored: &Scored,
        start: Option<&Bound<'py, PyTuple>>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let Shape { batch, steps } = scored.shape;
        let (state_shape, parts) = self.shared.state_shape(batch);
        let start = state::<T>("state", start, state_shape, parts)?;
        let input = scored.batch(from(start.as_ref()), None);
        let run = py.detach(|| self.shared.read(|of| T::network(of).log_probs(&input))).into_python()?;
        let log_probs = new_array(py, run.output, &[batch, steps])?;
        Ok((log_probs.into_any(), new_state(py, &run.state, state_shape, parts)?))
    }

    fn generator_as<T: Number>(
        &self,
        py: Python<'_>,
        prompt: &[i32],
        start: Option<&Bound<'_, PyTuple>>,
        sampler: Sampler,
        stop: Option<i32>,
        seed: u64,
    ) -> PyResult<Generator> {
        let (state_shape, parts) = self.shared.state_shape(1);
        let state = state::<T>("state", start, state_shape, parts)?;
        let start = Start { prompt, state: state.as_deref(), stop, seed };
        let made =
            py.detach(|| self.shared.read(|of| decode::Generator::new(T::network(of), start, sampler)));
        Ok(Generator::new(Arc::clone(&self.shared), T::generator(made.into_python()?)))
    }
}

/// Tokens and the tokens that should follow them.
struct Scored {
    inputs: Vec<i32>,
    targets: Vec<i32>,
    lengths: Option<Vec<usize>>,
    shape: Shape,
}

impl Scored {
    fn new(
        inputs: &Bound<'_, PyAny>,
        targets: &Bound<'_, PyAny>,
        steps: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let (inputs, shape) = tokens("inputs", inputs)?;
        let (targets, target_shape) = tokens("targets", targets)?;
        same_shape("targets", &target_shape, &shape)?;
        Ok(Self { inputs, targets, lengths: lengths(steps)?, shape: Network::two("inputs", &shape)? })
    }

    fn batch<'a, T>(&'a self, start: StartState<'a, T>, training: Option<DropoutKey>) -> Batch<'a, T> {
        Batch {
            shape: self.shape,
            input: Input::Tokens(&self.inputs),
            targets: Some(&self.targets),
            lengths: self.lengths.as_deref(),
            start,
            training,
        }
    }
}
