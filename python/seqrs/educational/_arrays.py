"""Checks of weights that come in: the right names, floats, the right shapes."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Weights = dict[str, NDArray[Any]]


def floats(label: str, given: Mapping[str, ArrayLike], expected: Iterable[str], owner: str) -> Weights:
    """Return arrays under exactly these names."""
    names = list(expected)
    problems = [f"missing {name}" for name in names if name not in given]
    problems += [f"unexpected {name}" for name in given if name not in names]
    if problems:
        if any("bcc" in problem for problem in problems):
            problems.append('bcc is there where the reset gate acts "after" the product, and only there')
        raise ValueError(f"{label}: expected the weights of {owner}, got {'; '.join(problems)}")
    arrays = {name: np.asarray(given[name]) for name in names}
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise TypeError(f"{label}: {name}: expected floats, got an array of {array.dtype}")
    return arrays


def matrix(label: str, array: NDArray[Any]) -> tuple[int, int]:
    """Return the shape of a matrix that has any numbers."""
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{label}: expected a matrix, got shape {array.shape}")
    rows, columns = array.shape
    return rows, columns


def shaped(label: str, array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an array of just this shape."""
    if array.shape != shape:
        raise ValueError(f"{label}: expected shape {shape}, got {array.shape}")
    return array


def refuse_biases(label: str, biases: Weights) -> None:
    """Refuse biases that a layer without any cannot represent."""
    for name, value in biases.items():
        if value.any():
            raise ValueError(f"{label}: a layer without biases cannot represent {name} other than zero")
