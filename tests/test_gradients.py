"""Analytic gradients against central differences, in float64, for every number that has one."""

from typing import Any

import numpy as np
import pytest
from helpers import FORMS, drawn_options, make_layer, random_state, single_options
from hypothesis import assume, given
from hypothesis import strategies as st

from seqrs import nn
from seqrs.testing import check_gradients

# Sizes beyond the width of a register are test_backends.py's: there a run takes two passes, not two a number.
SIZES = st.sampled_from([1, 2, 3, 5])

every_form = pytest.mark.parametrize(("cell", "form"), FORMS)


@every_form
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
        bidirectional=form != "relu" and draw(st.booleans()),
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
    mask = rng.random((batch, steps)) < 0.6 if form != "relu" and draw(st.booleans()) else None
    if form == "relu":
        assume(distance_to_kink(layer, x, state) > 1e-3)

    report = check_gradients(layer, x, state, lengths, mask=mask)

    sequence = {"x"} if x.dtype.kind == "f" and steps > 0 else set()
    states = {"state[0]", "state[1]"} if cell == "lstm" else {"state"}
    assert report.tensors.keys() == sequence | states | layer.state_dict().keys()


@every_form
@given(data=st.data())
def test_gradients_of_any_options_match_central_differences(
    cell: str, form: str, data: st.DataObject
) -> None:
    draw = data.draw
    # Layer normalisation has its own cases: of numbers that are nearly equal it is too steep here.
    options = draw(drawn_options(cell, "tanh" if form == "relu" else form, steady=True))
    num_layers = draw(st.integers(1, 3))
    widths = draw(st.lists(st.integers(1, 4), min_size=num_layers, max_size=num_layers))
    if options["residual"]:
        widths = widths[:1] * num_layers
    batch, steps = draw(st.integers(1, 3)), draw(st.integers(0, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dropout = draw(st.sampled_from([0.0, 0.4])) if num_layers > 1 else 0.0
    device, seed = draw(st.sampled_from(["cpu", "reference"])), draw(st.integers(0, 2**32))
    layer = make_layer(
        cell, "tanh" if form == "relu" else form, 2, widths, **options, dropout=dropout, device=device,
        dtype="float64", seed=seed,
    )  # fmt: skip
    x = rng.standard_normal((batch, steps, 2)) if draw(st.booleans()) else rng.integers(-1, 2, (batch, steps))
    mask = rng.random((batch, steps)) < 0.6 if draw(st.booleans()) else None
    state = random_state(layer, batch, rng) if draw(st.booleans()) else None
    lengths = draw(st.none() | st.lists(st.integers(0, steps), min_size=batch, max_size=batch))
    check_gradients(layer, x, state, lengths, mask=mask)


OPTIONS = [
    pytest.param(cell, form, options, id=f"{cell}-{form}-{name}")
    for cell, form in FORMS
    if form != "relu"  # its own test keeps away from the kink
    for name, options in single_options(cell, form).items()
]


@pytest.mark.parametrize(("cell", "form", "options"), OPTIONS)
def test_gradients_of_each_option_match_central_differences(
    cell: str, form: str, options: dict[str, Any]
) -> None:
    """Of the functions with kinks, at numbers that lie on either side of them and none near.

    On one device: test_backends.py holds the other against it, to the last digits.
    """
    rng = np.random.default_rng(5)
    # Normalised, few numbers are often nearly equal, and the function too steep for differences.
    hidden_size = 5 if "layer_norm" in options else 3
    layer = make_layer(cell, form, 2, hidden_size, 2, dtype="float64", seed=3, **options)
    # Far enough out that every piece of every function is there.
    layer.load_state_dict({name: 3 * value + 0.1 for name, value in layer.state_dict().items()})
    x, mask = rng.standard_normal((3, 5, 2)), rng.random((3, 5)) < 0.8
    learned = "learn_initial_state" in options
    state = None if learned else random_state(layer, 3, rng)
    check_gradients(layer, x, state, [5, 0, 4], mask=mask, difference=2e-6)


BLOCKS: dict[str, Any] = {
    "embedding": lambda **o: nn.Embedding(4, 3, dropout=0.3, **o),
    "frozen": lambda **o: nn.Sequential(nn.Embedding(4, 3, frozen=True, **o), nn.Linear(3, 2, **o)),
    "linear": lambda **o: nn.Linear(3, 2, **o),
    "linear without bias": lambda **o: nn.Linear(3, 2, bias=False, **o),
    "layer norm": lambda **o: nn.LayerNorm(3, **o),
    "dropout": lambda **o: nn.Sequential(nn.Linear(3, 4, **o), nn.Dropout(0.4), seed=1),
    "variational": lambda **o: nn.Sequential(nn.Linear(3, 4, **o), nn.Dropout(0.4, True), seed=1),
    "last": lambda **o: nn.Pool("last", **o),
    "mean": lambda **o: nn.Pool("mean", **o),
    "ends": lambda **o: nn.Sequential(nn.GRU(3, 2, bidirectional=True, **o), nn.Pool("ends")),
    "center": lambda **o: nn.Pool("center", **o),
    "max+mean": lambda **o: nn.Pool("max+mean", **o),
    "max": lambda **o: nn.Pool("max", **o),
    "attention": lambda **o: nn.Pool("attention", 3, 5, **o),
    "classifier": lambda **o: nn.Sequential(
        nn.GRU(3, 2, 2, bidirectional=True, **o), nn.Pool("attention", size=3), nn.LayerNorm(4, **o),
        nn.Dropout(0.3), nn.Linear(4, 2, **o), seed=1,
    ),
    "tied": lambda **o: nn.Sequential(
        nn.Embedding(4, 3, **o), nn.LSTM(3, 3, **o), nn.Linear(3, 4, **o), tied={"2.weight": "0.weight"}
    ),
    "two stacks": lambda **o: nn.Sequential(
        nn.LSTM(3, [2, 3], **o), nn.Linear(3, 2, **o), nn.GRU(2, 2, bidirectional=True, merge="separate", **o)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS)
def test_gradients_of_blocks_match_central_differences(name: str, device: str) -> None:
    rng = np.random.default_rng(6)
    model = BLOCKS[name](dtype="float64", device=device, seed=4)
    x = rng.integers(-1, 4, (3, 5)) if model._takes == "tokens" else rng.standard_normal((3, 5, 3))
    mask = rng.random((3, 5)) < 0.7
    report = check_gradients(model, x, None, [5, 0, 4], mask=mask)
    frozen = {name for name, *_, frozen in model.network.parameters() if frozen}
    assert report.tensors.keys() >= model.state_dict().keys() - frozen
    assert not report.tensors.keys() & frozen
    check_gradients(model, x, random_state(model, 3, rng))


def test_a_frozen_embedding_has_no_gradient() -> None:
    model = nn.Sequential(nn.Embedding(4, 3, frozen=True), nn.Linear(3, 2))
    y, _, tape = model.forward([[1, 2, 3]])
    g = model.backward(tape, np.ones_like(y))
    assert g.params.keys() == {"1.weight", "1.bias"}
    assert g.flat is not None
    assert g.flat.shape == (model.num_parameters,) == (4 * 3 + 3 * 2 + 2,)
    assert not g.flat[model.num_trainable :].any()


def test_gradients_of_parameters_are_views_of_one_array() -> None:
    layer = nn.LSTM(3, 4, 2, bidirectional=True)
    y, _, tape = layer.forward(np.ones((2, 5, 3), np.float32))
    g = layer.backward(tape, np.ones_like(y))
    assert g.flat is not None
    assert g.flat.size == sum(value.size for value in g.params.values()) == layer.num_parameters
    assert all(np.shares_memory(value, g.flat) for value in g.params.values())
    g.flat[:] = 7
    assert all((value == 7).all() for value in g.params.values())


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


def test_check_gradients_includes_penalties_and_learned_states() -> None:
    layer = nn.GRU(2, 3, learn_initial_state=True, activation_penalty=2.0, dtype="float64", seed=0)
    x = np.random.default_rng(0).standard_normal((2, 4, 2))
    report = check_gradients(layer, x)
    assert "initial_h_l0" in report.tensors
    assert "state" not in report.tensors  # nothing was given
    assert "state" in check_gradients(layer, x, np.ones((1, 2, 3))).tensors


@pytest.mark.parametrize("factor", [1 + 1e-5, -1.0, np.nan])
def test_check_gradients_names_the_worst_element(factor: float) -> None:
    layer = Squared(factor)
    with pytest.raises(AssertionError, match=r"^gradient of w\[[01]\]: analytic .*, central difference .*"):
        check_gradients(layer, np.arange(12.0).reshape(2, 3, 2))
    np.testing.assert_array_equal(layer.w, [0.5, -2.0])


def test_check_gradients_refuses_float32() -> None:
    with pytest.raises(ValueError, match='layer: expected dtype "float64", got "float32"'):
        check_gradients(nn.RNN(1, 1), np.zeros((1, 1, 1), np.float32))
