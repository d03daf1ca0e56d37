"""Steps of any number of symbols, such as the keys that sound together: lists of symbols, or rows of 0 and 1."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrs import _check
from seqrs.models.inputs import NO_LISTS, sequences

Symbols = list[Any]


def learn_symbols(X: Any) -> Symbols | None:
    """Return all symbols of training sequences, sorted, or None where steps come as 0 and 1.

    Raises
    ------
    ValueError, TypeError
        If a sequence does not list the symbols of its steps, or there are none, or they cannot be sorted.
    """
    if isinstance(X, np.ndarray) or isinstance(sequences("X", X)[0], np.ndarray):
        return None
    found = {
        symbol
        for i, row in enumerate(sequences("X", X))
        for _, step in _steps(f"X[{i}]", row)
        for symbol in step
    }
    if not found:
        raise ValueError("X: expected some symbol in some step, got none")
    try:
        return sorted(found)
    except TypeError:
        raise TypeError(
            f"X: expected symbols of one kind, got {', '.join(sorted(map(repr, found))[:5])}"
        ) from None


def rolled(name: str, X: Any, symbols: Symbols | None, dtype: str) -> Any:
    """Return sequences as arrays (T, K): a 1 where a step has the symbol; those that are, as they came.

    Raises
    ------
    ValueError, TypeError
        If a symbol is not known, or a number neither 0 nor 1.
    """
    if symbols is None:
        for i, row in enumerate(sequences(name, X)):
            if not np.isin(row, (0, 1)).all():
                raise ValueError(f"{name}[{i}]: expected steps of 0 and 1, got other numbers")
        return X
    places = {symbol: k for k, symbol in enumerate(symbols)}
    rolls = []
    for i, row in enumerate(sequences(name, X)):
        if isinstance(row, np.ndarray) and row.shape[1:] == (len(places),) and np.isin(row, (0, 1)).all():
            raise ValueError(
                f"{name}[{i}]: expected steps that list their symbols, because `symbols` says which there are, got rows of 0 and 1"
            )
        steps = list(_steps(f"{name}[{i}]", row))
        roll = np.zeros((len(steps), len(places)), dtype)
        for t, step in steps:
            for symbol in step:
                if symbol not in places:
                    raise ValueError(
                        f"{name}[{i}], step {t}: expected symbols of the {len(places)} known, got {symbol!r}"
                    )
                roll[t, places[symbol]] = 1
        rolls.append(roll)
    return rolls


def _steps(name: str, row: Any) -> Iterator[tuple[int, list[Any]]]:
    """Yield the number of each step and its symbols."""
    if isinstance(row, (str, *NO_LISTS)) or not isinstance(row, Iterable):
        raise TypeError(f"{name}: expected a list of steps, got {_check.describe(row)}")
    for t, step in enumerate(row):
        if isinstance(step, str) or not isinstance(step, Iterable):
            raise TypeError(f"{name}, step {t}: expected a list of symbols, got {_check.describe(step)}")
        symbols = list(step)
        for symbol in symbols:
            if not isinstance(symbol, Hashable):
                raise TypeError(f"{name}, step {t}: expected symbols, got {_check.describe(symbol)}")
        yield t, symbols


def listed(steps: Sequence[NDArray[Any]], symbols: Symbols | None) -> Any:
    """Return steps of 0 and 1 in the form of the training's."""
    if symbols is None:
        return np.array(steps)
    return [[symbols[k] for k in np.flatnonzero(step)] for step in steps]
