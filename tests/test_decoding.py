"""From logits to labels: greedy and by a beam, against all V^T paths, with and without a language model."""

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import seqrs
from seqrs import decoding, losses


def reads_as(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    """Merge equal neighbours, then drop blanks."""
    return tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != blank)


def every_reading(logits: np.ndarray, blank: int) -> dict[tuple[int, ...], float]:
    """P of everything that some path of V^T reads as."""
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    readings: dict[tuple[int, ...], float] = defaultdict(float)
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        readings[reads_as(path, blank)] += math.prod(p[t, symbol] for t, symbol in enumerate(path))
    return readings


def bigrams(classes: int, blank: int, seed: int = 0) -> tuple[Callable[..., np.ndarray], np.ndarray]:
    """A language model that knows the last label, or (row `blank`) that there is none; and its table."""
    table = np.random.default_rng(seed).standard_normal((classes, classes))
    table -= np.log(np.exp(table).sum(1, keepdims=True))

    def language(prefixes: list[tuple[int, ...]]) -> np.ndarray:
        return table[[prefix[-1] if prefix else blank for prefix in prefixes]]

    return language, table


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    batch, steps, classes = draw(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(1, 4)))
    return {
        "logits": 2 * rng.standard_normal((batch, steps, classes)),
        "lengths": rng.integers(0, steps + 1, batch),
        "blank": draw(st.integers(0, classes - 1)),
    }


@given(case=rows())
def test_greedy_reads_the_best_path(case: dict[str, Any]) -> None:
    for z, n, reading in zip(case["logits"], case["lengths"], decoding.ctc_greedy(**case), strict=True):
        path = tuple(z[:n].argmax(1))
        assert tuple(reading.labels) == reads_as(path, case["blank"])
        begins = [t for t in range(n) if path[t] != case["blank"] and (t == 0 or path[t] != path[t - 1])]
        assert reading.steps.tolist() == begins
        log_p = z[:n].max(1) - np.log(np.exp(z[:n]).sum(1))
        assert reading.log_p == pytest.approx(log_p.sum(), abs=1e-12)


@given(case=rows(), alpha=st.sampled_from([0.0, 0.7]), beta=st.sampled_from([0.0, -0.5, 1.5]))
def test_a_beam_as_wide_as_there_are_prefixes_finds_the_best(
    case: dict[str, Any], alpha: float, beta: float
) -> None:
    classes, blank = case["logits"].shape[2], case["blank"]
    language, table = bigrams(classes, blank)
    found = decoding.ctc_beam(
        **case, beam_width=4**5, num_hypotheses=4**5, language=language, alpha=alpha, beta=beta
    )
    for z, n, hypotheses in zip(case["logits"], case["lengths"], found, strict=True):
        expected = every_reading(z[:n], blank)
        assert {tuple(h.labels.tolist()) for h in hypotheses} == set(expected)
        for h in hypotheses:
            labels = h.labels.tolist()
            log_p = math.log(expected[tuple(labels)])
            assert h.log_p == pytest.approx(log_p, abs=1e-9)
            spoken = sum(table[a, b] for a, b in itertools.pairwise([blank, *labels]))
            spoken += table[labels[-1] if labels else blank, blank]  # the end
            assert h.score == pytest.approx(log_p + alpha * spoken + beta * len(labels), abs=1e-9)
        scores = [h.score for h in hypotheses]
        assert scores == sorted(scores, reverse=True)


def test_a_beam_of_all_prefixes_agrees_with_the_loss() -> None:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((2, 6, 3)).astype(np.float32)
    for z, [best] in zip(logits, decoding.ctc_beam(logits, beam_width=10_000), strict=True):
        loss, _ = losses.ctc(z[None], [best.labels], reduction="sum")
        assert best.log_p == pytest.approx(-loss, rel=1e-6)


def test_a_wider_beam_is_no_worse_and_a_beam_of_one_differs_from_greedy() -> None:
    rng = np.random.default_rng(1)
    logits = 2 * rng.standard_normal((20, 30, 6))
    scores = [
        [row[0].log_p for row in decoding.ctc_beam(logits, beam_width=width)] for width in (1, 4, 16, 64)
    ]
    for narrow, wide in itertools.pairwise(scores):
        assert np.mean(wide) >= np.mean(narrow)
    for reading, best in zip(decoding.ctc_greedy(logits), scores[-1], strict=True):
        assert best >= reading.log_p


def test_a_prefix_that_left_the_beam_and_comes_back_is_one() -> None:
    rng = np.random.default_rng(2)
    for width in (2, 3, 5):
        for row in decoding.ctc_beam(
            rng.standard_normal((30, 25, 4)), beam_width=width, num_hypotheses=width
        ):
            labels = [tuple(h.labels) for h in row]
            assert len(set(labels)) == len(labels)


def test_a_language_model_decides_between_what_sounds_alike() -> None:
    logits = np.full((1, 4, 3), -4.0)
    logits[0, [0, 2], 1:] = 2.0  # 1 and 2 are equally likely at two steps, blanks between
    logits[0, [1, 3], 0] = 4.0
    asked: list[int] = []

    def only(wanted: tuple[int, ...]) -> Callable[..., np.ndarray]:
        def language(prefixes: list[tuple[int, ...]]) -> np.ndarray:
            asked.append(len(prefixes))
            scores = np.full((len(prefixes), 3), -5.0)
            for row, prefix in zip(scores, prefixes, strict=True):
                if prefix == wanted[: len(prefix)]:
                    row[wanted[len(prefix)] if len(prefix) < len(wanted) else 0] = -0.1
            return scores

        return language

    for wanted in [(1, 2), (2, 1), (2, 2)]:
        [[best]] = decoding.ctc_beam(logits, language=only(wanted), alpha=1.0, beam_width=8)
        assert tuple(best.labels) == wanted
    assert len(asked) <= 3 * 5  # once before the first step and once after each
    # A weight of 0 does not listen.
    [[best]] = decoding.ctc_beam(
        logits, language=lambda prefixes: np.full((len(prefixes), 3), -np.inf), alpha=0.0
    )
    [[without]] = decoding.ctc_beam(logits)
    assert (best.labels.tolist(), best.score) == (without.labels.tolist(), without.score)


def test_same_result_with_any_number_of_threads(thread_count: int) -> None:
    logits = np.random.default_rng(0).standard_normal((17, 60, 12)).astype(np.float32)
    language, _ = bigrams(12, 0)

    def run() -> list[Any]:
        found = decoding.ctc_beam(logits, num_hypotheses=3)
        found += decoding.ctc_beam(logits, num_hypotheses=3, language=language)
        found += [decoding.ctc_greedy(logits)]
        return [[tuple(np.asarray(part).tobytes() for part in item) for item in row] for row in found]

    seqrs.set_num_threads(1)
    expected = run()
    for n in (2, 3):
        seqrs.set_num_threads(n)
        assert run() == expected, f"{n} threads"
    seqrs.set_num_threads(thread_count)


def test_what_a_language_model_raises_comes_out() -> None:
    def fails(prefixes: list[tuple[int, ...]]) -> np.ndarray:
        raise KeyError(f"no states for {len(prefixes)}")

    with pytest.raises(KeyError, match="no states for 1"):
        decoding.ctc_beam(Z[:1], language=fails)


Z = np.zeros((2, 3, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: decoding.ctc_greedy(Z[0]),
            ValueError,
            "logits: expected shape (B, T, V) with at least one symbol, got (3, 4)",
        ),
        (
            lambda: decoding.ctc_greedy(Z, blank=4),
            ValueError,
            "blank: expected an integer from 0 to 3, got 4",
        ),
        (
            lambda: decoding.ctc_greedy(np.where(Z == 0, np.nan, Z), lengths=[0, 1]),
            ValueError,
            "logits: expected finite numbers, got nan at [1, 0, 0]",
        ),
        (
            lambda: decoding.ctc_beam(Z, beam_width=0),
            ValueError,
            "beam_width: expected an integer of at least 1, got 0",
        ),
        (
            lambda: decoding.ctc_beam(Z, alpha=np.inf),
            ValueError,
            "alpha: expected a finite number of at least 0, got inf",
        ),
        (
            lambda: decoding.ctc_beam(Z, alpha=-1.0),
            ValueError,
            "alpha: expected a finite number of at least 0, got -1.0",
        ),
        (
            lambda: decoding.bio_constraints(["O", None]),  # type: ignore[list-item]
            TypeError,
            "tags: expected names, got NoneType at 1",
        ),
        (lambda: decoding.ctc_beam(Z, language=1), TypeError, "language: expected a callable, got int 1"),
        (
            lambda: decoding.ctc_beam(Z, language=lambda prefixes: np.zeros((len(prefixes), 3))),
            ValueError,
            "language scores: expected shape (2, 4), got (2, 3)",
        ),
        (
            lambda: decoding.ctc_beam(Z, language=lambda prefixes: np.zeros((len(prefixes), 4), int)),
            TypeError,
            "language scores: expected an array of float64, got an array of int64",
        ),
        (
            lambda: decoding.ctc_beam(Z, language=lambda prefixes: np.full((len(prefixes), 4), np.nan)),
            ValueError,
            "language scores: expected log-probabilities, got NaN",
        ),
    ],
)
def test_errors_say_what_was_expected(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match="^" + re.escape(message)):
        call()
