//! What training steps came to, and the states they left, while a device may still be at them.

use crate::arrays::new_state;
use crate::error::IntoPython;
use crate::shared::{AnyState, either};
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyTuple};
use seqrs::network;

/// Loss and gradients' norm of a training step.
#[pyclass(frozen, module = "seqrs._native")]
pub(crate) struct Outcome(pub(crate) network::Outcome);

#[pymethods]
impl Outcome {
    /// Whether both are here, so that neither waits.
    #[getter]
    fn known(&self) -> bool {
        self.0.is_known()
    }

    /// Mean loss of a scored token, nats, before the update.
    #[getter]
    fn loss(&self, py: Python<'_>) -> PyResult<f64> {
        py.detach(|| self.0.loss()).into_python()
    }

    /// Global norm of the gradients before clipping.
    #[getter]
    fn norm(&self, py: Python<'_>) -> PyResult<f64> {
        py.detach(|| self.0.gradient_norm()).into_python()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(match self.known() {
            true => format!("Outcome(loss={}, norm={})", self.loss(py)?, self.norm(py)?),
            false => "Outcome(not known yet)".to_owned(),
        })
    }
}

/// A state that a device holds: to start the next step from, or to be iterated over, array by array.
#[pyclass(frozen, module = "seqrs._native")]
pub(crate) struct State {
    pub(crate) state: AnyState,
    /// Numbers in each array.
    pub(crate) sizes: Vec<usize>,
}

#[pymethods]
impl State {
    fn __len__(&self) -> usize {
        self.sizes.len()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        let arrays: Bound<'py, PyTuple> = either!(&self.state, state => {
            let state = state.clone();
            let numbers = py.detach(|| state.into_vec()).into_python()?;
            new_state(py, numbers, &self.sizes)?
        });
        arrays.try_iter()
    }
}
