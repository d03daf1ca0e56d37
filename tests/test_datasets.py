"""Generated sequences follow their rules, and the seed."""

import contextlib
import datetime
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from seqrs import datasets

GENERATORS: list[Callable[[int], Any]] = [
    lambda seed: datasets.adding(20, 9, seed=seed)[0],
    lambda seed: datasets.copy_memory(20, 4, seed=seed)[0],
    lambda seed: datasets.reverse(20, 9, seed=seed)[0],
    lambda seed: datasets.sort_digits(20, 9, seed=seed)[0],
    lambda seed: datasets.dyck(20, seed=seed),
    lambda seed: datasets.dates(20, seed=seed),
]


@pytest.mark.parametrize("generate", GENERATORS)
def test_the_seed_decides(generate: Callable[[int], Any]) -> None:
    assert np.array_equal(generate(3), generate(3))
    assert not np.array_equal(generate(3), generate(4))


def test_adding_marks_one_number_in_each_half() -> None:
    x, y = datasets.adding(2000, 7, seed=0)
    marks = x[..., 1]
    assert (marks[:, :3].sum(axis=1) == 1).all()
    assert (marks[:, 3:].sum(axis=1) == 1).all()
    assert np.array_equal((x[..., 0] * marks).sum(axis=1), y)
    assert marks.mean(axis=0) == pytest.approx([1 / 3] * 3 + [1 / 4] * 4, abs=0.04)
    assert np.mean((y - 1) ** 2) == pytest.approx(1 / 6, abs=0.01)


def test_copy_memory_asks_for_the_symbols_after_the_wait() -> None:
    x, y = datasets.copy_memory(500, 5, seed=0)
    assert x.shape == y.shape == (500, 25)
    assert np.array_equal(x[:, :10], y[:, -10:])
    assert set(x[:, :10].ravel()) == set(range(1, 9))
    assert (x[:, 10:14] == 0).all()
    assert (x[:, 14] == 9).all()
    assert not x[:, 15:].any()
    assert not y[:, :15].any()


def test_reverse_and_sort() -> None:
    x, y = datasets.reverse(200, 6, symbols=3, seed=0)
    assert np.array_equal(x[:, ::-1], y)
    assert set(x.ravel()) == {0, 1, 2}
    x, y = datasets.sort_digits(200, 6, seed=0)
    assert (np.diff(y) >= 0).all()
    assert all(
        np.array_equal(np.bincount(a, minlength=10), np.bincount(b, minlength=10))
        for a, b in zip(x, y, strict=True)
    )
    assert set(x.ravel()) == set(range(10))


@pytest.mark.parametrize(("kinds", "depth"), [(1, 1), (2, 3), (4, 9)])
def test_dyck_words_match(kinds: int, depth: int) -> None:
    words = datasets.dyck(400, kinds=kinds, depth=depth, min_length=3, max_length=11, seed=0)
    reached = 0
    for word in words:
        opened: list[str] = []
        for bracket in word:
            if bracket in "([{<":
                opened.append(bracket)
            else:
                assert opened.pop() + bracket in {"()", "[]", "{}", "<>"}
            reached = max(reached, len(opened))
        assert not opened
    assert {len(word) for word in words} == {4, 6, 8, 10}
    assert reached == min(depth, 5)  # a word of 10 has at most 5 open
    assert {bracket for word in words for bracket in word} == set("()[]{}<>"[: 2 * kinds])


def test_dates_say_what_their_iso_form_says() -> None:
    forms = (
        "%A, %d %B %Y", "%B %d, %Y", "the %d of %B %Y", "%a %d %b %Y", "%b %d %Y", "%d/%m/%Y", "%Y.%m.%d",
        "%d.%m.%y", "%d-%b-%y",
    )  # fmt: skip
    written, iso = datasets.dates(2000, seed=1)
    found = set()
    for text, wanted in zip(written, iso, strict=True):
        plain = re.sub(r"(?<=\d)(st|nd|rd|th)\b", "", text)
        for form in forms:
            with contextlib.suppress(ValueError):
                date = datetime.datetime.strptime(plain, form).date()
                found.add((form, plain != text))
                # Two digits of a year are those of 1950 to 2050, not strptime's 1969 to 2068.
                assert date.isoformat()[2:] == wanted[2:]
                assert "%y" in form or date.isoformat() == wanted
                break
        else:
            pytest.fail(f"{text!r} is in no known form")
    assert len(found) == 10
    assert min(iso) >= "1950"
    assert max(iso) < "2051"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: datasets.adding(0, 9), "n: expected an integer of at least 1, got 0"),
        (lambda: datasets.adding(1, 1), "steps: expected an integer of at least 2, got 1"),
        (lambda: datasets.copy_memory(1, 0), "steps: expected an integer of at least 1, got 0"),
        (lambda: datasets.reverse(1, 1, symbols=0), "symbols: expected an integer from 1 to 2147483647"),
        (lambda: datasets.sort_digits(1, 0), "length: expected an integer of at least 1"),
        (lambda: datasets.dyck(1, kinds=5), "kinds: expected an integer from 1 to 4, got 5"),
        (lambda: datasets.dyck(1, min_length=5, max_length=5), "max_length: expected an even length"),
        (lambda: datasets.adding(1, 2, seed=-1), "seed: expected an integer from 0 to"),
    ],
)
def test_what_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is compared below
        call()
    assert str(error.value).startswith(message)
