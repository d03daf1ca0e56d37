"""Running the command line as people do: in a process of its own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "seqrs"]


def seqrs(
    *arguments: str | Path, folder: Path, code: int = 0, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder and check its exit code; no input unless given."""
    if "input" not in options:
        options.setdefault("stdin", subprocess.DEVNULL)
    run = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
        **options,
    )
    assert run.returncode == code, f"exit code {run.returncode}\n{run.stdout}\n{run.stderr}"
    return run
