"""What several test files use: the list of cells and of their options, random cases, how close is close."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

import seqrs
from seqrs import gpu, nn

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
    ("mingru", ""),
    ("minlstm", ""),
]
LAYERS: dict[str, tuple[Any, str]] = {
    "rnn": (nn.RNN, "nonlinearity"),
    "gru": (nn.GRU, "reset"),
    "lstm": (nn.LSTM, "peephole"),
    "mingru": (nn.MinGRU, ""),
    "minlstm": (nn.MinLSTM, ""),
}
# Smooth functions, and those with a kink, in the function itself or (softsign) in its slope.
BOUNDED = ["tanh", "sigmoid"]
SMOOTH = [*BOUNDED, "identity"]
KINKED = ["relu", "hard_sigmoid", "softsign"]

# How far two computations of one array may be apart, relative to 1 + its largest number: they
# sum in different orders, over up to some thousand terms, and approximate tanh differently.
TOLERANCE = {"float32": 2e-5, "float64": 2e-13}


def make_layer(cell: str, form: str, *sizes: Any, **options: Any) -> Any:
    layer, option = LAYERS[cell]
    return layer(*sizes, **(({option: form} if option else {}) | options))


def single_options(cell: str, form: str) -> dict[str, dict[str, Any]]:
    """Every option that this cell has, alone, for two layers of one width."""
    options: dict[str, dict[str, Any]] = {
        "no bias": {"bias": False},
        "bidirectional": {"bidirectional": True},
        "sum": {"bidirectional": True, "merge": "sum"},
        "mean": {"bidirectional": True, "merge": "mean"},
        "separate": {"bidirectional": True, "merge": "separate"},
        "residual": {"residual": True},
        "residual both ways": {"residual": True, "bidirectional": True},
        "learned initial state": {"learn_initial_state": True, "bidirectional": True},
        "dropout": {"dropout": 0.4},
        "variational": {"dropout": 0.4, "variational": True, "bidirectional": True},
        "zoneout": {"zoneout": 0.3},
        "penalties": {"activation_penalty": 0.5, "temporal_penalty": 0.7, "bidirectional": True},
    }
    if cell not in ("mingru", "minlstm"):
        options["recurrent dropout"] = {"recurrent_dropout": 0.4}
        options["weight dropout"] = {"weight_dropout": 0.4, "bidirectional": True}
    if cell != "rnn":
        options["candidate dropout"] = {"candidate_dropout": 0.4}
        options |= {f"activation {name}": {"activation": name} for name in SMOOTH + KINKED}
    else:
        options |= {name: {"nonlinearity": name} for name in SMOOTH + KINKED}
    if cell == "gru" or (cell == "lstm" and form == "none"):
        options["layer norm"] = {"layer_norm": True, "bidirectional": True}
        options["layer norm, residual"] = {"layer_norm": True, "residual": True}
        options["layer norm, regularised"] = {
            "layer_norm": True, "recurrent_dropout": 0.3, "weight_dropout": 0.2, "candidate_dropout": 0.3,
            "zoneout": 0.2, "dropout": 0.2,
        }  # fmt: skip
    if cell == "lstm":
        options |= {
            "zoneout pair": {"zoneout": (0.2, 0.5)},
            "coupled": {"coupled": True},
            "projection": {"proj_size": 2, "zoneout": 0.3, "learn_initial_state": True},
            "cell clip": {"cell_clip": 0.15},
            "clipped, projected, coupled": {"cell_clip": 0.3, "proj_size": 3, "coupled": True},
        }
        options |= {f"output {name}": {"output_activation": name} for name in SMOOTH + KINKED}
        if form == "none":
            options["layer norm, projected"] = {"layer_norm": True, "proj_size": 3, "bidirectional": True}
            options["layer norm, coupled"] = {"layer_norm": True, "coupled": True, "activation": "sigmoid"}
    return options


@st.composite
def drawn_options(
    draw: st.DrawFn, cell: str, form: str, *, kinks: bool = False, steady: bool = False
) -> dict[str, Any]:
    """Any combination of the options that this cell has.

    `steady`: only where a small difference stays one. An unbounded function lets it grow from step
    to step; layer normalisation divides it by what may be as little as sqrt(eps).
    """
    probability = st.sampled_from([0.0, 0.3])
    options: dict[str, Any] = {
        "bias": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
        "merge": draw(st.sampled_from(["concat", "sum", "mean", "separate"])),
        "residual": draw(st.booleans()),
        "learn_initial_state": draw(st.booleans()),
        "variational": draw(st.booleans()),
        "activation_penalty": draw(probability),
        "temporal_penalty": draw(probability),
        "init": draw(st.sampled_from(["uniform", "orthogonal"])),
        "zoneout": draw(st.sampled_from([0.0, 0.2])),
    }
    activation = st.sampled_from((BOUNDED if steady else SMOOTH) + KINKED * kinks)
    if cell not in ("mingru", "minlstm"):
        options["recurrent_dropout"] = draw(probability)
        options["weight_dropout"] = draw(probability)
    if cell == "rnn":
        options["nonlinearity"] = draw(st.sampled_from([form]) | activation)
    else:
        options["candidate_dropout"] = draw(probability)
        options["activation"] = draw(activation)
    if not steady and (cell == "gru" or (cell == "lstm" and form == "none")):
        options["layer_norm"] = draw(st.booleans())
    if cell == "lstm":
        options["zoneout"] = draw(st.sampled_from([0.0, 0.2, (0.0, 0.4), (0.4, 0.0)]))
        options["coupled"] = draw(st.booleans())
        options["output_activation"] = draw(activation)
        options["proj_size"] = draw(st.sampled_from([0, 1, 3, 17]))
        options["cell_clip"] = draw(st.sampled_from([None, 0.2] if kinks else [None]))
    return options


def parts(state: Any) -> list[np.ndarray]:
    """The arrays of a state, or of an output, in order: [h], or [h, c], or layer by layer."""
    if isinstance(state, (tuple, list)):
        return [array for part in state for array in parts(part)]
    return [] if state is None else [state]


def like(state: Any, arrays: list[np.ndarray]) -> Any:
    """The reverse of `parts`: arrays in the form of a state."""
    rest = iter(arrays)

    def fill(part: Any) -> Any:
        if isinstance(part, (tuple, list)):
            return type(part)(fill(inner) for inner in part)
        return None if part is None else next(rest)

    return fill(state)


def changed(state: Any, change: Callable[[np.ndarray], np.ndarray]) -> Any:
    """A state, or an output, with every array changed."""
    return like(state, [change(array) for array in parts(state)])


def picked(state: Any, index: Any) -> Any:
    """A state, or an output, of which each array is indexed."""
    return changed(state, lambda array: array[index])


def state_like(layer: Any, arrays: list[np.ndarray]) -> Any:
    """The state of a layer whose widths are all the same."""
    return tuple(arrays) if isinstance(layer, nn.LSTM) else arrays[0]


def random_state(layer: Any, batch: int, rng: np.random.Generator) -> Any:
    x = np.zeros((batch, 0), int)
    if layer._takes == "features":
        x = np.zeros((batch, 0, layer.input_size), layer.dtype)
    return changed(layer(x)[1], lambda array: rng.uniform(-1, 1, array.shape).astype(layer.dtype))


def random_floats(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return rng.standard_normal(shape).astype(dtype)


def random_like(state: Any, rng: np.random.Generator, scale: float = 1.0) -> Any:
    """A gradient for a state, or for an output."""
    return changed(state, lambda array: (scale * rng.standard_normal(array.shape)).astype(array.dtype))


def assert_close(actual: np.ndarray, expected: np.ndarray, what: str = "", *, tolerance: float = 0.0) -> None:
    """Compare two arrays of one dtype; `tolerance` replaces the dtype's own."""
    assert actual.dtype == expected.dtype, what
    assert actual.shape == expected.shape, what
    if actual.size:
        allowed = (tolerance or TOLERANCE[actual.dtype.name]) * (1 + np.abs(expected).max())
        error = np.abs(actual - expected)
        assert error.max() <= allowed, f"{what}: off by {error.max():.2g}, allowed {allowed:.2g}"


def assert_states_close(actual: Any, expected: Any, what: str = "state", *, tolerance: float = 0.0) -> None:
    for a, e in zip(parts(actual), parts(expected), strict=True):
        assert_close(a, e, what, tolerance=tolerance)


def assert_gradients_close(actual: nn.Gradients, expected: nn.Gradients, *, tolerance: float = 0.0) -> None:
    assert (actual.x is None) == (expected.x is None)
    if actual.x is not None:
        assert_close(actual.x, expected.x, "dx", tolerance=tolerance)
    assert_states_close(actual.state, expected.state, "dstate", tolerance=tolerance)
    assert actual.params.keys() == expected.params.keys()
    for name, gradient in actual.params.items():
        assert_close(gradient, expected.params[name], name, tolerance=tolerance)


def need_gpu() -> None:
    """Skip the test where ``device="gpu"`` finds nothing; fail where SEQRS_TEST_GPU says that it must."""
    found = gpu.info()
    if found.chosen is None:
        if os.environ.get("SEQRS_TEST_GPU") == "require":
            pytest.fail(f"SEQRS_TEST_GPU=require, and {found}")
        pytest.skip(f"no graphics processor: {found.why}")


def walks(count: int, seed: int = 0) -> tuple[list[np.ndarray], list[str]]:
    """Random walks of different length, and whether each ends above its start."""
    rng = np.random.default_rng(seed)
    X = [rng.normal(size=(n, 2)).cumsum(0) for n in rng.integers(1, 20, count)]
    return X, ["up" if x[-1, 0] > 0 else "down" for x in X]


def small(**options: Any) -> seqrs.SequenceClassifier:
    """A classifier that is trained in a moment."""
    return seqrs.SequenceClassifier(
        **({"cell": "gru", "hidden_size": 8, "epochs": 3, "lr": 0.02, "random_state": 0} | options)
    )


SENTENCES = ["good film", "a bad film", "good", "bad bad"]
MOODS = [1, 0, 1, 0]
