"""Layer normalisation as a block of its own."""

from typing import TYPE_CHECKING, Any, SupportsFloat, SupportsIndex

from seqrs import _check
from seqrs.nn.layer import Layer
from seqrs.nn.options import BlockOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["LayerNorm"]


class LayerNorm(Layer[None]):
    """Normalise every step over its features (Ba et al. 2016).

    ::

        y = (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias

    Parameters
    ----------
    size : int
        I, the number of features.
    eps : float, default 1e-5
        Keeps the root away from zero.
    **options
        `dtype`, `device`, `seed`, `check_finite`: see :class:`BlockOptions`.

    Notes
    -----
    Parameters ``weight`` (I,), 1 at first, and ``bias`` (I,), 0 at first, as in
    ``torch.nn.LayerNorm``.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range, of the wrong type, or unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn
    >>> y, _ = nn.LayerNorm(2)(np.array([[[1, 3], [-9, 9]]], np.float32))
    >>> y.round(3).tolist()
    [[[-1.0, 1.0], [-1.0, 1.0]]]
    """

    def __init__(
        self, size: SupportsIndex, eps: SupportsFloat = 1e-5, **options: "Unpack[BlockOptions]"
    ) -> None:
        width = _check.integer("size", size, minimum=1)
        self.eps = _check.number("eps", eps, above=0.0)
        super().__init__(width, width, options)

    def _blocks(self, name: str, width: int) -> list[dict[str, Any]]:  # noqa: ARG002 - the width is known
        return [{"block": "layer_norm", "name": name, "eps": self.eps}]

    def __repr__(self) -> str:
        return f"LayerNorm({self.input_size}{'' if self.eps == 1e-5 else f', eps={self.eps}'})"
