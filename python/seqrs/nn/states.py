"""States as values: copy, reset, replace, reorder and join them, keep them in a file.

A state is what a layer takes and returns: an array (D*L, B, P) with the batch on axis 1, for an
LSTM the pair (h, c) of two, and where the layers differ in width a list with one array
(D, B, P_k) for each in the place of an array; of several recurrent blocks a list of such. Every
function here takes a state in any of these forms and returns a new one in the same form; none
changes what it was given.

============= =============================================================
`copy`        an independent copy
`reset`       some rows back to zero: a new sequence begins there
`replace`     some rows exchanged for those of another state
`take`        some rows, in any order, also several times
`concatenate` the rows of several states as one batch
`save` `load` a file
============= =============================================================

Examples
--------
Four streams through one layer; the second ends, and another one takes its place:

>>> import numpy as np
>>> from seqrs import nn
>>> layer = nn.LSTM(2, 3)
>>> y, state = layer(np.ones((4, 5, 2), np.float32))
>>> state = nn.states.reset(state, [1])
>>> y, state = layer(np.ones((4, 5, 2), np.float32), state)
>>> h, c = nn.states.take(state, slice(0, 2))
>>> h.shape
(1, 2, 3)
"""

import os
from collections.abc import Iterable
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike

from seqrs import _native
from seqrs.exceptions import ModelFileError
from seqrs.nn._places import apart, batch, check_same_form, row_numbers, together

__all__ = ["concatenate", "copy", "load", "replace", "reset", "save", "take"]

StateT = TypeVar("StateT")
_METADATA = {"seqrs.format": "1", "seqrs.kind": "state"}


def copy(state: StateT) -> StateT:
    """Return an independent copy of a state.

    Parameters
    ----------
    state : array, or a tuple or list of them
        A layer's state.

    Returns
    -------
    state

    Raises
    ------
    TypeError, ValueError
        If it is not a state.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn
    >>> h = np.zeros((1, 2, 3))
    >>> other = nn.states.copy(h)
    >>> other[0, 0, 0] = 1
    >>> float(h[0, 0, 0])
    0.0
    """
    return cast(StateT, together({place: array.copy() for place, array in apart("state", state).items()}))


def reset(state: StateT, rows: ArrayLike | slice) -> StateT:
    """Return a state whose rows `rows` are zero, as at the beginning of a sequence.

    For a layer with ``learn_initial_state=True`` the beginning is not zero: :func:`replace` the
    rows by what the layer returns for a sequence of no steps.

    Parameters
    ----------
    state : array, or a tuple or list of them
        A layer's state.
    rows : int, array of ints, boolean array of shape (B,), or slice
        Which rows of the batch.

    Returns
    -------
    state

    Raises
    ------
    TypeError, ValueError
        If it is not a state, or has no such rows.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn
    >>> nn.states.reset(np.ones((1, 3, 2)), [0, 2]).tolist()
    [[[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]]
    """
    arrays = {place: array.copy() for place, array in apart("state", state).items()}
    chosen = row_numbers(rows, batch(arrays))
    for array in arrays.values():
        array[:, chosen] = 0
    return cast(StateT, together(arrays))


def replace(state: StateT, rows: ArrayLike | slice, other: StateT) -> StateT:
    """Return a state whose rows `rows` are the rows of another one, in order.

    Parameters
    ----------
    state : array, or a tuple or list of them
        A layer's state.
    rows : int, array of ints, boolean array of shape (B,), or slice
        Which rows of the batch, each at most once.
    other : array, or a tuple or list of them
        A state of the same layer with one row for each of `rows`.

    Returns
    -------
    state

    Raises
    ------
    TypeError, ValueError
        If one of them is not a state, they are not of one form and dtype, or the rows do not
        fit.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn
    >>> nn.states.replace(np.zeros((1, 3, 2)), [2, 0], np.array([[[1.0, 2.0], [3.0, 4.0]]])).tolist()
    [[[3.0, 4.0], [0.0, 0.0], [1.0, 2.0]]]
    """
    arrays = {place: array.copy() for place, array in apart("state", state).items()}
    others = apart("other", other)
    chosen = row_numbers(rows, batch(arrays))
    if len(np.unique(chosen)) != len(chosen):
        raise ValueError(f"rows: expected each row at most once, got {chosen.tolist()}")
    check_same_form("other", others, "state", arrays)
    if batch(others) != len(chosen):
        raise ValueError(f"other: expected {len(chosen)} rows, as many as `rows` names, got {batch(others)}")
    for place, array in arrays.items():
        array[:, chosen] = others[place]
    return cast(StateT, together(arrays))


def take(state: StateT, rows: ArrayLike | slice) -> StateT:
    """Return some rows of a state as a state of their own.

    Parameters
    ----------
    state : array, or a tuple or list of them
        A layer's state.
    rows : int, array of ints, boolean array of shape (B,), or slice
        Which rows of the batch, in the order wanted; one may be there several times, as when a
        beam search goes on from the best of its hypotheses.

    Returns
    -------
    state

    Raises
    ------
    TypeError, ValueError
        If it is not a state, or has no such rows.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn
    >>> nn.states.take(np.array([[[1.0], [2.0], [3.0]]]), [2, 0, 0]).tolist()
    [[[3.0], [1.0], [1.0]]]
    """
    arrays = apart("state", state)
    chosen = row_numbers(rows, batch(arrays))
    return cast(StateT, together({place: array[:, chosen] for place, array in arrays.items()}))


def concatenate(states: Iterable[StateT]) -> StateT:
    """Return the rows of several states of one layer, one state's after the other's, as one state.

    Parameters
    ----------
    states : iterable of states
        At least one, of any batch sizes.

    Returns
    -------
    state

    Raises
    ------
    TypeError, ValueError
        If one of them is not a state, they are not of one form and dtype, or there are none.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn
    >>> nn.states.concatenate([np.zeros((2, 3, 5)), np.ones((2, 1, 5))]).shape
    (2, 4, 5)
    """
    every = [apart(f"states[{i}]", state) for i, state in enumerate(states)]
    if not every:
        raise ValueError("states: expected at least one state, got none")
    first = every[0]
    for i, other in enumerate(every):
        check_same_form(f"states[{i}]", other, "states[0]", first)
    return cast(
        StateT,
        together({place: np.concatenate([arrays[place] for arrays in every], axis=1) for place in first}),
    )


def save(path: str | os.PathLike[str], state: Any) -> None:
    """Write a state to a file, whole or not at all.

    It is a safetensors file, which other libraries can read and which cannot hold code. The
    tensor of a single array is called ``state``, those of a pair ``state.h`` and ``state.c``,
    and those of a list have its numbers at the end, such as ``state.h.0``.

    Parameters
    ----------
    path : str or path
        Where to. A file that is there already is replaced, in one move when the new one is
        complete.
    state : array, or a tuple or list of them
        A layer's state.

    Raises
    ------
    TypeError, ValueError
        If it is not a state.
    OSError
        If the file cannot be written. One that was there before is still as it was.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn
    >>> nn.states.save("stream.state", (np.zeros((1, 2, 3)), np.ones((1, 2, 3))))
    >>> h, c = nn.states.load("stream.state")
    >>> h.shape, float(c.sum())
    ((1, 2, 3), 6.0)
    """
    tensors = {".".join(("state", *place)): array for place, array in apart("state", state).items()}
    _native.save_file(os.fspath(path), tensors, _METADATA)


def load(path: str | os.PathLike[str]) -> Any:
    """Read a state that :func:`save` wrote, in the form and the dtype it had.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    state : array, or a tuple or list of them

    Raises
    ------
    ModelFileError
        If it is no such file, is cut short or damaged, or is of a newer format.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn
    >>> nn.states.save("stream.state", [np.zeros((1, 2, 3)), np.zeros((1, 2, 5))])
    >>> [layer.shape for layer in nn.states.load("stream.state")]
    [(1, 2, 3), (1, 2, 5)]
    """
    name = os.fspath(path)
    try:
        tensors, metadata = _native.load_file(name)
        if metadata.get("seqrs.kind") != "state" or {tensor.split(".")[0] for tensor in tensors} != {"state"}:
            raise ValueError("a safetensors file, but not a state of a layer")
        if metadata.get("seqrs.format") != _METADATA["seqrs.format"]:
            found = metadata.get("seqrs.format")
            raise ValueError(f"of format {found!r}; this version of seqrs reads format '1'")
        places = {tuple(tensor.split(".")[1:]): array for tensor, array in tensors.items()}
        state = together(places)
        apart("state", state)
    except ModelFileError:
        raise
    except (TypeError, ValueError) as error:  # numbers or an arrangement that no state has
        raise ModelFileError(f"{name}: {error}") from None
    return state
