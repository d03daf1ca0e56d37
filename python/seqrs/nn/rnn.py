"""The plain recurrent layer."""

from typing import SupportsFloat, SupportsIndex

from numpy.typing import DTypeLike

from seqrs import _check
from seqrs._check import Floats
from seqrs.nn._recurrent import Recurrent

__all__ = ["RNN"]


class RNN(Recurrent[Floats]):
    r"""A stack of plain recurrent layers (Elman 1990).

    At each step t, with x⟨t⟩ the input of the layer and h⟨0⟩ the initial state, ::

        h⟨t⟩ = g(W_ih x⟨t⟩ + b_ih + W_hh h⟨t-1⟩ + b_hh)

    where g is tanh or ReLU. The output of a layer is h⟨t⟩; it is the input of the next layer.
    In the course notes' words a⟨t⟩ is h⟨t⟩, Wa is [W_hh | W_ih] and ba is b_ih + b_hh (Ng,
    Sequence Models, week 1).

    Parameters
    ----------
    input_size : int
        I, the number of features of a step, or the number of different tokens.
    hidden_size : int
        H, the number of units of each layer.
    num_layers : int, default 1
        L, the number of layers.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        The function g.
    bias : bool, default True
        Whether there are b_ih and b_hh.
    dropout : float, default 0.0
        In training passes, the probability with which each number passed from a layer to the
        next is replaced by 0; the others are divided by 1 - dropout.
    dtype : {"float32", "float64"}, default "float32"
        Of the weights and of all arrays, in and out.
    device : {"cpu", "reference"}, default "cpu"
        ``"cpu"`` is fast; ``"reference"`` does the same in plain loops, to compare with.
    seed : int, optional
        From 0 to 2**64 - 1. Determines the initial weights, drawn uniformly between -1/sqrt(H)
        and 1/sqrt(H), and the dropout masks. Default: drawn at random; the attribute `seed`
        holds it.
    check_finite : bool, default True
        Refuse arrays that hold NaN or infinity. Without the check they pass through.

    Attributes
    ----------
    passes : int
        Number of training passes so far; with `seed` it picks the next dropout masks.

    Notes
    -----
    Parameters of layer k, as in ``torch.nn.RNN``, where J is I for k = 0 and H above:

    ================== ======
    ``weight_ih_l{k}`` (H, J)
    ``weight_hh_l{k}`` (H, H)
    ``bias_ih_l{k}``   (H,)
    ``bias_hh_l{k}``   (H,)
    ================== ======

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of the wrong type.

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
    _form_option = "nonlinearity"

    def __init__(
        self,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex,
        num_layers: SupportsIndex = 1,
        *,
        nonlinearity: str = "tanh",
        bias: bool = True,
        dropout: SupportsFloat = 0.0,
        dtype: DTypeLike = "float32",
        device: str = "cpu",
        seed: SupportsIndex | None = None,
        check_finite: bool = True,
    ) -> None:
        self.nonlinearity = _check.choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        super().__init__(
            self.nonlinearity,
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            dropout=dropout,
            dtype=dtype,
            device=device,
            seed=seed,
            check_finite=check_finite,
        )
