"""Transcriber: learns labels without times, decodes with and without a language model, saves."""

import re
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqrs
from seqrs import losses, metrics

WORDS = ["abba", "abc", "cab", "bcb", "ca", "aaa"]
SOUND = dict(zip("abc", np.eye(3), strict=True))


def speech(count: int, seed: int = 0, noise: float = 0.3) -> tuple[list[np.ndarray], list[str]]:
    """Words, each letter of which sounds for a few steps and is followed by silence."""
    rng = np.random.default_rng(seed)
    X, y = [], []
    for word in rng.choice(WORDS, count):
        steps = [
            s for c in word for s in [SOUND[c]] * rng.integers(1, 4) + [np.zeros(3)] * rng.integers(1, 3)
        ]
        X.append(np.array(steps) + noise * rng.normal(size=(len(steps), 3)))
        y.append(str(word))
    return X, y


def small(**options: Any) -> seqrs.Transcriber:
    defaults: dict[str, Any] = {"cell": "gru", "hidden_size": 16, "epochs": 20, "lr": 0.02, "batch_size": 8}
    return seqrs.Transcriber(**(defaults | {"random_state": 0} | options))


@pytest.fixture(scope="module")
def listener() -> seqrs.Transcriber:
    return small().fit(*speech(150))


@pytest.fixture(scope="module")
def language() -> seqrs.LanguageModel:
    model = seqrs.LanguageModel("char", hidden_size=16, num_layers=2, seed=0)
    return model.fit([*WORDS] * 10, documents="line", epochs=20, lr=0.02, progress=False)


def test_it_learns(listener: seqrs.Transcriber) -> None:
    X, y = speech(50, seed=1)
    predicted = listener.predict(X)
    assert listener.score(X, y) > 0.9
    assert listener.score(X, y) == pytest.approx(1 - metrics.character_error_rate(y, predicted))
    for x, proba in zip(X, listener.predict_proba(X), strict=True):
        assert proba.shape == (len(x), 4)
        np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-5)
    assert listener.history[-1]["loss"] < listener.history[0]["loss"] / 5


def test_the_beam_finds_what_is_likelier(listener: seqrs.Transcriber) -> None:
    X, y = speech(30, seed=2, noise=0.5)
    found = listener.transcripts(X, beam_width=50, num_hypotheses=3)
    for x, row, best in zip(X, found, listener.predict(X, beam_width=50), strict=True):
        assert row[0].labels == best
        assert [h.score for h in row] == sorted((h.score for h in row), reverse=True)
        logits = np.log(listener.predict_proba([x])[0])[None]
        for h in row:
            labels = [1 + "abc".index(c) for c in h.labels]
            loss, _ = losses.ctc(logits, [labels], reduction="sum")
            assert h.log_p == pytest.approx(-loss, abs=0.01)  # the beam may have lost a few paths
    assert metrics.character_error_rate(y, listener.predict(X, beam_width=50)) < 0.5


def test_a_language_model_is_asked_for_what_it_says(
    listener: seqrs.Transcriber, language: seqrs.LanguageModel
) -> None:
    X, y = speech(30, seed=3, noise=0.9)
    rows = listener.transcripts(X, language_model=language, alpha=0.7, beta=0.3, beam_width=8)
    for row in rows:
        for h in row:
            said = language.log_prob(h.labels)  # its letters, and that it ends there
            assert h.score == pytest.approx(h.log_p + 0.7 * said + 0.3 * len(h.labels), abs=1e-4)
    heard = listener.predict(X, beam_width=8)
    understood = listener.predict(X, language_model=language, alpha=1.0, beta=1.0)
    assert metrics.character_error_rate(y, understood) < metrics.character_error_rate(y, heard)


def test_a_language_model_without_an_end_and_with_other_letters(listener: seqrs.Transcriber) -> None:
    model = seqrs.LanguageModel("char", cell="gru", hidden_size=8, num_layers=1, seed=0)
    model.fit("abba abba " * 20, epochs=1, progress=False)  # no c
    X, _ = speech(20, seed=4)
    for row in listener.transcripts(X, language_model=model, alpha=0.5):
        assert "c" not in row[0].labels
        assert row[0].score == pytest.approx(row[0].log_p + 0.5 * model.log_prob(row[0].labels), abs=1e-4)


def test_it_comes_back_from_a_file(listener: seqrs.Transcriber, tmp_path: Path) -> None:
    X, _ = speech(10, seed=5)
    listener.save(tmp_path / "listener.seqrs")
    again = seqrs.load(tmp_path / "listener.seqrs")
    assert again.get_params() == listener.get_params()
    assert again.predict(X) == listener.predict(X)
    for a, b in zip(again.predict_proba(X), listener.predict_proba(X), strict=True):
        np.testing.assert_array_equal(a, b)


def test_labels_of_any_kind_and_none(tmp_path: Path) -> None:
    X, words = speech(60)
    numbers = [[10 * ("abc".index(c) + 1) for c in word] for word in words]
    X, numbers = [*X, 0.3 * np.random.default_rng(0).normal(size=(4, 3))], [*numbers, []]
    model = small().fit(X, numbers, validation=(X[:5], numbers[:5]))
    assert model.classes_.tolist() == [10, 20, 30]
    assert model.score(X, numbers) > 0.9
    assert model.history[-1]["validation_score"] > 0.8
    predicted = model.predict(X[:3])
    assert all(isinstance(row, np.ndarray) and row.dtype.kind == "i" for row in predicted)
    model.save(tmp_path / "a.seqrs")
    assert [row.tolist() for row in seqrs.load(tmp_path / "a.seqrs").predict(X[:3])] == [
        row.tolist() for row in predicted
    ]


def test_validation_that_does_not_fit_is_left_out() -> None:
    X, y = speech(20)
    model = small(epochs=1).fit(X, y, validation=([X[0], X[0][:1]], [y[0], "abcabc"]))
    assert np.isfinite(model.history[0]["validation_loss"])
    assert model.score([X[0][:1]], ["abcabc"]) <= 1 / 6


def test_it_speaks_from_a_sound_file_on(tmp_path: Path) -> None:
    """From WAV files over log-mel features to digits: two tones are two labels."""
    rng = np.random.default_rng(0)
    X, y = [], []
    for i in range(80):
        word = "".join(rng.choice(list("01"), rng.integers(1, 4)))
        parts = []
        for digit in word:
            time = np.arange(rng.integers(600, 900)) / 8000
            parts += [
                np.sin(2 * np.pi * (400 if digit == "0" else 1200) * time),
                np.zeros(rng.integers(400, 600)),
            ]
        with wave.open(str(tmp_path / f"{i}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
            file.writeframes((20_000 * np.concatenate(parts)).astype("<i2").tobytes())
        samples, rate = seqrs.features.read_audio(tmp_path / f"{i}.wav")
        X.append(seqrs.features.log_mel(samples, rate, bands=20, window=0.04, step=0.02))
        y.append(word)
    assert small(batch_size=4, lr=0.01).fit(X[:70], y[:70]).score(X[70:], y[70:]) > 0.9


X, Y = speech(6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: small().fit(X, "abc"), TypeError, "y: expected the labels of each sequence, got str 'abc'"),
        (lambda: small().fit(X, [1] * 6), TypeError, "y[0]: expected a str or a list of labels, got int 1"),
        (lambda: small().fit(X, [""] * 6), ValueError, "y: expected some labels, got none"),
        (lambda: small().fit(X, Y[1:]), ValueError, "y: expected one for each of 6 sequences, got 5"),
        (
            lambda: small().fit([X[0][:3], X[1]], ["abb", "a"]),
            ValueError,
            "y[0]: expected labels that fit into the 3 steps of X[0], one a step and one more between equal "
            "ones, got 3 that need 4",
        ),
        (
            lambda: small(epochs=0).fit(X, Y).score(X[:1], ["abx"]),
            ValueError,
            "y[0][2]: expected one of the 3 labels seen in training, 'a', 'b', 'c', got 'x'",
        ),
        (
            lambda: small(epochs=0).fit(X, Y).predict(X, beam_width=0),
            ValueError,
            "beam_width: expected an integer of at least 1, got 0",
        ),
        (
            lambda: small(epochs=0).fit(X, Y).predict(X, language_model=seqrs.LanguageModel("word")),
            ValueError,
            "language_model: expected one of level \"char\", got 'word'",
        ),
        (
            lambda: (
                small(epochs=0)
                .fit(X, [["one", "two"]] * 6)
                .predict(X, language_model=seqrs.LanguageModel("char"))
            ),
            ValueError,
            "language_model: expected labels of one character each, got ['one', 'two']",
        ),
        (
            lambda: small(epochs=0).fit(X, Y).predict(X, language_model=5),
            TypeError,
            "language_model: expected a LanguageModel or a function, got int 5",
        ),
        (lambda: small().predict(X), RuntimeError, "this Transcriber has learned nothing yet"),
    ],
)
def test_errors_say_what_was_expected(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match="^" + re.escape(message)):
        call()
