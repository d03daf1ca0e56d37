"""What a translator writes: texts or lists of tokens, learned from its training data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrs import _check
from seqrs.models.inputs import kind_of, sequences
from seqrs.text.codec import level_of, tokenizer_of
from seqrs.text.tokenizers import Tokenizer
from seqrs.text.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class TargetText:
    """What is written, and how it is cut.

    Attributes
    ----------
    vocabulary : Vocabulary
        The tokens, with an end and an unknown one.
    tokenizer : Tokenizer or None
        What cuts a str into tokens; None where targets are lists of tokens.
    """

    vocabulary: Vocabulary
    tokenizer: Tokenizer | None

    @classmethod
    def learn(cls, y: Any, level: str | Tokenizer, *, min_count: int, max_vocab: int | None) -> "TargetText":
        """Return what training targets call for."""
        rows = sequences("y", y)
        kind = kind_of("y", rows)
        if kind not in ("text", "words"):
            raise TypeError(f"y: expected strings, or sequences of tokens (str), got sequences of {kind}")
        tokenizer = tokenizer_of(level) if kind == "text" else None
        every = [token for row in rows for token in (tokenizer.tokenize(row) if tokenizer else row)]
        if not every:
            raise ValueError("y: expected some tokens, got none")
        vocabulary = Vocabulary.build(every, min_count=min_count, max_size=max_vocab, unk=True, eos=True)
        return cls(vocabulary, tokenizer)

    @property
    def end(self) -> int:
        """The number of the token that ends a text."""
        end = self.vocabulary.eos
        assert end is not None  # it was built with one
        return end

    def encode(self, name: str, y: Any) -> list[NDArray[np.int32]]:
        """Return the tokens of each target and its end."""
        end, text = np.array([self.end], np.int32), self.tokenizer is not None
        targets = []
        for i, row in enumerate(sequences(name, y)):
            if isinstance(row, str) is not text:
                expected = "a str" if text else "a sequence of tokens (str)"
                raise TypeError(
                    f"{name}[{i}]: expected {expected}, as in training, got {_check.describe(row)}"
                )
            tokens = list(row) if self.tokenizer is None else list(self.tokenizer.tokenize(row))
            targets.append(np.concatenate([self.vocabulary.encode(tokens), end]))
        return targets

    def joined(self, tokens: list[str]) -> Any:
        """Return tokens in the form of the targets."""
        return tokens if self.tokenizer is None else self.tokenizer.detokenize(tokens)

    # Files

    def to_json(self) -> dict[str, Any]:
        """Return it as values for JSON; a tokenizer object is not among them, and has to be passed again."""
        level = None if self.tokenizer is None else level_of(self.tokenizer)
        return {"level": level, "vocabulary": self.vocabulary.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], tokenizer: Tokenizer | None) -> "TargetText":
        """Return what :meth:`to_json` wrote, with the tokenizer object of those that had one."""
        level = values["level"]
        if level == "custom":
            if tokenizer is None:
                raise LookupError(
                    "tokenizer: the model was trained with a tokenizer of its own for targets; pass it, "
                    "or a pair for sources and targets"
                )
            level = tokenizer
        vocabulary = Vocabulary.from_json(values["vocabulary"])
        if vocabulary.eos is None:
            raise ValueError("the targets' vocabulary has no end")
        return cls(vocabulary, None if level is None else tokenizer_of(level))
