"""Long short-term memory, without and with peepholes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, SupportsFloat, SupportsIndex

from seqrs import _check
from seqrs._check import Floats
from seqrs.nn.options import Options
from seqrs.nn.recurrent import ACTIVATIONS, Recurrent

if TYPE_CHECKING:
    from typing_extensions import Unpack

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
    hidden_size : int, or list of int
        H, the number of units of each layer; a list gives it layer by layer.
    num_layers : int, default 1
        L, the number of layers; with a list of sizes, their number.
    peephole : {"none", "full", "prev", "current"}, default "none"
        What the gates see of the memory c. ``"full"``: every gate sees all of c⟨t-1⟩, as the
        course notes write it. ``"prev"``: every gate sees its own unit of c⟨t-1⟩. ``"current"``:
        the same, but the output gate sees c⟨t⟩ (Gers and Schmidhuber 2000, ONNX).
    coupled : bool, default False
        Forget as much as is written: f = 1 - i, without weights of its own (Greff et al. 2017).
    activation : str, default "tanh"
        The function of the candidate: ``"tanh"``, ``"relu"``, ``"sigmoid"``, ``"hard_sigmoid"``
        (min(max(x + 3, 0), 6) / 6), ``"identity"`` or ``"softsign"`` (x / (1 + abs(x))).
    output_activation : str, default "tanh"
        One of them, in place of the tanh of c⟨t⟩.
    cell_clip : float, optional
        Cut c⟨t⟩ to this on either side of zero at each step; no gradient passes where it is cut.
    proj_size : int, default 0
        P: replace h⟨t⟩ by W_hr h⟨t⟩, of this size (Sak et al. 2014). 0: no projection, P is H.
    forget_bias : float, optional
        Where the biases b_if start, with b_hf at zero; 1 lets gradients through from the start
        (Jozefowicz et al. 2015). Default: as the other biases. Not with `coupled`.
    **options
        What all recurrent layers have, such as `bidirectional`, `dropout`, `dtype`, `seed`: see
        :class:`Options`.

    Notes
    -----
    Parameters of layer k, as in ``torch.nn.LSTM``, where J is the width of the layer's input, with
    the rows of the gates one below the other in the order i, f, g, o; those of the reverse
    direction end in ``_reverse``. With ``coupled=True`` the rows of f are absent: 3H instead of
    4H. The last ones have no counterpart in PyTorch:

    =================== ============================================================
    ``weight_ih_l{k}``  (4H, J)
    ``weight_hh_l{k}``  (4H, P)
    ``bias_ih_l{k}``    (4H,)
    ``bias_hh_l{k}``    (4H,)
    ``weight_hr_l{k}``  (P, H), with `proj_size`
    ``weight_ch_l{k}``  with peepholes in the order i, f, o: (3H,), or for "full" (3H, H)
    ``gain_ih_l{k}``    (4H,), with ``layer_norm=True``
    ``gain_hh_l{k}``    (4H,), with ``layer_norm=True``
    ``gain_c_l{k}``     (H,), with ``layer_norm=True``
    ``bias_c_l{k}``     (H,), with ``layer_norm=True``
    ``initial_h_l{k}``  (P,), with ``learn_initial_state=True``
    ``initial_c_l{k}``  (H,), with ``learn_initial_state=True``
    =================== ============================================================

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range, of the wrong type, or unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn
    >>> layer = nn.LSTM(input_size=3, hidden_size=5, num_layers=2)
    >>> y, (h, c) = layer(np.ones((2, 7, 3), np.float32))
    >>> y.shape, h.shape, c.shape
    ((2, 7, 5), (2, 2, 5), (2, 2, 5))

    Both directions, in layers that narrow:

    >>> layer = nn.LSTM(3, [8, 4], bidirectional=True)
    >>> y, (h, c) = layer(np.ones((2, 7, 3), np.float32))
    >>> y.shape, [array.shape for array in h]
    ((2, 7, 8), [(2, 2, 8), (2, 2, 4)])
    """

    _cell = "lstm"
    _memory = True

    def __init__(
        self,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex | Sequence[SupportsIndex],
        num_layers: SupportsIndex | None = None,
        *,
        peephole: str = "none",
        coupled: bool = False,
        activation: str = "tanh",
        output_activation: str = "tanh",
        cell_clip: SupportsFloat | None = None,
        proj_size: SupportsIndex = 0,
        forget_bias: SupportsFloat | None = None,
        **options: "Unpack[Options]",
    ) -> None:
        self.peephole = _check.choice("peephole", peephole, ("none", "full", "prev", "current"))
        self.coupled = _check.flag("coupled", coupled)
        self.activation = _check.choice("activation", activation, ACTIVATIONS)
        self.output_activation = _check.choice("output_activation", output_activation, ACTIVATIONS)
        self.cell_clip = None if cell_clip is None else _check.number("cell_clip", cell_clip, above=0.0)
        self.proj_size = _check.integer("proj_size", proj_size, minimum=0)
        self.forget_bias = None if forget_bias is None else _check.number("forget_bias", forget_bias)
        if self.forget_bias is not None and self.coupled:
            raise ValueError("forget_bias: expected None with coupled=True, where f has no bias of its own")
        if self.forget_bias is not None and not options.get("bias", True):
            raise ValueError("forget_bias: expected None with bias=False")
        if self.peephole != "none" and options.get("layer_norm", False):
            raise ValueError(
                "layer_norm: expected an LSTM without peepholes; there is no agreed form for both"
            )
        own = {
            "peephole": (self.peephole, "none"),
            "coupled": (self.coupled, False),
            "activation": (self.activation, "tanh"),
            "output_activation": (self.output_activation, "tanh"),
            "cell_clip": (self.cell_clip, None),
            "proj_size": (self.proj_size, 0),
            "forget_bias": (self.forget_bias, None),
        }
        super().__init__(
            self.peephole, input_size, hidden_size, num_layers, own, options, proj_size=self.proj_size
        )
