"""Sequences written step by step: one symbol or several, of a class, from a beginning."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqrs

CHORDS = [[60, 64], [62, 65, 69], []]


def generator(output: str = "softmax", **options: Any) -> seqrs.SequenceGenerator:
    return seqrs.SequenceGenerator(
        output,
        **(
            {"cell": "gru", "level": "char", "hidden_size": 24, "epochs": 40, "lr": 0.02, "random_state": 0}
            | options
        ),
    )


@pytest.fixture(scope="module")
def writer() -> seqrs.SequenceGenerator:
    return generator().fit(["abababab", "cdcdcd"] * 40, ["ab", "cd"] * 40)


@pytest.fixture(scope="module")
def player() -> seqrs.SequenceGenerator:
    tunes = [(CHORDS * 3)[start : start + 6] for start in range(3)] * 30
    return generator("sigmoid", symbols=range(60, 72)).fit(tunes)


def test_a_sequence_of_each_class_and_its_end(writer: seqrs.SequenceGenerator) -> None:
    assert writer.classes_ is not None
    assert writer.classes_.tolist() == ["ab", "cd"]
    assert writer.sample(50, of="ab", temperature=0) == "abababab"  # it has learned where to end
    assert writer.sample(50, of="cd", temperature=0) == "cdcdcd"
    assert writer.sample(4, of="cd", temperature=0) == "cdcd"
    assert writer.predict(["ab", "cdcdcd"], ["ab", "cd"]) == ["a", None]
    assert writer.predict_proba(["ab"], ["ab"]).shape == (1, 5)


def test_samples_are_a_function_of_their_seed() -> None:
    model = generator(epochs=1).fit(["abcdefgh" * 3] * 4)
    assert model.sample(30, seed=1) == model.sample(30, seed=1)
    assert len({model.sample(30, seed=seed) for seed in range(5)}) > 1
    assert model.sample(30) != model.sample(30)


def test_samples_follow_the_probabilities() -> None:
    model = generator(epochs=0).fit(["a", "b", "b", "b"])
    rows = [model.sample(1, seed=seed) for seed in range(2000)]
    shares = np.exp([model.log_probs([text])[0][0] for text in "ab"])
    assert np.isclose([rows.count("a") / 2000, rows.count("b") / 2000], shares, atol=0.04).all()
    hot = [model.sample(1, seed=seed, temperature=100) for seed in range(2000)]
    assert hot.count("a") / 2000 == pytest.approx(1 / 3, abs=0.04)


def test_a_beginning_is_continued(writer: seqrs.SequenceGenerator, player: seqrs.SequenceGenerator) -> None:
    assert writer.sample(6, of="ab", start="aba", temperature=0) == "ababab"
    played = player.sample(4, start=[CHORDS[1]], temperature=0)
    assert played == [CHORDS[1], CHORDS[2], CHORDS[0], CHORDS[1]]
    with pytest.raises(ValueError, match=r"^start\[0\], step 0: expected symbols of the 12 known, got 59"):
        player.sample(start=[[59]])


def test_several_symbols_a_step(player: seqrs.SequenceGenerator) -> None:
    assert player.symbols_ == list(range(60, 72))
    assert player.predict([[CHORDS[0]], [CHORDS[2], CHORDS[0]]]) == [CHORDS[1], CHORDS[1]]
    roll = np.zeros((6, 12))
    for t in range(6):
        roll[t, [symbol - 60 for symbol in CHORDS[t % 3]]] = 1
    arrays = generator("sigmoid", epochs=5).fit([roll] * 10)
    assert arrays.symbols_ is None
    assert arrays.sample(3, seed=0).shape == (3, 12)
    learned = generator("sigmoid", epochs=1).fit([CHORDS])
    assert learned.symbols_ == [60, 62, 64, 65, 69]


@pytest.mark.parametrize("name", ["writer", "player"])
def test_log_probs_are_those_of_the_predictions(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    if name == "writer":
        X, y, steps = ["abcd"], ["ab"], ["a", "b", "c", "d", None]
        tokens = [*model.reader.vocabulary.tokens, None]
        expected = [
            math.log(model.predict_proba(["abcd"[:t]], y)[0, tokens.index(step)])
            for t, step in enumerate(steps)
            if t > 0
        ]
    else:
        X, y = [[*CHORDS, CHORDS[0]]], None
        expected = []
        for t in range(1, 4):
            p = model.predict_proba([X[0][:t]])[0].astype(np.float64)
            there = np.isin(range(60, 72), X[0][t])
            expected.append(np.log(np.where(there, p, 1 - p)).sum())
    (values,) = model.log_probs(X, y)
    np.testing.assert_allclose(values[1:], expected, rtol=1e-3, atol=1e-4)
    assert model.score(X, y) == pytest.approx(values.mean())


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_padded_arrays_are_the_lists_of_their_sequences(output: str) -> None:
    rng = np.random.default_rng(0)
    array, lengths = rng.integers(0, 2, (20, 5, 3)), rng.integers(1, 6, 20)
    array = array.sum(2) if output == "softmax" else array
    rows = [row[:n] for row, n in zip(array, lengths, strict=True)]
    of_list, of_array = (
        generator(output, epochs=2).fit(rows),
        generator(output, epochs=2).fit(array, lengths=lengths),
    )
    assert of_list.score(rows) == of_array.score(array, lengths=lengths)
    np.testing.assert_array_equal(of_list.predict_proba(rows), of_array.predict_proba(array, lengths=lengths))
    assert np.array_equal(of_list.predict(rows), of_array.predict(array, lengths=lengths))


def test_it_starts_from_the_frequencies() -> None:
    untrained = generator("sigmoid", epochs=0).fit([CHORDS * 3] * 5)
    (values,) = untrained.log_probs([CHORDS])
    p = np.full(5, 15.5 / 46)  # each of five symbols sounds at one step in three
    entropy = [np.log(np.where(np.isin([60, 62, 64, 65, 69], step), p, 1 - p)).sum() for step in CHORDS]
    np.testing.assert_allclose(values.mean(), np.mean(entropy), atol=0.35)


def test_losses_are_of_a_step() -> None:
    model = generator("sigmoid", epochs=3, validation=0.5).fit([CHORDS * 3] * 8)
    kept = min(model.history, key=lambda result: result["validation_loss"])
    assert model.score([CHORDS * 3]) == pytest.approx(-kept["validation_loss"], rel=1e-4)


@pytest.mark.parametrize("name", ["writer", "player"])
def test_a_saved_model_is_the_same(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    model = request.getfixturevalue(name)
    of = "ab" if name == "writer" else None
    model.save(tmp_path / "model.seqrs")
    again = seqrs.load(tmp_path / "model.seqrs")
    assert [again.sample(8, of=of, seed=seed) for seed in range(5)] == [
        model.sample(8, of=of, seed=seed) for seed in range(5)
    ]


def test_augmentation_moves_what_is_written_too() -> None:
    def up(x: np.ndarray, _: np.random.Generator) -> np.ndarray:
        return np.roll(x, 1, axis=1)

    moved = generator("sigmoid", symbols=range(60, 64), augment=up, batch_size=4)
    moved.fit([[[60]] * 6] * 20)
    assert moved.sample(4, temperature=0) == [[61]] * 4
    quiet = generator("sigmoid", symbols=range(60, 64), noise=0.5, epochs=30).fit([[[60]] * 6] * 20)
    assert quiet.sample(4, temperature=0) == [[60]] * 4


def test_wrong_arguments(writer: seqrs.SequenceGenerator, player: seqrs.SequenceGenerator) -> None:
    for error, message, call in [
        (ValueError, "^output: expected", lambda: generator("several")),
        (ValueError, "^bidirectional: expected False", lambda: generator(bidirectional=True)),
        (ValueError, "^symbols: expected None", lambda: generator(symbols=[1])),
        (ValueError, '^monitor: expected "loss"', lambda: generator(monitor="score")),
        (ValueError, "^X: expected tokens with", lambda: generator().fit([[0.5, 1.0]])),
        (
            ValueError,
            r"^X\[0\]: expected steps of 0 and 1",
            lambda: generator("sigmoid").fit([np.ones((2, 2)) / 2]),
        ),
        (ValueError, "^X: expected some symbol", lambda: generator("sigmoid").fit([[[], []]])),
        (ValueError, "^start: expected tokens .* at step 1", lambda: writer.sample(of="ab", start="az")),
        (
            ValueError,
            r"^X\[0\]: expected steps that list their symbols",
            lambda: generator("sigmoid", symbols=range(3)).fit([np.eye(3)]),
        ),
        (ValueError, "^of: expected the class of each", lambda: writer.sample()),
        (ValueError, r"^of\[0\]: expected one of the 2 labels", lambda: writer.sample(of="ef")),
        (ValueError, "^of: expected None", lambda: player.sample(of="ab")),
        (ValueError, "^length: expected", lambda: player.sample(0)),
        (ValueError, "^temperature: expected", lambda: player.sample(temperature=-1)),
        (RuntimeError, "has learned nothing yet", lambda: generator().sample()),
    ]:
        with pytest.raises(error, match=message):
            call()
