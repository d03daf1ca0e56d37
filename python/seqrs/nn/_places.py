"""A state taken apart into its arrays and put together again; which rows of it are meant."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check
from seqrs._check import Floats

# The arrays of a state by their places in it: () for one alone, ("h",) and ("c",) in a pair,
# ("0",), ("1",), ... in a list, ("h", "0") in a pair of lists.
Arrays = dict[tuple[str, ...], Floats]


def apart(name: str, state: Any) -> Arrays:
    """Return the arrays of a state by their places, having checked that it is one."""
    arrays: Arrays = {}

    def visit(place: tuple[str, ...], part: Any) -> None:
        if isinstance(part, (tuple, list)):
            for key, inner in zip(_keys(len(part), isinstance(part, list)), part, strict=True):
                visit((*place, key), inner)
            return
        label = ".".join((name, *place))
        if not isinstance(part, np.ndarray) or part.dtype.name not in _check.DTYPES:
            raise TypeError(f"{label}: expected an array of float32 or float64, got {_check.describe(part)}")
        if part.ndim != 3:
            raise ValueError(f"{label}: expected shape (layers, batch, width), got {part.shape}")
        arrays[place] = part

    visit((), state)
    batches = sorted({array.shape[1] for array in arrays.values()})
    if len(batches) != 1:
        raise ValueError(f"{name}: expected arrays with one size of batch on axis 1, got {batches}")
    return arrays


def together(arrays: Arrays) -> Any:
    """Return the state whose arrays have these places: the reverse of `apart`."""
    if arrays.keys() == {()}:
        return arrays[()]
    inner: dict[str, Arrays] = {}
    for place, array in arrays.items():
        inner.setdefault("".join(place[:1]), {})[place[1:]] = array
    for is_list in (True, False):
        keys = _keys(len(inner), is_list)
        if inner and set(keys) == set(inner):
            parts = [together(inner[key]) for key in keys]
            return parts if is_list else tuple(parts)
    raise ValueError(f"expected the parts of a state, got {sorted(inner)}")


def _keys(count: int, is_list: bool) -> Sequence[str]:
    """Return what the parts of a list or a tuple are called."""
    if is_list:
        return [str(i) for i in range(count)]
    return ("h", "c") if count == 2 else [f"s{i}" for i in range(count)]


def batch(arrays: Arrays) -> int:
    """Return the number of rows."""
    return int(next(iter(arrays.values())).shape[1])


def check_same_form(name: str, arrays: Arrays, other: str, others: Arrays) -> None:
    """Refuse arrays that are not of the places, dtype, layers and widths of the others."""
    if arrays.keys() != others.keys():
        expected, got = (sorted(map(".".join, places)) for places in (others, arrays))
        raise ValueError(f"{name}: expected the form of {other}, with arrays {expected}, got {got}")
    for place, array in arrays.items():
        label, like = ".".join((name, *place)), others[place]
        if array.dtype != like.dtype:
            raise TypeError(f"{label}: expected {like.dtype} as in {other}, got {array.dtype}")
        if array.shape[::2] != like.shape[::2]:
            layers, _, width = like.shape
            raise ValueError(
                f"{label}: expected shape ({layers}, batch, {width}) as in {other}, got {array.shape}"
            )


def row_numbers(rows: ArrayLike | slice, batch: int) -> NDArray[np.int64]:
    """Return the numbers of the rows that an index means."""
    if isinstance(rows, slice):
        return np.arange(batch)[rows]
    array = _check.as_array("rows", rows)
    if array.size == 0 and not hasattr(rows, "dtype"):
        array = array.astype(np.int64)  # an empty list has no dtype of its own
    if array.dtype.kind == "b":
        if array.shape != (batch,):
            raise ValueError(f"rows: expected booleans of shape ({batch},), got {array.shape}")
        return np.flatnonzero(array)
    if array.dtype.kind not in "iu":
        raise TypeError(f"rows: expected integers, booleans or a slice, got {_check.describe(rows)}")
    if array.ndim > 1:
        raise ValueError(f"rows: expected one axis, got shape {array.shape}")
    outside = array[(array < 0) | (array >= batch)]
    if outside.size:
        raise ValueError(f"rows: expected numbers from 0 to {batch - 1}, got {outside.flat[0]}")
    return np.atleast_1d(array).astype(np.int64)
