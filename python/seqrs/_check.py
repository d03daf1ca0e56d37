"""Checks of arguments at the boundary, shared by the facade.

Every check returns the argument in the form the core takes, or raises with a message of one
form: ``name: expected ..., got ...``. A wrong value or shape is a :class:`ValueError`, a wrong
type or dtype a :class:`TypeError`.
"""

import os
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Floats = NDArray[np.float32] | NDArray[np.float64]
# A size, or the letter of one that is free: ("B", "T", 3).
Shape = tuple[int | str, ...]

_LARGEST = 2**63 - 1

DTYPES = ("float32", "float64")
COMPUTE_DTYPES = (*DTYPES, "bfloat16")
# Of networks; also "gpu:" and part of an adapter's name.
DEVICES = ("cpu", "gpu", "reference", "auto")
# Of what takes arrays and gives arrays.
ARRAY_DEVICES = ("cpu", "reference")


def integer(name: str, value: SupportsIndex, *, minimum: int, maximum: int | None = None) -> int:
    """Return an int between two bounds, which count as inside; NumPy's integers are accepted.

    Without a `maximum` it is the largest that the core and NumPy take for a size.
    """
    # A bool is an integer to Python, and never what was meant.
    if isinstance(value, (bool, np.bool_, np.ndarray)) or not isinstance(value, SupportsIndex):
        raise TypeError(f"{name}: expected an integer, got {describe(value)}")
    number = value.__index__()
    largest = _LARGEST if maximum is None else maximum
    if not minimum <= number <= largest:
        bounds = (
            f"of at least {minimum}"
            if maximum is None and number < minimum
            else f"from {minimum} to {largest}"
        )
        raise ValueError(f"{name}: expected an integer {bounds}, got {number}")
    return number


def num_layers(value: SupportsIndex) -> int:
    """Return how many layers there are; more than the core takes are a mistake."""
    return integer("num_layers", value, minimum=1, maximum=1024)


def sizes(name: str, value: SupportsIndex | Sequence[SupportsIndex]) -> int | list[int]:
    """Return a size of at least 1, or a list of some."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        return integer(name, value, minimum=1)
    if not value:
        raise ValueError(f"{name}: expected an integer, or one for each layer, got {value!r}")
    return [integer(f"{name}[{k}]", size, minimum=1) for k, size in enumerate(value)]


def probability(name: str, value: SupportsFloat) -> float:
    """Return a float p with 0 <= p < 1, such as a dropout rate."""
    if isinstance(value, (bool, np.bool_, np.ndarray, str)) or not isinstance(value, SupportsFloat):
        raise TypeError(f"{name}: expected a number, got {describe(value)}")
    number = float(value)
    if not 0.0 <= number < 1.0:  # also refuses NaN
        raise ValueError(f"{name}: expected a number from 0 to below 1, got {number}")
    return number


def number(
    name: str, value: SupportsFloat, *, minimum: float | None = None, above: float | None = None
) -> float:
    """Return a finite float, of at least `minimum` or greater than `above` where one is given."""
    if isinstance(value, (bool, np.bool_, np.ndarray, str)) or not isinstance(value, SupportsFloat):
        raise TypeError(f"{name}: expected a number, got {describe(value)}")
    number = float(value)
    inside, bounds = True, ""
    if minimum is not None:
        inside, bounds = number >= minimum, f" of at least {minimum:g}"
    elif above is not None:
        inside, bounds = number > above, f" above {above:g}"
    if not (inside and np.isfinite(number)):
        raise ValueError(f"{name}: expected a finite number{bounds}, got {number}")
    return number


def flag(name: str, value: bool) -> bool:
    """Return a bool; numbers and strings that Python would count as true are refused."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {describe(value)}")
    return bool(value)


def many(name: str, value: Any, of: str) -> None:
    """Refuse what is not many of something, and one text, of which the characters are not meant."""
    if isinstance(value, (str, bytes)) or not (hasattr(value, "__len__") and hasattr(value, "__iter__")):
        got = "one text" if isinstance(value, str) else describe(value)
        raise TypeError(f"{name}: expected a list of {of}, got {got}")


def text(name: str, value: str) -> str:
    """Return a str."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a str, got {describe(value)}")
    return value


def path(name: str, value: str | os.PathLike[str]) -> str:
    """Return the path of a file, of which nothing is known but that it has a name."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name}: expected a path, got {describe(value)}")
    found = os.fspath(value)
    if not isinstance(found, str) or not os.path.basename(found):
        raise ValueError(f"{name}: expected the path of a file, got {found!r}")
    return found


def choice(name: str, value: str, options: Collection[str]) -> str:
    """Return one of a few words."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected {_one_of(options)}, got {describe(value)}")
    if value not in options:
        raise ValueError(f"{name}: expected {_one_of(options)}, got {value!r}")
    return value


def device(value: str) -> str:
    """Return where a network is to run."""
    if isinstance(value, str) and value.startswith("gpu:") and value != "gpu:":
        return value
    return choice("device", value, DEVICES)


def beside(device: str) -> str:
    """Return where to compute losses of what comes out of a network: arrays, in the processor's memory."""
    return device if device == "reference" else "cpu"


def keywords(owner: str, given: Collection[str], known: Collection[str]) -> None:
    """Refuse keyword arguments that a callable does not have, as Python does where it can."""
    for name in given:
        if name not in known:
            raise TypeError(f"{owner}: unexpected keyword argument {name!r}; {meant(name, known)}")


def meant(name: str, known: Collection[str]) -> str:
    """Return what somebody may have meant by a name that is not known."""
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"expected {', '.join(sorted(known))}"


def dtype(value: DTypeLike) -> str:
    """Return ``"float32"`` or ``"float64"`` from a name, a NumPy type or a NumPy dtype."""
    try:
        # NumPy would read None as float64; here it is a forgotten argument.
        name = None if value is None else np.dtype(value).name
    except TypeError:
        name = None
    if name not in DTYPES:
        problem = ValueError if isinstance(value, str) else TypeError
        raise problem(f"dtype: expected {_one_of(DTYPES)}, got {value!r}")
    return name


def compute_dtype(value: DTypeLike) -> str:
    """Return what products are made in: the name of a dtype, or ``"bfloat16"``."""
    if getattr(value, "name", value) == "bfloat16":
        return "bfloat16"
    try:
        return dtype(value)
    except (TypeError, ValueError) as problem:
        raise type(problem)(f"dtype: expected {_one_of(COMPUTE_DTYPES)}, got {value!r}") from None


def seed(value: SupportsIndex | None) -> int:
    """Return a seed of 64 bits; None draws one, so that it can be read back and used again."""
    return secrets.randbits(63) if value is None else integer("seed", value, minimum=0, maximum=2**64 - 1)


def as_array(name: str, value: Any) -> NDArray[Any]:
    """Return an array; lists of lists that are not all as long as each other make none."""
    try:
        found: NDArray[Any] = np.asarray(value)
    except ValueError:  # NumPy does not say which argument it was
        raise ValueError(
            f"{name}: expected an array, or lists of one length, got {type(value).__name__} of several lengths"
        ) from None
    return found


def plain(value: Any) -> Any:
    """Return the array of a tensor, a table or a column, whichever library has made it; anything else as it is."""
    if isinstance(value, (np.ndarray, np.generic)) or not hasattr(value, "__array__"):
        return value
    # PyTorch gives the numbers of a parameter only once it is detached.
    return np.asarray(value.detach() if hasattr(value, "detach") else value)


def floats(name: str, value: ArrayLike, dtype: str, shape: Shape, *, finite: bool) -> Floats:
    """Return a contiguous array of this dtype and shape.

    An array of another float dtype is refused rather than converted: the conversion would cost
    digits or time that nobody asked for. Lists and scalars carry no dtype, so they take this one.
    """
    array = as_array(name, value)
    if array.dtype != np.dtype(dtype):
        if hasattr(value, "dtype") or array.dtype.kind not in "fiu":
            raise TypeError(f"{name}: expected {dtype}, got {describe(value)}")
        array = array.astype(dtype)
    if array.ndim != len(shape) or any(
        isinstance(size, int) and size != got for size, got in zip(shape, array.shape, strict=True)
    ):
        raise ValueError(f"{name}: expected shape {_shape(shape)}, got {array.shape}")
    if finite:
        finite_everywhere(name, array)
    # Not for 0-d arrays, which it would make 1-d; no shape here has no axes.
    contiguous: Floats = np.ascontiguousarray(array)
    return contiguous


def any_floats(name: str, value: ArrayLike) -> Floats:
    """Return an array of at least one axis, which sets the dtype; lists become float64."""
    array = as_array(name, value)
    if array.dtype.name not in DTYPES:
        if hasattr(value, "dtype") or array.dtype.kind not in "fiu":
            raise TypeError(f"{name}: expected an array of float32 or float64, got {describe(value)}")
        array = array.astype(np.float64)
    if array.ndim == 0:
        raise ValueError(f"{name}: expected an array of at least one axis, got a single number")
    return array


def same_shape(names: Sequence[str], arrays: Sequence[Floats]) -> None:
    """Refuse arrays of which one has another shape than the first."""
    for name, array in zip(names, arrays, strict=True):
        if array.shape != arrays[0].shape:
            raise ValueError(f"{name}: expected shape {arrays[0].shape} as {names[0]} has, got {array.shape}")


def tokens(name: str, value: ArrayLike, size: int, shape: Shape) -> NDArray[np.int32]:
    """Return a contiguous array of token numbers, each from 0 to size - 1, or -1: the zero vector."""
    array = as_array(name, value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integer tokens, got {describe(value)}")
    if array.ndim != len(shape):
        raise ValueError(f"{name}: expected tokens of shape {_shape(shape)}, got {array.shape}")
    outside = (array < -1) | (array >= size)
    if outside.any():
        where = first(outside)
        raise ValueError(
            f"{name}: expected tokens from -1 to {size - 1}, got {array[where]} at {list(where)}"
        )
    return np.ascontiguousarray(array, np.int32)


def lengths(
    value: ArrayLike | None, batch: int | None, steps: int, *, of: str = "x", name: str = "lengths"
) -> NDArray[np.int64] | None:
    """Return the number of steps of each row of `of`, from 0 to all; None is all of them everywhere.

    Where `batch` is None there is one sequence without a batch axis, and its length is a number.
    """
    if value is None:
        return None
    array = as_array(name, value)
    if array.size == 0 and not hasattr(value, "dtype"):
        array = array.astype(np.int64)  # an empty list has no dtype of its own
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers, got {describe(value)}")
    if batch is None and array.shape != ():
        raise ValueError(f"{name}: expected one integer, as {of} is one sequence, got shape {array.shape}")
    if batch is not None and array.shape != (batch,):
        raise ValueError(f"{name}: expected shape ({batch},), one for each row of {of}, got {array.shape}")
    outside = (array < 0) | (array > steps)
    if outside.any():
        where = first(outside)
        place = "" if batch is None else f" at {list(where)}"
        raise ValueError(
            f"{name}: expected integers from 0 to {steps}, the steps of {of}, got {array[where]}{place}"
        )
    return np.ascontiguousarray(array.reshape(-1), np.int64)


def mask(value: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Return which steps count, in the shape (B, T) or (T,) of the input's steps; None is all."""
    if value is None:
        return None
    array = as_array("mask", value)
    if array.size == 0 and not hasattr(value, "dtype"):
        array = array.astype(np.bool_)
    if array.dtype != np.bool_:
        raise TypeError(f"mask: expected booleans, got {describe(value)}")
    if array.shape != shape:
        raise ValueError(f"mask: expected shape {_shape(shape)}, that of x's steps, got {array.shape}")
    contiguous: NDArray[np.bool_] = np.ascontiguousarray(array)
    return contiguous


def parameters(
    expected: Iterable[tuple[str, tuple[int, ...]]],
    state_dict: Mapping[str, ArrayLike],
    dtype: str,
    *,
    what: str = "state_dict",
    owner: object = "this model",
    finite: bool = True,
) -> dict[str, Floats]:
    """Return arrays for all of a network's parameters; the message lists everything that is wrong.

    Here other float dtypes are converted: weights come from files and from other libraries.
    """
    shapes = dict(expected)
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"state_dict: expected a mapping of names to arrays, got {describe(state_dict)}")
    arrays = {name: as_array(name, plain(value)) for name, value in state_dict.items()}
    problems = [f"missing {name}" for name in shapes if name not in arrays]
    problems += [f"unexpected {name}" for name in arrays if name not in shapes]
    problems += [
        f"{name} of shape {arrays[name].shape} instead of {shape}"
        for name, shape in shapes.items()
        if name in arrays and arrays[name].shape != shape
    ]
    if problems:
        raise ValueError(f"{what}: expected the parameters of {owner}, got {'; '.join(problems)}")
    return {name: _weights(name, array, dtype, finite=finite) for name, array in arrays.items()}


def _weights(name: str, array: NDArray[Any], dtype: str, *, finite: bool) -> Floats:
    if array.dtype.kind != "f":
        raise TypeError(f"{name}: expected floats, got an array of {array.dtype}")
    with np.errstate(over="ignore"):  # what is too large for the dtype becomes infinite, and is refused
        converted: Floats = array.astype(dtype, order="C")
    if finite:
        finite_everywhere(name, converted)
    return converted


def finite_everywhere(name: str, array: Floats) -> None:
    """Refuse NaN and infinity, saying where the first one is."""
    finite = np.isfinite(array)
    if not finite.all():
        where = first(~finite)
        at = f" at {list(where)}" if where else ""
        raise ValueError(f"{name}: expected finite numbers, got {array[where]}{at}")


def first(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    """Return the index of the first True of a mask that has one."""
    return tuple(int(i) for i in np.unravel_index(int(mask.argmax()), mask.shape))


def _one_of(options: Collection[str]) -> str:
    *most, last = (f'"{option}"' for option in options)
    return f"{', '.join(most)} or {last}" if most else last


def _shape(shape: Shape) -> str:
    inner = ", ".join(str(size) for size in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return (
        f"{type(value).__name__} {value!r}" if isinstance(value, (str, int, float)) else type(value).__name__
    )
