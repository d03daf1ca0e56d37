//! Drawing text.

use crate::arrays::new_state;
use crate::error::IntoPython;
use crate::shared::{AnyGenerator, Either, Shared, either};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use seqrs::decode;
use seqrs::device::Element;
use seqrs::network::Network;
use std::sync::{Arc, Mutex, PoisonError};

/// One text being drawn: the recurrent state, the last token and the random stream.
#[pyclass(frozen, module = "seqrs._native")]
pub(crate) struct Generator {
    network: Arc<Shared>,
    generator: Mutex<AnyGenerator>,
}

impl Generator {
    pub(crate) fn new(network: Arc<Shared>, generator: AnyGenerator) -> Self {
        Self { network, generator: Mutex::new(generator) }
    }
}

#[pymethods]
impl Generator {
    /// Draws up to `n` more tokens: their numbers and log-probabilities.
    fn take(&self, py: Python<'_>, n: usize) -> PyResult<(Vec<i32>, Vec<f64>)> {
        py.detach(|| {
            self.network.read(|network| {
                let mut generator = self.generator.lock().unwrap_or_else(PoisonError::into_inner);
                match (network, &mut *generator) {
                    (Either::F32(network), Either::F32(generator)) => take(network, generator, n),
                    (Either::F64(network), Either::F64(generator)) => take(network, generator, n),
                    _ => unreachable!("a generator has its network's element type"),
                }
            })
        })
        .into_python()
    }

    /// Whether the stop token was drawn.
    #[getter]
    fn done(&self, py: Python<'_>) -> bool {
        py.detach(|| either!(&*self.generator.lock().unwrap_or_else(PoisonError::into_inner), g => g.done()))
    }

    /// The state after all tokens read so far.
    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let sizes = self.network.state_sizes(1);
        let state = py.detach(|| {
            self.network.read(|network| {
                let generator = self.generator.lock().unwrap_or_else(PoisonError::into_inner);
                match (network, &*generator) {
                    (Either::F32(n), Either::F32(g)) => g.state(n).map(Either::F32),
                    (Either::F64(n), Either::F64(g)) => g.state(n).map(Either::F64),
                    _ => unreachable!("a generator has its network's element type"),
                }
            })
        });
        either!(state.into_python()?, state => new_state(py, state, &sizes))
    }
}

fn take<T: Element>(
    network: &Network<T>,
    generator: &mut decode::Generator<T>,
    n: usize,
) -> seqrs::Result<(Vec<i32>, Vec<f64>)> {
    let (mut tokens, mut log_probs) = (Vec::new(), Vec::new());
    while tokens.len() < n && !generator.done() {
        let draw = generator.draw(network)?;
        tokens.push(draw.token);
        log_probs.push(draw.log_prob);
    }
    Ok((tokens, log_probs))
}
