"""What a network gives the tokens of a text."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from seqrs._native import Network
from seqrs.batches import LineBatches, Tokens

# Long texts are read in windows, so that memory does not grow with them.
_WINDOW = 500
_ROWS = 64


def score(network: Network, numbers: Tokens, pause: Callable[[], None] = lambda: None) -> NDArray[np.float64]:
    """Return the log-probability of each token of one document, in nats; 0 for -1, which has none.

    `pause` is called between windows, where the work may be broken off.
    """
    inputs = np.concatenate([np.array([-1], np.int32), numbers[:-1]])
    values = np.zeros(len(numbers), np.float64)
    state = None
    for first in range(0, len(numbers), _WINDOW):
        pause()
        window = slice(first, first + _WINDOW)
        scores, state = network.evaluate(inputs[None, window], numbers[None, window], None, state)
        values[window] = scores[0]
    return values


def mean_loss(
    network: Network, documents: Sequence[Tokens], pause: Callable[[], None] = lambda: None
) -> float:
    """Return the mean loss a token over documents, each from zero state and zero input.

    One document alone is read in one pass, with the state carried through it; many are read side
    by side.
    """
    if len(documents) == 1:
        (numbers,) = documents
        return -float(score(network, numbers, pause).sum()) / int((numbers >= 0).sum())
    batches = LineBatches(documents, seq_len=_WINDOW, batch_size=_ROWS, seed=0, shuffle=False)
    total, count, state = 0.0, 0, None
    for step in range(batches.steps(0)):
        pause()
        batch = batches.batch(0, step)
        scores, state = network.evaluate(
            batch.inputs, batch.targets, batch.lengths, None if batch.fresh else state
        )
        total += float(scores.sum(dtype=np.float64))
        count += batch.scored
    return -total / count
