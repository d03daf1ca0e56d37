"""The models of sequences: a training that was stopped goes on as if it never had been."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqrs
from seqrs.callbacks import Callback, Checkpoint
from seqrs.exceptions import ModelFileError
from seqrs.models.sequence_model import SequenceModel
from seqrs.training import Trainer

COMMON: dict[str, Any] = {
    "hidden_size": 6, "embedding_size": 4, "batch_size": 5, "epochs": 3, "dropout": 0.2, "lr": 0.01, "random_state": 3
}  # fmt: skip
UPDATES = 9  # of 12 examples to train on, five a step, three epochs


class PowerCut(BaseException):
    pass


class StopAt(Callback):
    """An exception that nothing handles, after some update."""

    def __init__(self, update: int) -> None:
        self.update = update

    def on_step(self, run: Trainer) -> None:
        if run.progress.update == self.update:
            raise PowerCut


def features(count: int = 15) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(n, 2)) for n in rng.integers(4, 9, count)]


def words(count: int = 15) -> list[str]:
    rng = np.random.default_rng(1)
    return ["".join(rng.choice(list("abc"), n)) for n in rng.integers(2, 6, count)]


def sentences() -> list[list[str]]:
    return [list(word) for word in words()]


def shaken(row: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    return row * draw.uniform(0.9, 1.1)


CASES: dict[str, tuple[type[SequenceModel], dict[str, Any], Any, Any]] = {
    "classes": (seqrs.SequenceClassifier, {"class_weight": "balanced"}, features(), ["u", "v", "v"] * 5),
    "numbers": (seqrs.SequenceRegressor, {"noise": 0.1}, features(), np.arange(15.0)),
    "tags": (
        seqrs.SequenceTagger,
        {"output": "crf", "char_hidden_size": 3, "word_dropout": 0.3},
        sentences(),
        [[letter.upper() for letter in row] for row in sentences()],
    ),
    "tags alone": (
        seqrs.SequenceTagger,
        {"class_weight": {"A": 2.0}},
        sentences(),
        [[letter.upper() for letter in row] for row in sentences()],
    ),
    "texts": (seqrs.SequenceGenerator, {"level": "char"}, words(), ["one", "two", "two"] * 5),
    "chords": (seqrs.SequenceGenerator, {"output": "sigmoid"}, [[[1, 2], [3]], [[2], [], [1, 3]]] * 7 + [[[1]]], None),
    "translations": (
        seqrs.Translator,
        {"level": "char", "teacher_forcing": 0.5, "label_smoothing": 0.1},
        words(),
        [word[::-1] for word in words()],
    ),
    "speech": (seqrs.Transcriber, {}, features(), [word[:2] for word in words()]),
}  # fmt: skip


def same(one: SequenceModel, two: SequenceModel) -> bool:
    weights = two.state_dict()
    return all((value == weights[name]).all() for name, value in one.state_dict().items())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("validation", [0.2, None])
def test_resuming_is_as_if_never_stopped(case: str, validation: float | None, tmp_path: Path) -> None:
    kind, own, X, y = CASES[case]
    options = COMMON | own | {"validation": validation}
    weights = np.linspace(0.5, 2, len(X))
    whole = kind(**options).fit(X, y, sample_weight=weights, checkpoint=tmp_path / "whole.seqrs")
    for cut in (1, 5, UPDATES - 1):
        path = tmp_path / f"cut{cut}.seqrs"
        every_step = Checkpoint(path, seconds=0.0)
        with pytest.raises(PowerCut):
            kind(**options).fit(X, y, sample_weight=weights, callbacks=[every_step, StopAt(cut)])
        last = tmp_path / f"cut{cut}.last.seqrs"
        resumed = kind.resume(last, X, y, sample_weight=weights, output=path)
        assert same(resumed, whole)
        assert resumed.history == whole.history
        assert path.read_bytes() == (tmp_path / "whole.seqrs").read_bytes()
        assert last.read_bytes() == (tmp_path / "whole.last.seqrs").read_bytes()
    assert same(seqrs.load(tmp_path / "whole.seqrs"), whole)
    assert same(kind.resume(tmp_path / "whole.last.seqrs", X, y), whole)  # finished: read, no more


def stopped(tmp_path: Path, **options: Any) -> Path:
    """Return a checkpoint of a classifier, stopped after two steps."""
    path = tmp_path / "model.seqrs"
    kind, own, X, y = CASES["classes"]
    with pytest.raises(PowerCut):
        kind(**COMMON | own | options).fit(X, y, callbacks=[Checkpoint(path, seconds=0.0), StopAt(2)])
    return tmp_path / "model.last.seqrs"


def test_a_seed_of_any_kind_is_in_the_checkpoint(tmp_path: Path) -> None:
    _, _, X, y = CASES["classes"]
    last = stopped(tmp_path, random_state=None)
    runs = [seqrs.SequenceClassifier.resume(last, X, y) for _ in range(2)]
    assert same(*runs)
    last = stopped(tmp_path, random_state=np.random.RandomState(5))
    whole = seqrs.SequenceClassifier(
        **COMMON | {"class_weight": "balanced", "random_state": np.random.RandomState(5)}
    )
    assert same(seqrs.SequenceClassifier.resume(last, X, y), whole.fit(X, y))


def test_what_augments_is_passed_again(tmp_path: Path) -> None:
    _, own, X, y = CASES["classes"]
    whole = seqrs.SequenceClassifier(**COMMON | own | {"augment": shaken}).fit(X, y)
    last = stopped(tmp_path, augment=shaken)
    with pytest.raises(ValueError, match="augment: expected the function that training began with, got None"):
        seqrs.SequenceClassifier.resume(last, X, y)
    assert same(seqrs.SequenceClassifier.resume(last, X, y, augment=shaken), whole)
    with pytest.raises(ValueError, match="augment: expected None, as in training"):
        seqrs.SequenceClassifier.resume(stopped(tmp_path), X, y, augment=shaken)


@pytest.mark.parametrize(
    "change",
    [
        lambda X, y: ([2 * X[0], *X[1:]], y, {}),
        lambda X, y: (X, [*y[1:], y[0]], {}),
        lambda X, y: (X[:-1], y[:-1], {}),
        lambda X, y: (X, y, {"sample_weight": np.arange(15)}),
        lambda X, y: (X, y, {"validation": 0.3}),
        lambda X, y: (X, y, {"validation": (X[:3], y[:3])}),
    ],
)
def test_other_data_are_refused(change: Callable[[Any, Any], Any], tmp_path: Path) -> None:
    _, _, X, y = CASES["classes"]
    last = stopped(tmp_path)
    X, y, more = change(X, y)
    with pytest.raises(ValueError, match="these are not the examples that this training began with"):
        seqrs.SequenceClassifier.resume(last, X, y, **more)


def test_validation_data_are_given_again(tmp_path: Path) -> None:
    kind, own, X, y = CASES["classes"]
    held: Any = (X[:4], y[:4])
    whole = kind(**COMMON | own).fit(X, y, validation=held)
    path = tmp_path / "model.seqrs"
    with pytest.raises(PowerCut):
        kind(**COMMON | own).fit(X, y, validation=held, callbacks=[Checkpoint(path, seconds=0.0), StopAt(5)])
    resumed = kind.resume(tmp_path / "model.last.seqrs", X, y, validation=held)
    assert same(resumed, whole)
    assert resumed.history == whole.history
    with pytest.raises(ValueError, match="X, y, validation: these are not"):
        kind.resume(tmp_path / "model.last.seqrs", X, y)


def test_resuming_needs_a_checkpoint_of_such_a_model(tmp_path: Path) -> None:
    kind, own, X, y = CASES["classes"]
    path = tmp_path / "model.seqrs"
    kind(**COMMON | own).fit(X, y).save(path)
    with pytest.raises(ModelFileError, match=r"model\.seqrs: a model, but no checkpoint"):
        kind.resume(path, X, y)
    last = stopped(tmp_path)
    with pytest.raises(ModelFileError, match="expected a sequence_tagger, got a sequence_classifier"):
        seqrs.SequenceTagger.resume(last, X, y)
    with pytest.raises(ModelFileError):
        seqrs.LanguageModel.resume(last)
    data = last.read_bytes()
    for damaged in (b'\\"data\\":', b'\\"lr\\":'):
        assert damaged in data
        last.write_bytes(data.replace(damaged, damaged.upper()))
        with pytest.raises(ModelFileError, match="damaged"):
            kind.resume(last, X, y)
