"""From a text to the numbers a model reads: a tokenizer, a vocabulary, and where documents end."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqrs import _check
from seqrs.text.tokenizers import ByteTokenizer, CharTokenizer, Detokenizer, Tokenizer, WordTokenizer
from seqrs.text.vocabulary import EOS, Vocabulary

#: The tokenizers that go by a name.
LEVELS: dict[str, Tokenizer] = {
    "char": CharTokenizer(),
    "byte": ByteTokenizer(),
    "word": WordTokenizer(),
    "word-punct": WordTokenizer(split_punctuation=True),
}


def tokenizer_of(level: str | Tokenizer) -> Tokenizer:
    """Return the tokenizer of a level, or the one given.

    Raises
    ------
    ValueError, TypeError
        If it is neither the name of a level nor has the two methods of a tokenizer.
    """
    if isinstance(level, str):
        if level not in LEVELS:
            raise ValueError(f"level: expected {', '.join(LEVELS)} or a tokenizer, got {level!r}")
        return LEVELS[level]
    if not isinstance(level, Tokenizer):
        raise TypeError(
            "level: expected a name or an object with the methods tokenize and detokenize, "
            f"got {type(level).__name__}"
        )
    return level


def level_of(tokenizer: Tokenizer) -> str:
    """Return the name of a tokenizer, ``"custom"`` where it has none."""
    return next((name for name, known in LEVELS.items() if known == tokenizer), "custom")


def document_tokens(tokenizer: Tokenizer, document: str, documents: str) -> list[str]:
    """Return a document's tokens; words and lines end in ``"<EOS>"``."""
    tokens = list(tokenizer.tokenize(document))
    words = isinstance(tokenizer, WordTokenizer)
    if documents == "line" or (words and (not tokens or tokens[-1] != EOS)):
        tokens.append(EOS)
    return tokens


@dataclass(frozen=True)
class Codec:
    """What stands between a model and its texts.

    Attributes
    ----------
    tokenizer : Tokenizer
    vocabulary : Vocabulary
    documents : "file" or "line"
        What a document is; see :class:`seqrs.text.Corpus`.
    """

    tokenizer: Tokenizer
    vocabulary: Vocabulary
    documents: str

    @classmethod
    def build(
        cls,
        tokenizer: Tokenizer,
        tokens: Iterable[str],
        documents: str,
        *,
        min_count: int,
        max_size: int | None,
    ) -> "Codec":
        """Make the vocabulary that the tokens of a training text call for.

        It has ``"<EOS>"`` where documents end in one: lines at every level, and words. Words, and the tokens of a
        tokenizer of one's own, have ``"<UNK>"``; a character that training has not seen has no
        such stand-in, and among bytes there is none: all 256 are in the vocabulary.
        """
        lines = documents == "line"
        if isinstance(tokenizer, ByteTokenizer):
            vocabulary = Vocabulary([EOS] * lines + [chr(byte) for byte in range(256)])
        else:
            words = isinstance(tokenizer, WordTokenizer)
            vocabulary = Vocabulary.build(
                tokens,
                min_count=min_count,
                max_size=max_size,
                unk=not isinstance(tokenizer, CharTokenizer),
                eos=lines or words,
            )
        return cls(tokenizer, vocabulary, documents)

    def tokens(self, document: str) -> list[str]:
        """Return a document's tokens, with its end if it has one."""
        return document_tokens(self.tokenizer, _check.text("text", document), self.documents)

    def prompt(self, text: str) -> tuple[list[str], NDArray[np.int32]]:
        """Return the tokens of a beginning of a document, and what a model reads: first of all the zero vector."""
        tokens = list(self.tokenizer.tokenize(_check.text("prompt", text)))
        numbers = self.vocabulary.encode(tokens)
        if (numbers < 0).any():
            warnings.warn(
                f"prompt: {describe_unseen(tokens, numbers)}, read as the zero vector", stacklevel=4
            )
        return tokens, np.concatenate([np.array([-1], np.int32), numbers])

    def detokenizer(self, prompt: Sequence[str]) -> Detokenizer:
        """Return what turns drawn tokens into the text that follows a prompt."""
        return Detokenizer(self.tokenizer, prompt)


def describe_unseen(tokens: Sequence[str], numbers: NDArray[np.int32]) -> str:
    """Say which tokens are outside the vocabulary."""
    unseen = list(dict.fromkeys(token for token, number in zip(tokens, numbers, strict=True) if number < 0))
    shown = ", ".join(map(repr, unseen[:5])) + (", ..." if len(unseen) > 5 else "")
    return f"{shown} not seen in training"
