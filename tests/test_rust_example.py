"""The example of the Rust crate writes the same text as the package does, from the same file."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

import seqrs

ROOT = Path(__file__).parents[1]
TEXT = "It is a café; it has a naïve owner.\nIt is a bar, and the bar is old.\n\n" * 12


def generate(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = ["cargo", "run", "--quiet", "--example", "generate", "--", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)


@pytest.mark.parametrize(
    ("level", "documents", "prompt", "options"),
    [
        ("char", "file", "It i", {}),
        ("byte", "line", "a caf", {"cell": "gru", "embedding_size": None}),
        ("word", "file", "the bar\n\nIt", {"cell": "rnn", "min_count": 13}),
    ],
)
def test_it_writes_what_sample_returns(
    tmp_path: Path, level: str, documents: str, prompt: str, options: dict[str, Any]
) -> None:
    model = seqrs.LanguageModel(level, hidden_size=16, num_layers=1, seed=0, **options)
    text = TEXT.splitlines() if documents == "line" else TEXT
    model.fit(text, documents=documents, epochs=8, seq_len=10, batch_size=8, validation=None, progress=False)
    path = tmp_path / "model.seqrs"
    model.save(path)
    for temperature in (0, 1.5):
        done = generate(
            path, "--prompt", prompt, "--length", 60, "--temperature", temperature, "--seed", 2**63
        )
        assert (done.stderr, done.returncode) == ("", 0)
        assert done.stdout == model.sample(60, prompt, temperature=temperature, seed=2**63) + "\n"


def test_it_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "poem.txt"
    path.write_text("The old pond: a frog jumps in, the sound of water.", encoding="utf-8")
    done = generate(path)
    assert done.returncode == 2
    assert f"{path}: not a usable model file" in done.stderr
    done = generate(path, "--length", "many")
    assert done.returncode == 2
    assert '--length: expected a number of tokens, got "many"' in done.stderr
