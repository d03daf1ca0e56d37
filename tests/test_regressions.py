"""Faults found by review, each with the smallest case that showed it."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import seqrs
from seqrs import _native, nn
from seqrs._native import Network, Optimizer
from seqrs.exceptions import TapeError


def language_model(
    device: str, hidden: int, vocab: int = 50, cell: str = "lstm", form: str = "none"
) -> Network:
    return Network.language_model(
        cell=cell,
        form=form,
        vocab_size=vocab,
        embedding_size=None,
        hidden_size=hidden,
        num_layers=1,
        dropout=0.0,
        dtype="float32",
        device=device,
        seed=0,
    )


def train(network: Network, optimizer: Optimizer, lr: float = 1e-2) -> tuple[float, float]:
    tokens = np.arange(24, dtype=np.int32).reshape(4, 6) % 5
    outcome, _ = network.train_step(tokens, tokens, None, None, optimizer, lr, 0, 0)
    return outcome.loss, outcome.norm


def explode(network: Network) -> None:
    """Give the layer weights through which gradients grow beyond any float, at states of 0."""
    network.set(
        {
            name: np.full(shape, 1e20 if name == "rnn.weight_hh_l0" else 0.0, np.float32)
            for name, shape, *_ in network.parameters()
            if name.startswith("rnn.")
        }
    )


def test_column_major_arrays_are_not_read_transposed(tmp_path: Path) -> None:
    one, two = nn.LSTM(4, 4, seed=0), nn.LSTM(4, 4, seed=1)
    two.load_state_dict({name: np.asfortranarray(value) for name, value in one.state_dict().items()})
    for name, value in one.state_dict().items():
        np.testing.assert_array_equal(two.state_dict()[name], value)
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    _native.save_file(str(tmp_path / "m"), {"m": np.asfortranarray(matrix)}, {})
    np.testing.assert_array_equal(_native.load_file(str(tmp_path / "m"))[0]["m"], matrix)
    x = np.random.default_rng(0).standard_normal((3, 5, 4), np.float32)
    np.testing.assert_array_equal(one(np.asfortranarray(x))[0], one(x)[0])


@pytest.mark.parametrize("threads", [1, 2])
def test_a_forked_child_can_train(threads: int) -> None:
    before = seqrs.get_num_threads()
    seqrs.set_num_threads(threads)
    network = language_model("cpu", hidden=64)
    optimizer = Optimizer(network.num_parameters, network.dtype, "adam")
    train(network, optimizer)
    child = os.fork()
    if child == 0:
        train(network, optimizer)
        os._exit(0)
    until = time.monotonic() + 20
    status: tuple[int, int] = (0, 0)
    while status[0] == 0 and time.monotonic() < until:
        status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if status[0] == 0:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    seqrs.set_num_threads(before)
    assert status == (child, 0)


def test_a_run_that_was_not_finite_leaves_no_trace() -> None:
    norms = {}
    for device in ("cpu", "reference"):
        network = language_model(device, hidden=5, vocab=7, cell="rnn", form="tanh")
        optimizer = Optimizer(network.num_parameters, network.dtype, "sgd")
        weights = {name: network.get(name) for name, *_ in network.parameters()}
        explode(network)
        assert not np.isfinite(train(network, optimizer)[1])
        network.set(weights)
        norms[device] = train(network, optimizer)[1]
    assert norms["cpu"] == pytest.approx(norms["reference"], rel=1e-5)


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_a_tape_of_other_weights_is_refused(device: str) -> None:
    layer = nn.GRU(3, 4, device=device, seed=0)
    y, _, tape = layer.forward(np.ones((1, 5, 3), np.float32))
    layer.load_state_dict({name: 3 * value for name, value in layer.state_dict().items()})
    with pytest.raises(TapeError, match="the weights have changed"):
        layer.backward(tape, np.ones_like(y))


def test_cutting_values_does_not_hide_an_infinite_gradient() -> None:
    network = language_model("cpu", hidden=5, vocab=7, cell="rnn", form="tanh")
    explode(network)
    assert not np.isfinite(
        train(network, Optimizer(network.num_parameters, network.dtype, "sgd", clip_value=1.0))[1]
    )


def test_a_rate_too_large_for_the_dtype_is_refused() -> None:
    network = language_model("cpu", hidden=5)
    with pytest.raises(ValueError, match="lr: expected a finite float32 of at least 0, got 1"):
        train(network, Optimizer(network.num_parameters, network.dtype, "sgd"), lr=1e39)


@pytest.mark.parametrize("size", [2**40, 2**62])
def test_sizes_beyond_memory_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="expected a size that fits in memory"):
        nn.LSTM(3, size)
    with pytest.raises(ValueError, match="expected a size that fits in memory"):
        nn.LSTM(size, 3)


def test_a_prompt_outside_the_vocabulary_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="prompt: expected tokens from -1 to below 50, got 99"):
        language_model("cpu", hidden=5).generator(
            prompt=np.array([99], np.int32),
            state=None,
            temperature=1.0,
            top_k=None,
            top_p=None,
            banned=np.array([], np.int32),
            stop=None,
            seeds=[0],
        )
