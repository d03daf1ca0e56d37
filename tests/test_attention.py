"""Layers that attend to a memory: their equations, their gradients, step by step, and as parts of models."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqrs import losses, nn, optim, testing

SCORES = ["additive", "dot", "general"]
WHENS = ["before", "after"]
GOLDEN = Path(__file__).parent / "golden"
Array = np.ndarray[Any, Any]


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max())
    return np.asarray(powers / powers.sum())


def looked(w: dict[str, Array], score: str, h: Array, memory: Array) -> tuple[Array, Array]:
    """The shares and the context of one query, as the papers write them."""
    if score == "additive":
        scores = np.tanh(w["weight_query_l0"] @ h + memory @ w["weight_key_l0"].T) @ w["weight_score_l0"]
    else:
        scores = (memory if score == "dot" else memory @ w["weight_key_l0"].T) @ h
    shares = softmax(scores)
    return shares, shares @ memory


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("score", SCORES)
def test_a_plain_layer_computes_its_equations(score: str, when: str, device: str) -> None:
    rng = np.random.default_rng(3)
    cell = nn.RNN(3, 4, dtype="float64", device=device, seed=1)
    layer = nn.AttentionDecoder(cell, 4, score=score, when=when, attention_size=5)
    x, memory = rng.normal(size=(2, 6, 3)), rng.normal(size=(2, 7, 4))
    y, h_last, shares = layer.attend(x, memory=memory, memory_lengths=[7, 3])
    w = layer.state_dict()
    for b, steps in enumerate([7, 3]):
        h = np.zeros(4)
        for t in range(6):
            z = w["weight_ih_l0"] @ x[b, t] + w["bias_ih_l0"] + w["weight_hh_l0"] @ h + w["bias_hh_l0"]
            if when == "before":
                share, context = looked(w, score, h, memory[b, :steps])
                z += w["weight_context_l0"] @ context
            h = np.tanh(z)
            if when == "after":
                share, context = looked(w, score, h, memory[b, :steps])
            np.testing.assert_allclose(y[b, t], np.concatenate([h, context]), rtol=0, atol=1e-12)
            np.testing.assert_allclose(shares[b, t, :steps], share, rtol=0, atol=1e-12)
            assert not shares[b, t, steps:].any()
        np.testing.assert_allclose(h_last[0, b], h, rtol=0, atol=1e-12)


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize(
    "path", sorted(GOLDEN.glob("attention_pytorch_*.npz")), ids=lambda path: path.stem[18:]
)
def test_what_pytorch_computes(path: Path, device: str) -> None:
    with np.load(path) as file:
        golden = dict(file)
    call = json.loads(str(golden["call"]))
    params = {name[6:]: value for name, value in golden.items() if name.startswith("param.")}
    sizes = np.cumsum([value.size for value in params.values()])[:-1]
    grads = dict(zip(params, np.split(golden["grads"], sizes), strict=True))
    inputs, width = golden["x"].shape[2], golden["memory"].shape[2]
    cell = {"gru": nn.GRU, "lstm": nn.LSTM}[call["cell"]](inputs, 3, dtype="float64", device=device)
    layer: Any = nn.AttentionDecoder(cell, width, score=call["score"], when=call["when"], attention_size=4)

    def named(arrays: dict[str, Array]) -> dict[str, Array]:
        """PyTorch's names and columns in those of the layer."""
        own = {"query": "weight_query_l0", "key": "weight_key_l0", "vector": "weight_score_l0"}
        found = {own.get(name, f"{name}_l0"): value for name, value in arrays.items()}
        if call["when"] == "before":
            both = found["weight_ih_l0"]
            found |= {"weight_ih_l0": both[:, :inputs], "weight_context_l0": both[:, inputs:]}
        return found

    layer.load_state_dict(named(params))
    how = {"memory": golden["memory"], "memory_lengths": golden["memory_lengths"]}
    y, _, tape = layer.forward(golden["x"], **how)
    g = layer.backward(tape, golden["dy"])
    wanted = named({name: grads[name].reshape(value.shape) for name, value in params.items()})
    wanted |= {"y": golden["y"], "x": golden["dx"], "memory": golden["dmemory"], "shares": golden["shares"]}
    got = {**g.params, "y": y, "x": g.x, "memory": g.memory, "shares": layer.attend(golden["x"], **how)[2]}
    for name, value in wanted.items():
        np.testing.assert_allclose(got[name], value, rtol=0, atol=1e-10, err_msg=name)


@settings(max_examples=25)
@given(
    cell=st.sampled_from([nn.RNN, nn.GRU, nn.LSTM]),
    score=st.sampled_from(SCORES),
    when=st.sampled_from(WHENS),
    device=st.sampled_from(["cpu", "reference"]),
    batch=st.integers(1, 3),
    steps=st.integers(0, 4),
    memory_steps=st.integers(0, 4),
    seed=st.integers(0, 1000),
)
def test_gradients_are_central_differences(
    cell: Any, score: str, when: str, device: str, batch: int, steps: int, memory_steps: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    inner = cell(2, 3, dtype="float64", device=device, seed=seed, recurrent_dropout=0.3)
    layer = nn.AttentionDecoder(inner, 3, score=score, when=when, attention_size=2)
    x, memory = rng.normal(size=(batch, steps, 2)), rng.normal(size=(batch, memory_steps, 3))
    report = testing.check_gradients(
        layer,
        x,
        lengths=rng.integers(0, steps + 1, batch),
        memory=memory,
        memory_lengths=rng.integers(0, memory_steps + 1, batch),
        seed=seed,
    )
    assert ("memory" in report.tensors) == (memory_steps > 0)


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("cell", [nn.RNN, nn.GRU, nn.LSTM])
def test_step_by_step_is_the_whole(cell: Any, when: str) -> None:
    rng = np.random.default_rng(0)
    layer = nn.AttentionDecoder(cell(3, 4, dtype="float64", seed=2), 5, when=when)
    x, memory = rng.normal(size=(2, 6, 3)), rng.normal(size=(2, 7, 5))
    whole, after = layer(x, memory=memory, memory_lengths=[0, 6])
    state = None
    for t in range(6):
        y, state = layer.step(x[:, t], state, memory=memory, memory_lengths=[0, 6])
        np.testing.assert_allclose(y, whole[:, t], rtol=0, atol=1e-13)
    for part, last in zip(np.asarray(state), np.asarray(after), strict=True):
        np.testing.assert_allclose(part, last, rtol=0, atol=1e-13)
    assert not whole[0, :, 4:].any()  # nothing to look at


def test_one_sequence_needs_no_batch_axis() -> None:
    layer = nn.AttentionDecoder(nn.GRU(3, 4, dtype="float64", seed=0), 5)
    x, memory = np.ones((6, 3)), np.ones((7, 5))
    y, h, tape = layer.forward(x, memory=memory, memory_lengths=3)
    g: Any = layer.backward(tape, np.ones_like(y))
    assert (y.shape, h.shape, g.memory.shape) == ((6, 9), (1, 4), (7, 5))
    assert layer.attend(x, memory=memory)[2].shape == (6, 7)


def test_a_model_with_a_tied_output_learns_to_copy() -> None:
    rng = np.random.default_rng(0)
    encoder = nn.Sequential(nn.Embedding(8, 12, seed=0), nn.GRU(12, 16, bidirectional=True, seed=1))
    decoder = nn.Sequential(
        nn.Embedding(8, 12, seed=2),
        nn.AttentionDecoder(nn.GRU(12, 16, seed=3), 32),
        nn.Linear(48, 12, seed=4),
        nn.Activation("tanh"),
        nn.Linear(12, 8, seed=5),
        tied={"4.weight": "0.weight"},
    )
    adams = [optim.Adam(model, 0.01) for model in (encoder, decoder)]
    for _ in range(300):
        source = rng.integers(0, 8, (32, 5))
        target = source[:, ::-1]
        given = np.concatenate([np.full((32, 1), -1), target[:, :-1]], axis=1)
        memory, _, reading = encoder.forward(source)
        logits, _, writing = decoder.forward(given, memory=memory)
        loss, dlogits = losses.softmax_cross_entropy(logits, target)
        g: Any = decoder.backward(writing, dlogits)
        adams[0].step(encoder.backward(reading, g.memory))
        adams[1].step(g)
    assert loss < 0.1
    assert "4.weight" not in decoder.state_dict()


def test_what_does_not_fit_is_refused() -> None:
    layer = nn.AttentionDecoder(nn.GRU(3, 4, seed=0), 5)
    x = np.ones((2, 6, 3), np.float32)
    memory = np.ones((2, 7, 5), np.float32)
    with pytest.raises(TypeError, match=r"memory: expected an array \(B, S, 5\)"):
        layer(x)
    with pytest.raises(ValueError, match="memory: expected shape"):
        layer(x, memory=memory[:, :, :4])
    with pytest.raises(ValueError, match="memory_lengths: expected integers from 0 to 7"):
        layer(x, memory=memory, memory_lengths=[8, 1])
    with pytest.raises(TypeError, match="memory: expected none"):
        nn.GRU(3, 4)(x, memory=memory)
    with pytest.raises(ValueError, match="one layer in one direction"):
        nn.AttentionDecoder(nn.GRU(3, 4, bidirectional=True), 5)
    with pytest.raises(ValueError, match="memory_size: expected 4"):
        nn.AttentionDecoder(nn.GRU(3, 4), 5, score="dot")
    with pytest.raises(ValueError, match="part of a model"):
        nn.AttentionDecoder(layer.layer, 5)
    linear: Any = nn.Linear(3, 4)
    with pytest.raises(TypeError, match="expected a recurrent layer"):
        nn.AttentionDecoder(linear, 5)
    with pytest.raises(ValueError, match="a second one"):
        nn.Sequential(layer, nn.AttentionDecoder(nn.GRU(9, 4), 5))


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("score", SCORES)
def test_a_prepared_memory_is_its_rows_to_the_bit(score: str, when: str, device: str) -> None:
    rng = np.random.default_rng(6)
    layer = nn.AttentionDecoder(nn.LSTM(3, 17, device=device, seed=0), 17, score=score, when=when)
    array, lengths = rng.normal(size=(3, 9, 17)).astype(np.float32), np.array([9, 0, 4])
    memory, rows = layer.prepare(array, lengths), [2, 0, 0, 1, 2]
    chosen = memory.take([1, 2, 0]).take([1, 2, 2, 0, 1])
    assert (len(memory), len(chosen)) == (3, 5)
    x = rng.normal(size=(5, 2, 3)).astype(np.float32)
    for _ in range(2):
        want = layer.attend(x, memory=array[rows], memory_lengths=lengths[rows])
        got = layer.attend(x, memory=chosen)
        np.testing.assert_array_equal(got[0], want[0])
        np.testing.assert_array_equal(got[2], want[2])
        y, _ = layer.step(x[:, 0], memory=chosen)
        np.testing.assert_array_equal(y, want[0][:, 0])
        # Other weights make other keys.
        layer.load_state_dict({name: value / 2 for name, value in layer.state_dict().items()})
    y, _ = layer.step(x[0, 0], memory=memory.take([2]))
    assert y.shape == (34,)


def test_what_does_not_fit_a_prepared_memory_is_refused() -> None:
    layer = nn.AttentionDecoder(nn.GRU(3, 4, seed=0), 5)
    x, array = np.ones((2, 6, 3), np.float32), np.ones((2, 7, 5), np.float32)
    memory: Any = layer.prepare(array)
    for rows, error, message in [
        ([2], ValueError, r"rows: expected numbers from 0 to 1, got 2"),
        ([-1], ValueError, r"rows: expected numbers from 0 to 1, got -1"),
        ([0.5], TypeError, r"rows: expected integers"),
        ([[0]], TypeError, r"rows: expected integers"),
    ]:
        with pytest.raises(error, match=message):
            memory.take(rows)
    with pytest.raises(ValueError, match=r"memory: expected a row for each of 2, got 1"):
        layer(x, memory=memory.take([0]))
    with pytest.raises(TypeError, match=r"memory_lengths: expected None"):
        layer(x, memory=memory, memory_lengths=[1, 1])
    with pytest.raises(ValueError, match=r"memory: expected an array in training"):
        layer.forward(x, memory=memory)
    with pytest.raises(TypeError, match=r"memory: expected an array, got one that is prepared"):
        layer.prepare(memory)
    with pytest.raises(ValueError, match=r"memory: expected an array, got one that is prepared"):
        layer.network.prepare(memory._prepared)
    with pytest.raises(ValueError, match=r"memory: expected shape"):
        layer.prepare(array[:, :, :4])
    with pytest.raises(ValueError, match=r"memory_lengths: expected integers from 0 to 7"):
        layer.prepare(array, [8, 0])
    with pytest.raises(TypeError, match=r"attends to no memory"):
        nn.GRU(3, 4).prepare(array)
    double = nn.AttentionDecoder(nn.GRU(3, 4, dtype="float64"), 5)
    with pytest.raises(TypeError, match=r"memory: expected one of the network's dtype"):
        double(x.astype(np.float64), memory=memory)
    wider = nn.AttentionDecoder(nn.GRU(3, 4), 6)
    with pytest.raises(ValueError, match=r"memory: expected shape"):
        wider(x, memory=memory)


def test_bfloat16_is_near() -> None:
    rng = np.random.default_rng(4)
    x, memory = (rng.normal(size=shape).astype(np.float32) for shape in [(3, 8, 16), (3, 9, 32)])
    layers = [nn.AttentionDecoder(nn.GRU(16, 32, dtype=kind, seed=0), 32) for kind in ("float32", "bfloat16")]
    exact, near = (layer.forward(x, memory=memory) for layer in layers)
    np.testing.assert_allclose(near[0], exact[0], rtol=0, atol=0.03)
    dy = np.ones_like(exact[0])
    gradients: list[Any] = [
        layer.backward(run[2], dy) for layer, run in zip(layers, (exact, near), strict=True)
    ]
    size = np.abs(gradients[0].memory).max()
    np.testing.assert_allclose(gradients[1].memory, gradients[0].memory, rtol=0, atol=0.05 * size)


def test_the_core_checks_what_it_is_given() -> None:
    network = nn.AttentionDecoder(nn.GRU(3, 4, seed=0), 5).network
    x, memory = np.ones((2, 6, 3), np.float32), np.ones((2, 7, 5), np.float32)

    def run(memory: Any, lengths: Any = None) -> None:
        network.forward(x, None, None, None, True, 0, 0, memory, lengths)

    run(memory, np.array([7, 0]))
    with pytest.raises(ValueError, match=r"memory: expected \(B, S, 5\)"):
        run(None)
    with pytest.raises(ValueError, match="memory: expected shape"):
        run(memory[:1])
    with pytest.raises(TypeError, match="memory: expected an array of float32"):
        run(memory.astype(np.float64))
    with pytest.raises(ValueError, match="memory_lengths: expected numbers from 0 to 7"):
        run(memory, np.array([8, 0]))
    with pytest.raises(ValueError, match="memory_lengths: expected shape"):
        run(memory, np.array([1]))
    with pytest.raises(ValueError, match="memory: expected none"):
        nn.GRU(3, 4).network.forward(x, None, None, None, True, 0, 0, memory, None)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("when", WHENS)
def test_a_pass_that_was_not_finite_leaves_nothing(score: str, when: str) -> None:
    cell = nn.LSTM(3, 5, activation="sigmoid", check_finite=False, seed=0)
    layer = nn.AttentionDecoder(cell, 5, score=score, when=when)
    rng = np.random.default_rng(0)
    x, memory = (rng.normal(size=shape).astype(np.float32) for shape in [(3, 4, 3), (3, 6, 5)])

    def passed(memory: Array) -> list[Array]:
        y, _, tape = layer.forward(x, memory=memory, memory_lengths=[6, 2, 0], step=0)
        g: Any = layer.backward(tape, np.ones_like(y))
        return [y, g.memory, g.flat]

    before = passed(memory)
    bad = memory.copy()
    bad[0, 1, 2] = np.nan
    assert np.isnan(passed(bad)[2]).any()
    for again, first in zip(passed(memory), before, strict=True):
        np.testing.assert_array_equal(again, first)
