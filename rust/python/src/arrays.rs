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
use std::fmt::Display;

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

/// Integers of any type, as the core's 32 bits; read where they lie if they are that already.
pub(crate) enum Integers<'py> {
    InPlace(PyReadonlyArrayDyn<'py, i32>),
    Converted(Vec<i32>, Vec<usize>),
}

impl Integers<'_> {
    pub(crate) fn numbers(&self) -> Cow<'_, [i32]> {
        match self {
            Self::InPlace(array) => numbers(array),
            Self::Converted(numbers, _) => Cow::Borrowed(numbers),
        }
    }

    pub(crate) fn shape(&self) -> &[usize] {
        match self {
            Self::InPlace(array) => array.shape(),
            Self::Converted(_, shape) => shape,
        }
    }
}

/// An array argument of integers.
pub(crate) fn integers<'py>(name: &str, value: &Bound<'py, PyAny>) -> PyResult<Integers<'py>> {
    fn narrow<T: Element + Copy + Display + TryInto<i32>>(
        name: &str,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<Integers<'static>> {
        let wide = array::<T>(name, value)?;
        let wide_numbers = numbers(&wide);
        let narrow = wide_numbers.iter().map(|&number| {
            number.try_into().map_err(|_| {
                PyValueError::new_err(format!("{name}: expected integers of 32 bits, got {number}"))
            })
        });
        Ok(Integers::Converted(narrow.collect::<PyResult<_>>()?, wide.shape().to_vec()))
    }
    if !is_integer(value) {
        return Err(PyTypeError::new_err(format!(
            "{name}: expected an array of integers, got {}",
            describe(value)
        )));
    }
    if let Ok(array) = value.extract::<PyReadonlyArrayDyn<'py, i32>>() {
        return Ok(Integers::InPlace(array));
    }
    // Of the other types all but this one fit in 64 bits with a sign.
    if value.extract::<PyReadonlyArrayDyn<'_, u64>>().is_ok() {
        return narrow::<u64>(name, value);
    }
    narrow::<i64>(name, &value.call_method1("astype", ("int64",))?)
}

/// Tokens of any integer type, to keep, and their shape.
pub(crate) fn tokens(name: &str, value: &Bound<'_, PyAny>) -> PyResult<(Vec<i32>, Vec<usize>)> {
    let array = integers(name, value)?;
    Ok((array.numbers().into_owned(), array.shape().to_vec()))
}

/// Steps of each row.
pub(crate) fn lengths(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Vec<usize>>> {
    lengths_of("lengths", value)
}

/// The same of another argument.
pub(crate) fn lengths_of(name: &str, value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Vec<usize>>> {
    let Some(value) = value else { return Ok(None) };
    let array = integers(name, value)?;
    if array.shape().len() != 1 {
        return Err(Error::shape(name, "(B,)", array.shape())).into_python();
    }
    let numbers = array.numbers();
    let steps = numbers.iter().map(|&n| {
        usize::try_from(n)
            .map_err(|_| PyValueError::new_err(format!("{name}: expected numbers from 0 on, got {n}")))
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

/// The parts of a state, one after the other; `sizes` says how many numbers each has.
pub(crate) fn state<T: Element + Copy>(
    name: &str,
    value: Option<&Bound<'_, PyTuple>>,
    sizes: &[usize],
) -> PyResult<Option<Vec<T>>> {
    let Some(value) = value else { return Ok(None) };
    if value.len() != sizes.len() {
        return Err(PyValueError::new_err(format!(
            "{name}: expected {} arrays, got {}",
            sizes.len(),
            value.len()
        )));
    }
    let mut all = Vec::with_capacity(sizes.iter().sum());
    for (part, &size) in value.iter().zip(sizes) {
        let part = array::<T>(name, &part)?;
        same_shape(name, part.shape(), &[size])?;
        all.extend_from_slice(&numbers(&part));
    }
    Ok(Some(all))
}

/// A state as a tuple of flat arrays, one for each part.
pub(crate) fn new_state<'py, T: Element + Copy>(
    py: Python<'py>,
    mut numbers: Vec<T>,
    sizes: &[usize],
) -> PyResult<Bound<'py, PyTuple>> {
    let mut parts = Vec::with_capacity(sizes.len());
    for &size in sizes {
        let rest = numbers.split_off(size);
        parts.push(numpy::PyArray1::from_vec(py, numbers));
        numbers = rest;
    }
    PyTuple::new(py, parts)
}
