//! The methods of [`Network`] for one element type.

use crate::arrays::{
    Integers, array, integers, is_integer, lengths, lengths_of, new_array, new_state, numbers, same_shape,
    state, tokens,
};
use crate::error::IntoPython;
use crate::generator::Generator;
use crate::memory::Memory;
use crate::optimizer::Optimizer;
use crate::outcome::{Outcome, State};
use crate::shared::{Network, Number, Shared, Tape};
use numpy::{PyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use seqrs::prelude::*;
use seqrs::program::FinalState;
use seqrs::{Error, decode, program};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

/// Output, state, tape.
pub(crate) type Forward<'py> = (Bound<'py, PyAny>, Bound<'py, PyTuple>, Option<Tape>);
/// The same, and the shares of the memory's steps.
pub(crate) type Looked<'py> = (Forward<'py>, Option<Bound<'py, PyAny>>);
/// Gradients of the input, of the state, of all parameters and of the memory.
pub(crate) type Backward<'py> =
    (Option<Bound<'py, PyAny>>, Bound<'py, PyTuple>, Bound<'py, PyAny>, Option<Bound<'py, PyAny>>);

impl Network {
    pub(crate) fn get_as<'py, T: Number>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let shape = &self.shared.program.parameters.find(name).into_python()?.shape;
        let values = py.detach(|| self.shared.read(|of| T::network(of).get(name))).into_python()?;
        Ok(new_array(py, values, shape)?.into_any())
    }

    pub(crate) fn set_as<T: Number>(&self, py: Python<'_>, values: &Bound<'_, PyDict>) -> PyResult<()> {
        let mut given = Vec::with_capacity(values.len());
        for (name, value) in values {
            let name: String = name.extract()?;
            let value = array::<T>(&name, &value)?;
            same_shape(
                &name,
                value.shape(),
                &self.shared.program.parameters.find(&name).into_python()?.shape,
            )?;
            given.push((name, value));
        }
        let values: Vec<_> = given.iter().map(|(name, value)| (name.as_str(), numbers(value))).collect();
        py.detach(|| {
            let values: Vec<_> = values.iter().map(|(name, value)| (*name, &**value)).collect();
            self.shared.write(|of| T::network_mut(of).set_all(&values))
        })
        .into_python()
    }

    pub(crate) fn forward_as<'py, T: Number>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        start: Option<&Bound<'py, PyTuple>>,
        counts: Counts<'_, 'py>,
        attended: Attends<'_, 'py>,
        training: Option<DropoutKey>,
    ) -> PyResult<Looked<'py>> {
        let x = Data::<T>::new(x)?;
        let shape = x.shape()?;
        let sizes = self.shared.state_sizes(shape.batch);
        let start = state::<T>("state", start, &sizes)?;
        let lengths = lengths(counts.lengths)?;
        let mask = counts.mask.map(|mask| array::<bool>("mask", mask)).transpose()?;
        if let Some(mask) = &mask {
            same_shape("mask", mask.shape(), &[shape.batch, shape.steps])?;
        }
        let attended = Attended::<T>::new(attended, &self.shared, shape)?;
        let memory_steps = attended.steps();
        let seen = attended.numbers();
        let (x, mask) = (x.numbers(), mask.as_ref().map(numbers));
        let batch = Batch {
            shape,
            input: x.as_input(),
            targets: None,
            lengths: lengths.as_deref(),
            mask: mask.as_deref(),
            memory: attended.memory(&seen),
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
        let tape = tape.map(|tape| Tape {
            penalty: tape.penalty(),
            tape: Mutex::new(tape),
            owner: Arc::clone(&self.shared),
            shape,
            memory_steps,
        });
        let shares = [shape.batch, shape.steps, memory_steps];
        let attention = run.attention.map(|shares_of| new_array(py, shares_of, &shares)).transpose()?;
        let y = new_array(py, run.output, &self.shared.output_shape(shape))?;
        let done = (y.into_any(), new_state(py, run.state, &sizes)?, tape);
        Ok((done, attention.map(Bound::into_any)))
    }

    pub(crate) fn prepare_as<T: Number>(
        &self,
        py: Python<'_>,
        memory: &Bound<'_, PyAny>,
        lengths: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Memory> {
        let batch = memory.len()?;
        let attends = Attends { memory: Some(memory), lengths };
        let attended = Attended::<T>::new(attends, &self.shared, Shape { batch, steps: 1 })?;
        let seen = attended.numbers();
        let Some(memory) = attended.memory(&seen) else { return Err(other_dtype("memory")) };
        let made = py.detach(|| self.shared.read(|of| T::network(of).prepare(&memory, batch)));
        Ok(Memory::new(T::wrap_prepared(made.into_python()?)))
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
        same_shape("dy", dy.shape(), &self.shared.output_shape(tape.shape))?;
        let sizes = self.shared.state_sizes(batch);
        let dstate = state::<T>("dstate", dstate, &sizes)?;
        let (dy, owner) = (numbers(&dy), tape);
        let done = py.detach(|| {
            let mut tape = tape.tape.lock().unwrap_or_else(PoisonError::into_inner);
            self.shared.read(|of| T::network(of).backward(&mut tape, &dy, dstate.as_deref()))
        });
        let gradients = done.into_python()?;
        let program = &self.shared.program;
        let width = program.slots[program.input].width();
        let dx = gradients.input.map(|dx| new_array(py, dx, &[batch, steps, width])).transpose()?;
        let flat = PyArray1::from_vec(py, gradients.parameters);
        let memory = [batch, owner.memory_steps, program.memory.unwrap_or(0)];
        let memory = gradients.memory.map(|d| new_array(py, d, &memory)).transpose()?;
        let state = new_state(py, gradients.state, &sizes)?;
        Ok((dx.map(Bound::into_any), state, flat.into_any(), memory.map(Bound::into_any)))
    }

    pub(crate) fn apply_as<T: Number>(
        &self,
        py: Python<'_>,
        gradient: &Bound<'_, PyAny>,
        optimizer: &Optimizer,
        lr: f64,
    ) -> PyResult<f64> {
        let gradient = array::<T>("gradient", gradient)?;
        same_shape("gradient", gradient.shape(), &[self.shared.program.parameters.len()])?;
        let gradient = numbers(&gradient);
        let done = py.detach(|| {
            self.shared.write(|of| {
                optimizer.with(|optimizer| {
                    T::optimizer(optimizer).map(|own| T::network_mut(of).apply(&gradient, own, lr))
                })
            })
        });
        done.ok_or_else(|| other_dtype("optimizer"))?.into_python()
    }

    pub(crate) fn train_step_as<'py, T: Number>(
        &self,
        py: Python<'py>,
        scored: &Scored,
        start: Option<&Bound<'py, PyAny>>,
        optimizer: &Optimizer,
        lr: f64,
        key: DropoutKey,
    ) -> PyResult<(Outcome, Bound<'py, PyAny>)> {
        let sizes = self.shared.state_sizes(scored.shape.batch);
        let held = start.and_then(|start| start.cast::<State>().ok());
        let held = held
            .map(|held| T::state_of(&held.get().state).ok_or_else(|| other_dtype("state")))
            .transpose()?;
        let here = match (held, start) {
            (None, Some(start)) => state::<T>("state", Some(start.cast()?), &sizes)?,
            _ => None,
        };
        let start = held.map_or_else(|| from(here.as_ref()), FinalState::start);
        let batch = scored.batch(start, Some(key));
        let done = py.detach(|| {
            self.shared.write(|of| {
                optimizer.with(|optimizer| {
                    T::optimizer(optimizer).map(|own| T::network_mut(of).learn(&batch, own, lr))
                })
            })
        });
        let (outcome, state) = done.ok_or_else(|| other_dtype("optimizer"))?.into_python()?;
        let state = match state {
            FinalState::Here(state) => new_state(py, state, &sizes)?.into_any(),
            state => Bound::new(py, State { state: T::state(state), sizes })?.into_any(),
        };
        Ok((Outcome(outcome), state))
    }

    pub(crate) fn evaluate_as<'py, T: Number>(
        &self,
        py: Python<'py>,
        scored: &Scored,
        start: Option<&Bound<'py, PyTuple>>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let Shape { batch, steps } = scored.shape;
        let sizes = self.shared.state_sizes(batch);
        let start = state::<T>("state", start, &sizes)?;
        let input = scored.batch(from(start.as_ref()), None);
        let run = py.detach(|| self.shared.read(|of| T::network(of).log_probs(&input))).into_python()?;
        let log_probs = new_array(py, run.output, &[batch, steps])?;
        Ok((log_probs.into_any(), new_state(py, run.state, &sizes)?))
    }

    /// A copy that multiplies in other numbers.
    pub(crate) fn at_as<T: Number>(&self, py: Python<'_>, precision: Precision) -> PyResult<Self> {
        let made = py.detach(|| self.shared.read(|of| T::network(of).at(precision)));
        Ok(Self { shared: Arc::new(Shared::of(made.into_python()?)), why: self.why.clone() })
    }

    pub(crate) fn generator_as<T: Number>(
        &self,
        py: Python<'_>,
        prompt: &[i32],
        start: Option<&Bound<'_, PyTuple>>,
        sampler: Sampler,
        stop: Option<i32>,
        seeds: &[u64],
    ) -> PyResult<Generator> {
        let state = state::<T>("state", start, &self.shared.state_sizes(1))?;
        let start = |&seed: &u64| Start { prompt, state: state.as_deref(), stop, seed };
        let starts: Vec<_> = seeds.iter().map(start).collect();
        let made = py
            .detach(|| self.shared.read(|of| decode::Generator::together(T::network(of), &starts, &sampler)));
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
            memory: None,
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

/// Which steps count.
#[derive(Clone, Copy)]
pub(crate) struct Counts<'a, 'py> {
    pub(crate) lengths: Option<&'a Bound<'py, PyAny>>,
    pub(crate) mask: Option<&'a Bound<'py, PyAny>>,
}

/// What a network attends to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Attends<'a, 'py> {
    pub(crate) memory: Option<&'a Bound<'py, PyAny>>,
    pub(crate) lengths: Option<&'a Bound<'py, PyAny>>,
}

/// What a batch attends to: nothing, an array with the steps of its rows, or what is prepared.
enum Attended<'py, T: Number> {
    Nothing,
    Array(PyReadonlyArrayDyn<'py, T>, Option<Vec<usize>>),
    Prepared(Bound<'py, Memory>),
}

impl<'py, T: Number> Attended<'py, T> {
    /// A memory that fits the network and a batch.
    fn new(attends: Attends<'_, 'py>, of: &Shared, Shape { batch, .. }: Shape) -> PyResult<Self> {
        let Some(memory) = attends.memory else { return Ok(Self::Nothing) };
        if let Ok(memory) = memory.cast::<Memory>() {
            return match T::prepared(&memory.get().prepared) {
                Some(_) => Ok(Self::Prepared(memory.clone())),
                None => Err(other_dtype("memory")),
            };
        }
        let memory = array::<T>("memory", memory)?;
        match (memory.shape(), of.program.memory) {
            (&[rows, _, width], Some(wanted)) if rows == batch && width == wanted => {}
            (_, None) => {}
            (shape, Some(wanted)) => {
                return Err(Error::shape("memory", format!("({batch}, S, {wanted})"), shape)).into_python();
            }
        }
        Ok(Self::Array(memory, lengths_of("memory_lengths", attends.lengths)?))
    }

    /// Those of an array.
    fn numbers(&self) -> Cow<'_, [T]> {
        if let Self::Array(array, _) = self { numbers(array) } else { Cow::Borrowed(&[]) }
    }

    /// As the core takes it, with the numbers of an array.
    fn memory<'a>(&'a self, values: &'a [T]) -> Option<program::Memory<'a, T>> {
        match self {
            Self::Nothing => None,
            Self::Array(_, lengths) => {
                let lengths = lengths.as_deref();
                Some(program::Memory { values, steps: self.steps(), lengths, chosen: None })
            }
            Self::Prepared(memory) => {
                let Memory { prepared, rows } = memory.get();
                T::prepared(prepared).map(|prepared| prepared.of(rows))
            }
        }
    }

    /// S, 0 without one.
    fn steps(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Array(array, _) => array.shape().get(1).copied().unwrap_or(0),
            Self::Prepared(memory) => memory.get().steps(),
        }
    }
}

/// Tokens (B, T) or features (B, T, I), where they lie.
enum Data<'py, T: Number> {
    Tokens(Integers<'py>),
    Features(PyReadonlyArrayDyn<'py, T>),
}

/// Their numbers, row major.
enum Numbers<'a, T: Number> {
    Tokens(Cow<'a, [i32]>),
    Features(Cow<'a, [T]>),
}

impl<'py, T: Number> Data<'py, T> {
    fn new(x: &Bound<'py, PyAny>) -> PyResult<Self> {
        if is_integer(x) {
            return integers("x", x).map(Self::Tokens);
        }
        array::<T>("x", x).map(Self::Features)
    }

    fn shape(&self) -> PyResult<Shape> {
        match self {
            Self::Tokens(tokens) => two("x", tokens.shape()),
            Self::Features(features) => match *features.shape() {
                [batch, steps, _] => Ok(Shape { batch, steps }),
                ref shape => Err(Error::shape("x", "(B, T, I)", shape)).into_python(),
            },
        }
    }

    fn numbers(&self) -> Numbers<'_, T> {
        match self {
            Self::Tokens(tokens) => Numbers::Tokens(tokens.numbers()),
            Self::Features(features) => Numbers::Features(numbers(features)),
        }
    }
}

impl<T: Number> Numbers<'_, T> {
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

fn other_dtype(name: &str) -> PyErr {
    PyTypeError::new_err(format!("{name}: expected one of the network's dtype, got another"))
}
