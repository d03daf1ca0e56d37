//! Chains of tags: their loss, marginals and best sequences.

use crate::arrays::{array, lengths, new_array, numbers, same_shape, tokens};
use crate::error::IntoPython;
use crate::losses::is_double;
use crate::shared::Number;
use numpy::{PyArray1, PyArrayDyn, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use seqrs::Error;
use seqrs::device::Device;
use seqrs::losses::{self, Chain, Reduction};
use seqrs::search;
use seqrs::shape::Shape;

/// The arrays of a chain and the emissions that it is for.
struct Arrays<'py, T: Number> {
    emissions: PyReadonlyArrayDyn<'py, T>,
    /// Start, transitions, end.
    chain: [PyReadonlyArrayDyn<'py, T>; 3],
}

impl<'py, T: Number> Arrays<'py, T> {
    fn new(emissions: &Bound<'py, PyAny>, chain: &[Bound<'py, PyAny>; 3]) -> PyResult<Self> {
        let emissions = array::<T>("emissions", emissions)?;
        let &[_, _, k] = emissions.shape() else {
            return Err(Error::shape("emissions", "(B, T, K)", emissions.shape())).into_python();
        };
        let part = |i: usize, name: &str, shape: &[usize]| {
            let part = array::<T>(name, &chain[i])?;
            same_shape(name, part.shape(), shape)?;
            Ok::<_, PyErr>(part)
        };
        let chain = [part(0, "start", &[k])?, part(1, "transitions", &[k, k])?, part(2, "end", &[k])?];
        Ok(Self { emissions, chain })
    }

    fn shape(&self) -> Shape {
        Shape { batch: self.emissions.shape()[0], steps: self.emissions.shape()[1] }
    }

    /// Calls `f`, detached, with the emissions and the chain.
    fn detached<R: Send>(
        &self,
        py: Python<'py>,
        f: impl FnOnce(&[T], &Chain<'_, T>) -> seqrs::Result<R> + Send,
    ) -> PyResult<R> {
        let emissions = numbers(&self.emissions);
        let [start, transitions, end] = self.chain.each_ref().map(numbers);
        py.detach(|| f(&emissions, &Chain { start: &start, transitions: &transitions, end: &end }))
            .into_python()
    }
}

/// −ln P(tags | emissions); the gradients by emissions, start, transitions and end.
#[pyfunction]
pub(crate) fn crf_loss<'py>(
    py: Python<'py>,
    emissions: &Bound<'py, PyAny>,
    tags: &Bound<'py, PyAny>,
    chain: [Bound<'py, PyAny>; 3],
    lengths: Option<&Bound<'py, PyAny>>,
    reduction: &str,
    device: &str,
) -> PyResult<(f64, Bound<'py, PyTuple>)> {
    let (tags, tags_shape) = tokens("tags", tags)?;
    let steps = self::lengths(lengths)?;
    let reduction = Reduction::from_name(reduction).into_python()?;
    let device = Device::open(device).into_python()?;
    if is_double(emissions) {
        let arrays = Arrays::<f64>::new(emissions, &chain)?;
        loss(py, &arrays, &tags, &tags_shape, steps.as_deref(), reduction, device)
    } else {
        let arrays = Arrays::<f32>::new(emissions, &chain)?;
        loss(py, &arrays, &tags, &tags_shape, steps.as_deref(), reduction, device)
    }
}

fn loss<'py, T: Number>(
    py: Python<'py>,
    arrays: &Arrays<'py, T>,
    tags: &[i32],
    tags_shape: &[usize],
    lengths: Option<&[usize]>,
    reduction: Reduction,
    device: Device,
) -> PyResult<(f64, Bound<'py, PyTuple>)> {
    let shape = arrays.shape();
    same_shape("tags", tags_shape, &[shape.batch, shape.steps])?;
    let loss = arrays.detached(py, |emissions, chain| {
        losses::crf(device, emissions, tags, chain, shape, lengths, reduction)
    })?;
    let [start, transitions, end] = arrays.chain.each_ref().map(|part| part.shape());
    let gradients = (
        new_array(py, loss.emissions, arrays.emissions.shape())?,
        new_array(py, loss.start, start)?,
        new_array(py, loss.transitions, transitions)?,
        new_array(py, loss.end, end)?,
    );
    Ok((loss.value, gradients.into_pyobject(py)?))
}

/// The probability of each tag at each step.
#[pyfunction]
pub(crate) fn crf_marginals<'py>(
    py: Python<'py>,
    emissions: &Bound<'py, PyAny>,
    chain: [Bound<'py, PyAny>; 3],
    lengths: Option<&Bound<'py, PyAny>>,
    device: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let steps = self::lengths(lengths)?;
    let device = Device::open(device).into_python()?;
    if is_double(emissions) {
        Ok(marginals::<f64>(py, emissions, &chain, steps.as_deref(), device)?.into_any())
    } else {
        Ok(marginals::<f32>(py, emissions, &chain, steps.as_deref(), device)?.into_any())
    }
}

fn marginals<'py, T: Number>(
    py: Python<'py>,
    emissions: &Bound<'py, PyAny>,
    chain: &[Bound<'py, PyAny>; 3],
    lengths: Option<&[usize]>,
    device: Device,
) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
    let arrays = Arrays::<T>::new(emissions, chain)?;
    let shape = arrays.shape();
    let marginals = arrays
        .detached(py, |emissions, chain| losses::crf_marginals(device, emissions, chain, shape, lengths))?;
    new_array(py, marginals, arrays.emissions.shape())
}

/// Tags of each row, and their scores.
type Taggings<'py> = (Vec<Bound<'py, PyArray1<i32>>>, Bound<'py, PyArray1<f64>>);

/// The best tags of each row.
#[pyfunction]
pub(crate) fn viterbi<'py>(
    py: Python<'py>,
    emissions: &Bound<'py, PyAny>,
    chain: [Bound<'py, PyAny>; 3],
    lengths: Option<&Bound<'py, PyAny>>,
) -> PyResult<Taggings<'py>> {
    let steps = self::lengths(lengths)?;
    let rows = if is_double(emissions) {
        taggings::<f64>(py, emissions, &chain, steps.as_deref())?
    } else {
        taggings::<f32>(py, emissions, &chain, steps.as_deref())?
    };
    let (tags, scores): (Vec<_>, Vec<_>) = rows.into_iter().map(|row| (row.tags, row.score)).unzip();
    let tags = tags.into_iter().map(|tags| PyArray1::from_vec(py, tags)).collect();
    Ok((tags, PyArray1::from_vec(py, scores)))
}

fn taggings<'py, T: Number>(
    py: Python<'py>,
    emissions: &Bound<'py, PyAny>,
    chain: &[Bound<'py, PyAny>; 3],
    lengths: Option<&[usize]>,
) -> PyResult<Vec<search::Tagging>> {
    let arrays = Arrays::<T>::new(emissions, chain)?;
    let shape = arrays.shape();
    arrays.detached(py, |emissions, chain| search::viterbi(emissions, chain, shape, lengths))
}
