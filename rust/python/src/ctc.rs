//! Labels without the times at which they fall.

use crate::arrays::{array, integers, lengths, new_array, numbers, same_shape};
use crate::error::IntoPython;
use crate::losses::{Outcome, is_double};
use crate::shared::Number;
use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use seqrs::Error;
use seqrs::device::Device;
use seqrs::losses::{self, Reduction};
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
    let logits = array::<T>("logits", logits)?;
    let &[batch, steps, classes] = logits.shape() else {
        return Err(Error::shape("logits", "(B, T, V)", logits.shape())).into_python();
    };
    let z = numbers(&logits);
    let &Options { ref lengths, blank, zero_infinity, reduction, device } = options;
    let shape = Shape { batch, steps };
    let loss = py.detach(|| {
        let lengths = lengths.as_deref();
        losses::ctc(device, &z, classes, labels, shape, lengths, blank, zero_infinity, reduction)
    });
    let loss = loss.into_python()?;
    Ok((loss.value, new_array(py, loss.gradient, logits.shape())?.into_any()))
}
