"""What the recipes in this folder share: the numbers that go in, and the file that comes out."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
B, T, FEATURES, H = 4, 6, 2, 3  # batch, steps, features, hidden units
WIDE = 17  # hidden units of the plain cases: one more than a block of the fast path
LENGTHS = [4, 6, 1, 5]  # unsorted; one row full, one row of a single step


class Numbers:
    """The numbers of one case, drawn from a seed that its name gives.

    All are multiples of 1/64. float32 holds these exactly, so a reader of either type starts from the
    very numbers that the peer had; and the file stays small, since their last bits are zero.
    """

    def __init__(self, name: str) -> None:
        self._rng = np.random.default_rng(zlib.crc32(name.encode()))

    def normal(self, *shape: int) -> NDArray[np.float64]:
        """Inputs, states, incoming gradients."""
        return np.round(self._rng.standard_normal(shape) * 64) / 64

    def weights(self, *shape: int, hidden: int = H) -> NDArray[np.float64]:
        """Parameters with about twice the spread of PyTorch's own, so that the gates leave the straight part of their curves."""
        return np.round(self._rng.standard_normal(shape) * 64 * 2 / (3 * hidden) ** 0.5) / 64

    def mask(self) -> NDArray[np.bool_]:
        """Steps that count, (B, T): gaps anywhere, one row full, one row empty."""
        mask = self._rng.random((B, T)) < 0.6
        mask[1], mask[2] = True, False
        return mask


def save(
    name: str,
    package: str,
    call: Any,
    arrays: Mapping[str, NDArray[Any]],
    params: Mapping[str, NDArray[Any]],
    grads: Iterable[NDArray[Any]] = (),
) -> None:
    """Write ``{name}.npz`` (README.md says what is in it).

    `call` is the peer's own arguments, kept as JSON; `grads`, in the order of `params`, become one
    vector, because a zip of many tiny arrays is mostly headers.
    """
    path = HERE / f"{name}.npz"
    members = {f"param.{key}": array for key, array in params.items()} | dict(arrays)
    if flat := [gradient.ravel() for gradient in grads]:
        members["grads"] = np.concatenate(flat)
    np.savez_compressed(path, call=json.dumps(call), made_with=f"{package} {version(package)}", **members)
    print(f"{path.name}: {path.stat().st_size} bytes")
