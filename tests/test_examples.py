"""The examples run as their READMEs say."""

import subprocess
import sys
from pathlib import Path

from commands import seqrs

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_embed_cli(tmp_path: Path) -> None:
    (tmp_path / "poems.txt").write_text(
        "An old silent pond\nA frog jumps into the pond\nSplash! Silence again\n\n" * 40
    )
    seqrs("train", "poems.txt", "-o", "poems.seqrs", "--hidden-size", "48", "--epochs", "20", folder=tmp_path)
    program = EXAMPLES / "embed_cli" / "haiku.py"
    command = [sys.executable, program, "poems.seqrs", "An", "old"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.startswith("An old")
    assert run.stdout.count("\n") == 3
    usage = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert usage.returncode == 1
    assert "python haiku.py MODEL" in usage.stderr
