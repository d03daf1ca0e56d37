"""A recurrent layer that looks at a memory at every step."""

from typing import Any, SupportsIndex

from seqrs import _check
from seqrs.nn._layout import StateLayout
from seqrs.nn._summary import Row
from seqrs.nn.layer import Layer
from seqrs.nn.recurrent import Recurrent

__all__ = ["AttentionDecoder"]


class AttentionDecoder(Layer[Any]):
    r"""A recurrent layer that looks at every step at a memory, such as an encoder's output.

    With m⟨1⟩ … m⟨S⟩ the steps of the memory that count and h a state of the layer, ::

        e⟨s⟩ = v · tanh(W_q h + W_k m⟨s⟩)       score="additive" (Bahdanau et al. 2015)
        e⟨s⟩ = h · m⟨s⟩                         score="dot"      (Luong et al. 2015)
        e⟨s⟩ = h · W_k m⟨s⟩                     score="general"  (Luong et al. 2015)
        a = softmax(e)
        c = a⟨1⟩ m⟨1⟩ + … + a⟨S⟩ m⟨S⟩            the context

    With ``when="before"`` (Bahdanau) h is h⟨t-1⟩, and the cell reads the context beside x⟨t⟩: to each
    W_ih x⟨t⟩ of its equations W_c c⟨t⟩ is added. With ``when="after"`` (Luong) h is h⟨t⟩, and the
    cell sees nothing of the memory. The output of a step is h⟨t⟩ and c⟨t⟩ side by side. A row whose
    memory has no steps has a context of zeros.

    Parameters
    ----------
    layer : RNN, GRU, LSTM, MinGRU or MinLSTM
        One layer in one direction, in any form and with any option. It becomes part of this one and
        can no longer be run alone.
    memory_size : int
        D, the number of features of a step of the memory; for ``score="dot"`` that of h.
    score : {"additive", "dot", "general"}, default "additive"
        How well a step of the memory answers.
    when : {"before", "after"}, default "before"
        When to look.
    attention_size : int, optional
        A, the length of v in an additive score. Default: the length of h.

    Notes
    -----
    The parameters are the layer's own, and

    ====================== =====================================================
    ``weight_query_l0``    W_q (A, P), for an additive score
    ``weight_key_l0``      W_k (A, D), for a general score (P, D)
    ``weight_score_l0``    v (A,), for an additive score
    ``weight_context_l0``  W_c (G*H, D), with ``when="before"``; its rows are those of ``weight_ih_l0``
    ====================== =====================================================

    each uniform between -1/sqrt(n) and 1/sqrt(n) at first, n the length of what it multiplies (for
    W_c: H). A cell of PyTorch that reads ``cat([x, c], -1)`` has ``weight_ih`` with W_c to the right.

    Luong's attentional vector tanh(W [c; h]) is a :class:`Linear` and an :class:`Activation` behind
    this layer. Its way back into the next step (input feeding) is not there, as it would be a part of
    the state of its own, beside h and c: use ``when="before"``, whose cell sees what was looked at.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range, of the wrong type, or unknown, or the layer is more than
        one, or part of a model already.

    Examples
    --------
    An encoder and a decoder, forward and back:

    >>> import numpy as np
    >>> from seqrs import nn
    >>> encoder = nn.GRU(2, 3, bidirectional=True, seed=0)
    >>> decoder = nn.AttentionDecoder(nn.GRU(4, 5, seed=1), memory_size=6)
    >>> memory, _, reading = encoder.forward(np.ones((1, 7, 2), np.float32))
    >>> y, h, writing = decoder.forward(np.ones((1, 3, 4), np.float32), memory=memory)
    >>> y.shape, h.shape
    ((1, 3, 11), (1, 1, 5))
    >>> g = decoder.backward(writing, np.ones_like(y))
    >>> g.memory.shape, encoder.backward(reading, g.memory).x.shape
    ((1, 7, 6), (1, 7, 2))
    """

    _takes = "both"
    _needs_steps = True

    def __init__(
        self,
        layer: Recurrent[Any],
        memory_size: SupportsIndex,
        *,
        score: str = "additive",
        when: str = "before",
        attention_size: SupportsIndex | None = None,
    ) -> None:
        if not isinstance(layer, Recurrent):
            raise TypeError(f"layer: expected a recurrent layer, got {type(layer).__name__}")
        if layer._within:
            raise ValueError(f"layer: {layer!r} is part of a model already")
        if layer.num_layers > 1 or layer._shared["bidirectional"]:
            raise ValueError(f"layer: expected one layer in one direction, got {layer!r}")
        width = int(layer.output_size or 0)
        self.layer = layer
        self.memory_size = _check.integer("memory_size", memory_size, minimum=1)
        self.score = _check.choice("score", score, ("additive", "dot", "general"))
        self.when = _check.choice("when", when, ("before", "after"))
        self.attention_size = (
            width if attention_size is None else _check.integer("attention_size", attention_size, minimum=1)
        )
        if score == "dot" and self.memory_size != width:
            raise ValueError(
                f"memory_size: expected {width}, the size of h, for score='dot', got {memory_size}"
            )
        shared = {"dtype": layer.compute_dtype, "device": layer.device, "seed": layer.seed}
        super().__init__(
            layer.input_size, width + self.memory_size, {**shared, "check_finite": layer.check_finite}
        )
        weights = layer.state_dict()
        own = {name: self.network.get(name) for name, *_ in self.network.parameters() if name not in weights}
        self.network.set({**weights, **own})
        layer._within, layer._network = "the layer of an AttentionDecoder", None

    def _blocks(self, name: str, width: int) -> list[dict[str, Any]]:
        (block,) = self.layer._blocks(name, width)
        attention = {
            "score": self.score,
            "when": self.when,
            "memory": self.memory_size,
            "size": self.attention_size,
        }
        return [{**block, "attention": attention}]

    def _layouts(self) -> list[StateLayout]:
        return self.layer._layouts()

    def _rows(self, parameters: list[tuple[str, int, bool]]) -> list[Row]:
        return [Row(f"AttentionDecoder of {type(self.layer).__name__}", self.output_size, True, parameters)]

    def __repr__(self) -> str:
        arguments = [repr(self.layer), str(self.memory_size)]
        if self.score != "additive":
            arguments.append(f"score={self.score!r}")
        if self.when != "before":
            arguments.append(f"when={self.when!r}")
        if self.score == "additive" and self.attention_size != self.layer.output_size:
            arguments.append(f"attention_size={self.attention_size}")
        return f"AttentionDecoder({', '.join(arguments)})"
