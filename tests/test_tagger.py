"""SequenceTagger: learns, decodes within its constraints, spells words, saves; gradients of all its parts."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqrs
from seqrs import decoding, losses, metrics, nn
from seqrs.exceptions import ModelFileError
from seqrs.io import ModelFile
from seqrs.losses import CRFGradients
from seqrs.models.tagging_network import Spelling, TaggingNetwork
from seqrs.models.words import LONGEST, NONE, spelled
from seqrs.text.vocabulary import Vocabulary

CITIES = ["Oslo", "Lima", "Rome", "Paris", "Kyiv"]


def trips(count: int, seed: int = 0) -> tuple[list[str], list[list[str]]]:
    """Sentences that name where from and where to, in any order, and their tags."""
    rng = np.random.default_rng(seed)
    X, y = [], []
    for _ in range(count):
        words, tags = ["fly"], ["O"]
        for kind in rng.permutation(["from", "to"]):
            words.append(str(kind))
            tags.append("O")
            city = ["New", "York"] if rng.random() < 0.3 else [str(rng.choice(CITIES))]
            words += city
            tags += [f"B-{kind}", *[f"I-{kind}"] * (len(city) - 1)]
        X.append(" ".join(words))
        y.append(tags)
    return X, y


def small(**options: Any) -> seqrs.SequenceTagger:
    defaults: dict[str, Any] = {
        "hidden_size": 16,
        "embedding_size": 16,
        "epochs": 15,
        "lr": 0.03,
        "batch_size": 8,
    }
    return seqrs.SequenceTagger(**(defaults | {"random_state": 0} | options))


OPTIONS: list[dict[str, Any]] = [
    {},
    {"output": "crf"},
    {"char_hidden_size": 8},
    {"output": "crf", "char_hidden_size": 8, "lowercase": True, "bidirectional": True, "dropout": 0.1},
    {"lowercase": True, "constraints": None},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_learns_and_comes_back_from_a_file(options: dict[str, Any], tmp_path: Path) -> None:
    X, y = trips(120)
    model = small(**options).fit(X[:80], y[:80], validation=(X[80:100], y[80:100]))
    assert model.score(X[100:], y[100:]) > 0.95
    assert model.history[-1]["validation_score"] > 0.95
    predicted = model.predict(X[100:])
    assert metrics.entity_scores(y[100:], [row.tolist() for row in predicted]).f1 == model.score(
        X[100:], y[100:]
    )
    for row, proba in zip(predicted, model.predict_proba(X[100:]), strict=True):
        assert proba.shape == (len(row), len(model.classes_))
        np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-5)

    model.save(tmp_path / "tagger.seqrs")
    again = seqrs.load(tmp_path / "tagger.seqrs")
    assert again.get_params() == model.get_params()
    for a, b in zip(
        again.predict_proba([*X, "Fly to Zagreb"]), model.predict_proba([*X, "Fly to Zagreb"]), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    same = small(**options).fit(X[:80], y[:80], validation=(X[80:100], y[80:100]))
    assert all(
        np.array_equal(a, b) for a, b in zip(same.predict_proba(X), model.predict_proba(X), strict=True)
    )


def test_a_chain_tells_what_a_step_alone_cannot() -> None:
    # Tag of a step: whether the number of ones so far is odd, which is what the tag before says too.
    rng = np.random.default_rng(0)
    X = [rng.integers(0, 2, n) for n in rng.integers(3, 12, 300)]
    y = [["odd" if odd else "even" for odd in row.cumsum() % 2] for row in X]
    model = seqrs.SequenceTagger(cell="gru", hidden_size=16, epochs=15, lr=0.02, output="crf", random_state=0)
    assert model.fit(X[:250], y[:250]).score(X[250:], y[250:]) > 0.98
    chain = model.network.chain
    assert set(chain) == {"start", "transitions", "end"}
    assert np.abs(chain["transitions"]).max() > 0.01


def test_predictions_are_well_formed() -> None:
    X, y = trips(60)
    rng = np.random.default_rng(0)
    for output in ("softmax", "crf"):
        model = small(output=output, epochs=0).fit(X, y)
        free = small(output=output, epochs=0, constraints=None).fit(X, y)
        anything = {name: rng.standard_normal(value.shape) for name, value in model.state_dict().items()}
        model.load_state_dict(anything)
        free.load_state_dict(anything)
        start, transitions, _ = decoding.bio_constraints(list(model.classes_))
        broken = 0
        for row, other in zip(model.predict(X), free.predict(X), strict=True):
            tags, loose = (np.searchsorted(model.classes_, one) for one in (row, other))
            assert start[tags[0]]
            assert transitions[tags[:-1], tags[1:]].all()
            broken += not (start[loose[0]] and transitions[loose[:-1], loose[1:]].all())
        assert broken > 0  # else the constraints had nothing to do


def test_words_that_training_has_not_seen_are_known_by_their_characters() -> None:
    rng = np.random.default_rng(0)

    def words(count: int) -> tuple[list[list[str]], list[list[str]]]:
        X = [
            ["".join(rng.choice(list("abcde"), 5)) + rng.choice(["ing", "est"]) for _ in range(4)]
            for _ in range(count)
        ]
        return X, [["verb" if word.endswith("ing") else "degree" for word in row] for row in X]

    (X, y), (new, truth) = words(100), words(20)
    assert small(char_hidden_size=8).fit(X, y).score(new, truth) > 0.95
    assert small().fit(X, y).score(new, truth) < 0.8


def test_the_score_is_that_of_entities_whatever_marks_their_ends() -> None:
    X = ["a b c d", "b c a"]
    model = small(epochs=40).fit(X, [["B-P", "I-P", "E-P", "S-Q"], ["O", "S-Q", "O"]])
    assert [row.tolist() for row in model.predict(X)] == [["B-P", "I-P", "E-P", "S-Q"], ["O", "S-Q", "O"]]
    # Of three entities here one is found, and with it three others.
    assert model.score(X, [["B-P", "E-P", "O", "S-Q"], ["O", "O", "S-Q"]]) == pytest.approx(2 / 6)
    plain = small(epochs=1).fit(X, [["N", "V", "N", "V"], ["V", "N", "N"]])
    assert 0 <= plain.score(X, [["N", "V", "N", "V"], ["V", "N", "N"]]) <= 1


def test_class_weights_make_rare_tags_count(tmp_path: Path) -> None:
    # The step says nothing: what is predicted is the tag that counts most.
    X, y = [np.zeros((4, 1))] * 20, [["common", "common", "common", "rare"]] * 20
    options: dict[str, Any] = {"cell": "rnn", "layer_options": {"bias": False}, "epochs": 20, "lr": 0.05}
    assert set(np.concatenate(small(**options).fit(X, y).predict(X))) == {"common"}
    model = small(**options, class_weight={"rare": 10.0}).fit(X, y)
    assert set(np.concatenate(model.predict(X))) == {"rare"}
    even = small(**options, class_weight="balanced").fit(X, y)
    np.testing.assert_allclose(np.concatenate(even.predict_proba(X)), 0.5, atol=0.05)
    model.save(tmp_path / "a.seqrs")
    assert seqrs.load(tmp_path / "a.seqrs").get_params() == model.get_params()


def test_features_one_step_and_padded_arrays() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 6, 2))
    lengths = rng.integers(1, 7, 60)
    y = [(row[:n, 0] > 0).astype(int) for row, n in zip(X, lengths, strict=True)]
    model = small().fit(X, y, lengths=lengths)
    assert model.score(X, y, lengths=lengths) > 0.9
    padded = np.full((60, 6), -1)
    for row, tags in zip(padded, y, strict=True):
        row[: len(tags)] = tags
    again = small().fit(X, padded, lengths=lengths)
    assert again.classes_.tolist() == [0, 1]
    assert again.score(X, padded, lengths=lengths) == model.score(X, y, lengths=lengths)
    with pytest.raises(
        ValueError, match=r"^y: expected at most 2 steps, as many as X has, got shape \(2, 3\)"
    ):
        small().fit([["a", "b"], ["b", "a"]], np.array([["X", "Y", "Z"]] * 2))
    assert [len(row) for row in model.predict(X, lengths)] == lengths.tolist()
    assert len(model.predict(X[:1, :1])[0]) == 1
    assert model.predict([X[0, :3]])[0].dtype == model.classes_.dtype


def test_long_words_are_read_from_both_ends() -> None:
    characters = Vocabulary.build("abcdefghijklmnopqrstuvwxyz")
    [row] = spelled(["a" * 30 + "z"], characters)
    assert (characters.tokens[row[0]], characters.tokens[row[-1]]) == ("a", "z")
    short, unknown = spelled(["ab", "ä"], characters)
    assert (short >= 0).sum() == 2
    assert (short == NONE).sum() == LONGEST - 2
    assert unknown[0] == -1


def test_gradients_of_all_parts_match_central_differences() -> None:
    rng = np.random.default_rng(0)
    options: Any = {"dtype": "float64"}
    characters = nn.Sequential(
        nn.Embedding(5, 3, **options), nn.LSTM(3, 2, bidirectional=True, **options), nn.Pool("max", **options)
    )
    main = nn.Sequential(nn.GRU(3 + 4, 4, **options), nn.Linear(4, 3, **options))
    network = TaggingNetwork(main, Spelling(nn.Embedding(6, 3, **options), characters), chain=True)
    words = np.full((4, 1 + LONGEST), NONE, np.int32)
    words[:, 0] = [0, 3, -1, 5]
    words[0, 1:3], words[1, 1:5], words[2, 1], words[3, 1:4] = [1, 2], [0, 4, 4, 1], -1, [2, 2, 0]
    x = words[rng.integers(0, 4, (3, 5))]
    lengths, tags = np.array([5, 2, 4]), rng.integers(0, 3, (3, 5))

    def loss() -> tuple[float, CRFGradients]:
        return losses.crf(network(x, lengths)[0], tags, **network.chain, lengths=lengths)

    network.load_state_dict({k: rng.standard_normal(v.shape) for k, v in network.state_dict().items()})
    _, _, tape = network.forward(x, lengths, 0)
    _, dchain = loss()
    gradient = network.backward(tape, dchain.emissions, dchain[1:])
    assert gradient.shape == (network.num_parameters,)

    # A step of plain gradient descent changes every weight by its gradient.
    before = network.state_dict()
    optimizer = seqrs._native.Optimizer(network.num_parameters, "float64", "sgd")
    norm = network.update(gradient, optimizer, 1.0)
    assert norm == pytest.approx(np.linalg.norm(gradient))
    moved = {name: before[name] - value for name, value in network.state_dict().items()}
    network.load_state_dict(before)
    for name, value in before.items():
        numeric = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            values = []
            for step in (1e-5, -1e-5):
                changed = value.copy()
                changed[index] += step
                network.load_state_dict(before | {name: changed})
                values.append(loss()[0])
            numeric[index] = (values[0] - values[1]) / 2e-5
        np.testing.assert_allclose(moved[name], numeric, rtol=0, atol=1e-8, err_msg=name)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    X, y = trips(10)
    small(epochs=1, output="crf").fit(X, y).save(tmp_path / "a.seqrs")
    file = ModelFile.read(tmp_path / "a.seqrs")
    del file.tensors["chain.end"]
    file.write(tmp_path / "a.seqrs")
    with pytest.raises(ModelFileError, match=r"missing chain\.end"):
        seqrs.load(tmp_path / "a.seqrs")


X, Y = trips(6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: small(output="hmm"), ValueError, 'output: expected "softmax" or "crf", got \'hmm\''),
        (
            lambda: small(char_hidden_size=0),
            ValueError,
            "char_hidden_size: expected an integer of at least 1",
        ),
        (
            lambda: small(char_hidden_size=4, embedding_size=None),
            ValueError,
            "embedding_size: expected a size beside char_hidden_size, got None",
        ),
        (
            lambda: small(char_hidden_size=4).fit(np.zeros((2, 3, 1)), [[0] * 3] * 2),
            ValueError,
            "char_hidden_size: expected None, because X is not made of words",
        ),
        (
            lambda: small(output="crf", class_weight="balanced"),
            ValueError,
            'class_weight: expected None beside output="crf", which weighs whole sequences',
        ),
        (
            lambda: small(class_weight={"O": 1, "X": 2}).fit(X, Y),
            ValueError,
            "class_weight[0]: expected one of the",
        ),
        (
            lambda: small().fit(X, [row[1:] for row in Y]),
            ValueError,
            f"y[0]: expected {len(Y[0])} tags, one for each step, got {len(Y[0]) - 1}",
        ),
        (lambda: small().fit(X, Y[1:]), ValueError, "y"),
        (lambda: small().fit(X, "O"), TypeError, "y: expected the tags of each sequence, got str 'O'"),
        (lambda: small().fit(X, ["O"] * 6), TypeError, "y[0]: expected a tag for each step, got str 'O'"),
        (
            lambda: small(constraints="bio").fit(["a b"], [["DET", "NOUN"]]),
            ValueError,
            "y: tags: expected O, or B-, I-, E-, L-, S- or U- and a kind, got 'DET' at 0; constraints=None is for",
        ),
        (
            lambda: small().fit(["a b"], [["B-X", ""]]),
            ValueError,
            "y: tags: expected O, or B-, I-, E-, L-, S- or U- and a kind, got '' at 0; constraints=None is for",
        ),
        (
            lambda: small(epochs=0).fit(X, Y).score(["fly"], [["B-via"]]),
            ValueError,
            "y[0][0]: expected one of the",
        ),
        (lambda: small().predict(X), RuntimeError, "this SequenceTagger has learned nothing yet"),
    ],
)
def test_errors_say_what_was_expected(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match="^" + re.escape(message)):
        call()
