"""The number of threads changes the time, never a bit of the result."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import FORMS, make_layer, parts, random_floats, random_state, state_like

import seqrs

# Batch, steps, inputs, hidden units: rows to spare for every thread, few rows, one row.
SHAPES = [(33, 9, 17, 33), (5, 7, 3, 65), (1, 12, 40, 64)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize(("cell", "form"), FORMS)
def test_same_bits_with_any_number_of_threads(
    cell: str, form: str, tokens: bool, shape: tuple[int, int, int, int], thread_count: int
) -> None:
    batch, steps, input_size, hidden_size = shape
    rng = np.random.default_rng(0)
    layer = make_layer(cell, form, input_size, hidden_size, 2, dropout=0.2, seed=1)
    if tokens:
        x = rng.integers(-1, input_size, (batch, steps))
    else:
        x = random_floats(rng, (batch, steps, input_size), "float32")
    lengths = rng.integers(0, steps + 1, batch)
    state = random_state(layer, batch, rng)
    dy = random_floats(rng, (batch, steps, hidden_size), "float32")
    dstate = state_like(layer, parts(random_state(layer, batch, rng)))

    def run() -> list[bytes]:
        y, after, tape = layer.forward(x, state, lengths, step=0)
        g = layer.backward(tape, dy, dstate)
        arrays = [y, *parts(after), *parts(g.state), *g.params.values(), *([] if tokens else [g.x])]
        y_t, after = layer.step(x[:, 0], state)
        return [array.tobytes() for array in [*arrays, y_t, *parts(after)]]

    seqrs.set_num_threads(1)
    expected = run()
    for n in (2, 3):
        seqrs.set_num_threads(n)
        assert seqrs.get_num_threads() == n
        assert run() == expected, f"{n} threads"
    seqrs.set_num_threads(thread_count)
    assert run() == expected


def test_same_bits_for_calls_from_several_python_threads() -> None:
    """Whoever finds the team busy works alone, and gets the same."""
    rng = np.random.default_rng(1)
    layer = make_layer("lstm", "none", 16, 64, 2, seed=1)
    x = random_floats(rng, (24, 20, 16), "float32")
    dy = random_floats(rng, (24, 20, 64), "float32")

    def run(_: int) -> bytes:
        y, _, tape = layer.forward(x)
        g = layer.backward(tape, dy)
        return b"".join(array.tobytes() for array in [y, g.x, *g.params.values()])

    expected = run(0)
    with ThreadPoolExecutor(4) as pool:
        assert all(result == expected for result in pool.map(run, range(40)))
