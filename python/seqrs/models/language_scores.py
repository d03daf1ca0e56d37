"""A language model as a beam of prefixes asks it: what may follow each prefix."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrs import _check
from seqrs._check import Floats
from seqrs.decoding import LanguageFunction
from seqrs.models.language_model import LanguageModel


class LanguageScores:
    """ln P of the next label, for :func:`seqrs.decoding.ctc_beam`, from a model of characters.

    Each prefix that was asked for keeps its state, so that a longer one costs one step; those of the
    same call take that step side by side.

    Parameters
    ----------
    model : LanguageModel
        Of ``level="char"``, fitted. Where it has ``<EOS>``, its probability is that of the end.
    labels : sequence of str
        The character of each label; label 0, the blank, has none, so that it stands for any.
    """

    def __init__(self, model: LanguageModel, labels: Sequence[str]) -> None:
        vocabulary = model.vocabulary
        self._network = model.network
        self._widths = [[pair[part] for pair in self._network.states() if pair[part]] for part in (0, 1)]
        self._widths = [widths for widths in self._widths if widths]
        # The model's number of each label, -1 for a character that it does not know.
        self._numbers = vocabulary.encode([*labels]).astype(np.int64)
        self._numbers[0] = -1 if vocabulary.eos is None else vocabulary.eos
        self._ends = vocabulary.eos is not None
        self._states: dict[tuple[int, ...], list[Floats]] = {}

    def __call__(self, prefixes: list[tuple[int, ...]]) -> NDArray[np.float64]:
        """Return ln P of each label after each prefix, and in column 0 of the end."""
        known = [self._states.get(prefix[:-1]) if prefix else None for prefix in prefixes]
        tokens = np.array([self._numbers[prefix[-1]] if prefix else -1 for prefix in prefixes], np.int32)
        state: tuple[Floats, ...] | None = None
        if any(part is not None for part in known):
            zero = [np.zeros(sum(widths), self._network.dtype) for widths in self._widths]
            rows = [zero if own is None else own for own in known]
            state = tuple(
                _flat(np.stack([row[part] for row in rows]), widths)
                for part, widths in enumerate(self._widths)
            )
        logits, after = self._network.step(tokens, state)
        by_row = [
            _rows(part, widths, len(prefixes)) for part, widths in zip(after, self._widths, strict=True)
        ]
        for i, prefix in enumerate(prefixes):
            self._states[prefix] = [part[i] for part in by_row]
        z = logits.astype(np.float64)
        z -= z.max(1, keepdims=True)
        log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
        scores: NDArray[np.float64] = np.where(self._numbers < 0, -np.inf, log_p[:, self._numbers])
        if not self._ends:
            scores[:, 0] = 0.0
        return scores


def language_function(
    model: LanguageModel | LanguageFunction | None, labels: Iterable[Any]
) -> LanguageFunction | None:
    """Return what a beam asks for ln P of the next of these labels; a function is that already."""
    if model is None or (callable(model) and not isinstance(model, LanguageModel)):
        return model
    if not isinstance(model, LanguageModel):
        raise TypeError(
            f"language_model: expected a LanguageModel or a function, got {_check.describe(model)}"
        )
    if model.level != "char":
        raise ValueError(f'language_model: expected one of level "char", got {model.level!r}')
    characters = [str(label) for label in labels]
    if any(len(character) != 1 for character in characters):
        raise ValueError(f"language_model: expected labels of one character each, got {characters[:5]}")
    return LanguageScores(model, ["", *characters])


def _flat(rows: NDArray[Any], widths: list[int]) -> Floats:
    """Return one part of a state as the core has it: layer by layer, each (B, width)."""
    ends = np.cumsum(widths)[:-1]
    layers: Floats = np.concatenate([layer.reshape(-1) for layer in np.split(rows, ends, axis=1)])
    return layers


def _rows(flat: Floats, widths: list[int], batch: int) -> NDArray[Any]:
    """Return one part of a state row by row, (B, sum of the widths)."""
    ends = batch * np.cumsum(widths)[:-1]
    return np.concatenate([layer.reshape(batch, -1) for layer in np.split(flat, ends)], axis=1)
