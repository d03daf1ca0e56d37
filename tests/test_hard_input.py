"""What people give models by mistake, or at the edge: it works, or a clear error names the argument."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import seqrs
from seqrs.models.sequence_model import SequenceModel

rng = np.random.default_rng(0)
FEATURES = [rng.normal(size=(n, 2)) for n in (5, 3, 6, 4)]
TAGS = [list("abcbab")[: len(x)] for x in FEATURES]
WORDS = ["abc", "b", "cab", "ac"]
CHORDS = [[[1], [2]], [[1, 2]], [[2], []], [[1]]]
NAN = np.full((3, 2), np.nan)

Case = tuple[Callable[..., SequenceModel], list[Any], list[Any] | None]
MODELS: dict[str, Case] = {
    "classes": (seqrs.SequenceClassifier, FEATURES, ["u", "v", "u", "v"]),
    "label sets": (seqrs.SequenceClassifier, FEATURES, [{"u"}, {"v"}, set(), {"u", "v"}]),
    "numbers": (seqrs.SequenceRegressor, FEATURES, [1.0, 2.0, 3.0, 4.0]),
    "numbers of steps": (seqrs.SequenceRegressor, FEATURES, [x[:, 0] for x in FEATURES]),
    "tags": (seqrs.SequenceTagger, FEATURES, TAGS),
    "chain": (seqrs.SequenceTagger, FEATURES, TAGS),
    "texts": (seqrs.SequenceGenerator, WORDS, None),
    "texts of a class": (seqrs.SequenceGenerator, WORDS, ["u", "v", "u", "v"]),
    "chords": (seqrs.SequenceGenerator, CHORDS, None),
    "translations": (seqrs.Translator, WORDS, [word[::-1] for word in WORDS]),
    "speech": (seqrs.Transcriber, FEATURES, ["a", "b", "ab", "b"]),
}
OWN: dict[str, dict[str, Any]] = {
    "numbers of steps": {"pooling": None},
    "chain": {"output": "crf"},
    "texts": {"level": "char"},
    "texts of a class": {"level": "char"},
    "chords": {"output": "sigmoid"},
    "translations": {"level": "char", "metric": "exact"},
}
OF_FEATURES = [name for name, (_, X, _) in MODELS.items() if X is FEATURES]


def new(name: str, **options: Any) -> SequenceModel:
    defaults: dict[str, Any] = {"hidden_size": 4, "embedding_size": 3, "epochs": 1, "random_state": 0}
    return MODELS[name][0](**defaults | OWN.get(name, {}) | options)


@pytest.fixture(scope="module")
def fitted() -> dict[str, SequenceModel]:
    return {name: new(name).fit(X, y) for name, (_, X, y) in MODELS.items()}


def refuses(message: str, call: Callable[[], Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call()


# At the edge: all of these work.


@pytest.mark.parametrize("name", MODELS)
def test_sequences_of_one_step_and_one_sequence_alone(name: str, fitted: dict[str, SequenceModel]) -> None:
    _, X, y = MODELS[name]
    model: Any = fitted[name]
    of_class = (y and y[:1],) if name == "texts of a class" else ()
    assert len(model.predict(X[:1], *of_class)) == 1
    short = [x[:1] for x in X]
    by_step = name in ("numbers of steps", "tags", "chain", "speech")
    targets = [t[:1] for t in y] if y is not None and by_step else y
    model = new(name).fit(short, targets)
    assert len(model.predict(short, *([y] if of_class else []))) == 4
    if name == "classes":  # a class to tell from another there must be
        refuses("y: expected at least 2 classes, got 1: \\['u'\\]", lambda: new(name).fit(X[:1], y and y[:1]))
    else:
        new(name, batch_size=7).fit(X[:1], y and y[:1])


@pytest.mark.parametrize("name", MODELS)
def test_ten_thousand_steps(name: str) -> None:
    _, X, y = MODELS[name]
    times = 10_000 // len(X[0]) + 1
    X = [row * times if isinstance(row, (str, list)) else np.tile(row, (times, 1)) for row in X[:2]]
    if y is not None:
        y = y[:2]
        if name == "numbers of steps":
            y = [np.tile(row, times) for row in y]
        elif name in ("tags", "chain"):
            y = [row * times for row in y]
    model = new(name).fit(X, y, validation=(X, y))
    assert len(X[0]) >= 10_000
    assert np.isfinite([list(epoch.values()) for epoch in model.history]).all()


def test_long_sources_are_translated() -> None:
    model: Any = new("translations").fit(WORDS, WORDS)
    weights = model.state_dict()
    bias = next(name for name in weights if weights[name].shape == (len(model.target_vocabulary),))
    weights[bias][model.target_vocabulary.eos] += 99  # it ends at once
    model.load_state_dict(weights)
    ((best,),) = model.translate(["abc" * 3334], beam=1)
    assert best.attention.shape == (0, 10_002)
    assert len(best.source_tokens) == 10_002


# By mistake: each says what is wrong with what.


@pytest.mark.parametrize("name", MODELS)
def test_no_sequences_and_empty_ones(name: str, fitted: dict[str, SequenceModel]) -> None:
    _, X, y = MODELS[name]
    empty: Any = "" if isinstance(X[0], str) else []
    refuses("^X: expected at least one sequence, got none", lambda: new(name).fit([], y))
    refuses("^X: expected at least one sequence, got none", lambda: fitted[name].predict([]))
    message = r"^X\[3\]: expected at least one step, got an empty sequence"
    refuses(message, lambda: new(name).fit([*X[:3], empty], y))
    refuses(message, lambda: fitted[name].predict([*X[:3], empty]))


@pytest.mark.parametrize("name", MODELS)
def test_sequences_and_targets_of_different_number(name: str, fitted: dict[str, SequenceModel]) -> None:
    _, X, y = MODELS[name]
    labels = ["u", "v", "w"] if y is None else y[:3]
    model: Any = fitted[name]
    refuses("^y: expected one for each of 4 sequences, got 3", lambda: new(name).fit(X, labels))
    refuses("^y: expected (one|None)", lambda: model.score(X, labels))
    refuses(r"^sample_weight: expected shape \(4,\)", lambda: new(name).fit(X, y, sample_weight=[1, 2, 3]))
    if y is not None:
        refuses("^validation y: expected one for each", lambda: new(name).fit(X, y, validation=(X, y[:3])))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("X", "message"),
    [
        (None, "^X: expected a list of sequences, got NoneType"),
        (5, "^X: expected a list of sequences, got int 5"),
        ("abc", "^X: expected a list of sequences, got a single str"),
        ({"a": [1.0], "b": [2.0]}, "^X: expected a list of sequences, got dict"),
        ({"abc", "b"}, "^X: expected a list of sequences, got set"),
        (iter(["abc", "b", "a", "c"]), "^X: expected a list of sequences, got list_iterator"),
        ([{"a": "b"}] * 4, r"^X\[0\]: expected a .*got dict"),
        ([{"a", "b"}] * 4, r"^X\[0\]: expected a .*got set"),
        ([iter("ab")] * 4, r"^X\[0\]: expected a .*got str"),
        (np.ones(4), r"^X: expected a padded array .*got shape \(4,\)"),
        (np.ones((4, 2, 2, 2)), r"^X: expected a padded array .*got shape \(4, 2, 2, 2\)"),
        ([1.0, 2.0, 3.0, 4.0], r"^X\[0\]: expected a .*got float 1.0"),
        ([None] * 4, r"^X\[0\]: expected a .*got NoneType"),
    ],
)
def test_what_is_no_list_of_sequences(name: str, X: Any, message: str) -> None:
    refuses(message, lambda: new(name).fit(X, MODELS[name][2]))


@pytest.mark.parametrize("name", OF_FEATURES)
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (NAN, r"^X\[0\]: expected finite numbers, got nan at \[0, 0\]"),
        (np.array([[1.0, 2.0], [3.0, -np.inf]]), r"^X\[0\]: expected finite numbers, got -inf at \[1, 1\]"),
        ([[1.0, 2.0], [3.0]], r"^X\[0\]: expected steps with the same number of features"),
        (np.ones((3, 3)), r"^X\[[01]\]: expected [23] features a step, got [23]"),
        (np.ones((3, 2), complex), r"^X\[0\]: expected a str, or steps of shape .*got complex128"),
        (np.ones((3, 2, 2)), r"^X\[0\]: expected a str, or steps of shape .*got float64 of shape \(3, 2, 2\)"),
        (np.array([object()] * 3), r"^X\[0\]: expected a str, or steps of shape .*got object"),
        ("some text", "^X: expected sequences of (one kind|features)"),
        ([[1.0, "a"]], r"^X\[0\]: expected a str, or steps of shape"),
    ],
)  # fmt: skip
def test_steps_that_are_no_numbers(name: str, x: Any, message: str, fitted: dict[str, SequenceModel]) -> None:
    refuses(message, lambda: new(name).fit([x, *FEATURES[1:]], MODELS[name][2]))
    refuses(message, lambda: fitted[name].predict([x, *FEATURES[1:]]))


@pytest.mark.parametrize("name", ["texts", "texts of a class", "translations"])
def test_numbers_where_text_was_read(name: str, fitted: dict[str, SequenceModel]) -> None:
    refuses(
        "^X: expected strings, as in training, got sequences of features",
        lambda: fitted[name].predict(FEATURES),
    )
    refuses(
        "^X: expected sequences of one kind",
        lambda: new(name).fit([FEATURES[0], *WORDS[1:]], MODELS[name][2]),
    )


@pytest.mark.parametrize("name", ["classes", "tags", "texts"])
def test_numbers_of_tokens_that_no_table_holds(name: str) -> None:
    tokens = [np.array([2**40] + [0] * (len(x) - 1)) for x in FEATURES]
    refuses(r"^X\[0\]: expected tokens from -1 to", lambda: new(name).fit(tokens, MODELS[name][2]))
    refuses(
        r"^X\[0\]: expected tokens from -1 to",
        lambda: new(name).fit([x * 0 - 5 for x in tokens], MODELS[name][2]),
    )


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (["a b", *CHORDS[1:]], r"^X\[0\]: expected a list of steps, got str"),
        ([["C", "E"], *CHORDS[1:]], r"^X\[0\], step 0: expected a list of symbols, got str 'C'"),
        ([[[1], 2], *CHORDS[1:]], r"^X\[0\], step 1: expected a list of symbols, got int 2"),
        ([[[1], [[2]]], *CHORDS[1:]], r"^X\[0\], step 1: expected symbols, got list"),
        ([[["C"], [1]], *CHORDS[1:]], "^X: expected symbols of one kind, got 'C', 1, 2"),
        ([[[]]] * 4, "^X: expected some symbol in some step, got none"),
        ([np.full((3, 2), 0.5)] * 4, r"^X\[0\]: expected steps of 0 and 1, got other numbers"),
    ],
)
def test_steps_that_list_no_symbols(X: Any, message: str) -> None:
    refuses(message, lambda: new("chords").fit(X))


@pytest.mark.parametrize("name", [name for name, (_, _, y) in MODELS.items() if y is not None])
def test_targets_that_are_none(name: str, fitted: dict[str, SequenceModel]) -> None:
    _, X, y = MODELS[name]
    assert y is not None
    if name != "texts of a class":  # which may come without
        refuses("^y: expected", lambda: new(name).fit(X, None))
    refuses("^y: expected", lambda: new(name).fit(X, 5))
    refuses("^y: expected", lambda: new(name).fit(X, "abcd"))
    refuses("^y: expected", lambda: new(name).fit(X, iter(y)))
    refuses("^y: expected", lambda: new(name).fit(X, b"abcd"))
    refuses("^y: expected", lambda: new(name).fit(X, dict(enumerate(y))))
    refuses(r"^y(\[0\])?: expected", lambda: new(name).fit(X, [None, *y[1:]]))
    refuses(r"^y(\[0\])?: expected", lambda: new(name).fit(X, [float("nan"), *y[1:]]))
    model: Any = fitted[name]
    refuses("^y", lambda: model.score(X, [None, *y[1:]]))


@pytest.mark.parametrize("name", ["classes", "label sets", "tags", "chain", "texts of a class", "speech"])
def test_a_label_that_training_has_not_seen(name: str, fitted: dict[str, SequenceModel]) -> None:
    _, X, y = MODELS[name]
    strange: Any = {
        "classes": "w",
        "texts of a class": "w",
        "label sets": {"u", "w"},
        "speech": "aw",
    }.get(name, ["a", "w", "a", "a", "a"])
    assert y is not None
    model: Any = fitted[name]
    refuses(
        r"^y\[0\].*: expected one of the \d labels seen in training, '.*', got 'w'",
        lambda: model.score(X, [strange, *y[1:]]),
    )


@pytest.mark.parametrize("name", MODELS)
def test_validation_and_weights_that_are_none(name: str) -> None:
    _, X, y = MODELS[name]
    for validation in ("abc", (X,), (X, y, y), {"X": X}):
        refuses(
            r"^validation: expected a pair \(X, y\), a share",
            lambda validation=validation: new(name).fit(X, y, validation=validation),
        )
    refuses("^validation: expected a number, got bool True", lambda: new(name).fit(X, y, validation=True))
    refuses("^validation: expected", lambda: new(name).fit(X, y, validation=1.5))
    refuses(
        "^sample_weight: expected finite numbers of at least 0",
        lambda: new(name).fit(X, y, sample_weight=[0] * 4),
    )
    refuses(
        "^lengths: expected None, because X is no padded array", lambda: new(name).fit(X, y, lengths=[1] * 4)
    )
    held = np.zeros(4)
    for i in range(4):  # whichever is held out
        held[:] = 0
        held[i] = 1
        try:
            new(name).fit(X, y, sample_weight=held, validation=0.25)
        except ValueError as error:
            assert "sample_weight: expected some above 0 among the examples to train on" in str(error)
            break
    else:
        pytest.fail("none was held out")
