"""The recurrent cells in plain NumPy, as the course notes write them.

This package is for reading and stepping through, and the tests hold the compiled core against
it. It needs NumPy alone and shares nothing with the rest of seqrs.

Notation: Ng, Sequence Models, week 1. ``a<t>`` is a hidden state, ``c<t>`` a memory cell, ``G``
is Γ, a gate; ``c~`` is the candidate. Examples are columns: ``x[t]``, one step of a sequence x
of shape (T, n_x, m), holds m of them, and a state is (n_a, m). Each gate k has a matrix
``Wk = [Wka | Wkx]`` of shape (n_a, n_a + n_x), the hidden block first, which acts on a<t-1>
stacked above x<t>, and a bias ``bk`` of shape (n_a, 1). Parameters come in a dict; gradients come
back under the same names.

A forward function returns the states with the initial one first, so that ``a[t]`` *is* a<t>
(and x<t> is ``x[t - 1]``), and a cache of one tuple a step. A backward function takes the
derivatives of a loss by a<1> to a<T>, each as if the later steps did not exist, and carries
them back through time.

======================================== =====================================================
`rnn_forward`, `rnn_backward`            the plain cell, tanh or ReLU
`gru_forward`, `gru_backward`            the simple GRU, the full GRU, and PyTorch's
`lstm_forward`, `lstm_backward`          the LSTM, without and with peepholes
`mingru_forward`, `mingru_backward`      the minimal GRU
`minlstm_forward`, `minlstm_backward`    the minimal LSTM
`random_parameters`                      a dict to begin with
`to_notes`, `from_notes`                 between a layer's weights and such dicts
`output_to_notes`, `output_from_notes`   the same for a linear output, Wya and by
======================================== =====================================================

Examples
--------
Four steps of a GRU, then the gradients of the sum of its outputs:

>>> import numpy as np
>>> from seqrs import educational as ed
>>> p = ed.random_parameters("gru", n_x=2, n_a=3, seed=0)
>>> c, cache = ed.gru_forward(np.ones((4, 2, 1)), np.zeros((3, 1)), p)
>>> c.shape
(5, 3, 1)
>>> dx, dc0, gradients = ed.gru_backward(np.ones((4, 3, 1)), cache, p)
>>> dx.shape, dc0.shape, gradients["Wu"].shape
((4, 2, 1), (3, 1), (3, 5))

The fast layer with the same weights computes the same:

>>> from seqrs import nn
>>> layer = nn.GRU(2, 3, reset="before", dtype="float64")
>>> layer.load_state_dict(ed.from_notes(p, "gru", "before"))
>>> y, h = layer(np.ones((1, 4, 2)))
>>> np.allclose(y[0], c[1:, :, 0])
True
"""

from seqrs.educational.gru import gru_backward as gru_backward
from seqrs.educational.gru import gru_forward as gru_forward
from seqrs.educational.layout import random_parameters as random_parameters
from seqrs.educational.lstm import lstm_backward as lstm_backward
from seqrs.educational.lstm import lstm_forward as lstm_forward
from seqrs.educational.minimal import mingru_backward as mingru_backward
from seqrs.educational.minimal import mingru_forward as mingru_forward
from seqrs.educational.minimal import minlstm_backward as minlstm_backward
from seqrs.educational.minimal import minlstm_forward as minlstm_forward
from seqrs.educational.output import output_from_notes as output_from_notes
from seqrs.educational.output import output_to_notes as output_to_notes
from seqrs.educational.rnn import rnn_backward as rnn_backward
from seqrs.educational.rnn import rnn_forward as rnn_forward
from seqrs.educational.weights import from_notes as from_notes
from seqrs.educational.weights import to_notes as to_notes

__all__ = [
    "from_notes",
    "gru_backward",
    "gru_forward",
    "lstm_backward",
    "lstm_forward",
    "mingru_backward",
    "mingru_forward",
    "minlstm_backward",
    "minlstm_forward",
    "output_from_notes",
    "output_to_notes",
    "random_parameters",
    "rnn_backward",
    "rnn_forward",
    "to_notes",
]
