"""Recurrent layers: arrays in, arrays out, and gradients when you ask for them.

=========== ======================================================================
`RNN`       the plain recurrent layer, tanh or ReLU
`GRU`       gated recurrent unit: reset gate after or before the product, or none
`LSTM`      long short-term memory, without and with peepholes
`Gradients` what ``backward`` returns
=========== ======================================================================

All three layers share their methods. Arrays are batch first: an input is (B, T, I), batch by
steps by features, or (B, T) integer tokens; an output is (B, T, H). Weights have PyTorch's
names, shapes and gate order.

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

from seqrs.nn._recurrent import Gradients as Gradients
from seqrs.nn.gru import GRU as GRU
from seqrs.nn.lstm import LSTM as LSTM
from seqrs.nn.rnn import RNN as RNN

__all__ = ["GRU", "LSTM", "RNN", "Gradients"]
