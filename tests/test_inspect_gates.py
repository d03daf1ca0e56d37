"""The gates that seqrs.inspect shows: against the notes' equations in NumPy, and the states they make."""

from typing import Any

import numpy as np
import pytest
from helpers import FORMS, make_layer

from seqrs import educational as ed
from seqrs import inspect, nn
from seqrs.inspect._reading import read
from seqrs.inspect.gates import gates

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 7, 2))
LENGTHS = [7, 1, 4]
COUNTS = np.arange(7) < np.array(LENGTHS)[:, None]


def gates_in_numpy(cell: str, form: str, layer: Any, coupled: bool) -> dict[str, np.ndarray]:
    """The gates (B, T, H) of one layer as the notes' equations give them."""
    (p,) = ed.to_notes(layer.state_dict(), cell, form, coupled=coupled)
    x, zero = X.transpose(1, 2, 0), np.zeros((4, 3))
    if cell == "gru":
        _, cache = ed.gru_forward(x, zero, p, form)
        found = {"r": [step[2] for step in cache], "z": [1 - step[1] for step in cache]}
        if form == "none":
            del found["r"]
    elif cell == "lstm":
        _, _, cache = ed.lstm_forward(x, zero, zero, p, form)
        found = {gate: [step[2 + i] for step in cache] for i, gate in enumerate("ifo")}
    elif cell == "mingru":
        found = {"z": [step[2] for step in ed.mingru_forward(x, zero, p)[1]]}
    else:
        sigmoid = {k: 1 / (1 + np.exp(-(p["W" + k] @ x + p["b" + k]))) for k in "fu"}
        found = {"f": list(sigmoid["f"]), "i": list(sigmoid["u"])}
    return {gate: np.array(values).transpose(2, 0, 1) for gate, values in found.items()}


@pytest.mark.parametrize(
    ("cell", "form", "options"),
    [(*names, {}) for names in FORMS if names[0] != "rnn"]
    + [("lstm", form, {"coupled": True}) for form in ("none", "full", "current")]
    + [("gru", "after", {"bias": False})],
)
def test_gates_are_the_notes(cell: str, form: str, options: dict[str, Any]) -> None:
    layer = make_layer(cell, form, 2, 4, dtype="float64", seed=2, **options)
    # Larger weights, so that some gates are shut and some open.
    layer.load_state_dict({name: 4 * value for name, value in layer.state_dict().items()})
    expected = gates_in_numpy(cell, form, layer, bool(options.get("coupled")))
    result = inspect.gate_statistics(layer, X)
    assert {gate for _, gate in result.mean} == expected.keys()
    for gate, values in expected.items():
        assert np.allclose(result.mean["layer 0", gate], values.mean(axis=(0, 2)))
        assert np.array_equal(result.shut["layer 0", gate], (values < 0.1).mean(axis=(0, 2)))
        assert np.array_equal(result.open["layer 0", gate], (values > 0.9).mean(axis=(0, 2)))
    assert any(shut.any() for shut in result.shut.values())


def normalised(z: np.ndarray, gain: np.ndarray) -> np.ndarray:
    return gain * (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5)


def test_gates_of_normalised_lstms_make_the_state() -> None:
    layer = nn.LSTM(2, 3, layer_norm=True, dtype="float64", seed=4)
    rng = np.random.default_rng(0)
    layer.load_state_dict({name: rng.normal(size=value.shape) for name, value in layer.state_dict().items()})
    (history,) = read(layer, X, None, None).histories()
    found, w = gates(history), layer.state_dict()
    z = normalised(X @ w["weight_ih_l0"].T, w["gain_ih_l0"]) + w["bias_ih_l0"] + w["bias_hh_l0"]
    z = z + normalised(history.before["h"] @ w["weight_hh_l0"].T, w["gain_hh_l0"])
    c = found["f"] * history.before["c"] + found["i"] * np.tanh(z[..., 6:9])
    np.testing.assert_allclose(c, history.after["c"], atol=1e-12)
    h = found["o"] * np.tanh(normalised(c, w["gain_c_l0"]) + w["bias_c_l0"])
    np.testing.assert_allclose(h, history.after["h"], atol=1e-12)
    mean = inspect.gate_statistics(layer, X).mean["layer 0", "o"]
    np.testing.assert_allclose(mean, found["o"].mean(axis=(0, 2)))


@pytest.mark.parametrize("reset", ["after", "before", "none"])
def test_gates_of_normalised_grus_make_the_state(reset: str) -> None:
    layer = nn.GRU(2, 3, layer_norm=True, reset=reset, dtype="float64", seed=4)
    rng = np.random.default_rng(0)
    layer.load_state_dict({name: rng.normal(size=value.shape) for name, value in layer.state_dict().items()})
    (history,) = read(layer, X, None, None).histories()
    found, w, h = gates(history), layer.state_dict(), history.before["h"]
    last = slice(-3, None)
    x_part = normalised(X @ w["weight_ih_l0"][last].T, w["gain_ih_l0"][last]) + w["bias_ih_l0"][last]
    seen = found["r"] * h if reset == "before" else h
    h_part = normalised(seen @ w["weight_hh_l0"][last].T, w["gain_hh_l0"][last]) + w["bias_hh_l0"][last]
    n = np.tanh(x_part + (found["r"] * h_part if reset == "after" else h_part))
    np.testing.assert_allclose((1 - found["z"]) * n + found["z"] * h, history.after["h"], atol=1e-12)


def test_gates_of_tokens_are_those_of_their_one_hot_vectors() -> None:
    layer = nn.LSTM(6, 4, bidirectional=True, dtype="float64", seed=1)
    tokens = np.array([[0, 5, -1, 2], [3, 3, 0, 0]])
    one_hot = np.eye(7, 6)[tokens]
    result, expected = (inspect.gate_statistics(layer, x, lengths=[4, 2]).rows() for x in (tokens, one_hot))
    assert [(row["layer"], row["gate"]) for row in result] == [
        (name, gate) for name in ("layer 0", "layer 0 reverse") for gate in "ifo"
    ]
    for row, other in zip(result, expected, strict=True):
        assert row["mean"] == pytest.approx(other["mean"])


def test_gate_rows_weigh_every_step_alike() -> None:
    layer = nn.MinGRU(2, 4, dtype="float64", seed=1)
    result = inspect.gate_statistics(layer, X, lengths=LENGTHS)
    z = gates_in_numpy("mingru", "", layer, False)["z"]
    assert result.counts.tolist() == [3, 2, 2, 2, 1, 1, 1]
    assert result.rows()[0]["mean"] == pytest.approx(z[COUNTS].mean())
