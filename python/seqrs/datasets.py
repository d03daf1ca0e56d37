"""Sequences made by a rule, to test what a recurrent network can learn: no files, any amount, the same every time.

============== ===================================================== =====================
`adding`       add two marked numbers of a long sequence             many-to-one
`copy_memory`  say ten symbols again after a long wait               Tx = Ty
`reverse`      say a sequence backwards                              encoder-decoder
`sort_digits`  say the digits in order                               encoder-decoder
`dyck`         brackets that match                                   a language, with a stack
`dates`        a date as people write it, and as machines do         encoder-decoder
============== ===================================================== =====================

A seed makes the same data on every machine; another seed makes a test set, as with any chance
equal sequences only where there are few.

Examples
--------
>>> from seqrs import datasets
>>> x, y = datasets.adding(1000, 100, seed=0)
>>> x.shape, y.shape
((1000, 100, 2), (1000,))
>>> datasets.dyck(3, max_length=8, seed=1)
['[[]]', '[[]()]', '[[]][]()']
"""

import datetime
from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from seqrs import _check

__all__ = ["adding", "copy_memory", "dates", "dyck", "reverse", "sort_digits"]

#: Of a sequence of :func:`copy_memory`: symbols to remember, and how many different ones there are.
_SYMBOLS, _KINDS = 10, 8
_BRACKETS = "()[]{}<>"
#: How people write a date; two of them give the year in two digits.
_DATES = (
    "{weekday}, {day} {month} {year}",
    "{month} {day}, {year}",
    "{month} {ordinal}, {year}",
    "the {ordinal} of {month} {year}",
    "{short_weekday} {day} {short_month} {year}",
    "{short_month} {day} {year}",
    "{day:02}/{number:02}/{year}",
    "{year}.{number}.{day}",
    "{day}.{number}.{short_year:02}",
    "{day:02}-{short_month}-{short_year:02}",
)
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

Tokens = NDArray[np.int32]


def adding(
    n: SupportsIndex, steps: SupportsIndex, *, seed: SupportsIndex | None = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the adding problem (Hochreiter and Schmidhuber 1997, in the form of Le et al. 2015).

    Each step has a random number from 0 to 1 and a mark, which is 1 at one step of the first
    half and at one of the second. The target is the sum of the two marked numbers. Who always
    says 1 has a mean squared error of 1/6.

    Parameters
    ----------
    n : int
        How many sequences.
    steps : int
        T, how long each is; at least 2.
    seed : int, optional
        The same seed gives the same sequences. None: drawn at random.

    Returns
    -------
    x : ndarray of shape (n, T, 2), float32
        Number and mark.
    y : ndarray of shape (n,), float32
        The sum.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range.

    Examples
    --------
    >>> from seqrs import datasets
    >>> x, y = datasets.adding(4, 50, seed=1)
    >>> bool(((x[..., 0] * x[..., 1]).sum(axis=1) == y).all()), x[..., 1].sum(axis=1).tolist()
    (True, [2.0, 2.0, 2.0, 2.0])
    """
    count, T = _check.integer("n", n, minimum=1), _check.integer("steps", steps, minimum=2)
    draw, rows = _generator(seed), np.arange(count)
    x = np.zeros((count, T, 2), np.float32)
    x[..., 0] = draw.random((count, T), np.float32)
    first, second = draw.integers(0, T // 2, count), draw.integers(T // 2, T, count)
    x[rows, first, 1] = x[rows, second, 1] = 1
    return x, x[rows, first, 0] + x[rows, second, 0]


def copy_memory(
    n: SupportsIndex, steps: SupportsIndex, *, seed: SupportsIndex | None = 0
) -> tuple[Tokens, Tokens]:
    r"""Return the copy problem (Hochreiter and Schmidhuber 1997, in the form of Arjovsky et al. 2016).

    Ten symbols from 1 to 8, then T - 1 blanks (0), then a sign (9) to say the symbols again, and
    ten blanks during which they are to be said. The target is blank until then. Who remembers
    nothing has a cross-entropy of 10 ln 8 / (T + 20) a step.

    Parameters
    ----------
    n : int
        How many sequences.
    steps : int
        T, how long to wait; at least 1.
    seed : int, optional
        As for :func:`adding`.

    Returns
    -------
    x, y : ndarray of shape (n, T + 20), int32
        Tokens 0 to 9 in, 0 to 8 out.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range.

    Examples
    --------
    >>> from seqrs import datasets
    >>> x, y = datasets.copy_memory(1, 3, seed=0)
    >>> print(x[0], y[0], sep="\n")
    [7 6 5 3 3 1 1 1 2 7 0 0 9 0 0 0 0 0 0 0 0 0 0]
    [0 0 0 0 0 0 0 0 0 0 0 0 0 7 6 5 3 3 1 1 1 2 7]
    """
    count, T = _check.integer("n", n, minimum=1), _check.integer("steps", steps, minimum=1)
    symbols = _generator(seed).integers(1, _KINDS + 1, (count, _SYMBOLS), np.int32)
    x, y = np.zeros((2, count, T + 2 * _SYMBOLS), np.int32)
    x[:, :_SYMBOLS] = y[:, -_SYMBOLS:] = symbols
    x[:, T + _SYMBOLS - 1] = _KINDS + 1
    return x, y


def reverse(
    n: SupportsIndex, length: SupportsIndex, *, symbols: SupportsIndex = 10, seed: SupportsIndex | None = 0
) -> tuple[Tokens, Tokens]:
    """Return random sequences, and the same backwards (Sutskever et al. 2014 on why that is easy or hard).

    Parameters
    ----------
    n : int
        How many sequences.
    length : int
        How long each is.
    symbols : int, default 10
        How many different symbols there are, from 0.
    seed : int, optional
        As for :func:`adding`.

    Returns
    -------
    x, y : ndarray of shape (n, length), int32
        Forwards and backwards.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range.

    Examples
    --------
    >>> from seqrs import datasets
    >>> x, y = datasets.reverse(2, 5, seed=0)
    >>> bool((x == y[:, ::-1]).all())
    True
    """
    x = _random(n, length, _check.integer("symbols", symbols, minimum=1, maximum=2**31 - 1), seed)
    return x, x[:, ::-1].copy()


def sort_digits(
    n: SupportsIndex, length: SupportsIndex, *, seed: SupportsIndex | None = 0
) -> tuple[Tokens, Tokens]:
    """Return random digits, and the same in order.

    Parameters
    ----------
    n : int
        How many sequences.
    length : int
        How long each is.
    seed : int, optional
        As for :func:`adding`.

    Returns
    -------
    x, y : ndarray of shape (n, length), int32
        As they come, and sorted.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range.

    Examples
    --------
    >>> from seqrs import datasets
    >>> x, y = datasets.sort_digits(1, 6, seed=0)
    >>> x[0].tolist(), y[0].tolist()
    ([8, 6, 5, 2, 3, 0], [0, 2, 3, 5, 6, 8])
    """
    x = _random(n, length, 10, seed)
    return x, np.sort(x, axis=1)


def dates(n: SupportsIndex, *, seed: SupportsIndex | None = 0) -> tuple[list[str], list[str]]:
    """Return dates as people write them, in ten ways, and the same as YYYY-MM-DD.

    The years are 1950 to 2050. One date in five has its year in two digits, of which only 50 has
    two meanings: nobody gets all of them right.

    Parameters
    ----------
    n : int
        How many.
    seed : int, optional
        As for :func:`adding`.

    Returns
    -------
    written, iso : list of str

    Raises
    ------
    ValueError, TypeError
        If a number is out of range, or of another type.

    Examples
    --------
    >>> from seqrs import datasets
    >>> for written, iso in zip(*datasets.dates(3, seed=4)):
    ...     print(f"{written} = {iso}")
    May 16 2023 = 2023-05-16
    01-Apr-45 = 2045-04-01
    08-Jan-39 = 2039-01-08
    """
    count, draw = _check.integer("n", n, minimum=1), _generator(seed)
    first, last = datetime.date(1950, 1, 1).toordinal(), datetime.date(2050, 12, 31).toordinal()
    days = draw.integers(first, last + 1, count)
    ways = draw.integers(0, len(_DATES), count)
    chosen = [datetime.date.fromordinal(int(day)) for day in days]
    written = [_DATES[way].format(**_date_parts(date)) for way, date in zip(ways, chosen, strict=True)]
    return written, [date.isoformat() for date in chosen]


def _date_parts(date: datetime.date) -> dict[str, str | int]:
    """Return what the forms of a date are made of."""
    month, weekday = _MONTHS[date.month - 1], _WEEKDAYS[date.weekday()]
    teens = date.day // 10 == 1
    ending = "th" if teens else {1: "st", 2: "nd", 3: "rd"}.get(date.day % 10, "th")
    return {
        "day": date.day,
        "ordinal": f"{date.day}{ending}",
        "month": month,
        "short_month": month[:3],
        "number": date.month,
        "weekday": weekday,
        "short_weekday": weekday[:3],
        "year": date.year,
        "short_year": date.year % 100,
    }


def dyck(
    n: SupportsIndex,
    *,
    kinds: SupportsIndex = 2,
    depth: SupportsIndex = 3,
    min_length: SupportsIndex = 2,
    max_length: SupportsIndex = 20,
    seed: SupportsIndex | None = 0,
) -> list[str]:
    """Return words of brackets that match: the language Dyck-k up to a depth (Hewitt et al. 2020).

    What comes next depends on the brackets that are open, as on a stack. Train on short words
    and test on longer ones to see whether a network has learned the rule.

    Parameters
    ----------
    n : int
        How many words.
    kinds : int, default 2
        k, how many of the four kinds of brackets ``()[]{}<>`` there are.
    depth : int, default 3
        How many may be open at once.
    min_length, max_length : int, default 2 and 20
        Words have an even length from one to the other, all with the same probability. Where a
        bracket may as well be opened as closed, both have probability 1/2.
    seed : int, optional
        As for :func:`adding`.

    Returns
    -------
    list of str

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range, or there is no even length between the two.

    Examples
    --------
    >>> from seqrs import datasets
    >>> datasets.dyck(3, kinds=1, depth=2, min_length=6, max_length=6)
    ['()(())', '(()())', '()()()']
    """
    count, deepest = _check.integer("n", n, minimum=1), _check.integer("depth", depth, minimum=1)
    pairs = _check.integer("kinds", kinds, minimum=1, maximum=len(_BRACKETS) // 2)
    shortest = _check.integer("min_length", min_length, minimum=2)
    longest = _check.integer("max_length", max_length, minimum=shortest)
    lengths = [length for length in range(shortest, longest + 1) if length % 2 == 0]
    if not lengths:
        raise ValueError(f"max_length: expected an even length from min_length on, got {longest}")
    draw, words = _generator(seed), []
    for length in draw.choice(lengths, count):
        word, opened = "", list[int]()
        for left in range(int(length), 0, -1):
            may_open = len(opened) < min(deepest, left)  # and still be closed in time
            if not opened or (may_open and draw.random() < 0.5):
                opened.append(int(draw.integers(pairs)))
                word += _BRACKETS[2 * opened[-1]]
            else:
                word += _BRACKETS[2 * opened.pop() + 1]
        words.append(word)
    return words


def _generator(seed: SupportsIndex | None) -> np.random.Generator:
    # PCG64 and not NumPy's default, which another version of NumPy may change.
    return np.random.Generator(np.random.PCG64(_check.seed(seed)))


def _random(n: SupportsIndex, length: SupportsIndex, symbols: int, seed: SupportsIndex | None) -> Tokens:
    shape = _check.integer("n", n, minimum=1), _check.integer("length", length, minimum=1)
    return _generator(seed).integers(0, symbols, shape, np.int32)
