//! The optimisers.

use crate::arrays::{array, new_array, numbers};
use crate::error::IntoPython;
use crate::shared::{AnyOptimizer, Either, Number, either, is_double};
use numpy::{PyArrayDyn, PyArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use seqrs::optim::{self, Rule};
use std::sync::{Mutex, PoisonError};

/// An update rule and its moving averages over so many weights.
#[pyclass(frozen, module = "seqrs._native")]
pub(crate) struct Optimizer(Mutex<AnyOptimizer>);

impl Optimizer {
    /// Calls `f` with the optimiser, alone; to be called while detached.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut AnyOptimizer) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pymethods]
impl Optimizer {
    #[new]
    #[pyo3(signature = (size, dtype, rule, *, momentum = 0.0, rho = 0.99, betas = (0.9, 0.999), eps = 1e-8,
                        weight_decay = 0.0, clip_norm = None, clip_value = None),
           text_signature = "(size, dtype, rule, *, momentum=0.0, rho=0.99, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0, clip_norm=None, clip_value=None)")]
    #[allow(clippy::too_many_arguments)]
    fn new(
        size: usize,
        dtype: &str,
        rule: &str,
        momentum: f64,
        rho: f64,
        betas: (f64, f64),
        eps: f64,
        weight_decay: f64,
        clip_norm: Option<f64>,
        clip_value: Option<f64>,
    ) -> PyResult<Self> {
        let rule = match rule {
            "sgd" => Rule::Sgd { momentum },
            "rmsprop" => Rule::RmsProp { rho, eps },
            "adam" => Rule::Adam { betas, eps },
            "adamw" => Rule::AdamW { betas, eps },
            _ => {
                return Err(PyValueError::new_err(format!(
                    "rule: expected \"sgd\", \"rmsprop\", \"adam\" or \"adamw\", got {rule:?}"
                )));
            }
        };
        let of = if is_double(dtype)? {
            Either::F64(optim::Optimizer::new(rule, weight_decay, clip_norm, clip_value, size).into_python()?)
        } else {
            Either::F32(optim::Optimizer::new(rule, weight_decay, clip_norm, clip_value, size).into_python()?)
        };
        Ok(Self(Mutex::new(of)))
    }

    /// Updates made so far.
    #[getter]
    fn steps(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.with(|of| either!(of, optimizer => optimizer.steps())))
    }

    /// Moving averages by name, each flat over all weights.
    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let copy = py.detach(|| {
            self.with(|of| {
                seqrs::Result::Ok(match of {
                    Either::F32(optimizer) => Either::F32(optimizer.state()?),
                    Either::F64(optimizer) => Either::F64(optimizer.state()?),
                })
            })
        });
        let copy = copy.into_python()?;
        let state = PyDict::new(py);
        either!(copy, moments => {
            for (name, values) in moments {
                let shape = [values.len()];
                state.set_item(name, new_array(py, values, &shape)?)?;
            }
        });
        Ok(state)
    }

    /// The reverse of `state`.
    fn load_state(&self, py: Python<'_>, steps: u64, state: &Bound<'_, PyDict>) -> PyResult<()> {
        if self.double(py) { self.load::<f64>(py, steps, state) } else { self.load::<f32>(py, steps, state) }
    }

    /// One update of weights that lie in an array: changed in place. The gradients' norm before clipping.
    fn update(
        &self,
        py: Python<'_>,
        values: &Bound<'_, PyAny>,
        gradient: &Bound<'_, PyAny>,
        lr: f64,
    ) -> PyResult<f64> {
        if self.double(py) {
            self.update_as::<f64>(py, values, gradient, lr)
        } else {
            self.update_as::<f32>(py, values, gradient, lr)
        }
    }
}

impl Optimizer {
    fn double(&self, py: Python<'_>) -> bool {
        py.detach(|| self.with(|of| matches!(of, Either::F64(_))))
    }

    fn update_as<T: Number>(
        &self,
        py: Python<'_>,
        values: &Bound<'_, PyAny>,
        gradient: &Bound<'_, PyAny>,
        lr: f64,
    ) -> PyResult<f64> {
        let gradient = array::<T>("gradient", gradient)?;
        let gradient = numbers(&gradient);
        let mut values = values.cast::<PyArrayDyn<T>>()?.try_readwrite()?;
        let values = values.as_slice_mut()?;
        let update = |of: &mut AnyOptimizer| {
            let optimizer = T::optimizer(of).expect("the dtype was looked at first");
            optimizer.update(values, &gradient, lr)
        };
        py.detach(|| self.with(update)).into_python()
    }

    fn load<T: Number>(&self, py: Python<'_>, steps: u64, state: &Bound<'_, PyDict>) -> PyResult<()> {
        let mut moments = Vec::with_capacity(state.len());
        for (name, value) in state {
            let name: String = name.extract()?;
            let values = numbers(&array::<T>(&name, &value)?).into_owned();
            moments.push((name, values));
        }
        let moments: Vec<_> =
            moments.iter().map(|(name, values)| (name.as_str(), values.as_slice())).collect();
        py.detach(|| self.with(|of| T::optimizer(of).map_or(Ok(()), |o| o.load_state(steps, &moments))))
            .into_python()
    }
}
