"""Sequences with what is to be learned of each, side by side in batches."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check
from seqrs._check import Floats
from seqrs.batches import buckets
from seqrs.models.inputs import Sequence_, padded

# Outside of training so many sequences are read together, and so many steps at most.
_ROWS, _STEPS = 64, 1 << 16


@dataclass(frozen=True, eq=False)
class Examples:
    """Sequences and what is to be learned of each.

    Attributes
    ----------
    inputs : list of ndarray
        As :meth:`Reader.read` returns them.
    targets : list
        One for each; what it is, the model knows.
    weights : ndarray of shape (n,)
        How much each counts.
    """

    inputs: list[Sequence_]
    targets: list[Any]
    weights: NDArray[np.float64]

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "Examples":
        """Return some of them, in the order given."""
        return Examples(
            [self.inputs[i] for i in rows],
            [self.targets[i] for i in rows],
            self.weights[np.asarray(rows, np.int64)],
        )

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of steps of each."""
        return np.array([len(row) for row in self.inputs], np.int64)

    def digest(self) -> str:
        """Return what tells these examples from others: a hash of all they hold."""
        found = hashlib.sha256()
        for array in (*self.inputs, *self.targets, self.weights):
            values = np.ascontiguousarray(array)
            found.update(f"{values.dtype.str}{np.shape(array)}".encode())
            found.update(values.data if values.size else b"")
        return found.hexdigest()


@dataclass(frozen=True, eq=False)
class SequenceBatch:
    """What one training step reads: examples side by side.

    Attributes
    ----------
    inputs, lengths : ndarray of shape (B, T) or (B, T, F), ndarray of int64, shape (B,)
        The sequences, padded.
    targets, weights
        As in :class:`Examples`.
    counts : ndarray of int64, shape (B,)
        In how many parts of the mean loss each has.
    """

    inputs: NDArray[Any]
    lengths: NDArray[np.int64]
    targets: list[Any]
    weights: NDArray[np.float64]
    counts: NDArray[np.int64]
    fresh: bool = True

    @property
    def scored(self) -> int:
        """What the loss is the mean over."""
        return int(self.counts.sum())

    def take(self, rows: NDArray[np.int64]) -> "SequenceBatch":
        """Return some of the sequences, padded as before."""
        targets = [self.targets[i] for i in rows]
        return SequenceBatch(
            self.inputs[rows], self.lengths[rows], targets, self.weights[rows], self.counts[rows], self.fresh
        )


def seed_of(random_state: Any) -> int:
    """Return a seed from an integer, a NumPy generator of either kind, or None for a new one."""
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(0, 2**31))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(0, 2**63))
    try:
        return _check.seed(random_state)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("seed", "random_state", 1)) from None


def sample_weights(sample_weight: ArrayLike | None, count: int) -> NDArray[np.float64]:
    """Return how much each of `count` examples counts; None is alike."""
    if sample_weight is None:
        return np.ones(count)
    weights = np.asarray(sample_weight, np.float64)
    if weights.shape != (count,):
        raise ValueError(
            f"sample_weight: expected shape ({count},), one for each sequence, got {weights.shape}"
        )
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
        raise ValueError("sample_weight: expected finite numbers of at least 0, one of them above 0")
    return weights


def groups(lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the numbers of sequences that are read together outside of training."""
    longest = int(lengths.max(initial=1))
    return buckets(lengths, max(1, min(_ROWS, _STEPS // max(longest, 1))), None)


def side_by_side(
    outputs: Sequence[Floats],
) -> Iterator[tuple[NDArray[np.int64], Floats, NDArray[np.int64]]]:
    """Yield the numbers of some sequences, their outputs (T, O) padded to (B, T, O), and their lengths."""
    for rows in groups(np.array([len(row) for row in outputs], np.int64)):
        yield rows, *padded([outputs[i] for i in rows])


def apart(output: Floats, lengths: NDArray[np.int64]) -> list[Any]:
    """Return the output of each row, without padding."""
    if output.ndim == 2:
        return list(output)
    return [row[:n] for row, n in zip(output, lengths, strict=True)]
