"""The network of a tagger: words and their characters in, a score for each tag at each step out, and a chain."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check, _native, nn
from seqrs._check import Floats
from seqrs.models.words import NONE


class Spelling(NamedTuple):
    """What words with characters are read by, in front of the rest."""

    words: nn.Embedding
    """Tokens to vectors."""
    characters: nn.Sequential
    """The characters of a word to one vector."""


class _Tape(NamedTuple):
    main: Any
    words: Any = None
    characters: Any = None
    # Which of the distinct words each step that counts holds.
    places: NDArray[np.int64] | None = None
    counted: NDArray[np.bool_] | None = None


class TaggingNetwork:
    """Parts that are trained as one.

    Parameters
    ----------
    main : Sequential
        From tokens or vectors to emissions, (B, T, K).
    spelling : Spelling or None
        What makes vectors of words and characters; None: `main` reads the input itself.
    chain : bool
        Whether tags depend on one another: then there are scores of starts, transitions and ends.
    """

    def __init__(self, main: nn.Sequential, spelling: Spelling | None, chain: bool) -> None:
        self.main = main
        self.spelling = spelling
        self.dtype = main.dtype
        k = main.output_size or 0
        shapes = {"start": (k,), "transitions": (k, k), "end": (k,)} if chain else {}
        self.chain: dict[str, Floats] = {
            name: cast(Floats, np.zeros(shape, self.dtype)) for name, shape in shapes.items()
        }

    def _layers(self) -> dict[str, nn.Layer[Any]]:
        if self.spelling is None:
            return {"": self.main}
        return {"": self.main, "words.": self.spelling.words, "characters.": self.spelling.characters}

    # Running

    def __call__(self, x: NDArray[Any], lengths: NDArray[np.int64]) -> tuple[Floats, None]:
        """Return the emissions."""
        emissions, _, _ = self._pass(x, lengths, training=False, step=None)
        return emissions, None

    def forward(self, x: NDArray[Any], lengths: NDArray[np.int64], step: int) -> tuple[Floats, None, Any]:
        """Return the emissions, and what :meth:`backward` needs; dropout is on."""
        return self._pass(x, lengths, training=True, step=step)

    def _pass(
        self, x: NDArray[Any], lengths: NDArray[np.int64], training: bool, step: int | None
    ) -> tuple[Floats, None, Any]:
        vectors, read = self.vectors(x, lengths, training=training, step=step)
        y, _, tape = self.main.forward(vectors, lengths=lengths, training=training, step=step)
        return y, None, read._replace(main=tape)

    def vectors(
        self, x: NDArray[Any], lengths: NDArray[np.int64], training: bool = False, step: int | None = None
    ) -> tuple[NDArray[Any], _Tape]:
        """Return what :attr:`main` reads of an input: itself, or vectors of words beside those of their characters."""
        if self.spelling is None:
            return x, _Tape(None)
        words, characters = self.spelling
        counted = np.arange(x.shape[1]) < lengths[:, None]
        # Each distinct word is spelled once.
        distinct, places = np.unique(x[counted][:, 1:], axis=0, return_inverse=True)
        places = places.reshape(-1)
        counts = (distinct != NONE).sum(1)
        spelled, _, characters_tape = characters.forward(
            np.maximum(distinct, -1), lengths=counts, training=training, step=step
        )
        tokens = np.where(counted, x[:, :, 0], np.int32(-1))
        looked_up, _, words_tape = words.forward(tokens, lengths=lengths, training=training, step=step)
        vectors = np.zeros((*tokens.shape, looked_up.shape[2] + spelled.shape[1]), self.dtype)
        vectors[:, :, : looked_up.shape[2]] = looked_up
        vectors[counted, looked_up.shape[2] :] = spelled[places]
        return vectors, _Tape(None, words_tape, characters_tape, places, counted)

    def backward(self, tape: _Tape, demissions: Floats, dchain: Sequence[Floats]) -> Floats:
        """Return the gradient of all weights, in their order; `dchain` is that of :attr:`chain`."""
        g = self.main.backward(tape.main, demissions)
        flats = [g.flat]
        if self.spelling is not None:
            assert g.x is not None
            assert tape.places is not None
            width = self.spelling.words.output_size or 0
            flats.append(
                self.spelling.words.backward(tape.words, np.ascontiguousarray(g.x[..., :width])).flat
            )
            each = g.x[tape.counted, width:]
            summed = np.zeros((int(tape.places.max(initial=-1)) + 1, each.shape[1]), self.dtype)
            np.add.at(summed, tape.places, each)
            flats.append(self.spelling.characters.backward(tape.characters, cast(Floats, summed)).flat)
        return cast(Floats, np.concatenate([*flats, *(part.reshape(-1) for part in dchain)]))

    # Weights

    @property
    def num_parameters(self) -> int:
        """Numbers in all weights."""
        layers = sum(layer.num_parameters for layer in self._layers().values())
        return layers + sum(part.size for part in self.chain.values())

    def update(self, gradient: Floats, optimizer: _native.Optimizer, lr: float) -> float:
        """Change all weights by one step; return the gradient's norm before clipping."""
        values = cast(
            Floats,
            np.concatenate(
                [
                    part.reshape(-1)
                    for layer in self._layers().values()
                    for part in _parameters(layer).values()
                ]
                + [part.reshape(-1) for part in self.chain.values()]
            ),
        )
        norm = optimizer.update(values, gradient, lr)
        if np.isfinite(norm):
            at = 0
            for layer in self._layers().values():
                parts = _parameters(layer)
                for name, part in parts.items():
                    parts[name] = values[at : at + part.size].reshape(part.shape)
                    at += part.size
                _native_of(layer).set(parts)
            for name, part in self.chain.items():
                self.chain[name] = values[at : at + part.size].reshape(part.shape).copy()
                at += part.size
        return norm

    def state_dict(self) -> dict[str, Floats]:
        """Return a copy of every weight."""
        weights = {
            prefix + name: value
            for prefix, layer in self._layers().items()
            for name, value in layer.state_dict().items()
        }
        return weights | {f"chain.{name}": part.copy() for name, part in self.chain.items()}

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Set every weight, or none if one does not fit."""
        expected = [(name, value.shape) for name, value in self.state_dict().items()]
        arrays = _check.parameters(expected, state_dict, self.dtype)
        for prefix, layer in self._layers().items():
            layer.load_state_dict({name: arrays[prefix + name] for name in layer.state_dict()})
        for name in self.chain:
            self.chain[name] = arrays[f"chain.{name}"]


def _native_of(layer: nn.Layer[Any]) -> _native.Network:
    return layer.network


def _parameters(layer: nn.Layer[Any]) -> dict[str, Floats]:
    """Return the parameters in the order in which they lie in a gradient."""
    network = _native_of(layer)
    rows = sorted(network.parameters(), key=lambda row: row[2])
    return {name: network.get(name) for name, _, _, _ in rows}
