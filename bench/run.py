"""Measure seqrs beside its peers: what `make bench` runs.

    python bench/run.py                                  everything, into bench/results
    python bench/run.py --quick                          a trial of two minutes, printed
    python bench/run.py --only token --only memory       some workloads; the others' results stay
    python bench/run.py --without keras --python torch=PATH/TO/python

See bench/README.md for what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import traceback
from datetime import date
from pathlib import Path

from machine import ROOT, cores, cpu_model, limits, wait_until_idle
from peers import PEERS, MissingError, Pool, environment
from report import speed, without_paths
from turns import FULL, QUICK
from workloads import WORKLOADS


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--quick", action="store_true", help="a trial: few cases, short rounds, no wait for idleness"
    )
    parser.add_argument(
        "--only", action="append", choices=WORKLOADS, help="this workload (may be given again; default: all)"
    )
    parser.add_argument(
        "--without", action="append", choices=PEERS, default=[], metavar="PEER", help="leave a library out"
    )
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="PEER=PATH",
        help="a Python that has the library's packages already, in place of installing them",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="default: bench/results, with --quick target/bench"
    )
    options = parser.parse_args()
    options.python = dict(given.partition("=")[::2] for given in options.python)
    if unknown := set(options.python) - set(PEERS):
        parser.error(f"--python: expected one of {', '.join(PEERS)}, got {', '.join(unknown)}")
    return options


def keep(results: dict, stem: Path) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    stem.with_suffix(".md").write_text(speed(results))


def command() -> str:
    """The command as given, without this machine's folders, so that results can be published."""
    shown = [re.sub(r"=.*/", "=", argument) for argument in without_paths(sys.argv[1:])]
    return " ".join(["python bench/run.py", *shown])


def draw(results: Path) -> None:
    """The ratios as a picture. matplotlib has an environment of its own, as the libraries have."""
    try:
        python = environment("plot", ("matplotlib",))
        script = ROOT / "bench" / "plot.py"
        subprocess.run([python, script, results, results.with_name("ratios.svg")], check=True)
    except (MissingError, subprocess.CalledProcessError) as error:
        print(f"no picture: {error}", file=sys.stderr)


def main() -> None:
    options = arguments()
    effort = QUICK if options.quick else FULL
    folder = options.output or ROOT / ("target/bench" if options.quick else "bench/results")
    stem = folder / f"speed-{date.today().isoformat()}"
    results: dict = {"date": date.today().isoformat(), "processor": cpu_model(), "cores": cores()}
    results["workloads"] = {}
    if options.only and stem.with_suffix(".json").exists():
        results |= json.loads(stem.with_suffix(".json").read_text())

    pool = Pool(options.python, options.without)
    try:
        versions = pool.prepare(list(PEERS))
        measured: dict[str, dict[str, float]] = {}
        for _ in range(effort.tries):
            wait_until_idle(pool.pids(), effort.idle_limit)
            for kind, by_threads in limits().items():
                of = measured.setdefault(kind, {})
                for threads, limit in by_threads.items():
                    # Other programs can only lower it.
                    of[threads] = max(limit, of.get(threads, 0.0))
        for name in options.only or WORKLOADS:
            print(name, file=sys.stderr)
            workload = WORKLOADS[name]
            result = {
                "title": workload.title,
                "about": workload.about,
                "unit": workload.unit,
                "command": command(),
                "versions": versions | {"Python": sys.version.split()[0]},
                "left_out": dict(pool.missing),
                "limits": measured,
                "rounds": effort.rounds,
                "rows": [],
            }
            try:
                for row in workload.run(pool, effort, measured, options.quick):
                    result["rows"].append(row)
            except Exception as error:  # noqa: BLE001 - what is measured already must not be lost
                traceback.print_exc()
                result["error"] = f"{type(error).__name__}: {error}"
            results["workloads"][name] = result
            results["workloads"] = {
                n: results["workloads"][n] for n in WORKLOADS if n in results["workloads"]
            }
            keep(results, stem)
    finally:
        pool.close()
    print(stem.with_suffix(".md").read_text())
    draw(stem.with_suffix(".json"))


if __name__ == "__main__":
    main()
