"""The chain of tags: loss, marginals and best tags against all K^T sequences; gradients; errors."""

import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import assert_close
from hypothesis import given
from hypothesis import strategies as st

import seqrs
from seqrs import decoding, losses

Chain = tuple[np.ndarray, np.ndarray, np.ndarray]


def every_score(emissions: np.ndarray, chain: Chain) -> tuple[np.ndarray, np.ndarray]:
    """All K^T sequences of tags of one row, in order, and their scores."""
    start, transitions, end = chain
    steps, k = emissions.shape
    paths = np.array(list(itertools.product(range(k), repeat=steps)))
    scores = start[paths[:, 0]] + end[paths[:, -1]] + emissions[np.arange(steps), paths].sum(1)
    return paths, scores + transitions[paths[:, :-1], paths[:, 1:]].sum(1)


@st.composite
def batches(draw: st.DrawFn, *, most_steps: int, most_tags: int, ruled: bool = True) -> dict[str, Any]:
    """A batch; where `ruled`, some pairs, starts and ends are ruled out, but never what came."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    batch, steps = draw(st.integers(0, 6)), draw(st.integers(0, most_steps))
    k, scale = draw(st.integers(1, most_tags)), draw(st.sampled_from([1.0, 30.0]))
    start, end = scale * rng.standard_normal((2, k))
    transitions = scale * rng.standard_normal((k, k))
    lengths = rng.integers(0, steps + 1, batch)
    tags = rng.integers(0, k, (batch, steps))
    if ruled and draw(st.booleans()):
        allowed = [rng.random(part.shape) < 0.4 for part in (start, transitions, end)]
        for row, n in zip(tags, lengths, strict=True):
            if n:
                allowed[0][row[0]] = allowed[2][row[n - 1]] = True
            allowed[1][row[: max(n, 1) - 1], row[1:n]] = True
        start, transitions, end = (
            np.where(flags, part, -np.inf)
            for flags, part in zip(allowed, (start, transitions, end), strict=True)
        )
    return {
        "emissions": scale * rng.standard_normal((batch, steps, k)),
        "tags": tags,
        "start": start,
        "transitions": transitions,
        "end": end,
        "lengths": lengths,
    }


@given(case=batches(most_steps=4, most_tags=4))
def test_everything_is_what_all_sequences_say(device: str, case: dict[str, Any]) -> None:
    chain = case["start"], case["transitions"], case["end"]
    expected, marginals = 0.0, np.zeros_like(case["emissions"])
    for row, (e, tags, n) in enumerate(zip(case["emissions"], case["tags"], case["lengths"], strict=True)):
        if n == 0:
            continue
        paths, scores = every_score(e[:n], chain)
        p = np.exp(scores - scores.max())
        came = scores[(paths == tags[:n]).all(1)][0]
        expected += scores.max() + np.log(p.sum()) - came
        for t in range(n):
            marginals[row, t] = np.bincount(paths[:, t], p / p.sum(), e.shape[1])
    value, gradients = losses.crf(**case, reduction="sum", device=device)
    assert value == pytest.approx(expected, rel=1e-10, abs=1e-10)
    mean, _ = losses.crf(**case, device=device)
    assert mean == pytest.approx(expected / max(1, case["lengths"].sum()), rel=1e-10, abs=1e-10)

    del case["tags"]
    got = decoding.crf_marginals(**case, device=device)
    np.testing.assert_allclose(got, marginals, atol=1e-12)
    best, best_scores = decoding.viterbi(**case)
    for e, n, tags, score in zip(case["emissions"], case["lengths"], best, best_scores, strict=True):
        assert len(tags) == n
        if n == 0:
            assert score == 0.0
            continue
        paths, scores = every_score(e[:n], chain)
        assert score == pytest.approx(scores.max())
        assert scores[(paths == tags).all(1)][0] == pytest.approx(scores.max())
    # A start, a pair and an end are each expected as often as they come in any sequence.
    assert gradients.start.sum() == pytest.approx(0, abs=1e-10)
    assert gradients.transitions.sum() == pytest.approx(0, abs=1e-10)


@given(case=batches(most_steps=4, most_tags=3))
def test_gradients_match_central_differences(device: str, case: dict[str, Any]) -> None:
    scale, step = 1.0 + np.abs(case["emissions"]).max(initial=0.0), 1e-5
    _, gradients = losses.crf(**case, device=device)
    for name, gradient in gradients._asdict().items():
        numeric = np.zeros_like(gradient)
        for index in np.ndindex(gradient.shape):
            if not np.isfinite(case[name][index]):
                continue  # ruled out: nothing that small changes moves
            values = []
            for sign in (step, -step):
                moved = case[name].copy()
                moved[index] += sign
                values.append(losses.crf(**case | {name: moved}, device=device)[0])
            numeric[index] = (values[0] - values[1]) / (2 * step)
        np.testing.assert_allclose(gradient, numeric, rtol=0, atol=1e-9 * scale + 1e-9, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(case=batches(most_steps=20, most_tags=40))
def test_cpu_computes_what_the_reference_does(dtype: str, case: dict[str, Any]) -> None:
    case |= {name: case[name].astype(dtype) for name in ("emissions", "start", "transitions", "end")}
    (value, gradients), (expected, slow) = (
        losses.crf(**case, device=device) for device in ("cpu", "reference")
    )
    assert value == pytest.approx(expected, rel=1e-12, abs=1e-9)
    for name, gradient in gradients._asdict().items():
        assert_close(gradient, getattr(slow, name), name, tolerance=1e-6 if dtype == "float32" else 1e-10)


def test_scores_far_apart(device: str) -> None:
    # exp(-1e4) is 0 in double precision; only a chain of such steps leads from 0 to 2.
    far = np.array([[0.0, -1e4, -np.inf], [-np.inf, -1e4, -1e4], [-np.inf, -np.inf, 0.0]])
    start, end = np.array([0.0, -np.inf, -np.inf]), np.array([-np.inf, -np.inf, 0.0])
    value, gradients = losses.crf(
        np.zeros((1, 3, 3)), [[0, 1, 2]], start, far, end, reduction="sum", device=device
    )
    assert value == 0.0
    assert all(not gradient.any() for gradient in gradients)
    tags, scores = decoding.viterbi(np.zeros((1, 3, 3)), start, far, end)
    assert (tags[0].tolist(), scores[0]) == ([0, 1, 2], -2e4)
    # Of four steps two ways are left, one of which costs 1e4 more: its probability is 0, and finite.
    value, _ = losses.crf(
        np.zeros((1, 4, 3)), [[0, 1, 1, 2]], start, far, end, reduction="sum", device=device
    )
    assert value == pytest.approx(1e4 + np.log(2))


def test_ten_thousand_steps(device: str) -> None:
    emissions = np.zeros((1, 10_000, 3), np.float32)
    flat = np.zeros(3, np.float32)
    value, gradients = losses.crf(
        emissions, np.zeros((1, 10_000), int), flat, np.zeros((3, 3), np.float32), flat, device=device
    )
    assert value == pytest.approx(np.log(3))
    np.testing.assert_allclose(gradients.transitions[1], 1 / 9 * 9999 / 10_000, rtol=1e-6)


def test_what_does_not_count_has_no_influence(device: str) -> None:
    rng = np.random.default_rng(0)
    emissions, tags, lengths = rng.standard_normal((3, 5, 4)), rng.integers(0, 4, (3, 5)), [5, 0, 2]
    start, end, transitions = rng.standard_normal(4), rng.standard_normal(4), rng.standard_normal((4, 4))
    value, gradients = losses.crf(emissions, tags, start, transitions, end, lengths=lengths, device=device)
    counts = np.arange(5) < np.array(lengths)[:, None]
    holes, unknown = np.where(counts[..., None], emissions, np.nan), np.where(counts, tags, -1)
    again, same = losses.crf(holes, unknown, start, transitions, end, lengths=lengths, device=device)
    assert value == again
    for name, gradient in gradients._asdict().items():
        np.testing.assert_array_equal(gradient, getattr(same, name))
    assert not gradients.emissions[~counts].any()
    np.testing.assert_allclose(gradients.emissions.sum(-1), 0, atol=1e-14)


def test_same_bits_with_any_number_of_threads(thread_count: int) -> None:
    rng = np.random.default_rng(0)
    emissions = rng.standard_normal((37, 40, 24)).astype(np.float32)
    tags, lengths = rng.integers(0, 24, (37, 40)), rng.integers(20, 41, 37)
    start, end = rng.standard_normal((2, 24)).astype(np.float32)
    transitions = rng.standard_normal((24, 24)).astype(np.float32)

    def run() -> tuple[Any, ...]:
        value, gradients = losses.crf(emissions, tags, start, transitions, end, lengths=lengths)
        best, scores = decoding.viterbi(emissions, start, transitions, end, lengths=lengths)
        return value, *(g.tobytes() for g in (*gradients, *best, scores))

    seqrs.set_num_threads(1)
    expected = run()
    for n in (2, 3):
        seqrs.set_num_threads(n)
        assert run() == expected, f"{n} threads"
    seqrs.set_num_threads(thread_count)


@pytest.mark.parametrize(
    "tags",
    [
        ["O", "B-A", "I-A", "B-B", "I-B"],
        ["B-A", "I-A", "O", "E-A", "S-A", "B-B", "E-B"],
        ["O", "U-A", "B-A", "I-A", "L-A"],
        ["O", "I-A"],
        [],
    ],
)
def test_bio_constraints_allow_the_sequences_that_are_well_formed(tags: list[str]) -> None:
    start, transitions, end = decoding.bio_constraints(tags)
    ends = any(tag[0] in "ELSU" for tag in tags)

    def well_formed(names: tuple[str, ...]) -> bool:
        inside = ""  # the kind of the entity that may, or with ends must, go on
        for name in names:
            prefix, _, kind = name.partition("-")
            if prefix in ("I", "E", "L"):
                if inside != kind:
                    return False
            elif ends and inside:
                return False
            inside = kind if prefix in ("B", "I") else ""
        return not (ends and inside)

    for steps in (1, 2, 3):
        for path in itertools.product(range(len(tags)), repeat=steps):
            pairs = all(transitions[a, b] for a, b in itertools.pairwise(path))
            possible = bool(start[path[0]] and pairs and end[path[-1]])
            assert possible == well_formed(tuple(tags[i] for i in path)), [tags[i] for i in path]


def test_constraints_hold_in_what_is_decoded() -> None:
    tags = ["O", "B-A", "I-A", "B-B", "I-B"]
    allowed = decoding.bio_constraints(tags)
    rng = np.random.default_rng(0)
    emissions = 5 * rng.standard_normal((50, 8, 5))
    free = np.zeros(5), np.zeros((5, 5)), np.zeros(5)
    best, _ = decoding.viterbi(emissions, *free, allowed=allowed)
    for row in best:
        assert allowed[0][row[0]]
        assert allowed[1][row[:-1], row[1:]].all()
    marginals = decoding.crf_marginals(emissions, *free, allowed=allowed)
    assert not marginals[:, 0, [2, 4]].any()
    unbound, _ = decoding.viterbi(emissions, *free)
    np.testing.assert_array_equal(np.stack(unbound), emissions.argmax(-1))
    with pytest.raises(
        ValueError, match=r"^tags: expected a sequence that the chain does not rule out, got tag 2"
    ):
        losses.crf(emissions, np.full((50, 8), 2), *free, allowed=allowed)


E, Y = np.zeros((2, 3, 4), np.float32), np.zeros((2, 3), int)
K, KK = np.zeros(4, np.float32), np.zeros((4, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: losses.crf(E[0], Y[0], K, KK, K),
            ValueError,
            "emissions: expected shape (B, T, K) with at least one tag, got (3, 4)",
        ),
        (lambda: losses.crf(E, Y[:, :2], K, KK, K), ValueError, "tags: expected shape (2, 3), got (2, 2)"),
        (
            lambda: losses.crf(E, Y + 4, K, KK, K),
            ValueError,
            "tags: expected tokens from -1 to 3, got 4 at [0, 0]",
        ),
        (
            lambda: losses.crf(E, Y - 1, K, KK, K),
            ValueError,
            "tags: expected tags from 0 to 3, got -1 at [0, 0]",
        ),
        (lambda: losses.crf(E, Y, K, K, K), ValueError, "transitions: expected shape (4, 4), got (4,)"),
        (
            lambda: losses.crf(E, Y, K.astype("f8"), KK, K),
            TypeError,
            "start: expected float32, got an array of float64",
        ),
        (
            lambda: losses.crf(E, Y, K, KK, K + np.inf),
            ValueError,
            "end: expected finite numbers, or -inf to rule one out, got inf at 0",
        ),
        (
            lambda: losses.crf(E, Y, K - np.inf, KK, K),
            ValueError,
            "tags: expected a sequence that the chain does not rule out, got tag 0 at [0, 0]",
        ),
        (
            lambda: decoding.viterbi(E, K, KK - np.inf, K, lengths=[1, 3]),
            ValueError,
            "transitions: expected a chain that allows some sequence, got none of the 3 steps of row 1",
        ),
        (
            lambda: decoding.crf_marginals(E, K, KK - np.inf, K, lengths=[1, 3]),
            ValueError,
            "transitions: expected a chain that allows some sequence, got none of the 3 steps of row 1",
        ),
        (
            lambda: losses.crf(np.where(E == 0, np.nan, E), Y, K, KK, K, lengths=[0, 1]),
            ValueError,
            "emissions: expected finite numbers, got nan at [1, 0, 0]",
        ),
        (
            lambda: decoding.viterbi(np.where(E == 0, np.nan, E), K, KK, K, lengths=[0, 1]),
            ValueError,
            "emissions: expected finite numbers, got nan at [1, 0, 0]",
        ),
        (
            lambda: losses.crf(E, Y, K, KK, K, allowed=(K > 0, KK > 0)),
            TypeError,
            "allowed: expected three arrays, for start, transitions and end, got tuple",
        ),
        (
            lambda: losses.crf(E, Y, K, KK, K, allowed=(K > 0, K > 0, K > 0)),
            ValueError,
            "allowed: expected bool of shape (4, 4) for transitions, got an array of bool of shape (4,)",
        ),
        (
            lambda: decoding.bio_constraints(["O", "PER"]),
            ValueError,
            "tags: expected O, or B-, I-, E-, L-, S- or U- and a kind, got 'PER' at 1",
        ),
    ],
)
def test_errors_say_what_was_expected(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match="^" + re.escape(message)):
        call()
