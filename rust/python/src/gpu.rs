//! Graphics processors: which there are, which is meant, and their end.

use crate::error::IntoPython;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use seqrs::device::{Adapter, Gpu};

/// All adapters, the best first.
#[pyfunction]
pub(crate) fn gpu_adapters(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let adapters = py.detach(Gpu::adapters).into_python()?;
    let described = adapters.iter().map(|adapter| describe(py, adapter)).collect::<PyResult<Vec<_>>>()?;
    PyList::new(py, described)
}

fn describe<'py>(py: Python<'py>, adapter: &Adapter) -> PyResult<Bound<'py, PyDict>> {
    let limits = PyDict::new(py);
    adapter.limits.iter().try_for_each(|(name, limit)| limits.set_item(name, limit))?;
    let described = PyDict::new(py);
    described.set_item("name", &adapter.name)?;
    described.set_item("kind", adapter.kind)?;
    described.set_item("backend", &adapter.backend)?;
    described.set_item("driver", &adapter.driver)?;
    described.set_item("limits", limits)?;
    described.set_item("features", &adapter.features)?;
    described.set_item("quirks", &adapter.quirks)?;
    Ok(described)
}

/// The place among them of the one that `"gpu"` means, or `"gpu:<name>"`.
#[pyfunction]
#[pyo3(signature = (name = None))]
pub(crate) fn gpu_choose(py: Python<'_>, name: Option<&str>) -> PyResult<usize> {
    py.detach(|| Gpu::choose(name)).into_python()
}

/// Closes what is open; the next use opens it anew.
#[pyfunction]
pub(crate) fn gpu_reset(py: Python<'_>) {
    py.detach(Gpu::reset);
}

/// Waits for work under way and lets none follow: for the end of the process.
#[pyfunction]
pub(crate) fn gpu_finish(py: Python<'_>) {
    py.detach(Gpu::finish);
}
