"""Bad arguments to layers: the class of each exception, and a message that says what to change."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import seqrs
from seqrs import _native, exceptions, nn

F32 = np.float32
X = np.zeros((2, 4, 3), F32)
H = np.zeros((1, 2, 5), F32)


def gru(**options: Any) -> nn.GRU:
    return nn.GRU(3, 5, seed=0, **options)


def lstm() -> nn.LSTM:
    return nn.LSTM(3, 5, seed=0)


def replaced(array: np.ndarray, index: tuple[int, ...], value: float) -> np.ndarray:
    array = array.copy()
    array[index] = value
    return array


def load(**changes: Any) -> None:
    """Load a layer's own weights, changed; None takes one away."""
    weights = gru().state_dict() | changes
    gru().load_state_dict({name: value for name, value in weights.items() if value is not None})


OWN = object()


def backward(tape: Any = OWN, dy: Any = None, dstate: Any = None) -> None:
    layer = gru()
    y, _, own = layer.forward(X)
    layer.backward(own if tape is OWN else tape, y if dy is None else dy, dstate)


# Exception, the whole message (a regular expression), and the call.
CASES: list[tuple[type[Exception], str, Callable[[], Any]]] = [
    # Making a layer
    (ValueError, r"input_size: expected an integer of at least 1, got 0", lambda: nn.RNN(0, 5)),
    (ValueError, r"hidden_size: expected an integer of at least 1, got -5", lambda: nn.RNN(3, -5)),
    (ValueError, r"num_layers: expected an integer from 1 to 1024, got 0", lambda: nn.RNN(3, 5, 0)),
    (ValueError, r"hidden_size: expected an integer from 1 to 9223372036854775807, got 9223372036854775808", lambda: nn.RNN(3, 2**63)),
    (TypeError, r"input_size: expected an integer, got float 3\.0", lambda: nn.RNN(3.0, 5)),
    (TypeError, r"hidden_size: expected an integer, got str '5'", lambda: nn.RNN(3, "5")),
    (ValueError, r"num_layers: expected an integer from 1 to 1024, got 1099511627776", lambda: nn.RNN(3, 5, 2**40)),
    (TypeError, r"num_layers: expected an integer, got bool True", lambda: nn.RNN(3, 5, True)),
    (TypeError, r"num_layers: expected an integer, got an array of int64", lambda: nn.RNN(3, 5, np.array([2]))),
    (ValueError, r'nonlinearity: expected "tanh", "relu", .* or "softsign", got \'elu\'', lambda: nn.RNN(3, 5, nonlinearity="elu")),
    (ValueError, r'reset: expected "after", "before" or "none", got \'both\'', lambda: gru(reset="both")),
    (TypeError, r'reset: expected "after", "before" or "none", got NoneType', lambda: gru(reset=None)),
    (ValueError, r'peephole: expected "none", "full", "prev" or "current", got \'all\'', lambda: nn.LSTM(3, 5, peephole="all")),
    (TypeError, r"bias: expected True or False, got int 1", lambda: gru(bias=1)),
    (ValueError, r"dropout: expected a number from 0 to below 1, got 1\.0", lambda: gru(dropout=1)),
    (ValueError, r"dropout: expected a number from 0 to below 1, got -0\.1", lambda: gru(dropout=-0.1)),
    (ValueError, r"dropout: expected a number from 0 to below 1, got nan", lambda: gru(dropout=float("nan"))),
    (TypeError, r"dropout: expected a number, got str '0\.5'", lambda: gru(dropout="0.5")),
    (ValueError, r'dtype: expected "float32", "float64" or "bfloat16", got \'float16\'', lambda: gru(dtype="float16")),
    (ValueError, r'dtype: expected "float32", "float64" or "bfloat16", got \'quick\'', lambda: gru(dtype="quick")),
    (TypeError, r'dtype: expected "float32", "float64" or "bfloat16", got <class \'numpy\.int32\'>', lambda: gru(dtype=np.int32)),
    (TypeError, r'dtype: expected "float32", "float64" or "bfloat16", got None', lambda: gru(dtype=None)),
    (ValueError, r'device: expected "cpu", "gpu", "reference" or "auto", got \'tpu\'', lambda: gru(device="tpu")),
    (ValueError, r"seed: expected an integer from 0 to 18446744073709551615, got -1", lambda: nn.RNN(3, 5, seed=-1)),
    (ValueError, r"seed: expected an integer from 0 to \d+, got 18446744073709551616", lambda: nn.RNN(3, 5, seed=2**64)),
    (TypeError, r"check_finite: expected True or False, got NoneType", lambda: gru(check_finite=None)),
    # The input
    (TypeError, r"x: expected float32, got an array of float64", lambda: gru()(X.astype(np.float64))),
    (TypeError, r"x: expected float64, got an array of float32", lambda: gru(dtype="float64")(X)),
    (TypeError, r"x: expected float32, got an array of >f4", lambda: gru()(X.astype(">f4"))),
    (TypeError, r"x: expected float32, got an array of complex64", lambda: gru()(X.astype(np.complex64))),
    (TypeError, r"x: expected float32, got an array of bool", lambda: gru()(X > 0)),
    (TypeError, r"x: expected float32, got str 'words'", lambda: gru()("words")),
    (TypeError, r"x: expected float32, got list", lambda: gru()([["a", "b"]])),
    (TypeError, r"x: expected float32, got NoneType", lambda: gru()(None)),
    (ValueError, r"x: expected an array, or lists of one length, got list of several lengths", lambda: gru()([[[0.0] * 3], [[0.0] * 2]])),
    (ValueError, r"x: expected shape \(B, T, 3\), got \(2, 4, 4\)", lambda: gru()(np.zeros((2, 4, 4), F32))),
    (ValueError, r"x: expected shape \(T, 3\), got \(4, 2\)", lambda: gru()(X[0, :, :2])),
    (ValueError, r"x: expected shape \(B, T, 3\), got \(\)", lambda: gru()(F32(1))),
    (ValueError, r"x: expected finite numbers, got nan at \[1, 3, 2\]", lambda: gru()(replaced(X, (1, 3, 2), np.nan))),
    (ValueError, r"x: expected finite numbers, got -inf at \[0, 0, 1\]", lambda: gru()(replaced(X, (0, 0, 1), -np.inf))),
    (ValueError, r"x: expected tokens from -1 to 2, got 3 at \[0, 1\]", lambda: gru()([[0, 3]])),
    (ValueError, r"x: expected tokens from -1 to 2, got -2 at \[0, 0\]", lambda: gru()([[-2, 0]])),
    (ValueError, r"x: expected tokens from -1 to 2, got 18446744073709551615 at \[0, 0\]", lambda: gru()(np.array([[2**64 - 1]], np.uint64))),
    (ValueError, r"x: expected tokens of shape \(B, T\), got \(\)", lambda: gru()(0)),
    (ValueError, r"x: expected tokens of shape \(B, T\), got \(1, 1, 3\)", lambda: gru()([[[0, 1, 2]]])),
    (ValueError, r"x: expected shape \(B, 3\), got \(2, 4, 3\)", lambda: gru().step(X)),
    (ValueError, r"x: expected tokens of shape \(B,\), got \(1, 2\)", lambda: gru().step([[0, 1]])),
    (TypeError, r"training: expected True or False, got str 'yes'", lambda: gru().forward(X, training="yes")),
    (ValueError, r"step: expected an integer from 0 to \d+, got -1", lambda: gru().forward(X, step=-1)),
    # The state
    (ValueError, r"state: expected shape \(1, 2, 5\), got \(2, 5\)", lambda: gru()(X, H[0])),
    (ValueError, r"state: expected shape \(1, 2, 5\), got \(1, 3, 5\)", lambda: gru()(X, np.zeros((1, 3, 5), F32))),
    (TypeError, r"state: expected float32, got an array of float64", lambda: gru()(X, H.astype(float))),
    (ValueError, r"state: expected finite numbers, got inf at \[0, 1, 4\]", lambda: gru()(X, replaced(H, (0, 1, 4), np.inf))),
    (ValueError, r"state: expected shape \(1, 2, 5\), got \(2, 1, 2, 5\)", lambda: gru()(X, (H, H))),
    (TypeError, r"state: expected a pair \(h, c\) of arrays, got ndarray", lambda: lstm()(X, H)),
    (TypeError, r"state: expected a pair \(h, c\) of arrays, got tuple of 3", lambda: lstm()(X, (H, H, H))),
    (ValueError, r"state \(c\): expected shape \(1, 2, 5\), got \(1, 1, 5\)", lambda: lstm()(X, (H, H[:, :1]))),
    (TypeError, r"state \(h\): expected float32, got an array of float64", lambda: lstm().step(X[:, 0], (H.astype(float), H))),
    # The lengths
    (ValueError, r"lengths: expected shape \(2,\), one for each row of x, got \(3,\)", lambda: gru()(X, None, [1, 2, 3])),
    (ValueError, r"lengths: expected shape \(2,\), one for each row of x, got \(\)", lambda: gru()(X, None, 4)),
    (ValueError, r"lengths: expected integers from 0 to 4, the steps of x, got 5 at \[1\]", lambda: gru()(X, None, [4, 5])),
    (ValueError, r"lengths: expected integers from 0 to 4, the steps of x, got -1 at \[0\]", lambda: gru()(X, None, [-1, 5])),
    (TypeError, r"lengths: expected integers, got an array of float64", lambda: gru()(X, None, np.array([1.0, 2.0]))),
    (TypeError, r"lengths: expected integers, got list", lambda: gru()(X, None, [True, False])),
    (ValueError, r"lengths: expected an array, or lists of one length, got list of several lengths", lambda: gru()(X, None, [[1], [1, 2]])),
    (ValueError, r"mask: expected an array, or lists of one length, got list of several lengths", lambda: gru()(X, mask=[[True], [True, False]])),
    # The backward pass
    (TypeError, r"tape: expected a Tape, got NoneType; forward\(\.\.\., training=True\) returns one", lambda: backward(tape=None)),
    (TypeError, r"tape: expected a Tape, got ndarray", lambda: backward(tape=H)),
    (ValueError, r"dy: expected shape \(B, T, 5\), got \(2, 4, 3\)", lambda: backward(dy=X)),
    (ValueError, r"dy: expected shape \(2, 4, 5\), got \(2, 3, 5\)", lambda: backward(dy=np.zeros((2, 3, 5), F32))),
    (ValueError, r"dy: expected shape \(2, 4, 5\), got \(3, 4, 5\)", lambda: backward(dy=np.zeros((3, 4, 5), F32))),
    (TypeError, r"dy: expected float32, got an array of float64", lambda: backward(dy=np.zeros((2, 4, 5)))),
    (ValueError, r"dy: expected finite numbers, got nan at \[0, 0, 0\]", lambda: backward(dy=np.full((2, 4, 5), np.nan, F32))),
    (ValueError, r"dy: expected an array, or lists of one length, got list of several lengths", lambda: backward(dy=[[1.0], [2.0, 3.0]])),
    (ValueError, r"dstate: expected shape \(1, 2, 5\), got \(1, 2, 4\)", lambda: backward(dstate=H[..., :4])),
    # Weights
    (ValueError, r"state_dict: expected the parameters of GRU\(3, 5\), got missing bias_hh_l0", lambda: load(bias_hh_l0=None)),
    (ValueError, r"state_dict: .*, got unexpected weight_ih_l0_reverse; unexpected x", lambda: load(weight_ih_l0_reverse=X, x=X)),
    (ValueError, r"state_dict: .*, got weight_ih_l0 of shape \(3, 15\) instead of \(15, 3\)", lambda: load(weight_ih_l0=np.zeros((3, 15)))),
    (ValueError, r"state_dict: .*, got missing bias_ih_l0; unexpected b; bias_hh_l0 of shape .*", lambda: load(bias_ih_l0=None, b=H, bias_hh_l0=H)),
    (ValueError, r"weight_hh_l0: expected finite numbers, got nan at \[0, 0\]", lambda: load(weight_hh_l0=np.full((15, 5), np.nan))),
    (ValueError, r"bias_ih_l0: expected finite numbers, got inf at \[0\]", lambda: load(bias_ih_l0=np.full(15, 1e300))),
    (ValueError, r"bias_ih_l0: expected an array, or lists of one length, got list of several lengths", lambda: load(bias_ih_l0=[[1.0], []])),
    (TypeError, r"bias_ih_l0: expected floats, got an array of int64", lambda: load(bias_ih_l0=np.zeros(15, np.int64))),
    # The machine
    (ValueError, r"n: expected an integer of at least 1, got 0", lambda: seqrs.set_num_threads(0)),
    (ValueError, r"n: expected a number of threads from 1 to 1024, got 1025", lambda: seqrs.set_num_threads(1025)),
    (TypeError, r"n: expected an integer, got float 2\.0", lambda: seqrs.set_num_threads(2.0)),
]  # fmt: skip


@pytest.mark.parametrize(("problem", "message", "call"), CASES, ids=[message for _, message, _ in CASES])
def test_bad_argument(problem: type[Exception], message: str, call: Callable[[], Any]) -> None:
    with pytest.raises(problem) as caught:
        call()
    assert caught.type is problem
    assert re.fullmatch(message, str(caught.value)), str(caught.value)


def test_a_failed_load_changes_nothing() -> None:
    layer = gru()
    before = layer.state_dict()
    changed = {name: value + 1 for name, value in before.items()}
    for broken in (
        {"bias_hh_l0": np.full(15, np.nan)},
        {"bias_hh_l0": np.zeros(15, int)},
        {"bias_hh_l0": np.zeros(3)},
    ):
        with pytest.raises((ValueError, TypeError)):
            layer.load_state_dict(changed | broken)
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_a_tape_is_good_for_one_backward_pass(device: str) -> None:
    layer = gru(device=device)
    y, _, tape = layer.forward(X)
    layer.backward(tape, y)
    with pytest.raises(exceptions.TapeError, match=r"^tape: "):
        layer.backward(tape, y)


def test_a_tape_belongs_to_its_layer(device: str) -> None:
    layer, twin = gru(device=device), gru(device=device)
    y, _, tape = layer.forward(X)
    with pytest.raises(exceptions.TapeError, match=r"^tape: "):
        twin.backward(tape, y)
    layer.backward(tape, y)  # and the failed attempt did not use it up


def test_a_tape_survives_a_wrong_gradient(device: str) -> None:
    layer = gru(device=device)
    y, _, tape = layer.forward(X)
    with pytest.raises(ValueError, match=r"^dy: "):
        layer.backward(tape, y[:1])
    layer.backward(tape, y)


@pytest.mark.parametrize(
    ("name", "base"),
    [("ModelFileError", ValueError), ("TapeError", RuntimeError), ("DivergenceError", ArithmeticError)],
)
def test_exceptions_are_also_builtin_ones(name: str, base: type[Exception]) -> None:
    assert issubclass(getattr(exceptions, name), base)


ODD_NUMBERS = st.sampled_from([-(2**63), -1, 0, 1, 2, 3, 2**31, 2**63, 2**64, 0.5, float("nan"), None, "x"])
# Sizes that a machine can hold, or none can: what lies between depends on the machine.
ODD_SIZES = st.sampled_from(
    [-1, 0, 1, 2, 3, 2**40, 2**63, 2**64, 0.5, float("nan"), None, "x", True, [], [2, 0]]
)
ODD_ARRAYS = st.builds(
    lambda shape, dtype, fill: np.full(shape, fill, dtype),
    st.lists(st.integers(0, 4), max_size=4).map(tuple),
    st.sampled_from(["float32", "float64", "int32", "int64", "uint8", "bool"]),
    st.sampled_from([0, 1, 100]),
)
STATES = st.none() | st.lists(ODD_ARRAYS, max_size=3).map(tuple)


@given(
    device=st.sampled_from(["cpu", "reference"]),
    x=ODD_ARRAYS,
    state=STATES,
    lengths=st.none() | ODD_ARRAYS,
    mask=st.none() | ODD_ARRAYS,
    dy=ODD_ARRAYS,
    dstate=STATES,
    step=ODD_NUMBERS,
)
def test_no_argument_makes_the_core_panic(
    device: str, x: Any, state: Any, lengths: Any, mask: Any, dy: Any, dstate: Any, step: Any
) -> None:
    """Past the facade's checks, straight into the binding: it answers, or raises an Exception.

    A panic would be a PanicException, which is no Exception, and fail this test.
    """
    network = nn.LSTM(3, 2, 2, peephole="full", dropout=0.5, device=device, seed=0).network
    _, _, tape = network.forward(np.zeros((1, 2, 3), F32), None, None, None, True, 0, 0)
    optimizer = _native.Optimizer(network.num_parameters, "float32", "sgd")
    for call in (
        lambda: network.forward(x, state, lengths, mask, True, 0, step),
        lambda: network.step(x, state),
        lambda: network.backward(tape, dy, dstate),
        lambda: network.apply(dy, optimizer, 0.1),
        lambda: network.set({"weight_hh_l0": x}),
        lambda: network.get(step),
    ):
        with suppress(ValueError, TypeError, IndexError, OverflowError):
            call()


@given(
    options=st.fixed_dictionaries(
        {},
        optional={
            "cell": st.sampled_from(["rnn", "gru", "lstm", "cnn", ""]),
            "form": st.sampled_from(["tanh", "after", "full", "none", ""]),
            "vocab_size": ODD_SIZES,
            "embedding_size": ODD_SIZES,
            "hidden_size": ODD_SIZES,
            "num_layers": ODD_NUMBERS,
            "dropout": ODD_NUMBERS,
            "dtype": st.sampled_from(["float16", "", None]),
            "device": st.sampled_from(["gpu", "", None]),
            "seed": ODD_NUMBERS,
        },
    )
)
def test_no_option_makes_the_core_panic(options: dict[str, Any]) -> None:
    defaults = {
        "cell": "gru",
        "form": "after",
        "vocab_size": 2,
        "embedding_size": None,
        "hidden_size": 2,
        "num_layers": 1,
        "dropout": 0.0,
        "dtype": "float32",
        "device": "cpu",
        "seed": 0,
    }
    with suppress(ValueError, TypeError, OverflowError, MemoryError):
        network = _native.Network.language_model(**defaults | options)
        assert network.num_parameters > 0


ODD_OPTIONS = st.sampled_from([-1, 0, 0.5, 1, 2, float("inf"), None, "tanh", "x", True, [0.5, 0.5], [0.1]])
RECURRENT = [
    "bias", "dropout", "variational", "bidirectional", "merge", "coupled", "cell_clip", "activation",
    "output_activation", "proj_size", "residual", "layer_norm", "learn_initial_state", "recurrent_dropout",
    "candidate_dropout", "weight_dropout", "zoneout", "activation_penalty", "temporal_penalty", "init",
    "forget_bias",
]  # fmt: skip
BLOCKS = st.one_of(
    st.fixed_dictionaries(
        {
            "block": st.just("recurrent"),
            "name": st.sampled_from(["", "0"]),
            "cell": st.sampled_from(["rnn", "gru", "lstm", "mingru", "minlstm"]),
            "form": st.sampled_from(["tanh", "after", "full", "none", ""]),
            "hidden_size": ODD_SIZES | st.just(2),
        },
        optional=dict.fromkeys(RECURRENT, ODD_OPTIONS),
    ),
    st.fixed_dictionaries(
        {
            "block": st.sampled_from(["embedding", "linear", "dropout", "layer_norm", "pool", "", None]),
            "name": st.sampled_from(["", "1", None]),
            "size": ODD_SIZES | st.just(2),
            "bias": st.booleans(),
            "tied": st.sampled_from([None, "weight", "nothing"]),
            "kind": st.sampled_from(["last", "attention", "x"]),
            "p": ODD_OPTIONS,
            "variational": st.booleans(),
            "eps": ODD_OPTIONS,
        },
    ),
)


@given(
    takes=st.sampled_from([{"features": 2}, {"tokens": 2}]) | st.fixed_dictionaries({"features": ODD_SIZES}),
    blocks=st.lists(BLOCKS, max_size=3),
)
def test_no_description_makes_the_core_panic(takes: Any, blocks: list[Any]) -> None:
    """What builds runs as well, on both devices."""
    spec = json.dumps({"input": takes, "blocks": blocks})
    for device in ("cpu", "reference"):
        with suppress(ValueError, MemoryError):
            network = _native.Network.build(spec, dtype="float32", device=device, seed=0)
            for x in (np.ones((2, 3, 2), F32), np.ones((2, 3), np.int32)):
                with suppress(ValueError):
                    y, _, tape = network.forward(x, None, None, None, True, 0, 0)
                    network.backward(tape, np.ones_like(y), None)


TOO_LARGE = """
import resource
import numpy as np
import seqrs

layer = seqrs.nn.RNN(512, 512, seed=0)
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
x = np.zeros((1000, 1000, 512), np.float32)
try:
    layer(x)
except ValueError as error:
    print(error)
"""


def test_a_batch_that_memory_cannot_hold() -> None:
    """An error that names it, where an allocation that fails would end the process."""
    run = subprocess.run([sys.executable, "-c", TOO_LARGE], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("batch: expected a size that fits in memory, got "), run.stdout
