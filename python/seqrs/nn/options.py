"""The options that layers share, documented and checked here once."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat, SupportsIndex, TypedDict

import numpy as np
from numpy.typing import DTypeLike

from seqrs import _check

__all__ = ["BlockOptions", "Options"]


class BlockOptions(TypedDict, total=False):
    """Keyword arguments of every layer and block.

    Parameters
    ----------
    dtype : {"float32", "float64", "bfloat16"}, default "float32"
        Of the weights and of all arrays, in and out. With ``"bfloat16"`` these are float32 (the
        attribute `dtype` says so, `compute_dtype` says ``"bfloat16"``), and products alone are made of
        numbers rounded to 8 bits: faster on processors with fast products of them (``"amx"``, or
        ``"avx512bf16"`` of an AMD, in :func:`seqrs.cpu_features`), slower on others (up to 1.6 times as
        long, where it was measured), and with a loss that is seldom different in its third digit. Weights,
        sums, states and the optimizer keep float32.
    device : {"cpu", "gpu", "reference", "auto"}, default "cpu"
        ``"cpu"`` is fast on all threads; ``"gpu"`` is a graphics processor, ``"gpu:<part of its name>"`` one
        of several (see :mod:`seqrs.gpu`), in float32 alone; ``"reference"`` does the same in plain loops,
        to compare with. ``"auto"`` is a graphics processor where there is one that is none of software, it
        has all that the layer needs, and a step of 32 sequences is at least 5e5 multiplications by
        recurrent weights (one layer of 125 units), else ``"cpu"``; the logger ``"seqrs"`` says why.
    seed : int, optional
        From 0 to 2**64 - 1. Determines the initial weights and all masks. Default: drawn at
        random; the attribute `seed` holds it.
    check_finite : bool, default True
        Refuse arrays that hold NaN or infinity. Without the check they pass through.

    Examples
    --------
    >>> from seqrs import nn
    >>> exact: nn.BlockOptions = {"dtype": "float64", "seed": 0}
    >>> nn.Linear(3, 5, **exact).dtype
    'float64'
    """

    dtype: DTypeLike
    device: str
    seed: SupportsIndex | None
    check_finite: bool


class Options(BlockOptions, total=False):
    """Keyword arguments of :class:`RNN`, :class:`GRU`, :class:`LSTM`, :class:`MinGRU`, :class:`MinLSTM`.

    All can be combined, except where one says otherwise; what a cell cannot do is refused with
    the reason.

    Parameters
    ----------
    bias : bool, default True
        Whether there are biases.
    bidirectional : bool, default False
        Whether each layer also runs over the reversed sequence, with weights of its own; each
        row is reversed within the steps that count. D, the number of directions, is then 2.
    merge : {"concat", "sum", "mean", "separate"}, default "concat"
        What becomes of the two directions' outputs, after every layer: side by side, forward
        first, as in PyTorch; added; averaged. ``"separate"``: as ``"concat"``, but the last
        layer's outputs come as a pair (y_forward, y_backward), and `dy` goes in as a pair.
    residual : bool, default False
        Whether each layer from the second on adds its input to its output. The two must be of
        one width.
    layer_norm : bool, default False
        For GRU, and LSTM without peepholes: normalise W_ih x and W_hh h over the units of a
        step, with learned gains, before they are added; in an LSTM also the memory on its way
        to h (Ba et al. 2016). In a GRU the gates r, z are normalised apart from n.
    learn_initial_state : bool, default False
        Whether the state before the first step, where none is given, is a parameter, zero at
        first, instead of zero.
    dropout : float, default 0.0
        In training passes, the probability with which each number passed from a layer to the
        next is replaced by 0; the others are divided by 1 - dropout.
    variational : bool, default False
        Whether `dropout` draws one mask for all steps of a sequence (Gal and Ghahramani 2016)
        instead of a new one each step.
    recurrent_dropout : float, default 0.0
        Dropout on h⟨t-1⟩ as the recurrent products see it, one mask for a sequence (Gal and
        Ghahramani 2016; Keras's option of this name).
    candidate_dropout : float, default 0.0
        Dropout on the candidate, g or n in the equations, before it enters the state, a new mask
        each step (Semeniuta et al. 2016).
    weight_dropout : float, default 0.0
        Dropout on the numbers of weight_hh, one mask a training pass (DropConnect, as in the
        AWD-LSTM: Merity et al. 2018).
    zoneout : float or (float, float), default 0.0
        In training passes, the probability with which each unit keeps its state from the step
        before; otherwise the expectation of that (Krueger et al. 2017). A pair gives the
        probabilities for h and, in an LSTM, for c; a number is for both.
    activation_penalty, temporal_penalty : float, default 0.0
        Added to the loss of training passes: these times the mean square of the last layer's
        output, and of its change from step to step (Merity et al. 2017). Their gradients are
        part of what ``backward`` returns, their value is ``tape.penalty``.
    init : {"uniform", "orthogonal"}, default "uniform"
        Initial weights: all uniform between -1/sqrt(H) and 1/sqrt(H), as in PyTorch; or weight_ih
        Glorot uniform, weight_hh orthogonal gate by gate and biases zero, as in Keras.
    dtype, device, seed, check_finite
        As for every block: see :class:`BlockOptions`.

    Notes
    -----
    Masks are a function of seed, training pass, layer, row, step and unit alone: the same on
    every device and with any number of threads. Outside training nothing is dropped.

    Examples
    --------
    >>> from seqrs import nn
    >>> regularised: nn.Options = {"dropout": 0.4, "variational": True, "weight_dropout": 0.5}
    >>> nn.LSTM(64, 128, num_layers=2, **regularised)
    LSTM(64, 128, num_layers=2, dropout=0.4, variational=True, weight_dropout=0.5)
    """

    bias: bool
    bidirectional: bool
    merge: str
    residual: bool
    layer_norm: bool
    learn_initial_state: bool
    dropout: SupportsFloat
    variational: bool
    recurrent_dropout: SupportsFloat
    candidate_dropout: SupportsFloat
    weight_dropout: SupportsFloat
    zoneout: SupportsFloat | tuple[SupportsFloat, SupportsFloat]
    activation_penalty: SupportsFloat
    temporal_penalty: SupportsFloat
    init: str


MERGES = ("concat", "sum", "mean", "separate")
FLAGS = ("bias", "bidirectional", "residual", "layer_norm", "learn_initial_state", "variational")
PROBABILITIES = ("dropout", "recurrent_dropout", "candidate_dropout", "weight_dropout")
PENALTIES = ("activation_penalty", "temporal_penalty")
BLOCK_DEFAULTS: dict[str, Any] = {"dtype": "float32", "device": "cpu", "seed": None, "check_finite": True}
DEFAULTS: dict[str, Any] = {
    "bias": True,
    "bidirectional": False,
    "merge": "concat",
    "residual": False,
    "layer_norm": False,
    "learn_initial_state": False,
    "dropout": 0.0,
    "variational": False,
    "recurrent_dropout": 0.0,
    "candidate_dropout": 0.0,
    "weight_dropout": 0.0,
    "zoneout": 0.0,
    "activation_penalty": 0.0,
    "temporal_penalty": 0.0,
    "init": "uniform",
}


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of recurrent layers but those of every block."""
    options = {name: given.get(name, default) for name, default in DEFAULTS.items()}
    for name in FLAGS:
        options[name] = _check.flag(name, options[name])
    for name in PROBABILITIES:
        options[name] = _check.probability(name, options[name])
    for name in PENALTIES:
        options[name] = _check.number(name, options[name], minimum=0.0)
    options["merge"] = _check.choice("merge", options["merge"], MERGES)
    options["init"] = _check.choice("init", options["init"], ("uniform", "orthogonal"))
    options["zoneout"] = _zoneout(options["zoneout"])
    return options


def warn_of_no_effect(options: Mapping[str, Any], num_layers: int) -> None:
    """Point out options that do nothing where the caller will have expected something."""
    if options["dropout"] > 0 and num_layers == 1:
        warnings.warn(
            f"dropout: acts between layers, so with num_layers=1 {options['dropout']} has no effect",
            stacklevel=5,
        )


def _zoneout(value: Any) -> float | tuple[float, float]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != 2:
            raise ValueError(f"zoneout: expected a number or a pair (for h, for c), got {len(value)} numbers")
        return _check.probability("zoneout[0]", value[0]), _check.probability("zoneout[1]", value[1])
    if isinstance(value, np.ndarray):
        raise TypeError(f"zoneout: expected a number or a pair of them, got {_check.describe(value)}")
    return _check.probability("zoneout", value)
