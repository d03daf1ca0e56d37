"""Losses for your own training loops over :mod:`seqrs.nn`: the value and its gradient in one call.

======================= ======================================================== =====================
`softmax_cross_entropy` the next token, a tag for every step, a class            logits, integers
`binary_cross_entropy`  yes or no, for every step or label                       logits, 0 to 1
`mean_squared_error`    numbers                                                  predictions, numbers
`mean_absolute_error`   numbers, where a few targets are far off                 predictions, numbers
`huber`                 numbers: squared near the target, absolute far from it   predictions, numbers
`ctc`                   labels whose times are not known, as in speech           logits, labels
`crf`                   tags of which each depends on the one before             emissions, tags
======================= ======================================================== =====================

All return ``(loss, gradient)``: a float, and an array like the predictions, which is what
``layer.backward`` takes as `dy`; `crf` has parameters of its own, and returns their gradients too.
All take the same options, but that `ctc` and `crf` have no mask:

lengths
    How many steps of each row count, as the layers take it.
mask
    Whether it counts, for each row (B,), each row and step (B, T), or each single number.
reduction
    ``"mean"`` divides by the number of tokens, or numbers, that count, so that the learning
    rate does not depend on the sizes of the batch; ``"sum"`` is the sum over batch and time
    that the course notes write. Where nothing counts both are 0.
device
    ``"cpu"``, or ``"reference"`` for plain loops in double precision.

What does not count has no influence: it may be NaN, which makes a mask of the targets that are
there, ``mask=~numpy.isnan(targets)``, all that missing values need. Sums follow a fixed order, so
that any number of threads gives the same bits.

Examples
--------
Two rows of steps with three classes each; the second row has one step:

>>> import numpy as np
>>> from seqrs import losses
>>> logits = np.zeros((2, 2, 3), np.float32)
>>> loss, dlogits = losses.softmax_cross_entropy(logits, [[0, 2], [1, 1]], lengths=[2, 1])
>>> round(loss, 4)                                        # ln 3
1.0986
>>> dlogits.round(3)[1]
array([[ 0.111, -0.222,  0.111],
       [ 0.   ,  0.   ,  0.   ]], dtype=float32)
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _chain, _check, _native
from seqrs._chain import Allowed
from seqrs._check import Floats

__all__ = [
    "CRFGradients",
    "binary_cross_entropy",
    "crf",
    "ctc",
    "huber",
    "mean_absolute_error",
    "mean_squared_error",
    "softmax_cross_entropy",
]

REDUCTIONS = ("mean", "sum")


def softmax_cross_entropy(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    lengths: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    label_smoothing: SupportsFloat = 0.0,
    device: str = "cpu",
) -> tuple[float, Floats]:
    r"""Cross-entropy of softmax(logits) and the classes that came, in nats.

    For one row z of logits and its class y the loss is -Σ_k q_k ln softmax(z)_k with q = 1 at y
    and 0 elsewhere, and its gradient softmax(z) - q. The maximum is taken off before the
    exponential, so that logits of any finite size are good.

    Parameters
    ----------
    logits : array of shape (B, T, V) or (B, V), float32 or float64
        A number for each of V classes; softmax makes them probabilities.
    targets : integer array of shape (B, T) or (B,)
        The class that came, 0 to V - 1, of any integer dtype. -1 is not scored.
    lengths : integer array of shape (B,), optional
        How many steps of each row count. Default: all.
    mask : boolean array of shape (B,) or (B, T), optional
        Whether it counts. Default: everything does.
    reduction : {"mean", "sum"}, default "mean"
        Mean over the scored tokens, or sum.
    label_smoothing : float, default 0.0
        Share ε of the target that is spread over all classes, q = (1 - ε) onehot(y) + ε / V
        (Szegedy et al. 2016, section 7), from 0 to below 1.
    device : {"cpu", "reference"}, default "cpu"
        What computes it.

    Returns
    -------
    loss : float
        In nats; ``exp`` of the mean is the perplexity.
    dlogits : ndarray like `logits`
        Its gradient; 0 where nothing is scored.

    Raises
    ------
    ValueError
        If shapes do not fit, a target is no class, or a logit that counts is NaN or infinite:
        to rule a class out give it a large negative logit, such as -1e9.
    TypeError
        If an array has another dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import losses
    >>> loss, dlogits = losses.softmax_cross_entropy(np.array([[2.0, 0.0, 0.0]]), [0])
    >>> round(loss, 4), dlogits.round(4)
    (0.2395, array([[-0.213 ,  0.1065,  0.1065]]))
    """
    z = _check.any_floats("logits", logits)
    if z.ndim not in (2, 3):
        raise ValueError(f"logits: expected shape (B, T, V) or (B, V), got {z.shape}")
    if z.shape[-1] == 0:
        raise ValueError(f"logits: expected at least one class, got shape {z.shape}")
    classes = _check.tokens("targets", targets, z.shape[-1], z.shape[:-1])
    options = _options(z.shape[:-1], lengths, mask, reduction, device)
    smoothing = _check.probability("label_smoothing", label_smoothing)
    return _native.softmax_cross_entropy(z, classes, *options, smoothing)


def binary_cross_entropy(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    lengths: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    device: str = "cpu",
) -> tuple[float, Floats]:
    """Cross-entropy of σ(logits) and probabilities, in nats, number by number.

    For a logit z and a target y the loss is -y ln σ(z) - (1 - y) ln(1 - σ(z)), computed as
    max(z, 0) - z y + ln(1 + exp(-abs(z))), and its gradient σ(z) - y.

    Parameters
    ----------
    logits : array of shape (B, T, ...) or (B, ...), float32 or float64
        Before the sigmoid; of any size.
    targets : array of the shape of `logits`
        From 0 to 1: floats of the dtype of `logits`, booleans or integers.
    lengths, mask, reduction, device
        As in :mod:`seqrs.losses`.

    Returns
    -------
    loss : float
        In nats.
    dlogits : ndarray like `logits`
        Its gradient; 0 where nothing counts.

    Raises
    ------
    ValueError
        If shapes do not fit, a target is not from 0 to 1, or a number that counts is NaN or
        infinite.
    TypeError
        If an array has another dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import losses
    >>> loss, dlogits = losses.binary_cross_entropy(np.array([0.0, 2.0]), [True, False])
    >>> round(loss, 4), dlogits.round(4)
    (1.41, array([-0.25  ,  0.4404]))
    """
    z = _check.any_floats("logits", logits)
    labels = np.asarray(targets)
    if labels.dtype.kind in "biu":
        labels = labels.astype(z.dtype)  # exact for 0 and 1
    options = _options(z.shape, lengths, mask, reduction, device)
    return _pointwise("binary_cross_entropy", z, labels, options)


def mean_squared_error(
    predictions: ArrayLike,
    targets: ArrayLike,
    *,
    lengths: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    device: str = "cpu",
) -> tuple[float, Floats]:
    """Squared distance (p - y)², number by number; gradient 2 (p - y).

    Parameters
    ----------
    predictions : array of shape (B, T, ...) or (B, ...), float32 or float64
        p.
    targets : array of the shape and dtype of `predictions`
        y.
    lengths, mask, reduction, device
        As in :mod:`seqrs.losses`.

    Returns
    -------
    loss : float
        The mean over all numbers that count, or their sum.
    gradient : ndarray like `predictions`
        0 where nothing counts.

    Raises
    ------
    ValueError
        If shapes do not fit, or a number that counts is NaN or infinite.
    TypeError
        If an array has another dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import losses
    >>> targets = np.array([[1.0, np.nan], [0.0, 4.0]])
    >>> losses.mean_squared_error(np.full((2, 2), 1.0), targets, mask=~np.isnan(targets), reduction="sum")
    (10.0, array([[ 0.,  0.],
           [ 2., -6.]]))
    """
    p = _check.any_floats("predictions", predictions)
    return _pointwise("squared_error", p, targets, _options(p.shape, lengths, mask, reduction, device))


def mean_absolute_error(
    predictions: ArrayLike,
    targets: ArrayLike,
    *,
    lengths: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    device: str = "cpu",
) -> tuple[float, Floats]:
    """Distance abs(p - y), number by number; gradient the sign of p - y, and 0 at 0.

    Parameters, results and errors are those of :func:`mean_squared_error`.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import losses
    >>> losses.mean_absolute_error(np.array([1.0, 5.0]), [2.0, 2.0])
    (2.0, array([-0.5,  0.5]))
    """
    p = _check.any_floats("predictions", predictions)
    return _pointwise("absolute_error", p, targets, _options(p.shape, lengths, mask, reduction, device))


def huber(
    predictions: ArrayLike,
    targets: ArrayLike,
    *,
    delta: SupportsFloat = 1.0,
    lengths: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
    device: str = "cpu",
) -> tuple[float, Floats]:
    """Half the squared distance up to `delta`, a straight line from there on (Huber 1964).

    With d = p - y the loss is d² / 2 where abs(d) <= delta, else delta (abs(d) - delta / 2); its
    gradient is d, cut to ± delta: no target, however far off, pulls harder. PyTorch's
    ``HuberLoss``; its ``SmoothL1Loss`` is this divided by delta.

    Parameters
    ----------
    predictions, targets, lengths, mask, reduction, device
        As in :func:`mean_squared_error`.
    delta : float, default 1.0
        Above 0.

    Returns
    -------
    loss : float
        The mean over all numbers that count, or their sum.
    gradient : ndarray like `predictions`
        0 where nothing counts.

    Raises
    ------
    ValueError, TypeError
        As :func:`mean_squared_error`.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import losses
    >>> losses.huber(np.array([1.5, 5.0]), [1.0, 1.0], reduction="sum")
    (3.625, array([0.5, 1. ]))
    """
    p = _check.any_floats("predictions", predictions)
    options = _options(p.shape, lengths, mask, reduction, device)
    return _pointwise("huber", p, targets, options, _check.number("delta", delta, above=0.0))


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
    steps, _, reduction, device = _options(z.shape, lengths, None, reduction, device)
    zero_infinity = _check.flag("zero_infinity", zero_infinity)
    return _native.ctc_loss(z, labels, counts, steps, blank, zero_infinity, reduction, device)


class CRFGradients(NamedTuple):
    """Gradients of :func:`crf`, each like what it is the gradient of.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import losses
    >>> _, gradients = losses.crf(np.zeros((1, 1, 2)), [[1]], np.zeros(2), np.zeros((2, 2)), np.zeros(2))
    >>> gradients.emissions, gradients.end
    (array([[[ 0.5, -0.5]]]), array([ 0.5, -0.5]))
    """

    emissions: Floats
    """(B, T, K): what ``layer.backward`` takes as `dy`; 0 where nothing counts."""
    start: Floats
    """(K,)"""
    transitions: Floats
    """(K, K)"""
    end: Floats
    """(K,)"""


def crf(
    emissions: ArrayLike,
    tags: ArrayLike,
    start: ArrayLike,
    transitions: ArrayLike,
    end: ArrayLike,
    *,
    lengths: ArrayLike | None = None,
    allowed: Allowed | None = None,
    reduction: str = "mean",
    device: str = "cpu",
) -> tuple[float, CRFGradients]:
    r"""Linear-chain conditional random field: tags of which each depends on the one before, in nats.

    A sequence of tags y scores start[y_1] + Σ_t emissions[t, y_t] + Σ_t transitions[y_t, y_t+1] +
    end[y_T]; its probability is the exponential of that, divided by the sum over all sequences, and
    the loss -ln of the probability of the tags that came (Lafferty, McCallum and Pereira 2001). The
    gradient is exact, by the forward-backward recursion in logarithms and double precision.

    Parameters
    ----------
    emissions : array of shape (B, T, K), float32 or float64
        A score for each of K tags at each step, as a network gives it; no softmax before.
    tags : integer array of shape (B, T)
        The tags that came, 0 to K - 1 where they count, anything from -1 on elsewhere.
    start, end : arrays of shape (K,), of the dtype of `emissions`
        Scores of the first and of the last tag. -inf rules one out, and has a gradient of 0.
    transitions : array of shape (K, K), of the dtype of `emissions`
        Score of each tag, the row, followed by each, the column. -inf rules a pair out.
    lengths : integer array of shape (B,), optional
        How many steps of each row count. Default: all.
    allowed : three boolean arrays, of the shapes of `start`, `transitions` and `end`, optional
        What is not ruled out, as from :func:`seqrs.decoding.bio_constraints`. Default: everything.
    reduction : {"mean", "sum"}, default "mean"
        ``"mean"`` divides by the number of steps that count, ``"sum"`` by nothing.
    device : {"cpu", "reference"}, default "cpu"
        What computes it.

    Returns
    -------
    loss : float
        In nats.
    gradients : CRFGradients
        By emissions, start, transitions and end.

    Raises
    ------
    ValueError
        If shapes do not fit, a tag is none, the tags that came are ruled out, everything is ruled
        out, or a number is NaN or infinite.
    TypeError
        If an array has another dtype.

    See Also
    --------
    seqrs.decoding.viterbi : the tags that score highest.
    seqrs.decoding.crf_marginals : the probability of each tag at each step.

    Examples
    --------
    Three steps and two tags that score alike, of which none may follow itself: 010 and 101 are left.

    >>> import numpy as np
    >>> from seqrs import losses
    >>> apart = np.array([[-np.inf, 0.0], [0.0, -np.inf]])
    >>> loss, gradients = losses.crf(
    ...     np.zeros((1, 3, 2)), [[0, 1, 0]], np.zeros(2), apart, np.zeros(2), reduction="sum"
    ... )
    >>> round(float(np.exp(-loss)), 6)
    0.5
    >>> gradients.start
    array([-0.5,  0.5])
    """
    scores, chain = _chain.checked(emissions, start, transitions, end, allowed)
    labels = _check.tokens("tags", tags, scores.shape[2], scores.shape[:2])
    steps, _, reduction, device = _options(scores.shape, lengths, None, reduction, device)
    loss, gradients = _native.crf_loss(scores, labels, chain, steps, reduction, device)
    return loss, CRFGradients(*gradients)


# Lengths, mask, reduction and device, as the core takes them.
_Options = tuple[NDArray[np.int64] | None, NDArray[np.bool_] | None, str, str]


def _options(
    shape: tuple[int, ...], lengths: ArrayLike | None, mask: ArrayLike | None, reduction: str, device: str
) -> _Options:
    """Check what the losses have in common, for an array whose places count or do not."""
    steps = None
    if lengths is not None:
        if len(shape) < 2:
            raise ValueError("lengths: expected None for an array without an axis of steps")
        steps = _check.lengths(lengths, *shape[:2], of="the predictions")
    flags = None if mask is None else np.asarray(mask)
    if flags is not None and flags.dtype != np.bool_:
        raise TypeError(f"mask: expected an array of bool, got {_check.describe(mask)}")
    if flags is not None and not (flags.ndim > 0 and flags.shape == shape[: flags.ndim]):
        raise ValueError(f"mask: expected shape {shape} or its first axes, got {flags.shape}")
    reduction = _check.choice("reduction", reduction, REDUCTIONS)
    return steps, flags, reduction, _check.choice("device", device, _check.DEVICES)


def _labels(
    targets: NDArray[Any] | Sequence[ArrayLike], target_lengths: ArrayLike | None, batch: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the labels of all rows, one after the other, and how many each row has."""
    if not isinstance(targets, (Sequence, np.ndarray)) or len(targets) != batch:
        got = len(targets) if hasattr(targets, "__len__") else _check.describe(targets)
        raise ValueError(f"targets: expected the labels of {batch} rows, got {got}")
    rows: list[NDArray[Any]] = [np.asarray(row) for row in targets]
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


def _pointwise(
    loss: str, predictions: Floats, targets: ArrayLike, options: _Options, delta: float = 1.0
) -> tuple[float, Floats]:
    # Not checked for finiteness here: the core does, where it counts.
    y = _check.floats("targets", targets, predictions.dtype.name, predictions.shape, finite=False)
    return _native.pointwise_loss(loss, predictions, y, *options, delta)
