"""A user's own cells: an LSTM and a GRU written as one equal the core's; gradients; what goes wrong is named."""

from typing import Any

import numpy as np
import pytest
from helpers import assert_close, assert_gradients_close, assert_states_close, random_like, random_state
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seqrs import exceptions, nn, optim
from seqrs.testing import check_gradients

MERGES = ["concat", "sum", "mean", "separate"]


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * z))


class Gates:
    """What both cells have: PyTorch's parameters, and gates that see x and h."""

    gates: int

    def __init__(self, hidden_size: int) -> None:
        self.H = hidden_size

    def parameters(self, input_size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        rows = self.gates * self.H
        shapes = {
            "weight_ih": (rows, input_size),
            "weight_hh": (rows, self.H),
            "bias_ih": rows,
            "bias_hh": rows,
        }
        return {name: rng.uniform(-1, 1, shape) / self.H**0.5 for name, shape in shapes.items()}

    @staticmethod
    def gradients(d_in: np.ndarray, d_hh: np.ndarray, x: np.ndarray, h: np.ndarray) -> dict[str, np.ndarray]:
        """Of the parameters, given those of the sums that they make with x and with h."""
        return {
            "weight_ih": d_in.T @ x,
            "weight_hh": d_hh.T @ h,
            "bias_ih": d_in.sum(0),
            "bias_hh": d_hh.sum(0),
        }


class MyLSTM(Gates):
    gates = 4

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.H, self.H

    def step(self, p: Any, x: np.ndarray, state: Any) -> Any:
        h, c = state
        z = x @ p["weight_ih"].T + p["bias_ih"] + h @ p["weight_hh"].T + p["bias_hh"]
        i, f, g, o = np.split(z, 4, axis=1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        after = f * c + i * g
        return (o * np.tanh(after), after), (x, h, c, i, f, g, o, after)

    def step_backward(self, p: Any, saved: Any, dstate: Any) -> Any:
        x, h, c, i, f, g, o, after = saved
        dh, dc = dstate
        dc = dc + dh * o * (1 - np.tanh(after) ** 2)
        dz = np.hstack(
            [
                dc * g * i * (1 - i),
                dc * c * f * (1 - f),
                dc * i * (1 - g**2),
                dh * np.tanh(after) * o * (1 - o),
            ]
        )
        return dz @ p["weight_ih"], (dz @ p["weight_hh"], dc * f), self.gradients(dz, dz, x, h)


class MyGRU(Gates):
    gates = 3

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return (self.H,)

    def step(self, p: Any, x: np.ndarray, state: Any) -> Any:
        (h,) = state
        a_r, a_z, a_n = np.split(x @ p["weight_ih"].T + p["bias_ih"], 3, axis=1)
        b_r, b_z, b_n = np.split(h @ p["weight_hh"].T + p["bias_hh"], 3, axis=1)
        r, z = sigmoid(a_r + b_r), sigmoid(a_z + b_z)
        n = np.tanh(a_n + r * b_n)
        return [(1 - z) * n + z * h], (x, h, r, z, n, b_n)

    def step_backward(self, p: Any, saved: Any, dstate: Any) -> Any:
        x, h, r, z, n, b_n = saved
        (dh,) = dstate
        dn = dh * (1 - z) * (1 - n**2)
        dr, dz = dn * b_n * r * (1 - r), dh * (h - n) * z * (1 - z)
        d_in, d_hh = np.hstack([dr, dz, dn]), np.hstack([dr, dz, dn * r])
        return d_in @ p["weight_ih"], [d_hh @ p["weight_hh"] + dh * z], self.gradients(d_in, d_hh, x, h)


class Three:
    """A cell with three parts of the state, each of another width, and a weight that is a number."""

    state_sizes = (2, 3, 1)

    def parameters(self, input_size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"w": rng.normal(size=(input_size, 2)), "s": rng.normal(size=())}

    def step(self, p: Any, x: np.ndarray, state: Any) -> Any:
        a, b, c = state
        y = np.tanh(x @ p["w"] + b[:, :2] * c + p["s"] * a)
        return (y, b + c, c * y[:, :1]), (x, a, b, c, y)

    def step_backward(self, p: Any, saved: Any, dstate: Any) -> Any:
        x, a, b, c, y = saved
        dy, db, dc = dstate
        dy = dy.copy()
        dy[:, :1] += dc * c
        dz = dy * (1 - y**2)
        before_b = db.copy()
        before_b[:, :2] += dz * c
        before_c = dc * y[:, :1] + db.sum(1, keepdims=True) + (dz * b[:, :2]).sum(1, keepdims=True)
        return dz @ p["w"].T, (p["s"] * dz, before_b, before_c), {"w": x.T @ dz, "s": (dz * a).sum()}


def draw_steps(data: st.DataObject, batch: int, steps: int) -> tuple[Any, Any]:
    """Lengths and a mask, or not."""
    lengths = data.draw(st.none() | st.lists(st.integers(0, steps), min_size=batch, max_size=batch))
    flags = st.lists(st.booleans(), min_size=batch * steps, max_size=batch * steps)
    mask = data.draw(st.none() | flags)
    return lengths, mask if mask is None else np.array(mask, np.bool_).reshape(batch, steps)


@pytest.mark.parametrize(("mine", "core"), [(MyLSTM, nn.LSTM), (MyGRU, nn.GRU)])
@given(data=st.data())
def test_equals_the_cores_cell(mine: Any, core: Any, data: st.DataObject) -> None:
    draw, small = data.draw, st.integers(1, 5)
    batch, steps, input_size = draw(st.integers(0, 4)), draw(st.integers(0, 6)), draw(small)
    sizes = draw(st.lists(small, min_size=1, max_size=3))
    options = {
        "bidirectional": draw(st.booleans()),
        "merge": draw(st.sampled_from(MERGES)),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
    }
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    expected = core(input_size, sizes, **options)
    layer = nn.Custom([mine(size) for size in sizes], input_size, **options)
    layer.load_state_dict(expected.state_dict())
    lengths, mask = draw_steps(data, batch, steps)
    if draw(st.booleans()):
        x = rng.standard_normal((batch, steps, input_size)).astype(layer.dtype)
    else:
        x = rng.integers(-1, input_size, (batch, steps))

    y, state = layer(x, lengths=lengths, mask=mask)
    before = random_like(state, rng) if draw(st.booleans()) else None
    dy, dafter = random_like(y, rng), random_like(state, rng)

    y, after, tape = layer.forward(x, before, lengths, mask=mask)
    y_core, after_core, tape_core = expected.forward(x, before, lengths, mask=mask)
    assert_states_close(y, y_core, "y")
    assert_states_close(after, after_core)
    assert_gradients_close(layer.backward(tape, dy, dafter), expected.backward(tape_core, dy, dafter))


@pytest.mark.parametrize(
    "cell", [lambda _: MyLSTM(2), MyGRU, lambda _: Three()], ids=["lstm", "gru", "three parts"]
)
@settings(max_examples=25)
@given(data=st.data())
def test_gradients(cell: Any, data: st.DataObject) -> None:
    """Central differences, also with a width of its own for each layer (where the state is a list)."""
    draw = data.draw
    batch, steps, layers = draw(st.integers(1, 2)), draw(st.integers(0, 3)), draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    layer = nn.Custom(
        [cell(1 + k) for k in range(layers)],
        input_size=2,
        bidirectional=draw(st.booleans()),
        merge=draw(st.sampled_from(MERGES)),
        dtype="float64",
        seed=draw(st.integers(0, 2**32)),
    )
    lengths, mask = draw_steps(data, batch, steps)
    x = rng.standard_normal((batch, steps, 2)) if draw(st.booleans()) else rng.integers(-1, 2, (batch, steps))
    state = random_state(layer, batch, rng) if draw(st.booleans()) else None
    check_gradients(layer, x, state, lengths, mask=mask)


@given(data=st.data())
def test_the_cell_sees_only_steps_that_count(data: st.DataObject) -> None:
    batch, steps = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 5))
    lengths, mask = draw_steps(data, batch, steps)
    counts = np.ones((batch, steps), np.bool_) if mask is None else mask
    if lengths is not None:
        counts = counts & (np.arange(steps) < np.array(lengths)[:, None])
    assume(counts.any())
    seen: list[float] = []

    class Spy(Three):
        def step(self, p: Any, x: np.ndarray, state: Any) -> Any:
            assert len(x) > 0
            seen.extend(x[:, 0])
            return super().step(p, x, state)

    x = np.arange(batch * steps, dtype=np.float64).reshape(batch, steps, 1)
    nn.Custom(Spy(), 1, dtype="float64")(x, lengths=lengths, mask=mask)
    assert sorted(seen) == x[counts].ravel().tolist()


def test_steps_one_by_one_give_what_the_sequence_gives() -> None:
    layer = nn.Custom(Three(), 2, num_layers=2, dtype="float64", seed=0)
    x = np.random.default_rng(0).standard_normal((3, 4, 2))
    y, after = layer(x)
    state = None
    for t in range(4):
        y_t, state = layer.step(x[:, t], state)
        assert_close(y_t, y[:, t])
    assert_states_close(state, after)


def test_one_sequence_without_a_batch() -> None:
    layer = nn.Custom(Three(), 2, bidirectional=True, dtype="float64", seed=0)
    x = np.random.default_rng(0).standard_normal((1, 4, 2))
    y, state, tape = layer.forward(x)
    y_alone, state_alone, tape_alone = layer.forward(x[0])
    assert_close(y_alone, y[0])
    for a, e in zip(state_alone, state, strict=True):
        assert_close(a, e[:, 0])
    assert_close(layer.backward(tape_alone, y_alone).x, layer.backward(tape, y).x[0])


def test_weights_follow_from_the_seed_and_are_the_layers_own() -> None:
    first, same, other = (nn.Custom(MyGRU(3), 2, 2, seed=seed) for seed in (1, 1, 2))
    assert list(first.state_dict())[:5] == [
        "weight_ih_l0",
        "weight_hh_l0",
        "bias_ih_l0",
        "bias_hh_l0",
        "weight_ih_l1",
    ]
    for name, weights in first.state_dict().items():
        assert weights.dtype == np.float32
        np.testing.assert_array_equal(weights, same.state_dict()[name])
        assert not np.array_equal(weights, other.state_dict()[name])
        weights[...] = 0
        assert first.state_dict()[name].any()
    with pytest.raises(ValueError, match="missing bias_hh_l1"):
        first.load_state_dict({k: v for k, v in other.state_dict().items() if k != "bias_hh_l1"})
    first.load_state_dict(other.state_dict())
    np.testing.assert_array_equal(first.state_dict()["bias_ih_l1"], other.state_dict()["bias_ih_l1"])
    assert first.num_parameters == sum(weights.size for weights in first.state_dict().values())


def test_an_optimizer_moves_it_as_it_moves_the_core() -> None:
    core = nn.GRU(2, 3, 2, dtype="float64", seed=0)
    layer = nn.Custom(MyGRU(3), 2, 2, dtype="float64")
    layer.load_state_dict(core.state_dict())
    x = np.random.default_rng(0).standard_normal((2, 4, 2))
    for one in (core, layer):
        adam = optim.Adam(one, lr=0.1, clip_norm=1.0)
        for _ in range(5):
            y, _, tape = one.forward(x)
            _, _, late = one.forward(x)
            adam.step(one.backward(tape, y))
            with pytest.raises(exceptions.TapeError):
                one.backward(late, y)
    for name, weights in core.state_dict().items():
        assert_close(layer.state_dict()[name], weights, name, tolerance=1e-9)

    before = layer.state_dict()
    y, _, tape = layer.forward(x)
    gradients = layer.backward(tape, y)
    gradients.flat[0] = np.inf
    assert optim.SGD(layer).step(gradients) == np.inf
    for name, weights in layer.state_dict().items():
        np.testing.assert_array_equal(weights, before[name])


def test_gradients_are_views_of_one_array_in_the_order_of_the_parameters() -> None:
    layer = nn.Custom(Three(), 2, 2, dtype="float64")
    y, _, tape = layer.forward(np.ones((1, 3, 2)))
    g = layer.backward(tape, y)
    assert list(g.params) == list(layer.state_dict())
    np.testing.assert_array_equal(np.concatenate([part.ravel() for part in g.params.values()]), g.flat)
    assert all(np.shares_memory(part, g.flat) for part in g.params.values())


def test_the_summary_counts_every_layer() -> None:
    layer = nn.Custom([MyGRU(3), MyGRU(5)], 2, bidirectional=True)
    assert repr(layer) == "Custom(MyGRU, 2, num_layers=2, bidirectional=True, merge='concat')"
    text = str(layer)
    assert "MyGRU l0" in text
    assert "(B, T, 10)" in text
    assert f"{layer.num_parameters}" in text


class Broken(MyGRU):
    """A cell that returns something else than it should."""

    def __init__(self, **what: Any) -> None:
        super().__init__(2)
        self.what = what

    def step(self, p: Any, x: np.ndarray, state: Any) -> Any:
        after, saved = super().step(p, x, state)
        return self.what.get("state", after), saved

    def step_backward(self, p: Any, saved: Any, dstate: Any) -> Any:
        dx, before, gradients = super().step_backward(p, saved, dstate)
        return self.what.get("dx", dx), self.what.get("before", before), self.what.get("gradients", gradients)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"state": []}, r"Broken\.step: state: expected 1 parts, got 0"),
        ({"state": [np.zeros(2)]}, r"Broken\.step: state\[0\]: expected shape \(3, 2\), got \(2,\)"),
        ({"dx": 0.0}, r"Broken\.step_backward: gradient by x: expected shape \(3, 1\), got \(\)"),
        (
            {"before": [np.zeros((1, 2))]},
            r"Broken\.step_backward: gradient by state\[0\]: expected shape \(3, 2\), got \(1, 2\)",
        ),
        ({"gradients": {}}, r"Broken\.step_backward: expected gradients by \['bias_hh', .*\], got \[\]"),
        (
            {"gradients": dict.fromkeys(["weight_ih", "weight_hh", "bias_ih", "bias_hh"], np.zeros((6, 1)))},
            r"Broken\.step_backward: gradient by weight_hh: expected shape \(6, 2\), got \(6, 1\)",
        ),
    ],
)
def test_a_cell_that_returns_other_shapes_is_told(what: dict[str, Any], message: str) -> None:
    layer = nn.Custom(Broken(**what), 1, dtype="float64")
    with pytest.raises(ValueError, match=message):
        layer.backward(layer.forward(np.ones((3, 2, 1)))[2], np.ones((3, 2, 2)))


class NoState(Three):
    state_sizes = ()


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (
            ValueError,
            "cell: expected 3 cells, one for each layer, got 2",
            lambda: nn.Custom([MyGRU(2)] * 2, 1, 3),
        ),
        (ValueError, "num_layers: expected an integer from 1 to 1024, got 0", lambda: nn.Custom([], 1)),
        (
            ValueError,
            r"cell: expected cells with as many parts of the state, got state_sizes \[\(2,\), \(2, 2\)\]",
            lambda: nn.Custom([MyGRU(2), MyLSTM(2)], 1),
        ),
        (ValueError, r"NoState\.state_sizes: expected at least one width", lambda: nn.Custom(NoState(), 1)),
        (
            ValueError,
            r"MyGRU\.state_sizes: expected an integer of at least 1",
            lambda: nn.Custom(MyGRU(0), 1),
        ),
        (ValueError, 'merge: expected "concat", ', lambda: nn.Custom(MyGRU(2), 1, merge="max")),
        (TypeError, "bidirectional: expected True or False", lambda: nn.Custom(MyGRU(2), 1, bidirectional=2)),
        (
            TypeError,
            r"state: expected a tuple \(s0, s1, s2\) of arrays, got tuple of 1",
            lambda: nn.Custom(Three(), 1)(np.ones((1, 1, 1), np.float32), (np.zeros((1, 1, 2)),)),
        ),
        (
            RuntimeError,
            "step: Custom needs the whole sequence, because it is bidirectional",
            lambda: nn.Custom(MyGRU(2), 1, bidirectional=True).step(np.ones((1, 1), np.float32)),
        ),
        (
            TypeError,
            "the core cannot run Custom",
            lambda: nn.Sequential(nn.Linear(2, 1), nn.Custom(MyGRU(2), 1)),
        ),
    ],
)
def test_what_does_not_fit_is_refused(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_tape_is_good_for_one_backward_pass_of_its_own_layer_and_weights() -> None:
    layer = nn.Custom(MyGRU(2), 1, dtype="float64")
    x = np.ones((2, 3, 1))
    y, _, tape = layer.forward(x)
    layer.backward(tape, y)
    with pytest.raises(exceptions.TapeError, match="tape: used before"):
        layer.backward(tape, y)
    y, _, tape = layer.forward(x)
    with pytest.raises(exceptions.TapeError, match="tape: made by another layer"):
        nn.Custom(MyGRU(2), 1, dtype="float64").backward(tape, y)
    with pytest.raises(ValueError, match=r"dy: expected shape \(2, 3, 2\), got \(2, 2, 2\)"):
        layer.backward(tape, y[:, :2])
    layer.load_state_dict(layer.state_dict())
    with pytest.raises(exceptions.TapeError, match="before the weights changed"):
        layer.backward(tape, y)
    with pytest.raises(TypeError, match="tape: expected a Tape, got NoneType"):
        layer.backward(layer.forward(x, training=False)[2], y)


class Odd(MyGRU):
    """A cell of which one thing is not what it should be."""

    def __init__(self, **what: Any) -> None:
        super().__init__(2)
        self.what = what

    @property
    def state_sizes(self) -> Any:
        return self.what.get("state_sizes", (2,))

    def parameters(self, input_size: int, rng: np.random.Generator) -> Any:
        return self.what.get("parameters", super().parameters(input_size, rng))

    def step(self, p: Any, x: np.ndarray, state: Any) -> Any:
        return self.what.get("step", super().step(p, x, state))

    def step_backward(self, p: Any, saved: Any, dstate: Any) -> Any:
        return self.what.get("step_backward", super().step_backward(p, saved, dstate))


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (
            None,
            "cell: expected an object with state_sizes, parameters, .*, got NoneType without state_sizes,",
        ),
        (dict, "got the class dict without state_sizes, parameters, step, step_backward"),
        (Three, "got the class Three itself, not an object of it"),
        ("lstm", "cell: expected an object with state_sizes, .* got str without"),
        (Odd(state_sizes=2), r"Odd\.state_sizes: expected a tuple of widths, got int 2"),
        (Odd(state_sizes=(2.0,)), r"Odd\.state_sizes: expected an integer, got float 2\.0"),
        (Odd(parameters=None), r"Odd\.parameters: expected a dict of arrays by name, got NoneType"),
        (Odd(parameters={"w": "x"}), r"Odd\.parameters: expected real numbers by name, got 'w': str 'x'"),
        (Odd(parameters={"w": 1j}), r"Odd\.parameters: expected real numbers by name, got 'w': complex"),
        (
            Odd(step=np.zeros((3, 2))),
            r"Odd\.step: expected a tuple \(state, saved\), got an array of float64",
        ),
        (Odd(step=(np.zeros((3, 2)), None)), r"Odd\.step: state: expected a tuple of 1 arrays, got an array"),
        (Odd(step=((), None, 0)), r"Odd\.step: expected a tuple \(state, saved\), got a tuple of 3"),
        (Odd(step_backward=None), r"Odd\.step_backward: expected a tuple \(by x, by state, by weights\)"),
        (
            Odd(step_backward=(np.zeros((3, 1)), (np.zeros((3, 2)),), None)),
            r"Odd\.step_backward: expected a dict of gradients by weight, got NoneType",
        ),
    ],
)
def test_what_is_no_cell_is_told(cell: Any, message: str) -> None:
    def use() -> None:
        layer = nn.Custom(cell, 1, dtype="float64")
        layer.backward(layer.forward(np.ones((3, 2, 1)))[2], np.ones((3, 2, 2)))

    with pytest.raises(TypeError, match=message):
        use()


def test_weights_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Odd\.parameters: w: expected finite numbers, got nan at \[1\]"):
        nn.Custom(Odd(parameters={"w": [0.0, np.nan]}), 1)
