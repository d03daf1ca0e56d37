"""Models on a graphics processor learn what they learn on the processor, and move between the two by file.

Small models of few kinds: a software adapter compiles each kernel at its first use.
"""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import need_gpu

import seqrs
from seqrs import _native, losses, nn, optim
from seqrs.callbacks import Callback
from seqrs.exceptions import DivergenceError
from seqrs.io import ModelFile
from seqrs.training import Trainer

FIT: dict[str, Any] = {"hidden_size": 8, "epochs": 2, "batch_size": 4, "validation": 0, "random_state": 0}
RNG = np.random.default_rng(0)
X = [RNG.standard_normal((n, 3)).astype(np.float32) for n in (5, 3, 7, 4, 6, 2, 5, 3)]
WORDS = [["from", "Oslo", "to", "Rome"], ["to", "Lima"]] * 4
TAGS = [["O", "B-from", "O", "B-to"], ["O", "B-to"]] * 4
TUNES = [["C", "E", "G"], ["A", "C", "E", "A"]] * 4
# Name: the class, what it is told beside FIT, and what it learns from.
MODELS: dict[str, tuple[Any, dict[str, Any], tuple[Any, Any]]] = {
    "classes": (seqrs.SequenceClassifier, {"pooling": "attention"}, (X, [0, 1] * 4)),
    "labels": (seqrs.SequenceClassifier, {}, (X, [[0, 1], [1, 1]] * 4)),
    "numbers": (seqrs.SequenceRegressor, {"bidirectional": True}, (X, RNG.standard_normal(8))),
    "tags": (seqrs.SequenceTagger, {}, (WORDS, TAGS)),
    "chains of tags": (seqrs.SequenceTagger, {"output": "crf"}, (WORDS, TAGS)),
    "symbols": (seqrs.SequenceGenerator, {}, (TUNES, None)),
    "labels without times": (seqrs.Transcriber, {}, ([np.tile(x, (2, 1)) for x in X], ["ab", "a"] * 4)),
    "translations": (seqrs.Translator, {"level": "char"}, (["ab", "bca", "cab", "ba"] * 2, ["b", "a", "c", "a"] * 2)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def adapter() -> None:
    need_gpu()


@pytest.mark.parametrize("name", MODELS)
def test_a_model_learns_the_same_on_both(name: str, tmp_path: Path) -> None:
    kind, options, (x, y) = MODELS[name]
    fitted = [kind(**FIT | options, device=device).fit(x, y) for device in ("gpu", "cpu")]
    on_gpu, on_cpu = ([epoch["loss"] for epoch in model.history] for model in fitted)
    assert on_gpu == pytest.approx(on_cpu, rel=1e-4)
    fitted[0].save(tmp_path / "model.seqrs")
    moved = seqrs.load(tmp_path / "model.seqrs", device="cpu")
    assert moved.device == "cpu"
    for key, weight in moved.state_dict().items():
        assert (weight == fitted[0].state_dict()[key]).all(), key
    if name != "symbols":
        assert moved.score(x, y) == pytest.approx(fitted[0].score(x, y), abs=1e-4)


def test_a_language_model_learns_writes_and_moves(tmp_path: Path) -> None:
    options: dict[str, Any] = {"hidden_size": 16, "num_layers": 1, "embedding_size": None, "seed": 0}
    fit: dict[str, Any] = {"seq_len": 10, "batch_size": 4, "epochs": 3, "validation": 0, "progress": False}
    text = "do re mi fa so la ti " * 20
    fitted = [seqrs.LanguageModel(**options, device=device).fit(text, **fit) for device in ("gpu", "cpu")]
    on_gpu, on_cpu = ([epoch["loss"] for epoch in model.history] for model in fitted)
    assert on_gpu == pytest.approx(on_cpu, rel=1e-4)
    assert fitted[0].sample(30, seed=1) == fitted[1].sample(30, seed=1)
    assert fitted[0].perplexity(text) == pytest.approx(fitted[1].perplexity(text), rel=1e-4)
    path = tmp_path / "model.seqrs"
    fitted[0].save(path)
    assert seqrs.load(path).device == "gpu"
    assert seqrs.load(path, device="cpu").sample(30, seed=1) == fitted[0].sample(30, seed=1)


def test_a_loop_of_ones_own() -> None:
    def learn(device: str) -> list[float]:
        model = nn.Sequential(
            nn.GRU(2, 5, seed=0, device=device), nn.Pool("last", device=device), nn.Linear(5, 2, seed=0, device=device)
        )  # fmt: skip
        adam = optim.Adam(model, lr=0.01, clip_norm=1.0)
        x = np.random.default_rng(1).standard_normal((8, 6, 2), dtype=np.float32)
        told = []
        for _ in range(4):
            logits, _, tape = model.forward(x)
            loss, dlogits = losses.softmax_cross_entropy(logits, (x.sum(axis=(1, 2)) > 0).astype(int))
            adam.step(model.backward(tape, dlogits))
            told.append(float(loss))
        return told

    assert learn("gpu") == pytest.approx(learn("cpu"), rel=1e-4)


# Training without a look at every step

# An epoch of 40 steps that carry their state, an epoch of 33 on the way.
TEXT = "do re mi fa so la ti " * 40
LATE: dict[str, Any] = {"seq_len": 5, "batch_size": 4, "epochs": 2, "validation": 0, "progress": False}


class Losses(Callback):
    """Looks at every step."""

    def __init__(self) -> None:
        self.values: list[tuple[float, float]] = []

    def on_step(self, run: Trainer) -> None:
        self.values.append((run.loss, run.norm))


class Poison(Callback):
    """Spoils the weights after some update."""

    def __init__(self, update: int) -> None:
        self.update = update

    def on_step(self, run: Trainer) -> None:
        if run.progress.update == self.update:
            bias = run.model.weights()["head.bias"]
            run.model.set_weights({"head.bias": np.full_like(bias, np.nan)})


class Interrupt(Callback):
    """Ctrl-C after some update."""

    def __init__(self, update: int) -> None:
        self.update = update

    def on_step(self, run: Trainer) -> None:
        if run.progress.update == self.update:
            signal.raise_signal(signal.SIGINT)


def language_model(device: str = "gpu") -> seqrs.LanguageModel:
    return seqrs.LanguageModel(hidden_size=8, num_layers=1, dropout=0.1, seed=0, device=device)


def bits(model: seqrs.LanguageModel) -> dict[str, bytes]:
    return {name: weight.tobytes() for name, weight in model.state_dict().items()}


def test_the_host_looks_every_16_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Any] = []
    known: list[int] = []
    learn = seqrs.LanguageModel.learn

    def noted(model: seqrs.LanguageModel, *given: Any) -> Any:
        outcome, state = learn(model, *given)
        assert isinstance(state, _native.State)
        begun.append(outcome)
        known.append(sum(one.known for one in begun))
        return outcome, state

    looking = Losses()
    with_looks = language_model().fit(TEXT, **LATE, callbacks=[looking])
    monkeypatch.setattr(seqrs.LanguageModel, "learn", noted)
    without = language_model().fit(TEXT, **LATE)
    steps = len(begun) // 2
    assert steps > 32
    # At the end of an epoch it looks too; what is known counts from there.
    assert known == [epoch * steps + (step + 1) // 16 * 16 for epoch in range(2) for step in range(steps)]
    assert [(one.loss, one.norm) for one in begun] == looking.values
    assert without.history == with_looks.history
    assert bits(without) == bits(with_looks)


def test_a_loss_that_is_not_finite_is_told_of_its_own_step() -> None:
    told, left = [], []
    for device in ("gpu", "cpu"):
        model = language_model(device)
        with pytest.raises(DivergenceError) as caught:
            model.fit(TEXT, **LATE, callbacks=[Poison(21)])
        told.append(str(caught.value))
        left.append(model._progress.update)
    assert told[0] == told[1]
    assert "diverged at update 22 (epoch 1): the loss is nan" in told[0]
    assert left == [21, 21]


@pytest.fixture
def listens_to_ctrl_c() -> Iterator[None]:
    """What a shell runs in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listens_to_ctrl_c")
def test_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole = language_model().fit(TEXT, **LATE)
    path = tmp_path / "model.seqrs"
    with pytest.raises(KeyboardInterrupt):
        language_model().fit(TEXT, **LATE, checkpoint=path, callbacks=[Interrupt(23)])
    file = ModelFile.read(str(tmp_path / "model.last.seqrs"))
    assert file.training["optimizer_steps"] == "23"
    resumed = seqrs.LanguageModel.resume(tmp_path / "model.last.seqrs", TEXT, progress=False)
    assert bits(resumed) == bits(whole)
    assert resumed.history == whole.history


def test_a_state_of_the_device_is_a_value() -> None:
    model = language_model().fit(TEXT, **LATE | {"epochs": 0})
    network, adam = model.network, _native.Optimizer(model.network.num_trainable, "float32", "adam")
    tokens = np.arange(20, dtype=np.int32).reshape(4, 5) % 7

    def step(state: Any) -> tuple[Any, Any]:
        return network.train_step(tokens, tokens, None, state, adam, 0.0, 0, 0)

    first, state = step(None)
    assert not first.known
    assert repr(first) == "Outcome(not known yet)"
    arrays = tuple(state)
    assert len(state) == len(arrays) == 2
    losses = [step(given)[0].loss for given in (state, arrays, state, None)]
    assert losses[0] == losses[1] == losses[2]
    assert losses[3] == first.loss != losses[0]
    assert first.known
    assert repr(first) == f"Outcome(loss={first.loss}, norm={first.norm})"
    with pytest.raises(ValueError, match="state: expected shape of 16 numbers for each of 2 rows"):
        network.train_step(tokens[:2], tokens[:2], None, state, adam, 0.0, 0, 0)
    # Elsewhere it comes by way of the host.
    on_cpu = (
        seqrs.LanguageModel(hidden_size=8, num_layers=1, seed=0).fit(TEXT, **LATE | {"epochs": 0}).network
    )
    after, _ = on_cpu.train_step(tokens, tokens, None, state, adam, 0.0, 0, 0)
    assert after.known
