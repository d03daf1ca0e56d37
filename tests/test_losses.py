"""The losses: fast against reference, gradients against central differences, values against closed forms."""

import math
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from helpers import assert_close, random_floats
from hypothesis import given
from hypothesis import strategies as st

import seqrs
from seqrs import losses

SIZES = st.sampled_from([0, 1, 2, 3, 7, 15, 16, 17, 31, 33, 65])
NUMBERS = {
    "mean_squared_error": losses.mean_squared_error,
    "mean_absolute_error": losses.mean_absolute_error,
    "huber": losses.huber,
    "binary_cross_entropy": losses.binary_cross_entropy,
}
NAMES = ["softmax_cross_entropy", *NUMBERS]


def case(name: str, shape: tuple[int, ...], dtype: str, rng: np.random.Generator, scale: float = 1.0) -> Any:
    """A loss, and predictions and targets that it takes."""
    predictions = scale * random_floats(rng, shape, dtype)
    if name == "softmax_cross_entropy":
        return losses.softmax_cross_entropy, predictions, rng.integers(-1, shape[-1], shape[:-1])
    if name == "binary_cross_entropy":
        return losses.binary_cross_entropy, predictions, rng.uniform(0, 1, shape).astype(dtype)
    return NUMBERS[name], predictions, scale * random_floats(rng, shape, dtype)


@st.composite
def options(draw: st.DrawFn, name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """Lengths, a mask of any number of axes, and the rest."""
    steps = shape[:2] if len(shape) > 2 or name != "softmax_cross_entropy" else ()
    lengths = st.lists(st.integers(0, shape[1]), min_size=shape[0], max_size=shape[0]) if steps else st.none()
    axes = draw(st.integers(0, len(shape) - (name == "softmax_cross_entropy")))
    mask = np.random.default_rng(draw(st.integers(0, 99))).random(shape[:axes]) < 0.7 if axes else None
    own: dict[str, Any] = {}
    if name == "softmax_cross_entropy":
        own["label_smoothing"] = draw(st.sampled_from([0.0, 0.1, 0.9]))
    if name == "huber":
        own["delta"] = draw(st.sampled_from([0.5, 1.0]))
    reduction = draw(st.sampled_from(["mean", "sum"]))
    return {"lengths": draw(st.none() | lengths), "mask": mask, "reduction": reduction, **own}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_cpu_computes_what_the_reference_does(name: str, dtype: str, data: st.DataObject) -> None:
    draw = data.draw
    classes = SIZES.filter(bool) if name == "softmax_cross_entropy" else SIZES
    shape = draw(st.tuples(SIZES, SIZES, classes) | st.tuples(SIZES, classes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    loss, predictions, targets = case(name, shape, dtype, rng, scale=draw(st.sampled_from([1.0, 30.0])))
    chosen = draw(options(name, shape))
    (value, gradient), (expected, expected_gradient) = (
        loss(predictions, targets, **chosen, device=device) for device in ("cpu", "reference")
    )
    relative, absolute = (1e-5, 1e-5) if dtype == "float32" else (1e-12, 1e-12)
    assert value == pytest.approx(expected, rel=relative, abs=absolute)
    assert_close(gradient, expected_gradient)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_gradients_match_central_differences(name: str, data: st.DataObject) -> None:
    draw, small = data.draw, st.integers(1, 4)
    shape = draw(st.tuples(small, small, small) | st.tuples(small, small))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    loss, predictions, targets = case(name, shape, "float64", rng)
    if name in ("mean_absolute_error", "huber"):  # away from the kinks at 0 and delta
        apart = rng.choice([-1.0, 1.0], shape) * rng.choice([0.3, 0.8, 1.7], shape)
        predictions = targets + apart
    chosen = draw(options(name, shape)) | {"device": draw(st.sampled_from(["cpu", "reference"]))}
    _, gradient = loss(predictions, targets, **chosen)

    step, numeric = 1e-5, np.zeros(shape)
    for index in np.ndindex(shape):
        moved = [predictions.copy(), predictions.copy()]
        moved[0][index] += step
        moved[1][index] -= step
        above, below = (loss(array, targets, **chosen)[0] for array in moved)
        numeric[index] = (above - below) / (2 * step)
    np.testing.assert_allclose(gradient, numeric, rtol=0, atol=1e-8 * (1 + np.abs(numeric).max()))


def test_softmax_cross_entropy_in_closed_form(device: str) -> None:
    for classes in (1, 2, 10, 1000):
        value, gradient = losses.softmax_cross_entropy(np.zeros((1, classes)), [0], device=device)
        assert value == pytest.approx(math.log(classes), abs=1e-15)
        assert gradient[0, 0] == pytest.approx(1 / classes - 1, abs=1e-15)
    # Two classes are a logistic unit.
    z = np.linspace(-30, 30, 25)
    both = np.stack([z, np.zeros_like(z)], axis=1)
    value, gradient = losses.softmax_cross_entropy(both, np.zeros(25, int), device=device)
    logistic, logistic_gradient = losses.binary_cross_entropy(z, np.ones(25), device=device)
    assert value == pytest.approx(logistic, rel=1e-14)
    np.testing.assert_allclose(gradient[:, 0], logistic_gradient, rtol=0, atol=1e-16)
    # ε moves to all classes alike: the loss is the mean of the losses of all targets, ε of the way.
    rng = np.random.default_rng(0)
    row, each = rng.standard_normal((1, 7)), []
    for target in range(7):
        each.append(losses.softmax_cross_entropy(row, [target], device=device)[0])
    smoothed, _ = losses.softmax_cross_entropy(row, [2], label_smoothing=0.3, device=device)
    assert smoothed == pytest.approx(0.7 * each[2] + 0.3 * np.mean(each), rel=1e-14)


def test_numbers_in_closed_form(device: str) -> None:
    p, y = np.array([[0.5, -2.0], [4.0, 1.0]]), np.array([[0.0, 1.0], [1.0, 1.0]])
    d = p - y
    for loss, value, gradient in [
        (losses.mean_squared_error, d**2, 2 * d),
        (losses.mean_absolute_error, abs(d), np.sign(d)),
        (losses.huber, [[0.125, 2.5], [2.5, 0.0]], [[0.5, -1.0], [1.0, 0.0]]),
        (losses.binary_cross_entropy, np.log(1 + np.exp(p)) - p * y, 1 / (1 + np.exp(-p)) - y),
    ]:
        total, summed = loss(p, y, reduction="sum", device=device)
        assert total == pytest.approx(np.sum(value), rel=1e-15)
        np.testing.assert_allclose(summed, gradient, rtol=1e-14)
        mean, averaged = loss(p, y, device=device)
        assert mean == pytest.approx(total / 4)
        np.testing.assert_allclose(averaged, summed / 4, rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_logits(dtype: str, device: str) -> None:
    logits = np.array([[1e4, 0.0, -1e4]], dtype)
    for target, expected in [(0, 0.0), (1, 1e4), (2, 2e4)]:
        value, gradient = losses.softmax_cross_entropy(logits, [target], device=device)
        assert value == expected
        np.testing.assert_allclose(gradient[0], np.eye(3)[0] - np.eye(3)[target], rtol=0, atol=1e-37)
    value, gradient = losses.binary_cross_entropy(logits, np.array([[0, 0, 0]]), device=device)
    assert value == pytest.approx((1e4 + math.log(2)) / 3)
    np.testing.assert_allclose(gradient, np.array([[1, 0.5, 0]]) / 3, rtol=1e-6)


def test_small_losses_keep_their_digits(device: str) -> None:
    logits = np.array([-40.0, -80.0], np.float32)
    value, _ = losses.binary_cross_entropy(logits[:1], [0], device=device)
    assert value == pytest.approx(math.exp(-40), rel=1e-5)
    value, _ = losses.binary_cross_entropy(logits[1:], [0], device=device)
    assert value == pytest.approx(math.exp(-80), rel=1e-5)


def test_what_does_not_count_has_no_influence(device: str) -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.standard_normal((3, 4, 5)), rng.integers(0, 5, (3, 4))
    lengths, mask = [4, 0, 2], np.array([[1, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0]], bool)
    counts = mask & (np.arange(4) < np.array(lengths)[:, None])
    kept = losses.softmax_cross_entropy(logits[counts], targets[counts], device=device)
    holes, unscored = np.where(counts[..., None], logits, np.nan), np.where(counts, targets, -1)
    for value, gradient in [
        losses.softmax_cross_entropy(holes, targets, lengths=lengths, mask=mask, device=device),
        losses.softmax_cross_entropy(holes, unscored, device=device),
    ]:
        assert value == pytest.approx(kept[0], rel=1e-15)
        np.testing.assert_allclose(gradient[counts], kept[1], rtol=1e-14)
        assert not gradient[~counts].any()

    for name, loss in NUMBERS.items():
        _, predictions, targets = case(name, (3, 4, 5), "float64", rng)
        single = rng.random((3, 4, 5)) < 0.5
        counts = single & (np.arange(4) < np.array(lengths)[:, None])[..., None]
        kept = loss(predictions[counts], targets[counts], device=device)
        holes = np.where(counts, targets, np.nan)
        value, gradient = loss(predictions, holes, lengths=lengths, mask=single, device=device)
        assert value == pytest.approx(kept[0], rel=1e-14)
        np.testing.assert_allclose(gradient[counts], kept[1], rtol=1e-14)
        assert not gradient[~counts].any()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_counts_is_zero(name: str, device: str) -> None:
    loss, predictions, targets = case(name, (2, 3, 4), "float32", np.random.default_rng(0))
    for nothing in ({"lengths": [0, 0]}, {"mask": np.zeros(2, bool)}):
        value, gradient = loss(predictions, targets, **nothing, device=device)
        assert str(value) == "0.0"  # and not -0.0
        assert gradient.dtype == np.float32
        assert not gradient.any()
    value, gradient = loss(predictions[:0], targets[:0], lengths=[], device=device)
    assert (str(value), gradient.shape) == ("0.0", (0, 3, 4))


@pytest.mark.parametrize("name", NAMES)
def test_any_memory_layout(name: str) -> None:
    loss, predictions, targets = case(name, (4, 6, 3), "float32", np.random.default_rng(0))
    expected = loss(predictions, targets)

    def same(predictions: np.ndarray, targets: np.ndarray) -> None:
        value, gradient = loss(predictions, targets)
        assert value == expected[0]
        np.testing.assert_array_equal(gradient, expected[1])

    same(np.asfortranarray(predictions), np.asfortranarray(targets))
    same(np.repeat(predictions, 2, axis=1)[:, ::2], np.repeat(targets, 2, axis=1)[:, ::2])
    for array in (predictions, targets):
        array.flags.writeable = False
    before = predictions.tobytes()
    same(predictions, targets)
    assert predictions.tobytes() == before


@pytest.mark.parametrize("dtype", "bhilqBHILQ")
def test_targets_of_any_integer_dtype(dtype: str) -> None:
    logits = np.random.default_rng(0).standard_normal((2, 3, 4))
    targets = np.array([[0, 3, 1], [2, 2, 0]])
    expected = losses.softmax_cross_entropy(logits, targets)
    value, gradient = losses.softmax_cross_entropy(logits, targets.astype(dtype))
    assert value == expected[0]
    np.testing.assert_array_equal(gradient, expected[1])


@pytest.mark.parametrize("name", NAMES)
def test_same_bits_with_any_number_of_threads(name: str, thread_count: int) -> None:
    loss, predictions, targets = case(name, (64, 50, 193), "float32", np.random.default_rng(0))
    lengths = np.random.default_rng(1).integers(0, 51, 64)

    def run(_: int) -> tuple[float, bytes]:
        value, gradient = loss(predictions, targets, lengths=lengths)
        return value, gradient.tobytes()

    seqrs.set_num_threads(1)
    expected = run(0)
    for n in (2, 3):
        seqrs.set_num_threads(n)
        assert run(n) == expected, f"{n} threads"
    seqrs.set_num_threads(thread_count)
    with ThreadPoolExecutor(3) as pool:  # whoever finds the team busy works alone
        assert all(result == expected for result in pool.map(run, range(9)))


Z, Y = np.zeros((2, 3, 4), np.float32), np.zeros((2, 3), int)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: losses.softmax_cross_entropy(Z[0, 0], 1),
            ValueError,
            "logits: expected shape (B, T, V) or (B, V), got (4,)",
        ),
        (
            lambda: losses.softmax_cross_entropy(Z[..., :0], Y),
            ValueError,
            "logits: expected at least one class, got shape (2, 3, 0)",
        ),
        (
            lambda: losses.softmax_cross_entropy(Y, Y[0]),
            TypeError,
            "logits: expected an array of float32 or float64, got an array of int64",
        ),
        (
            lambda: losses.softmax_cross_entropy(Z.astype("f2"), Y),
            TypeError,
            "logits: expected an array of float32 or float64, got an array of float16",
        ),
        (
            lambda: losses.softmax_cross_entropy(Z, Y[:, :2]),
            ValueError,
            "targets: expected shape (2, 3), got (2, 2)",
        ),
        (
            lambda: losses.softmax_cross_entropy(Z, Z),
            TypeError,
            "targets: expected integer tokens, got an array of float32",
        ),
        (
            lambda: losses.softmax_cross_entropy(Z, Y + 4),
            ValueError,
            "targets: expected tokens from -1 to 3, got 4 at [0, 0]",
        ),
        (
            lambda: losses.softmax_cross_entropy(Z, Y - 100),
            ValueError,
            "targets: expected tokens from -1 to 3, got -100 at [0, 0]",
        ),
        (
            lambda: losses.softmax_cross_entropy(Z, Y, label_smoothing=1),
            ValueError,
            "label_smoothing: expected a number from 0 to below 1, got 1.0",
        ),
        (
            lambda: losses.softmax_cross_entropy(Z, Y, reduction="none"),
            ValueError,
            'reduction: expected "mean" or "sum", got \'none\'',
        ),
        (
            lambda: losses.softmax_cross_entropy(Z, Y, device="gpu"),
            ValueError,
            'device: expected "cpu" or "reference", got \'gpu\'',
        ),
        (
            lambda: losses.softmax_cross_entropy(Z, Y, lengths=[1]),
            ValueError,
            "lengths: expected shape (2,), one for each row of the predictions, got (1,)",
        ),
        (
            lambda: losses.softmax_cross_entropy(Z, Y, lengths=[1, 4]),
            ValueError,
            "lengths: expected integers from 0 to 3, the steps of the predictions, got 4 at [1]",
        ),
        (
            lambda: losses.softmax_cross_entropy(Z[0], Y[0], lengths=[1, 1, 1]),
            ValueError,
            "lengths: expected None for an array without an axis of steps",
        ),
        (
            lambda: losses.softmax_cross_entropy(Z, Y, mask=Y),
            TypeError,
            "mask: expected an array of bool, got an array of int64",
        ),
        (
            lambda: losses.softmax_cross_entropy(Z, Y, mask=Z > 0),
            ValueError,
            "mask: expected shape (2, 3) or its first axes, got (2, 3, 4)",
        ),
        (
            lambda: losses.mean_squared_error(Z, Z, mask=Y[:, :1] > 0),
            ValueError,
            "mask: expected shape (2, 3, 4) or its first axes, got (2, 1)",
        ),
        (
            lambda: losses.mean_squared_error(Z, Z[..., 0]),
            ValueError,
            "targets: expected shape (2, 3, 4), got (2, 3)",
        ),
        (
            lambda: losses.mean_squared_error(Z, Z.astype("f8")),
            TypeError,
            "targets: expected float32, got an array of float64",
        ),
        (
            lambda: losses.mean_absolute_error(1.0, 1.0),
            ValueError,
            "predictions: expected an array of at least one axis, got a single number",
        ),
        (lambda: losses.huber(Z, Z, delta=0), ValueError, "delta: expected a finite number above 0, got 0.0"),
        (
            lambda: losses.huber(Z, Z, delta=1e-60),
            ValueError,
            "delta: expected a finite float32 number above 0, got",
        ),
        (
            lambda: losses.binary_cross_entropy(Z, Z - 1),
            ValueError,
            "targets: expected numbers from 0 to 1, got -1 at [0, 0, 0]",
        ),
        (
            lambda: losses.binary_cross_entropy(Z, Z.astype(int) + 2),
            ValueError,
            "targets: expected numbers from 0 to 1, got 2 at [0, 0, 0]",
        ),
    ],
)
def test_errors_say_what_was_expected(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match="^" + re.escape(message)):
        call()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_finite_is_refused(name: str, bad: float, device: str) -> None:
    loss, predictions, targets = case(name, (3, 2, 5), "float32", np.random.default_rng(0))
    if name == "softmax_cross_entropy":
        targets[:] = 1
    else:
        wrong = targets.copy()
        wrong[1, 0, 4] = bad
        with pytest.raises(
            ValueError, match=rf"^targets: expected finite numbers, got {bad} at \[1, 0, 4\]$"
        ):
            loss(predictions, wrong, device=device)
    predictions[2, 1, 3] = bad
    with pytest.raises(ValueError, match=rf": expected finite numbers, got {bad} at \[2, 1, 3\]$"):
        loss(predictions, targets, device=device)
