"""What all models of sequences do alike, shown on the classifier: data in, training, files, errors."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqrs
from seqrs.callbacks import Callback, Checkpoint, Samples
from seqrs.exceptions import DivergenceError, ModelFileError


def walks(count: int, seed: int = 0) -> tuple[list[np.ndarray], list[str]]:
    """Random walks of different length, and whether each ends above its start."""
    rng = np.random.default_rng(seed)
    X = [rng.normal(size=(n, 2)).cumsum(0) for n in rng.integers(1, 20, count)]
    return X, ["up" if x[-1, 0] > 0 else "down" for x in X]


def small(**options: Any) -> seqrs.SequenceClassifier:
    return seqrs.SequenceClassifier(
        **({"cell": "gru", "hidden_size": 8, "epochs": 3, "lr": 0.02, "random_state": 0} | options)
    )


SENTENCES = ["good film", "a bad film", "good", "bad bad"]
MOODS = [1, 0, 1, 0]


# Input


def test_it_learns() -> None:
    X, y = walks(300)
    model = small(epochs=10).fit(X[:200], y[:200])
    assert model.score(X[200:], y[200:]) > 0.9
    proba = model.predict_proba(X[200:])
    assert proba.shape == (100, 2)
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-6)
    assert (model.classes_[proba.argmax(1)] == model.predict(X[200:])).all()


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
        ((x for x in ([1.0], [2.0], [3.0])), (1, False)),
    ],
)
def test_what_sequences_may_be(X: Any, reads: tuple[int, bool]) -> None:
    X = X if isinstance(X, np.ndarray) else list(X)
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
    words = small(word_dropout=0.5, epochs=3).fit(SENTENCES, MOODS)
    assert words.predict_proba(SENTENCES).tolist() == words.predict_proba(SENTENCES).tolist()


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


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "max+mean", "attention"])
def test_every_cell_and_pooling(cell: str, pooling: str) -> None:
    X, y = walks(150)
    model = small(
        cell=cell, pooling=pooling, num_layers=2, bidirectional=True, dropout=0.1, epochs=15, hidden_size=16
    )
    assert model.fit(X, y).score(X, y) > 0.8


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


# Files


class Halves:
    """A tokenizer of a user's own."""

    def tokenize(self, text: str) -> list[str]:
        return [text[: len(text) // 2], text[len(text) // 2 :]]

    def detokenize(self, tokens: list[str]) -> str:
        return "".join(tokens)


@pytest.mark.parametrize(
    ("X", "y", "options"),
    [
        (walks(20)[0], walks(20)[1], {"class_weight": {"up": 2.0, "down": 1}, "dtype": "float64"}),
        (SENTENCES, MOODS, {"level": "char", "validation": 0.3, "layer_options": {"reset": "none"}}),
        (SENTENCES, [{"a"}, {"b"}, set(), {"a", "b"}], {"embedding_size": None}),
        ([[1, 2], [0], [3], [1]], [2.5, 0.5, 2.5, 0.5], {"random_state": 2**63}),
        ([["a", "b"], ["b"], ["c"], ["a"]], MOODS, {"word_dropout": 0.1}),
    ],
)
def test_a_saved_model_is_the_same(X: Any, y: Any, options: dict[str, Any], tmp_path: Path) -> None:
    model = small(**options).fit(X, y)
    path = tmp_path / "model.seqrs"
    model.save(path)
    again = seqrs.load(path)
    assert type(again) is seqrs.SequenceClassifier
    assert again.get_params() == model.get_params()
    assert again.history == model.history
    assert again.classes_.tolist() == model.classes_.tolist()
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.predict(X).dtype == model.predict(X).dtype
    assert seqrs.load(path, device="reference").predict(X).tolist() == model.predict(X).tolist()


def test_a_tokenizer_of_ones_own_is_passed_again(tmp_path: Path) -> None:
    model = small(level=Halves()).fit(SENTENCES, MOODS)
    model.save(tmp_path / "model.seqrs")
    with pytest.raises(ValueError, match=r"trained with a tokenizer of its own; pass it"):
        seqrs.load(tmp_path / "model.seqrs")
    for wrong in ("word", (Halves(), 3), (Halves(),)):
        with pytest.raises(TypeError, match=r"^tokenizer: expected an object with the methods tokenize and"):
            seqrs.load(tmp_path / "model.seqrs", tokenizer=wrong)
    again = seqrs.load(tmp_path / "model.seqrs", tokenizer=Halves())
    np.testing.assert_array_equal(again.predict_proba(SENTENCES), model.predict_proba(SENTENCES))


def damaged(change: Callable[[Any], None]) -> Any:
    from seqrs.io import ModelFile

    def write(path: Path) -> None:
        file = ModelFile.read(path)
        change(file)
        file.write(path)

    return write


def _said(model: Any, X: Any, y: Any) -> list[Any]:
    """What a model predicts of its training data, as plain values, and how it scores."""
    if isinstance(model, seqrs.SequenceGenerator):
        return [np.asarray(model.sample(4, seed=0)).tolist(), model.score(X)]
    return [np.asarray(row).tolist() for row in model.predict(X)] + [model.score(X, y)]


@pytest.mark.parametrize(
    ("model", "X", "y", "then"),
    [
        (seqrs.SequenceClassifier(class_weight="balanced"), SENTENCES, MOODS, {"pooling": "mean"}),
        (
            seqrs.SequenceRegressor(),
            [[0.5, 1.0], [2.0]],
            [1.0, 3.0],
            {"pooling": None, "loss": "absolute_error"},
        ),
        (
            seqrs.SequenceTagger(output="crf", char_hidden_size=3),
            SENTENCES,
            [["O"] * len(row.split()) for row in SENTENCES[:3]] + [["X", "O"]],
            {"output": "softmax", "char_hidden_size": None, "lowercase": True},
        ),
        (seqrs.SequenceGenerator(), ["la do", "do la"], None, {"output": "sigmoid", "symbols": [1, 2]}),
        (seqrs.Transcriber(), [np.ones((5, 2)), np.zeros((4, 2))], ["ab", "b"], {"bidirectional": True}),
        (
            seqrs.Translator(metric="exact"),
            SENTENCES,
            SENTENCES,
            {"attention": "general", "decoder_layers": 2, "tied": False, "target_level": "char"},
        ),
    ],
    ids=["classifier", "regressor", "tagger", "generator", "transcriber", "translator"],
)
def test_options_of_the_next_fit_leave_the_file_as_the_model_is(
    model: Any, X: Any, y: Any, then: dict[str, Any], tmp_path: Path
) -> None:
    options = {"hidden_size": 4, "layer_options": None, "epochs": 1, "random_state": 3}
    model.set_params(**options).fit(X, y)
    before, weights = model.get_params(), model.state_dict()
    said = _said(model, X, y)
    model.set_params(cell="rnn", hidden_size=7, num_layers=2, embedding_size=5, level="byte", **then)
    model.set_params(dtype="float64", random_state=None, augment=np.copy).save(tmp_path / "model.seqrs")
    assert _said(model, X, y) == said
    again = seqrs.load(tmp_path / "model.seqrs")
    assert again.get_params() == before
    assert again.state_dict().keys() == weights.keys()
    for name, value in again.state_dict().items():
        np.testing.assert_array_equal(value, weights[name])
    again.set_params(cell="gru").save(tmp_path / "again.seqrs")  # and so of a model that was read
    assert (tmp_path / "again.seqrs").read_bytes() == (tmp_path / "model.seqrs").read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.config["options"].pop("cell"),
        lambda file: file.config["options"].update(hidden_size=10**9),
        lambda file: file.config.pop("targets"),
        lambda file: file.config["targets"]["classes"].update(values=[]),
        lambda file: file.config["reader"].update(size=3),
        lambda file: file.tensors.pop("reader.mean"),
        lambda file: file.tensors.pop("0.weight_ih_l0"),
        lambda file: file.training.pop("progress"),
    ],
)
def test_damaged_files_are_refused(change: Callable[[Any], None], tmp_path: Path) -> None:
    path = tmp_path / "model.seqrs"
    small(epochs=1).fit([[0.5], [1.5]], [0, 1]).save(path)
    damaged(change)(path)
    with pytest.raises(ModelFileError, match="the model is damaged"):
        seqrs.load(path)


def test_a_saved_model_needs_numpy_and_seqrs_alone(tmp_path: Path) -> None:
    model = small().fit(SENTENCES, MOODS)
    model.save(tmp_path / "model.seqrs")
    code = (
        "import sys, seqrs\n"
        "before = set(sys.modules)\n"
        "model = seqrs.load(sys.argv[1])\n"
        "print(model.predict(['a good film']).tolist())\n"
        "print({name.split('.')[0] for name in sys.modules} & {'sklearn', 'scipy', 'torch', 'pandas'})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model.seqrs")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [str(model.predict(["a good film"]).tolist()), "set()"]


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
