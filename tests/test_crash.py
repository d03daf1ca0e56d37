"""A process killed at any moment loses nothing: resumed, it ends with the same bits."""

import random
import resource
import signal
import subprocess
import time
from pathlib import Path

from commands import COMMAND, seqrs

import seqrs as library
from seqrs.callbacks import Checkpoint
from seqrs.io import ModelFile

TEXT = "".join(f"{number} green bottles hanging on the wall,\n" for number in range(60, 0, -1))
OPTIONS = [
    "--hidden-size",
    "24",
    "--dropout",
    "0.1",
    "--seq-len",
    "25",
    "--batch-size",
    "8",
    "--epochs",
    "40",
]
OPTIONS += ["--seed", "7", "--quiet"]


def weights(path: Path) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in library.load(path).state_dict().items()}


def written(path: Path) -> int:
    """When a file was last written; 0 if it is not there."""
    return path.stat().st_mtime_ns if path.exists() else 0


def test_killed_at_ten_random_moments(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    command = ["train", "text.txt", "-o", "killed.seqrs", *OPTIONS]
    began = time.monotonic()
    seqrs("train", "text.txt", "-o", "whole.seqrs", *OPTIONS, folder=tmp_path)
    duration = time.monotonic() - began
    moments = random.Random(1)
    checkpoint = tmp_path / "killed.last.seqrs"
    midway = 0
    for number in range(10):
        before = written(checkpoint)
        process = subprocess.Popen([*COMMAND, *command, "--resume"], cwd=tmp_path, stderr=subprocess.DEVNULL)
        # Some are killed before they have done anything, the others once training is under way.
        while number > 2 and written(checkpoint) == before and process.poll() is None:
            time.sleep(0.005)
        time.sleep(moments.uniform(0.0, duration / 10))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if checkpoint.exists():
            weights(checkpoint)  # it can be read
            midway += not ModelFile.read(checkpoint).training["progress"]["finished"]
    seqrs(*command, "--resume", folder=tmp_path)
    assert midway >= 5
    assert weights(checkpoint) == weights(tmp_path / "whole.last.seqrs")
    assert weights(tmp_path / "killed.seqrs") == weights(tmp_path / "whole.seqrs")


def test_killed_while_writing_checkpoints(tmp_path: Path) -> None:
    """With a checkpoint after each step, most of the time goes into writing them."""
    program = f"""
import seqrs
from seqrs.callbacks import Checkpoint
from seqrs.io import ModelFile
model = seqrs.LanguageModel(hidden_size=96, num_layers=2, seed=0)
callback = Checkpoint("model.seqrs", seconds=0)
model.fit({TEXT!r}, epochs=100000, seq_len=25, callbacks=[callback], progress=False)
"""
    assert Checkpoint("model.seqrs").last.name == "model.last.seqrs"
    moments = random.Random(2)
    for _ in range(3):
        process = subprocess.Popen([COMMAND[0], "-c", program], cwd=tmp_path)
        while not (tmp_path / "model.last.seqrs").exists():
            time.sleep(0.01)
        time.sleep(moments.uniform(0.0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        weights(tmp_path / "model.last.seqrs")
        (tmp_path / "model.last.seqrs").unlink()


def test_a_full_disk_stops_training_and_leaves_the_old_files(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk; the text grows the checkpoint beyond it."""
    (tmp_path / "text.txt").write_text(TEXT)
    seqrs("train", "text.txt", "-o", "model.seqrs", *OPTIONS, folder=tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    limit = len(before["model.last.seqrs"]) // 2

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    again = ("train", "text.txt", "-o", "model.seqrs", "--overwrite", *OPTIONS)
    run = seqrs(*again, folder=tmp_path, code=2, preexec_fn=limited)
    (line,) = run.stderr.splitlines()
    assert line.startswith("seqrs: error: ")
    assert "File too large" in line
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
