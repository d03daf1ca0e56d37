//! Losses over arrays.

use crate::arrays::{array, lengths, new_array, numbers, same_shape, tokens};
use crate::error::IntoPython;
use crate::shared::Number;
use numpy::{PyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use seqrs::device::Device;
use seqrs::losses::{self, Places, Pointwise, Reduction};
use seqrs::{Error, Result};

/// A loss and its gradient.
pub(crate) type Outcome<'py> = (f64, Bound<'py, PyAny>);

/// What all losses take beside their arrays.
struct Common<'py> {
    lengths: Option<Vec<usize>>,
    mask: Option<Bound<'py, PyAny>>,
    reduction: Reduction,
    device: Device,
}

impl<'py> Common<'py> {
    fn new(
        steps: Option<&Bound<'py, PyAny>>,
        mask: Option<Bound<'py, PyAny>>,
        reduction: &str,
        device: &str,
    ) -> PyResult<Self> {
        Ok(Self {
            lengths: lengths(steps)?,
            mask,
            reduction: Reduction::from_name(reduction).into_python()?,
            device: Device::open(device).into_python()?,
        })
    }

    /// Calls `loss`, detached, with the places of an array of this shape, and wraps what comes back.
    fn call<T: Number>(
        &self,
        py: Python<'py>,
        shape: &[usize],
        gradient_shape: &[usize],
        loss: impl FnOnce(Device, &Places<'_>, Reduction) -> Result<losses::Loss<T>> + Send,
    ) -> PyResult<Outcome<'py>> {
        let mask = self.mask.as_ref().map(|mask| array::<bool>("mask", mask)).transpose()?;
        if let Some(mask) = &mask {
            let axes = mask.shape().len().min(shape.len());
            same_shape("mask", mask.shape(), &shape[..axes.max(1)])?;
        }
        let mask = mask.as_ref().map(numbers);
        let places = Places { shape, lengths: self.lengths.as_deref(), mask: mask.as_deref() };
        let (device, reduction) = (self.device, self.reduction);
        let loss = py.detach(|| loss(device, &places, reduction)).into_python()?;
        Ok((loss.value, new_array(py, loss.gradient, gradient_shape)?.into_any()))
    }
}

/// Whether an argument is an array of doubles.
pub(crate) fn is_double(value: &Bound<'_, PyAny>) -> bool {
    value.cast::<PyArrayDyn<f64>>().is_ok()
}

/// Cross-entropy of softmax(logits), (…, V), and integer targets, (…).
#[pyfunction]
pub(crate) fn softmax_cross_entropy<'py>(
    py: Python<'py>,
    logits: &Bound<'py, PyAny>,
    targets: &Bound<'py, PyAny>,
    lengths: Option<&Bound<'py, PyAny>>,
    mask: Option<Bound<'py, PyAny>>,
    reduction: &str,
    device: &str,
    label_smoothing: f64,
) -> PyResult<Outcome<'py>> {
    let common = Common::new(lengths, mask, reduction, device)?;
    let (targets, shape) = tokens("targets", targets)?;
    if is_double(logits) {
        softmax::<f64>(py, &common, logits, &targets, &shape, label_smoothing)
    } else {
        softmax::<f32>(py, &common, logits, &targets, &shape, label_smoothing)
    }
}

fn softmax<'py, T: Number>(
    py: Python<'py>,
    common: &Common<'py>,
    logits: &Bound<'py, PyAny>,
    targets: &[i32],
    shape: &[usize],
    label_smoothing: f64,
) -> PyResult<Outcome<'py>> {
    let logits = array::<T>("logits", logits)?;
    let Some((&classes, rows)) = logits.shape().split_last() else {
        return Err(Error::shape("logits", "(B, T, V) or (B, V)", &[])).into_python();
    };
    same_shape("targets", shape, rows)?;
    let z = numbers(&logits);
    common.call(py, shape, logits.shape(), |device, places, reduction| {
        losses::softmax_cross_entropy(device, &z, classes, targets, places, label_smoothing, reduction)
    })
}

/// A loss that compares predictions and targets number by number.
#[pyfunction]
pub(crate) fn pointwise_loss<'py>(
    py: Python<'py>,
    loss: &str,
    predictions: &Bound<'py, PyAny>,
    targets: &Bound<'py, PyAny>,
    lengths: Option<&Bound<'py, PyAny>>,
    mask: Option<Bound<'py, PyAny>>,
    reduction: &str,
    device: &str,
    delta: f64,
) -> PyResult<Outcome<'py>> {
    let common = Common::new(lengths, mask, reduction, device)?;
    let loss = Pointwise::from_name(loss, delta).into_python()?;
    if is_double(predictions) {
        pointwise::<f64>(py, &common, loss, predictions, targets)
    } else {
        pointwise::<f32>(py, &common, loss, predictions, targets)
    }
}

fn pointwise<'py, T: Number>(
    py: Python<'py>,
    common: &Common<'py>,
    loss: Pointwise,
    predictions: &Bound<'py, PyAny>,
    targets: &Bound<'py, PyAny>,
) -> PyResult<Outcome<'py>> {
    let predictions = array::<T>("predictions", predictions)?;
    let targets = array::<T>("targets", targets)?;
    let shape = predictions.shape();
    same_shape("targets", targets.shape(), shape)?;
    let (p, y) = (numbers(&predictions), numbers(&targets));
    common.call(py, shape, shape, |device, places, reduction| {
        losses::pointwise(device, loss, &p, &y, places, reduction)
    })
}
