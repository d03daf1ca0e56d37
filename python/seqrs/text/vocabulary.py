"""The tokens a model knows, and their numbers."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from seqrs import _check

#: The word that stands for every word outside the vocabulary.
UNK = "<UNK>"
#: The end of a sentence, a line, a document.
EOS = "<EOS>"


class Vocabulary:
    """A fixed list of tokens; the number of a token is its place in the list.

    Parameters
    ----------
    tokens : iterable of str
        The tokens in order, each once. ``"<UNK>"`` and ``"<EOS>"`` among them get their special
        meaning: the first stands for every token outside the vocabulary, the second ends a
        document.

    Attributes
    ----------
    tokens : tuple of str
        The tokens in order.
    unk, eos : int or None
        The numbers of ``"<UNK>"`` and ``"<EOS>"``; None where the vocabulary has no such token.

    Raises
    ------
    ValueError
        If there is no token, or one comes twice.
    TypeError
        If a token is not a str.

    Examples
    --------
    >>> from seqrs.text import Vocabulary
    >>> vocabulary = Vocabulary.build("to be or not to be".split(), unk=True)
    >>> vocabulary.tokens
    ('<UNK>', 'be', 'to', 'not', 'or')
    >>> vocabulary.encode(["to", "see"])
    array([2, 0], dtype=int32)
    >>> vocabulary.decode([2, 1])
    ['to', 'be']
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self.tokens = tuple(tokens)
        if not self.tokens:
            raise ValueError("tokens: expected at least one token, got none")
        for token in self.tokens:
            if not isinstance(token, str):
                raise TypeError(f"tokens: expected str, got {type(token).__name__} {token!r}")
        self._numbers = {token: number for number, token in enumerate(self.tokens)}
        if len(self._numbers) < len(self.tokens):
            ((twice, _),) = Counter(self.tokens).most_common(1)
            raise ValueError(f"tokens: expected each token once, got {twice!r} more than once")
        self.unk = self._numbers.get(UNK)
        self.eos = self._numbers.get(EOS)

    @classmethod
    def build(
        cls,
        tokens: Iterable[str],
        *,
        min_count: SupportsIndex = 1,
        max_size: SupportsIndex | None = None,
        unk: bool = False,
        eos: bool = False,
    ) -> "Vocabulary":
        """Make a vocabulary of the tokens that a text holds.

        The special tokens come first, then the others, the frequent before the rare, equally
        frequent ones in the order of their characters.

        Parameters
        ----------
        tokens : iterable of str
            The text's tokens, repeated as they are there.
        min_count : int, default 1
            Leave out tokens that come fewer times than this.
        max_size : int, optional
            Keep at most so many tokens, the special ones among them. Default: no limit.
        unk, eos : bool, default False
            Whether to have ``"<UNK>"`` and ``"<EOS>"``.

        Returns
        -------
        Vocabulary

        Raises
        ------
        ValueError
            If a limit is out of range, or leaves no token over.
        """
        special = [EOS] * eos + [UNK] * unk
        least = _check.integer("min_count", min_count, minimum=1)
        counts = Counter(tokens)
        for token in special:
            counts.pop(token, None)
        kept = [token for token, count in counts.items() if count >= least]
        kept.sort(key=lambda token: (-counts[token], token))
        if max_size is not None:
            room = _check.integer("max_size", max_size, minimum=len(special) + 1)
            kept = kept[: room - len(special)]
        if not kept:
            raise ValueError(f"tokens: expected some that come at least {least} times (min_count), got none")
        return cls(special + kept)

    def encode(self, tokens: Iterable[str]) -> NDArray[np.int32]:
        """Return the number of each token.

        Parameters
        ----------
        tokens : iterable of str
            Any tokens at all; a str counts as its characters.

        Returns
        -------
        ndarray of int32, shape (n,)
            A token outside the vocabulary becomes `unk`, or -1 if there is none: a model reads
            -1 as the zero vector.
        """
        missing = -1 if self.unk is None else self.unk
        get = self._numbers.get
        return np.fromiter((get(token, missing) for token in tokens), np.int32)

    def decode(self, numbers: Iterable[SupportsIndex]) -> list[str]:
        """Return the token of each number.

        Parameters
        ----------
        numbers : iterable of int
            From 0 to the size of the vocabulary - 1.

        Returns
        -------
        list of str

        Raises
        ------
        ValueError
            If a number is outside that range. -1 is no token, so it has no text.
        """
        places = [number.__index__() for number in numbers]
        last = len(self.tokens) - 1
        for place in places:
            if not 0 <= place <= last:
                raise ValueError(f"numbers: expected integers from 0 to {last}, got {place}")
        return [self.tokens[place] for place in places]

    def one_hot(self, numbers: ArrayLike, dtype: DTypeLike = "float32") -> NDArray[np.floating]:
        """Return the vectors that the numbers stand for.

        Models never need them (they look weights up by number); people who want to see them do.

        Parameters
        ----------
        numbers : array of int, shape (n,)
            As :meth:`encode` returns them.
        dtype : "float32" or "float64", default "float32"
            Of the result.

        Returns
        -------
        ndarray of shape (n, V)
            A one in the column of each number; nothing but zeros for -1.

        Raises
        ------
        ValueError, TypeError
            If a number is not an integer from -1 to V - 1.

        Examples
        --------
        >>> from seqrs.text import Vocabulary
        >>> Vocabulary("abc").one_hot([2, -1])
        array([[0., 0., 1.],
               [0., 0., 0.]], dtype=float32)
        """
        columns = _check.tokens("numbers", numbers, len(self), ("n",))
        vectors: NDArray[np.floating] = np.zeros((len(columns), len(self)), _check.dtype(dtype))
        known = columns >= 0
        vectors[known, columns[known]] = 1
        return vectors

    def to_json(self) -> str:
        """Return the vocabulary as a JSON text, for :meth:`from_json`."""
        return json.dumps({"tokens": self.tokens}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Vocabulary":
        """Read what :meth:`to_json` returned.

        Raises
        ------
        ValueError
            If the text is anything else.
        """
        content = json.loads(text)  # a JSONDecodeError is a ValueError
        tokens = content.get("tokens") if isinstance(content, dict) else None
        if not isinstance(tokens, list):
            raise ValueError('vocabulary: expected {"tokens": [...]}, got other JSON')
        return cls(tokens)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary to a JSON file."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Vocabulary":
        """Read a JSON file that :meth:`save` wrote.

        Raises
        ------
        ValueError
            If the file holds anything else.
        """
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{os.fspath(path)}: not a vocabulary: {error}") from None

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._numbers

    def __iter__(self) -> Iterator[str]:
        return iter(self.tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.tokens == other.tokens

    def __hash__(self) -> int:
        return hash(self.tokens)

    def __repr__(self) -> str:
        return f"<Vocabulary of {len(self)} tokens>"
