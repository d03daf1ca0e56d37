"""What the scripts that train by a recipe have in common: their options, and runs that are kept one by one."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import report
from machine import cores, cpu_model

import seqrs


def parser(doc: str) -> argparse.ArgumentParser:
    """Return a parser of the options that all have."""
    options = argparse.ArgumentParser(description=doc.split("\n", 1)[0])
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="SEED")
    options.add_argument("--threads", type=int, default=cores(), help="default: all cores")
    options.add_argument(
        "--output", type=Path, metavar="FOLDER", help="where to write the results (default: print only)"
    )
    return options


def publish(
    script: str,
    name: str,
    options: argparse.Namespace,
    runs: Iterable[dict],
    order: Callable[[dict], tuple],
    text: Callable[[dict], str],
    packages: tuple[str, ...] = (),
    **told: Any,
) -> None:
    """Publish after each run. Runs of the day that other commands made stay, unless made again.

    `order` says where a run belongs and which run it is; `packages` are those that the results depend on,
    too; `told` is what else the results have.
    """
    results = {
        "date": date.today().isoformat(),
        "command": " ".join([f"python bench/{script}", *report.without_paths(sys.argv[1:])]),
        "processor": cpu_model(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "versions": {
            "seqrs": seqrs.__version__,
            "Python": sys.version.split()[0],
            **{name: version(name) for name in ("numpy", *packages)},
        },
        **told,
    }
    made: list[dict] = []
    for run in runs:
        made.append({**run, "command": results["command"]})
        # Read again each time: another process may have added its own.
        path = options.output / f"{name}-{results['date']}.json" if options.output else None
        before = json.loads(path.read_text())["runs"] if path and path.exists() else []
        placed = {order(run): run for run in before + made}
        results["runs"] = [placed[place] for place in sorted(placed)]
        report.publish(name, text(results), results, options.output)
