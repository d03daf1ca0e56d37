//! NumPy arrays to slices and back. Contiguous arrays are read where they lie.

use crate::error::IntoPython;
use numpy::ndarray::Dimension;
use numpy::{
    Element, PyArrayDyn, PyArrayMethods, PyReadonlyArray, PyReadonlyArrayDyn, PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use seqrs::error::{Error, tuple};
use std::borrow::Cow;

/// The numbers of an array in row-major order, copied only where they lie otherwise.
pub(crate) fn numbers<'a, T: Element + Copy, D: Dimension>(
    array: &'a PyReadonlyArray<'_, T, D>,
) -> Cow<'a, [T]> {
    // A slice of a contiguous array in column-major order would be its transpose.
    match array.as_slice() {
        Ok(slice) if array.is_c_contiguous() => Cow::Borrowed(slice),
        _ => Cow::Owned(array.as_array().iter().copied().collect()),
    }
}

/// An array argument of element type `T`.
pub(crate) fn array<'py, T: Element>(
    name: &str,
    value: &Bound<'py, PyAny>,
) -> PyResult<PyReadonlyArrayDyn<'py, T>> {
    value.extract().map_err(|_| {
        let expected = T::get_dtype(value.py());
        PyTypeError::new_err(format!("{name}: expected an array of {expected}, got {}", describe(value)))
    })
}

/// `array of float64` or the class of what is not an array.
fn describe(value: &Bound<'_, PyAny>) -> String {
    match value.getattr("dtype") {
        Ok(dtype) => format!("an array of {dtype}"),
        Err(_) => {
            value.get_type().name().map_or_else(|_| "something else".to_owned(), |name| name.to_string())
        }
    }
}

/// Whether an argument is an array of integers.
pub(crate) fn is_integer(value: &Bound<'_, PyAny>) -> bool {
    value
        .getattr("dtype")
        .and_then(|dtype| dtype.getattr("kind"))
        .is_ok_and(|kind| kind.extract::<String>().is_ok_and(|kind| kind == "i" || kind == "u"))
}

/// Tokens of any integer type.
pub(crate) fn tokens(name: &str, value: &Bound<'_, PyAny>) -> PyResult<(Vec<i32>, Vec<usize>)> {
    if !is_integer(value) {
        return Err(PyTypeError::new_err(format!(
            "{name}: expected an array of integers, got {}",
            describe(value)
        )));
    }
    if let Ok(array) = value.extract::<PyReadonlyArrayDyn<'_, i32>>() {
        return Ok((numbers(&array).into_owned(), array.shape().to_vec()));
    }
    let wide = value.call_method1("astype", ("int64",))?;
    let array = wide.extract::<PyReadonlyArrayDyn<'_, i64>>()?;
    let numbers = numbers(&array);
    let narrow = numbers.iter().map(|&token| {
        i32::try_from(token)
            .map_err(|_| PyValueError::new_err(format!("{name}: expected tokens, got {token}")))
    });
    Ok((narrow.collect::<PyResult<_>>()?, array.shape().to_vec()))
}

/// Steps of each row.
pub(crate) fn lengths(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Vec<usize>>> {
    let Some(value) = value else { return Ok(None) };
    let (numbers, _) = tokens("lengths", value)?;
    let steps = numbers.into_iter().map(|n| {
        usize::try_from(n)
            .map_err(|_| PyValueError::new_err(format!("lengths: expected numbers from 0 on, got {n}")))
    });
    steps.collect::<PyResult<_>>().map(Some)
}

/// A new array of this shape.
pub(crate) fn new_array<'py, T: Element>(
    py: Python<'py>,
    numbers: Vec<T>,
    shape: &[usize],
) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
    numpy::PyArray1::from_vec(py, numbers).reshape(shape)
}

/// Whether an array has the shape it should have.
pub(crate) fn same_shape(name: &str, got: &[usize], want: &[usize]) -> PyResult<()> {
    if got == want { Ok(()) } else { Err(Error::shape(name, tuple(want), got)).into_python() }
}

/// The arrays of a state, one after the other.
pub(crate) fn state<T: Element + Copy>(
    name: &str,
    value: Option<&Bound<'_, PyTuple>>,
    shape: [usize; 3],
    parts: usize,
) -> PyResult<Option<Vec<T>>> {
    let Some(value) = value else { return Ok(None) };
    if value.len() != parts {
        return Err(PyValueError::new_err(format!("{name}: expected {parts} arrays, got {}", value.len())));
    }
    let mut all = Vec::with_capacity(parts * shape.iter().product::<usize>());
    for part in value.iter() {
        let part = array::<T>(name, &part)?;
        same_shape(name, part.shape(), &shape)?;
        all.extend_from_slice(&numbers(&part));
    }
    Ok(Some(all))
}

/// A state as a tuple of arrays.
pub(crate) fn new_state<'py, T: Element + Copy>(
    py: Python<'py>,
    numbers: &[T],
    shape: [usize; 3],
    parts: usize,
) -> PyResult<Bound<'py, PyTuple>> {
    let size = shape.iter().product::<usize>();
    let arrays =
        (0..parts).map(|part| new_array(py, numbers[part * size..(part + 1) * size].to_vec(), &shape));
    PyTuple::new(py, arrays.collect::<PyResult<Vec<_>>>()?)
}
