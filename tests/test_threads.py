"""The number of threads changes the time, never a bit of the result."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from helpers import FORMS, make_layer, parts, random_floats, random_like, random_state, single_options

import seqrs

# Batch, steps, inputs, hidden units: rows to spare for every thread, few rows, one row.
SHAPES = [(33, 9, 17, 33), (5, 7, 3, 65), (1, 12, 40, 64)]


def outcome(layer: Any, x: np.ndarray, before: Any, counts: dict[str, Any]) -> list[bytes]:
    """The bits of everything that comes out of a layer, forward and back."""
    rng = np.random.default_rng(1)
    y, after, tape = layer.forward(x, before, **counts, step=0)
    g = layer.backward(tape, random_like(y, rng), random_like(after, rng))
    arrays = [*parts(y), *parts(after), *parts(g.state), *g.params.values(), *parts(g.x)]
    if layer.network.causal:
        y_t, after = layer.step(x[:, 0], before)
        arrays += [y_t, *parts(after)]
    return [array.tobytes() for array in arrays]


def check_same_bits(
    layer: Any, x: np.ndarray, before: Any, counts: dict[str, Any], thread_count: int
) -> None:
    seqrs.set_num_threads(1)
    expected = outcome(layer, x, before, counts)
    for n in (2, 3):
        seqrs.set_num_threads(n)
        assert seqrs.get_num_threads() == n
        assert outcome(layer, x, before, counts) == expected, f"{n} threads"
    seqrs.set_num_threads(thread_count)
    assert outcome(layer, x, before, counts) == expected


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
    check_same_bits(layer, x, random_state(layer, batch, rng), {"lengths": lengths}, thread_count)


@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[2]])
@pytest.mark.parametrize(
    ("cell", "form", "options"),
    [
        pytest.param(cell, form, options, id=f"{cell}-{form}-{name}")
        for cell, form in FORMS
        for name, options in single_options(cell, form).items()
    ],
)
def test_same_bits_with_any_option(
    cell: str, form: str, options: dict[str, Any], shape: tuple[int, int, int, int], thread_count: int
) -> None:
    batch, steps, input_size, hidden_size = shape
    rng = np.random.default_rng(0)
    layer = make_layer(cell, form, input_size, hidden_size, 2, seed=1, **options)
    x, mask = random_floats(rng, (batch, steps, input_size), "float32"), rng.random((batch, steps)) < 0.7
    check_same_bits(layer, x, None, {"mask": mask}, thread_count)


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
