"""Models of sequences in files: the same again, by the options they were fitted with, and damaged ones refused."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import MOODS, SENTENCES, small, walks

import seqrs
from seqrs.exceptions import ModelFileError


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
