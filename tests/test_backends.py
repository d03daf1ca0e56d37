"""The fast device against the slow and obvious one, at sizes where blocked code breaks."""

import math

import numpy as np
import pytest
from helpers import (
    FORMS,
    assert_close,
    assert_gradients_close,
    make_layer,
    parts,
    random_floats,
    random_state,
    state_like,
)
from hypothesis import example, given
from hypothesis import strategies as st

SIZES = [0, 1, 2, 3, 7, 15, 16, 17, 31, 33, 64, 65]
# Multiplications of one gate: the reference takes about half a second for three passes of it.
MOST_WORK = 4_000_000


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    """Layers, batch, steps, inputs and hidden units; no more of each than the work allows."""
    num_layers = draw(st.integers(1, 3))
    hidden_size = draw(st.sampled_from(SIZES[1:]))
    input_size = draw(st.sampled_from(SIZES[1:]))
    one_step = num_layers * hidden_size * (hidden_size + max(hidden_size, input_size))
    steps = draw(st.sampled_from([n for n in SIZES if n * one_step <= MOST_WORK]))
    batch = draw(st.sampled_from([n for n in SIZES if n * max(steps, 1) * one_step <= MOST_WORK]))
    return num_layers, batch, steps, input_size, hidden_size


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("cell", "form"), FORMS)
@example(sizes=(2, 0, 5, 3, 4), tokens=False, rows="mixed", state=True, bias=True, dropout=0.3, seed=1)
@example(sizes=(2, 5, 0, 3, 4), tokens=True, rows="full", state=True, bias=True, dropout=0.3, seed=2)
@example(sizes=(1, 3, 4, 3, 17), tokens=False, rows="zero", state=True, bias=False, dropout=0.0, seed=3)
@given(
    sizes=sizes(),
    tokens=st.booleans(),
    rows=st.sampled_from(["full", "mixed", "zero"]),
    state=st.booleans(),
    bias=st.booleans(),
    dropout=st.sampled_from([0.0, 0.3]),
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
    bias: bool,
    dropout: float,
    seed: int,
) -> None:
    num_layers, batch, steps, input_size, hidden_size = sizes
    rng = np.random.default_rng(seed)
    fast, slow = (
        make_layer(
            cell,
            form,
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            dropout=dropout if num_layers > 1 else 0.0,
            dtype=dtype,
            device=device,
            seed=seed,
        )
        for device in ("cpu", "reference")
    )
    if tokens:
        x = rng.integers(-1, input_size, (batch, steps))
    else:
        x = random_floats(rng, (batch, steps, input_size), dtype)
    lengths = {"full": None, "mixed": rng.integers(0, steps + 1, batch), "zero": np.zeros(batch, int)}[rows]
    before = random_state(fast, batch, rng) if state else None

    y, after, tape = fast.forward(x, before, lengths)
    y_slow, after_slow, tape_slow = slow.forward(x, before, lengths)
    assert_close(y, y_slow, "y")
    for part, part_slow in zip(parts(after), parts(after_slow), strict=True):
        assert_close(part, part_slow, "state")

    # A loss that is a mean, as losses are: gradients of a sum would grow with the batch.
    dy = random_floats(rng, y.shape, dtype) / max(1.0, math.sqrt(batch * steps))
    dafter = state_like(fast, [random_floats(rng, part.shape, dtype) for part in parts(after)])
    assert_gradients_close(
        fast.backward(tape, dy.astype(dtype), dafter), slow.backward(tape_slow, dy.astype(dtype), dafter)
    )


@pytest.mark.parametrize(("cell", "form"), FORMS)
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_step_on_cpu_equals_reference(cell: str, form: str, batch: int) -> None:
    rng = np.random.default_rng(batch)
    fast, slow = (make_layer(cell, form, 7, 33, 2, device=device, seed=5) for device in ("cpu", "reference"))
    state = state_slow = None
    for _ in range(4):
        x = random_floats(rng, (batch, 7), "float32")
        y, state = fast.step(x, state)
        y_slow, state_slow = slow.step(x, state_slow)
        assert_close(y, y_slow)
        for part, part_slow in zip(parts(state), parts(state_slow), strict=True):
            assert_close(part, part_slow)
