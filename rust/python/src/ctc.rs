//! Labels without the times at which they fall.

use crate::arrays::{array, integers, lengths, new_array, numbers, same_shape};
use crate::error::IntoPython;
use crate::losses::{Outcome, is_double};
use crate::shared::Number;
use numpy::{PyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use seqrs::Error;
use seqrs::device::Device;
use seqrs::losses::{self, Reduction};
use seqrs::search::{self, Beam, Hypothesis, Reading};
use seqrs::shape::Shape;

/// The labels of each row, which lie one after the other.
fn rows<'a>(labels: &'a [i32], counts: &[usize]) -> PyResult<Vec<&'a [i32]>> {
    let mut rest = labels;
    let mut rows = Vec::with_capacity(counts.len());
    for &count in counts {
        let Some((row, after)) = rest.split_at_checked(count) else {
            return Err(Error::shape("targets", "(sum of the counts,)", &[labels.len()])).into_python();
        };
        rows.push(row);
        rest = after;
    }
    same_shape("targets", &[labels.len()], &[labels.len() - rest.len()])?;
    Ok(rows)
}

/// −ln P(labels | logits), summed over all paths.
#[pyfunction]
pub(crate) fn ctc_loss<'py>(
    py: Python<'py>,
    logits: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
    counts: &Bound<'py, PyAny>,
    lengths: Option<&Bound<'py, PyAny>>,
    blank: usize,
    zero_infinity: bool,
    reduction: &str,
    device: &str,
) -> PyResult<Outcome<'py>> {
    let labels = integers("targets", labels)?;
    let labels = labels.numbers();
    let counts = self::lengths(Some(counts))?.unwrap_or_default();
    let labels = rows(&labels, &counts)?;
    let reduction = Reduction::from_name(reduction).into_python()?;
    let device = Device::open(device).into_python()?;
    let options = Options { lengths: self::lengths(lengths)?, blank, zero_infinity, reduction, device };
    if is_double(logits) {
        loss::<f64>(py, logits, &labels, &options)
    } else {
        loss::<f32>(py, logits, &labels, &options)
    }
}

struct Options {
    lengths: Option<Vec<usize>>,
    blank: usize,
    zero_infinity: bool,
    reduction: Reduction,
    device: Device,
}

fn loss<'py, T: Number>(
    py: Python<'py>,
    logits: &Bound<'py, PyAny>,
    labels: &[&[i32]],
    options: &Options,
) -> PyResult<Outcome<'py>> {
    let (logits, shape, classes) = logits_of::<T>(logits)?;
    let z = numbers(&logits);
    let &Options { ref lengths, blank, zero_infinity, reduction, device } = options;
    let loss = py.detach(|| {
        let lengths = lengths.as_deref();
        losses::ctc(device, &z, classes, labels, shape, lengths, blank, zero_infinity, reduction)
    });
    let loss = loss.into_python()?;
    Ok((loss.value, new_array(py, loss.gradient, logits.shape())?.into_any()))
}

/// Logits (B, T, V), their batch and V.
fn logits_of<'py, T: Number>(
    logits: &Bound<'py, PyAny>,
) -> PyResult<(PyReadonlyArrayDyn<'py, T>, Shape, usize)> {
    let logits = array::<T>("logits", logits)?;
    let &[batch, steps, classes] = logits.shape() else {
        return Err(Error::shape("logits", "(B, T, V)", logits.shape())).into_python();
    };
    Ok((logits, Shape { batch, steps }, classes))
}

/// Labels, the step at which each begins, ln P of the path.
type Read<'py> = (Bound<'py, PyArray1<i32>>, Bound<'py, PyArray1<i32>>, f64);

/// The labels of the best path of each row.
#[pyfunction]
pub(crate) fn ctc_greedy<'py>(
    py: Python<'py>,
    logits: &Bound<'py, PyAny>,
    lengths: Option<&Bound<'py, PyAny>>,
    blank: usize,
) -> PyResult<Vec<Read<'py>>> {
    let lengths = self::lengths(lengths)?;
    let readings = if is_double(logits) {
        greedy::<f64>(py, logits, lengths.as_deref(), blank)?
    } else {
        greedy::<f32>(py, logits, lengths.as_deref(), blank)?
    };
    let wrap =
        |read: Reading| (PyArray1::from_vec(py, read.labels), PyArray1::from_vec(py, read.steps), read.log_p);
    Ok(readings.into_iter().map(wrap).collect())
}

fn greedy<T: Number>(
    py: Python<'_>,
    logits: &Bound<'_, PyAny>,
    lengths: Option<&[usize]>,
    blank: usize,
) -> PyResult<Vec<Reading>> {
    let (logits, shape, classes) = logits_of::<T>(logits)?;
    let z = numbers(&logits);
    py.detach(|| search::ctc_greedy(&z, classes, shape, lengths, blank)).into_python()
}

/// Labels, what the beam ranks by, ln P(labels | logits).
type Found<'py> = (Bound<'py, PyArray1<i32>>, f64, f64);

/// The best labels of each row by a beam of prefixes, best first.
#[pyfunction]
pub(crate) fn ctc_beam<'py>(
    py: Python<'py>,
    logits: &Bound<'py, PyAny>,
    lengths: Option<&Bound<'py, PyAny>>,
    blank: usize,
    width: usize,
    hypotheses: usize,
    language: Option<Bound<'py, PyAny>>,
    alpha: f64,
    beta: f64,
) -> PyResult<Vec<Vec<Found<'py>>>> {
    let lengths = self::lengths(lengths)?;
    let beam = Beam { width, hypotheses, alpha, beta };
    let language = language.map(Bound::unbind);
    let rows = if is_double(logits) {
        beam_of::<f64>(py, logits, lengths.as_deref(), blank, beam, language)?
    } else {
        beam_of::<f32>(py, logits, lengths.as_deref(), blank, beam, language)?
    };
    let wrap = |found: Hypothesis| (PyArray1::from_vec(py, found.labels), found.score, found.log_p);
    Ok(rows.into_iter().map(|row| row.into_iter().map(wrap).collect()).collect())
}

fn beam_of<T: Number>(
    py: Python<'_>,
    logits: &Bound<'_, PyAny>,
    lengths: Option<&[usize]>,
    blank: usize,
    beam: Beam,
    language: Option<Py<PyAny>>,
) -> PyResult<Vec<Vec<Hypothesis>>> {
    let (logits, shape, classes) = logits_of::<T>(logits)?;
    let z = numbers(&logits);
    // The core knows nothing of Python: what a callable raises waits here while its error unwinds.
    let mut raised = None;
    let outcome = py.detach(|| {
        let Some(language) = language else {
            return search::ctc_beam(&z, classes, shape, lengths, blank, beam, None);
        };
        let mut ask = |prefixes: &[Vec<i32>]| {
            Python::attach(|py| scores(py, &language, prefixes, classes)).map_err(|error| {
                raised = Some(error);
                Error::Unsupported("a language model that raises".to_owned())
            })
        };
        search::ctc_beam(&z, classes, shape, lengths, blank, beam, Some(&mut ask))
    });
    match raised {
        Some(error) => Err(error),
        None => outcome.into_python(),
    }
}

/// What a callable says of prefixes, given as a list of tuples.
fn scores(py: Python<'_>, language: &Py<PyAny>, prefixes: &[Vec<i32>], classes: usize) -> PyResult<Vec<f64>> {
    let tuples = prefixes.iter().map(|labels| PyTuple::new(py, labels));
    let answer = language.bind(py).call1((tuples.collect::<PyResult<Vec<_>>>()?,))?;
    let scores = array::<f64>("language scores", &answer)?;
    same_shape("language scores", scores.shape(), &[prefixes.len(), classes])?;
    Ok(numbers(&scores).into_owned())
}
