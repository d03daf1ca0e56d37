"""What environment variables change, each in a process of its own: instruction sets and threads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from every_path import CPUINFO, of_processor

import seqrs

TESTS = Path(__file__).parent
DETECTED = seqrs.cpu_features()["detected"]


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        env=os.environ | environment,
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
    )


def test_detected_instruction_sets_are_those_of_the_processor() -> None:
    if not CPUINFO.exists():
        pytest.skip(f"{CPUINFO} tells what this processor has, and is not there")
    assert of_processor() == DETECTED


@pytest.mark.parametrize("path", DETECTED)
def test_an_instruction_set_can_be_forced(path: str) -> None:
    code = "import seqrs; print(seqrs.cpu_features()['path'])"
    assert run("-c", code, SEQRS_CPU=path).stdout == f"{path}\n"


def test_number_of_threads() -> None:
    code = "import seqrs; print(seqrs.get_num_threads())"
    assert run("-c", code, SEQRS_NUM_THREADS="3").stdout == "3\n"


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("SEQRS_CPU", "sse9", "portable, avx2, avx512, avx512bf16, amx"),
        ("SEQRS_NUM_THREADS", "0", "a number from 1 to 1024"),
        ("SEQRS_NUM_THREADS", "many", "a number from 1 to 1024"),
    ],
)
def test_a_wrong_value_is_named(variable: str, value: str, expected: str) -> None:
    code = "import seqrs; seqrs.get_num_threads(), seqrs.cpu_features()"
    result = run("-c", code, **{variable: value})
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last == f'ValueError: {variable}: expected {expected}, got "{value}"'


def test_a_wrong_path_is_no_fault_of_a_model_file(tmp_path: Path) -> None:
    path = tmp_path / "m.seqrs"
    seqrs.LanguageModel(hidden_size=4, seed=0).fit("abab" * 20, seq_len=8, epochs=1, progress=False).save(
        path
    )
    result = run("-c", "import seqrs, sys; seqrs.load(sys.argv[1])", str(path), SEQRS_CPU="sse9")
    assert result.stderr.splitlines()[-1].startswith("ValueError: SEQRS_CPU: expected portable, avx2")
