"""The parameters of a chain of tags, checked; what `seqrs.losses` and `seqrs.decoding` share."""

import numpy as np
from numpy.typing import ArrayLike

from seqrs import _check
from seqrs._check import Floats

# Whether a start, a pair of tags and an end are possible: (K,), (K, K), (K,).
Allowed = tuple[ArrayLike, ArrayLike, ArrayLike]
Chain = tuple[Floats, Floats, Floats]


def checked(
    emissions: ArrayLike, start: ArrayLike, transitions: ArrayLike, end: ArrayLike, allowed: Allowed | None
) -> tuple[Floats, Chain]:
    """Return emissions (B, T, K), and start, transitions and end with -inf at what is not allowed."""
    scores = _check.any_floats("emissions", emissions)
    if scores.ndim != 3 or scores.shape[2] == 0:
        raise ValueError(f"emissions: expected shape (B, T, K) with at least one tag, got {scores.shape}")
    k, dtype = scores.shape[2], scores.dtype.name
    arrays = [("start", start, (k,)), ("transitions", transitions, (k, k)), ("end", end, (k,))]
    # Not checked for finiteness here: the core allows -inf and nothing else.
    parts = [_check.floats(name, value, dtype, shape, finite=False) for name, value, shape in arrays]
    if allowed is not None:
        if not isinstance(allowed, (tuple, list)) or len(allowed) != 3:
            raise TypeError(
                f"allowed: expected three arrays, for start, transitions and end, got {_check.describe(allowed)}"
            )
        for i, (name, _, shape) in enumerate(arrays):
            flags = _check.as_array("allowed", allowed[i])
            if flags.dtype != np.bool_ or flags.shape != shape:
                got = f"{_check.describe(flags)} of shape {flags.shape}"
                raise ValueError(f"allowed: expected bool of shape {shape} for {name}, got {got}")
            parts[i] = np.where(flags, parts[i], parts[i].dtype.type(-np.inf))
    return scores, (parts[0], parts[1], parts[2])
