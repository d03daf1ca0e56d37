//! Python's view of the core: extract, detach from the interpreter, call, wrap. Nothing is
//! computed here.
#![forbid(unsafe_code)]

mod arrays;
mod crf;
mod ctc;
mod error;
mod generator;
mod gpu;
mod losses;
mod machine;
mod memory;
mod model_file;
mod network;
mod optimizer;
mod outcome;
mod shared;
mod typed;

/// The compiled core of `seqrs`; use the package, not this module.
#[pyo3::pymodule(gil_used = true)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::crf::{crf_loss, crf_marginals, viterbi};
    #[pymodule_export]
    use crate::ctc::{ctc_beam, ctc_greedy, ctc_loss};
    #[pymodule_export]
    use crate::generator::Generator;
    #[pymodule_export]
    use crate::gpu::{gpu_adapters, gpu_choose, gpu_finish, gpu_reset};
    #[pymodule_export]
    use crate::losses::{pointwise_loss, softmax_cross_entropy};
    #[pymodule_export]
    use crate::machine::{cpu_features, get_num_threads, learning_rate, random_bits, set_num_threads};
    #[pymodule_export]
    use crate::memory::Memory;
    #[pymodule_export]
    use crate::model_file::{load_file, save_file};
    #[pymodule_export]
    use crate::optimizer::Optimizer;
    #[pymodule_export]
    use crate::outcome::{Outcome, State};
    #[pymodule_export]
    use crate::shared::{Network, Tape};
    /// The package's version.
    #[pymodule_export]
    #[allow(non_upper_case_globals)] // a Python name
    const version: &str = env!("CARGO_PKG_VERSION");

    /// Work on a graphics processor ends before the process does.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let finish = module.getattr("gpu_finish")?;
        module.py().import("atexit")?.call_method1("register", (finish,)).map(drop)
    }
}
