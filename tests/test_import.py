"""The public surface: complete, the same for type checkers, and free of charge until used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import seqrs


def imported_by(code: str) -> set[str]:
    """The modules that a fresh interpreter holds after running some code."""
    code += "\nimport sys\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(run.stdout.split())


def test_importing_seqrs_imports_nothing_else() -> None:
    assert imported_by("import seqrs; dir(seqrs)") - imported_by("") == {"seqrs"}


def test_exceptions_need_neither_numpy_nor_the_core() -> None:
    modules = imported_by("import seqrs; seqrs.exceptions.TapeError")
    assert not modules & {"numpy", "seqrs._native"}


@pytest.mark.parametrize("name", seqrs.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(seqrs, name) is not None
    assert name in dir(seqrs)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="module 'seqrs' has no attribute 'Transformer'"):
        _ = seqrs.Transformer


def test_type_checkers_see_what_python_sees() -> None:
    """The imports under TYPE_CHECKING give each lazy name from the same place."""
    assert seqrs.__file__ is not None
    tree = ast.parse(Path(seqrs.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    static = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            where = f"{node.module}:{alias.name}"
            static[alias.asname] = f"seqrs.{alias.name}" if node.module == "seqrs" else where
    assert static == seqrs._WHERE
    assert sorted(static) == sorted(seqrs.__all__)


def test_the_version_is_the_workspaces() -> None:
    cargo = (Path(__file__).parents[1] / "Cargo.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{seqrs.__version__}"\n' in cargo
