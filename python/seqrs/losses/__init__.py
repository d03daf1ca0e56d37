"""Losses for your own training loops over :mod:`seqrs.nn`: the value and its gradient in one call.

======================= ======================================================== =====================
`softmax_cross_entropy` the next token, a tag for every step, a class            logits, integers
`binary_cross_entropy`  yes or no, for every step or label                       logits, 0 to 1
`mean_squared_error`    numbers                                                  predictions, numbers
`mean_absolute_error`   numbers, where a few targets are far off                 predictions, numbers
`huber`                 numbers: squared near the target, absolute far from it   predictions, numbers
`ctc`                   labels whose times are not known, as in speech           logits, labels
`crf`                   tags of which each depends on the one before             emissions, tags
======================= ======================================================== =====================

All return ``(loss, gradient)``: a float, and an array like the predictions, which is what
``layer.backward`` takes as `dy`; `crf` has parameters of its own, and returns their gradients too.
All take the same options, but that `ctc` and `crf` have no mask:

lengths
    How many steps of each row count, as the layers take it.
mask
    Whether it counts, for each row (B,), each row and step (B, T), or each single number.
reduction
    ``"mean"`` divides by the number of tokens, or numbers, that count, so that the learning
    rate does not depend on the sizes of the batch; ``"sum"`` is the sum over batch and time
    that the course notes write. Where nothing counts both are 0.
device
    ``"cpu"``, or ``"reference"`` for plain loops in double precision.

What does not count has no influence: it may be NaN, which makes a mask of the targets that are
there, ``mask=~numpy.isnan(targets)``, all that missing values need. Sums follow a fixed order, so
that any number of threads gives the same bits.

Examples
--------
Two rows of steps with three classes each; the second row has one step:

>>> import numpy as np
>>> from seqrs import losses
>>> logits = np.zeros((2, 2, 3), np.float32)
>>> loss, dlogits = losses.softmax_cross_entropy(logits, [[0, 2], [1, 1]], lengths=[2, 1])
>>> round(loss, 4)                                        # ln 3
1.0986
>>> dlogits.round(3)[1]
array([[ 0.111, -0.222,  0.111],
       [ 0.   ,  0.   ,  0.   ]], dtype=float32)
"""

from seqrs.losses.crf import CRFGradients as CRFGradients
from seqrs.losses.crf import crf as crf
from seqrs.losses.ctc import ctc as ctc
from seqrs.losses.pointwise import binary_cross_entropy as binary_cross_entropy
from seqrs.losses.pointwise import huber as huber
from seqrs.losses.pointwise import mean_absolute_error as mean_absolute_error
from seqrs.losses.pointwise import mean_squared_error as mean_squared_error
from seqrs.losses.pointwise import softmax_cross_entropy as softmax_cross_entropy

__all__ = [
    "CRFGradients",
    "binary_cross_entropy",
    "crf",
    "ctc",
    "huber",
    "mean_absolute_error",
    "mean_squared_error",
    "softmax_cross_entropy",
]
