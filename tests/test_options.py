"""Options of the recurrent layers: what each means, and what goes with what."""

from typing import Any

import numpy as np
import pytest
from helpers import (
    FORMS,
    assert_close,
    assert_states_close,
    make_layer,
    parts,
    picked,
    random_floats,
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
    (TypeError, "GRU: unexpected keyword argument 'peephole', an option of LSTM; GRU has reset, activation of its own", lambda: nn.GRU(3, 5, peephole="none")),
    (TypeError, "RNN: unexpected keyword argument 'activation', an option of GRU, LSTM, MinGRU and MinLSTM; RNN has nonlinearity of its own", lambda: nn.RNN(3, 5, activation="relu")),
    (TypeError, "GRU: unexpected keyword argument 'xyz'; expected activation, activation_penalty, .*, reset, .*", lambda: nn.GRU(3, 5, xyz=1)),
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
