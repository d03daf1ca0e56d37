"""From a layer and its input, or a model and a text, to the recurrence that is to be looked at."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from seqrs import _check, nn
from seqrs.inspect._stack import Array, History, Stack, copy_of, histories, lengths_to_counts
from seqrs.models import LanguageModel, SequenceGenerator, Translator
from seqrs.models.inputs import padded
from seqrs.models.sequence_model import SequenceModel
from seqrs.models.tagging_network import TaggingNetwork
from seqrs.nn.recurrent import Recurrent
from seqrs.text import Corpus

_CELLS: dict[str, tuple[Any, str]] = {
    "lstm": (nn.LSTM, "peephole"),
    "gru": (nn.GRU, "reset"),
    "rnn": (nn.RNN, "nonlinearity"),
}


@dataclass
class Reading:
    """A recurrent layer and what it reads.

    Attributes
    ----------
    layer : Recurrent
        The layer itself, or the one that a model has in it.
    x : ndarray of shape (B, T, I), or (B, T) tokens
        Its input.
    state : the layer's state, or None
        Before the first step.
    counts : ndarray of shape (B, T), bool
        Which steps count.
    targets : ndarray of shape (B, T)
        Of a model: the number of the token that comes next, -1 where it has none.
    head : Linear, or None
        Of a model: from the output of a step to the logits of what comes next.
    above : Reading, or None
        Of layers in one direction, those on top of them, where they are another block.
    """

    layer: Stack
    x: Array
    state: Any
    counts: Array
    targets: Array
    head: nn.Linear | None
    above: "Reading | None" = None

    def histories(self) -> list[History]:
        """Return each layer in each direction, and its states at every step."""
        own = histories(self.layer, self.x, self.state, self.counts)
        above = self.above.histories() if self.above is not None else []
        return own + [replace(of, name=f"layer {k}") for k, of in enumerate(above, len(own))]


def read(layer: Any, x: Any, state: Any, lengths: Any) -> Reading:
    """Check what came, and return the recurrence."""
    if isinstance(layer, LanguageModel):
        if state is not None or lengths is not None:
            raise ValueError(
                "state, lengths: expected None for a model, which reads texts from their beginning"
            )
        return _of_model(layer, x)
    if isinstance(layer, SequenceModel):
        if state is not None or lengths is not None:
            raise ValueError("state, lengths: expected None for a model, which knows where its sequences end")
        layer._check_fitted()
        if isinstance(layer, SequenceGenerator):  # reads what came a step before
            of_classes = layer.classes_ is not None
            if of_classes and not (isinstance(x, tuple) and len(x) == 2):
                raise ValueError(
                    "x: expected a pair, sequences and the class of each, for a generator that was fitted with "
                    f"classes, got {_check.describe(x)}"
                )
            batch = layer._batch(layer._read_examples(*(x if of_classes else (x, None))))
            return _of_blocks(layer.network, batch.inputs, batch.lengths)
        inputs, counts = padded(layer._read(x, name="x"))
        network: Any = layer.network
        if isinstance(network, TaggingNetwork):  # behind the vectors of words, where it spells them
            return _of_blocks(network.main, network.vectors(inputs, counts)[0], counts)
        # Of a translator what reads; what writes has no states before it is told what to read.
        return _of_blocks(network.encoder if isinstance(layer, Translator) else network, inputs, counts)
    if isinstance(layer, nn.Sequential):
        if state is not None:
            raise ValueError("state: expected None for a Sequential")
        return _of_blocks(layer, _batch(layer, x), lengths)
    if not isinstance(layer, Recurrent):
        raise TypeError(
            "layer: expected a recurrent layer of seqrs.nn, a Sequential, or a model with one, "
            f"got {type(layer).__name__}"
        )
    inputs = _batch(layer, x)
    layer._flat("state", state, inputs.shape[:1])  # checks it
    return Reading(layer, inputs, state, lengths_to_counts(lengths, *inputs.shape[:2]), np.array([]), None)


def _batch(layer: nn.Layer[Any], x: Any) -> Array:
    """Return the input of a layer, checked."""
    inputs, batched = layer._inputs(x, ("B", "T"))
    if not batched:
        raise ValueError(f"x: expected a batch of sequences, got one alone, of shape {np.shape(x)}")
    if 0 in inputs.shape[:2]:
        raise ValueError(f"x: expected at least one row and one step, got shape {inputs.shape}")
    return inputs


def _of_blocks(network: nn.Sequential, x: Array, lengths: Any) -> Reading:
    """Return the first recurrent block of a row of blocks, and what it reads of their input."""
    weights = network.state_dict()
    counts = lengths_to_counts(lengths, *x.shape[:2])
    for i, block in enumerate(network.blocks):
        own = {
            name.removeprefix(f"{i}."): value for name, value in weights.items() if name.startswith(f"{i}.")
        }
        if isinstance(block, Recurrent):
            layer = copy_of(block)
            layer.load_state_dict(own)
            return Reading(layer, x, None, counts, np.array([]), None)
        if isinstance(block, nn.Embedding):
            table = nn.Embedding(
                block.input_size or 0, block.output_size or 0, dtype=block.compute_dtype, device=block.device
            )
            table.load_state_dict(own)
            x, _ = table(x)
        elif not isinstance(block, nn.Dropout):
            raise ValueError(
                f"layer: expected a recurrent block first, behind an embedding at most, got {block!r}"
            )
    raise ValueError(f"layer: expected a recurrent block among those of {network!r}")


def _of_model(model: LanguageModel, text: Any) -> Reading:
    """Return the recurrence of a model, and the text as that reads it."""
    codec = model._fitted()
    tokens = [codec.tokens(document) for document in Corpus.read(text, codec.documents).documents]
    steps = max(map(len, tokens))
    targets = np.full((len(tokens), steps), -1, np.int32)
    for row, document in zip(targets, tokens, strict=True):
        row[: len(document)] = codec.vocabulary.encode(document)
    # The zero vector first, and then each token where the one after it is to be predicted.
    numbers = np.pad(targets, ((0, 0), (1, 0)), constant_values=-1)[:, :steps]
    counts = np.arange(steps) < np.array([len(document) for document in tokens])[:, None]
    layer, x, head = recurrence(model, numbers)
    return Reading(layer, x, None, counts, targets, head)


def recurrence(model: LanguageModel, numbers: Array) -> tuple[Stack, Array, nn.Linear]:
    """Return a model's recurrent layers, what they read for an array of tokens, and its output."""
    weights, size, width = model.state_dict(), len(model.vocabulary), model.embedding_size
    options: Any = {"dtype": model.dtype, "device": model.device, "seed": 0}
    x = numbers
    if width is not None:
        table = nn.Embedding(size, width, **options)
        table.load_state_dict({"weight": weights["embedding.weight"]})
        x, _ = table(numbers)
    kind, form = _CELLS[model.cell]
    layer: Stack = kind(
        width or size, model.hidden_size, model.num_layers, **{form: getattr(model, form)}, **options
    )
    layer.load_state_dict(
        {name.removeprefix("rnn."): value for name, value in weights.items() if name.startswith("rnn.")}
    )
    head = nn.Linear(model.hidden_size, size, **options)
    head.load_state_dict({"weight": weights["head.weight"], "bias": weights["head.bias"]})
    return layer, x, head
