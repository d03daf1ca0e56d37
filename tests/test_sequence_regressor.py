"""Numbers for whole sequences and for steps, and the long memory that the adding problem asks for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_regressor
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_score

import seqrs
from seqrs import datasets


def small(**options: Any) -> seqrs.SequenceRegressor:
    return seqrs.SequenceRegressor(
        **({"cell": "gru", "hidden_size": 16, "epochs": 20, "lr": 0.02, "random_state": 0} | options)
    )


def means(count: int) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    X = [rng.uniform(size=(n, 2)) for n in rng.integers(1, 12, count)]
    return X, np.array([x.mean(0) * [1, 100] + [0, 1000] for x in X])


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_one_number_or_several_for_each_sequence(loss: str) -> None:
    X, y = means(200)
    model = small(loss=loss, epochs=40).fit(X, y)
    assert model.predict(X).shape == (200, 2)
    assert model.score(X, y) > 0.9
    assert model.score(X, y) == pytest.approx(r2_score(y, model.predict(X)), abs=1e-4)
    weights = np.random.default_rng(1).uniform(size=200)
    expected = r2_score(y, model.predict(X), sample_weight=weights)
    assert model.score(X, y, sample_weight=weights) == pytest.approx(expected, abs=1e-4)
    assert small(loss=loss, epochs=1).fit(X, y[:, 0]).predict(X).shape == (200,)


def test_numbers_for_every_step() -> None:
    rng = np.random.default_rng(0)
    X = [rng.normal(size=n) for n in rng.integers(1, 10, 200)]
    y = [x.cumsum() for x in X]
    model = small(pooling=None).fit(X, y)
    predicted = model.predict(X)
    assert [row.shape for row in predicted] == [row.shape for row in y]
    assert model.score(X, y) > 0.9
    expected = r2_score(np.concatenate(y), np.concatenate(predicted))
    assert model.score(X, y) == pytest.approx(expected, abs=1e-4)
    wide = small(pooling=None, epochs=1).fit(X, [np.stack([row, row], 1) for row in y])
    assert wide.predict(X[:1])[0].shape == (len(X[0]), 2)


def test_padded_targets_are_those_of_a_list() -> None:
    rng = np.random.default_rng(0)
    array, lengths = rng.normal(size=(30, 6)), rng.integers(1, 7, 30)
    targets = array.cumsum(1)
    rows = [row[:n] for row, n in zip(array, lengths, strict=True)]
    lists = small(pooling=None, epochs=2).fit(rows, [row.cumsum() for row in rows])
    padded = small(pooling=None, epochs=2).fit(array, targets, lengths=lengths)
    np.testing.assert_array_equal(np.concatenate(lists.predict(rows)), np.concatenate(padded.predict(rows)))
    with pytest.raises(ValueError, match=r"^y: expected at most 4 steps, as many as X has"):
        small(pooling=None).fit(np.zeros((6, 4, 1)), np.zeros((6, 5)))
    with pytest.raises(ValueError, match=r"^validation y: expected at most 4 steps, as many as X has"):
        small(pooling=None).fit(
            np.zeros((6, 4, 1)), np.zeros((6, 4)), validation=(np.zeros((6, 4, 1)), np.zeros((6, 5)))
        )


def test_the_adding_problem() -> None:
    X, y = datasets.adding(2000, 20, seed=0)
    held, right = datasets.adding(500, 20, seed=1)
    model = small(hidden_size=32, epochs=12, batch_size=50, standardize=False, clip=1.0).fit(X, y)
    assert np.mean((model.predict(held) - right) ** 2) < 0.01  # whoever always says 1 has 0.167


def test_a_saved_model_is_the_same(tmp_path: Path) -> None:
    X, y = means(30)
    for pooling, targets in ("center", y), (None, [x[:, 0] for x in X]):
        model = small(pooling=pooling, epochs=2).fit(X, targets)
        model.save(tmp_path / "model.seqrs")
        again = seqrs.load(tmp_path / "model.seqrs")
        assert again.get_params() == model.get_params()
        np.testing.assert_array_equal(np.concatenate(again.predict(X)), np.concatenate(model.predict(X)))


def test_early_stopping_by_the_score() -> None:
    X, y = means(60)
    model = small(epochs=6, monitor="score", validation=0.3).fit(X, y)
    assert all(result["validation_score"] <= 1 for result in model.history)


def test_inside_scikit_learn() -> None:
    X, y = means(90)
    assert is_regressor(small())
    assert clone(small(loss="huber")).get_params() == small(loss="huber").get_params()
    assert cross_val_score(small(), X, y[:, 0], cv=3).mean() > 0.5
    assert cross_val_score(small(), X, y[:, 0], cv=3, scoring="neg_mean_absolute_error").mean() > -0.15


@pytest.mark.parametrize(
    ("options", "y", "error", "message"),
    [
        ({}, [1.0], ValueError, r"^y: expected one for each of 2 sequences, got 1"),
        ({}, [1.0, np.nan], ValueError, r"^y\[1\]: expected finite numbers"),
        ({}, [1.0, "a"], TypeError, r"^y\[1\]: expected numbers, got str 'a'"),
        (
            {},
            [1.0, [1.0, 2.0]],
            ValueError,
            r"^y\[1\]: expected numbers like those of y\[0\], \(\), got \(2,\)",
        ),
        (
            {},
            [[1.0], [1.0, 2.0]],
            ValueError,
            r"^y\[1\]: expected numbers like those of y\[0\], \(1,\), got \(2,\)",
        ),
        ({"pooling": None}, [1.0, 2.0], ValueError, r"^y\[0\]: expected \(T,\) or \(T, K\)"),
        ({"pooling": None}, [[1.0], [1.0]], ValueError, r"^y\[1\]: expected numbers of shape \(2,\)"),
        (
            {"pooling": None},
            [[1.0, 2.0], [1.0, 2.0]],
            ValueError,
            r"^y\[0\]: expected numbers of shape \(1,\)",
        ),
    ],
)
def test_wrong_targets(options: dict[str, Any], y: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        small(epochs=1, **options).fit([[0.0], [1.0, 2.0]], y)


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r'^loss: expected "squared_error"'):
        small(loss="mse")
    with pytest.raises(ValueError, match=r"^pooling: expected"):
        small(pooling="none")
