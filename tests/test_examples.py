"""The examples run as their READMEs say: on what they generate themselves, or on files of that form."""

import gzip
import json
import random
import re
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from commands import seqrs

EXAMPLES = Path(__file__).parents[1] / "examples"


def run_example(name: str, *arguments: str, folder: Path) -> str:
    """Run an example's script in a folder and return what it prints."""
    (program,) = (EXAMPLES / name).glob("*.py")
    run = subprocess.run(
        [sys.executable, program, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    return run.stdout


@pytest.mark.parametrize("folder", sorted(EXAMPLES.iterdir()), ids=lambda folder: folder.name)
def test_every_example_is_one_script_with_a_readme(folder: Path) -> None:
    (program,) = folder.glob("*.py")
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert f"[{program.name}]({program.name})" in readme
    assert f"$ python {program.name}" in readme
    targets = re.findall(r"\]\(([^)#]+)\)", readme)
    assert [target for target in targets if not (folder / target).exists()] == []


def test_embed_cli(tmp_path: Path) -> None:
    (tmp_path / "poems.txt").write_text(
        "An old silent pond\nA frog jumps into the pond\nSplash! Silence again\n\n" * 40
    )
    seqrs("train", "poems.txt", "-o", "poems.seqrs", "--hidden-size", "48", "--epochs", "20", folder=tmp_path)
    out = run_example("embed_cli", "poems.seqrs", "An", "old", folder=tmp_path)
    assert out.startswith("An old")
    assert out.count("\n") == 3
    program = EXAMPLES / "embed_cli" / "haiku.py"
    usage = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert usage.returncode == 1
    assert "python haiku.py MODEL" in usage.stderr


def test_vanishing_gradients(tmp_path: Path) -> None:
    out = run_example("vanishing_gradients", "--updates", "3", "-o", "gradients.png", folder=tmp_path)
    left = {tuple(line.split()[:2]): float(line.split()[6]) for line in out.splitlines()[1:]}
    assert left["RNN", "untrained"] < 1e-20  # 100 steps back
    assert left["LSTM", "untrained"] > 1e-10
    assert (tmp_path / "gradients.png").read_bytes().startswith(b"\x89PNG")


def accuracy(out: str) -> float:
    """Return the accuracy that an example prints, in percent."""
    (found,) = re.findall(r"(?:accuracy|mean) ([\d.]+)%", out)
    return float(found)


def test_dna(tmp_path: Path) -> None:
    assert accuracy(run_example("dna", folder=tmp_path)) > 90
    draw = random.Random(1)
    rows = [(kind, "".join(draw.choices("ACGTNR", k=60))) for kind in ("EI", "IE", "N") * 20]
    rows = [(kind, {"EI": "G" * 9, "IE": "C" * 9, "N": "A" * 9}[kind] + dna[9:]) for kind, dna in rows]
    lines = [f"{kind}\tNAME-{i}\t{dna}\n" for i, (kind, dna) in enumerate(rows)]
    (tmp_path / "train.tsv").write_text("".join(lines))
    out = run_example("dna", "train.tsv", "--seed", "1", folder=tmp_path)
    assert out.startswith("54 to learn from, 6 to test on")


def test_sentiment(tmp_path: Path) -> None:
    assert accuracy(run_example("sentiment", folder=tmp_path)) > 80
    (tmp_path / "train.txt").write_text("1 a good one\n0 a bad one\n" * 40)
    (tmp_path / "dev.txt").write_text("0 a bad bad one\n1 good\n")
    assert accuracy(run_example("sentiment", "train.txt", "dev.txt", folder=tmp_path)) == 100


def test_entities(tmp_path: Path) -> None:
    out = run_example("entities", folder=tmp_path)
    words, _, spelled = map(float, re.findall(r"F1 ([\d.]+)\n", out))
    assert spelled > words + 0.1  # what a name is, only its spelling tells
    (tmp_path / "train.conll").write_text("Anna\tB-person\nsings\tO\n\t\nin\tO\nRome\tB-place\n\t\n" * 60)
    (tmp_path / "dev.conll").write_text("Anna\tB-person\nsings\tO\nin\tO\nRome\tB-place\n")
    out = run_example("entities", "train.conll", "dev.conll", folder=tmp_path)
    assert re.findall(r"F1 ([\d.]+)\n", out)[1:] == ["1.000", "1.000"]


def test_speech_digits(tmp_path: Path) -> None:
    out = run_example("speech_digits", "-o", "confusion.png", folder=tmp_path)
    assert accuracy(out) > 80
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")
    for name in ("0_ann_5", "0_ann_8", "1_ann_5", "1_ann_8"):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(bytes(range(256)) * (20 if name[0] == "0" else 30))
    assert run_example("speech_digits", ".", folder=tmp_path).startswith("2 to learn from, 2 to test on")


def test_connected_digits(tmp_path: Path) -> None:
    out = run_example("connected_digits", "-o", "spectrogram.png", folder=tmp_path)
    path, beam = map(float, re.findall(r"([\d.]+)% of the digits", out))
    assert path < 20
    assert beam < 20
    assert (tmp_path / "spectrogram.png").read_bytes().startswith(b"\x89PNG")
    for name in ("0_ann_5", "0_ann_8", "1_ann_5", "1_ann_8"):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(bytes(range(256)) * (20 if name[0] == "0" else 30))
    out = run_example("connected_digits", ".", "--strings", "20", "--epochs", "1", folder=tmp_path)
    assert out.count("was heard as") == 5


def test_video_activity(tmp_path: Path) -> None:
    assert accuracy(run_example("video_activity", folder=tmp_path)) > 80
    video = {"action": "rest", "subject": 1, "frames": [[0.0] * 60] * 5}
    videos = [
        video | {"subject": subject, "action": action} for subject in (1, 2) for action in ("rest", "wave")
    ]
    for moved in videos[1::2]:
        moved["frames"] = [[0.0] * 59 + [0.3 * (t % 2)] for t in range(9)]
    with gzip.open(tmp_path / "train.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(video) + "\n" for video in videos * 4)
    out = run_example("video_activity", "train.jsonl.gz", folder=tmp_path)
    assert out.count("trained without person") == 2
    assert accuracy(out) == 100


def test_translation(tmp_path: Path) -> None:
    out = run_example("translation", "--epochs", "3", "--picture", "attention.png", folder=tmp_path)
    (right,) = re.findall(r"(\d+) of 500 are exactly", out)
    assert int(right) > 300
    assert (tmp_path / "attention.png").read_bytes().startswith(b"\x89PNG")
    with gzip.open(tmp_path / "train.en.gz", "wt") as file:
        file.write("a man runs .\na dog runs .\n" * 20)
    (tmp_path / "train.de").write_text("ein mann rennt .\nein hund rennt .\n" * 20)
    (tmp_path / "val.en").write_text("a man runs .\na cat runs .\n")
    (tmp_path / "val.de").write_text("ein mann rennt .\neine katze rennt .\n")
    files = [
        "train.en.gz",
        "train.de",
        "--test",
        "val.en",
        "val.de",
        "--epochs",
        "1",
        "--model",
        "small.seqrs",
    ]
    assert "of 2 are exactly the reference" in run_example("translation", *files, folder=tmp_path)
    assert (tmp_path / "small.seqrs").exists()


def test_music(tmp_path: Path) -> None:
    def likelihood(out: str) -> float:
        (found,) = re.findall(r"held out: ([\d.]+) nats", out)
        return float(found)

    assert likelihood(run_example("music", "-o", "made_up.mid", folder=tmp_path)) < 4
    midi = (tmp_path / "made_up.mid").read_bytes()
    assert midi[:14] == b"MThd\0\0\0\6\0\0\0\1\x01\xe0"
    assert int.from_bytes(midi[18:22], "big") == len(midi) - 22
    assert midi.count(b"\x90") > 10
    with gzip.open(tmp_path / "tunes.json.gz", "wt") as file:
        json.dump({"train": [[[60], [64]] * 20] * 20, "valid": [[[60], [64]] * 3]}, file)
    assert likelihood(run_example("music", "tunes.json.gz", folder=tmp_path)) < 0.5
