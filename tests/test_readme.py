"""The README works as it stands: its Python runs, its commands run, its links lead somewhere."""

import os
import re
import shlex
import subprocess
import sysconfig
from pathlib import Path
from pydoc_data.topics import topics

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    shlex.split(line, comments=True)
    for language, block in BLOCKS
    if language == "console"
    for line in re.findall(r"^\$ (.*)$", block, re.MULTILINE)
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the corpus.txt that the README speaks of: small, so that training on it is quick."""
    (tmp_path / "corpus.txt").write_text("".join(topics.values())[:20_000], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_runs_from_top_to_bottom(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for language, block in BLOCKS:
        if language == "python":
            exec(block, names)
    printed = capsys.readouterr().out
    assert len(printed) > 400  # two samples of 200 characters
    assert "(128, 32)\n" in printed
    assert re.search(r"trainable +946\n", printed)  # the table of the model of one's own
    assert re.search(r"RNN +\de-1\d\nGRU +\de-1\d\nLSTM +\de-0\d\n$", printed)  # gradients 50 steps back
    assert (folder / "corpus.seqrs").is_file()


def test_commands_run_in_order(folder: Path) -> None:
    executable = os.path.join(sysconfig.get_path("scripts"), "seqrs")
    ran = []
    for program, *arguments in COMMANDS:
        if program == "seqrs":
            run = subprocess.run(
                [executable, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            assert run.returncode == 0, f"seqrs {shlex.join(arguments)}\n{run.stderr}"
            ran.append(arguments[0])
    assert ran == ["train", "train", "sample", "sample", "score", "info", "inspect", "inspect", "inspect"]
    assert (folder / "model.seqrs").is_file()


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = {command[1] for command in COMMANDS if command[0] == "make"} | set(
        re.findall(r"`make (\w+)`", README)
    )
    assert {"demo", "test"} <= named
    assert [target for target in named if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
