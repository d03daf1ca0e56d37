"""The command line, run as people do."""

import fcntl
import json
import math
import os
import re
import resource
import signal
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import COMMAND, seqrs

TEXT = "the cat sat on the mat and the dog sat on the log.\n" * 30
SMALL = ["--hidden-size", "16", "--num-layers", "1", "--seq-len", "20", "--seed", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, a model of it, and a model of its lines."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "text.txt").write_text(TEXT)
    seqrs("train", "text.txt", "-o", "model.seqrs", "--epochs", "3", *SMALL, folder=folder)
    seqrs(
        "train",
        "text.txt",
        "-o",
        "lines.seqrs",
        "--documents",
        "line",
        "--epochs",
        "2",
        *SMALL,
        folder=folder,
    )
    return folder


# Help


@pytest.mark.parametrize(
    "arguments",
    [[], ["--help"], *([name, "--help"] for name in ("demo", "train", "sample", "score", "inspect", "info"))],
)
def test_help_answers_at_once(arguments: list[str], tmp_path: Path) -> None:
    """In processor time, which other programs on the machine do not stretch."""
    times = []
    for _ in range(3):
        began = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert "usage: seqrs" in seqrs(*arguments, folder=tmp_path).stdout
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime)
    assert min(times) < 0.2


def test_help_imports_neither_numpy_nor_the_core(tmp_path: Path) -> None:
    code = (
        "import sys; from seqrs.cli import main; main(['train', '--help']);"
        "print([name for name in ('numpy', 'seqrs._native') if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert run.stdout.endswith("[]\n")


def test_help_tells_the_defaults_there_are(tmp_path: Path) -> None:
    import inspect

    from seqrs import LanguageModel

    text = re.sub(r"\s+", " ", seqrs("train", "--help", folder=tmp_path).stdout)
    signatures = [inspect.signature(f).parameters for f in (LanguageModel.__init__, LanguageModel.fit)]
    shown = dict(re.findall(r"--([a-z-]+) (?:[A-Z]|\{[^}]*\}) [^(]*\(default: ([^)]*)\)", text))
    assert len(shown) > 25
    assert shown.pop("threads") == "all cores"
    for flag, default in shown.items():
        name = flag.replace("-", "_")
        (actual,) = (parameters[name].default for parameters in signatures if name in parameters)
        assert default == ("none" if actual is None else str(actual)), flag


def test_version(tmp_path: Path) -> None:
    assert re.fullmatch(r"seqrs \d+\.\d+\.\d+\n", seqrs("--version", folder=tmp_path).stdout)


# Commands


def test_train_shows_progress_and_keeps_best_and_last(folder: Path) -> None:
    run = seqrs("train", "text.txt", "-o", "again.seqrs", "--epochs", "3", *SMALL, folder=folder)
    assert run.stdout == ""
    assert "epoch 3/3  loss" in run.stderr
    assert "--- sample after" in run.stderr
    assert re.search(r"again\.seqrs: the best model, of epoch 3 of 3: validation loss \d\.\d{4}", run.stderr)
    assert (folder / "again.seqrs").read_bytes() == (folder / "model.seqrs").read_bytes()
    assert (folder / "again.last.seqrs").exists()


def test_a_terminal_gets_a_progress_bar(folder: Path) -> None:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    command = [*COMMAND, "train", "text.txt", "-o", "bar.seqrs", "--epochs", "20", *SMALL]
    process = subprocess.Popen(command, cwd=folder, stderr=theirs)
    os.close(theirs)
    shown = ""
    with suppress(OSError), open(ours, encoding="utf-8", newline="") as terminal:  # an error is its end
        while more := terminal.read(1):
            shown += more
    assert process.wait(timeout=60) == 0
    assert re.search(r"\d+%\|.*\| \d+/\d+ \[.* loss \d\.\d+, [\d,]+ tokens/s\]", shown)
    assert "epoch 20/20  loss" in shown


def test_quiet_training_says_one_line(folder: Path) -> None:
    run = seqrs("train", "text.txt", "-o", "quiet.seqrs", "--epochs", "1", "--quiet", *SMALL, folder=folder)
    assert len(run.stderr.splitlines()) == 1


def test_all_options_reach_the_model(folder: Path) -> None:
    options = {
        "level": "word",
        "cell": "gru",
        "hidden_size": 7,
        "num_layers": 2,
        "embedding_size": 5,
        "dropout": 0.1,
        "reset": "before",
        "min_count": 2,
        "max_vocab": 9,
        "dtype": "float64",
        "device": "reference",
        "seed": 3,
    }
    training = {
        "epochs": 1,
        "seq_len": 11,
        "batch_size": 3,
        "optimizer": "sgd",
        "lr": 0.5,
        "schedule": "step",
        "step_size": 2,
        "gamma": 0.25,
        "warmup": 4,
        "momentum": 0.5,
        "weight_decay": 0.01,
        "patience": 2,
    }
    flags = [
        word
        for name, value in (options | training).items()
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    seqrs(
        "train",
        "text.txt",
        "-o",
        "all.seqrs",
        *flags,
        "--clip",
        "0",
        "--validation",
        "text.txt",
        folder=folder,
    )
    text = seqrs("info", "all.seqrs", folder=folder).stdout
    for name, value in {**options, **training, "clip": "none", "vocab_size": 9}.items():
        assert re.search(rf"^  {name} +{re.escape(str(value))}$", text, re.MULTILINE), name


def test_resume_goes_on_from_a_finished_or_missing_training(folder: Path) -> None:
    before = (folder / "model.last.seqrs").read_bytes()
    for arguments in (["--resume", "-o", "model.seqrs"], ["--resume", "model.last.seqrs"]):
        run = seqrs("train", *arguments, folder=folder)
        assert "model.last.seqrs: this training has finished; there is nothing to go on with" in run.stderr
        assert "model.seqrs: the best model, of epoch 3 of 3" in run.stderr
    assert (folder / "model.last.seqrs").read_bytes() == before
    run = seqrs("train", "--resume", "-o", "model.seqrs", "--lr", "0.5", "--seed", "1", folder=folder)
    assert run.stderr.count("warning") == 1
    assert "--lr 0.5 is not used: this training began with 0.003" in run.stderr
    fresh = seqrs(
        "train", "text.txt", "-o", "fresh.seqrs", "--resume", "--epochs", "3", *SMALL, folder=folder
    )
    assert "there is no fresh.last.seqrs to resume from: training begins" in fresh.stderr
    assert (folder / "fresh.seqrs").read_bytes() == (folder / "model.seqrs").read_bytes()


def test_a_model_is_replaced_only_if_asked(folder: Path) -> None:
    for name in ("model.seqrs", "model.last.seqrs"):
        (folder / f"mine.{name}").write_bytes((folder / name).read_bytes())
    command = ["train", "text.txt", "-o", "mine.model.seqrs", "--epochs", "1", *SMALL]
    seqrs(*command, folder=folder, code=2)
    assert (folder / "mine.model.seqrs").read_bytes() == (folder / "model.seqrs").read_bytes()
    run = seqrs(*command, "--overwrite", folder=folder)
    assert "mine.model.seqrs: the best model, of epoch 1 of 1" in run.stderr


def test_sample_writes_prompt_and_text(folder: Path) -> None:
    one, two = (
        seqrs(
            "sample", "model.seqrs", "--prompt", "the ", "--length", "30", "--seed", "4", folder=folder
        ).stdout
        for _ in range(2)
    )
    assert one == two
    assert one.startswith("the ")
    assert len(one) == 4 + 30 + 1
    greedy = seqrs("sample", "model.seqrs", "--length", "5", "--temperature", "0", folder=folder).stdout
    assert len(greedy) == 6


def test_sample_reads_prompts(folder: Path) -> None:
    run = seqrs(
        "sample",
        "lines.seqrs",
        "--length",
        "30",
        "--seed",
        "4",
        "--json",
        folder=folder,
        input="the c\n\ndog",
    )
    samples = [json.loads(line) for line in run.stdout.splitlines()]
    assert [sample["prompt"] for sample in samples] == ["the c", "", "dog"]
    for sample in samples:
        tokens = [entry["token"] for entry in sample["tokens"]]
        assert "".join(tokens).removesuffix("<EOS>") == sample["text"]
        assert all(entry["log_prob"] < 0 for entry in sample["tokens"])
    assert seqrs("sample", "model.seqrs", "--length", "5", folder=folder, input="").stdout.count("\n") >= 1


def test_sample_writes_several_texts_with_smaller_weights(folder: Path) -> None:
    arguments = ["sample", "model.seqrs", "--prompt", "the ", "--length", "20", "--weights", "int8"]
    several = seqrs(*arguments, "--seed", "4", "--num-samples", "3", folder=folder).stdout
    alone = [seqrs(*arguments, "--seed", seed, folder=folder).stdout for seed in ("4", "5", "6")]
    assert several == "".join(alone)
    lines = seqrs(
        *arguments, "--seed", "4", "--num-samples", "3", "--json", folder=folder
    ).stdout.splitlines()
    for line, text in zip(lines, alone, strict=True):
        sample = json.loads(line)
        assert sample["prompt"] + sample["text"] + "\n" == text
        assert len(sample["tokens"]) == 20


def test_score_tells_what_smaller_weights_change(folder: Path) -> None:
    run = seqrs("score", "model.seqrs", "text.txt", "--weights", "int8", folder=folder).stdout
    full, rest = run.split("with weights in int8:\n")
    assert full == seqrs("score", "model.seqrs", "text.txt", folder=folder).stdout
    rounded, change = rest.split("change ")
    before, after = figures(full)["perplexity"], figures(rounded)["perplexity"]
    assert before != after
    percent = float(change.split("%")[0])
    assert percent == pytest.approx(100 * (after / before - 1), abs=2e-2)
    assert abs(percent) < 1.0
    lines = seqrs("score", "model.seqrs", "text.txt", "--lines", "--weights", "int8", folder=folder).stdout
    assert lines != seqrs("score", "model.seqrs", "text.txt", "--lines", folder=folder).stdout


def test_unseen_prompt_warns_in_one_line(folder: Path) -> None:
    run = seqrs("sample", "model.seqrs", "--prompt", "é", "--length", "3", folder=folder)
    assert run.stderr == "seqrs: warning: prompt: 'é' not seen in training, read as the zero vector\n"


def figures(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^(\S.*?)  +(\S+)", text, re.MULTILINE)}


@pytest.mark.parametrize("model", ["model.seqrs", "lines.seqrs"])
def test_score(model: str, folder: Path) -> None:
    total = figures(seqrs("score", model, "text.txt", folder=folder).stdout)
    assert total["tokens"] == len(TEXT)
    assert total["perplexity"] == pytest.approx(math.exp(-total["log-probability"] / len(TEXT)), rel=1e-3)
    assert total["bits a character"] == pytest.approx(math.log2(total["perplexity"]), rel=1e-3)
    rows = seqrs("score", model, "--lines", folder=folder, input=TEXT).stdout.splitlines()
    cells = [row.split("\t") for row in rows]
    assert [cell[3] for cell in cells] == TEXT.splitlines()
    assert sum(float(cell[0]) for cell in cells) == pytest.approx(total["log-probability"], abs=0.01)
    assert float(cells[0][2]) == pytest.approx(math.log2(float(cells[0][1])), abs=1e-3)


def test_score_of_unseen_characters_is_honest(folder: Path) -> None:
    run = seqrs("score", "model.seqrs", folder=folder, input="the cät")
    assert "log-probability   -inf nats" in run.stdout
    assert "unseen tokens     1, of probability 0; without them:" in run.stdout
    assert math.isfinite(figures(run.stdout.split("without them:")[1])["log-probability"])


def test_inspect_prints_tables(folder: Path) -> None:
    out = seqrs("inspect", "model.seqrs", "text.txt", "--lags", "3", folder=folder).stdout.splitlines()
    assert out[0].split() == ["lag", "layer", "0", "h", "layer", "0", "c"]
    assert [line.split()[0] for line in out[1:]] == ["1", "2", "3"]
    assert all(float(number) > 0 for line in out[1:] for number in line.split())
    out = seqrs("inspect", "lines.seqrs", "--show", "gates", folder=folder, input=TEXT).stdout
    assert [line.split()[:3] for line in out.splitlines()[1:]] == [["layer", "0", gate] for gate in "ifo"]
    out = seqrs(
        "inspect", "model.seqrs", "text.txt", "--show", "norms", "--length", "7", folder=folder
    ).stdout
    assert len(out.splitlines()) == 8
    assert seqrs("inspect", "model.seqrs", "text.txt", "--show", "nan", folder=folder).stdout == (
        "no NaN, no infinity\n"
    )


def test_inspect_writes_json_lines(folder: Path) -> None:
    command = ["inspect", "model.seqrs", "--json", "--show"]
    out = seqrs(*command, "activations", "--units", "3,5", folder=folder, input="the cat").stdout
    rows = [json.loads(line) for line in out.splitlines()]
    assert "".join(row["token"] for row in rows) == "the cat"
    assert all(row.keys() == {"token", "unit 3", "unit 5"} and abs(row["unit 3"]) < 1 for row in rows)
    assert seqrs(*command, "nan", folder=folder, input=TEXT).stdout == "null\n"


def test_json_has_no_numbers_that_json_lacks(folder: Path) -> None:
    """An infinity is a string that Python's float reads."""
    from seqrs import LanguageModel

    model = LanguageModel(cell="rnn", nonlinearity="relu", hidden_size=2, num_layers=1, seed=0)
    model.fit("ab" * 100, epochs=0, progress=False)
    model.load_state_dict({name: np.full_like(value, 1e30) for name, value in model.state_dict().items()})
    model.save(folder / "exploding.seqrs")
    command = ["inspect", "exploding.seqrs", "--json", "--show"]
    for view in ("nan", "norms"):
        out = seqrs(*command, view, folder=folder, input="abab").stdout
        rows = [json.loads(line, parse_constant=pytest.fail) for line in out.splitlines()]
        assert "Infinity" in rows[-1].values(), rows


@pytest.mark.parametrize(
    ("view", "name", "begin"),
    [
        ("gradients", "a.png", b"\x89PNG"),
        ("gates", "b.svg", b"<?xml"),
        ("norms", "c.png", b"\x89PNG"),
        ("activations", "d.html", b"<!DOCTYPE html>"),
    ],
)
def test_inspect_draws(view: str, name: str, begin: bytes, folder: Path) -> None:
    run = seqrs("inspect", "model.seqrs", "text.txt", "--show", view, "-o", name, folder=folder)
    assert run.stdout == ""
    assert (folder / name).read_bytes().startswith(begin)
    again = ["inspect", "model.seqrs", "text.txt", "--show", view]
    table = seqrs(*again, "--json", folder=folder).stdout
    assert (
        seqrs(*again, "--json", "-o", name, folder=folder).stdout == table
    )  # both, where both are asked for


def test_inspect_reads_lines_for_a_classifier(folder: Path) -> None:
    from seqrs import SequenceClassifier

    (folder / "lines.txt").write_text("the cat\nthe dog sat\n")
    model = SequenceClassifier(hidden_size=4, epochs=1, random_state=0)
    model.fit(["the cat", "the dog"] * 4, [0, 1] * 4).save(folder / "classifier.seqrs")
    out = seqrs("inspect", "classifier.seqrs", "lines.txt", folder=folder).stdout.splitlines()
    assert [line.split()[0] for line in out[1:]] == ["1", "2", "3"]
    command = ["inspect", "classifier.seqrs", "lines.txt", "--show", "activations"]
    assert "expected a LanguageModel, classifier.seqrs is a" in seqrs(*command, folder=folder, code=2).stderr
    command[-1] = "attention"
    assert 'or a model with pooling="attention", classifier' in seqrs(*command, folder=folder, code=2).stderr
    model.set_params(pooling="attention").fit(["the cat", "the dog"] * 4, [0, 1] * 4)
    model.save(folder / "classifier.seqrs")
    out = seqrs(*command, "--json", folder=folder).stdout.splitlines()
    assert [json.loads(line)["token"] for line in out] == ["the", "cat"]
    assert sum(json.loads(line)["weight"] for line in out) == pytest.approx(1)
    seqrs(*command, "-o", "pooled.png", folder=folder)
    assert (folder / "pooled.png").read_bytes().startswith(b"\x89PNG")
    model.fit([[[0.0]], [[1.0]]] * 4, [0, 1] * 4).save(folder / "features.seqrs")
    run = seqrs("inspect", "features.seqrs", folder=folder, code=2)
    assert "expected a model that reads text" in run.stderr


def test_inspect_shows_where_a_translation_looked(folder: Path) -> None:
    from seqrs import Translator

    model = Translator(level="char", hidden_size=8, embedding_size=4, epochs=40, lr=0.03, random_state=0)
    model.fit(["ab", "ba", "b"] * 4, ["xy", "yx", ""] * 4).save(folder / "translator.seqrs")
    command = ["inspect", "translator.seqrs", "--show"]
    out = seqrs(*command, "attention", "--json", folder=folder, input="abb\nb\n").stdout
    best = model.translate(["abb"])[0][0]
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row.pop("token") for row in rows] == best.tokens
    assert [list(row) for row in rows] == [["0 a", "1 b", "2 b"]] * len(best.tokens)
    assert all(sum(row.values()) == pytest.approx(1) for row in rows)
    seqrs(*command, "attention", "-o", "attention.png", folder=folder, input="ab")
    assert (folder / "attention.png").read_bytes().startswith(b"\x89PNG")
    found = seqrs(*command, "attention", "-o", "none.png", folder=folder, input="b", code=2)
    assert "source, target: expected at least one token each, got 1 and 0" in found.stderr
    assert {
        row.split()[2] for row in seqrs(*command, "gates", folder=folder, input="ab").stdout.splitlines()[1:]
    } == set("ifo")


def test_info(folder: Path) -> None:
    text = seqrs("info", "model.seqrs", folder=folder).stdout
    assert re.search(r"parameters: [\d,]+ \(0\.0 MB\)", text)
    assert re.search(r"weight_hh_l0 +64 x 16", text)
    assert "training: 3 of 3 epochs" in text
    assert "This is a checkpoint" in seqrs("info", "model.last.seqrs", folder=folder).stdout


@pytest.fixture(scope="module")
def others(folder: Path) -> Path:
    """The same folder, with models that are no language models, and one whose tokenizer no file holds."""
    from seqrs import LanguageModel, SequenceClassifier, SequenceRegressor

    classifier = SequenceClassifier(hidden_size=4, epochs=2, validation=0.5, random_state=0)
    classifier.fit(["the cat", "the dog"] * 4, [0, 1] * 4, checkpoint=folder / "classes.seqrs")
    SequenceRegressor(hidden_size=4, epochs=1, random_state=0).fit(np.ones((4, 2, 1)), np.ones(4)).save(
        folder / "numbers.seqrs"
    )

    class Halves:
        def tokenize(self, text: str) -> list[str]:
            return [text[i : i + 2] for i in range(0, len(text), 2)]

        def detokenize(self, tokens: list[str]) -> str:
            return "".join(tokens)

    LanguageModel(Halves(), hidden_size=4, num_layers=1, seed=0).fit(
        TEXT, epochs=1, progress=False, checkpoint=folder / "halves.seqrs"
    )
    return folder


def test_info_of_any_model(others: Path) -> None:
    text = seqrs("info", "classes.last.seqrs", folder=others).stdout
    assert text.startswith("classes.last.seqrs: sequence classifier\n")
    assert re.search(r"^  hidden_size +4$", text, re.MULTILINE)
    assert "training: 2 of 2 epochs" in text
    assert re.search(r"epoch   1  loss \d\.\d{4}  validation \d\.\d{4}  score \d\.\d{4}", text)
    assert "perplexity" not in text
    assert "This is a checkpoint: the model's resume, in Python, goes on from here." in text
    assert "training: 1 epochs" in seqrs("info", "numbers.seqrs", folder=others).stdout
    assert re.search(r"^  level +custom$", seqrs("info", "halves.seqrs", folder=others).stdout, re.MULTILINE)


@pytest.mark.parametrize("command", [["sample"], ["sample", "--weights", "int8"], ["score"]])
def test_only_a_language_model_writes_and_scores(command: list[str], others: Path) -> None:
    run = seqrs(*command, "numbers.seqrs", folder=others, code=2, input="the cat")
    assert run.stderr == "seqrs: error: numbers.seqrs: expected a language model, got a sequence regressor\n"
    run = seqrs(*command, "halves.seqrs", folder=others, code=2, input="the cat")
    (line,) = run.stderr.splitlines()
    assert "halves.seqrs: trained with a tokenizer object, which no file holds" in line


def test_demo_shows_a_falling_loss_and_keeps_its_model(tmp_path: Path) -> None:
    run = seqrs("demo", "--hidden-size", "16", "--epochs", "2", "-o", "demo.seqrs", folder=tmp_path)
    losses = [float(loss) for loss in re.findall(r"^epoch \d/2  loss (\S+)", run.stdout, re.MULTILINE)]
    assert losses[-1] < losses[0]
    assert "Before training it writes:" in run.stdout
    assert "Now it writes:" in run.stdout
    assert (tmp_path / "demo.seqrs").exists()


# Errors: one line on standard error, exit code 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "invalid choice: 'fly'"),
        (["train", "text.txt", "--lr", "fast"], "argument --lr: invalid float value: 'fast'"),
        (["train", "text.txt", "--cell", "transformer"], "argument --cell: invalid choice"),
        (["train", "text.txt", "--speed", "9"], "unrecognized arguments: --speed 9"),
        (["train"], "text: expected at least one text file"),
        (["train", "missing.txt", "-o", "new.seqrs"], "missing.txt: No such file or directory"),
        (["train", "empty.txt", "-o", "new.seqrs"], "empty.txt"),
        (
            ["train", "latin1.txt", "-o", "new.seqrs"],
            "latin1.txt: expected UTF-8 text, got byte 0xe9 at position 3 (line 1)",
        ),
        (
            ["train", "short.txt", "-o", "new.seqrs"],
            "text: expected at least one window of 100 tokens (seq_len)",
        ),
        (["train", ".", "-o", "new.seqrs"], "Is a directory"),
        (
            ["train", "text.txt", "-o", "new.seqrs", "--hidden-size", "0"],
            "hidden_size: expected an integer of at least 1, got 0",
        ),
        (
            ["train", "text.txt", "-o", "new.seqrs", "--lr", "-1"],
            "lr: expected a finite number above 0, got -1.0",
        ),
        (["train", "text.txt", "--threads", "0"], "--threads: expected an integer of at least 1, got 0"),
        (["info", "model.seqrs", "--threads", "0"], "unrecognized arguments: --threads 0"),
        (
            ["sample", "model.seqrs", "--threads", "9999"],
            "--threads: expected a number of threads from 1 to 1024",
        ),
        (["train", "text.txt", "-o", "nowhere/m.seqrs"], "nowhere/m.seqrs: there is no folder nowhere"),
        (["demo", "-o", "nowhere/m.seqrs"], "nowhere/m.seqrs: there is no folder nowhere"),
        (["inspect", "model.seqrs", "text.txt", "-o", "nowhere/a.png"], "there is no folder nowhere"),
        (
            ["inspect", "model.seqrs", "text.txt", "-o", "a"],
            "-o: expected a file of some kind of picture, such as a.png",
        ),
        (
            ["inspect", "model.seqrs", "text.txt", "--show", "activations", "-o", "a.png"],
            "-o: expected an .html file for --show activations, got a.png",
        ),
        (
            ["inspect", "model.seqrs", "text.txt", "--show", "gates", "--lags", "3"],
            "--lags: only goes with --show gradients, got --show gates",
        ),
        (
            ["inspect", "model.seqrs", "text.txt", "--layer", "0"],
            "--layer: only goes with --show activations, got --show gradients",
        ),
        (
            ["train", "--resume", "-o", "none.seqrs"],
            "--resume: there is no checkpoint none.last.seqrs; seqrs",
        ),
        (
            ["train", "--resume", "none.seqrs"],
            "--resume: there is no checkpoint none.seqrs; seqrs train TEXT",
        ),
        (
            ["train", "text.txt", "-o", "model.seqrs"],
            "model.seqrs exists: give --overwrite to replace it, --resume to go on with its training, or another",
        ),
        (
            ["train", "text.txt", "-o", "alone.seqrs"],
            "alone.seqrs exists: give --overwrite to replace it, or",
        ),
        (["train", "text.txt", "-o", "alone.seqrs", "--resume"], "alone.seqrs exists: give --overwrite"),
        (["train", "text.txt", "--resume", "--overwrite"], "--overwrite: not allowed with argument --resume"),
        *(
            (["train", "text.txt", "-o", "new.seqrs", *words], message)
            for words, message in [
                (
                    ["--peephole", "full", "--cell", "gru"],
                    "--peephole: only goes with --cell lstm, got --cell gru",
                ),
                (["--reset", "before"], "--reset: only goes with --cell gru, got --cell lstm"),
                (["--nonlinearity", "relu"], "--nonlinearity: only goes with --cell rnn, got --cell lstm"),
                (["--gamma", "0.1"], "--gamma: only goes with --schedule step, got --schedule cosine"),
                (["--step-size", "2"], "--step-size: only goes with --schedule step"),
                (["--momentum", "0.9"], "--momentum: only goes with --optimizer sgd, got --optimizer adam"),
            ]
        ),
        (["train", "--resume", "model.seqrs"], "resuming needs NAME.last.seqrs"),
        (["train", "other.txt", "--resume", "-o", "begun.seqrs"], "is not what this training began with"),
        (
            ["train", "text.txt", "-o", "d.seqrs", "--lr", "1e6", "--quiet", *SMALL],
            "training diverged at update",
        ),
        (["demo", "-o", "model.seqrs"], "model.seqrs exists: name another file with -o"),
        (["sample", "missing.seqrs"], "missing.seqrs: No such file or directory"),
        (["sample", "text.txt"], "text.txt"),
        (["sample", "cut.seqrs"], "cut.seqrs"),
        (
            ["sample", "model.seqrs", "--temperature", "-1"],
            "temperature: expected a finite number of at least 0",
        ),
        (
            ["sample", "model.seqrs", "--temperature", "nan"],
            "temperature: expected a finite number of at least 0",
        ),
        (["sample", "model.seqrs", "--top-p", "7"], "top_p: expected"),
        (["score", "model.seqrs", "missing.txt"], "missing.txt: No such file or directory"),
        (["score", "model.seqrs"], "standard input: expected some text"),
        (["info", "empty.txt"], "empty.txt"),
        (["inspect", "model.seqrs"], "standard input: expected some text"),
        (["inspect", "model.seqrs", "text.txt", "--lags", "0"], "lags: expected an integer of at least 1"),
        (["inspect", "model.seqrs", "text.txt", "--units", "a"], "expected numbers between commas, got 'a'"),
        (["inspect", "model.seqrs", "text.txt", "--length", "0"], "--length: expected an integer of at"),
        (["inspect", "model.seqrs", "text.txt", "-o", "picture.xyz"], "'xyz' is not supported"),
    ],
)
def test_every_error_is_one_line(arguments: list[str], message: str, folder: Path) -> None:
    (folder / "empty.txt").write_text("")
    (folder / "latin1.txt").write_bytes("café".encode("latin-1"))
    (folder / "short.txt").write_text("too short")
    (folder / "other.txt").write_text(TEXT + "more")
    (folder / "alone.seqrs").write_bytes((folder / "model.seqrs").read_bytes())
    (folder / "cut.seqrs").write_bytes((folder / "model.seqrs").read_bytes()[:-9])
    if not (folder / "begun.last.seqrs").exists():
        interrupt(["train", "text.txt", "-o", "begun.seqrs", "--epochs", "100000", *SMALL], folder)
    run = seqrs(*arguments, folder=folder, code=2)
    assert message in run.stderr
    (line,) = run.stderr.splitlines()
    assert line.startswith("seqrs: error: ")


def test_divergence_leaves_a_model(folder: Path) -> None:
    arguments = ["train", "text.txt", "-o", "exploded.seqrs", "--lr", "1e6", "--schedule", "constant"]
    seqrs(*arguments, "--quiet", *SMALL, folder=folder, code=2)
    for name in ("exploded.seqrs", "exploded.last.seqrs"):
        assert len(seqrs("sample", name, "--length", "9", folder=folder).stdout) == 10


# Ctrl-C and pipes


def heed_ctrl_c() -> None:
    """Undo what a shell does to its background jobs, which the tests may be."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt(arguments: list[str], folder: Path) -> tuple[int, str]:
    """Start a training, press Ctrl-C once it is under way, and return its exit code and messages."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c
    )
    assert process.stderr is not None
    shown = ""
    while "epoch 2/" not in shown:
        line = process.stderr.readline()
        assert line, shown
        shown += line
    process.send_signal(signal.SIGINT)
    shown += process.stderr.read()
    process.stderr.close()
    return process.wait(timeout=60), shown


def test_ctrl_c_saves_and_resuming_gives_the_same_model(folder: Path) -> None:
    options: list[Any] = ["--epochs", "150", "--sample-every", "0", *SMALL]
    code, shown = interrupt(["train", "text.txt", "-o", "stopped.seqrs", *options], folder)
    assert code == 130
    assert "stopped and saved; go on with: seqrs train --resume -o stopped.seqrs" in shown
    assert "Traceback" not in shown
    seqrs("sample", "stopped.seqrs", folder=folder)
    assert "not finished" in seqrs("info", "stopped.last.seqrs", folder=folder).stdout
    seqrs("train", "--resume", "-o", "stopped.seqrs", folder=folder)
    seqrs("train", "text.txt", "-o", "through.seqrs", *options, folder=folder)
    for name in ("{}.seqrs", "{}.last.seqrs"):
        assert (folder / name.format("stopped")).read_bytes() == (
            folder / name.format("through")
        ).read_bytes()


def test_ctrl_c_in_the_first_epoch_leaves_a_model(folder: Path) -> None:
    (folder / "long.txt").write_text(TEXT * 200)
    arguments = ["train", "long.txt", "-o", "early.seqrs", "--epochs", "100", "--sample-every", "1", *SMALL]
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c
    )
    assert process.stderr is not None
    while "sample after 3 updates" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 130
    assert len(seqrs("sample", "early.seqrs", "--length", "9", folder=folder).stdout) == 10


def test_a_closed_pipe_is_no_error(folder: Path) -> None:
    arguments = ["sample", "model.seqrs", "--length", "1000000", "--seed", "1"]
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert len(process.stdout.read(10)) == 10
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_model_runs_on_another_device_than_it_was_trained_on(folder: Path) -> None:
    draw = ("sample", "model.seqrs", "--seed", "1", "--length", "30")
    there = seqrs(*draw, "--device", "reference", folder=folder).stdout
    assert there == seqrs(*draw, folder=folder).stdout
    for command in (draw, ("score", "model.seqrs", "text.txt"), ("inspect", "model.seqrs", "text.txt")):
        failed = seqrs(*command, "--device", "abacus", folder=folder, code=2)
        assert "device: expected" in failed.stderr
