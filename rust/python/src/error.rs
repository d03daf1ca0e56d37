//! The core's errors as Python exceptions: built-in classes where they fit, else those of
//! `seqrs.exceptions`.

use pyo3::exceptions::{PyNotImplementedError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use seqrs::Error;
use seqrs::error::GpuTrouble;

/// A core result that crosses into Python.
pub(crate) trait IntoPython<T> {
    fn into_python(self) -> PyResult<T>;
}

impl<T> IntoPython<T> for seqrs::Result<T> {
    fn into_python(self) -> PyResult<T> {
        self.map_err(|error| Python::attach(|py| exception(py, &error)))
    }
}

fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let message = error.to_string();
    match error {
        Error::Value { .. } | Error::Shape { .. } | Error::Unknown { .. } | Error::NotFinite { .. } => {
            PyValueError::new_err(message)
        }
        Error::Unsupported(_) => PyNotImplementedError::new_err(message),
        Error::Gpu(trouble, _) => {
            let class = match trouble {
                GpuTrouble::Unavailable => "GpuUnavailableError",
                GpuTrouble::Memory => "GpuOutOfMemoryError",
                GpuTrouble::Lost => "GpuDeviceLostError",
                GpuTrouble::Internal => "GpuInternalError",
            };
            own(py, class, message)
        }
        Error::Tape(_) => own(py, "TapeError", message),
        Error::Format { .. } => own(py, "ModelFileError", message),
        Error::Io { path, source } => match source.raw_os_error() {
            // With a number Python picks the subclass: FileNotFoundError, PermissionError, ...
            Some(number) => {
                let reason = source.to_string();
                let reason = reason.split(" (os error").next().unwrap_or_default().to_owned();
                PyOSError::new_err((number, reason, path.display().to_string()))
            }
            None => PyOSError::new_err(message),
        },
        _ => PyRuntimeError::new_err(message),
    }
}

fn own(py: Python<'_>, class: &str, message: String) -> PyErr {
    let made = py
        .import("seqrs.exceptions")
        .and_then(|module| module.getattr(class))
        .and_then(|class| class.call1((message,)));
    match made {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}
