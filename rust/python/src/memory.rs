//! A memory to attend to, prepared once for many runs.

use crate::error::IntoPython;
use crate::shared::{AnyPrepared, either};
use pyo3::prelude::*;
use seqrs::Error;
use std::sync::Arc;

/// Rows of a prepared memory, which several of these may share.
#[pyclass(frozen, module = "seqrs._native")]
pub(crate) struct Memory {
    pub(crate) prepared: Arc<AnyPrepared>,
    /// The row of it that each row of a batch attends to.
    pub(crate) rows: Vec<usize>,
}

impl Memory {
    pub(crate) fn new(prepared: AnyPrepared) -> Self {
        let rows = either!(&prepared, of => of.rows());
        Self { prepared: Arc::new(prepared), rows: (0..rows).collect() }
    }

    /// S.
    pub(crate) fn steps(&self) -> usize {
        either!(&*self.prepared, of => of.steps())
    }
}

#[pymethods]
impl Memory {
    /// Some rows, in any order, also several times; no number is copied.
    fn take(&self, rows: Vec<usize>) -> PyResult<Self> {
        let of = |row: usize| {
            let expected = || format!("numbers from 0 to {}", self.rows.len().saturating_sub(1));
            self.rows.get(row).copied().ok_or_else(|| Error::value("rows", expected(), row))
        };
        let rows = rows.into_iter().map(of).collect::<Result<_, _>>().into_python()?;
        Ok(Self { prepared: Arc::clone(&self.prepared), rows })
    }

    fn __len__(&self) -> usize {
        self.rows.len()
    }
}
