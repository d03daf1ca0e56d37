"""Frames in which several things may be on, such as the keys of a piano."""

import numpy as np
from numpy.typing import ArrayLike

from seqrs import _check, losses

__all__ = ["frame_nll"]


def frame_nll(logits: ArrayLike, targets: ArrayLike, *, lengths: ArrayLike | None = None) -> float:
    """Negative log-likelihood a frame, of keys that are on or off independently of each other, in nats.

    For logits z and keys y of N frames 1/N Σ_n Σ_k -y_nk ln σ(z_nk) - (1 - y_nk) ln(1 - σ(z_nk)):
    a sum over the keys and a mean over the frames that count, those of long pieces and of short
    ones alike (Boulanger-Lewandowski et al. 2012; Chung et al. 2014).

    Parameters
    ----------
    logits : array of shape (B, T, K) or (T, K), float32 or float64
        Before the sigmoid, what was predicted for each frame from those before it.
    targets : array of that shape
        1 or True where a key is on.
    lengths : integer array of shape (B,), optional
        How many frames of each piece count. Default: all.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If no frame counts, shapes do not fit, or a target is not from 0 to 1.
    TypeError
        If `logits` is no array of floats.

    Notes
    -----
    Averaging over pieces instead of frames, or scoring the first frame (which nothing predicts),
    moves the figure in its second digit; say what was done.

    Examples
    --------
    Knowing nothing costs ln 2 a key:

    >>> import numpy as np
    >>> from seqrs import metrics
    >>> round(metrics.frame_nll(np.zeros((1, 5, 88)), np.zeros((1, 5, 88))), 2)
    61.0
    """
    shape = _check.as_array("logits", logits).shape
    if len(shape) not in (2, 3):
        raise ValueError(f"logits: expected shape (B, T, K) or (T, K), got {shape}")
    if len(shape) == 2 and lengths is not None:
        raise ValueError("lengths: expected None for one piece of shape (T, K)")
    total, _ = losses.binary_cross_entropy(logits, targets, lengths=lengths, reduction="sum")
    frames = int(np.prod(shape[:-1]) if lengths is None else np.sum(np.asarray(lengths)))
    if frames == 0:
        raise ValueError("logits: expected at least one frame that counts, got none")
    return total / frames
