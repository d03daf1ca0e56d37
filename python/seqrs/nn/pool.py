"""One vector for a whole sequence."""

from typing import TYPE_CHECKING, Any, SupportsIndex

from seqrs import _check
from seqrs.nn.layer import Layer
from seqrs.nn.options import BlockOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Pool"]

POOLINGS = ("last", "ends", "center", "mean", "max", "max+mean", "attention")


class Pool(Layer[None]):
    """Pool over time: (B, T, I) in, (B, O) out, over the steps that count.

    A row of which no step counts becomes zero.

    Parameters
    ----------
    kind : {"last", "ends", "center", "mean", "max", "max+mean", "attention"}
        The last step; of a bidirectional layer the last step of either direction, which is the
        first half of the features at the last step and the second half at the first; the two
        steps in the middle side by side (of an odd number of steps, the one twice); the mean; the
        largest number of each feature; these two side by side; or a mean weighed by what the
        steps hold (Yang et al. 2016)::

            a⟨t⟩ = softmax over t of (context · tanh(weight x⟨t⟩ + bias))
            y = Σ_t a⟨t⟩ x⟨t⟩

    input_size : int, optional
        I. Default: what comes; for ``"attention"`` outside a :class:`Sequential` it is needed.
    size : int, optional
        A, the units of the attention. Default: I.
    **options
        `dtype`, `device`, `seed`, `check_finite`: see :class:`BlockOptions`.

    Notes
    -----
    O is I, and for two vectors side by side 2 I.

    Parameters, for ``"attention"`` alone: ``weight`` (A, I), ``bias`` (A,), ``context`` (A,).

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range, of the wrong type, or unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn
    >>> x = np.array([[[1, 5], [3, 1], [9, 9]]], np.float32)
    >>> nn.Pool("mean")(x, lengths=[2])[0].tolist()
    [[2.0, 3.0]]
    """

    _needs_steps = True
    _pools = True

    def __init__(
        self,
        kind: str,
        input_size: SupportsIndex | None = None,
        size: SupportsIndex | None = None,
        **options: "Unpack[BlockOptions]",
    ) -> None:
        self.kind = _check.choice("kind", kind, POOLINGS)
        self._times = 2 if self.kind in ("center", "max+mean") else 1
        width = None if input_size is None else _check.integer("input_size", input_size, minimum=1)
        self.size = None if size is None else _check.integer("size", size, minimum=1)
        if self.size is not None and self.kind != "attention":
            raise ValueError(f'size: expected None, because kind="{self.kind}" has no units of its own')
        super().__init__(width, None if width is None else self._times * width, options)

    def _build(self, width: int) -> None:
        if self.kind == "attention" and self._any_width:
            raise ValueError('input_size: expected an integer for kind="attention" outside a Sequential')
        super()._build(width)

    def _blocks(self, name: str, width: int) -> list[dict[str, Any]]:
        units = (self.size or width) if self.kind == "attention" else 0
        return [{"block": "pool", "name": name, "kind": self.kind, "size": units}]

    def __repr__(self) -> str:
        given = [repr(self.kind)]
        given += [f"input_size={self.input_size}"] if not self._any_width else []
        given += [f"size={self.size}"] if self.size is not None else []
        return f"Pool({', '.join(given)})"
