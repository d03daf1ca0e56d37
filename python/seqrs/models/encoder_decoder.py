"""The networks of a translator: an encoder that reads, a decoder that looks at what was read and writes.

::

    m⟨1⟩ … m⟨S⟩ = encoder(x⟨1⟩ … x⟨S⟩)                      what the decoder looks at
    h⟨0⟩ = tanh(W_b [last state of each direction] + b_b)    the bridge
    h⟨t⟩, c⟨t⟩ = decoder(y⟨t-1⟩, h⟨t-1⟩, m)                  attention: see seqrs.nn.AttentionDecoder
    logits⟨t⟩ = W_o tanh(W_a [h⟨t⟩; c⟨t⟩] + b_a) + b_o       W_o is the embedding of y where they are tied

y⟨0⟩ is the zero vector; of an LSTM the bridge makes h⟨0⟩ and c⟨0⟩. In a deeper decoder the lowest layer
attends, the one above it reads [h⟨t⟩; c⟨t⟩], and the output the highest one's h (Wu et al. 2016); the
bridge makes the first state of every layer. All weights lie in one flat array, so that an optimizer sees
one model: its clipping takes the norm over all networks together.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check, nn
from seqrs._check import Floats

Tokens = NDArray[np.int32]
Lengths = NDArray[np.int64]

_CELLS: dict[str, Any] = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}


@dataclass(frozen=True)
class Sizes:
    """What the networks are made of; :class:`seqrs.Translator` documents each."""

    source_vocabulary: int
    target_vocabulary: int
    cell: str
    embedding_size: int
    hidden_size: int
    num_layers: int
    decoder_layers: int
    bidirectional: bool
    score: str
    when: str
    dropout: float
    tied: bool


@dataclass(eq=False)
class Memory:
    """What the encoder has made of some sources: what the decoder looks at, their lengths, its first state."""

    seen: nn.Memory
    lengths: Lengths
    state: Any

    def take(self, rows: NDArray[np.int64]) -> "Memory":
        """Return some rows, in any order, also several times."""
        return Memory(self.seen.take(rows), self.lengths[rows], nn.states.take(self.state, rows))


class EncoderDecoder:
    """The three networks, run and differentiated as one.

    Attributes
    ----------
    weights : ndarray of shape (N,)
        All weights, network by network. After changing it call :meth:`put`.
    """

    def __init__(self, sizes: Sizes, *, dtype: str, device: str, seed: int) -> None:
        self.sizes = sizes
        options: dict[str, Any] = {"dtype": dtype, "device": device}
        seeds = iter(range(seed, seed + 100))

        def seeded() -> dict[str, Any]:
            return {**options, "seed": next(seeds) % 2**64}

        cell, width, hidden = _CELLS[sizes.cell], sizes.embedding_size, sizes.hidden_size
        directions = 2 if sizes.bidirectional else 1
        drop = self._dropout(seeded)
        self.encoder = nn.Sequential(
            _embedding(sizes.source_vocabulary, width, seeded()),
            *drop,
            cell(
                width,
                hidden,
                sizes.num_layers,
                bidirectional=sizes.bidirectional,
                dropout=sizes.dropout if sizes.num_layers > 1 else 0.0,
                **seeded(),
            ),
            seed=seed,
        )
        self.bridge = nn.Sequential(
            nn.Linear(directions * hidden, self._starts * hidden, **seeded()),
            nn.Activation("tanh", **options),
        )
        attending = nn.AttentionDecoder(
            cell(width, hidden, **seeded()), directions * hidden, score=sizes.score, when=sizes.when
        )
        blocks: list[nn.Layer[Any]] = [
            _embedding(sizes.target_vocabulary, width, seeded()),
            attending,
        ]
        reads, above = int(attending.output_size or 0), sizes.decoder_layers - 1
        if above:
            between = sizes.dropout if above > 1 else 0.0
            blocks += [*self._dropout(seeded), cell(reads, hidden, above, dropout=between, **seeded())]
            reads = hidden
        blocks += [nn.Linear(reads, width, **seeded()), nn.Activation("tanh", **options)]
        blocks += [*self._dropout(seeded), nn.Linear(width, sizes.target_vocabulary, **seeded())]
        tied = {f"{len(blocks) - 1}.weight": "0.weight"} if sizes.tied else None
        self.decoder = nn.Sequential(*blocks, tied=tied, seed=next(seeds))
        self._networks = {"encoder": self.encoder, "bridge": self.bridge, "decoder": self.decoder}
        self.weights: Floats = np.concatenate([value.ravel() for value in self.state_dict().values()])

    def _dropout(self, seeded: Callable[[], dict[str, Any]]) -> list[nn.Layer[Any]]:
        return [nn.Dropout(self.sizes.dropout, **seeded())] if self.sizes.dropout else []

    # Weights

    def _places(self) -> dict[str, tuple[int, tuple[int, ...]]]:
        """Return where each parameter begins in the flat array, and its shape."""
        places, start = {}, 0
        for label, network in self._networks.items():
            for name, shape, _, _ in network.network.parameters():
                places[f"{label}.{name}"] = (start, shape)
                start += int(np.prod(shape))
        return places

    def state_dict(self) -> dict[str, Floats]:
        """Return a copy of every parameter."""
        return {
            f"{label}.{name}": value
            for label, network in self._networks.items()
            for name, value in network.state_dict().items()
        }

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Set every parameter, as :meth:`seqrs.nn.Layer.load_state_dict` does."""
        expected = [(name, shape) for name, (_, shape) in self._places().items()]
        self.set(_check.parameters(expected, state_dict, self.weights.dtype.name, owner="a Translator"))

    def set(self, weights: Mapping[str, Floats]) -> None:
        """Set some parameters, of their names and shapes."""
        for name, (start, shape) in self._places().items():
            if name in weights:
                self.weights[start : start + int(np.prod(shape))] = weights[name].ravel()
        self.put()

    def put(self) -> None:
        """Hand the flat array over to the networks."""
        for label, network in self._networks.items():
            network.network.set(
                {
                    name.partition(".")[2]: self.weights[start : start + int(np.prod(shape))].reshape(shape)
                    for name, (start, shape) in self._places().items()
                    if name.startswith(f"{label}.")
                }
            )

    # Running

    def read(self, sources: Tokens, lengths: Lengths) -> Memory:
        """Return what the encoder makes of some sources."""
        values, state = self.encoder(sources, lengths=lengths)
        start, _ = self.bridge(self._last(state))
        return Memory(self.decoder.prepare(values, lengths), lengths, self._first(start))

    def write(self, tokens: Tokens, state: Any, memory: Memory) -> tuple[Floats, Any, Floats]:
        """Return logits (B, T, V) after some tokens, the state, and where each step looked (B, T, S)."""
        return self.decoder.attend(tokens, state, memory=memory.seen)

    def forward(
        self, sources: Tokens, source_lengths: Lengths, given: Tokens, lengths: Lengths, step: int
    ) -> tuple[Floats, tuple[Any, ...]]:
        """Return logits of a training pass, each step given the token before it, and a tape."""
        values, state, reading = self.encoder.forward(sources, lengths=source_lengths, step=step)
        start, _, bridging = self.bridge.forward(self._last(state), step=step)
        logits, _, writing = self.decoder.forward(
            given, self._first(start), lengths, memory=values, memory_lengths=source_lengths, step=step
        )
        return logits, (reading, bridging, writing, state)

    def backward(self, tape: tuple[Any, ...], dlogits: Floats) -> Floats:
        """Return the gradient by :attr:`weights`."""
        reading, bridging, writing, state = tape
        decoder = self.decoder.backward(writing, dlogits)
        bridge = self.bridge.backward(bridging, self._first_backward(decoder.state))
        encoder = self.encoder.backward(
            reading, cast(Floats, decoder.memory), self._last_backward(state, bridge.x)
        )
        return np.concatenate([cast(Floats, g.flat) for g in (encoder, bridge, decoder)])

    # From the encoder's last state to what the bridge reads, and from what it gives to the decoder's first

    def _last(self, state: Any) -> Floats:
        h = state[0] if self.sizes.cell == "lstm" else state
        directions = 2 if self.sizes.bidirectional else 1
        return np.ascontiguousarray(np.concatenate(list(h[-directions:]), axis=-1)[:, None])

    def _last_backward(self, state: Any, d: Any) -> Any:
        memory = self.sizes.cell == "lstm"
        dh = np.zeros_like(state[0] if memory else state)
        directions = 2 if self.sizes.bidirectional else 1
        dh[-directions:] = np.stack(np.split(d[:, 0], directions, axis=-1))
        return (dh, np.zeros_like(dh)) if memory else dh

    def _first(self, start: Floats) -> Any:
        """Return the decoder's first state: of the layer that attends, and of those above it."""
        pieces = np.split(start[:, 0], self._starts, axis=-1)
        layers = [pieces[i : i + self._parts] for i in range(0, len(pieces), self._parts)]
        states = [
            tuple(np.stack(part) for part in zip(*of, strict=True)) for of in (layers[:1], layers[1:]) if of
        ]
        found = [state if self._parts > 1 else state[0] for state in states]
        return found if len(found) > 1 else found[0]

    def _first_backward(self, dstate: Any) -> Floats:
        states = dstate if self.sizes.decoder_layers > 1 else [dstate]
        pieces = []
        for state in states:
            parts = state if self._parts > 1 else (state,)
            pieces += [part[layer] for layer in range(len(parts[0])) for part in parts]
        return np.ascontiguousarray(np.concatenate(pieces, axis=-1)[:, None])

    @property
    def _parts(self) -> int:
        return 2 if self.sizes.cell == "lstm" else 1

    @property
    def _starts(self) -> int:
        """How many vectors the decoder starts from."""
        return self._parts * self.sizes.decoder_layers


def _embedding(tokens: int, width: int, options: dict[str, Any]) -> nn.Embedding:
    """Return an embedding of small vectors: a tied output's first logits are then small, too."""
    table = nn.Embedding(tokens, width, **options)
    table.load_state_dict({"weight": table.state_dict()["weight"] * np.asarray(width**-0.5, table.dtype)})
    return table
