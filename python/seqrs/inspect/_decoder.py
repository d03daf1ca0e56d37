"""The decoder of a translator while it writes given targets, as layers that read what it looked at."""

from typing import Any

import numpy as np

from seqrs import nn
from seqrs.inspect._reading import Reading, read
from seqrs.inspect._stack import Array, copy_of, lengths_to_counts
from seqrs.models import Translator
from seqrs.models.inputs import padded
from seqrs.models.next_token import told
from seqrs.nn.recurrent import Recurrent


def reading_of(layer: Any, x: Any, state: Any, lengths: Any, targets: Any) -> Reading:
    """Check what came, and return the recurrence: of a decoder, where there are targets for it."""
    if targets is None:
        return read(layer, x, state, lengths)
    if state is not None or lengths is not None:
        raise ValueError("state, lengths: expected None for a model, which knows where its sequences end")
    if not isinstance(layer, Translator):
        raise TypeError(f"targets: expected None, because {type(layer).__name__} is no Translator")
    return _of_decoder(layer, x, targets)


def _of_decoder(model: Translator, sources: Any, targets: Any) -> Reading:
    """Return the recurrence of a decoder that is given the token before at every step.

    A layer that looks before a step is one whose input is [x; c] and whose weights are [W_ih W_c]: it is given
    the contexts that the decoder had.
    """
    model._check_fitted()
    inputs = model._read(sources, name="x")
    memory = model.network.read(*padded(inputs))
    numbers, steps = padded(model._targets_of("targets", targets, inputs), fill=-1)
    counts = lengths_to_counts(steps, *numbers.shape)
    blocks, weights = model.network.decoder.blocks, model.network.decoder.state_dict()

    def own(number: int) -> dict[str, Array]:
        prefix = f"{number}."
        return {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}

    places = {type(block): i for i, block in enumerate(blocks)}
    table, attending = blocks[places[nn.Embedding]], blocks[places[nn.AttentionDecoder]]
    assert isinstance(attending, nn.AttentionDecoder)
    options: Any = {"dtype": table.compute_dtype, "device": table.device}
    embedding = nn.Embedding(table.input_size or 0, table.output_size or 0, **options)
    embedding.load_state_dict(own(places[nn.Embedding]))
    x, _ = embedding(told(numbers))
    looks = own(places[nn.AttentionDecoder])
    decoder = nn.AttentionDecoder(
        copy_of(attending.layer), attending.memory_size, score=attending.score, when=attending.when
    )
    decoder.load_state_dict(looks)
    first, *later = memory.state if model.decoder_layers > 1 else [memory.state]
    y, _ = decoder(x, first, memory=memory.seen)
    seen = (
        np.concatenate([x, y[..., -attending.memory_size :]], axis=-1) if "weight_context_l0" in looks else x
    )
    if "weight_context_l0" in looks:
        looks["weight_ih_l0"] = np.concatenate([looks["weight_ih_l0"], looks["weight_context_l0"]], axis=1)
    plain = copy_of(attending.layer, input_size=seen.shape[-1])
    plain.load_state_dict({name: looks[name] for name in plain.state_dict()})
    above = None
    for i, block in enumerate(blocks):
        if isinstance(block, Recurrent):
            stack = copy_of(block)
            stack.load_state_dict(own(i))
            above = Reading(stack, y, later[0], counts, np.array([]), None)
    return Reading(plain, seen, first, counts, np.array([]), None, above)
