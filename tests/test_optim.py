"""The optimizers over layers: against the equations in NumPy, resumed, clipped, scheduled."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import seqrs
from seqrs import losses, nn, optim

KINDS: list[tuple[type[optim.Optimizer], dict[str, Any]]] = [
    (optim.SGD, {}),
    (optim.SGD, {"momentum": 0.9}),
    (optim.RMSprop, {"rho": 0.9, "eps": 1e-6}),
    (optim.Adam, {"betas": (0.8, 0.99), "eps": 1e-6}),
    (optim.AdamW, {"betas": (0.8, 0.99)}),
]
IDS = ["sgd", "momentum", "rmsprop", "adam", "adamw"]
each_kind = pytest.mark.parametrize(("kind", "settings"), KINDS, ids=IDS)


class Own:
    """A layer of a user's own: nothing but weights."""

    dtype = "float64"

    def __init__(self, **weights: Any) -> None:
        self.weights = {name: np.asarray(value, self.dtype) for name, value in weights.items()}

    def state_dict(self) -> dict[str, np.ndarray]:
        return self.weights

    def load_state_dict(self, state_dict: dict[str, np.ndarray]) -> None:
        self.weights = {name: array.copy() for name, array in state_dict.items()}


def random_like(layer: Any, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {name: rng.standard_normal(w.shape).astype(w.dtype) for name, w in layer.state_dict().items()}


def in_numpy(kind: type, settings: dict[str, Any], decay: float, lr: float) -> Callable[..., Any]:
    """The equations of one optimizer, for one array."""
    beta1, beta2 = settings.get("betas", (0.9, 0.999))
    eps, rho, momentum = (settings.get(n, d) for n, d in (("eps", 1e-8), ("rho", 0.99), ("momentum", 0.0)))
    m = v = t = 0.0

    def step(w: np.ndarray, g: np.ndarray) -> np.ndarray:
        nonlocal m, v, t
        t += 1
        if kind is optim.AdamW:
            w = w - lr * decay * w
        else:
            g = g + decay * w
        if kind is optim.SGD:
            m = momentum * m + g
            return w - lr * m
        if kind is optim.RMSprop:
            v = rho * v + (1 - rho) * g**2
            return w - lr * g / (np.sqrt(v) + eps)
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        return w - lr * m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)

    return step


@each_kind
@given(data=st.data())
def test_steps_are_those_of_the_equations(kind: type, settings: dict[str, Any], data: st.DataObject) -> None:
    seed, decay = data.draw(st.integers(0, 2**32)), data.draw(st.sampled_from([0.0, 0.1]))
    rng, own = np.random.default_rng(seed), data.draw(st.booleans())
    if own:
        layer: Any = Own(a=rng.standard_normal(3), b=rng.standard_normal((2, 4)))
    else:
        layer = nn.LSTM(3, 2, 2, dtype="float64", seed=seed)
    weights = {name: np.array(w) for name, w in layer.state_dict().items()}
    opt = kind(layer, 0.05, **settings, weight_decay=decay)
    steps = {name: in_numpy(kind, settings, decay, 0.05) for name in weights}
    for n in range(4):
        gradients = random_like(layer, rng)
        norm = opt.step(gradients)
        assert norm == pytest.approx(math.sqrt(sum(np.sum(g**2) for g in gradients.values())), rel=1e-12)
        assert opt.steps == n + 1
        for name, w in weights.items():
            weights[name] = steps[name](w, gradients[name])
            np.testing.assert_allclose(layer.state_dict()[name], weights[name], rtol=1e-12, atol=1e-12)


@each_kind
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_resumes_bit_for_bit(kind: type, settings: dict[str, Any], dtype: str, tmp_path: Path) -> None:
    def start() -> tuple[nn.GRU, optim.Optimizer]:
        layer = nn.GRU(3, 5, dtype=dtype, seed=0)
        return layer, kind(layer, 0.01, **settings, schedule="cosine", total_steps=9, warmup=2, clip_norm=3.0)

    def train(layer: nn.GRU, opt: optim.Optimizer, steps: range) -> None:
        for n in steps:
            opt.step(random_like(layer, np.random.default_rng(n)))

    first, opt = start()
    train(first, opt, range(9))

    half, opt = start()
    train(half, opt, range(4))
    np.savez(tmp_path / "optimizer.npz", **opt.state_dict())
    resumed, opt = start()
    resumed.load_state_dict(half.state_dict())
    with np.load(tmp_path / "optimizer.npz") as saved:
        opt.load_state_dict(saved)
    assert opt.steps == 4
    train(resumed, opt, range(4, 9))
    for name, weight in first.state_dict().items():
        assert weight.tobytes() == resumed.state_dict()[name].tobytes(), name


def test_gradients_of_a_layer_or_by_name_are_the_same() -> None:
    x = np.random.default_rng(0).standard_normal((2, 5, 3))
    layers = [nn.LSTM(3, 4, dtype="float64", seed=0) for _ in range(2)]
    y, _, tape = layers[0].forward(x)
    gradients = layers[0].backward(tape, np.ones_like(y))
    norms = [
        optim.Adam(layers[0]).step(gradients),
        optim.Adam(layers[1]).step(dict(reversed(gradients.params.items()))),
    ]
    assert norms[0] == norms[1]
    for name, weight in layers[0].state_dict().items():
        np.testing.assert_array_equal(weight, layers[1].state_dict()[name])


def small_model() -> nn.Sequential:
    """A frozen embedding, and a tied one: of the first nothing may move, of the second all."""
    return nn.Sequential(
        nn.Embedding(7, 3, frozen=True, seed=0),
        nn.GRU(3, 4, seed=1),
        nn.Linear(4, 7, seed=2),
    )


def test_what_is_frozen_stays() -> None:
    model, twin = small_model(), small_model()
    x = np.array([[1, 2, 3], [4, 5, 6]])
    y, _, tape = model.forward(x)
    gradients = model.backward(tape, np.ones_like(y))
    adam = optim.Adam(model)
    adam.step(gradients)
    before, after = twin.state_dict(), model.state_dict()
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved == before.keys() - {"0.weight"}
    numbers = sum(before[name].size for name in moved)
    assert adam.state_dict()["exp_avg"].shape == (numbers,)
    # By name, with or without those of what is frozen.
    for extra in ({}, {"0.weight": np.ones((7, 3))}):
        other = small_model()
        optim.Adam(other).step({name: gradients.params[name] for name in moved} | extra)
        for name, weight in other.state_dict().items():
            np.testing.assert_array_equal(weight, after[name])


def test_what_is_tied_moves_together() -> None:
    def tied() -> nn.Sequential:
        return nn.Sequential(
            nn.Embedding(7, 3, seed=0),
            nn.GRU(3, 3, seed=1),
            nn.Linear(3, 7, seed=2),
            tied={"2.weight": "0.weight"},
        )

    x, models = np.array([[1, 2, 3, 1]]), [tied(), tied()]
    for model in models:
        y, _, tape = model.forward(x)
        gradients = model.backward(tape, np.ones_like(y))
        given = gradients if model is models[0] else gradients.params
        optim.SGD(model, lr=1.0).step(given)
    for name, weight in models[0].state_dict().items():
        np.testing.assert_array_equal(weight, models[1].state_dict()[name])
    expected = tied().state_dict()["0.weight"] - gradients.params["0.weight"]
    np.testing.assert_allclose(models[0].state_dict()["0.weight"], expected, rtol=1e-6)


def test_devices_agree() -> None:
    x, found = np.random.default_rng(0).standard_normal((4, 6, 3)), []
    for device in ("cpu", "reference"):
        layer = nn.LSTM(3, 5, dtype="float64", device=device, seed=0)
        opt = optim.AdamW(layer, lr=0.1, clip_norm=1.0)
        for _ in range(5):
            y, _, tape = layer.forward(x)
            opt.step(layer.backward(tape, y))
        found.append(layer.state_dict())
    for name, weight in found[0].items():
        np.testing.assert_allclose(weight, found[1][name], rtol=0, atol=1e-10)


def test_a_block_of_a_model_has_no_weights_of_its_own() -> None:
    block = nn.GRU(3, 4)
    nn.Sequential(block, nn.Linear(4, 2))
    with pytest.raises(RuntimeError, match="block 0 of a Sequential"):
        optim.Adam(block)


def test_clipping() -> None:
    layer = Own(w=[0.0, 0.0])
    sgd = optim.SGD(layer, lr=1.0, clip_value=3.0, clip_norm=1.0)
    assert sgd.step({"w": [100.0, 3.0]}) == pytest.approx(math.sqrt(18))
    np.testing.assert_allclose(layer.weights["w"], [-math.sqrt(0.5)] * 2, rtol=1e-15)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@each_kind
def test_a_gradient_that_is_not_finite_changes_nothing(
    kind: type, settings: dict[str, Any], bad: float
) -> None:
    layer = nn.RNN(2, 3, seed=0)
    opt = kind(layer, clip_value=1.0, **settings)
    opt.step(random_like(layer, np.random.default_rng(0)))
    weights, state = layer.state_dict(), opt.state_dict()
    gradients = random_like(layer, np.random.default_rng(1))
    gradients["bias_hh_l0"][1] = bad
    assert not math.isfinite(opt.step(gradients))
    assert opt.steps == 1
    for before, after in ((weights, layer.state_dict()), (state, opt.state_dict())):
        assert before.keys() == after.keys()
        for name in before:
            np.testing.assert_array_equal(before[name], after[name])


def test_rates() -> None:
    def rates(steps: int, **options: Any) -> list[float]:
        layer = Own(w=[1.0])
        opt = optim.SGD(layer, lr=0.8, **options)
        found = []
        for _ in range(steps):
            found.append(opt.lr)
            before = layer.weights["w"][0]
            opt.step({"w": [1.0]})
            assert before - layer.weights["w"][0] == pytest.approx(found[-1], abs=1e-15)
        return found

    assert rates(3) == [0.8] * 3
    assert rates(4, warmup=2) == [0.4, 0.8, 0.8, 0.8]
    assert rates(5, schedule="step", step_size=2, gamma=0.5) == [0.8, 0.8, 0.4, 0.4, 0.2]
    cosine = rates(6, schedule="cosine", total_steps=5, warmup=1, final=0.2)
    assert cosine == pytest.approx(
        [0.8, 0.8, 0.5 + 0.3 * math.sqrt(0.5), 0.5, 0.5 - 0.3 * math.sqrt(0.5), 0.2]
    )


def test_the_base_rate_may_be_changed() -> None:
    opt = optim.SGD(Own(w=[1.0]), lr=0.5, schedule="step", gamma=0.5)
    opt.step({"w": [1.0]})
    opt.base_lr = 0.1
    assert opt.lr == 0.05
    opt.base_lr = -1.0
    with pytest.raises(ValueError, match=r"^lr: expected a finite number of at least 0, got -1$"):
        opt.step({"w": [1.0]})


def test_learns_with_any_number_of_threads_the_same(thread_count: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((16, 12, 8)).astype(np.float32), rng.integers(0, 96, (16, 12))

    def train() -> tuple[list[float], list[bytes]]:
        layer = nn.GRU(8, 96, 2, seed=0)
        opt, found = optim.Adam(layer, lr=0.01, clip_norm=1.0), []
        for _ in range(10):
            logits, _, tape = layer.forward(x)
            loss, dlogits = losses.softmax_cross_entropy(logits, y)
            opt.step(layer.backward(tape, dlogits))
            found.append(loss)
        return found, [weight.tobytes() for weight in layer.state_dict().values()]

    seqrs.set_num_threads(1)
    expected = train()
    assert expected[0][-1] < expected[0][0] - 0.2
    for n in (2, 3, thread_count):
        seqrs.set_num_threads(n)
        assert train() == expected, f"{n} threads"


LAYER = nn.RNN(2, 3)
GRADIENTS = {name: np.zeros_like(w) for name, w in LAYER.state_dict().items()}
ADAM = optim.Adam(LAYER)
OF_LAYER = "gradients: expected the parameters of this RNN, got "


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: optim.Adam(LAYER, lr=-1),
            ValueError,
            "lr: expected a finite number of at least 0, got -1.0",
        ),
        (
            lambda: optim.Adam(None),
            TypeError,
            "layer: expected a layer, got NoneType without dtype, state_dict, load_state_dict",
        ),
        (lambda: optim.Adam(LAYER, lr="1"), TypeError, "lr: expected a number, got str '1'"),
        (lambda: optim.Adam(LAYER, betas=0.9), TypeError, "betas: expected a pair of numbers, got 0.9"),
        (
            lambda: optim.Adam(LAYER, betas=(0.9, 1)),
            ValueError,
            "betas: expected a number from 0 to below 1, got 1.0",
        ),
        (lambda: optim.Adam(LAYER, eps=0), ValueError, "eps: expected a finite number above 0, got 0.0"),
        (
            lambda: optim.Adam(LAYER, eps=1e-60),
            ValueError,
            "eps: expected a finite float32 number above 0, got",
        ),
        (
            lambda: optim.Adam(LAYER, clip_norm=0),
            ValueError,
            "clip_norm: expected a finite number above 0, got 0.0",
        ),
        (
            lambda: optim.Adam(LAYER, clip_value=-1),
            ValueError,
            "clip_value: expected a finite number above 0, got -1.0",
        ),
        (lambda: optim.Adam(LAYER, clip=5.0), TypeError, ".*unexpected keyword argument 'clip'"),
        (
            lambda: optim.AdamW(LAYER, weight_decay=-1),
            ValueError,
            "weight_decay: expected a finite number of at least 0, got -1.0",
        ),
        (
            lambda: optim.SGD(LAYER, momentum=1),
            ValueError,
            "momentum: expected a number from 0 to below 1, got 1.0",
        ),
        (
            lambda: optim.RMSprop(LAYER, rho=1),
            ValueError,
            "rho: expected a number from 0 to below 1, got 1.0",
        ),
        (
            lambda: optim.SGD(LAYER, schedule="linear"),
            ValueError,
            'schedule: expected "constant", "step" or "cosine", got \'linear\'',
        ),
        (
            lambda: optim.SGD(LAYER, schedule="cosine"),
            ValueError,
            'total_steps: expected the number of steps for schedule="cosine", got None',
        ),
        (
            lambda: optim.SGD(LAYER, total_steps=3, warmup=4),
            ValueError,
            "warmup: expected at most the 3 updates there are, got 4",
        ),
        (
            lambda: optim.SGD(LAYER, schedule="step", gamma=0),
            ValueError,
            "gamma: expected a finite number above 0, got 0.0",
        ),
        (
            lambda: optim.SGD(LAYER, schedule="cosine", total_steps=9, final=1),
            ValueError,
            "final: expected a rate from 0 to lr = 0.001, got 1",
        ),
        (lambda: ADAM.step({}), ValueError, OF_LAYER + "missing weight_ih_l0; missing weight_hh_l0"),
        (lambda: ADAM.step(GRADIENTS | {"w": 0}), ValueError, OF_LAYER + "unexpected w"),
        (
            lambda: ADAM.step(GRADIENTS | {"bias_ih_l0": np.zeros(2)}),
            ValueError,
            OF_LAYER + "bias_ih_l0 of shape (2,) instead of (3,)",
        ),
        (
            lambda: ADAM.step(None),
            TypeError,
            "gradients: expected what backward returned, or a mapping of names to arrays, got NoneType",
        ),
        (
            lambda: ADAM.step(np.zeros(21, np.float32)),
            TypeError,
            "gradients: expected what backward returned, or a mapping of names to arrays, got an array of float32",
        ),
        (
            lambda: ADAM.step(GRADIENTS | {"bias_ih_l0": np.zeros(3, int)}),
            TypeError,
            "bias_ih_l0: expected floats, got an array of int64",
        ),
        (
            lambda: ADAM.step(nn.Gradients(None, None, {}, np.zeros(3, np.float32))),
            ValueError,
            "gradient: expected shape (21,), got (3,)",
        ),
        (lambda: ADAM.load_state_dict({}), ValueError, 'state_dict: expected an entry "steps", got []'),
        (
            lambda: ADAM.load_state_dict({"steps": 1.5}),
            TypeError,
            "steps: expected an integer, got an array of float64",
        ),
        (
            lambda: ADAM.load_state_dict({"steps": -1}),
            ValueError,
            "steps: expected an integer of at least 0, got -1",
        ),
        (
            lambda: ADAM.load_state_dict({"steps": 1}),
            ValueError,
            'state: expected an entry "exp_avg", got none',
        ),
        (
            lambda: ADAM.load_state_dict(optim.SGD(LAYER, momentum=0.9).state_dict()),
            ValueError,
            'unknown optimizer state "momentum_buffer"; known: exp_avg, exp_avg_sq',
        ),
        (
            lambda: ADAM.load_state_dict(optim.Adam(nn.RNN(2, 4)).state_dict()),
            ValueError,
            "exp_avg: expected shape (21,), got (32,)",
        ),
        (
            lambda: ADAM.load_state_dict(optim.Adam(nn.RNN(2, 3, dtype="float64")).state_dict()),
            TypeError,
            "exp_avg: expected an array of float32, got an array of float64",
        ),
    ],
)
def test_errors_say_what_was_expected(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    pattern = message if message.startswith(".*") else re.escape(message)
    with pytest.raises(error, match="^" + pattern):
        call()
    assert ADAM.steps == 0
