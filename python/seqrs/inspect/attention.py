"""Who attends to whom."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from seqrs import _check
from seqrs.inspect._plot import new_axes

__all__ = ["attention_map"]


def attention_map(weights: ArrayLike, source: Sequence[str], target: Sequence[str], axes: Any = None) -> Any:
    """Draw an attention matrix with matplotlib: target tokens downwards, source tokens across.

    Parameters
    ----------
    weights : array of shape (len(target), len(source))
        What share of its attention each step of the output gives to each step of the input,
        such as a model's decoder returns it; from 0, white, to 1, black.
    source, target : sequence of str
        The tokens. A str is a sequence of characters.
    axes : matplotlib axes, optional
        Where to. Default: a new figure.

    Returns
    -------
    matplotlib axes
        ``axes.figure.savefig("attention.png")`` makes a file.

    Raises
    ------
    ValueError
        If the shape does not fit the tokens, there are none, or a weight is not from 0 to 1.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import inspect
    >>> axes = inspect.attention_map(np.eye(3)[[0, 2, 1]], ["the", "red", "bike"], ["la", "bici", "rossa"])
    >>> [label.get_text() for label in axes.get_yticklabels()]
    ['la', 'bici', 'rossa']
    """
    shape = len(target), len(source)
    if 0 in shape:
        raise ValueError(f"source, target: expected at least one token each, got {shape[1]} and {shape[0]}")
    matrix = _check.floats("weights", np.asarray(weights, np.float64), "float64", shape, finite=True)
    outside = (matrix < 0) | (matrix > 1 + 1e-4)  # sums of rounded numbers
    if outside.any():
        where = _check.first(outside)
        raise ValueError(f"weights: expected numbers from 0 to 1, got {matrix[where]} at {list(where)}")
    if axes is None:
        axes = new_axes(figsize=(1.5 + 0.35 * shape[1], 1.0 + 0.3 * shape[0]))
    axes.imshow(matrix, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(shape[1]), list(source), rotation=90)
    axes.set_yticks(range(shape[0]), list(target))
    axes.xaxis.tick_top()
    return axes
