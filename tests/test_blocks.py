"""Blocks and Sequential: alone, together, their weights, their table."""

from typing import Any

import numpy as np
import pytest
from helpers import assert_close, assert_states_close, parts, random_floats, random_state

from seqrs import nn


def classifier(**options: Any) -> nn.Sequential:
    return nn.Sequential(
        nn.Embedding(20, 6, **options),
        nn.LSTM(6, 5, 2, bidirectional=True, **options),
        nn.Pool("attention", size=3),
        nn.Dropout(0.3),
        nn.Linear(10, 4, **options),
    )


# Alone


def test_an_embedding_looks_rows_up(device: str) -> None:
    layer = nn.Embedding(5, 3, device=device, dtype="float64")
    table = layer.state_dict()["weight"]
    y, state = layer([[4, -1, 0]])
    np.testing.assert_array_equal(y, [[table[4], np.zeros(3), table[0]]])
    assert state is None
    np.testing.assert_array_equal(layer.step([2])[0], table[[2]])
    y, _, tape = layer.forward([[1, -1, 1]], lengths=[3])
    g = layer.backward(tape, np.ones_like(y))
    assert g.x is None
    np.testing.assert_array_equal(g.params["weight"], [[0] * 3, [2] * 3, [0] * 3, [0] * 3, [0] * 3])


def test_an_embedding_starts_standard_normal_and_follows_from_the_seed() -> None:
    weight = nn.Embedding(200, 100, seed=3).state_dict()["weight"]
    np.testing.assert_array_equal(weight, nn.Embedding(200, 100, seed=3).state_dict()["weight"])
    assert abs(weight.mean()) < 0.03
    assert weight.std() == pytest.approx(1, rel=0.03)


def test_dropped_tokens_are_dropped_wherever_they_stand(device: str) -> None:
    layer = nn.Embedding(200, 8, dropout=0.25, device=device, seed=0)
    layer.load_state_dict({"weight": np.ones((200, 8))})
    tokens = np.tile(np.arange(200), (3, 2))
    y, _, _ = layer.forward(tokens)
    assert (y == y[:1]).all()
    assert (y[:, :200] == y[:, 200:]).all()
    assert (y == y[..., :1]).all()
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.75], rtol=1e-6)
    assert np.mean(y == 0) == pytest.approx(0.25, abs=0.07)
    np.testing.assert_array_equal(layer(tokens)[0], 1)


def test_vectors_become_an_embedding() -> None:
    vectors = np.arange(6.0).reshape(3, 2)
    layer = nn.Embedding.from_vectors(vectors)
    assert (layer.dtype, layer.frozen, layer.num_parameters, layer.num_trainable) == ("float64", True, 6, 0)
    np.testing.assert_array_equal(layer.state_dict()["weight"], vectors)
    layer = nn.Embedding.from_vectors(vectors.astype(np.float16), frozen=False, dropout=0.1)
    assert (layer.dtype, layer.num_trainable, layer.dropout) == ("float32", 6, 0.1)
    with pytest.raises(
        ValueError, match=r"vectors: expected an array of floats of shape \(V, E\), got int64"
    ):
        nn.Embedding.from_vectors([[1, 2]])
    with pytest.raises(ValueError, match=r"weight: expected finite numbers, got nan at \[0, 0\]"):
        nn.Embedding.from_vectors([[np.nan]])


def test_a_linear_map_in_numpy(device: str) -> None:
    rng = np.random.default_rng(0)
    layer = nn.Linear(3, 5, device=device, dtype="float64")
    w, x = layer.state_dict(), random_floats(rng, (2, 4, 3), "float64")
    assert_close(layer(x)[0], x @ w["weight"].T + w["bias"])
    assert_close(layer(x[0])[0], x[0] @ w["weight"].T + w["bias"])
    assert_close(layer.step(x[:, 0])[0], x[:, 0] @ w["weight"].T + w["bias"])
    assert np.abs(w["weight"]).max() <= 1 / np.sqrt(3)
    y, _ = layer(x, lengths=[4, 2])
    assert not y[1, 2:].any()  # not even the bias


def test_layer_norm_in_numpy(device: str) -> None:
    rng = np.random.default_rng(1)
    layer = nn.LayerNorm(6, 1e-3, device=device, dtype="float64")
    w = {"weight": rng.standard_normal(6), "bias": rng.standard_normal(6)}
    x = random_floats(rng, (2, 4, 6), "float64")
    normal = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3)
    assert_close(layer(x)[0], normal)
    layer.load_state_dict(w)
    assert_close(layer(x)[0], w["weight"] * normal + w["bias"])


@pytest.mark.parametrize("variational", [False, True])
def test_dropout_alone(variational: bool, device: str) -> None:
    x = np.ones((8, 16, 50), np.float32)
    layer = nn.Dropout(0.25, variational, device=device, seed=0)
    y, _, tape = layer.forward(x)
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.75], rtol=1e-6)
    assert np.mean(y == 0) == pytest.approx(0.25, abs=0.04)
    assert len(np.unique(y.reshape(-1, 50), axis=0)) == (8 if variational else 8 * 16)
    np.testing.assert_array_equal(layer.backward(tape, x).x, y)
    np.testing.assert_array_equal(layer(x)[0], x)
    assert layer(np.ones((2, 3, 7), np.float32))[0].shape == (2, 3, 7)  # any width


def test_pooling_in_numpy(device: str) -> None:
    rng = np.random.default_rng(2)
    x, mask = random_floats(rng, (5, 6, 4), "float64"), rng.random((5, 6)) < 0.6
    lengths = [6, 0, 3, 6, 6]
    mask[3] = False
    counts = mask & (np.arange(6) < np.array(lengths)[:, None])
    pool = nn.Pool("attention", 4, 4, dtype="float64", device=device)
    w = pool.state_dict()
    assert {name: value.shape for name, value in w.items()} == {
        "weight": (4, 4),
        "bias": (4,),
        "context": (4,),
    }

    def attended(rows: np.ndarray) -> np.ndarray:
        scores = np.tanh(rows @ w["weight"].T + w["bias"]) @ w["context"]
        return np.exp(scores) @ rows / np.exp(scores).sum()

    for kind, function in {
        "last": lambda rows: rows[-1],
        "ends": lambda rows: np.concatenate([rows[-1, :2], rows[0, 2:]]),
        "center": lambda rows: np.concatenate([rows[(len(rows) - 1) // 2], rows[len(rows) // 2]]),
        "max+mean": lambda rows: np.concatenate([rows.max(0), rows.mean(0)]),
        "mean": lambda rows: rows.mean(0),
        "max": lambda rows: rows.max(0),
        "attention": attended,
    }.items():
        layer = pool if kind == "attention" else nn.Pool(kind, dtype="float64", device=device)
        expected = [function(x[b, counts[b]]) if counts[b].any() else 0 * function(x[0]) for b in range(5)]
        assert_close(layer(x, lengths=lengths, mask=mask)[0], np.array(expected), kind)
        assert_close(layer(x[0], lengths=6, mask=mask[0])[0], expected[0], kind)


def test_pooling_that_widens() -> None:
    model = nn.Sequential(nn.Pool("max+mean"), nn.Linear(6, 2))
    assert (model.input_size, model.output_size) == (3, 2)
    assert nn.Pool("center", 3).output_size == 6
    with pytest.raises(ValueError, match="block 1: expected an input_size that 2 divides"):
        nn.Sequential(nn.Pool("center"), nn.Linear(5, 2))
    with pytest.raises(ValueError, match="two directions side by side for ends, got width 3"):
        nn.Pool("ends", 3)


def test_pooling_takes_no_steps() -> None:
    with pytest.raises(RuntimeError, match="step: Pool needs the whole sequence, because it pools over all"):
        nn.Pool("mean").step(np.ones((2, 3), np.float32))


def test_blocks_have_no_state() -> None:
    layer: Any = nn.Linear(3, 5)
    with pytest.raises(TypeError, match="state: expected None, because Linear has no state"):
        layer(np.ones((2, 4, 3), np.float32), np.zeros((1, 2, 5), np.float32))


# Together


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sequential_is_its_blocks_one_after_the_other(dtype: str, device: str) -> None:
    rng = np.random.default_rng(3)

    def blocks() -> list[Any]:
        options: dict[str, Any] = {"dtype": dtype, "device": device}
        return [
            nn.LSTM(3, 5, 2, bidirectional=True, seed=1, **options),
            nn.LayerNorm(10, **options),
            nn.Linear(10, 4, seed=2, **options),
            nn.GRU(4, 6, seed=3, **options),
            nn.Pool("max", **options),
            nn.Linear(6, 2, seed=4, **options),
        ]

    model, alone = nn.Sequential(*blocks(), seed=0), blocks()
    x, lengths = random_floats(rng, (4, 7, 3), dtype), [7, 0, 3, 5]
    state = random_state(model, 4, rng)
    y, after, tape = model.forward(x, state, lengths)

    recurrent = {0: 0, 3: 1}
    outputs, tapes, states = x, [], []
    for i, block in enumerate(alone):
        if i == 5:
            outputs = outputs[:, None]  # one step for every row
        given = state[recurrent[i]] if i in recurrent else None
        counts = lengths if i < 5 else None
        outputs, after_i, tape_i = block.forward(outputs, given, counts)
        tapes.append(tape_i)
        states += [after_i] if i in recurrent else []
    assert_close(y, outputs[:, 0])
    assert isinstance(after, list)
    assert_states_close(after, states)

    g = model.backward(tape, np.ones_like(y))
    d = np.ones_like(outputs)
    for i, block in reversed(list(enumerate(alone))):
        g_i = block.backward(tapes[i], d)
        d = g_i.x[:, 0] if i == 5 else g_i.x
        if i in recurrent:
            assert_states_close(g.state[recurrent[i]], g_i.state)
        for name, gradient in g_i.params.items():
            assert_close(g.params[f"{i}.{name}"], gradient, f"{i}.{name}")
    assert_close(g.x, d)


def test_the_weights_are_the_blocks_under_pytorchs_names() -> None:
    first, second = nn.GRU(3, 5), nn.Linear(5, 2)
    weights = [first.state_dict(), second.state_dict()]
    model = nn.Sequential(first, nn.Dropout(0.5), second)
    assert list(model.state_dict()) == [
        "0.weight_ih_l0",
        "0.weight_hh_l0",
        "0.bias_ih_l0",
        "0.bias_hh_l0",
        "2.weight",
        "2.bias",
    ]
    for prefix, own in zip(("0.", "2."), weights, strict=True):
        for name, value in own.items():
            np.testing.assert_array_equal(model.state_dict()[prefix + name], value)
    assert (model.input_size, model.output_size) == (3, 2)


def test_sequentials_nest() -> None:
    inner = nn.Sequential(nn.Embedding(9, 4), nn.GRU(4, 4), nn.Linear(4, 9), tied={"2.weight": "0.weight"})
    names = list(inner.state_dict())
    y = inner([[1, 2, 3]])[0]
    model = nn.Sequential(inner, nn.LayerNorm(9))
    assert list(model.state_dict())[:-2] == [f"0.{name}" for name in names]
    assert_close(model([[1, 2, 3]])[0], nn.LayerNorm(9)(y)[0])
    weights = model.state_dict()
    model.load_state_dict(weights | {"0.2.weight": weights["0.0.weight"]})


def test_a_block_in_a_model_refuses_to_run_alone() -> None:
    block = nn.GRU(3, 5)
    model = nn.Sequential(block, nn.Linear(5, 2))
    x = np.ones((2, 4, 3), np.float32)
    for call in (lambda: block(x), block.state_dict, lambda: block.step(x[:, 0]), lambda: print(block)):
        with pytest.raises(
            RuntimeError, match=r"GRU\(3, 5\) is block 0 of a Sequential, which holds its weights"
        ):
            call()
    with pytest.raises(ValueError, match=r"block 0: GRU\(3, 5\) is part of a model already"):
        nn.Sequential(block)
    assert model(x)[0].shape == (2, 4, 2)


def test_a_failed_sequential_leaves_its_blocks_alone() -> None:
    block = nn.GRU(3, 5)
    with pytest.raises(ValueError, match="block 1: expected an input_size of 5"):
        nn.Sequential(block, nn.Linear(4, 2))
    with pytest.raises(ValueError, match="tied: expected the weight of a Linear block"):
        nn.Sequential(block, nn.Linear(5, 2), tied={"0.weight": "1.weight"})
    assert block(np.ones((2, 4, 3), np.float32))[0].shape == (2, 4, 5)


def test_tied_weights_are_one(device: str) -> None:
    model = nn.Sequential(
        nn.Embedding(7, 4, device=device, dtype="float64"),
        nn.LSTM(4, 4, device=device, dtype="float64"),
        nn.Linear(4, 7, device=device, dtype="float64"),
        tied={"2.weight": "0.weight"},
    )
    weights = model.state_dict()
    assert "2.weight" not in weights
    tokens = [[1, 2, 6]]
    plain = nn.Sequential(
        nn.Embedding(7, 4, device=device, dtype="float64"),
        nn.LSTM(4, 4, device=device, dtype="float64"),
        nn.Linear(4, 7, device=device, dtype="float64"),
    )
    plain.load_state_dict(weights | {"2.weight": weights["0.weight"]})
    y, _, tape = model.forward(tokens)
    y_plain, _, tape_plain = plain.forward(tokens)
    assert_close(y, y_plain)
    g, g_plain = model.backward(tape, y), plain.backward(tape_plain, y)
    assert_close(g.params["0.weight"], g_plain.params["0.weight"] + g_plain.params["2.weight"])
    # PyTorch's dict has both names.
    model.load_state_dict(weights | {"2.weight": weights["0.weight"]})
    with pytest.raises(
        ValueError, match=r"state_dict: 2.weight and 0.weight are tied, but their values differ"
    ):
        model.load_state_dict(weights | {"2.weight": 1 + weights["0.weight"]})
    with pytest.raises(ValueError, match=r"missing 0\.weight; unexpected 2\.weight"):
        model.load_state_dict({"2.weight" if n == "0.weight" else n: v for n, v in weights.items()})


def test_a_frozen_embedding_stays(device: str) -> None:
    model = nn.Sequential(nn.Embedding(7, 4, frozen=True, device=device), nn.Linear(4, 2, device=device))
    assert (model.num_parameters, model.num_trainable) == (38, 10)
    y, _, tape = model.forward([[1, 2]])
    assert model.backward(tape, y).params.keys() == {"1.weight", "1.bias"}
    model.load_state_dict({name: 0 * value for name, value in model.state_dict().items()})
    assert not model([[1, 2]])[0].any()


@pytest.mark.parametrize("tokens", [np.int8, np.uint64])
def test_a_model_with_an_embedding_takes_tokens_alone(tokens: Any, device: str) -> None:
    model = classifier(device=device, seed=0)
    logits, (h, c) = model(np.ones((3, 6), tokens), lengths=[6, 2, 0])
    assert logits.shape == (3, 4)
    assert h.shape == c.shape == (4, 3, 5)
    one, _ = model(np.ones(6, tokens))
    assert_close(one, logits[0])
    with pytest.raises(TypeError, match="x: expected integer tokens, got an array of float32"):
        model(np.ones((3, 6), np.float32))
    with pytest.raises(ValueError, match=r"x: expected tokens from -1 to 19, got 20 at \[0, 1\]"):
        model([[1, 20]])


def test_a_recurrent_layer_in_front_takes_tokens_too() -> None:
    model = nn.Sequential(nn.GRU(4, 5, bidirectional=True), nn.Linear(10, 2))
    one_hot = np.eye(4, dtype=np.float32)[[[3, 1, 0]]]
    assert_close(model([[3, 1, 0]])[0], model(one_hot)[0])
    with pytest.raises(TypeError, match="x: expected float32, got list"):
        nn.Sequential(nn.Dropout(0.1), nn.GRU(4, 5))([["a", "b"]])


def test_a_model_can_go_step_by_step(device: str) -> None:
    model = nn.Sequential(
        nn.Embedding(9, 4, device=device), nn.LSTM(4, 5, device=device), nn.Linear(5, 9, device=device)
    )
    tokens = np.array([[1, 2, 3], [4, 5, 6]])
    y, after = model(tokens)
    state = None
    for t in range(3):
        y_t, state = model.step(tokens[:, t], state)
        assert_close(y_t, y[:, t])
    assert_states_close(state, after)


def test_training_masks_follow_from_the_models_seed(device: str) -> None:
    tokens = np.arange(18).reshape(3, 6)
    one = classifier(device=device, seed=0)
    two = (
        nn.Sequential(*classifier(device=device, seed=0).blocks)
        if False
        else classifier(device=device, seed=0)
    )
    first = one.forward(tokens, step=0)[0]
    np.testing.assert_array_equal(first, one.forward(tokens, step=0)[0])
    assert not np.array_equal(first, one.forward(tokens, step=1)[0])
    two.load_state_dict(one.state_dict())
    assert_close(two(tokens)[0], one(tokens)[0])


REFUSED: list[tuple[type[Exception], str, Any]] = [
    (ValueError, "blocks: expected at least one block, got none", lambda: nn.Sequential()),
    (TypeError, "block 1: expected a layer or block of seqrs.nn, got str", lambda: nn.Sequential(nn.GRU(3, 5), "linear")),
    (ValueError, "block 1: expected an input_size of 5, got Linear(4, 2)", lambda: nn.Sequential(nn.GRU(3, 5), nn.Linear(4, 2))),
    (ValueError, "block 1: Embedding(5, 2) takes tokens, so it must come first", lambda: nn.Sequential(nn.GRU(3, 5), nn.Embedding(5, 2))),
    (ValueError, "block 2: GRU(5, 5) needs steps, but block 1 pools over them", lambda: nn.Sequential(nn.GRU(3, 5), nn.Pool("max"), nn.GRU(5, 5))),
    (ValueError, "block 1: expected float32 on cpu as in block 0, got float64 on cpu", lambda: nn.Sequential(nn.GRU(3, 5), nn.Linear(5, 2, dtype="float64"))),
    (ValueError, "block 0: merge=\"separate\" gives a pair, which no other block takes", lambda: nn.Sequential(nn.GRU(3, 5, bidirectional=True, merge="separate"), nn.Linear(10, 2))),
    (ValueError, "blocks: expected at least one that knows its input_size", lambda: nn.Sequential(nn.Dropout(0.5), nn.Pool("mean"))),
    (TypeError, "Sequential: unexpected keyword argument 'dtype'; it is that of the blocks", lambda: nn.Sequential(nn.GRU(3, 5), dtype="float64")),
    (ValueError, "input_size: expected an integer for kind=\"attention\" outside a Sequential", lambda: nn.Pool("attention")(np.ones((1, 2, 3), np.float32))),
    (ValueError, "size: expected None, because kind=\"mean\" has no units of its own", lambda: nn.Pool("mean", size=3)),
    (ValueError, "kind: expected \"last\", \"ends\", \"center\", \"mean\", \"max\", \"max+mean\" or \"attention\", got 'first'", lambda: nn.Pool("first")),
    (ValueError, "p: expected a number from 0 to below 1, got 1.0", lambda: nn.Dropout(1)),
    (ValueError, "eps: expected a finite number above 0, got 0.0", lambda: nn.LayerNorm(3, 0)),
    (RuntimeError, "Dropout(0.5) takes any width, and has not seen an input yet", lambda: nn.Dropout(0.5).state_dict()),
    (ValueError, "dy: expected shape (B, 2), got (1, 2, 2)", lambda: gradient_with_steps()),
]  # fmt: skip


def gradient_with_steps() -> None:
    model = nn.Sequential(nn.GRU(3, 2), nn.Pool("max"))
    _, _, tape = model.forward(np.ones((1, 2, 3), np.float32))
    model.backward(tape, np.ones((1, 2, 2), np.float32))


@pytest.mark.parametrize(("problem", "message", "make"), REFUSED, ids=[message for _, message, _ in REFUSED])
def test_refused(problem: type[Exception], message: str, make: Any) -> None:
    with pytest.raises(problem) as caught:
        make()
    assert str(caught.value) == message


def test_the_table_shows_layers_shapes_and_sizes() -> None:
    model = nn.Sequential(
        nn.Embedding(50, 8, frozen=True),
        nn.LSTM(8, [6, 4], bidirectional=True),
        nn.Dropout(0.5),
        nn.Linear(8, 8),
        nn.Linear(8, 50, bias=False),
        tied={"4.weight": "0.weight"},
    )
    assert str(model).splitlines()[1:] == [
        "   layer      output      parameters",
        "0  Embedding  (B, T, 8)          400  frozen",
        "1  LSTM l0    (B, T, 12)         768",
        "1  LSTM l1    (B, T, 8)          576",
        "2  Dropout    (B, T, 8)            0",
        "3  Linear     (B, T, 8)           72",
        "4  Linear     (B, T, 50)           0  4.weight is 0.weight",
        "   total                       1,816",
        "   trainable                   1,416",
    ]
    assert str(nn.GRU(3, 5)).splitlines() == [
        "GRU(3, 5)",
        "layer      output     parameters",
        "GRU        (B, T, 5)         150",
        "total                        150",
        "trainable                    150",
    ]


def test_weights_load_all_at_once_or_not_at_all() -> None:
    model = classifier(seed=0)
    before = model.state_dict()
    with pytest.raises(ValueError, match="unknown parameter"):
        model.network.set({"0.weight": before["0.weight"] + 1, "nonsense": before["0.weight"]})
    with pytest.raises(ValueError, match=r"4\.bias: expected shape \(4,\), got \(3,\)"):
        model.network.set({"0.weight": before["0.weight"] + 1, "4.bias": before["4.bias"][:3]})
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert parts(model([[1, 2]])[1])
