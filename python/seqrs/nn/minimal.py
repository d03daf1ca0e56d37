"""Cells whose gates see the input alone: minGRU and minLSTM."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, SupportsIndex

from seqrs import _check
from seqrs._check import Floats
from seqrs.nn.options import Options
from seqrs.nn.recurrent import ACTIVATIONS, Recurrent

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["MinGRU", "MinLSTM"]


class _Minimal(Recurrent[Floats]):
    _lacks: ClassVar[dict[str, str]] = dict.fromkeys(
        ("layer_norm", "recurrent_dropout", "weight_dropout"), "it has no product with the state before"
    )

    def __init__(
        self,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex | Sequence[SupportsIndex],
        num_layers: SupportsIndex | None = None,
        *,
        activation: str = "identity",
        **options: "Unpack[Options]",
    ) -> None:
        self.activation = _check.choice("activation", activation, ACTIVATIONS)
        own = {"activation": (self.activation, "identity")}
        super().__init__("", input_size, hidden_size, num_layers, own, options)


class MinGRU(_Minimal):
    r"""A stack of minimal gated recurrent units (Feng et al. 2024, "Were RNNs all we needed?").

    The gates see x alone, so that a step is a weighted mean of the state and a number that does
    not depend on it. At each step t, with σ the logistic function, g the `activation` and * the
    product element by element, ::

        z = σ(W_z x⟨t⟩ + b_z)                    share of the new
        n = g(W_n x⟨t⟩ + b_n)                    candidate
        h⟨t⟩ = (1 - z) * h⟨t-1⟩ + z * n

    Mind that z is 1 - z of :class:`GRU`. A layer alone looks back without seeing what it looks
    for: two or more are needed where order matters.

    Parameters
    ----------
    input_size : int
        I, the number of features of a step, or the number of different tokens.
    hidden_size : int, or list of int
        H, the number of units of each layer; a list gives it layer by layer.
    num_layers : int, default 1
        L, the number of layers; with a list of sizes, their number.
    activation : str, default "identity"
        The function g: ``"identity"``, ``"tanh"``, ``"relu"``, ``"sigmoid"``, ``"hard_sigmoid"``
        (min(max(x + 3, 0), 6) / 6) or ``"softsign"`` (x / (1 + abs(x))).
    **options
        What all recurrent layers have, such as `bidirectional`, `dropout`, `dtype`, `seed`: see
        :class:`Options`. Not here, as there is no weight_hh: `layer_norm`, `recurrent_dropout`,
        `weight_dropout`.

    Notes
    -----
    Parameters of layer k, where J is the width of the layer's input, with the rows of z above
    those of n; those of the reverse direction end in ``_reverse``:

    =================== ===========================================
    ``weight_ih_l{k}``  (2H, J)
    ``bias_ih_l{k}``    (2H,)
    ``initial_h_l{k}``  (H,), with ``learn_initial_state=True``
    =================== ===========================================

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range, of the wrong type, or unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn
    >>> layer = nn.MinGRU(input_size=3, hidden_size=5, num_layers=2)
    >>> y, h = layer(np.ones((2, 7, 3), np.float32))
    >>> y.shape, h.shape
    ((2, 7, 5), (2, 2, 5))
    """

    _cell = "mingru"


class MinLSTM(_Minimal):
    r"""A stack of minimal long short-term memory layers (Feng et al. 2024).

    As :class:`MinGRU`, with two gates that are scaled to add up to 1, ::

        i, f = σ(W_i x⟨t⟩ + b_i),  σ(W_f x⟨t⟩ + b_f)
        n = g(W_n x⟨t⟩ + b_n)
        h⟨t⟩ = f / (f + i) * h⟨t-1⟩ + i / (f + i) * n

    There is no memory beside h: the state is one array.

    Parameters
    ----------
    input_size : int
        I, the number of features of a step, or the number of different tokens.
    hidden_size : int, or list of int
        H, the number of units of each layer; a list gives it layer by layer.
    num_layers : int, default 1
        L, the number of layers; with a list of sizes, their number.
    activation : str, default "identity"
        The function g, as in :class:`MinGRU`.
    **options
        What all recurrent layers have: see :class:`Options`. Not here, as there is no weight_hh:
        `layer_norm`, `recurrent_dropout`, `weight_dropout`.

    Notes
    -----
    Parameters of layer k, where J is the width of the layer's input, with the rows in the order
    f, i, n; those of the reverse direction end in ``_reverse``:

    =================== ===========================================
    ``weight_ih_l{k}``  (3H, J)
    ``bias_ih_l{k}``    (3H,)
    ``initial_h_l{k}``  (H,), with ``learn_initial_state=True``
    =================== ===========================================

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range, of the wrong type, or unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn
    >>> layer = nn.MinLSTM(input_size=3, hidden_size=5)
    >>> y, h = layer(np.ones((2, 7, 3), np.float32))
    >>> y.shape, h.shape
    ((2, 7, 5), (1, 2, 5))
    """

    _cell = "minlstm"
