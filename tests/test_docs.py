"""The examples in the docstrings run, and everything public has one."""

import doctest
import importlib
import inspect
import io
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import seqrs

MODULES = ["seqrs"] + [
    module.name
    for module in pkgutil.walk_packages(seqrs.__path__, "seqrs.")
    if module.name not in {"seqrs._native", "seqrs.__main__"}
]


def docstrings_with_examples() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder()
    for name in MODULES:
        yield from (test for test in finder.find(importlib.import_module(name)) if test.examples)


def public_objects() -> Iterator[tuple[str, object]]:
    """Every class and function that a public module lists, exceptions aside: they are only raised."""
    for name in MODULES:
        if not any(part.startswith("_") for part in name.split(".")):
            module = importlib.import_module(name)
            for attribute in getattr(module, "__all__", ()):
                value = getattr(module, attribute)
                if inspect.isroutine(value) or (
                    inspect.isclass(value) and not issubclass(value, BaseException)
                ):
                    yield f"{name}.{attribute}", value


@pytest.mark.parametrize("test", [pytest.param(test, id=test.name) for test in docstrings_with_examples()])
def test_example(test: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=report.write)
    assert runner.failures == 0, report.getvalue()


@pytest.mark.parametrize("value", [pytest.param(value, id=name) for name, value in public_objects()])
def test_everything_public_has_an_example(value: object) -> None:
    documented = [value] if inspect.isroutine(value) else [value, *vars(value).values(), *mro_members(value)]
    assert any(">>>" in (inspect.getdoc(item) or "") for item in documented)


def mro_members(value: type) -> list[object]:
    return [item for base in value.__mro__[1:-1] for item in vars(base).values()]
