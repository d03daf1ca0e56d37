"""From sequences as people have them to the arrays a network reads."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check
from seqrs._check import Floats
from seqrs.text.codec import level_of, tokenizer_of
from seqrs.text.tokenizers import ByteTokenizer, Tokenizer
from seqrs.text.vocabulary import Vocabulary

#: A sequence as a network reads it: token numbers (T,), -1 for the zero vector, or features (T, F).
Sequence_ = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Reader:
    """What a model reads, learned from its training data.

    Attributes
    ----------
    size : int
        Features of a step, or the number of different tokens.
    tokenizer : Tokenizer or None
        What cuts a str into tokens; None where sequences are not text.
    vocabulary : Vocabulary or None
        The tokens; None where steps are features, or tokens come as numbers.
    mean, scale : ndarray of shape (F,), or None
        Of every feature, which becomes ``(x - mean) / scale``; None where steps are tokens.
    """

    size: int
    tokenizer: Tokenizer | None = None
    vocabulary: Vocabulary | None = None
    mean: Floats | None = None
    scale: Floats | None = None

    @property
    def reads_tokens(self) -> bool:
        """Whether a step is a token rather than features."""
        return self.mean is None

    @classmethod
    def learn(
        cls,
        X: Any,
        lengths: ArrayLike | None,
        *,
        level: str | Tokenizer,
        min_count: int,
        max_vocab: int | None,
        standardize: bool,
        dtype: str,
    ) -> tuple["Reader", list[Sequence_]]:
        """Return the reader that training sequences call for, and what it reads of them.

        Raises
        ------
        ValueError, TypeError
            If they are not sequences of one kind. The message names the first that does not fit.
        """
        rows = sequences("X", X, lengths)
        kind = kind_of("X", rows)
        _check_steps("X", rows)
        if kind in ("text", "words"):
            tokenizer = tokenizer_of(level) if kind == "text" else None
            cut = [list(tokenizer.tokenize(row)) if tokenizer else list(row) for row in rows]
            if isinstance(tokenizer, ByteTokenizer):
                vocabulary = Vocabulary(map(chr, range(256)))
            else:
                every = (token for tokens in cut for token in tokens)
                vocabulary = Vocabulary.build(every, min_count=min_count, max_size=max_vocab)
            reader = cls(len(vocabulary), tokenizer, vocabulary)
        elif kind == "numbers":
            for i, row in enumerate(rows):
                _check.tokens(f"X[{i}]", row, _MOST_TOKENS, ("T",))
            reader = cls(1 + max(int(np.max(row)) for row in rows))
        else:
            steps = [features(f"X[{i}]", row, dtype) for i, row in enumerate(rows)]
            width = steps[0].shape[1]
            steps = [features(f"X[{i}]", row, dtype, width) for i, row in enumerate(steps)]
            mean, scale = np.zeros(width), np.ones(width)
            if standardize:
                every_step = np.concatenate(steps).astype(np.float64)
                mean, spread = every_step.mean(0), every_step.std(0)
                scale = np.where(spread > 1e-12 * np.abs(mean), spread, 1.0)  # a constant stays one
            reader = cls(width, mean=mean.astype(dtype), scale=scale.astype(dtype))
        return reader, reader.read(X, lengths)

    def read(self, X: Any, lengths: ArrayLike | None = None, name: str = "X") -> list[Sequence_]:
        """Return the sequences as arrays: int32 tokens (T,), or standardised features (T, F).

        A token that training has not seen is -1, the zero vector.

        Raises
        ------
        ValueError, TypeError
            If they are not of the kind that the model was trained on, or one has no steps.
        """
        rows = sequences(name, X, lengths)
        kind = kind_of(name, rows)
        if self.mean is None or self.scale is None:
            expected = ("text", "words") if self.vocabulary is not None else ("numbers",)
            if kind not in expected or (kind == "text") > (self.tokenizer is not None):
                raise TypeError(f"{name}: expected {self._kind}, as in training, got {_KINDS[kind]}")
            arrays: list[Sequence_] = [self._tokens(f"{name}[{i}]", row) for i, row in enumerate(rows)]
        else:
            if kind in ("text", "words"):
                raise TypeError(f"{name}: expected {_KINDS['features']}, as in training, got {_KINDS[kind]}")
            dtype = self.mean.dtype.name
            arrays = [
                (features(f"{name}[{i}]", row, dtype, self.size) - self.mean) / self.scale
                for i, row in enumerate(rows)
            ]
        _check_steps(name, arrays)
        return arrays

    @property
    def _kind(self) -> str:
        if self.vocabulary is None:
            return _KINDS["numbers"]
        return _KINDS["words" if self.tokenizer is None else "text"]

    def _tokens(self, name: str, row: Any) -> NDArray[np.int32]:
        if self.vocabulary is None:
            return _check.tokens(name, row, self.size, ("T",))
        if isinstance(row, str) and self.tokenizer is not None:
            row = self.tokenizer.tokenize(row)
        return self.vocabulary.encode(row)

    # Files

    def to_json(self) -> dict[str, Any]:
        """Return what a file keeps beside the vocabulary and :meth:`tensors`."""
        level = None if self.tokenizer is None else level_of(self.tokenizer)
        return {"size": self.size, "level": level, "tokens": self.reads_tokens}

    def tensors(self) -> dict[str, Floats]:
        """Return what a file keeps as arrays."""
        if self.mean is None or self.scale is None:
            return {}
        return {"mean": self.mean, "scale": self.scale}

    @classmethod
    def from_json(
        cls,
        values: Mapping[str, Any],
        vocabulary: str,
        tensors: Mapping[str, Floats],
        tokenizer: Tokenizer | None,
    ) -> "Reader":
        """Return the reader that :meth:`to_json` and :meth:`tensors` wrote."""
        size, level = _check.integer("size", values["size"], minimum=1), values["level"]
        if not values["tokens"]:
            mean, scale = tensors["mean"], tensors["scale"]
            if mean.shape != (size,) or scale.shape != (size,):
                raise ValueError("the features' scales do not fit")
            return cls(size, mean=mean, scale=scale)
        known = Vocabulary.from_json(vocabulary) if vocabulary else None
        if known is not None and len(known) != size:
            raise ValueError("the vocabulary does not fit")
        if level == "custom":
            if tokenizer is None:
                raise LookupError("tokenizer: the model was trained with a tokenizer of its own; pass it")
            level = tokenizer
        return cls(size, None if level is None else tokenizer_of(level), known)


# Without an order, or gone when they have been read once.
NO_LISTS = (Mapping, Set, Iterator)

# Numbers of tokens are 32 bits.
_MOST_TOKENS = 2**31 - 1

_KINDS = {
    "text": "strings",
    "words": "sequences of tokens (str)",
    "numbers": "sequences of token numbers (integers)",
    "features": "sequences of features (floats)",
}


def sequences(name: str, X: Any, lengths: ArrayLike | None = None) -> list[Any]:
    """Return the sequences one by one: those of a list, or the rows of a padded array.

    Raises
    ------
    ValueError, TypeError
        If there are none, or it is neither.
    """
    if isinstance(X, (str, bytes)):
        raise TypeError(
            f"{name}: expected a list of sequences, got a single {type(X).__name__}; put it in a list"
        )
    X = _check.plain(X)
    if isinstance(X, np.ndarray) and X.dtype != object and X.dtype.kind != "U":
        if X.ndim not in (2, 3):
            raise ValueError(
                f"{name}: expected a padded array of shape (B, T) or (B, T, F), or a list of sequences, "
                f"got shape {X.shape}"
            )
        counts = _check.lengths(lengths, *X.shape[:2], of=name)
        rows = list(X) if counts is None else [row[:n] for row, n in zip(X, counts, strict=True)]
    else:
        if lengths is not None:
            raise ValueError(f"lengths: expected None, because {name} is no padded array")
        if not isinstance(X, Iterable) or isinstance(X, NO_LISTS):
            raise TypeError(f"{name}: expected a list of sequences, got {_check.describe(X)}")
        rows = [_check.plain(row) for row in X]
    if not rows:
        raise ValueError(f"{name}: expected at least one sequence, got none")
    return rows


def _check_steps(name: str, rows: Sequence[Any]) -> None:
    for i, row in enumerate(rows):
        if len(row) == 0:
            raise ValueError(f"{name}[{i}]: expected at least one step, got an empty sequence")


def kind_of(name: str, rows: Sequence[Any]) -> str:
    """Return what the sequences are made of: ``"text"``, ``"words"``, ``"numbers"`` or ``"features"``."""
    kinds: dict[str, int] = {}
    for i, row in enumerate(rows):
        kinds.setdefault(_kind_of_row(f"{name}[{i}]", row), i)
    found = kinds.keys() - {"empty"}
    if found == {"numbers", "features"}:
        found = {"features"}  # some rows happen to be whole numbers
    if len(found) > 1:
        first, second = sorted(found, key=kinds.__getitem__)[:2]
        raise ValueError(
            f"{name}: expected sequences of one kind, got {_KINDS[first]} at {name}[{kinds[first]}] "
            f"and {_KINDS[second]} at {name}[{kinds[second]}]"
        )
    if not found:
        raise ValueError(f"{name}[0]: expected at least one step, got an empty sequence")
    return found.pop()


def _kind_of_row(name: str, row: Any) -> str:
    if isinstance(row, str):
        return "text"
    if isinstance(row, np.ndarray) and row.dtype != object:
        array = row
    elif isinstance(row, Iterable) and not isinstance(row, NO_LISTS):
        row = list(row)
        if row and all(isinstance(token, str) for token in row):
            return "words"
        array = _array(name, row)
    else:
        raise TypeError(
            f"{name}: expected a sequence, got {_check.describe(row)}; a sequence of one step is [x]"
        )
    if array.size == 0 and array.ndim == 1:
        return "empty"
    if array.dtype.kind == "U" and array.ndim == 1:
        return "words"
    if array.dtype.kind not in "iufb" or array.ndim not in (1, 2):
        raise ValueError(
            f"{name}: expected a str, or steps of shape (T,) or (T, F), got {array.dtype} of shape {array.shape}"
        )
    return "numbers" if array.dtype.kind in "iu" and array.ndim == 1 else "features"


def _array(name: str, row: Any) -> NDArray[Any]:
    try:
        return np.asarray(row)
    except ValueError:
        raise ValueError(
            f"{name}: expected steps with the same number of features, got steps that differ"
        ) from None


def features(name: str, row: Any, dtype: str, size: int | None = None) -> Floats:
    """Return the steps of one sequence as floats (T, F); a step of one number may come without its axis."""
    array = _array(name, row)
    if array.ndim == 1:
        array = array.reshape(-1, 1 if array.size else size or 1)
    if size is not None and array.shape[1] != size:
        raise ValueError(f"{name}: expected {size} features a step, got {array.shape[1]}")
    _check.finite_everywhere(name, array)
    return cast(Floats, array.astype(dtype))


def padded(
    rows: Sequence[NDArray[Any]], fill: Any = 0, steps: int = 0
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return arrays of different length as one array (B, T, ...), with at least so many steps, and their lengths."""
    lengths = np.array([len(row) for row in rows], np.int64)
    whole = np.full((len(rows), int(lengths.max(initial=steps)), *rows[0].shape[1:]), fill, rows[0].dtype)
    for row, into in zip(rows, whole, strict=True):
        into[: len(row)] = row
    return whole, lengths


def check_padding(name: str, y: Any, X: Any, inputs: Sequence[Sequence_]) -> None:
    """Refuse a padded array of what is given for each step that has more steps than the sequences have."""
    y, X = _check.plain(y), _check.plain(X)
    if getattr(y, "ndim", 1) >= 2:
        one = isinstance(X, np.ndarray) and X.ndim >= 2  # padded, too
        steps = X.shape[1] if one else max(map(len, inputs), default=0)
        if y.shape[1] > steps:
            raise ValueError(f"{name}: expected at most {steps} steps, as many as X has, got shape {y.shape}")


def without_padding(y: Any, rows: list[Any], inputs: Sequence[Sequence_]) -> list[Any]:
    """Return what is given for each sequence: of `y` that is one padded array, the part that its steps have."""
    if getattr(_check.plain(y), "ndim", 1) < 2:
        return rows
    lengths = [len(x) for x in inputs] + [None] * len(rows)  # that there are too many, others say
    return [row[:length] for row, length in zip(rows, lengths, strict=False)]
