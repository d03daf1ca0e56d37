"""Options of the recurrent layers: what each means, and what goes with what."""

from typing import Any

import numpy as np
import pytest
from helpers import (
    FORMS,
    assert_close,
    assert_gradients_close,
    assert_states_close,
    changed,
    like,
    make_layer,
    parts,
    picked,
    random_floats,
    random_like,
    random_state,
    single_options,
)

from seqrs import nn

every_form = pytest.mark.parametrize(("cell", "form"), FORMS)
OPTIONS = [
    pytest.param(cell, form, options, id=f"{cell}-{form}-{name}")
    for cell, form in FORMS
    for name, options in single_options(cell, form).items()
]
every_option = pytest.mark.parametrize(("cell", "form", "options"), OPTIONS)


def reversed_rows(x: np.ndarray, lengths: list[int]) -> np.ndarray:
    """Each row reversed within its length; the padding stays."""
    result = x.copy()
    for row, length in zip(result, lengths, strict=True):
        row[:length] = row[:length][::-1]
    return result


def as_it_is(x: np.ndarray, lengths: list[int]) -> np.ndarray:  # noqa: ARG001 - in place of reversed_rows
    return x


def one_way(layer: Any, suffix: str, cell: str, form: str, **options: Any) -> Any:
    """A layer in one direction with the weights of one direction of a bidirectional one."""
    alone = make_layer(cell, form, layer.input_size, layer.hidden_size, **options)
    weights = layer.state_dict()
    alone.load_state_dict({name: weights[name + suffix] for name in alone.state_dict()})
    return alone


# Directions


@every_form
def test_both_directions_are_a_layer_and_one_over_the_reversed_rows(
    cell: str, form: str, device: str
) -> None:
    rng, lengths = np.random.default_rng(0), [6, 0, 3, 1]
    layer = make_layer(cell, form, 3, 5, bidirectional=True, dtype="float64", device=device)
    x = random_floats(rng, (4, 6, 3), "float64")
    state = random_state(layer, 4, rng)
    y, after, tape = layer.forward(x, state, lengths)
    dy, dafter = random_like(y, rng), random_like(after, rng)
    g = layer.backward(tape, dy, dafter)

    dx = np.zeros_like(x)
    for d, suffix in enumerate(["", "_reverse"]):
        alone = one_way(layer, suffix, cell, form, dtype="float64", device=device)
        turn = reversed_rows if suffix else as_it_is
        half = slice(5 * d, 5 * d + 5)
        y_d, after_d, tape = alone.forward(turn(x, lengths), picked(state, np.s_[d : d + 1]), lengths)
        assert_close(turn(y_d, lengths), y[..., half])
        assert_states_close(after_d, picked(after, np.s_[d : d + 1]))
        g_d = alone.backward(
            tape,
            np.ascontiguousarray(turn(dy[..., half], lengths)),
            picked(dafter, np.s_[d : d + 1]),
        )
        dx += turn(g_d.x, lengths)
        assert_states_close(g_d.state, picked(g.state, np.s_[d : d + 1]))
        for name, gradient in g_d.params.items():
            assert_close(gradient, g.params[name + suffix], name)
    assert_close(g.x, dx)


@every_form
def test_merged_directions_follow_from_those_side_by_side(cell: str, form: str, device: str) -> None:
    rng = np.random.default_rng(1)
    x = random_floats(rng, (2, 4, 3), "float64")
    layers = {
        merge: make_layer(
            cell, form, 3, 5, bidirectional=True, merge=merge, dtype="float64", device=device, seed=1
        )
        for merge in ("concat", "sum", "mean", "separate")
    }
    outputs, tapes = {}, {}
    for merge, layer in layers.items():
        outputs[merge], _, tapes[merge] = layer.forward(x)
    forward, backward = outputs["concat"][..., :5], outputs["concat"][..., 5:]
    assert_close(outputs["sum"], forward + backward)
    assert_close(outputs["mean"], (forward + backward) / 2)
    assert isinstance(outputs["separate"], tuple)
    np.testing.assert_array_equal(outputs["separate"][0], forward)
    np.testing.assert_array_equal(outputs["separate"][1], backward)
    assert all(part.base is not None for part in outputs["separate"])  # views

    dy = random_floats(rng, (2, 4, 5), "float64")
    both = layers["concat"].backward(tapes["concat"], np.concatenate([dy, dy], axis=-1))
    assert_gradients_close(layers["separate"].backward(tapes["separate"], (dy, dy)), both)
    assert_gradients_close(layers["sum"].backward(tapes["sum"], dy), both)
    assert_gradients_close(layers["mean"].backward(tapes["mean"], 2 * dy), both)


def test_a_pair_of_outputs_takes_a_pair_of_gradients() -> None:
    layer = nn.GRU(3, 5, bidirectional=True, merge="separate")
    y, _, tape = layer.forward(np.ones((2, 4, 3), np.float32))
    with pytest.raises(TypeError, match=r"dy: expected a pair \(forward, backward\) of arrays, got ndarray"):
        layer.backward(tape, np.concatenate(y, axis=-1))
    with pytest.raises(
        ValueError, match=r"dy\[1\]: expected shape \(2, 4, 5\) as dy\[0\] has, got \(2, 3, 5\)"
    ):
        layer.backward(tape, (y[0], y[1][:, :3]))
    layer.backward(tape, y)


def test_lower_layers_are_merged_too() -> None:
    """The second layer sees 2H features of the first, or H of their sum."""
    shapes = {
        merge: nn.GRU(3, 5, 2, bidirectional=True, merge=merge).state_dict()["weight_ih_l1_reverse"].shape
        for merge in ("concat", "separate", "sum", "mean")
    }
    assert shapes == {"concat": (15, 10), "separate": (15, 10), "sum": (15, 5), "mean": (15, 5)}


# Lengths and masks


@every_option
def test_a_mask_is_what_is_left_of_a_sequence_without_its_steps(
    cell: str, form: str, options: dict[str, Any], device: str
) -> None:
    """Outside training, where no mask of dropout depends on the step."""
    rng = np.random.default_rng(2)
    layer = make_layer(cell, form, 3, 5, 2, dtype="float64", device=device, seed=1, **options)
    x, mask = random_floats(rng, (4, 7, 3), "float64"), rng.random((4, 7)) < 0.6
    mask[2] = False
    lengths = [7, 5, 7, 2]
    state = random_state(layer, 4, rng)
    y, after = layer(x, state, lengths, mask)
    counts = mask & (np.arange(7) < np.array(lengths)[:, None])
    for b in range(4):
        alone, after_b = layer(x[b : b + 1, counts[b]], picked(state, np.s_[:, b : b + 1]))
        for y_b, whole in zip(parts(alone), parts(y), strict=True):
            assert_close(whole[b : b + 1, counts[b]], y_b)
            assert not whole[b, ~counts[b]].any()
        assert_states_close(picked(after, np.s_[:, b : b + 1]), after_b)


@every_form
def test_a_mask_of_the_first_steps_is_lengths(cell: str, form: str, device: str) -> None:
    rng, lengths = np.random.default_rng(3), np.array([4, 0, 6])
    layer = make_layer(cell, form, 3, 5, 2, dropout=0.3, bidirectional=True, device=device, seed=1)
    x, mask = random_floats(rng, (3, 6, 3), "float32"), np.arange(6) < lengths[:, None]
    results = []
    for how in ({"lengths": lengths}, {"mask": mask}, {"lengths": lengths, "mask": mask}):
        y, state, tape = layer.forward(x, step=0, **how)
        g = layer.backward(tape, np.ones_like(y))
        results.append([y, *parts(state), g.x, *g.params.values()])
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(a, b)


@every_form
def test_what_a_masked_step_holds_has_no_influence(cell: str, form: str, device: str) -> None:
    rng = np.random.default_rng(4)
    layer = make_layer(cell, form, 3, 5, 2, dropout=0.3, bidirectional=True, device=device, seed=1)
    x, dy = random_floats(rng, (3, 6, 3), "float32"), random_floats(rng, (3, 6, 10), "float32")
    mask = rng.random((3, 6)) < 0.5
    results = []
    for filling in (0.0, 1e6):
        x[~mask], dy[~mask] = filling, filling
        y, state, tape = layer.forward(x, mask=mask, step=0)
        g = layer.backward(tape, dy)
        assert not g.x[~mask].any()
        results.append([y, *parts(state), g.x, *g.params.values()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


# States


@every_form
def test_layers_of_different_width(cell: str, form: str, device: str) -> None:
    rng = np.random.default_rng(5)
    layer = make_layer(cell, form, 3, [7, 4], bidirectional=True, dtype="float64", device=device)
    x = random_floats(rng, (2, 6, 3), "float64")
    y, state = layer(x)
    assert y.shape == (2, 6, 8)
    hs = state[0] if cell == "lstm" else state
    assert [array.shape for array in hs] == [(2, 2, 7), (2, 2, 4)]

    one = make_layer(cell, form, 3, 7, bidirectional=True, dtype="float64", device=device)
    two = make_layer(cell, form, 14, 4, bidirectional=True, dtype="float64", device=device)
    weights = layer.state_dict()
    for k, alone in enumerate([one, two]):
        alone.load_state_dict({name: weights[name.replace("_l0", f"_l{k}")] for name in alone.state_dict()})
    middle, state_one = one(x)
    expected, state_two = two(middle)
    assert_close(y, expected)
    for part, *alone in zip(
        *([state, state_one, state_two] if cell == "lstm" else [[state], [state_one], [state_two]]),
        strict=True,
    ):
        assert_states_close(part, alone)
    # The same state goes in again.
    layer(x, state)
    layer(x, random_state(layer, 2, rng))


def test_states_are_views_of_what_the_core_returned() -> None:
    x = np.ones((2, 6, 3), np.float32)
    for layer in (nn.GRU(3, 5, 2), nn.LSTM(3, [5, 4], bidirectional=True)):
        assert all(part.base is not None for part in parts(layer(x)[1]))
    h, _ = nn.LSTM(3, [5, 4])(x)[1]
    assert h[0].base is h[1].base


@every_form
def test_a_learned_initial_state_is_used_where_none_is_given(cell: str, form: str, device: str) -> None:
    rng = np.random.default_rng(6)
    layer = make_layer(
        cell, form, 3, 5, 2, learn_initial_state=True, bidirectional=True, dtype="float64", device=device
    )
    plain = make_layer(cell, form, 3, 5, 2, bidirectional=True, dtype="float64", device=device)
    weights = layer.state_dict()
    learned = {name for name in weights if name.startswith("initial_")}
    assert len(learned) == (8 if cell == "lstm" else 4)
    assert not any(weights[name].any() for name in learned)
    for name in learned:
        weights[name] = rng.standard_normal(5)
    layer.load_state_dict(weights)
    plain.load_state_dict({name: value for name, value in weights.items() if name not in learned})

    start = [
        np.stack([
            np.tile(weights[f"initial_{part}_l{k}{suffix}"], (2, 1)) for k in (0, 1) for suffix in ("", "_reverse")
        ])
        for part in ("hc" if cell == "lstm" else "h")
    ]  # fmt: skip
    x = random_floats(rng, (2, 6, 3), "float64")
    state = like(plain(x)[1], start)
    y, after, tape = layer.forward(x)
    y_plain, after_plain, tape_plain = plain.forward(x, state)
    assert_close(y, y_plain)
    assert_states_close(after, after_plain)
    dy, dafter = random_like(y, rng), random_like(after, rng)
    g, g_plain = layer.backward(tape, dy, dafter), plain.backward(tape_plain, dy, dafter)
    for part, gradient in zip("hc", parts(g_plain.state), strict=False):
        for i, name in enumerate(
            f"initial_{part}_l{k}{suffix}" for k in (0, 1) for suffix in ("", "_reverse")
        ):
            assert_close(g.params[name], gradient[i].sum(axis=0), name)
    # A given state takes its place, and it gets no gradient then.
    y, _, tape = layer.forward(x, changed(state, np.zeros_like))
    assert_close(y, plain(x)[0])
    g = layer.backward(tape, dy)
    assert not any(g.params[name].any() for name in learned)


@pytest.mark.parametrize(
    ("cell", "form", "options"), [case for case in OPTIONS if "bidirectional" not in case.values[2]]
)
def test_carrying_the_state_equals_one_long_pass(
    cell: str, form: str, options: dict[str, Any], device: str
) -> None:
    rng = np.random.default_rng(7)
    layer = make_layer(cell, form, 3, 5, 2, dtype="float64", device=device, **options)
    x = random_floats(rng, (2, 9, 3), "float64")
    y, after = layer(x)
    y1, middle = layer(x[:, :4])
    y2, end = layer(x[:, 4:], middle)
    assert_close(np.concatenate([y1, y2], axis=1), y)
    assert_states_close(end, after)
    state = None
    for t in range(9):
        y_t, state = layer.step(x[:, t], state)
        assert_close(y_t, y[:, t])
    assert_states_close(state, after)


# Equations


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


FUNCTIONS = {
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "sigmoid": sigmoid,
    "hard_sigmoid": lambda z: np.clip(z + 3, 0, 6) / 6,
    "identity": lambda z: z,
    "softsign": lambda z: z / (1 + np.abs(z)),
}


def normalised(z: np.ndarray) -> np.ndarray:
    return (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5)


def random_weights(layer: Any, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Give a layer other weights than its own, so that gains are not 1 and biases not 0."""
    weights = {name: rng.standard_normal(value.shape) for name, value in layer.state_dict().items()}
    layer.load_state_dict(weights)
    return {name.removesuffix("_l0"): value for name, value in weights.items()}


@pytest.mark.parametrize("output", FUNCTIONS)
@pytest.mark.parametrize("candidate", FUNCTIONS)
@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("clip", [None, 0.3])
@pytest.mark.parametrize("proj_size", [0, 2])
def test_an_lstm_step_in_numpy(
    output: str, candidate: str, coupled: bool, clip: float | None, proj_size: int, device: str
) -> None:
    rng = np.random.default_rng(8)
    layer = nn.LSTM(
        3, 4, activation=candidate, output_activation=output, coupled=coupled, cell_clip=clip,
        proj_size=proj_size, dtype="float64", device=device,
    )  # fmt: skip
    w = random_weights(layer, rng)
    x, state = random_floats(rng, (2, 3), "float64"), random_state(layer, 2, rng)
    (h,), (c,) = state
    z = x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]
    gates = np.split(z, 3 if coupled else 4, axis=-1)
    i, o = sigmoid(gates[0]), sigmoid(gates[-1])
    f = 1 - i if coupled else sigmoid(gates[1])
    c = f * c + i * FUNCTIONS[candidate](gates[-2])
    if clip is not None:
        c = np.clip(c, -clip, clip)
    h = o * FUNCTIONS[output](c)
    if proj_size:
        h = h @ w["weight_hr"].T
    y, (h_after, c_after) = layer.step(x, state)
    assert_close(y, h)
    assert_close(h_after[0], h)
    assert_close(c_after[0], c)


def test_a_normalised_lstm_step_in_numpy(device: str) -> None:
    rng = np.random.default_rng(9)
    layer = nn.LSTM(3, 4, layer_norm=True, dtype="float64", device=device)
    w = random_weights(layer, rng)
    x, state = random_floats(rng, (2, 3), "float64"), random_state(layer, 2, rng)
    (h,), (c,) = state
    z = w["gain_ih"] * normalised(x @ w["weight_ih"].T) + w["bias_ih"]
    z += w["gain_hh"] * normalised(h @ w["weight_hh"].T) + w["bias_hh"]
    i, f, g, o = np.split(z, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(w["gain_c"] * normalised(c) + w["bias_c"])
    y, (_, c_after) = layer.step(x, state)
    assert_close(y, h)
    assert_close(c_after[0], c)


@pytest.mark.parametrize("reset", ["after", "before", "none"])
@pytest.mark.parametrize("activation", FUNCTIONS)
@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_gru_step_in_numpy(reset: str, activation: str, layer_norm: bool, device: str) -> None:
    """Normalised, the gates r and z together and n apart."""
    rng = np.random.default_rng(10)
    layer = nn.GRU(
        3, 4, reset=reset, activation=activation, layer_norm=layer_norm, dtype="float64", device=device
    )
    w = random_weights(layer, rng)
    x, state = random_floats(rng, (2, 3), "float64"), random_state(layer, 2, rng)
    h = state[0]
    gates = slice(0, -4), slice(-4, None)

    def product(which: str, seen: np.ndarray, rows: slice) -> np.ndarray:
        z = seen @ w[f"weight_{which}"][rows].T
        if layer_norm:
            z = w[f"gain_{which}"][rows] * normalised(z)
        return z + w[f"bias_{which}"][rows]

    rz = sigmoid(product("ih", x, gates[0]) + product("hh", h, gates[0]))
    r, z = (np.ones_like(rz), rz) if reset == "none" else np.split(rz, 2, axis=-1)
    inner = product("hh", r * h, gates[1]) if reset == "before" else r * product("hh", h, gates[1])
    n = FUNCTIONS[activation](product("ih", x, gates[1]) + inner)
    y, _ = layer.step(x, state)
    assert_close(y, (1 - z) * n + z * h)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_rnn_step_in_numpy(name: str, device: str) -> None:
    rng = np.random.default_rng(11)
    layer = nn.RNN(3, 4, nonlinearity=name, dtype="float64", device=device)
    w = random_weights(layer, rng)
    x, state = random_floats(rng, (2, 3), "float64"), random_state(layer, 2, rng)
    z = x @ w["weight_ih"].T + w["bias_ih"] + state[0] @ w["weight_hh"].T + w["bias_hh"]
    assert_close(layer.step(x, state)[0], FUNCTIONS[name](z))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_minimal_steps_in_numpy(name: str, device: str) -> None:
    rng = np.random.default_rng(12)
    gru = nn.MinGRU(3, 4, activation=name, dtype="float64", device=device)
    lstm = nn.MinLSTM(3, 4, activation=name, dtype="float64", device=device)
    x, state = random_floats(rng, (2, 3), "float64"), random_state(gru, 2, rng)
    w = random_weights(gru, rng)
    z, n = np.split(x @ w["weight_ih"].T + w["bias_ih"], 2, axis=-1)
    expected = (1 - sigmoid(z)) * state[0] + sigmoid(z) * FUNCTIONS[name](n)
    assert_close(gru.step(x, state)[0], expected)
    w = random_weights(lstm, rng)
    f, i, n = np.split(x @ w["weight_ih"].T + w["bias_ih"], 3, axis=-1)
    f, i = sigmoid(f) / (sigmoid(f) + sigmoid(i)), sigmoid(i) / (sigmoid(f) + sigmoid(i))
    assert_close(lstm.step(x, state)[0], f * state[0] + i * FUNCTIONS[name](n))


@every_form
def test_residual_layers_add_their_input(cell: str, form: str, device: str) -> None:
    rng = np.random.default_rng(13)
    layer = make_layer(cell, form, 3, 5, 2, residual=True, bidirectional=True, dtype="float64", device=device)
    weights, x = layer.state_dict(), random_floats(rng, (2, 6, 3), "float64")
    y, after = layer(x)
    for k, inputs in enumerate([3, 10]):
        alone = make_layer(cell, form, inputs, 5, bidirectional=True, dtype="float64", device=device)
        alone.load_state_dict({name: weights[name.replace("_l0", f"_l{k}")] for name in alone.state_dict()})
        out, state = alone(x)
        assert_states_close(picked(after, np.s_[2 * k : 2 * k + 2]), state)
        x = out + x if k else out
    assert_close(y, x)


# Regularisers


@every_option
def test_masks_follow_from_seed_and_pass_and_are_off_outside_training(
    cell: str, form: str, options: dict[str, Any], device: str
) -> None:
    x = np.ones((4, 6, 3), np.float32)
    layer = make_layer(cell, form, 3, 8, 2, device=device, seed=0, **options)
    y = parts(layer.forward(x, step=3)[0])
    for first, same in zip(y, parts(layer.forward(x, step=3)[0]), strict=True):
        np.testing.assert_array_equal(first, same)
    other = parts(layer.forward(x, step=4)[0])
    random = any("dropout" in name or name == "zoneout" for name in options)
    assert random == any(not np.array_equal(a, b) for a, b in zip(y, other, strict=True))
    if random and "zoneout" not in options:
        plain = {name: value for name, value in options.items() if "dropout" not in name}
        without = make_layer(cell, form, 3, 8, 2, device=device, seed=0, **plain)
        np.testing.assert_array_equal(layer(x)[0], without(x)[0])


def copying(n: int, **options: Any) -> nn.RNN:
    """An RNN whose second layer outputs what reaches it, so that masks on the way can be seen."""
    layer = nn.RNN(n, n, 2, nonlinearity="identity", bias=False, seed=0, **options)
    eye, zero = np.eye(n, dtype=np.float32), np.zeros((n, n), np.float32)
    layer.load_state_dict(
        {"weight_ih_l0": eye, "weight_hh_l0": zero, "weight_ih_l1": eye, "weight_hh_l1": zero}
    )
    return layer


def test_variational_dropout_keeps_its_mask_through_a_sequence(device: str) -> None:
    layer = copying(64, dropout=0.25, variational=True, device=device)
    y, _, _ = layer.forward(np.ones((32, 5, 64), np.float32))
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.75], rtol=1e-6)
    assert (y == y[:, :1]).all()
    assert len(np.unique(y[:, 0], axis=0)) == 32
    assert np.mean(y == 0) == pytest.approx(0.25, abs=0.03)


def counting(n: int, **options: Any) -> nn.RNN:
    """An RNN that adds up its input: h = x + h before, of which the product sees a masked copy."""
    layer = nn.RNN(n, n, nonlinearity="identity", bias=False, seed=0, **options)
    layer.load_state_dict(dict.fromkeys(["weight_ih_l0", "weight_hh_l0"], np.eye(n, dtype=np.float32)))
    return layer


def test_recurrent_dropout_masks_what_the_products_see_once_a_sequence(device: str) -> None:
    y, _, _ = counting(64, recurrent_dropout=0.5, device=device).forward(np.ones((32, 3, 64), np.float32))
    np.testing.assert_array_equal(y[:, 0], 1)  # before the first step there is nothing
    dropped = y[:, 1] == 1
    assert np.mean(dropped) == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(y[:, 1][~dropped], 1 + 2 * 1)
    np.testing.assert_array_equal(y[:, 2][dropped], 1)
    np.testing.assert_allclose(y[:, 2][~dropped], 1 + 2 * 3)


def test_weight_dropout_has_one_mask_for_all_rows_and_steps(device: str) -> None:
    layer = counting(64, weight_dropout=0.5, device=device)
    layer.load_state_dict({"weight_ih_l0": np.eye(64), "weight_hh_l0": np.ones((64, 64))})
    y, _, _ = layer.forward(np.ones((5, 2, 64), np.float32))
    assert (y == y[:1]).all()
    # Each unit sums 64 numbers, each 0 or 2.
    kept = (y[0, 1] - 1) / 2
    np.testing.assert_allclose(kept, kept.round(), atol=1e-5)
    assert kept.mean() == pytest.approx(32, abs=2)
    assert kept.std() == pytest.approx(4, abs=1.2)


def test_candidate_dropout_masks_what_is_written(device: str) -> None:
    """A minGRU that copies its candidate, 1, into the state."""
    layer = nn.MinGRU(1, 64, candidate_dropout=0.25, device=device, seed=0)
    bias = np.concatenate([np.full(64, 50.0), np.ones(64)])
    layer.load_state_dict({"weight_ih_l0": np.zeros((128, 1)), "bias_ih_l0": bias})
    y, _, _ = layer.forward(np.zeros((32, 5, 1), np.float32))
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.75], rtol=1e-6)
    assert np.mean(y == 0) == pytest.approx(0.25, abs=0.02)
    assert len(np.unique(y.reshape(-1, 64), axis=0)) == 32 * 5


@pytest.mark.parametrize("part", [0, 1])
def test_zoneout_keeps_units_in_training_and_takes_the_mean_outside(part: int, device: str) -> None:
    """With all weights 0 a step halves the memory, and h is half its tanh."""
    zoneout = (0.25, 0.0) if part == 0 else (0.0, 0.25)
    layer = nn.LSTM(1, 64, zoneout=zoneout, bias=False, device=device, seed=0)
    layer.load_state_dict({name: 0 * value for name, value in layer.state_dict().items()})
    x = np.zeros((32, 1, 1), np.float32)
    start = np.full((1, 32, 64), 0.5, np.float32), np.full((1, 32, 64), 0.8, np.float32)
    _, after, _ = layer.forward(x, start)
    h_new = 0.5 * np.tanh(np.float32(0.4))  # of the memory before zoneout
    new = [h_new, np.float32(0.4)][part]
    old = [0.5, 0.8][part]
    kept = np.isclose(after[part], old)
    assert np.mean(kept) == pytest.approx(0.25, abs=0.03)
    np.testing.assert_allclose(after[part][~kept], new, rtol=1e-6)
    np.testing.assert_allclose(after[1 - part], [0.4, h_new][part], rtol=1e-6)
    _, mean = layer(x, start)
    np.testing.assert_allclose(mean[part], 0.25 * old + 0.75 * new, rtol=1e-6)
    _, stepped = layer.step(x[:, 0], start)
    np.testing.assert_allclose(stepped[part], mean[part], rtol=1e-6)


def test_a_number_of_zoneout_is_for_both_parts() -> None:
    x = np.ones((2, 5, 3), np.float32)
    one, pair = nn.LSTM(3, 5, zoneout=0.3, seed=0), nn.LSTM(3, 5, zoneout=(0.3, 0.3), seed=0)
    np.testing.assert_array_equal(one.forward(x, step=0)[0], pair.forward(x, step=0)[0])
    one, pair = nn.GRU(3, 5, zoneout=0.3, seed=0), nn.GRU(3, 5, zoneout=(0.3, 0.0), seed=0)
    np.testing.assert_array_equal(one.forward(x, step=0)[0], pair.forward(x, step=0)[0])


def test_penalties_are_means_over_the_steps_that_count(device: str) -> None:
    rng = np.random.default_rng(14)
    options: dict[str, Any] = {"dtype": "float64", "device": device, "seed": 0}
    layer = nn.GRU(3, 5, 2, activation_penalty=0.7, temporal_penalty=1.3, **options)
    x, mask = random_floats(rng, (4, 6, 3), "float64"), rng.random((4, 6)) < 0.6
    lengths = [6, 0, 3, 5]
    y, _, tape = layer.forward(x, lengths=lengths, mask=mask)
    counts = mask & (np.arange(6) < np.array(lengths)[:, None])
    rows = [y[b, counts[b]] for b in range(4)]
    squares = np.concatenate([row**2 for row in rows])
    changes = np.concatenate([np.diff(row, axis=0) ** 2 for row in rows])
    assert tape is not None
    assert tape.penalty == pytest.approx(0.7 * squares.mean() + 1.3 * changes.mean(), rel=1e-12)
    _, _, tape = layer.forward(x, lengths=[0, 0, 0, 0])
    assert tape is not None
    assert tape.penalty == 0
    _, _, tape = nn.GRU(3, 5, **options).forward(x)
    assert tape is not None
    assert tape.penalty == 0


# How weights start


def test_orthogonal_weights(device: str) -> None:
    layer = nn.LSTM(30, 20, init="orthogonal", device=device, seed=0, dtype="float64")
    weights = layer.state_dict()
    for block in np.split(weights["weight_hh_l0"], 4):
        assert_close(block @ block.T, np.eye(20), tolerance=1e-12)
    bound = np.sqrt(6 / (30 + 80))
    assert np.abs(weights["weight_ih_l0"]).max() <= bound
    assert weights["weight_ih_l0"].std() == pytest.approx(bound / np.sqrt(3), rel=0.05)
    assert not weights["bias_ih_l0"].any()
    assert not weights["bias_hh_l0"].any()


@pytest.mark.parametrize("init", ["uniform", "orthogonal"])
def test_the_forget_gate_starts_where_it_is_told(init: str) -> None:
    weights = nn.LSTM(3, 5, forget_bias=1.5, init=init, seed=0).state_dict()
    np.testing.assert_array_equal(weights["bias_ih_l0"][5:10], 1.5)
    np.testing.assert_array_equal(weights["bias_hh_l0"][5:10], 0)
    plain = nn.LSTM(3, 5, init=init, seed=0).state_dict()
    others = np.r_[0:5, 10:20]
    np.testing.assert_array_equal(weights["bias_ih_l0"][others], plain["bias_ih_l0"][others])


# What is refused

REFUSED: list[tuple[type[Exception], str, Any]] = [
    (TypeError, "LSTM: unexpected keyword argument 'drop_out'; did you mean 'dropout'\\?", lambda: nn.LSTM(3, 5, drop_out=0.5)),
    (TypeError, "GRU: unexpected keyword argument 'peephole'; expected activation_penalty, bias, .*", lambda: nn.GRU(3, 5, peephole="none")),
    (TypeError, "Linear: unexpected keyword argument 'sed'; did you mean 'seed'\\?", lambda: nn.Linear(3, 5, sed=1)),
    (ValueError, 'merge: expected "concat", "sum", "mean" or "separate", got \'add\'', lambda: nn.GRU(3, 5, merge="add")),
    (ValueError, "hidden_size: expected an integer, or one for each layer, got \\[\\]", lambda: nn.GRU(3, [])),
    (ValueError, "hidden_size\\[1\\]: expected an integer of at least 1, got 0", lambda: nn.GRU(3, [5, 0])),
    (ValueError, "num_layers: expected 2, the number of sizes in hidden_size, got 3", lambda: nn.GRU(3, [5, 4], 3)),
    (ValueError, "residual: expected layers of one width, got 5, 4", lambda: nn.GRU(3, [5, 4], residual=True)),
    (ValueError, "layer_norm: RNN cannot have it: .*", lambda: nn.RNN(3, 5, layer_norm=True)),
    (ValueError, "candidate_dropout: RNN cannot have it: .*", lambda: nn.RNN(3, 5, candidate_dropout=0.1)),
    (ValueError, "weight_dropout: MinGRU cannot have it: it has no product with the state before", lambda: nn.MinGRU(3, 5, weight_dropout=0.1)),
    (ValueError, "recurrent_dropout: MinLSTM cannot have it: .*", lambda: nn.MinLSTM(3, 5, recurrent_dropout=0.1)),
    (ValueError, "layer_norm: expected an LSTM without peepholes; .*", lambda: nn.LSTM(3, 5, peephole="prev", layer_norm=True)),
    (ValueError, "forget_bias: expected None with coupled=True, .*", lambda: nn.LSTM(3, 5, coupled=True, forget_bias=1)),
    (ValueError, "forget_bias: expected None with bias=False", lambda: nn.LSTM(3, 5, bias=False, forget_bias=1)),
    (ValueError, "forget_bias: expected a finite number, got inf", lambda: nn.LSTM(3, 5, forget_bias=np.inf)),
    (ValueError, "cell_clip: expected a finite number above 0, got 0.0", lambda: nn.LSTM(3, 5, cell_clip=0)),
    (ValueError, "proj_size: expected an integer of at least 0, got -1", lambda: nn.LSTM(3, 5, proj_size=-1)),
    (ValueError, "zoneout: GRU cannot have a second number: it has no memory c", lambda: nn.GRU(3, 5, zoneout=(0.1, 0.1))),
    (ValueError, "zoneout: expected a number or a pair \\(for h, for c\\), got 3 numbers", lambda: nn.LSTM(3, 5, zoneout=(0.1, 0.1, 0.1))),
    (ValueError, "zoneout\\[1\\]: expected a number from 0 to below 1, got 1.0", lambda: nn.LSTM(3, 5, zoneout=(0.1, 1))),
    (TypeError, "zoneout: expected a number, got str '0.1'", lambda: nn.LSTM(3, 5, zoneout="0.1")),
    (ValueError, "temporal_penalty: expected a finite number of at least 0, got -1.0", lambda: nn.GRU(3, 5, temporal_penalty=-1)),
    (ValueError, 'activation: expected "tanh", "relu", .*, got \'elu\'', lambda: nn.MinGRU(3, 5, activation="elu")),
    (ValueError, 'init: expected "uniform" or "orthogonal", got \'zeros\'', lambda: nn.GRU(3, 5, init="zeros")),
]  # fmt: skip


@pytest.mark.parametrize(("problem", "message", "make"), REFUSED, ids=[message for _, message, _ in REFUSED])
def test_refused(problem: type[Exception], message: str, make: Any) -> None:
    with pytest.raises(problem, match=f"^{message}$"):
        make()


def test_a_step_of_a_layer_that_reads_backwards_is_refused(device: str) -> None:
    layer = nn.GRU(3, 5, bidirectional=True, device=device)
    with pytest.raises(RuntimeError, match="step: GRU needs the whole sequence, because it is bidirectional"):
        layer.step(np.ones((2, 3), np.float32))


# One sequence without a batch axis


@every_option
@pytest.mark.parametrize("tokens", [False, True])
def test_one_sequence_without_a_batch_axis(
    cell: str, form: str, options: dict[str, Any], tokens: bool, device: str
) -> None:
    rng = np.random.default_rng(15)
    layer = make_layer(cell, form, 3, 5, 2, dtype="float64", device=device, seed=0, **options)
    x = rng.integers(-1, 3, (1, 6)) if tokens else random_floats(rng, (1, 6, 3), "float64")
    state, mask = random_state(layer, 1, rng), rng.random((1, 6)) < 0.7
    y, after, tape = layer.forward(x, state, [5], mask=mask, step=0)
    dy, dafter = random_like(y, rng), random_like(after, rng)
    g = layer.backward(tape, dy, dafter)

    y_1, after_1, tape = layer.forward(x[0], picked(state, np.s_[:, 0]), 5, mask=mask[0], step=0)
    g_1 = layer.backward(tape, picked(dy, np.s_[0]), picked(dafter, np.s_[:, 0]))
    for one, all_of_it in [(y_1, picked(y, np.s_[0])), (after_1, picked(after, np.s_[:, 0]))]:
        for a, b in zip(parts(one), parts(all_of_it), strict=True):
            np.testing.assert_array_equal(a, b)
    assert_gradients_close(
        g_1, nn.Gradients(None if tokens else g.x[0], picked(g.state, np.s_[:, 0]), g.params)
    )
    if "bidirectional" not in options:
        y, after = layer.step(x[:, 0], state)
        y_1, after_1 = layer.step(x[0, 0], picked(state, np.s_[:, 0]))
        np.testing.assert_array_equal(y_1, y[0])
        assert_states_close(after_1, picked(after, np.s_[:, 0]))


def test_one_sequence_has_one_length() -> None:
    layer, x = nn.GRU(3, 5), np.ones((6, 3), np.float32)
    with pytest.raises(
        ValueError, match=r"lengths: expected one integer, as x is one sequence, got shape \(1,\)"
    ):
        layer(x, lengths=[6])
    with pytest.raises(ValueError, match=r"lengths: expected integers from 0 to 6, the steps of x, got 7"):
        layer(x, lengths=7)
    with pytest.raises(ValueError, match=r"state: expected shape \(1, 5\), got \(1, 1, 5\)"):
        layer(x, np.zeros((1, 1, 5), np.float32))
    with pytest.raises(ValueError, match=r"mask: expected shape \(6,\), that of x's steps, got \(1, 6\)"):
        layer(x, mask=np.ones((1, 6), bool))
    assert layer(x, lengths=6)[0].shape == (6, 5)


# Masks that are not masks


def test_a_mask_is_boolean_and_has_the_shape_of_the_steps() -> None:
    layer, x = nn.GRU(3, 5), np.ones((2, 6, 3), np.float32)
    with pytest.raises(TypeError, match="mask: expected booleans, got an array of int64"):
        layer(x, mask=np.ones((2, 6), np.int64))
    with pytest.raises(ValueError, match=r"mask: expected shape \(2, 6\), that of x's steps, got \(6,\)"):
        layer(x, mask=[True] * 6)
    y, _ = layer(x, mask=[[True] * 6, [False] * 6])
    assert y[0].any()
    assert not y[1].any()
