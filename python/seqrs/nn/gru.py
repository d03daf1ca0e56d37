"""The gated recurrent unit in its three forms."""

from typing import SupportsFloat, SupportsIndex

from numpy.typing import DTypeLike

from seqrs import _check
from seqrs._check import Floats
from seqrs.nn._recurrent import Recurrent

__all__ = ["GRU"]


class GRU(Recurrent[Floats]):
    r"""A stack of gated recurrent units (Cho et al. 2014).

    At each step t, with x⟨t⟩ the input of the layer, h⟨0⟩ the initial state, σ the logistic
    function and * the product element by element, ::

        r = σ(W_ir x⟨t⟩ + b_ir + W_hr h⟨t-1⟩ + b_hr)              reset gate
        z = σ(W_iz x⟨t⟩ + b_iz + W_hz h⟨t-1⟩ + b_hz)              share of the old state kept
        n = tanh(W_in x⟨t⟩ + b_in + r * (W_hn h⟨t-1⟩ + b_hn))     reset="after"
        n = tanh(W_in x⟨t⟩ + b_in + W_hn (r * h⟨t-1⟩) + b_hn)     reset="before"
        n = tanh(W_in x⟨t⟩ + b_in + W_hn h⟨t-1⟩ + b_hn)           reset="none"
        h⟨t⟩ = (1 - z) * n + z * h⟨t-1⟩

    The output of a layer is h⟨t⟩; it is the input of the next layer.

    Parameters
    ----------
    input_size : int
        I, the number of features of a step, or the number of different tokens.
    hidden_size : int
        H, the number of units of each layer.
    num_layers : int, default 1
        L, the number of layers.
    reset : {"after", "before", "none"}, default "after"
        Where the reset gate acts. ``"after"`` the product with W_hn: PyTorch, cuDNN, Keras by
        default. ``"before"`` it: the original paper and the course notes' full GRU. ``"none"``:
        no reset gate, the course notes' simple GRU.
    bias : bool, default True
        Whether there are b_i and b_h.
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
    Parameters of layer k, as in ``torch.nn.GRU``, where J is I for k = 0 and H above, with the
    rows of the gates one below the other in the order r, z, n. Without a reset gate the rows of
    r are absent: 2H instead of 3H.

    ================== =======
    ``weight_ih_l{k}`` (3H, J)
    ``weight_hh_l{k}`` (3H, H)
    ``bias_ih_l{k}``   (3H,)
    ``bias_hh_l{k}``   (3H,)
    ================== =======

    The course notes (Ng, Sequence Models, week 1) call 1 - z the update gate Γu, so their Wu
    and bu are the rows of z *negated*; :mod:`seqrs.educational` converts.

    ``torch.nn.GRU`` is ``reset="after"``. Its weights also have the shapes of
    ``reset="before"``, but mean something else there: a layer that loads them will compute
    without complaint what the PyTorch module did not. Neither form can represent the other.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of the wrong type.

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
    _form_option = "reset"

    def __init__(
        self,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex,
        num_layers: SupportsIndex = 1,
        *,
        reset: str = "after",
        bias: bool = True,
        dropout: SupportsFloat = 0.0,
        dtype: DTypeLike = "float32",
        device: str = "cpu",
        seed: SupportsIndex | None = None,
        check_finite: bool = True,
    ) -> None:
        self.reset = _check.choice("reset", reset, ("after", "before", "none"))
        super().__init__(
            self.reset,
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
