"""The examples run as their READMEs say: on what they generate themselves, or on files of that form."""

import re
import subprocess
import sys
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
