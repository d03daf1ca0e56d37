"""Dropout as a block of its own."""

from typing import TYPE_CHECKING, Any, SupportsFloat

from seqrs import _check
from seqrs.nn.layer import Layer
from seqrs.nn.options import BlockOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Dropout"]


class Dropout(Layer[None]):
    """In training passes, replace numbers by 0; outside of training, pass them on.

    Parameters
    ----------
    p : float
        The probability with which each number is replaced; the others are divided by 1 - p.
    variational : bool, default False
        Whether one mask is drawn for all steps of a sequence (Gal and Ghahramani 2016) instead
        of a new one each step.
    **options
        `dtype`, `device`, `seed`, `check_finite`: see :class:`BlockOptions`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range, of the wrong type, or unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn
    >>> layer = nn.Dropout(0.5, seed=0)
    >>> y, _, tape = layer.forward(np.ones((1, 50, 20), np.float32))
    >>> np.unique(y).tolist()
    [0.0, 2.0]
    """

    def __init__(
        self, p: SupportsFloat, variational: bool = False, **options: "Unpack[BlockOptions]"
    ) -> None:
        self.p = _check.probability("p", p)
        self.variational = _check.flag("variational", variational)
        super().__init__(None, None, options)

    def _blocks(self, name: str, width: int) -> list[dict[str, Any]]:  # noqa: ARG002 - it has no parameters
        return [{"block": "dropout", "p": self.p, "variational": self.variational}]

    def __repr__(self) -> str:
        return f"Dropout({self.p}{', variational=True' if self.variational else ''})"
