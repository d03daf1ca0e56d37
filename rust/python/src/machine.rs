//! Functions that belong to no class.

use crate::error::IntoPython;
use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use seqrs::device;
use seqrs::rng::{Kind, Stream};
use seqrs::schedule::Schedule;

/// Sets the number of threads of every later call.
#[pyfunction]
pub(crate) fn set_num_threads(n: usize) -> PyResult<()> {
    device::set_num_threads(n).into_python()
}

/// Threads a call may use.
#[pyfunction]
pub(crate) fn get_num_threads() -> PyResult<usize> {
    device::num_threads().into_python()
}

/// Instruction sets found, and the one in use.
#[pyfunction]
pub(crate) fn cpu_features(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let (detected, path) = device::cpu_features().into_python()?;
    let features = PyDict::new(py);
    features.set_item("detected", detected)?;
    features.set_item("path", path)?;
    Ok(features)
}

/// The learning rate of one update.
#[pyfunction]
#[pyo3(signature = (schedule, lr, step, total, *, warmup = 0, step_size = 1, gamma = 0.1, r#final = 0.0))]
#[allow(clippy::too_many_arguments)]
pub(crate) fn learning_rate(
    schedule: &str,
    lr: f64,
    step: u64,
    total: u64,
    warmup: u64,
    step_size: u64,
    gamma: f64,
    r#final: f64,
) -> PyResult<f64> {
    let schedule = Schedule::from_name(schedule, step_size, gamma, r#final).into_python()?;
    schedule.rate(lr, step, total, warmup).into_python()
}

/// Numbers of the counter-based generator, for the order of training data.
#[pyfunction]
pub(crate) fn random_bits(
    py: Python<'_>,
    seed: u64,
    stream: u32,
    counter: u64,
    n: usize,
) -> PyResult<Bound<'_, PyArray1<u32>>> {
    if stream >= 1 << 24 {
        return Err(PyValueError::new_err(format!("stream: expected a number below 2**24, got {stream}")));
    }
    let n = seqrs::shape::checked_product("n", &[n]).into_python()?;
    let mut bits = vec![0; n];
    py.detach(|| Stream::new(seed, Kind::Data, stream, 0).fill(counter, &mut bits));
    Ok(bits.into_pyarray(py))
}
