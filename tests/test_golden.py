"""The core against PyTorch's own numbers, kept in tests/golden with the recipe beside them."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_close, parts, state_like

from seqrs import nn

GOLDEN = Path(__file__).parent / "golden"
LAYERS = {
    "rnn_tanh": nn.RNN,
    "rnn_relu": partial(nn.RNN, nonlinearity="relu"),
    "gru": nn.GRU,
    "lstm": nn.LSTM,
}


@pytest.mark.parametrize("name", [path.stem for path in sorted(GOLDEN.glob("*.npz"))])
def test_outputs_states_and_gradients_equal_pytorch(name: str, device: str) -> None:
    with np.load(GOLDEN / f"{name}.npz") as file:
        golden = dict(file)
    cell, _, case = name.rpartition("_")
    num_layers = 2 if case == "2layer" else 1
    params = {key.removeprefix("param."): golden[key] for key in golden if key.startswith("param.")}
    hidden_size, input_size = golden["y"].shape[2], golden["x"].shape[2]
    layer = LAYERS[cell](input_size, hidden_size, num_layers, device=device)
    assert layer.state_dict().keys() == params.keys()
    layer.load_state_dict(params)

    def state(prefix: str, suffix: str = "") -> list[np.ndarray]:
        return [golden[prefix + part + suffix] for part in ("hc" if cell == "lstm" else "h")]

    def close(actual: np.ndarray, expected: np.ndarray, what: str) -> None:
        assert_close(actual, expected, what, tolerance=1e-5)

    y, after, tape = layer.forward(golden["x"], state_like(layer, state("", "0")), golden.get("lengths"))
    close(y, golden["y"], "y")
    for part, expected in zip(parts(after), state("", "n"), strict=True):
        close(part, expected, "final state")

    g = layer.backward(tape, golden["dy"], state_like(layer, state("d", "n")))
    close(g.x, golden["dx"], "dx")
    for part, expected in zip(parts(g.state), state("d", "0"), strict=True):
        close(part, expected, "gradient of the initial state")
    assert g.params.keys() == params.keys()
    for key, gradient in g.params.items():
        close(gradient, golden[f"grad.{key}"], key)


def test_every_cell_has_its_golden_vectors() -> None:
    names = {path.stem for path in GOLDEN.glob("*.npz")}
    assert names >= {f"{cell}_{n}layer" for cell in LAYERS for n in (1, 2)}
