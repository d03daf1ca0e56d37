"""The training loop: it stops where it should, keeps the best, and resumes to the bit."""

import functools
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tqdm

import seqrs
from seqrs import LanguageModel
from seqrs.callbacks import Callback, Checkpoint, ProgressBar, ProgressLines, Samples
from seqrs.exceptions import DivergenceError, ModelFileError
from seqrs.training import Trainer

POEM = "".join(f"{a} {b} and {c}.\n" for a, b, c in itertools.product(["red", "blue", "wet"], repeat=3))
SMALL: dict[str, Any] = {"hidden_size": 12, "num_layers": 2, "dropout": 0.2, "seed": 5}
FIT: dict[str, Any] = {"epochs": 3, "seq_len": 16, "batch_size": 4, "progress": False}


class StopAt(Callback):
    """Stands for a power cut: an exception that nothing handles, after some update."""

    def __init__(self, update: int, error: BaseException) -> None:
        self.update = update
        self.error = error

    def on_step(self, run: Trainer) -> None:
        if run.progress.update == self.update:
            raise self.error


class PowerCut(BaseException):
    pass


class EveryStep(Checkpoint):
    """Writes the checkpoint after each step."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, seconds=0.0)


def same(one: LanguageModel, two: LanguageModel) -> bool:
    weights = two.state_dict()
    return all((value == weights[name]).all() for name, value in one.state_dict().items())


# Resuming


@pytest.mark.parametrize("documents", ["file", "line"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_resuming_is_as_if_never_stopped(documents: str, cell: str, optimizer: str, tmp_path: Path) -> None:
    options = {
        **FIT,
        "documents": documents,
        "optimizer": optimizer,
        "warmup": 3,
        "momentum": 0.9 * (optimizer == "sgd"),
    }
    options["seq_len"] = 16 if documents == "file" else 7  # lines longer than a window too
    whole = LanguageModel(cell=cell, **SMALL)
    whole.fit(POEM, **options, checkpoint=tmp_path / "whole.seqrs")
    updates = len(whole.history) * 3
    for cut in (1, updates // 2, updates - 1):
        path = tmp_path / f"cut{cut}.seqrs"
        with pytest.raises(PowerCut):
            LanguageModel(cell=cell, **SMALL).fit(
                POEM, **options, callbacks=[EveryStep(path), StopAt(cut, PowerCut())]
            )
        last = tmp_path / f"cut{cut}.last.seqrs"
        resumed = LanguageModel.resume(last, POEM, output=path, progress=False)
        assert same(resumed, whole)
        assert resumed.history == whole.history
        assert path.read_bytes() == (tmp_path / "whole.seqrs").read_bytes()
        assert last.read_bytes() == (tmp_path / "whole.last.seqrs").read_bytes()


def test_resuming_reads_the_files_again_and_refuses_changed_ones(tmp_path: Path) -> None:
    text, held, model = tmp_path / "poem.txt", tmp_path / "held.txt", tmp_path / "m.seqrs"
    text.write_text(POEM)
    held.write_text(POEM[:200])
    stop = StopAt(4, PowerCut())
    with pytest.raises(PowerCut):
        LanguageModel(**SMALL).fit(text, validation=held, **FIT, checkpoint=model, callbacks=[stop])
    last = tmp_path / "m.last.seqrs"
    assert len(LanguageModel.resume(last, progress=False).history) == 3
    held.write_text(POEM[:201])
    with pytest.raises(ValueError, match=r"text: .*poem\.txt is not what this training began with"):
        LanguageModel.resume(last, progress=False)
    held.write_text(POEM[:200])
    text.write_text(POEM.replace("red", "bed", 1))
    with pytest.raises(ValueError, match="is not what this training began with"):
        LanguageModel.resume(last, progress=False)
    text.unlink()
    with pytest.raises(FileNotFoundError):
        LanguageModel.resume(last, progress=False)


def test_resuming_what_had_finished_does_nothing(tmp_path: Path) -> None:
    path, last = tmp_path / "m.seqrs", tmp_path / "m.last.seqrs"
    model = LanguageModel(**SMALL).fit(POEM, **FIT, checkpoint=path)
    before = last.read_bytes()
    assert same(LanguageModel.resume(last, progress=False), model)  # not even the text is needed
    assert last.read_bytes() == before


def test_resuming_needs_a_checkpoint_and_its_text(tmp_path: Path) -> None:
    path = tmp_path / "m.seqrs"
    with pytest.raises(PowerCut):
        LanguageModel(**SMALL).fit(POEM, **FIT, callbacks=[EveryStep(path), StopAt(9, PowerCut())])
    with pytest.raises(ValueError, match="the text has to be given again"):
        LanguageModel.resume(tmp_path / "m.last.seqrs", progress=False)
    LanguageModel(**SMALL).fit(POEM, **FIT).save(path)
    with pytest.raises(ModelFileError, match=r"m\.seqrs: a model, but no checkpoint"):
        LanguageModel.resume(path, POEM)


def test_a_best_model_that_was_taken_away_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "m.seqrs"
    with pytest.raises(PowerCut):
        LanguageModel(**SMALL).fit(POEM, **FIT, callbacks=[EveryStep(path), StopAt(17, PowerCut())])
    path.unlink()
    model = LanguageModel.resume(tmp_path / "m.last.seqrs", POEM, output=path, progress=False)
    assert same(seqrs.load(path), model)


# Threads


def test_any_number_of_threads_gives_the_same_bits(thread_count: int) -> None:
    text = POEM * 8
    results = []
    for threads in (1, 2, 3, thread_count):
        seqrs.set_num_threads(threads)
        model = LanguageModel(hidden_size=40, num_layers=2, embedding_size=9, dropout=0.2, seed=1)
        model.fit(text, epochs=20, seq_len=20, batch_size=24, progress=False)
        results.append((model.state_dict(), model.sample(200, seed=2), model.history))
    weights, sample, history = results[0]
    for others, other_sample, other_history in results[1:]:
        assert all((weights[name] == others[name]).all() for name in weights)
        assert other_sample == sample
        assert other_history == history


# The best model, and stopping early


def test_the_best_model_is_kept(tmp_path: Path) -> None:
    """On a validation text unlike the training text, the loss rises after a while."""
    held = "wet wet wet. blue red and blue.\n" * 3
    path = tmp_path / "m.seqrs"
    model = LanguageModel(hidden_size=32, num_layers=1, seed=0)
    model.fit(
        POEM,
        validation=[held],
        epochs=40,
        lr=2e-2,
        schedule="constant",
        seq_len=20,
        progress=False,
        checkpoint=path,
    )
    losses = [result["validation_loss"] for result in model.history]
    best = min(losses)
    assert losses.index(best) < 39
    assert math.log(model.perplexity([held])) == pytest.approx(best, rel=1e-5)
    assert same(seqrs.load(path), model)
    assert seqrs.load(tmp_path / "m.last.seqrs").perplexity([held]) == pytest.approx(
        math.exp(losses[-1]), rel=1e-5
    )


def test_patience_stops_early() -> None:
    held = "wet wet wet. blue red and blue.\n" * 3
    model = LanguageModel(hidden_size=32, num_layers=1, seed=0)
    model.fit(
        POEM,
        validation=[held],
        epochs=500,
        patience=4,
        lr=2e-2,
        schedule="constant",
        seq_len=20,
        progress=False,
    )
    losses = [result["validation_loss"] for result in model.history]
    assert len(losses) < 500
    assert losses.index(min(losses)) == len(losses) - 5


def test_without_validation_the_last_is_best(tmp_path: Path) -> None:
    path = tmp_path / "m.seqrs"
    model = LanguageModel(**SMALL).fit(POEM, validation=None, **FIT, checkpoint=path)
    assert "validation_loss" not in model.history[0]
    assert same(seqrs.load(path), model)
    assert same(seqrs.load(tmp_path / "m.last.seqrs"), model)


# Divergence


@pytest.mark.parametrize("validation", [0.1, None])
def test_an_exploding_learning_rate_stops_with_the_step_and_keeps_a_good_model(
    validation: float | None, tmp_path: Path
) -> None:
    path = tmp_path / "m.seqrs"
    model = LanguageModel(**SMALL)
    with pytest.raises(
        DivergenceError, match=r"diverged at update \d+ \(epoch 1\): .*learning rate was .*smaller"
    ):
        model.fit(POEM * 4, validation=validation, **{**FIT, "lr": 1e6}, schedule="constant", checkpoint=path)
    assert model.perplexity(POEM) < 2 * len(model.vocabulary)
    assert same(seqrs.load(path), model)
    assert math.isfinite(seqrs.load(tmp_path / "m.last.seqrs").log_prob(POEM))


def test_the_best_model_survives_a_later_explosion(tmp_path: Path) -> None:
    class Explode(Callback):
        """Gives the network weights from which nothing comes back."""

        def on_step(self, run: Trainer) -> None:
            if run.progress.epoch == 2:
                run.model.set_weights(
                    {name: value * np.float32(1e30) for name, value in run.model.weights().items()}
                )

    path = tmp_path / "m.seqrs"
    model = LanguageModel(**SMALL)
    with pytest.raises(DivergenceError, match="epoch 3"):
        model.fit(POEM, **FIT, checkpoint=path, callbacks=[Explode()])
    losses = [result["validation_loss"] for result in model.history]
    assert len(losses) == 2
    held = POEM[int(len(POEM) * 0.9) :]
    assert math.log(model.perplexity([held.removesuffix("\n")])) == pytest.approx(min(losses), rel=0.05)
    assert same(seqrs.load(path), model)


# What is shown


def test_callbacks_are_told_of_everything_in_order() -> None:
    events: list[str] = []

    class Log(Callback):
        def on_start(self, run: Trainer) -> None:
            events.append(f"start of {run.total}")

        def on_step(self, run: Trainer) -> None:
            assert math.isfinite(run.loss)
            assert math.isfinite(run.norm)
            assert run.tokens > 0
            events.append("step")

        def on_epoch(self, run: Trainer) -> None:
            events.append(f"epoch {run.progress.history[-1]['epoch']}")

        def on_end(self, run: Trainer) -> None:
            events.append(run.ending)

    LanguageModel(**SMALL).fit(
        POEM, **{**FIT, "epochs": 2, "batch_size": 1, "seq_len": 200}, callbacks=[Log()]
    )
    assert events == ["start of 4", *["step"] * 2, "epoch 1", *["step"] * 2, "epoch 2", "finished"]


def test_schedules_set_the_rate_of_each_update() -> None:
    class Rates(Callback):
        def __init__(self) -> None:
            self.values: list[float] = []

        def on_step(self, run: Trainer) -> None:
            self.values.append(run.lr)

    def rates(**options: Any) -> list[float]:
        seen = Rates()
        LanguageModel(**SMALL).fit(POEM, **{**FIT, **options, "lr": 0.1}, callbacks=[seen])
        return seen.values

    assert set(rates(schedule="constant")) == {0.1}
    cosine = rates()
    assert cosine[0] == 0.1
    assert cosine == sorted(cosine, reverse=True)
    assert 0 <= cosine[-1] < 0.01
    steps = rates(schedule="step", gamma=0.5)
    assert sorted(set(steps)) == pytest.approx([0.025, 0.05, 0.1])
    assert len(steps) % 3 == 0
    assert steps[: len(steps) // 3] == [0.1] * (len(steps) // 3)
    assert rates(warmup=2)[:2] == pytest.approx([0.05, 0.1])


def test_progress_and_samples_are_shown_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    LanguageModel(**SMALL).fit(POEM, **{**FIT, "progress": True, "epochs": 2})
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "epoch 1/2  loss " in shown.err
    assert "validation " in shown.err
    assert " tokens/s" in shown.err
    assert "--- sample after " in shown.err


def test_lines_come_at_their_interval(capsys: pytest.CaptureFixture[str]) -> None:
    LanguageModel(**SMALL).fit(
        POEM, **{**FIT, "epochs": 1}, callbacks=[ProgressLines(seconds=0), Samples(every=5, length=9)]
    )
    lines = capsys.readouterr().err.splitlines()
    assert "epoch 1/1  step 1/" in lines[0]
    assert lines[0].endswith(" left")
    assert "--- sample after 5 updates ---" in lines


def test_a_bar_that_is_switched_off_shows_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tqdm.tqdm", functools.partial(tqdm.tqdm, disable=True))  # as TQDM_DISABLE=1 does
    LanguageModel(**SMALL).fit(POEM, **{**FIT, "epochs": 1}, callbacks=[ProgressBar()])
    assert "%" not in capsys.readouterr().err


def test_samples_do_not_change_training() -> None:
    plain = LanguageModel(**SMALL).fit(POEM, **FIT)
    watched = LanguageModel(**SMALL).fit(POEM, **FIT, sample_every=1)
    assert same(plain, watched)
