"""A non-linearity as a block of its own."""

from typing import TYPE_CHECKING, Any

from seqrs import _check
from seqrs.nn.layer import Layer
from seqrs.nn.options import BlockOptions
from seqrs.nn.recurrent import ACTIVATIONS

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Activation"]


class Activation(Layer[None]):
    """A non-linearity of every number, y = f(x).

    Parameters
    ----------
    kind : {"tanh", "relu", "sigmoid", "hard_sigmoid", "identity", "softsign"}
        The function f, as in :class:`GRU`.
    **options
        `dtype`, `device`, `seed`, `check_finite`: see :class:`BlockOptions`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range, of the wrong type, or unknown.

    Examples
    --------
    >>> from seqrs import nn
    >>> layer = nn.Activation("relu")
    >>> layer([[[-1.0, 2.0]]])[0].tolist()
    [[[0.0, 2.0]]]
    """

    def __init__(self, kind: str, **options: "Unpack[BlockOptions]") -> None:
        self.kind = _check.choice("kind", kind, ACTIVATIONS)
        super().__init__(None, None, options)

    def _blocks(self, name: str, width: int) -> list[dict[str, Any]]:  # noqa: ARG002 - it has no parameters
        return [{"block": "activation", "kind": self.kind}]

    def __repr__(self) -> str:
        return f"Activation({self.kind!r})"
