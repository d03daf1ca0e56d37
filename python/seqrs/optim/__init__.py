"""Optimizers for your own training loops over :mod:`seqrs.nn`.

========= ==================================================================================
`SGD`     gradient descent, with momentum if you like
`RMSprop` each weight's gradient divided by its own recent size
`Adam`    that, and a mean over recent gradients; a good first choice
`AdamW`   Adam with weight decay kept out of the averages
========= ==================================================================================

All take the same options for clipping, weight decay and the schedule of the learning rate;
:class:`Optimizer` documents them. :meth:`~Optimizer.step` takes what ``layer.backward``
returned and moves the weights.

Examples
--------
A training loop of one's own. The sequences count on by a step that the model has to see for
itself, over a clock of eleven hours:

>>> import numpy as np
>>> from seqrs import losses, nn, optim
>>> model = nn.Sequential(
...     nn.Embedding(11, 16, seed=0),
...     nn.LSTM(16, 32, seed=1),
...     nn.Linear(32, 11, seed=2),
... )
>>> adam = optim.Adam(model, lr=0.02, clip_norm=1.0, schedule="cosine", total_steps=300, warmup=10)
>>> rng = np.random.default_rng(0)
>>> for _ in range(adam.total_steps):
...     start, step = rng.integers(0, 11, (2, 64, 1))
...     counts = (start + step * np.arange(9)) % 11                      # (64, 9)
...     logits, state, tape = model.forward(counts[:, :-1])             # (64, 8, 11)
...     loss, dlogits = losses.softmax_cross_entropy(logits, counts[:, 1:])
...     norm = adam.step(model.backward(tape, dlogits))

Nobody can know the second number, which alone costs ln 11 / 8 = 0.3 nats a step:

>>> bool(0.29 < loss < 0.36)
True
>>> logits, state = model([2, 5, 8])
>>> int(logits[-1].argmax())                                            # 2, 5, 8, 11 = 0
0

Saved beside the model's own weights, ``adam.state_dict()`` continues bit for bit.
"""

from seqrs.optim.optimizer import Optimizer
from seqrs.optim.rules import SGD, Adam, AdamW, RMSprop

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop"]
