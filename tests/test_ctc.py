"""CTC: against the sum over all paths, central differences and PyTorch; awkward rows; errors."""

import itertools
import json
import math
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import assert_close
from hypothesis import given
from hypothesis import strategies as st

import seqrs
from seqrs import losses


def reads_as(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    """Merge equal neighbours, then drop blanks."""
    return tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != blank)


def log_softmax(z: np.ndarray) -> np.ndarray:
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def by_enumeration(logits: np.ndarray, labels: tuple[int, ...], blank: int) -> float:
    """-ln of the summed probability of every path of all V^T that reads as the labels."""
    log_p, total = log_softmax(logits.astype(float)), 0.0
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        if reads_as(path, blank) == labels:
            total += math.exp(sum(log_p[t, symbol] for t, symbol in enumerate(path)))
    return -math.log(total)


@st.composite
def batches(draw: st.DrawFn, *, most_steps: int, most_classes: int) -> dict[str, Any]:
    """A batch in which every row's labels are those of some path, so that they fit."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    batch, steps = draw(st.integers(0, 3)), draw(st.integers(0, most_steps))
    classes = draw(st.integers(1, most_classes))
    blank = draw(st.integers(0, classes - 1))
    lengths = rng.integers(0, steps + 1, batch)
    paths = [tuple(rng.integers(0, classes, n)) for n in lengths]
    return {
        "logits": draw(st.sampled_from([1.0, 5.0])) * rng.standard_normal((batch, steps, classes)),
        "targets": [[int(label) for label in reads_as(path, blank)] for path in paths],
        "lengths": lengths,
        "blank": blank,
        "reduction": draw(st.sampled_from(["mean", "sum"])),
    }


@given(case=batches(most_steps=5, most_classes=4))
def test_it_is_the_sum_over_all_paths(device: str, case: dict[str, Any]) -> None:
    rows = zip(case["logits"], case["targets"], case["lengths"], strict=True)
    expected = sum(by_enumeration(z[:n], tuple(labels), case["blank"]) for z, labels, n in rows)
    if case["reduction"] == "mean":
        expected /= max(1, sum(max(1, len(labels)) for labels in case["targets"]))
    value, _ = losses.ctc(**case, device=device)
    assert value == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(case=batches(most_steps=6, most_classes=4))
def test_gradients_match_central_differences(device: str, case: dict[str, Any]) -> None:
    _, gradient = losses.ctc(**case, device=device)
    logits, step = case.pop("logits"), 1e-5
    numeric = np.zeros_like(logits)
    for index in np.ndindex(logits.shape):
        above, below = logits.copy(), logits.copy()
        above[index] += step
        below[index] -= step
        numeric[index] = (losses.ctc(above, **case)[0] - losses.ctc(below, **case)[0]) / (2 * step)
    np.testing.assert_allclose(gradient, numeric, rtol=0, atol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(case=batches(most_steps=40, most_classes=40))
def test_cpu_computes_what_the_reference_does(dtype: str, case: dict[str, Any]) -> None:
    case["logits"] = case["logits"].astype(dtype)
    (value, gradient), (expected, expected_gradient) = (
        losses.ctc(**case, device=device) for device in ("cpu", "reference")
    )
    assert value == pytest.approx(expected, rel=1e-5 if dtype == "float32" else 1e-12, abs=1e-12)
    assert_close(gradient, expected_gradient)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_and_gradients_equal_pytorch(dtype: str, device: str) -> None:
    with np.load(Path(__file__).parent / "golden" / "ctc_pytorch.npz") as file:
        golden = dict(file)
    blank = json.loads(str(golden["call"]))["blank"]
    logits, tolerance = golden["logits"].astype(dtype), 1e-5 if dtype == "float32" else 1e-10
    counts = golden["target_lengths"]
    value, gradient = losses.ctc(
        logits,
        golden["targets"],
        lengths=golden["lengths"],
        target_lengths=counts,
        blank=blank,
        reduction="sum",
        device=device,
    )
    assert value == pytest.approx(golden["losses"].sum(), rel=tolerance)
    assert_close(gradient, golden["dlogits"].astype(dtype), tolerance=tolerance)
    for row, count in enumerate(counts):
        one = slice(0, golden["lengths"][row])
        alone, _ = losses.ctc(
            logits[row : row + 1, one], golden["targets"][row : row + 1, :count], blank=blank, reduction="sum"
        )
        assert alone == pytest.approx(golden["losses"][row], rel=tolerance)


def test_ten_thousand_steps_and_extreme_logits(device: str) -> None:
    # Of 2^10000 paths, all equally likely, one reads as nothing.
    value, gradient = losses.ctc(np.zeros((1, 10_000, 2)), [[]], reduction="sum", device=device)
    assert value == pytest.approx(10_000 * math.log(2))
    np.testing.assert_allclose(gradient[0], np.tile([-0.5, 0.5], (10_000, 1)))
    # The only path has probability e^-1000 at its first step, and e^-2000 at its second.
    logits = np.array([[[0.0, -1000.0, -2000.0]] * 2], np.float32)
    value, gradient = losses.ctc(logits, [[1, 2]], reduction="sum", device=device)
    assert value == 3000.0
    np.testing.assert_allclose(gradient[0], [[1, -1, 0], [1, 0, -1]], rtol=0, atol=1e-37)
    # The distance of the two is beyond single precision, though not beyond that of the loss.
    logits = np.array([[[3e38, -3e38]]], np.float32)
    value, gradient = losses.ctc(logits, [[1]], device=device)
    assert value == pytest.approx(6e38)
    assert gradient.tolist() == [[[1, -1]]]


def test_what_does_not_count_has_no_influence(device: str) -> None:
    rng = np.random.default_rng(0)
    logits, lengths, labels = rng.standard_normal((3, 6, 4)), [6, 0, 3], [[1, 2, 2], [], [3]]
    value, gradient = losses.ctc(logits, labels, lengths=lengths, device=device)
    padded, counts = np.array([[1, 2, 2], [99, 99, 99], [3, -1, -1]]), [3, 0, 1]
    holes = np.where(np.arange(6)[:, None] < np.array(lengths)[:, None, None], logits, np.nan)
    again, same = losses.ctc(holes, padded, lengths=lengths, target_lengths=counts, device=device)
    assert again == value
    np.testing.assert_array_equal(same, gradient)
    assert not gradient[1].any()
    assert not gradient[2, 3:].any()
    np.testing.assert_allclose(gradient.sum(-1), 0, atol=1e-15)


def test_labels_that_do_not_fit(device: str) -> None:
    logits = np.random.default_rng(0).standard_normal((3, 4, 3))
    labels, lengths = [[1], [2, 2, 1], [1, 2]], [4, 3, 2]
    with pytest.raises(ValueError, match=r"^targets: .* labels that need 4 steps in row 1, which has 3$"):
        losses.ctc(logits, labels, lengths=lengths, device=device)
    value, gradient = losses.ctc(
        logits, labels, lengths=lengths, zero_infinity=True, reduction="sum", device=device
    )
    rest = [0, 2]
    kept, kept_gradient = losses.ctc(
        logits[rest], [labels[i] for i in rest], lengths=[4, 2], reduction="sum", device=device
    )
    assert value == pytest.approx(kept, rel=1e-15)
    np.testing.assert_array_equal(gradient[rest], kept_gradient)
    assert not gradient[1].any()


def test_same_bits_with_any_number_of_threads(thread_count: int) -> None:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((24, 90, 33)).astype(np.float32)
    lengths = rng.integers(60, 91, 24)
    labels = [rng.integers(1, 33, rng.integers(0, 25)) for _ in range(24)]

    def run(_: int) -> tuple[float, bytes]:
        value, gradient = losses.ctc(logits, labels, lengths=lengths)
        return value, gradient.tobytes()

    seqrs.set_num_threads(1)
    expected = run(0)
    for n in (2, 3):
        seqrs.set_num_threads(n)
        assert run(n) == expected, f"{n} threads"
    seqrs.set_num_threads(thread_count)
    with ThreadPoolExecutor(3) as pool:
        assert all(result == expected for result in pool.map(run, range(9)))


Z = np.zeros((2, 4, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: losses.ctc(Z[0], [[1]]),
            ValueError,
            "logits: expected shape (B, T, V) with at least one symbol, got (4, 3)",
        ),
        (
            lambda: losses.ctc(Z, [[1]]),
            ValueError,
            "targets: expected the labels of 2 rows, got 1",
        ),
        (lambda: losses.ctc(Z, 1), ValueError, "targets: expected the labels of 2 rows, got int 1"),
        (
            lambda: losses.ctc(Z, [[1], [0]]),
            ValueError,
            "targets: expected classes from 0 to 2 other than the blank, 0, got 0 at [1, 0]",
        ),
        (
            lambda: losses.ctc(Z, [[1], [1, 3]]),
            ValueError,
            "targets: expected classes from 0 to 2 other than the blank, 0, got 3 at [1, 1]",
        ),
        (
            lambda: losses.ctc(Z, [[1.5], [1]]),
            TypeError,
            "targets: expected integers, got an array of float64 in row 0",
        ),
        (
            lambda: losses.ctc(Z, [1, 2]),
            ValueError,
            "targets: expected the labels of row 0 in one axis, got shape ()",
        ),
        (
            lambda: losses.ctc(Z, [[1], [2]], target_lengths=[1, 1]),
            TypeError,
            "target_lengths: expected None for targets that are not one array",
        ),
        (
            lambda: losses.ctc(Z, np.ones((2, 1), int), target_lengths=[1, 2]),
            ValueError,
            "target_lengths: expected integers from 0 to 1, the steps of the targets, got 2 at [1]",
        ),
        (
            lambda: losses.ctc(Z, [[1], [2]], blank=3),
            ValueError,
            "blank: expected an integer from 0 to 2, got 3",
        ),
        (
            lambda: losses.ctc(np.where(Z == 0, np.nan, Z), [[1], [2]], lengths=[0, 4], zero_infinity=True),
            ValueError,
            "logits: expected finite numbers, got nan at [1, 0, 0]",
        ),
    ],
)
def test_errors_say_what_was_expected(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match="^" + re.escape(message)):
        call()
