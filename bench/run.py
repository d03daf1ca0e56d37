"""What `make bench` runs: PyTorch into an environment of its own, then the speed comparison.

With SEQRS_BENCH_TORCH naming a Python that has PyTorch and NumPy, nothing is installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / "target" / "bench-peers"


def torch_python() -> str:
    if given := os.environ.get("SEQRS_BENCH_TORCH"):
        return given
    python = PEERS / "bin" / "python"
    done = PEERS / ".installed"
    if not done.exists():
        print("Installing PyTorch and NumPy into target/bench-peers (several GB)", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", PEERS], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "torch", "numpy"], check=True)
        done.touch()
    return str(python)


if __name__ == "__main__":
    sys.exit(
        subprocess.call(
            [sys.executable, HERE / "char_lm_speed.py", "--output", HERE / "results", *sys.argv[1:]],
            env=os.environ | {"SEQRS_BENCH_TORCH": torch_python()},
        )
    )
