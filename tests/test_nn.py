"""What the layers promise beyond their equations: shapes, lengths, states, weights, dropout."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from helpers import (
    FORMS,
    assert_close,
    assert_gradients_close,
    make_layer,
    parts,
    random_floats,
    random_state,
    state_like,
)

from seqrs import nn

every_form = pytest.mark.parametrize(("cell", "form"), FORMS)
GATES = {
    ("rnn", "tanh"): 1,
    ("rnn", "relu"): 1,
    ("gru", "after"): 3,
    ("gru", "before"): 3,
    ("gru", "none"): 2,
    ("mingru", ""): 2,
    ("minlstm", ""): 3,
}


def cut(x: np.ndarray, lengths: list[int]) -> list[np.ndarray]:
    """The rows one by one, each at its own length."""
    return [x[b : b + 1, :n] for b, n in enumerate(lengths)]


def row(layer: Any, state: Any, b: int) -> Any:
    """The state of one row."""
    return state_like(layer, [part[:, b : b + 1] for part in parts(state)])


@every_form
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shapes_and_dtypes(cell: str, form: str, dtype: str, device: str) -> None:
    layer = make_layer(cell, form, 3, 5, 2, dtype=dtype, device=device)
    y, state = layer(np.zeros((4, 6, 3), dtype))
    assert y.shape == (4, 6, 5)
    assert y.dtype == dtype
    assert isinstance(state, tuple) == (cell == "lstm")
    assert all(part.shape == (2, 4, 5) and part.dtype == dtype for part in parts(state))


@every_form
def test_parameters_have_pytorchs_names_order_and_shapes(cell: str, form: str) -> None:
    gates = GATES.get((cell, form), 4)
    peephole = {"full": (15, 5), "prev": (15,), "current": (15,)}.get(form)
    minimal = cell in ("mingru", "minlstm")
    expected: list[tuple[str, tuple[int, ...]]] = []
    for k, inputs in enumerate([3, 5]):
        expected += [(f"weight_ih_l{k}", (gates * 5, inputs))]
        expected += [] if minimal else [(f"weight_hh_l{k}", (gates * 5, 5))]
        expected += [(f"bias_ih_l{k}", (gates * 5,))]
        expected += [] if minimal else [(f"bias_hh_l{k}", (gates * 5,))]
        expected += [(f"weight_ch_l{k}", peephole)] if peephole else []
    layer = make_layer(cell, form, 3, 5, 2)
    assert [(name, value.shape) for name, value in layer.state_dict().items()] == expected
    layer = make_layer(cell, form, 3, 5, 2, bias=False)
    assert list(layer.state_dict()) == [name for name, _ in expected if not name.startswith("bias")]


@every_form
def test_initial_weights_are_uniform_and_follow_from_the_seed(cell: str, form: str) -> None:
    first, same, other = (make_layer(cell, form, 50, 100, seed=seed).state_dict() for seed in (1, 1, 2))
    for name, weights in first.items():
        np.testing.assert_array_equal(weights, same[name])
        assert not np.array_equal(weights, other[name])
        assert np.abs(weights).max() <= 0.1  # 1 / sqrt(100)
        if weights.size > 1000:
            assert abs(weights.mean()) < 0.01
            assert weights.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.05)


def test_a_seed_drawn_at_random_can_be_used_again() -> None:
    layer = nn.LSTM(3, 5)
    again = nn.LSTM(3, 5, seed=layer.seed)
    np.testing.assert_array_equal(layer.state_dict()["weight_hh_l0"], again.state_dict()["weight_hh_l0"])
    assert nn.LSTM(3, 5).seed != layer.seed


@every_form
def test_lengths_give_what_each_row_gives_alone(cell: str, form: str, device: str) -> None:
    rng = np.random.default_rng(0)
    lengths = [2, 6, 0, 1, 4]
    layer = make_layer(cell, form, 3, 5, 2, dtype="float64", device=device)
    x, before = random_floats(rng, (5, 6, 3), "float64"), random_state(layer, 5, rng)
    dy = random_floats(rng, (5, 6, 5), "float64")
    dafter = random_state(layer, 5, rng)
    y, after, tape = layer.forward(x, before, lengths)
    g = layer.backward(tape, dy, dafter)

    params = {name: np.zeros_like(value) for name, value in g.params.items()}
    for b, (alone, n) in enumerate(zip(cut(x, lengths), lengths, strict=True)):
        y_b, after_b, tape_b = layer.forward(alone, row(layer, before, b))
        g_b = layer.backward(tape_b, dy[b : b + 1, :n], row(layer, dafter, b))
        assert_close(y[b : b + 1, :n], y_b)
        assert not y[b, n:].any()
        assert not g.x[b, n:].any()
        assert_close(g.x[b : b + 1, :n], g_b.x)
        for part, part_b in zip(
            parts(after) + parts(g.state), parts(after_b) + parts(g_b.state), strict=True
        ):
            assert_close(part[:, b : b + 1], part_b)
        for name, gradient in g_b.params.items():
            params[name] += gradient
    assert_gradients_close(g, nn.Gradients(g.x, g.state, params))
    # Length 0: nothing happened to the state, and its gradient passes unchanged.
    for part, part_before in zip(parts(after) + parts(g.state), parts(before) + parts(dafter), strict=True):
        np.testing.assert_array_equal(part[:, 2], part_before[:, 2])


@every_form
def test_padding_has_no_influence(cell: str, form: str, device: str) -> None:
    rng = np.random.default_rng(1)
    layer = make_layer(cell, form, 3, 5, 2, device=device)
    x, dy = random_floats(rng, (3, 4, 3), "float32"), random_floats(rng, (3, 4, 5), "float32")
    lengths = np.array([2, 0, 4])
    results = []
    for filling in (0.0, 1e6):
        padding = np.arange(4) >= lengths[:, None]
        x[padding], dy[padding] = filling, filling
        y, state, tape = layer.forward(x, None, lengths)
        g = layer.backward(tape, dy)
        results.append([y, *parts(state), g.x, *parts(g.state), *g.params.values()])
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


@every_form
def test_carrying_the_state_equals_one_long_pass(cell: str, form: str, device: str) -> None:
    rng = np.random.default_rng(2)
    layer = make_layer(cell, form, 3, 5, 2, dtype="float64", device=device)
    x, dy = random_floats(rng, (2, 9, 3), "float64"), random_floats(rng, (2, 9, 5), "float64")
    y, after, tape = layer.forward(x)
    g = layer.backward(tape, dy)

    y1, middle, tape1 = layer.forward(x[:, :4])
    y2, end, tape2 = layer.forward(x[:, 4:], middle)
    assert_close(np.concatenate([y1, y2], axis=1), y)
    for part, expected in zip(parts(end), parts(after), strict=True):
        assert_close(part, expected)
    # And back: the second window's gradient by its initial state goes into the first.
    g2 = layer.backward(tape2, dy[:, 4:])
    g1 = layer.backward(tape1, dy[:, :4], g2.state)
    params = {name: g1.params[name] + g2.params[name] for name in g.params}
    assert_gradients_close(nn.Gradients(np.concatenate([g1.x, g2.x], axis=1), g1.state, params), g)


@every_form
@pytest.mark.parametrize("tokens", [False, True])
def test_steps_equal_forward(cell: str, form: str, tokens: bool, device: str) -> None:
    rng = np.random.default_rng(3)
    layer = make_layer(cell, form, 4, 5, 2, device=device)
    x = rng.integers(-1, 4, (3, 6)) if tokens else random_floats(rng, (3, 6, 4), "float32")
    y, after = layer(x)
    state = None
    for t in range(6):
        y_t, state = layer.step(x[:, t], state)
        assert y_t.shape == (3, 5)
        assert_close(y_t, y[:, t])
    for part, expected in zip(parts(state), parts(after), strict=True):
        assert_close(part, expected)


@every_form
def test_tokens_equal_one_hot_vectors(cell: str, form: str, device: str) -> None:
    rng = np.random.default_rng(4)
    layer = make_layer(cell, form, 4, 5, dtype="float64", device=device)
    tokens = rng.integers(-1, 4, (3, 6))
    assert -1 in tokens
    one_hot = (tokens[..., None] == np.arange(4)).astype(float)
    dy = random_floats(rng, (3, 6, 5), "float64")
    gradients = []
    for x in (tokens, one_hot):
        y, _, tape = layer.forward(x)
        assert_close(y, layer(one_hot)[0])
        gradients.append(layer.backward(tape, dy))
    assert gradients[0].x is None
    assert_gradients_close(gradients[0], nn.Gradients(None, gradients[1].state, gradients[1].params))


@pytest.mark.parametrize(
    "dtype", [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, ">i4", ">u8"]
)
@pytest.mark.parametrize("layer", [nn.GRU(4, 5), nn.Embedding(4, 5)], ids=["one-hot", "embedding"])
def test_any_integers_are_tokens(layer: Any, dtype: Any) -> None:
    y, _ = layer(np.array([[0, 3, 1]], dtype))
    np.testing.assert_array_equal(y, layer([[0, 3, 1]])[0])


@pytest.mark.parametrize(("dtype", "number"), [(np.uint64, 2**64 - 1), (np.uint64, 2**32), (np.int64, 2**32)])
def test_integers_that_are_no_tokens_do_not_wrap(dtype: Any, number: int) -> None:
    tokens = np.array([[number]], dtype)
    with pytest.raises(ValueError, match=f"x: expected tokens from -1 to 3, got {number} at"):
        nn.GRU(4, 5)(tokens)
    with pytest.raises(ValueError, match=f"x: expected integers of 32 bits, got {number}"):
        nn.GRU(4, 5).network.forward(tokens, None, None, None, False, 0, 0)


def test_a_contiguous_input_is_read_where_it_lies() -> None:
    """No copy: of 128 MB twice, which would show in what NumPy has asked memory for."""
    layer, x = nn.Pool("last", check_finite=False), np.zeros((1, 2**21, 16), np.float32)
    layer(x[:, :1])
    tracemalloc.start()
    try:
        checked, _ = layer._inputs(x, ("B", "T"))
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.shares_memory(checked, x)
    assert taken < 2**16


@every_form
def test_weights_make_the_round_trip(cell: str, form: str) -> None:
    source, target = (make_layer(cell, form, 3, 5, 2, seed=seed) for seed in (0, 1))
    x = np.ones((2, 4, 3), np.float32)
    weights = source.state_dict()
    target.load_state_dict(weights)
    np.testing.assert_array_equal(target(x)[0], source(x)[0])
    # A copy: changing it changes neither layer.
    for value in weights.values():
        value[:] = 0
    assert source(x)[0].any()
    np.testing.assert_array_equal(target(x)[0], source(x)[0])


def test_weights_of_another_float_dtype_and_of_other_libraries_are_taken() -> None:
    class Tensor:
        """Like a CPU tensor of another library: no ndarray, but it makes one."""

        def __init__(self, array: np.ndarray) -> None:
            self.array = array

        def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
            return np.array(self.array, dtype)

    source, target = nn.LSTM(3, 5), nn.LSTM(3, 5, dtype="float64")
    target.load_state_dict({name: Tensor(value) for name, value in source.state_dict().items()})
    for name, value in source.state_dict().items():
        np.testing.assert_array_equal(target.state_dict()[name], value.astype(np.float64))


def test_loading_weights_shows_in_the_next_step() -> None:
    """Packed copies of the weights must not outlive them."""
    layer, other = nn.LSTM(3, 5, seed=0), nn.LSTM(3, 5, seed=1)
    x = np.ones((1, 3), np.float32)
    expected = other.step(x)[0]
    assert not np.array_equal(layer.step(x)[0], expected)
    layer.load_state_dict(other.state_dict())
    np.testing.assert_array_equal(layer.step(x)[0], expected)


def test_arrays_in_any_memory_layout_and_read_only_give_the_same(device: str) -> None:
    rng = np.random.default_rng(5)
    layer = nn.LSTM(3, 5, 2, device=device, seed=0)
    x, (h, c) = random_floats(rng, (4, 6, 3), "float32"), random_state(layer, 4, rng)
    dy = random_floats(rng, (4, 6, 5), "float32")
    lengths = np.array([6, 0, 3, 5])

    def run(change: Any) -> list[np.ndarray]:
        y, state, tape = layer.forward(change(x), (change(h), change(c)), change(lengths))
        g = layer.backward(tape, change(dy), (change(h), change(c)))
        return [y, *state, g.x, *g.state, *g.params.values()]

    def strided(array: np.ndarray) -> np.ndarray:
        wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), 9, array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]

    def reversed_twice(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array[::-1])[::-1]

    def read_only(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array.flags.writeable = False
        return array

    expected = run(np.copy)
    for change in (np.asfortranarray, strided, reversed_twice, read_only):
        for actual, wanted in zip(run(change), expected, strict=True):
            np.testing.assert_array_equal(actual, wanted)


def test_arguments_are_left_as_they_were(device: str) -> None:
    rng = np.random.default_rng(6)
    layer = nn.LSTM(3, 5, device=device)
    arrays = [random_floats(rng, (4, 6, 3), "float32"), *random_state(layer, 4, rng)]
    arrays += [random_floats(rng, (4, 6, 5), "float32"), *random_state(layer, 4, rng)]
    copies = [array.copy() for array in arrays]
    x, h, c, dy, dh, dc = arrays
    _, _, tape = layer.forward(x, (h, c))
    layer.backward(tape, dy, (dh, dc))
    layer.step(x[:, 0], (h, c))
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@every_form
def test_dropout_follows_from_seed_and_step_and_is_off_outside_training(
    cell: str, form: str, device: str
) -> None:
    x = np.ones((4, 6, 3), np.float32)
    layer = make_layer(cell, form, 3, 8, 2, dropout=0.5, device=device, seed=0)
    plain = make_layer(cell, form, 3, 8, 2, device=device, seed=0)
    np.testing.assert_array_equal(layer(x)[0], plain(x)[0])
    np.testing.assert_array_equal(layer.step(x[:, 0])[0], plain.step(x[:, 0])[0])

    dropped = layer.forward(x, step=3)[0]
    assert not np.array_equal(dropped, plain(x)[0])
    np.testing.assert_array_equal(dropped, layer.forward(x, step=3)[0])
    assert not np.array_equal(dropped, layer.forward(x, step=4)[0])
    other = make_layer(cell, form, 3, 8, 2, dropout=0.5, device=device, seed=1)
    other.load_state_dict(layer.state_dict())
    assert not np.array_equal(dropped, other.forward(x, step=3)[0])


def test_training_passes_are_counted_and_each_has_its_own_masks() -> None:
    x = np.ones((1, 4, 3), np.float32)
    layer = nn.GRU(3, 8, 2, dropout=0.5, seed=0)
    first, second = layer.forward(x)[0], layer.forward(x)[0]
    assert not np.array_equal(first, second)
    assert layer.passes == 2
    layer(x)
    layer.forward(x, training=False)
    layer.forward(x, step=7)
    assert layer.passes == 2
    layer.passes = 0
    np.testing.assert_array_equal(layer.forward(x)[0], first)


def test_dropout_zeroes_its_share_and_keeps_the_mean(device: str) -> None:
    """Layer 2 copies what comes through dropout, so that the masks can be seen."""
    n = 64
    layer = nn.RNN(n, n, 2, nonlinearity="relu", bias=False, dropout=0.25, device=device, seed=0)
    eye, zero = np.eye(n, dtype=np.float32), np.zeros((n, n), np.float32)
    layer.load_state_dict(
        {"weight_ih_l0": eye, "weight_hh_l0": zero, "weight_ih_l1": eye, "weight_hh_l1": zero}
    )
    y, state, _ = layer.forward(np.ones((8, 32, n), np.float32))
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.75], rtol=1e-6)
    assert np.mean(y == 0) == pytest.approx(0.25, abs=0.01)
    np.testing.assert_array_equal(state[0], 1)  # the first layer's own state is not dropped
    assert len(np.unique(y.reshape(-1, n), axis=0)) == 8 * 32  # a new mask for every row and step


def test_dropout_without_a_second_layer_is_pointed_out() -> None:
    with pytest.warns(UserWarning, match=r"dropout: acts between layers, so with num_layers=1 0\.5 has"):
        nn.GRU(3, 5, dropout=0.5)


def test_nan_passes_through_when_not_checked(device: str) -> None:
    layer = nn.RNN(2, 3, device=device, check_finite=False)
    y, _ = layer(np.full((1, 1, 2), np.nan, np.float32))
    assert np.isnan(y).all()


def test_layers_show_what_they_are() -> None:
    assert repr(nn.GRU(3, 5, 2, reset="before")) == "GRU(3, 5, num_layers=2, reset='before')"
    assert repr(nn.LSTM(3, [5, 4], zoneout=(0.1, 0.2))) == "LSTM(3, [5, 4], zoneout=(0.1, 0.2))"
    assert repr(nn.MinGRU(np.int64(3), 5, bias=False)) == "MinGRU(3, 5, bias=False)"
    layer = nn.LSTM(3, 5, peephole="prev", dtype=np.float64, seed=4)
    assert (layer.input_size, layer.hidden_size, layer.num_layers) == (3, 5, 1)
    assert (layer.peephole, layer.bias, layer.dropout, layer.dtype) == ("prev", True, 0.0, "float64")
    assert (layer.device, layer.seed, layer.check_finite, layer.passes) == ("cpu", 4, True, 0)
