"""What a backward pass returns."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from seqrs._check import Floats

__all__ = ["Gradients", "StateT"]

# The recurrent state as a user sees it: h, or for an LSTM the pair (h, c).
StateT = TypeVar("StateT")


@dataclass(frozen=True, eq=False)
class Gradients(Generic[StateT]):
    """The gradients of one backward pass, in the layer's dtype.

    Attributes
    ----------
    x : ndarray in the shape of the input, or None
        By the input; zero at steps that do not count; None where the input was tokens.
    state : ndarray of shape (D*L, B, P), or a pair of them
        By the initial state, in the form of the layer's own states; None for a layer without.
    params : dict of str to ndarray
        By each parameter that is not frozen, under the names and in the shapes of
        ``state_dict()``.
    flat : ndarray of shape (N,), or None
        All of `params` as one array, of which they are views, as :mod:`seqrs.optim` reads it;
        zero for frozen parameters. None where a layer of your own does not have it.
    memory : ndarray in the shape of the memory, or None
        By what an :class:`AttentionDecoder` attends to, such as an encoder's output; zero at steps
        that do not count. None for layers that attend to nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn
    >>> layer = nn.LSTM(2, 3)
    >>> y, state, tape = layer.forward(np.ones((1, 4, 2), np.float32))
    >>> g = layer.backward(tape, np.ones_like(y))
    >>> dh, dc = g.state
    >>> g.x.shape, dc.shape, g.params["weight_ih_l0"].shape
    ((1, 4, 2), (1, 1, 3), (12, 2))

    All gradients by parameters together, and one of them is part of it:

    >>> g.flat.shape, np.shares_memory(g.flat, g.params["bias_hh_l0"])
    ((84,), True)
    """

    x: Floats | None
    state: StateT
    params: dict[str, Floats]
    flat: Floats | None = None
    memory: Floats | None = None
