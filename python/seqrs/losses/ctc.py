"""Connectionist temporal classification."""

from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check, _native
from seqrs._check import Floats
from seqrs.losses._options import options_of


def ctc(
    logits: ArrayLike,
    targets: NDArray[Any] | Sequence[ArrayLike],
    *,
    lengths: ArrayLike | None = None,
    target_lengths: ArrayLike | None = None,
    blank: SupportsIndex = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
    device: str = "cpu",
) -> tuple[float, Floats]:
    r"""Connectionist temporal classification: labels without the times at which they fall, in nats.

    At every step softmax(logits) gives one of V symbols, or the blank, which says nothing. A path,
    one symbol a step, reads as labels once equal neighbours are merged and blanks then dropped;
    the loss of a row is -ln of the summed probability of all paths that read as its labels
    (Graves et al. 2006, sections 3 and 4). The gradient is exact, by the forward-backward
    recursion in logarithms and double precision, with the softmax inside: do not apply one before.

    Parameters
    ----------
    logits : array of shape (B, T, V), float32 or float64
        A number for each of V symbols, the blank among them.
    targets : list of B sequences of integers, or integer array of shape (B, S)
        The labels of each row, 0 to V - 1 and never the blank, of any number, also none.
    lengths : integer array of shape (B,), optional
        How many steps of each row count. Default: all.
    target_lengths : integer array of shape (B,), optional
        How many of the S labels of each row count, where `targets` is one array. Default: all.
    blank : int, default 0
        Which symbol is the blank.
    reduction : {"mean", "sum"}, default "mean"
        ``"mean"`` divides by the number of all labels of the batch, where a row without labels
        counts as one. (PyTorch's mean divides each row by its own labels, then by B.)
    zero_infinity : bool, default False
        What to do with a row that has fewer steps than its labels need, one for each and one more
        between equal neighbours: such a row has no path. False raises; True gives it a loss and a
        gradient of 0.
    device : {"cpu", "reference"}, default "cpu"
        What computes it.

    Returns
    -------
    loss : float
        In nats.
    dlogits : ndarray like `logits`
        Its gradient; 0 where nothing counts.

    Raises
    ------
    ValueError
        If shapes do not fit, a label is the blank or no symbol, labels do not fit into the steps of
        their row (unless `zero_infinity`), or a logit that counts is NaN or infinite.
    TypeError
        If an array has another dtype.

    See Also
    --------
    seqrs.decoding.ctc_greedy, seqrs.decoding.ctc_beam : from logits to labels.

    Examples
    --------
    Three steps, the blank and two labels, all equally likely. Of the 27 paths 5 read as "1 2":
    112, 122, 012, 102 and 120.

    >>> import numpy as np
    >>> from seqrs import losses
    >>> loss, dlogits = losses.ctc(np.zeros((1, 3, 3)), [[1, 2]], reduction="sum")
    >>> round(float(np.exp(-loss)) * 27, 6)
    5.0
    >>> dlogits.round(4)[0]
    array([[ 0.1333, -0.4667,  0.3333],
           [ 0.1333, -0.0667, -0.0667],
           [ 0.1333,  0.3333, -0.4667]])
    """
    z = _check.any_floats("logits", logits)
    if z.ndim != 3 or z.shape[2] == 0:
        raise ValueError(f"logits: expected shape (B, T, V) with at least one symbol, got {z.shape}")
    blank = _check.integer("blank", blank, minimum=0, maximum=z.shape[2] - 1)
    labels, counts = _labels(targets, target_lengths, z.shape[0])
    steps, _, reduction, device = options_of(z.shape, lengths, None, reduction, device)
    zero_infinity = _check.flag("zero_infinity", zero_infinity)
    return _native.ctc_loss(z, labels, counts, steps, blank, zero_infinity, reduction, device)


def _labels(
    targets: NDArray[Any] | Sequence[ArrayLike], target_lengths: ArrayLike | None, batch: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the labels of all rows, one after the other, and how many each row has."""
    if not isinstance(targets, (Sequence, np.ndarray)) or len(targets) != batch:
        got = len(targets) if hasattr(targets, "__len__") else _check.describe(targets)
        raise ValueError(f"targets: expected the labels of {batch} rows, got {got}")
    rows: list[NDArray[Any]] = [_check.as_array("targets", row) for row in targets]
    for i, row in enumerate(rows):
        if row.ndim != 1:
            raise ValueError(f"targets: expected the labels of row {i} in one axis, got shape {row.shape}")
        if row.dtype.kind not in "iu" and (row.size or hasattr(targets[i], "dtype")):
            raise TypeError(f"targets: expected integers, got {_check.describe(row)} in row {i}")
    if target_lengths is not None:
        if not isinstance(targets, np.ndarray):
            raise TypeError("target_lengths: expected None for targets that are not one array")
        most = targets.shape[1]
        ends = _check.lengths(target_lengths, batch, most, of="the targets", name="target_lengths")
        rows = [row[:end] for row, end in zip(rows, ends if ends is not None else (), strict=True)]
    counts = np.array([len(row) for row in rows], np.int64)
    # An empty list has no dtype of its own.
    return np.concatenate([np.zeros(0, np.int64), *(row.astype(np.int64) for row in rows)]), counts
