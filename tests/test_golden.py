"""The core against the numbers of PyTorch, Keras and ONNX Runtime, kept in tests/golden with the recipes beside them."""

from typing import Any

import numpy as np
import pytest
from helpers import assert_close
from peers import NAMES, State, load

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


def as_state(state: State, dtype: str) -> Any:
    """The form that a layer takes: h, or (h, c), each one array, or a list of them where the layers' widths differ."""
    parts: list[Any] = []
    for part in state:
        layers = [array.astype(dtype) for array in part]
        differ = len({array.shape[2] for array in layers}) > 1
        parts.append(layers if differ else np.concatenate(layers))
    return tuple(parts) if len(parts) > 1 else parts[0]


def leaves(state: Any) -> list[np.ndarray]:
    """Every array of a state, in order."""
    return [state] if isinstance(state, np.ndarray) else [leaf for part in state for leaf in leaves(part)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_outputs_states_and_gradients_equal_the_peer(name: str, dtype: str, device: str) -> None:
    case = load(name)
    # A peer that computes in float32 is no better than that for a layer of float64.
    tolerance = max(TOLERANCE[dtype], TOLERANCE[case.y.dtype.name])

    def close(actual: np.ndarray, expected: np.ndarray, what: str) -> None:
        assert_close(actual, expected.astype(dtype), what, tolerance=tolerance)

    def states_close(actual: Any, expected: State, what: str) -> None:
        for part, wanted in zip(leaves(actual), leaves(as_state(expected, dtype)), strict=True):
            close(part, wanted, what)

    layer = case.layer(dtype=dtype, device=device)
    assert layer.state_dict().keys() == case.params.keys()
    layer.load_state_dict(case.params)
    steps = {"lengths": case.lengths, "mask": case.mask}
    steps = {key: value for key, value in steps.items() if value is not None}

    x, before = case.x.astype(dtype), as_state(case.before, dtype)
    y, after, tape = layer.forward(x, before, **steps)
    close(y, case.y, "y")
    states_close(after, case.after, "final state")
    if case.gradients is None:
        return

    g = layer.backward(tape, case.gradients.dy.astype(dtype), as_state(case.gradients.dafter, dtype))
    close(g.x, case.gradients.dx, "dx")
    states_close(g.state, case.gradients.dbefore, "gradient of the initial state")
    assert g.params.keys() == case.params.keys()
    for key, gradient in g.params.items():
        close(gradient, case.gradients.params[key], key)


def test_every_cell_has_its_golden_vectors() -> None:
    """A file that is not there is not compared."""
    resets = ["gru_reset_before", "gru_reset_after"]
    wanted = {
        "pytorch_lstm_3layer_bidirectional_proj_lengths",
        "onnxruntime_lstm_peephole_bidirectional_lengths",
    }
    for peer, cells, cases in [
        ("pytorch", ["rnn_tanh", "rnn_relu", "gru", "lstm"], ["1layer", "3layer_bidirectional_lengths"]),
        ("keras", ["rnn", *resets, "lstm"], ["mask", "bidirectional_mask"]),
        ("onnxruntime", ["rnn_tanh", "rnn_relu", *resets, "lstm"], ["lengths", "bidirectional_lengths"]),
    ]:
        wanted |= {f"{peer}_{cell}_{case}" for cell in cells for case in cases}
    assert wanted <= set(NAMES)
