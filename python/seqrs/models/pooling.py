"""From the steps of a sequence to the numbers that are predicted of it."""

from typing import Any

from seqrs import _check, nn
from seqrs.models.sequence_options import Seeds, SequenceOptions

POOLINGS = ("last", "mean", "max", "attention")


def check_pooling(pooling: str) -> str:
    """Refuse a pooling that does not exist."""
    return _check.choice("pooling", pooling, POOLINGS)


def pooled(model: SequenceOptions, pooling: str | None, size: int, seeds: Seeds) -> list[nn.Layer[Any]]:
    """Return blocks from what the model reads to `size` numbers for each sequence.

    Parameters
    ----------
    model : SequenceOptions
        Its options, and what it reads.
    pooling : {"last", "mean", "max", "attention"} or None
        What becomes of the recurrent layer's steps: see :class:`seqrs.nn.Pool`. None: `size`
        numbers for each step.
    size : int
        How many numbers.
    seeds : callable
        Gives a seed for a block.

    Returns
    -------
    list of Layer
    """
    blocks, width = model._encoder(seeds)
    if pooling is not None:
        blocks.append(nn.Pool(pooling, **model._block_options(seeds())))
    return [*blocks, *model._dropout(), nn.Linear(width, size, **model._block_options(seeds()))]
