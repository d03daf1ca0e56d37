"""Sight into the recurrence: what a layer or a model does with its memory, step by step.

=================== =====================================================================
`gradient_by_lag`   how much of a loss's gradient is left so many steps back
`gate_statistics`   how open the gates are, how many are stuck open or shut, over time
`hidden_norms`      how long the states are, over time
`first_nan`         the first place where a NaN or an infinity appears
`activations`       what single units do along a text, coloured, as a page of HTML
`attention_map`     a picture of who attends to whom
`pooling_weights`   which steps a model with ``pooling="attention"`` looks at
=================== =====================================================================

The first four take a recurrent layer of :mod:`seqrs.nn` with its input, or a fitted model with
what it reads: a :class:`seqrs.LanguageModel` with a text, a :class:`seqrs.SequenceClassifier` with
sequences, a :class:`seqrs.Translator` with sources (what is looked at is its encoder; `gate_statistics` and
`hidden_norms` look at its decoder where `targets` say what it writes, and where that looks, ``translate``
returns). They return numbers; ``.plot()`` draws them with
matplotlib (``pip install "seqrs[plot]"``) and returns its axes, of which
``axes.figure.savefig("picture.png")`` makes a file.

Nothing here changes a layer or trains. States come from the layer's own steps, gradients from
its own backward pass, one step at a time. What no layer gives out, the gates, is computed from
the weights and the states at every step.

Examples
--------
A gradient that vanishes, in a plain layer, and one that does not:

>>> import numpy as np
>>> from seqrs import inspect, nn
>>> x = np.random.default_rng(0).normal(size=(8, 50, 4)).astype(np.float32)
>>> plain = inspect.gradient_by_lag(nn.RNN(4, 32, seed=0), x)
>>> gated = inspect.gradient_by_lag(nn.LSTM(4, 32, seed=0, forget_bias=3.0), x)
>>> bool(plain.norms["layer 0", "h"][-1] < 1e-9), bool(gated.norms["layer 0", "c"][-1] > 0.1)
(True, True)
"""

from seqrs.inspect.activations import Activations as Activations
from seqrs.inspect.activations import activations as activations
from seqrs.inspect.attention import attention_map as attention_map
from seqrs.inspect.attention import pooling_weights as pooling_weights
from seqrs.inspect.gates import GateStatistics as GateStatistics
from seqrs.inspect.gates import gate_statistics as gate_statistics
from seqrs.inspect.gradients import GradientByLag as GradientByLag
from seqrs.inspect.gradients import gradient_by_lag as gradient_by_lag
from seqrs.inspect.nan import NotFinite as NotFinite
from seqrs.inspect.nan import first_nan as first_nan
from seqrs.inspect.norms import HiddenNorms as HiddenNorms
from seqrs.inspect.norms import hidden_norms as hidden_norms

__all__ = [
    "Activations",
    "GateStatistics",
    "GradientByLag",
    "HiddenNorms",
    "NotFinite",
    "activations",
    "attention_map",
    "first_nan",
    "gate_statistics",
    "gradient_by_lag",
    "hidden_norms",
    "pooling_weights",
]
