"""The fast device against the slow and obvious one, at sizes where blocked code breaks."""

import math
from typing import Any

import numpy as np
import pytest
from helpers import (
    FORMS,
    assert_close,
    assert_gradients_close,
    assert_states_close,
    drawn_options,
    make_layer,
    random_floats,
    random_like,
    random_state,
    single_options,
)
from hypothesis import example, given
from hypothesis import strategies as st

from seqrs import nn

SIZES = [0, 1, 2, 3, 7, 15, 16, 17, 31, 33, 64, 65]
# Multiplications of one gate: the reference takes about half a second for three passes of it.
MOST_WORK = 4_000_000

every_form = pytest.mark.parametrize(("cell", "form"), FORMS)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


@st.composite
def sizes(draw: st.DrawFn, most_work: int = MOST_WORK) -> tuple[int, int, int, int, int]:
    """Layers, batch, steps, inputs and hidden units; no more of each than the work allows."""
    num_layers = draw(st.integers(1, 3))
    hidden_size = draw(st.sampled_from(SIZES[1:]))
    input_size = draw(st.sampled_from(SIZES[1:]))
    one_step = num_layers * hidden_size * (hidden_size + max(hidden_size, input_size))
    steps = draw(st.sampled_from([n for n in SIZES if n * one_step <= most_work]))
    batch = draw(st.sampled_from([n for n in SIZES if n * max(steps, 1) * one_step <= most_work]))
    return num_layers, batch, steps, input_size, hidden_size


def counted(rows: str, rng: np.random.Generator, batch: int, steps: int) -> dict[str, Any]:
    """Lengths and mask: "lengths", "mask", "lengths mask", "nothing" (of all rows), or "" for all steps."""
    found: dict[str, Any] = {"lengths": rng.integers(0, steps + 1, batch)} if "lengths" in rows else {}
    if "mask" in rows:
        found["mask"] = rng.random((batch, steps)) < 0.6
    if rows == "nothing":
        found = {"lengths": np.zeros(batch, int), "mask": np.zeros((batch, steps), bool)}
    return found


ROWS = ["", "lengths", "mask", "lengths mask", "nothing"]


def compare(
    layers: list[Any],
    x: np.ndarray,
    before: Any,
    counts: dict[str, Any],
    rng: np.random.Generator,
    tolerance: float = 0.0,
) -> None:
    """Everything that comes out of one layer on two devices, forward and back, in training and outside.

    `tolerance` replaces the dtype's own.
    """
    fast, slow = layers
    for name, value in fast.state_dict().items():
        np.testing.assert_array_equal(value, slow.state_dict()[name])
    y, after = fast(x, before, **counts)
    y_slow, after_slow = slow(x, before, **counts)
    assert_states_close(y, y_slow, "y outside training", tolerance=tolerance)
    assert_states_close(after, after_slow, "state outside training", tolerance=tolerance)

    y, after, tape = fast.forward(x, before, step=3, **counts)
    y_slow, after_slow, tape_slow = slow.forward(x, before, step=3, **counts)
    assert_states_close(y, y_slow, "y", tolerance=tolerance)
    assert_states_close(after, after_slow, tolerance=tolerance)
    penalty, penalty_slow = (np.array(t.penalty, fast.dtype) for t in (tape, tape_slow))
    assert_close(penalty, penalty_slow, "penalty", tolerance=tolerance)

    # A loss that is a mean, as losses are: gradients of a sum would grow with the batch.
    dy = random_like(y, rng, 1 / max(1.0, math.sqrt(x.shape[0] * x.shape[1])))
    dafter = random_like(after, rng)
    g, g_slow = fast.backward(tape, dy, dafter), slow.backward(tape_slow, dy, dafter)
    assert_gradients_close(g, g_slow, tolerance=tolerance)


@every_dtype
@every_form
@example(sizes=(2, 0, 5, 3, 4), tokens=False, rows="mask", state=True, options={"dropout": 0.3}, seed=1)
@example(sizes=(2, 5, 0, 3, 4), tokens=True, rows="", state=True, options={"dropout": 0.3}, seed=2)
@example(sizes=(1, 3, 4, 3, 17), tokens=False, rows="nothing", state=True, options={"bias": False}, seed=3)
@given(
    sizes=sizes(),
    tokens=st.booleans(),
    rows=st.sampled_from(ROWS),
    state=st.booleans(),
    options=st.fixed_dictionaries(
        {"bias": st.booleans(), "bidirectional": st.booleans(), "dropout": st.sampled_from([0.0, 0.3])}
    ),
    seed=st.integers(0, 2**32),
)
def test_cpu_equals_reference(
    cell: str,
    form: str,
    dtype: str,
    sizes: tuple[int, int, int, int, int],
    tokens: bool,
    rows: str,
    state: bool,
    options: dict[str, Any],
    seed: int,
) -> None:
    check(cell, form, dtype, sizes, tokens, rows, state, options, seed)


@every_dtype
@every_form
@given(data=st.data())
def test_cpu_equals_reference_with_any_options(cell: str, form: str, dtype: str, data: st.DataObject) -> None:
    """Regularisers, normalisation and everything else a cell can do, in any combination."""
    draw = data.draw
    # In float32 two sums that differ in the last digits may fall on either side of a kink, too.
    exact = dtype == "float64"
    options = draw(drawn_options(cell, form, kinks=exact, steady=not exact))
    num_layers, batch, steps, input_size, hidden_size = draw(sizes(MOST_WORK // 4))
    widths = None
    if not options["residual"] and draw(st.booleans()):
        widths = [hidden_size, *(draw(st.sampled_from([1, 5, 16])) for _ in range(num_layers - 1))]
    check(
        cell,
        form,
        dtype,
        (num_layers, batch, steps, input_size, widths or hidden_size),
        draw(st.booleans()),
        draw(st.sampled_from(ROWS)),
        draw(st.booleans()),
        options | {"dropout": draw(st.sampled_from([0.0, 0.3]))},
        draw(st.integers(0, 2**32)),
    )


def check(
    cell: str,
    form: str,
    dtype: str,
    sizes: tuple[int, int, int, int, Any],
    tokens: bool,
    rows: str,
    state: bool,
    options: dict[str, Any],
    seed: int,
) -> None:
    num_layers, batch, steps, input_size, hidden_size = sizes
    rng = np.random.default_rng(seed)
    if num_layers == 1:
        options = options | {"dropout": 0.0}
    layers = [
        make_layer(
            cell, form, input_size, hidden_size, num_layers, **options, dtype=dtype, device=d, seed=seed
        )
        for d in ("cpu", "reference")
    ]
    if tokens:
        x = rng.integers(-1, input_size, (batch, steps))
    else:
        x = random_floats(rng, (batch, steps, input_size), dtype)
    before = random_state(layers[0], batch, rng) if state else None
    compare(layers, x, before, counted(rows, rng, batch, steps), rng, tolerance(options, dtype))


def tolerance(options: dict[str, Any], dtype: str) -> float:
    """Layer normalisation divides what sums differ by by as little as sqrt(eps), step after step."""
    return {"float32": 1e-3, "float64": 1e-8}[dtype] if options.get("layer_norm") else 0.0


OPTIONS = [
    pytest.param(cell, form, options, id=f"{cell}-{form}-{name}")
    for cell, form in FORMS
    for name, options in single_options(cell, form).items()
]


@every_dtype
@pytest.mark.parametrize("sizes", [(6, 9, 7, 19), (17, 5, 16, 16), (3, 4, 65, 33)])
@pytest.mark.parametrize(("cell", "form", "options"), OPTIONS)
def test_each_option_on_cpu_equals_reference(
    cell: str, form: str, options: dict[str, Any], sizes: tuple[int, int, int, int], dtype: str
) -> None:
    rng = np.random.default_rng(7)
    batch, steps, input_size, hidden_size = sizes
    layers = [
        make_layer(cell, form, input_size, hidden_size, 2, dtype=dtype, device=device, seed=5, **options)
        for device in ("cpu", "reference")
    ]
    x = random_floats(rng, (batch, steps, input_size), dtype)
    allowed = tolerance(options, dtype)
    compare(layers, x, None, counted("lengths mask", rng, batch, steps), rng, allowed)
    compare(layers, x, random_state(layers[0], batch, rng), {}, rng, allowed)


@pytest.mark.parametrize(
    ("cell", "form", "options"), [case for case in OPTIONS if "bidirectional" not in case.values[2]]
)
@pytest.mark.parametrize("batch", [1, 5])
def test_step_on_cpu_equals_reference(cell: str, form: str, options: dict[str, Any], batch: int) -> None:
    rng = np.random.default_rng(batch)
    fast, slow = (
        make_layer(cell, form, 7, 33, 2, device=device, seed=5, **options) for device in ("cpu", "reference")
    )
    state = state_slow = None
    for _ in range(4):
        x = random_floats(rng, (batch, 7), "float32")
        y, state = fast.step(x, state)
        y_slow, state_slow = slow.step(x, state_slow)
        assert_close(y, y_slow)
        assert_states_close(state, state_slow)


BLOCKS: dict[str, Any] = {
    "linear": lambda **o: [nn.Linear(7, 19, **o)],
    "linear without bias": lambda **o: [nn.Linear(7, 33, bias=False, **o)],
    "dropout": lambda **o: [nn.Linear(7, 19, **o), nn.Dropout(0.4, **o), nn.Linear(19, 5, **o)],
    "variational": lambda **o: [nn.Linear(7, 19, **o), nn.Dropout(0.4, True, **o), nn.Linear(19, 5, **o)],
    "norm": lambda **o: [nn.LayerNorm(7, **o), nn.LSTM(7, 17, **o), nn.LayerNorm(17, 1e-3, **o)],
    "last": lambda **o: [nn.GRU(7, 17, bidirectional=True, **o), nn.Pool("last"), nn.Linear(34, 3, **o)],
    "mean": lambda **o: [nn.GRU(7, 17, **o), nn.Pool("mean"), nn.Dropout(0.3), nn.Linear(17, 3, **o)],
    "max": lambda **o: [nn.LSTM(7, 17, 2, **o), nn.Pool("max"), nn.LayerNorm(17, **o)],
    "attention": lambda **o: [nn.GRU(7, 17, **o), nn.Pool("attention", size=9), nn.Linear(17, 3, **o)],
    "two stacks": lambda **o: [
        nn.LSTM(7, 9, bidirectional=True, **o),
        nn.Linear(18, 6, **o),
        nn.GRU(6, 5, **o),
    ],
    "embedding": lambda **o: [nn.Embedding(7, 9, dropout=0.3, **o), nn.LSTM(9, 17, bidirectional=True, **o)],
    "frozen": lambda **o: [nn.Embedding(7, 9, frozen=True, **o), nn.Dropout(0.2), nn.GRU(9, 17, **o)],
    "embedding alone": lambda **o: [nn.Embedding(7, 9, **o)],
    "tagger": lambda **o: [nn.Embedding(7, 9, **o), nn.GRU(9, 9, 2, **o), nn.Linear(9, 7, **o)],
}


TIED = {"tagger": {"2.weight": "0.weight"}}


@every_dtype
@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("batch", [1, 6, 33])
def test_blocks_on_cpu_equal_reference(name: str, rows: str, dtype: str, batch: int) -> None:
    rng = np.random.default_rng(8)
    models = [
        nn.Sequential(*BLOCKS[name](dtype=dtype, device=device, seed=5), tied=TIED.get(name), seed=5)
        for device in ("cpu", "reference")
    ]
    if models[0]._takes == "tokens":
        x = rng.integers(-1, 7, (batch, 9))
    else:
        x = random_floats(rng, (batch, 9, 7), dtype)
    compare(models, x, None, counted(rows, rng, batch, 9), rng)
