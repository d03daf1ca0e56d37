"""The gated recurrent unit in its three forms."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, SupportsIndex

from seqrs import _check
from seqrs._check import Floats
from seqrs.nn.options import Options
from seqrs.nn.recurrent import ACTIVATIONS, Recurrent

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["GRU"]


class GRU(Recurrent[Floats]):
    r"""A stack of gated recurrent units (Cho et al. 2014).

    At each step t, with x⟨t⟩ the input of the layer, h⟨0⟩ the initial state, σ the logistic
    function, g the `activation` and * the product element by element, ::

        r = σ(W_ir x⟨t⟩ + b_ir + W_hr h⟨t-1⟩ + b_hr)              reset gate
        z = σ(W_iz x⟨t⟩ + b_iz + W_hz h⟨t-1⟩ + b_hz)              share of the old state kept
        n = g(W_in x⟨t⟩ + b_in + r * (W_hn h⟨t-1⟩ + b_hn))        reset="after"
        n = g(W_in x⟨t⟩ + b_in + W_hn (r * h⟨t-1⟩) + b_hn)        reset="before"
        n = g(W_in x⟨t⟩ + b_in + W_hn h⟨t-1⟩ + b_hn)              reset="none"
        h⟨t⟩ = (1 - z) * n + z * h⟨t-1⟩

    The output of a layer is h⟨t⟩; it is the input of the next layer.

    Parameters
    ----------
    input_size : int
        I, the number of features of a step, or the number of different tokens.
    hidden_size : int, or list of int
        H, the number of units of each layer; a list gives it layer by layer.
    num_layers : int, default 1
        L, the number of layers; with a list of sizes, their number.
    reset : {"after", "before", "none"}, default "after"
        Where the reset gate acts. ``"after"`` the product with W_hn: PyTorch, cuDNN, Keras by
        default. ``"before"`` it: the original paper and the course notes' full GRU. ``"none"``:
        no reset gate, the course notes' simple GRU.
    activation : str, default "tanh"
        The function g: ``"tanh"``, ``"relu"``, ``"sigmoid"``, ``"hard_sigmoid"`` (min(max(x + 3,
        0), 6) / 6), ``"identity"`` or ``"softsign"`` (x / (1 + abs(x))).
    **options
        What all recurrent layers have, such as `bidirectional`, `dropout`, `dtype`, `seed`: see
        :class:`Options`.

    Notes
    -----
    Parameters of layer k, as in ``torch.nn.GRU``, where J is the width of the layer's input, with
    the rows of the gates one below the other in the order r, z, n; those of the reverse direction
    end in ``_reverse``. Without a reset gate the rows of r are absent: 2H instead of 3H.

    =================== =====================================
    ``weight_ih_l{k}``  (3H, J)
    ``weight_hh_l{k}``  (3H, H)
    ``bias_ih_l{k}``    (3H,)
    ``bias_hh_l{k}``    (3H,)
    ``gain_ih_l{k}``    (3H,), with ``layer_norm=True``
    ``gain_hh_l{k}``    (3H,), with ``layer_norm=True``
    ``initial_h_l{k}``  (H,), with ``learn_initial_state=True``
    =================== =====================================

    The course notes (Ng, Sequence Models, week 1) call 1 - z the update gate Γu, so their Wu
    and bu are the rows of z *negated*; :mod:`seqrs.educational` converts.

    ``torch.nn.GRU`` is ``reset="after"``. Its weights also have the shapes of
    ``reset="before"``, but mean something else there: a layer that loads them will compute
    without complaint what the PyTorch module did not. Neither form can represent the other.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range, of the wrong type, or unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn
    >>> layer = nn.GRU(input_size=3, hidden_size=5, reset="before")
    >>> y, h = layer(np.ones((2, 7, 3), np.float32))
    >>> y.shape, h.shape
    ((2, 7, 5), (1, 2, 5))
    """

    _cell = "gru"

    def __init__(
        self,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex | Sequence[SupportsIndex],
        num_layers: SupportsIndex | None = None,
        *,
        reset: str = "after",
        activation: str = "tanh",
        **options: "Unpack[Options]",
    ) -> None:
        self.reset = _check.choice("reset", reset, ("after", "before", "none"))
        self.activation = _check.choice("activation", activation, ACTIVATIONS)
        own = {"reset": (self.reset, "after"), "activation": (self.activation, "tanh")}
        super().__init__(self.reset, input_size, hidden_size, num_layers, own, options)
