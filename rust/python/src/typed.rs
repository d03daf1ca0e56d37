//! The methods of [`Network`] for one element type.

use crate::arrays::{array, is_integer, lengths, new_array, new_state, numbers, same_shape, state, tokens};
use crate::error::IntoPython;
use crate::generator::Generator;
use crate::optimizer::Optimizer;
use crate::shared::{Network, Number, Tape};
use numpy::PyUntypedArrayMethods;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use seqrs::prelude::*;
use seqrs::{Error, decode};
use std::sync::{Arc, Mutex, PoisonError};

/// Output, state, tape.
pub(crate) type Forward<'py> = (Bound<'py, PyAny>, Bound<'py, PyTuple>, Option<Tape>);
/// Gradients of the input, of the state and of each parameter.
pub(crate) type Backward<'py> = (Option<Bound<'py, PyAny>>, Bound<'py, PyTuple>, Bound<'py, PyDict>);

impl Network {
    pub(crate) fn get_as<'py, T: Number>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let shape = &self.shared.program.parameters.find(name).into_python()?.shape;
        let values = py.detach(|| self.shared.read(|of| T::network(of).get(name))).into_python()?;
        Ok(new_array(py, values, shape)?.into_any())
    }

    pub(crate) fn set_as<T: Number>(
        &self,
        py: Python<'_>,
        name: &str,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let value = array::<T>(name, value)?;
        let want = self.shared.program.parameters.find(name).into_python()?.shape.as_slice();
        same_shape(name, value.shape(), want)?;
        let value = numbers(&value);
        py.detach(|| self.shared.write(|of| T::network_mut(of).set(name, &value))).into_python()
    }

    pub(crate) fn forward_as<'py, T: Number>(
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
            mask: None,
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

    pub(crate) fn backward_as<'py, T: Number>(
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

    pub(crate) fn train_step_as<'py, T: Number>(
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

    pub(crate) fn evaluate_as<'py, T: Number>(
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

    pub(crate) fn generator_as<T: Number>(
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
pub(crate) struct Scored {
    inputs: Vec<i32>,
    targets: Vec<i32>,
    lengths: Option<Vec<usize>>,
    shape: Shape,
}

impl Scored {
    pub(crate) fn new(
        inputs: &Bound<'_, PyAny>,
        targets: &Bound<'_, PyAny>,
        steps: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let (inputs, shape) = tokens("inputs", inputs)?;
        let (targets, target_shape) = tokens("targets", targets)?;
        same_shape("targets", &target_shape, &shape)?;
        Ok(Self { inputs, targets, lengths: lengths(steps)?, shape: two("inputs", &shape)? })
    }

    fn batch<'a, T>(&'a self, start: StartState<'a, T>, training: Option<DropoutKey>) -> Batch<'a, T> {
        Batch {
            shape: self.shape,
            input: Input::Tokens(&self.inputs),
            targets: Some(&self.targets),
            lengths: self.lengths.as_deref(),
            mask: None,
            start,
            training,
        }
    }
}

/// Checks that an array argument is (B, T), and returns the two.
fn two(name: &str, shape: &[usize]) -> PyResult<Shape> {
    match *shape {
        [batch, steps] => Ok(Shape { batch, steps }),
        _ => Err(Error::shape(name, "(B, T)", shape)).into_python(),
    }
}

/// An input array as the core takes it.
enum Data<T> {
    Tokens(Vec<i32>),
    Features(Vec<T>),
}

/// Tokens (B, T) or features (B, T, I) with their shape.
fn input<T: Number>(x: &Bound<'_, PyAny>) -> PyResult<(Data<T>, Shape)> {
    if is_integer(x) {
        let (tokens, shape) = tokens("x", x)?;
        return Ok((Data::Tokens(tokens), two("x", &shape)?));
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
