"""Analytic gradients against central differences, in float64, for every number that has one."""

from typing import Any

import numpy as np
import pytest
from helpers import FORMS, make_layer, random_state
from hypothesis import assume, given
from hypothesis import strategies as st

from seqrs import nn
from seqrs.testing import check_gradients

SIZES = st.sampled_from([1, 2, 3, 5, 7])


@pytest.mark.parametrize(("cell", "form"), FORMS)
@given(data=st.data())
def test_gradients_match_central_differences(cell: str, form: str, data: st.DataObject) -> None:
    draw = data.draw
    input_size, hidden_size, num_layers = draw(SIZES), draw(SIZES), draw(st.integers(1, 3))
    batch, steps = draw(st.integers(1, 4)), draw(st.integers(0, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    layer = make_layer(
        cell,
        form,
        input_size,
        hidden_size,
        num_layers,
        bias=draw(st.booleans()),
        # With ReLU, dropout would move the kinks that this test has to keep away from.
        dropout=draw(st.sampled_from([0.0, 0.4])) if num_layers > 1 and form != "relu" else 0.0,
        dtype="float64",
        device=draw(st.sampled_from(["cpu", "reference"])),
        seed=draw(st.integers(0, 2**32)),
    )
    if draw(st.booleans()):
        x = rng.standard_normal((batch, steps, input_size))
    else:
        x = rng.integers(-1, input_size, (batch, steps))
    state = random_state(layer, batch, rng) if draw(st.booleans()) else None
    lengths = draw(st.none() | st.lists(st.integers(0, steps), min_size=batch, max_size=batch))
    if form == "relu":
        assume(distance_to_kink(layer, x, state) > 1e-3)

    report = check_gradients(layer, x, state, lengths)

    sequence = {"x"} if x.dtype.kind == "f" and steps > 0 else set()
    states = {"state[0]", "state[1]"} if cell == "lstm" else {"state"}
    assert report.tensors.keys() == sequence | states | layer.state_dict().keys()


def distance_to_kink(layer: nn.RNN, x: np.ndarray, state: np.ndarray | None) -> float:
    """The smallest |z| of all ReLU(z), padding included."""
    p, nearest = layer.state_dict(), np.inf
    one_hot = np.vstack([np.eye(layer.input_size), np.zeros(layer.input_size)])
    inputs = x if x.dtype.kind == "f" else one_hot[x]  # row -1 is the last one
    for k in range(layer.num_layers):
        h = np.zeros((len(x), layer.hidden_size)) if state is None else state[k]
        b = p[f"bias_ih_l{k}"] + p[f"bias_hh_l{k}"] if layer.bias else 0.0
        outputs = []
        for t in range(x.shape[1]):
            z = inputs[:, t] @ p[f"weight_ih_l{k}"].T + h @ p[f"weight_hh_l{k}"].T + b
            nearest = min(nearest, np.abs(z).min())
            h = np.maximum(z, 0)
            outputs.append(h)
        inputs = np.stack(outputs, axis=1) if outputs else np.zeros((len(x), 0, layer.hidden_size))
    return float(nearest)


class Squared:
    """A layer of a user's own, y = w x^2, whose gradient by w a test may get wrong."""

    dtype = "float64"

    def __init__(self, factor: float = 1.0) -> None:
        self.w = np.array([0.5, -2.0])
        self.factor = factor

    def forward(self, x: Any, state: Any, lengths: Any, training: bool, *, step: int) -> Any:
        assert lengths is None
        assert training
        assert step == 0
        state = np.zeros((1, len(x), 2)) if state is None else state
        return self.w * x**2 + state[0][:, None], state, x

    def backward(self, tape: Any, dy: Any, dstate: Any) -> nn.Gradients[Any]:
        dw = self.factor * (dy * tape**2).sum((0, 1))
        return nn.Gradients(2 * self.w * tape * dy, dstate + dy.sum(1), {"w": dw})

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"w": self.w.copy()}

    def load_state_dict(self, state_dict: Any) -> None:
        self.w = np.array(state_dict["w"])


def test_check_gradients_reports_on_every_tensor() -> None:
    layer = Squared()
    report = check_gradients(layer, np.arange(12.0).reshape(2, 3, 2))
    assert report.tensors.keys() == {"x", "state", "w"}
    assert all(tensor.ok and tensor.error <= tensor.allowed for tensor in report.tensors.values())
    assert "state" in str(report)
    np.testing.assert_array_equal(layer.w, [0.5, -2.0])  # restored to the bit


@pytest.mark.parametrize("factor", [1 + 1e-5, -1.0, np.nan])
def test_check_gradients_names_the_worst_element(factor: float) -> None:
    layer = Squared(factor)
    with pytest.raises(AssertionError, match=r"^gradient of w\[[01]\]: analytic .*, central difference .*"):
        check_gradients(layer, np.arange(12.0).reshape(2, 3, 2))
    np.testing.assert_array_equal(layer.w, [0.5, -2.0])


def test_check_gradients_refuses_float32() -> None:
    with pytest.raises(ValueError, match='layer: expected dtype "float64", got "float32"'):
        check_gradients(nn.RNN(1, 1), np.zeros((1, 1, 1), np.float32))
