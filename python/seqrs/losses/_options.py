"""The options that losses have in common, checked."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check

REDUCTIONS = ("mean", "sum")

# Lengths, mask, reduction and device, as the core takes them.
Options = tuple[NDArray[np.int64] | None, NDArray[np.bool_] | None, str, str]


def options_of(
    shape: tuple[int, ...], lengths: ArrayLike | None, mask: ArrayLike | None, reduction: str, device: str
) -> Options:
    """Check what the losses have in common, for an array whose places count or do not."""
    steps = None
    if lengths is not None:
        if len(shape) < 2:
            raise ValueError("lengths: expected None for an array without an axis of steps")
        steps = _check.lengths(lengths, *shape[:2], of="the predictions")
    flags = None if mask is None else _check.as_array("mask", mask)
    if flags is not None and flags.dtype != np.bool_:
        raise TypeError(f"mask: expected an array of bool, got {_check.describe(mask)}")
    if flags is not None and not (flags.ndim > 0 and flags.shape == shape[: flags.ndim]):
        raise ValueError(f"mask: expected shape {shape} or its first axes, got {flags.shape}")
    reduction = _check.choice("reduction", reduction, REDUCTIONS)
    return steps, flags, reduction, _check.choice("device", device, _check.ARRAY_DEVICES)
