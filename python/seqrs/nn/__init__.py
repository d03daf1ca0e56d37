"""Recurrent layers and what goes with them: arrays in, arrays out, and gradients when asked for.

================== =====================================================================
`RNN`              the plain recurrent layer
`GRU`              gated recurrent unit: reset gate after or before the product, or none
`LSTM`             long short-term memory, with peepholes, projection and more
`MinGRU`           a GRU whose gates see the input alone
`MinLSTM`          the same of an LSTM
`AttentionDecoder` one of them that looks at an encoder's output at every step
`Memory`           such an output, prepared once for many steps
`Embedding`        vectors for tokens
`Linear`           a linear map of every step
`Activation`       a non-linearity between any two blocks
`Dropout`          between any two blocks
`LayerNorm`        normalise every step
`Pool`             one vector for a whole sequence
`Sequential`       blocks one after the other, as one model
`Custom`           layers of a `Cell` of your own, written in NumPy
`Gradients`        what ``backward`` returns
`states`           recurrent states as values: copy, reset, take, join, save
================== =====================================================================

All have the methods of `Layer`: call it, or ``forward`` and ``backward``, or ``step`` by
``step``; ``state_dict`` and ``load_state_dict``; ``print`` shows a table. `Options` documents what
all recurrent layers can do: both directions, dropout of every kind, zoneout, layer normalisation.
Read them one by one: ``help(nn.GRU)``, ``help(nn.Options)``.

Arrays are batch first: an input is (B, T, I), batch by steps by features, or (B, T) integer
tokens; an output is (B, T, O). Rows of different lengths are filled up to one T, with anything
finite, and `lengths` or `mask` say which steps count. Calling a layer never drops anything;
``forward`` does, as PyTorch's layers do in training mode. Weights have PyTorch's names, shapes and
gate order.

Examples
--------
A training loop of one's own: learn to output the running mean of the input.

>>> import numpy as np
>>> from seqrs import nn
>>> layer = nn.GRU(1, 1, dtype="float64", seed=0)
>>> x = np.random.default_rng(0).uniform(-0.5, 0.5, (32, 10, 1))
>>> target = x.cumsum(1) / np.arange(1, 11)[:, None]
>>> losses = []
>>> for _ in range(200):
...     y, state, tape = layer.forward(x)
...     losses.append(np.mean((y - target) ** 2))
...     gradients = layer.backward(tape, 2 * (y - target) / y.size)
...     weights = layer.state_dict()
...     layer.load_state_dict({name: weights[name] - gradients.params[name] for name in weights})
>>> bool(losses[-1] < losses[0] / 10)
True
"""

from seqrs.nn import states as states
from seqrs.nn.activation import Activation as Activation
from seqrs.nn.attention import AttentionDecoder as AttentionDecoder
from seqrs.nn.cell import Cell as Cell
from seqrs.nn.custom import Custom as Custom
from seqrs.nn.dropout import Dropout as Dropout
from seqrs.nn.embedding import Embedding as Embedding
from seqrs.nn.gradients import Gradients as Gradients
from seqrs.nn.gru import GRU as GRU
from seqrs.nn.layer import Layer as Layer
from seqrs.nn.layer_norm import LayerNorm as LayerNorm
from seqrs.nn.linear import Linear as Linear
from seqrs.nn.lstm import LSTM as LSTM
from seqrs.nn.memory import Memory as Memory
from seqrs.nn.minimal import MinGRU as MinGRU
from seqrs.nn.minimal import MinLSTM as MinLSTM
from seqrs.nn.options import BlockOptions as BlockOptions
from seqrs.nn.options import Options as Options
from seqrs.nn.pool import Pool as Pool
from seqrs.nn.rnn import RNN as RNN
from seqrs.nn.sequential import Sequential as Sequential

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Activation",
    "AttentionDecoder",
    "BlockOptions",
    "Cell",
    "Custom",
    "Dropout",
    "Embedding",
    "Gradients",
    "Layer",
    "LayerNorm",
    "Linear",
    "Memory",
    "MinGRU",
    "MinLSTM",
    "Options",
    "Pool",
    "Sequential",
    "states",
]
