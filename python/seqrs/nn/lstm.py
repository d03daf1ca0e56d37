"""Long short-term memory, without and with peepholes."""

from typing import SupportsFloat, SupportsIndex

from numpy.typing import DTypeLike

from seqrs import _check
from seqrs._check import Floats
from seqrs.nn._recurrent import Recurrent

__all__ = ["LSTM"]


class LSTM(Recurrent[tuple[Floats, Floats]]):
    r"""A stack of long short-term memory layers (Hochreiter and Schmidhuber 1997, Gers et al. 2000).

    At each step t, with x⟨t⟩ the input of the layer, h⟨0⟩ and c⟨0⟩ the initial state, σ the
    logistic function and * the product element by element, ::

        i = σ(W_ii x⟨t⟩ + b_ii + W_hi h⟨t-1⟩ + b_hi + p_i)       input gate, Γu in the notes
        f = σ(W_if x⟨t⟩ + b_if + W_hf h⟨t-1⟩ + b_hf + p_f)       forget gate, Γf
        g = tanh(W_ig x⟨t⟩ + b_ig + W_hg h⟨t-1⟩ + b_hg)          candidate, c̃⟨t⟩
        o = σ(W_io x⟨t⟩ + b_io + W_ho h⟨t-1⟩ + b_ho + p_o)       output gate, Γo
        c⟨t⟩ = f * c⟨t-1⟩ + i * g
        h⟨t⟩ = o * tanh(c⟨t⟩)

    with the peepholes ::

        p = 0                                                    peephole="none"
        p = W_c c⟨t-1⟩                                           peephole="full"
        p = w_c * c⟨t-1⟩                                         peephole="prev"
        p_i, p_f = w_c * c⟨t-1⟩,  p_o = w_co * c⟨t⟩              peephole="current"

    The output of a layer is h⟨t⟩; it is the input of the next layer. The state of an LSTM is
    the pair (h, c), wherever a state goes in or comes out.

    Parameters
    ----------
    input_size : int
        I, the number of features of a step, or the number of different tokens.
    hidden_size : int
        H, the number of units of each layer.
    num_layers : int, default 1
        L, the number of layers.
    peephole : {"none", "full", "prev", "current"}, default "none"
        What the gates see of the memory c. ``"full"``: every gate sees all of c⟨t-1⟩, as the
        course notes write it. ``"prev"``: every gate sees its own unit of c⟨t-1⟩. ``"current"``:
        the same, but the output gate sees c⟨t⟩ (Gers and Schmidhuber 2000, ONNX).
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
    Parameters of layer k, as in ``torch.nn.LSTM``, where J is I for k = 0 and H above, with the
    rows of the gates one below the other in the order i, f, g, o. The last one is there only
    with peepholes, in the order i, f, o, and has no counterpart in PyTorch:

    ================== ============================================
    ``weight_ih_l{k}`` (4H, J)
    ``weight_hh_l{k}`` (4H, H)
    ``bias_ih_l{k}``   (4H,)
    ``bias_hh_l{k}``   (4H,)
    ``weight_ch_l{k}`` (3H,), or (3H, H) with ``peephole="full"``
    ================== ============================================

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of the wrong type.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn
    >>> layer = nn.LSTM(input_size=3, hidden_size=5, num_layers=2)
    >>> y, (h, c) = layer(np.ones((2, 7, 3), np.float32))
    >>> y.shape, h.shape, c.shape
    ((2, 7, 5), (2, 2, 5), (2, 2, 5))
    """

    _cell = "lstm"
    _form_option = "peephole"
    _state_names = ("h", "c")

    def __init__(
        self,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex,
        num_layers: SupportsIndex = 1,
        *,
        peephole: str = "none",
        bias: bool = True,
        dropout: SupportsFloat = 0.0,
        dtype: DTypeLike = "float32",
        device: str = "cpu",
        seed: SupportsIndex | None = None,
        check_finite: bool = True,
    ) -> None:
        self.peephole = _check.choice("peephole", peephole, ("none", "full", "prev", "current"))
        super().__init__(
            self.peephole,
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
