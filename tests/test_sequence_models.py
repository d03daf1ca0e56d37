"""What all models of sequences do alike, shown on the classifier: data in, training, options, errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import MOODS, SENTENCES, small, walks

import seqrs
from seqrs.callbacks import Callback, Checkpoint, Samples
from seqrs.exceptions import DivergenceError

# Input


def test_a_padded_array_is_the_list_of_its_sequences() -> None:
    X, y = walks(40)
    lengths = [len(x) for x in X]
    array = np.full((40, max(lengths), 2), 7.0)
    for x, row in zip(X, array, strict=True):
        row[: len(x)] = x
    from_list, from_array = small().fit(X, y), small().fit(array, y, lengths=lengths)
    np.testing.assert_array_equal(from_list.predict_proba(X), from_array.predict_proba(array, lengths))
    with pytest.raises(ValueError, match=r"^lengths: expected None"):
        from_list.predict(X, lengths)


@pytest.mark.parametrize(
    ("X", "reads"),
    [
        ([[0.5, 1.0], [1, 2], [0.25]], (1, False)),  # one feature, without its axis
        ([[3, 1], [2], [0]], (4, True)),  # numbers of tokens
        ([[[1, 2], [3, 4]], [[5, 6]], [[7, 8]]], (2, False)),  # whole numbers as features
        (["one two", "two", "three"], (3, True)),
        ([["one", "two"], ["two"], ["three"]], (3, True)),
        (np.zeros((3, 4)), (1, False)),
        (np.array(["one two", "two", "three"]), (3, True)),
        (([1.0], [2.0], [3.0]), (1, False)),
    ],
)
def test_what_sequences_may_be(X: Any, reads: tuple[int, bool]) -> None:
    model = small(epochs=1).fit(X, ["a", "b", "a"])
    assert (model.reader.size, model.reader.reads_tokens) == reads
    assert len(model.predict(X)) == 3


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ("text", TypeError, r"^X: expected a list of sequences, got a single str"),
        ([], ValueError, r"^X: expected at least one sequence, got none"),
        ([[1.0], [], [2.0]], ValueError, r"^X\[1\]: expected at least one step"),
        (["a", "  ", "b"], ValueError, r"^X\[1\]: expected at least one step"),
        ([[1.0], [np.nan], [2.0]], ValueError, r"^X\[1\]: expected finite numbers, got nan at \[0, 0\]"),
        ([[[1.0, 2.0]], [[1.0]], [[1.0, 2.0]]], ValueError, r"^X\[1\]: expected 2 features a step, got 1"),
        ([[[1.0, 2.0]], [[1.0], [1.0, 2.0]], [[1.0, 2.0]]], ValueError, r"^X\[1\]: .* steps that differ"),
        (["a", ["b"], "c"], ValueError, r"^X: expected sequences of one kind, got strings at X\[0\] and"),
        ([1.0, 2.0, 3.0], TypeError, r"^X\[0\]: expected a sequence, got float"),
        (np.zeros(3), ValueError, r"^X: expected a padded array"),
        ([[1j], [1j], [1j]], ValueError, r"^X\[0\]: expected a str, or steps"),
        (7, TypeError, r"^X: expected a list of sequences"),
        ([[1.0], [2.0]], ValueError, r"^y: expected one for each of 2 sequences, got 3"),
    ],
)
def test_wrong_sequences_are_named(X: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        small(epochs=1).fit(X, ["a", "b", "a"])


def test_sequences_of_another_kind_than_in_training() -> None:
    words, numbers, features = (
        small(epochs=1).fit(X, [0, 1]) for X in (["a", "b"], [[0], [1]], [[0.5], [1.5]])
    )
    with pytest.raises(TypeError, match=r"^X: expected strings, as in training, got sequences of features"):
        words.predict([[0.5]])
    with pytest.raises(ValueError, match=r"^X\[0\]: expected tokens from -1 to 1, got 2"):
        numbers.predict([[2]])
    with pytest.raises(TypeError, match=r"^X: expected sequences of features \(floats\), as in training"):
        features.predict(["a"])
    with pytest.raises(ValueError, match=r"^X\[0\]: expected 1 features a step, got 2"):
        features.predict([[[0.5, 1.5]]])
    # Unknown words are the zero vector, and whole numbers may be features.
    assert words.predict(["zebra"]).shape == features.predict([[1]]).shape == (1,)


class Foreign:
    """An array of another library: a tensor that keeps its gradient, or a table, which iterates over its columns."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)
        self.kept = True

    def detach(self) -> "Foreign":
        plain = Foreign(self.values)
        plain.kept = False
        return plain

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        assert not self.kept
        return self.values

    def __iter__(self) -> Any:
        return iter(["a", "b"])


def test_arrays_of_other_libraries_are_read() -> None:
    rng = np.random.default_rng(0)
    X, lengths = rng.normal(size=(12, 4, 2)), rng.integers(1, 5, 12)
    rows = [x[:n] for x, n in zip(X, lengths, strict=True)]
    y = (X[:, 0, 0] > 0).astype(int)
    expected = small().fit(rows, y).predict_proba(rows).tolist()
    model = small().fit(Foreign(X), Foreign(y), lengths=lengths)
    assert model.predict_proba(Foreign(X), lengths).tolist() == expected
    model = small().fit(list(map(Foreign, rows)), list(map(Foreign, y)))
    assert model.predict_proba(list(map(Foreign, rows))).tolist() == expected
    assert small().fit(rows, Foreign(np.eye(2)[y])).multilabel
    steps = {"hidden_size": 4, "epochs": 1, "random_state": 0}
    numbers = seqrs.SequenceRegressor(pooling=None, **steps).fit(Foreign(X), Foreign(X))
    assert numbers.predict(Foreign(X))[0].shape == (4, 2)
    tagger = seqrs.SequenceTagger(**steps).fit(Foreign(X), Foreign(X[:, :, 0] > 0))
    assert tagger.classes_.tolist() == [False, True]
    tags = np.where(np.arange(4) < lengths[:, None], X[:, :, 0] > 0, -1)
    tagger = seqrs.SequenceTagger(**steps).fit(Foreign(X), Foreign(tags), lengths=lengths)
    assert tagger.classes_.tolist() == [0, 1]


def test_features_are_standardised() -> None:
    X, y = walks(50)
    model = small().fit(X, y)
    scaled = small().fit([x * [100, 0.01] + [5, -5] for x in X], y)
    np.testing.assert_allclose(
        model.predict_proba(X),
        scaled.predict_proba([x * [100, 0.01] + [5, -5] for x in X]),
        atol=1e-3,
    )
    plain = small(standardize=False).fit(X, y)
    assert plain.reader.mean is not None
    assert not plain.reader.mean.any()


# Training


def test_the_same_seed_gives_the_same_model_and_another_one_does_not() -> None:
    X, y = walks(60)

    def fitted(state: Any) -> np.ndarray:
        return small(random_state=state, dropout=0.3, noise=0.1, validation=0.2).fit(X, y).predict_proba(X)

    np.testing.assert_array_equal(fitted(3), fitted(3))
    assert (fitted(3) != fitted(4)).any()
    assert (fitted(None) != fitted(None)).any()
    np.testing.assert_array_equal(fitted(np.random.RandomState(1)), fitted(np.random.RandomState(1)))
    np.testing.assert_array_equal(fitted(np.random.default_rng(1)), fitted(np.random.default_rng(1)))


@pytest.mark.parametrize("monitor", ["loss", "score"])
def test_the_best_epoch_is_kept(monitor: str) -> None:
    X, y = walks(60)
    held, right = walks(30, seed=1)
    model = small(epochs=12, lr=0.2, schedule="constant", monitor=monitor)
    model.fit(X, y, validation=(held, right))
    history = model.history
    assert [result["epoch"] for result in history] == list(range(1, 13))
    if monitor == "score":
        assert model.score(held, right) == max(result["validation_score"] for result in history)
    else:
        kept = -np.log(
            [p[list(model.classes_).index(r)] for p, r in zip(model.predict_proba(held), right, strict=True)]
        )
        assert kept.mean() == pytest.approx(min(result["validation_loss"] for result in history), rel=1e-4)


def test_patience_stops_early() -> None:
    X, y = walks(40)
    noise = list(np.random.default_rng(0).permutation(y))
    model = small(epochs=200, lr=0.05, schedule="constant", patience=3, validation=0.5).fit(X, noise)
    best = np.argmin([result["validation_loss"] for result in model.history])
    assert len(model.history) == best + 1 + 3 < 200
    with pytest.raises(ValueError, match=r"^patience: expected validation data"):
        small(patience=3).fit(X, y)
    with pytest.raises(ValueError, match=r"^validation: expected enough examples"):
        small(validation=0.1).fit(X[:2], ["a", "b"])


def test_progress_is_shown_where_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = walks(20)
    small(epochs=2).fit(X, y)
    assert capsys.readouterr().err == ""
    small(epochs=2, progress=True, validation=0.2).fit(X, y)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("score" in line and "sequences/s" in line for line in lines)


def test_callbacks_see_the_run_and_may_stop_it(tmp_path: Path) -> None:
    X, y = walks(20)

    class Stop(Callback):
        def on_step(self, run: Any) -> None:
            if run.progress.update == 2:
                raise KeyboardInterrupt

    model = small(epochs=5, batch_size=5)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y, callbacks=[Stop()])
    assert len(model.predict(X)) == 20  # it has the weights so far
    small(epochs=1).fit(X, y, callbacks=[Checkpoint(tmp_path / "best.seqrs")])
    assert {path.name for path in tmp_path.iterdir()} == {"best.seqrs", "best.last.seqrs"}
    wrong: Any = Stop()
    for callbacks in wrong, [print], [Stop]:
        with pytest.raises(TypeError, match=r"^callbacks: expected"):
            model.fit(X, y, callbacks=callbacks)
    with pytest.raises(TypeError, match=r"^checkpoint: expected a path, got int 5"):
        model.fit(X, y, checkpoint=wrong and 5)
    with pytest.raises(TypeError, match=r"^Samples: expected a model that writes, got SequenceClassifier"):
        small(epochs=1).fit(X, y, callbacks=[Samples()])


def test_divergence_is_noticed() -> None:
    X, y = walks(40)
    with pytest.raises(DivergenceError):
        small(lr=1e30, clip=None, optimizer="sgd", epochs=5).fit(X, y)


def test_augmentation_is_for_training_alone() -> None:
    X, y = walks(40)
    seen: list[int] = []

    def halve(x: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        seen.append(len(x))
        return x[draw.integers(0, 2) :: 2] if len(x) > 1 else x

    model = small(epochs=2, augment=halve).fit(X, y)
    assert sorted(seen) == sorted([len(x) for x in X] * 2)
    model.predict(X)
    assert len(seen) == 80
    small(epochs=1, augment=lambda x, draw: x + draw.normal(size=x.shape)).fit(X, y)  # float64, of float32
    words = small(word_dropout=0.5, epochs=3).fit(SENTENCES, MOODS)
    assert words.predict_proba(SENTENCES).tolist() == words.predict_proba(SENTENCES).tolist()


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (
            lambda x, _: x[:0],
            r"of at least one step like .*float32 and shape \(\d+, 2\), got float32 and shape \(0, 2\)",
        ),
        (lambda x, _: x[:, 0], r"got float32 and shape \(\d+,\)"),
        (lambda _x, _: None, r"got object and shape \(\)"),
        (lambda x, _: x.astype(int), r"got int64 and shape"),
    ],
)
def test_what_augmentation_may_not_make(augment: Any, message: str) -> None:
    X, y = walks(10)
    with pytest.raises(ValueError, match=f"^augment: expected an array .*{message}"):
        small(augment=augment).fit(X, y)
    X = [x for x in X if len(x) > 1]
    options = {"augment": lambda x, _: x[1:], "epochs": 1, "random_state": 0}
    signs = [(x[:, 0] > 0).astype(int) for x in X]
    for model in seqrs.SequenceTagger(**options), seqrs.SequenceRegressor(pooling=None, **options):
        with pytest.raises(ValueError, match=r"^augment: expected an array of \d+ steps like the one"):
            model.fit(X, signs)


# Shapes at the edge


def test_sequences_of_one_step_and_a_batch_of_one() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 1, 2))
    y = (X[:, 0, 0] * X[:, 0, 1] > 0).astype(int)
    model = small(epochs=30, hidden_size=16).fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.predict(X[:1]).shape == (1,)
    one = small(batch_size=1, epochs=1).fit(X[:8], y[:8])
    assert one.predict_proba(X[:1]).shape == (1, 2)


def test_ten_thousand_steps() -> None:
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(10_000, 1)) + label for label in (0, 1, 0, 1)]
    model = small(epochs=10, pooling="mean", standardize=False).fit(X, [0, 1, 0, 1])
    assert model.predict(X).tolist() == [0, 1, 0, 1]


# Options


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"cell": "lstms"}, ValueError, '^cell: expected "lstm", "gru" or "rnn"'),
        ({"hidden_size": 0}, ValueError, "^hidden_size: expected an integer of at least 1"),
        ({"pooling": "sum"}, ValueError, "^pooling: expected"),
        ({"epochs": 1.5}, TypeError, "^epochs: expected an integer"),
        ({"dropout": 1}, ValueError, "^dropout: expected a number from 0 to below 1"),
        ({"layer_options": 3}, TypeError, "^layer_options: expected a mapping"),
        ({"augment": 3}, TypeError, "^augment: expected a function"),
        ({"noise": -1}, ValueError, "^noise: expected"),
        ({"monitor": "accuracy"}, ValueError, '^monitor: expected "loss" or "score"'),
        ({"level": "letters"}, ValueError, "^level: expected"),
        ({"hidden": 3}, TypeError, "hidden"),
    ],
)
def test_wrong_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        small(**options)


def test_options_are_read_and_set() -> None:
    model = small(pooling="mean")
    options = model.get_params()
    assert (options["pooling"], options["hidden_size"], options["lr"]) == ("mean", 8, 0.02)
    assert seqrs.SequenceClassifier(**options).get_params() == options
    assert model.set_params(hidden_size=12) is model
    assert repr(model).startswith("SequenceClassifier(pooling='mean', cell='gru', hidden_size=12")
    with pytest.raises(ValueError, match=r"^hiden: expected options of SequenceClassifier"):
        model.set_params(hiden=1)
    wrong: dict[str, Any] = {"hiden_size": 1}
    with pytest.raises(
        TypeError, match=r"^SequenceClassifier: .* 'hiden_size'; did you mean 'hidden_size'\?$"
    ):
        seqrs.SequenceClassifier(**wrong)
    with pytest.raises(ValueError, match=r"^lr: expected"):
        model.set_params(cell="rnn", lr=-1.0)
    assert model.get_params()["cell"] == "gru"  # nothing has changed


def test_layer_options_reach_the_layer() -> None:
    model = small(layer_options={"reset": "before", "recurrent_dropout": 0.2}, epochs=1)
    model.fit(SENTENCES, MOODS)
    assert "reset='before'" in str(model.network)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rest": "before"}, r"""cell="gru" has no option 'rest'; did you mean 'reset'\?"""),
        (
            {"peephole": "full"},
            r"""cell="gru" has no option 'peephole', an option of LSTM; GRU has reset, activation of its own""",
        ),
        ({"num_layers": 2}, r"""cell="gru" has no option 'num_layers'; expected .*"""),  # that is the model's
        ({3: 4}, r"""cell="gru" has no option 3; expected .*"""),
    ],
)
def test_layer_options_of_another_cell_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^layer_options: {message}$"):
        small(cell="gru", layer_options=options)


def test_use_before_fit() -> None:
    for call in (lambda m: m.predict(SENTENCES), lambda m: m.save("x"), lambda m: m.state_dict()):
        with pytest.raises(RuntimeError, match="this SequenceClassifier has learned nothing yet"):
            call(small())


def test_a_fit_that_fails_leaves_no_mixture() -> None:
    model = small(epochs=1).fit(SENTENCES, MOODS)
    with pytest.raises(ValueError, match=r"^patience: expected validation data"):
        model.set_params(patience=1).fit([[0.5], [1.5]], ["x", "y"])
    with pytest.raises(RuntimeError, match="has learned nothing yet"):
        model.predict(SENTENCES)
