"""Labels: one for a sequence, or one for each of its steps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check

__all__ = ["accuracy", "confusion_matrix", "exact_match"]

Labels = ArrayLike | Sequence[Any]


def accuracy(
    y_true: Labels,
    y_pred: Labels,
    *,
    lengths: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Share of labels that are right.

    Parameters
    ----------
    y_true, y_pred : sequence of labels, or sequence of sequences of labels
        Numbers or strings: one label for each example, or a list with a label for each step. Of
        sequences all steps count alike, those of long ones and of short ones.
    lengths : integer array of shape (B,), optional
        For padded arrays (B, T): how many steps of each row count. Default: all.
    sample_weight : array of shape (n,), optional
        What each label counts, in the order of the labels. Default: 1.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    ValueError
        If there are no labels, or not as many of one as of the other.
    TypeError
        If one of them is no list or array.

    Examples
    --------
    >>> from seqrs import metrics
    >>> metrics.accuracy([0, 1, 2, 2], [0, 1, 2, 1])
    0.75
    >>> metrics.accuracy([["O", "B-LOC"], ["O"]], [["O", "O"], ["O"]], sample_weight=[1, 2, 1])
    0.5
    """
    true, pred = _pair(y_true, y_pred, lengths)
    right = np.asarray(true == pred, np.float64)
    if sample_weight is None:
        return float(right.mean())
    weights = _check.floats(
        "sample_weight", np.asarray(sample_weight, np.float64), "float64", (len(true),), finite=True
    )
    if (weights < 0).any() or not weights.any():
        raise ValueError("sample_weight: expected numbers from 0 on, not all of them 0")
    return float(right @ weights / weights.sum())


def confusion_matrix(
    y_true: Labels, y_pred: Labels, *, labels: Sequence[Any] | None = None, lengths: ArrayLike | None = None
) -> NDArray[np.int64]:
    """How often each label was taken for each other one.

    Parameters
    ----------
    y_true, y_pred, lengths
        As for :func:`accuracy`.
    labels : sequence, optional
        The labels in the order of rows and columns; a label that is not among them is an error.
        Default: all that occur, sorted.

    Returns
    -------
    ndarray of shape (C, C)
        In row i, column j: how many labels were i and taken for j.

    Raises
    ------
    ValueError
        As for :func:`accuracy`, or if a label is not among `labels`.

    Examples
    --------
    >>> from seqrs import metrics
    >>> metrics.confusion_matrix(["a", "a", "b", "c"], ["a", "b", "b", "a"])
    array([[1, 1, 0],
           [0, 1, 0],
           [1, 0, 0]])
    """
    true, pred = _pair(y_true, y_pred, lengths)
    order = sorted(set(true.tolist()) | set(pred.tolist())) if labels is None else list(labels)
    place = {label: i for i, label in enumerate(order)}
    if len(place) < len(order):
        raise ValueError(f"labels: expected each label once, got {order}")
    counts = np.zeros((len(order), len(order)), np.int64)
    try:
        rows, columns = ([place[label] for label in of.tolist()] for of in (true, pred))
    except KeyError as missing:
        raise ValueError(f"labels: expected all labels that occur, got none {missing.args[0]!r}") from None
    np.add.at(counts, (rows, columns), 1)
    return counts


def exact_match(y_true: Sequence[Any], y_pred: Sequence[Any]) -> float:
    """Share of sequences that are right from end to end.

    Parameters
    ----------
    y_true, y_pred : sequence of str, or of sequences of labels
        Strings are compared character by character, nothing is stripped.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    ValueError
        If there are no sequences, or not as many of one as of the other.
    TypeError
        If one of them is a single text, or no list.

    Examples
    --------
    >>> from seqrs import metrics
    >>> metrics.exact_match(["1999-12-31", "2000-01-01"], ["1999-12-31", "2000-01-10"])
    0.5
    """
    _check.many("y_true", y_true, "sequences")
    _check.many("y_pred", y_pred, "sequences")
    if len(y_true) != len(y_pred) or len(y_true) == 0:
        raise ValueError(
            f"y_pred: expected as many sequences as y_true has, and at least one, got {len(y_pred)} and {len(y_true)}"
        )
    same = [
        bool(true == pred) if isinstance(true, str) else np.array_equal(true, pred)
        for true, pred in zip(y_true, y_pred, strict=True)
    ]
    return sum(same) / len(same)


def _pair(y_true: Labels, y_pred: Labels, lengths: ArrayLike | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both as flat arrays of the same size."""
    true, pred = _flat("y_true", y_true, lengths), _flat("y_pred", y_pred, lengths)
    for i, (wanted, got) in enumerate(zip(true, pred, strict=False)):
        if len(wanted) != len(got):
            place = "" if len(true) == 1 else f"[{i}]"
            raise ValueError(f"y_pred{place}: expected {len(wanted)} labels as y_true has, got {len(got)}")
    if len(true) != len(pred):
        raise ValueError(f"y_pred: expected {len(true)} sequences as y_true has, got {len(pred)}")
    flat = [np.concatenate(of) if of else np.array([]) for of in (true, pred)]
    if flat[0].size == 0:
        raise ValueError("y_true: expected at least one label, got none")
    if flat[0].dtype.kind != flat[1].dtype.kind:  # NumPy does not compare them label by label
        flat = [of.astype(object) for of in flat]
    return flat[0], flat[1]


def _flat(name: str, labels: Any, lengths: ArrayLike | None) -> list[NDArray[Any]]:
    """Return the labels of each sequence; labels without sequences are those of one."""
    _check.many(name, labels, "labels")
    ragged = not isinstance(labels, np.ndarray) and any(
        isinstance(of, (list, tuple, np.ndarray)) and np.ndim(of) > 0 for of in labels
    )
    rows = list(labels) if ragged else np.asarray(labels)
    if lengths is not None:
        padded = np.asarray(rows)
        if padded.ndim != 2:
            raise ValueError(f"lengths: expected None, as {name} is no padded array (B, T)")
        steps = _check.lengths(lengths, *padded.shape, of=name)
        return [row[:length] for row, length in zip(padded, np.asarray(steps), strict=True)]
    if isinstance(rows, np.ndarray):
        if rows.ndim not in (1, 2):
            raise ValueError(f"{name}: expected labels of shape (n,) or (B, T), got {rows.shape}")
        rows = [rows] if rows.ndim == 1 else list(rows)
    arrays = [np.asarray(row) for row in rows]
    for i, row in enumerate(arrays):
        if row.ndim != 1:
            raise ValueError(f"{name}[{i}]: expected a sequence of labels, got an array of shape {row.shape}")
    return arrays
