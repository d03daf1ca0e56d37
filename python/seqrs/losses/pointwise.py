"""Losses place by place: classes and numbers at steps, rows or single numbers."""

from typing import SupportsFloat

from numpy.typing import ArrayLike

from seqrs import _check, _native
from seqrs._check import Floats
from seqrs.losses._options import Options, options_of


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
    options = options_of(z.shape[:-1], lengths, mask, reduction, device)
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
    labels = _check.as_array("targets", targets)
    if labels.dtype.kind in "biu":
        labels = labels.astype(z.dtype)  # exact for 0 and 1
    options = options_of(z.shape, lengths, mask, reduction, device)
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
    return _pointwise("squared_error", p, targets, options_of(p.shape, lengths, mask, reduction, device))


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
    return _pointwise("absolute_error", p, targets, options_of(p.shape, lengths, mask, reduction, device))


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
    options = options_of(p.shape, lengths, mask, reduction, device)
    return _pointwise("huber", p, targets, options, _check.number("delta", delta, above=0.0))


def _pointwise(
    loss: str, predictions: Floats, targets: ArrayLike, options: Options, delta: float = 1.0
) -> tuple[float, Floats]:
    # Not checked for finiteness here: the core does, where it counts.
    y = _check.floats("targets", targets, predictions.dtype.name, predictions.shape, finite=False)
    return _native.pointwise_loss(loss, predictions, y, *options, delta)
