"""What several test files use: the list of cells, random cases, and how close is close."""

from typing import Any

import numpy as np

from seqrs import nn

# Every cell in every form.
FORMS = [
    ("rnn", "tanh"),
    ("rnn", "relu"),
    ("gru", "after"),
    ("gru", "before"),
    ("gru", "none"),
    ("lstm", "none"),
    ("lstm", "full"),
    ("lstm", "prev"),
    ("lstm", "current"),
]
LAYERS = {"rnn": (nn.RNN, "nonlinearity"), "gru": (nn.GRU, "reset"), "lstm": (nn.LSTM, "peephole")}

# How far two computations of one array may be apart, relative to 1 + its largest number: they
# sum in different orders, over up to some thousand terms, and approximate tanh differently.
TOLERANCE = {"float32": 2e-5, "float64": 2e-13}


def make_layer(cell: str, form: str, *sizes: int, **options: Any) -> Any:
    layer, option = LAYERS[cell]
    return layer(*sizes, **{option: form}, **options)


def parts(state: Any) -> list[np.ndarray]:
    """A state as a list of arrays: [h], or [h, c]."""
    return list(state) if isinstance(state, tuple) else [state]


def state_like(layer: Any, arrays: list[np.ndarray]) -> Any:
    """The reverse of `parts`."""
    return tuple(arrays) if isinstance(layer, nn.LSTM) else arrays[0]


def random_state(layer: Any, batch: int, rng: np.random.Generator) -> Any:
    shape = (layer.num_layers, batch, layer.hidden_size)
    count = 2 if isinstance(layer, nn.LSTM) else 1
    return state_like(layer, [rng.uniform(-1, 1, shape).astype(layer.dtype) for _ in range(count)])


def random_floats(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return rng.standard_normal(shape).astype(dtype)


def assert_close(actual: np.ndarray, expected: np.ndarray, what: str = "", *, tolerance: float = 0.0) -> None:
    """Compare two arrays of one dtype; `tolerance` replaces the dtype's own."""
    assert actual.dtype == expected.dtype, what
    assert actual.shape == expected.shape, what
    if actual.size:
        allowed = (tolerance or TOLERANCE[actual.dtype.name]) * (1 + np.abs(expected).max())
        error = np.abs(actual - expected)
        assert error.max() <= allowed, f"{what}: off by {error.max():.2g}, allowed {allowed:.2g}"


def assert_gradients_close(actual: nn.Gradients, expected: nn.Gradients) -> None:
    assert (actual.x is None) == (expected.x is None)
    if actual.x is not None:
        assert_close(actual.x, expected.x, "dx")
    for a, e in zip(parts(actual.state), parts(expected.state), strict=True):
        assert_close(a, e, "dstate")
    assert actual.params.keys() == expected.params.keys()
    for name, gradient in actual.params.items():
        assert_close(gradient, expected.params[name], name)
