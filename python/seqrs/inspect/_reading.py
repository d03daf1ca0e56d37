"""From a layer and its input, or a model and a text, to the recurrence that is to be looked at."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from seqrs import nn
from seqrs.inspect._stack import Array, History, Stack, histories, lengths_to_counts
from seqrs.models import LanguageModel
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
    """

    layer: Stack
    x: Array
    state: Any
    counts: Array
    targets: Array
    head: nn.Linear | None

    def histories(self) -> list[History]:
        """Return each layer in each direction, and its states at every step."""
        return histories(self.layer, self.x, self.state, self.counts)


def read(layer: Any, x: Any, state: Any, lengths: Any) -> Reading:
    """Check what came, and return the recurrence."""
    if isinstance(layer, LanguageModel):
        if state is not None or lengths is not None:
            raise ValueError(
                "state, lengths: expected None for a model, which reads texts from their beginning"
            )
        return _of_model(layer, x)
    if not isinstance(layer, Recurrent):
        raise TypeError(
            f"layer: expected a recurrent layer of seqrs.nn or a LanguageModel, got {type(layer).__name__}"
        )
    inputs, batched = layer._inputs(x, ("B", "T"))
    if not batched:
        raise ValueError(f"x: expected a batch of sequences, got one alone, of shape {np.shape(x)}")
    if 0 in inputs.shape[:2]:
        raise ValueError(f"x: expected at least one row and one step, got shape {inputs.shape}")
    layer._flat("state", state, inputs.shape[:1])  # checks it
    return Reading(layer, inputs, state, lengths_to_counts(lengths, *inputs.shape[:2]), np.array([]), None)


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
