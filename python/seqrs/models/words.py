"""Words as a tagger reads them: their numbers, and their characters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs.models.inputs import Reader, Sequence_, kind_of, sequences
from seqrs.text.vocabulary import Vocabulary

# Characters of a word that are read, from its two ends; no more are needed to know a word by its looks.
LONGEST = 24
# In the place of a character where a word has no more of them; -1 is one that training has not seen.
NONE = -2


@dataclass(frozen=True, eq=False)
class WordReader(Reader):
    """Reads words in two ways at once: as tokens, perhaps in lower case, and by their characters.

    Attributes
    ----------
    characters : Vocabulary or None
        Those of the training's words; None: words are tokens alone.
    lowercase : bool
        Whether ``Paris`` and ``paris`` are one token. Their characters stay what they are.
    """

    characters: Vocabulary | None = None
    lowercase: bool = False

    @classmethod
    def of(cls, reader: Reader, words: list[list[str]] | None, *, lowercase: bool) -> "WordReader":
        """Return a reader of words from one of tokens, with the characters of some words, if there are any."""
        characters = None
        if words is not None:
            characters = Vocabulary.build(char for row in words for word in row for char in word)
        assert reader.vocabulary is not None
        size = len(reader.vocabulary)
        return cls(size, reader.tokenizer, reader.vocabulary, characters=characters, lowercase=lowercase)

    def read(self, X: Any, lengths: ArrayLike | None = None, name: str = "X") -> list[Sequence_]:
        """Return for each sequence tokens (T,), or with characters (T, 1 + LONGEST), the token first.

        Raises
        ------
        ValueError, TypeError
            As :meth:`Reader.read`.
        """
        rows = sequences(name, X, lengths)
        words = words_of(self, rows) if kind_of(name, rows) in ("text", "words") else None
        if words is None or self.vocabulary is None:
            return super().read(X, lengths, name)
        # As lists of words, whatever they came as: the tokenizer has done its work.
        as_words = Reader(self.size, vocabulary=self.vocabulary)
        tokens = as_words.read(lowered(words) if self.lowercase else words, name=name)
        if self.characters is None:
            return tokens
        return [
            np.concatenate([numbers[:, None], spelled(row, self.characters)], axis=1)
            for numbers, row in zip(tokens, words, strict=True)
        ]

    # Files

    def words_to_json(self) -> dict[str, Any]:
        """Return what a file keeps beside what :meth:`Reader.to_json` returns."""
        return {"characters": None if self.characters is None else self.characters.to_json()}

    @classmethod
    def words_from_json(cls, reader: Reader, values: Mapping[str, Any], *, lowercase: bool) -> "WordReader":
        """Return the reader that :meth:`words_to_json` wrote of, from what is known of tokens."""
        characters = values["characters"]
        return cls(
            reader.size,
            reader.tokenizer,
            reader.vocabulary,
            characters=None if characters is None else Vocabulary.from_json(characters),
            lowercase=lowercase,
        )


def lowered(words: list[list[str]]) -> list[list[str]]:
    """Return words in lower case."""
    return [[word.lower() for word in row] for row in words]


def words_of(reader: Reader, rows: list[Any]) -> list[list[str]]:
    """Return the words of each sequence, which is a str or a list of words."""
    if reader.tokenizer is None:
        return [list(map(str, row)) for row in rows]
    return [list(reader.tokenizer.tokenize(row)) for row in rows]


def spelled(words: list[str], characters: Vocabulary) -> NDArray[np.int32]:
    """Return the characters of each word, (n, LONGEST), those of a longer word from both its ends."""
    out = np.full((len(words), LONGEST), NONE, np.int32)
    for row, word in zip(out, words, strict=True):
        if len(word) > LONGEST:
            word = word[: LONGEST // 2] + word[-(LONGEST // 2) :]
        row[: len(word)] = characters.encode(word)
    return out
