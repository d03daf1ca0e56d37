"""A linear map of every step."""

from typing import TYPE_CHECKING, Any, SupportsIndex

from seqrs import _check
from seqrs.nn.layer import Layer
from seqrs.nn.options import BlockOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Linear"]


class Linear(Layer[None]):
    """A linear map of every step, y = W x + b.

    Parameters
    ----------
    input_size : int
        I, the length of x.
    output_size : int
        O, the length of y.
    bias : bool, default True
        Whether there is b.
    **options
        `dtype`, `device`, `seed`, `check_finite`: see :class:`BlockOptions`.

    Notes
    -----
    Parameters ``weight`` (O, I) and ``bias`` (O,), uniform between -1/sqrt(I) and 1/sqrt(I) at
    first, as in ``torch.nn.Linear``.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range, of the wrong type, or unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn
    >>> layer = nn.Linear(3, 5)
    >>> y, _ = layer(np.ones((2, 7, 3), np.float32))
    >>> y.shape
    (2, 7, 5)
    """

    def __init__(
        self,
        input_size: SupportsIndex,
        output_size: SupportsIndex,
        *,
        bias: bool = True,
        **options: "Unpack[BlockOptions]",
    ) -> None:
        self.bias = _check.flag("bias", bias)
        super().__init__(
            _check.integer("input_size", input_size, minimum=1),
            _check.integer("output_size", output_size, minimum=1),
            options,
        )

    def _blocks(self, name: str, width: int) -> list[dict[str, Any]]:  # noqa: ARG002 - the width is known
        own = {"size": self.output_size, "bias": self.bias, "tied": None}
        return [{"block": "linear", "name": name, **own}]

    def __repr__(self) -> str:
        return f"Linear({self.input_size}, {self.output_size}{'' if self.bias else ', bias=False'})"
