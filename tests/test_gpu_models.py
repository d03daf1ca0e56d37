"""Models on a graphics processor learn what they learn on the processor, and move between the two by file.

Small models of few kinds: a software adapter compiles each kernel at its first use.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import need_gpu

import seqrs
from seqrs import losses, nn, optim

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
