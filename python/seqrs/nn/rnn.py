"""The plain recurrent layer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, SupportsIndex

from seqrs import _check
from seqrs._check import Floats
from seqrs.nn.options import Options
from seqrs.nn.recurrent import ACTIVATIONS, Recurrent

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["RNN"]


class RNN(Recurrent[Floats]):
    r"""A stack of plain recurrent layers (Elman 1990).

    At each step t, with x⟨t⟩ the input of the layer and h⟨0⟩ the initial state, ::

        h⟨t⟩ = g(W_ih x⟨t⟩ + b_ih + W_hh h⟨t-1⟩ + b_hh)

    where g is the `nonlinearity`. The output of a layer is h⟨t⟩; it is the input of the next
    layer. In the course notes' words a⟨t⟩ is h⟨t⟩, Wa is [W_hh | W_ih] and ba is b_ih + b_hh (Ng,
    Sequence Models, week 1).

    Parameters
    ----------
    input_size : int
        I, the number of features of a step, or the number of different tokens.
    hidden_size : int, or list of int
        H, the number of units of each layer; a list gives it layer by layer.
    num_layers : int, default 1
        L, the number of layers; with a list of sizes, their number.
    nonlinearity : str, default "tanh"
        The function g: ``"tanh"``, ``"relu"``, ``"sigmoid"``, ``"hard_sigmoid"`` (min(max(x + 3,
        0), 6) / 6), ``"identity"`` or ``"softsign"`` (x / (1 + abs(x))).
    **options
        What all recurrent layers have, such as `bidirectional`, `dropout`, `dtype`, `seed`: see
        :class:`Options`. Not here: `layer_norm`, `candidate_dropout`.

    Notes
    -----
    Parameters of layer k, as in ``torch.nn.RNN``, where J is the width of the layer's input; those
    of the reverse direction end in ``_reverse``:

    =================== ======
    ``weight_ih_l{k}``  (H, J)
    ``weight_hh_l{k}``  (H, H)
    ``bias_ih_l{k}``    (H,)
    ``bias_hh_l{k}``    (H,)
    ``initial_h_l{k}``  (H,), with ``learn_initial_state=True``
    =================== ======

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range, of the wrong type, or unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn
    >>> layer = nn.RNN(input_size=3, hidden_size=5)
    >>> y, h = layer(np.ones((2, 7, 3), np.float32))
    >>> y.shape, h.shape
    ((2, 7, 5), (1, 2, 5))
    """

    _cell = "rnn"
    _lacks: ClassVar[dict[str, str]] = {
        "layer_norm": "there is no agreed form of it for the plain cell; GRU and LSTM have it",
        "candidate_dropout": "its new state is all candidate; dropout of the output is a block of its own",
    }

    def __init__(
        self,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex | Sequence[SupportsIndex],
        num_layers: SupportsIndex | None = None,
        *,
        nonlinearity: str = "tanh",
        **options: "Unpack[Options]",
    ) -> None:
        self.nonlinearity = _check.choice("nonlinearity", nonlinearity, ACTIVATIONS)
        own = {"nonlinearity": (self.nonlinearity, "tanh")}
        super().__init__(self.nonlinearity, input_size, hidden_size, num_layers, own, options)
