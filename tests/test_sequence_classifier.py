"""A class, or several labels, for a sequence: labels and their weights, what the class is read from."""

from typing import Any

import numpy as np
import pytest
from helpers import small, walks


def test_it_learns() -> None:
    X, y = walks(300)
    model = small(epochs=10).fit(X[:200], y[:200])
    assert model.score(X[200:], y[200:]) > 0.9
    proba = model.predict_proba(X[200:])
    assert proba.shape == (100, 2)
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-6)
    assert (model.classes_[proba.argmax(1)] == model.predict(X[200:])).all()


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "max+mean", "attention"])
def test_every_cell_and_pooling(cell: str, pooling: str) -> None:
    X, y = walks(150)
    model = small(
        cell=cell, pooling=pooling, num_layers=2, bidirectional=True, dropout=0.1, epochs=15, hidden_size=16
    )
    assert model.fit(X, y).score(X, y) > 0.8


# Labels


@pytest.mark.parametrize("labels", [["b", "a"], [5, -3], [2.5, 0.5], [True, False], np.array(["b", "a"])])
def test_labels_come_back_as_they_were(labels: Any) -> None:
    model = small(epochs=30).fit([[0.0, 0.0], [1.0, 1.0]], labels)
    assert model.predict([[0.0, 0.0], [1.0, 1.0]]).tolist() == list(labels)


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (["a", "a"], ValueError, r"^y: expected at least 2 classes, got 1: \['a'\]"),
        (["a", 1], TypeError, r"^y: expected all labels to be str, or all numbers, got 'a' and 1"),
        ([0.5, np.nan], ValueError, r"^y\[1\]: expected a finite number"),
        ([0, None], TypeError, r"^y\[1\]: expected a label"),
        ("ab", TypeError, r"^y: expected a list of labels"),
        (np.array([[0], [1]]), ValueError, r"^y: expected shape \(2,\), or 0 or 1 .* got \(2, 1\)"),
        (5, TypeError, r"^y: expected a list of labels"),
        (np.array(5), TypeError, r"^y: expected a list of labels, got an array of int64"),
    ],
)
def test_wrong_labels(y: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        small(epochs=1).fit([[0.0], [1.0]], y)


def test_a_label_outside_the_training_set() -> None:
    model = small(epochs=1).fit([[0.0], [1.0]], ["a", "b"])
    with pytest.raises(ValueError, match=r"^y\[1\]: expected one of the 2 labels .* 'a', 'b', got 'c'"):
        model.score([[0.0], [1.0]], ["a", "c"])
    with pytest.raises(ValueError, match=r"^validation y\[0\]: expected one of the 2 labels"):
        model.fit([[0.0], [1.0]], ["a", "b"], validation=([[0.0]], ["c"]))


def test_several_labels() -> None:
    X = ["cheap and good", "good", "bad", "cheap"] * 5
    y = [{"price", "praise"}, ["praise"], (), {"price"}] * 5
    model = small(epochs=30).fit(X, y)
    assert model.classes_.tolist() == ["praise", "price"]
    assert model.predict(X[:4]).tolist() == [[1, 1], [1, 0], [0, 0], [0, 1]]
    assert model.score(X, y) == 1
    assert (model.predict_proba(X[:4]) > 0.5).tolist() == (model.predict(X[:4]) == 1).tolist()
    indicator = model.predict(X)
    assert small(epochs=30).fit(X, indicator).predict(X[:4]).tolist() == model.predict(X[:4]).tolist()
    again = small(epochs=30).fit(X, indicator.tolist())  # 0 or 1 for each label, as lists
    assert again.predict(X).tolist() == indicator.tolist()
    assert again.score(X, indicator.tolist()) == 1
    numbers = small(epochs=1).fit(X, [[0], [1, 2], [], [0, 1]] * 5)  # labels that are numbers
    assert numbers.classes_.tolist() == [0, 1, 2]
    two = small(epochs=30).fit(X, [[1, 0], [0], [], [1]] * 5)  # the labels 0 and 1
    assert two.classes_.tolist() == [0, 1]
    assert (
        two.score(X[:1], [[0, 1]]) == two.score(X[:1], [{0, 1}]) == two.score(X[:1], np.array([[1, 1]])) == 1
    )
    assert two.score(X[1:3], [[0], []]) == 1
    flags = [list(row) for row in indicator == 1]  # numpy.bool_
    assert small(epochs=1).fit(X, flags).classes_.tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"^y\[0\]\[0\]: expected one of the 2 labels"):
        model.score(["good"], [{"speed"}])
    with pytest.raises(ValueError, match="expected 0 or 1 for each of 2 labels"):
        model.score(["good"], np.array([[1, 0, 1]]))


# Weights


def test_class_weights_move_the_balance() -> None:
    X = [[0.0]] * 95 + [[0.1]] * 5  # hardly to be told apart
    y = ["common"] * 95 + ["rare"] * 5
    plain = small(standardize=False, epochs=10, lr=0.02).fit(X, y).predict_proba([[0.0]])[0]
    balanced = small(standardize=False, epochs=10, lr=0.02, class_weight="balanced").fit(X, y)
    given = small(
        standardize=False, epochs=10, lr=0.02, class_weight={"rare": 10.0, "common": 100 / 190}
    ).fit(X, y)
    assert plain[1] < 0.2 < 0.4 < balanced.predict_proba([[0.0]])[0, 1] < 0.6
    np.testing.assert_allclose(given.predict_proba(X), balanced.predict_proba(X), atol=1e-6)


def test_a_sample_of_weight_zero_is_not_there() -> None:
    X, y = walks(40)
    wrong = ["up" if label == "down" else "down" for label in y]
    model = small(epochs=20, schedule="constant").fit(X + X, y + wrong, sample_weight=[1] * 40 + [0] * 40)
    assert model.score(X, y) > 0.9
    assert model.score(X + X, y + wrong, sample_weight=[0] * 40 + [1] * 40) < 0.1


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0], [1.0, np.nan]])
def test_wrong_sample_weights(weights: list[float]) -> None:
    with pytest.raises(ValueError, match=r"^sample_weight: expected"):
        small().fit([[0.0], [1.0]], [0, 1], sample_weight=weights)


def test_wrong_class_weights() -> None:
    X, y = [[0.0], [1.0]], [0, 1]
    with pytest.raises(ValueError, match=r'^class_weight: expected "balanced"'):
        small(class_weight="even")
    with pytest.raises(ValueError, match=r"^class_weight\[0\]: expected one of the 2 labels .* got 3"):
        small(class_weight={3: 1.0}).fit(X, y)
    with pytest.raises(ValueError, match=r"^class_weight\[1\]: expected a finite number of at least 0"):
        small(class_weight={1: -1.0}).fit(X, y)
    with pytest.raises(ValueError, match="some weight above 0"):
        small(class_weight={0: 0.0, 1: 0.0}).fit(X, y)
