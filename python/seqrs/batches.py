"""Cutting data into batches: token streams into windows for truncated back-propagation, sequences by length.

Everything here is a function of the seed and of a position (epoch, step), both plain numbers:
that is why training can stop anywhere and go on as if it had not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrs import _check
from seqrs._native import random_bits

Tokens = NDArray[np.int32]

# Streams of the random generator, one for each use.
_SHIFT, _ORDER, _POOLS, _SPLIT = 1, 2, 3, 4
_POOL = 50  # batches in a pool, which is sorted by length


@dataclass(frozen=True, eq=False)
class Batch:
    """What one training step reads.

    Attributes
    ----------
    inputs, targets : ndarray of int32, shape (B, T)
        The token before each place, -1 (the zero vector) where a document begins; and the token
        at each place, -1 where none is scored.
    lengths : ndarray of int64, shape (B,), or None
        How many steps of each row count; None: all.
    fresh : bool
        Whether the state starts from zero here, rather than from where the step before ended.
    """

    inputs: Tokens
    targets: Tokens
    lengths: NDArray[np.int64] | None
    fresh: bool

    @property
    def scored(self) -> int:
        """Number of tokens that the loss is the mean of."""
        counts = self.targets >= 0
        if self.lengths is not None:
            counts &= np.arange(counts.shape[1]) < self.lengths[:, None]
        return int(counts.sum())


class FileBatches:
    """One long text: each row reads its own stretch of it, window by window, state carried.

    The text is cut into as many equal stretches as there are rows, and each stretch into windows
    of at most `seq_len` tokens, all of nearly the same length. Where the first stretch begins is
    drawn anew in each epoch, so that windows never fall on the same places. A few tokens at the
    two ends, fewer than ``seq_len + batch_size``, are left out of an epoch by that.

    Parameters
    ----------
    tokens : ndarray of int32, shape (n,)
        The text. -1 where it holds a token outside the vocabulary: read as the zero vector, not
        scored.
    seq_len : int
        The longest window.
    batch_size : int
        The number of rows. Fewer where the text is too short for so many windows.
    seed : int
        Draws where epochs begin.

    Raises
    ------
    ValueError
        If the text is shorter than one window.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs.batches import FileBatches
    >>> batches = FileBatches(np.arange(100, dtype=np.int32), seq_len=10, batch_size=3, seed=0)
    >>> batches.steps(epoch=0)
    3
    >>> batch = batches.batch(epoch=0, step=1)
    >>> batch.inputs.shape, bool((batch.targets == batch.inputs + 1).all())
    ((3, 10), True)
    """

    def __init__(self, tokens: Tokens, *, seq_len: int, batch_size: int, seed: int) -> None:
        window = _check.integer("seq_len", seq_len, minimum=1)
        rows = _check.integer("batch_size", batch_size, minimum=1)
        if len(tokens) < window:
            raise ValueError(
                f"text: expected at least one window of {window} tokens (seq_len), got {len(tokens)}; "
                "give more text or a smaller seq_len"
            )
        self._tokens = tokens
        self._seed = seed
        # Room for the beginning to move by a window, where there is that much text.
        usable = max(len(tokens) - (window - 1), window)
        self._rows = min(rows, usable // window)
        self._stretch = usable // self._rows
        self._steps = -(-self._stretch // window)

    def steps(self, epoch: int) -> int:  # noqa: ARG002 - the same for every epoch here
        """Return the number of steps in an epoch."""
        return self._steps

    def batch(self, epoch: int, step: int) -> Batch:
        """Return what step number `step` of an epoch reads, both from 0."""
        room = len(self._tokens) - self._rows * self._stretch + 1
        shift = _below(self._seed, _SHIFT, epoch, room)
        first, last = (self._stretch * s // self._steps for s in (step, step + 1))
        begins = shift + self._stretch * np.arange(self._rows)[:, None]
        places = begins + np.arange(first, last)
        inputs = self._tokens[places - 1]  # the place before the first one is put right below
        if step == 0:
            inputs[:, 0] = -1
        return Batch(inputs, self._tokens[places], None, fresh=step == 0)


class LineBatches:
    """Many documents, each from zero state and zero input, rows of about the same length together.

    The order is that of :func:`buckets`. A batch whose documents are
    longer than `seq_len` takes several steps, with the state carried from one to the next.

    Parameters
    ----------
    documents : sequence of ndarray of int32
        The documents, none empty; -1 as for :class:`FileBatches`.
    seq_len : int
        The longest window.
    batch_size : int
        The number of documents in a batch.
    seed : int
        Draws the order.
    shuffle : bool, default True
        False: sorted by length, in the same order in every epoch.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs.batches import LineBatches
    >>> names = [np.array(name, np.int32) for name in ([3, 1, 0], [2, 0])]
    >>> LineBatches(names, seq_len=50, batch_size=2, seed=0, shuffle=False).batch(0, 0)
    Batch(inputs=array([[-1,  2, -1],
           [-1,  3,  1]], dtype=int32), targets=array([[ 2,  0, -1],
           [ 3,  1,  0]], dtype=int32), lengths=array([2, 3]), fresh=True)
    """

    def __init__(
        self, documents: Sequence[Tokens], *, seq_len: int, batch_size: int, seed: int, shuffle: bool = True
    ) -> None:
        self._documents = documents
        self._lengths = np.array([len(document) for document in documents], np.int64)
        self._window = _check.integer("seq_len", seq_len, minimum=1)
        self._rows = _check.integer("batch_size", batch_size, minimum=1)
        self._seed = seed
        self._shuffle = shuffle
        self._plan: tuple[int, list[NDArray[np.int64]], NDArray[np.int64]] | None = None

    def steps(self, epoch: int) -> int:
        """Return the number of steps in an epoch."""
        if self._lengths.max() <= self._window:
            return -(-len(self._documents) // self._rows)
        return int(self._planned(epoch)[1][-1])

    def batch(self, epoch: int, step: int) -> Batch:
        """Return what step number `step` of an epoch reads, both from 0."""
        groups, ends = self._planned(epoch)
        number = int(np.searchsorted(ends, step, side="right"))
        members = groups[number]
        step -= int(ends[number - 1]) if number else 0
        first = step * self._window
        lengths = np.clip(self._lengths[members] - first, 0, self._window)
        shape = (len(members), int(lengths.max()))
        inputs, targets = np.full(shape, -1, np.int32), np.full(shape, -1, np.int32)
        for row, (member, length) in enumerate(zip(members, lengths, strict=True)):
            document = self._documents[member]
            targets[row, :length] = document[first : first + length]
            # Before the first token of a document stands the zero vector, -1.
            begin = 1 if first == 0 else 0
            inputs[row, begin:length] = document[first + begin - 1 : first + length - 1]
        return Batch(inputs, targets, lengths, fresh=step == 0)

    def _planned(self, epoch: int) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
        """Return the epoch's groups of documents, and the step at which each group ends."""
        if self._plan is None or self._plan[0] != epoch:
            groups = buckets(self._lengths, self._rows, self._seed if self._shuffle else None, epoch)
            windows = [-(-int(self._lengths[members].max()) // self._window) for members in groups]
            self._plan = (epoch, groups, np.cumsum(windows))
        return self._plan[1], self._plan[2]


class SequenceBatches:
    """Many whole sequences, those of about the same length together; the order is that of :func:`buckets`.

    Parameters
    ----------
    lengths : array of int64, shape (n,)
        The length of each sequence.
    batch_size : int
        The number of sequences in a batch.
    seed : int
        Draws the order.
    make : callable
        Makes a batch of the numbers of its sequences, the epoch and the step.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs.batches import SequenceBatches
    >>> batches = SequenceBatches(np.array([5, 1, 4]), batch_size=2, seed=0, make=lambda rows, *_: rows)
    >>> batches.steps(epoch=0), sorted(len(batches.batch(0, step)) for step in range(2))
    (2, [1, 2])
    """

    def __init__(
        self,
        lengths: NDArray[np.int64],
        *,
        batch_size: int,
        seed: int,
        make: Callable[[NDArray[np.int64], int, int], Any],
    ) -> None:
        self._lengths = lengths
        self._rows = _check.integer("batch_size", batch_size, minimum=1)
        self._seed = seed
        self._make = make
        self._plan: tuple[int, list[NDArray[np.int64]]] | None = None

    def steps(self, epoch: int) -> int:  # noqa: ARG002 - the same for every epoch here
        """Return the number of steps in an epoch."""
        return -(-len(self._lengths) // self._rows)

    def batch(self, epoch: int, step: int) -> Any:
        """Return what step number `step` of an epoch reads, both from 0."""
        if self._plan is None or self._plan[0] != epoch:
            self._plan = (epoch, buckets(self._lengths, self._rows, self._seed, epoch))
        return self._make(self._plan[1][step], epoch, step)


def buckets(
    lengths: NDArray[np.int64], rows: int, seed: int | None, epoch: int = 0
) -> list[NDArray[np.int64]]:
    """Return the numbers of the sequences in each batch of an epoch, those of about the same length together.

    They are shuffled into pools of 50 batches, and each pool is sorted by length and cut into
    batches, which then come in random order; without a seed, all are sorted by length.
    """
    count = len(lengths)
    order = np.arange(count) if seed is None else permutation(seed, _ORDER, epoch, count)
    size = max(count, 1) if seed is None else rows * _POOL
    groups: list[NDArray[np.int64]] = []
    for begin in range(0, count, size):
        pool = order[begin : begin + size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        groups += [pool[row : row + rows] for row in range(0, len(pool), rows)]
    if seed is None:
        return groups
    return [groups[number] for number in permutation(seed, _POOLS, epoch, len(groups))]


def hold_out(count: int, fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Divide documents 0 to count - 1 into those to train on and those held out, by the seed."""
    held = set(permutation(seed, _SPLIT, 0, count)[: round(count * fraction)].tolist())
    return [n for n in range(count) if n not in held], sorted(held)


def permutation(seed: int, stream: int, counter: int, count: int) -> NDArray[np.int64]:
    """Return 0 to count - 1 in an order that is a function of the arguments alone."""
    # 64 bits a key, so that equal keys are as good as impossible.
    keys = random_bits(seed, stream, counter << 40, 2 * count).view(np.uint64)
    return np.argsort(keys, kind="stable")


def _below(seed: int, stream: int, counter: int, limit: int) -> int:
    """Return a number from 0 to limit - 1."""
    bits = random_bits(seed, stream, counter << 40, 2)
    return int((int(bits[0]) << 32 | int(bits[1])) % limit)
