"""Runs of the recipes are kept one by one, whoever makes them."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture
def recipes(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(BENCH))
    import recipes

    yield recipes
    for name in ("recipes", "report", "machine"):
        sys.modules.pop(name, None)


def publish(recipes: ModuleType, folder: Path, scores: Iterable[tuple[int, float]]) -> None:
    def told(results: dict) -> str:
        return " ".join(f"{run['seed']}: {run['score']}" for run in results["runs"])

    recipes.publish(
        "some.py",
        "some",
        argparse.Namespace(output=folder, threads=1),
        ({"seed": seed, "score": score} for seed, score in scores),
        lambda run: (run["seed"],),
        told,
    )


def test_runs_of_several_commands_make_one_result(recipes: ModuleType, tmp_path: Path) -> None:
    publish(recipes, tmp_path, [(2, 0.5), (0, 0.1)])
    publish(recipes, tmp_path, [(1, 0.3), (2, 0.7)])  # seed 2 again

    (text,), (data,) = tmp_path.glob("some-*.md"), tmp_path.glob("some-*.json")
    assert text.read_text() == "0: 0.1 1: 0.3 2: 0.7"
    assert all(
        run["command"].startswith("python bench/some.py") for run in json.loads(data.read_text())["runs"]
    )


def test_a_run_is_kept_before_the_next_begins(recipes: ModuleType, tmp_path: Path) -> None:
    def scores() -> Iterator[tuple[int, float]]:
        yield 0, 0.1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(recipes, tmp_path, scores())
    (text,) = tmp_path.glob("some-*.md")
    assert text.read_text() == "0: 0.1"
