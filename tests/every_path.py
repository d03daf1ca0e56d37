"""Runs the tests of what computes once more on every other instruction set that this processor has.

`make test-paths`; the set in use has had the whole suite. A set that the processor has, by the kernel's word,
but that did not run makes this fail.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS, CPUINFO = Path(__file__).parent, Path("/proc/cpuinfo")

# Slowest first, and the processor flags that each needs, as the kernel names them.
PATHS = {
    "portable": set(),
    "avx2": {"avx2", "fma"},
    "avx512": {"avx2", "fma", "avx512f", "avx512vl", "avx512bw", "avx512dq"},
    "avx512bf16": {
        "avx2",
        "fma",
        "avx512f",
        "avx512vl",
        "avx512bw",
        "avx512dq",
        "avx512_bf16",
        "avx512_vnni",
    },
}
PATHS["amx"] = PATHS["avx512bf16"] | {"amx_tile", "amx_bf16"}

# Layers and models beside other libraries, their gradients, losses, searches. Beside the reference they
# run on every instruction set in the core's own tests (backends.rs).
FILES = [
    "golden",
    "gradients",
    "language_model",
    "threads",
    "bfloat16",
    "attention",
    "decoding",
    "crf",
    "ctc",
    "losses",
]
# Those with products of rounded numbers.
ROUNDED = ["language_model", "bfloat16", "attention"]
# The code of these sets is that of another but for products of rounded numbers (`Task::DOTS` and tiles in the
# core): who has had all the files on one has had the rest of them on the others.
SAME = {"avx512bf16": "avx512", "amx": "avx512"}


def of_processor() -> list[str]:
    """The paths that this processor has."""
    flags = set()
    for line in CPUINFO.read_text().splitlines():
        if line.startswith("flags"):
            flags = set(line.partition(":")[2].split())
            break
    return [path for path, needed in PATHS.items() if needed <= flags]


def to_run(others: list[str], used: str) -> dict[str, list[str]]:
    """The files for each path, where all files have had the one in use."""
    had, files = {SAME.get(used, used)}, {}
    for path in others:
        code = SAME.get(path, path)
        files[path] = ROUNDED if code in had else FILES
        had.add(code)
    return files


def run(path: str, files: list[str]) -> bool:
    """Whether the files hold on one path; `conftest.py` makes the run fail where it is another that is in use."""
    tests = [str(TESTS / f"test_{name}.py") for name in files]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(
        command,
        env=os.environ | {"SEQRS_CPU": path},
        cwd=TESTS.parent,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    print(f"\ninstruction set: {path}\n{done.stdout}", flush=True)
    return done.returncode == 0


def main() -> None:
    import seqrs

    features = seqrs.cpu_features()
    detected, used = features["detected"], features["path"]
    if CPUINFO.exists() and detected != of_processor():
        sys.exit(f"this processor has {of_processor()}, seqrs detected {detected}")
    others = [path for path in detected if path != used]
    files = to_run(others, used)
    # Most tests are too small for a second thread: the paths have a core each.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        held = list(pool.map(run, files, files.values()))
    if failed := [path for path, good in zip(others, held, strict=True) if not good]:
        sys.exit(f"the tests failed with SEQRS_CPU={', '.join(failed)}")
    print(f"\ninstruction sets tested here: {', '.join(others) or 'none'}; in use: {used}")


if __name__ == "__main__":
    main()
