"""Runs of the recipes are kept one by one, whoever makes them; what the report of speed says of the machine."""

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


def test_cases_with_cores_far_apart_are_marked(recipes: ModuleType) -> None:
    report = recipes.report

    def row(case: str, hand_overs: list[float | None]) -> dict:
        entry = {"median": 1e-3, "of_limit": None}
        return {
            "group": "LSTM",
            "case": case,
            "others": 0.0,
            "hand_overs": hand_overs,
            "tokens": 64,
            "work": 1e9,
            "contestants": ["seqrs"],
            "entries": {"seqrs": entry},
            "missing": {},
        }

    part = {
        "title": "Training",
        "about": "About.",
        "unit": "GFLOP/s",
        "command": "python bench/run.py",
        "versions": {},
        "left_out": {},
        "limits": {},
        "rounds": 7,
        "rows": [row("near", [50.0, 70.0]), row("moved", [55.0, 390.4])],
    }
    results = {"date": "2026-11-30", "processor": "some", "cores": 2, "workloads": {"layers": part}}
    text = report.speed(results)
    assert "A word from one core to another and back: 50 to 390 ns" in text
    assert "| near |" in text
    assert "| moved (390 ns) |" in text
    part["rows"] = [row("alone", [None, None])]
    assert "A word from" not in report.speed(results)


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
