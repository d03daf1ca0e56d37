"""Who attends to whom, and which steps a pooled model looks at."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check, nn
from seqrs.inspect._plot import new_axes
from seqrs.inspect._reading import read
from seqrs.models import SequenceClassifier, SequenceRegressor

__all__ = ["attention_map", "pooling_weights"]


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


def pooling_weights(model: SequenceClassifier | SequenceRegressor, X: Any) -> list[NDArray[np.float64]]:
    """Return how much a model with ``pooling="attention"`` looks at each step of sequences.

    Parameters
    ----------
    model : SequenceClassifier or SequenceRegressor
        A fitted one.
    X : list of sequences
        As ``predict`` takes them; a padded array has no padding here.

    Returns
    -------
    list of ndarray of shape (T,)
        a⟨t⟩ of :class:`seqrs.nn.Pool` for each sequence; they sum to 1. ``attention_map([weights], tokens,
        ["label"])`` draws them.

    Raises
    ------
    ValueError, TypeError
        If the model has another pooling, or the sequences are not like those of the training.
    RuntimeError
        If the model is not fitted.

    Examples
    --------
    >>> import seqrs
    >>> from seqrs import inspect
    >>> X, y = ["a good film", "a bad film"] * 20, [1, 0] * 20
    >>> model = seqrs.SequenceClassifier(pooling="attention", epochs=40, lr=0.02, random_state=0).fit(X, y)
    >>> (weights,) = inspect.pooling_weights(model, ["a good film"])
    >>> weights.shape, round(float(weights.sum()), 4)
    ((3,), 1.0)
    """
    if not isinstance(model, SequenceClassifier | SequenceRegressor):
        raise TypeError(
            f"model: expected a SequenceClassifier or a SequenceRegressor, got {type(model).__name__}"
        )
    reading = read(model, X, None, None)
    pools = [
        i
        for i, block in enumerate(model.network.blocks)
        if isinstance(block, nn.Pool) and block.kind == "attention"
    ]
    if not pools:
        raise ValueError(f'model: expected one with pooling="attention", got {model!r}')
    (i,), weights = pools, model.state_dict()
    y, _ = reading.layer(reading.x, lengths=reading.counts.sum(axis=1))
    seen = np.tanh(y.astype(np.float64) @ weights[f"{i}.weight"].T + weights[f"{i}.bias"])
    scores = np.where(reading.counts, seen @ weights[f"{i}.context"], -np.inf)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return [row[counted] for row, counted in zip(shares, reading.counts, strict=True)]
