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

/// Numbers and log-probabilities of a text's tokens.
type Drawn = (Vec<i32>, Vec<f64>);

/// Texts being drawn together: of each the recurrent state, the last token and the random stream.
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
    /// Draws up to `n` more tokens of each text: their numbers and log-probabilities.
    fn take(&self, py: Python<'_>, n: usize) -> PyResult<Vec<Drawn>> {
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

    /// Whether the stop token of every text was drawn.
    #[getter]
    fn done(&self, py: Python<'_>) -> bool {
        py.detach(|| either!(&*self.generator.lock().unwrap_or_else(PoisonError::into_inner), g => g.done()))
    }

    /// The state of the first text after all tokens read so far.
    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let sizes = self.network.state_sizes(1);
        let state = py.detach(|| {
            let generator = self.generator.lock().unwrap_or_else(PoisonError::into_inner);
            seqrs::Result::Ok(match &*generator {
                Either::F32(generator) => Either::F32(generator.state(0)?),
                Either::F64(generator) => Either::F64(generator.state(0)?),
            })
        });
        let state = state.into_python()?;
        either!(state, state => new_state(py, state, &sizes))
    }
}

fn take<T: Element>(
    network: &Network<T>,
    generator: &mut decode::Generator<T>,
    n: usize,
) -> seqrs::Result<Vec<Drawn>> {
    generator.take(network, n)?;
    let drawn = |text| generator.drawn(text).iter().map(|draw| (draw.token, draw.log_prob)).unzip();
    Ok((0..generator.texts()).map(drawn).collect())
}
