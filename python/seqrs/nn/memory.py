"""A memory that is prepared once and looked at many times."""

import numpy as np
from numpy.typing import ArrayLike

from seqrs import _check, _native

__all__ = ["Memory"]


class Memory:
    """What a layer has made of a memory to attend to: from :meth:`Layer.prepare`, for many steps without training.

    A layer that is given an array makes the keys of attention, W_k m⟨s⟩, at every call; those of a prepared
    memory are there. When the layer's weights change it can still be used, and is no faster then than an array.

    Examples
    --------
    Two texts are begun from the first row of a memory and one from the second:

    >>> import numpy as np
    >>> from seqrs import nn
    >>> decoder = nn.AttentionDecoder(nn.GRU(2, 3), memory_size=4)
    >>> memory = decoder.prepare(np.ones((2, 5, 4), np.float32), [5, 3])
    >>> y, h = decoder.step(np.ones((3, 2), np.float32), memory=memory.take([0, 0, 1]))
    >>> len(memory), y.shape
    (2, (3, 7))
    """

    def __init__(self, prepared: _native.Memory) -> None:
        self._prepared = prepared

    def __len__(self) -> int:
        return len(self._prepared)

    def take(self, rows: ArrayLike) -> "Memory":
        """Return some rows, in any order, also several times; no number is copied.

        Parameters
        ----------
        rows : integer array of shape (B,)
            Numbers of rows, from 0.

        Returns
        -------
        Memory
            Of B rows.

        Raises
        ------
        ValueError, TypeError
            If a row is not there, or `rows` are no integers.
        """
        numbers = np.asarray(rows)
        if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
            raise TypeError(f"rows: expected integers of shape (B,), got {_check.describe(rows)}")
        wrong = numbers[(numbers < 0) | (numbers >= len(self))]
        if wrong.size:
            raise ValueError(f"rows: expected numbers from 0 to {len(self) - 1}, got {wrong[0]}")
        return Memory(self._prepared.take(numbers.tolist()))

    def __repr__(self) -> str:
        return f"Memory({len(self)} rows)"
