//! Model files as dictionaries of arrays and strings.

use crate::arrays::{array, new_array, numbers};
use crate::error::IntoPython;
use numpy::PyUntypedArrayMethods;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use seqrs::io::{Dtype, Element, ModelFile, Tensor};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Writes a file, all or nothing.
#[pyfunction]
pub(crate) fn save_file(
    py: Python<'_>,
    path: PathBuf,
    tensors: &Bound<'_, PyDict>,
    metadata: BTreeMap<String, String>,
) -> PyResult<()> {
    let mut file = ModelFile { metadata, ..ModelFile::default() };
    for (name, value) in tensors {
        let name: String = name.extract()?;
        let tensor = tensor(&name, &value)?;
        file.tensors.insert(name, tensor);
    }
    py.detach(|| file.write(path)).into_python()
}

/// Reads a file.
#[pyfunction]
pub(crate) fn load_file(
    py: Python<'_>,
    path: PathBuf,
) -> PyResult<(Bound<'_, PyDict>, BTreeMap<String, String>)> {
    let file = py.detach(|| ModelFile::read(path)).into_python()?;
    let tensors = PyDict::new(py);
    for (name, tensor) in &file.tensors {
        tensors.set_item(name, to_array(py, name, tensor)?)?;
    }
    Ok((tensors, file.metadata))
}

/// Runs `$body` with `$t` the element type of NumPy's name `$name`.
macro_rules! with_dtype {
    ($key:expr, $t:ident => $body:expr, $else:expr, [$($pattern:pat => $type:ty),*]) => {
        match $key { $($pattern => { type $t = $type; $body })* _ => $else }
    };
}

fn tensor(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    fn of<T: Element + numpy::Element + Copy>(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Tensor> {
        let array = array::<T>(name, value)?;
        Tensor::new(array.shape(), &numbers(&array)).into_python()
    }
    let dtype = value.getattr("dtype").and_then(|d| d.getattr("name")).and_then(|n| n.extract::<String>());
    let dtype =
        dtype.map_err(|_| PyTypeError::new_err(format!("tensors: expected an array for {name:?}")))?;
    with_dtype!(
        dtype.as_str(), T => of::<T>(name, value),
        Err(PyTypeError::new_err(format!("tensors: {name:?} is of {dtype}, which a model file cannot hold"))),
        ["float32" => f32, "float64" => f64, "int32" => i32, "int64" => i64, "uint8" => u8, "uint32" => u32, "uint64" => u64]
    )
}

fn to_array<'py>(py: Python<'py>, name: &str, tensor: &Tensor) -> PyResult<Bound<'py, PyAny>> {
    with_dtype!(
        tensor.dtype,
        T => Ok(new_array(py, tensor.to_vec::<T>().into_python()?, &tensor.shape)?.into_any()),
        Err(PyTypeError::new_err(format!("{name}: arrays of {:?} cannot be read", tensor.dtype))),
        [Dtype::F32 => f32, Dtype::F64 => f64, Dtype::I32 => i32, Dtype::I64 => i64, Dtype::U8 => u8, Dtype::U32 => u32, Dtype::U64 => u64]
    )
}
