"""From the steps of a sequence to the numbers that are predicted of it."""

from typing import Any

from seqrs import _check, nn
from seqrs.models.sequence_options import Seeds, SequenceOptions

POOLINGS = ("last", "mean", "max", "max+mean", "attention", "center")


def check_pooling(pooling: str) -> str:
    """Refuse a pooling that does not exist."""
    return _check.choice("pooling", pooling, POOLINGS)


def pooled(
    model: SequenceOptions, pooling: str | None, size: int, seeds: Seeds, reads: int | None = None
) -> list[nn.Layer[Any]]:
    """Return blocks from what the model reads to `size` numbers for each sequence.

    Parameters
    ----------
    model : SequenceOptions
        Its options, and what it reads.
    pooling : {"last", "mean", "max", "max+mean", "attention", "center"} or None
        What becomes of the recurrent layer's steps. ``"last"``: what the layer has when it has
        read all, in each direction. ``"center"``: the two steps in the middle, for sequences whose
        meaning lies there, such as splice sites. The others: see :class:`seqrs.nn.Pool`. None:
        `size` numbers for each step.
    size : int
        How many numbers.
    seeds : callable
        Gives a seed for a block.
    reads : int, optional
        Different tokens, or features of a step. Default: what the reader says.

    Returns
    -------
    list of Layer
    """
    blocks, width = model._encoder(seeds, reads)
    if pooling is not None:
        apart = (model.layer_options or {}).get("merge", "concat") == "concat"
        kind = "ends" if pooling == "last" and model.bidirectional and apart else pooling
        blocks.append(nn.Pool(kind, **model._block_options(seeds())))
        width *= 2 if pooling in ("max+mean", "center") else 1
    return [*blocks, *model._dropout(), nn.Linear(width, size, **model._block_options(seeds()))]
