"""What the options of recurrent layers cost: each beside the plain layer, in one run.

    python bench/layer_options.py --output bench/results

A turn is a training pass, forward and backward. "Cost per useful step" is its time for each step
that counts, in each direction and layer, as a multiple of the plain layer's.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from machine import IDLE, Others, cores, cpu_model, wait_until_idle
from report import publish, table, times, without_paths

import seqrs
from seqrs import nn

CELLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "LSTM": (nn.LSTM, {}),
    "GRU": (nn.GRU, {}),
    "GRU, reset before": (nn.GRU, {"reset": "before"}),
    "RNN": (nn.RNN, {}),
    "MinGRU": (nn.MinGRU, {}),
    "MinLSTM": (nn.MinLSTM, {}),
}


@dataclass(frozen=True)
class Case:
    """One option, how much work there is with it, and what the layer may cost at most."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    work: float = 1.0  # useful steps, as a multiple of the plain layer's
    counted: str = ""  # "lengths" or "mask": half of the steps count
    limit: float = 1.25


CASES = [
    Case("plain"),
    Case("half-empty batch, lengths", work=0.5, counted="lengths"),
    Case("half-empty batch, mask", work=0.5, counted="mask"),
    Case("bidirectional", {"bidirectional": True}, work=2),
    Case("2 layers, dropout", {"num_layers": 2, "dropout": 0.3}, work=2),
    Case("2 layers, variational dropout", {"num_layers": 2, "dropout": 0.3, "variational": True}, work=2),
    Case("recurrent dropout", {"recurrent_dropout": 0.3}),
    Case("candidate dropout", {"candidate_dropout": 0.3}),
    Case("weight dropout", {"weight_dropout": 0.3}),
    Case("zoneout", {"zoneout": 0.1}),
    Case("zoneout of h and c", {"zoneout": (0.1, 0.1)}),
    Case("activation penalties", {"activation_penalty": 2.0, "temporal_penalty": 1.0}),
    Case("layer norm", {"layer_norm": True}, limit=1.5),
    Case("projection to H / 2", {"proj_size": "half"}),
    Case("learned initial state", {"learn_initial_state": True}),
]


class Turn:
    """One layer with its data, ready to be timed."""

    def __init__(self, cell: str, case: Case, batch: int, steps: int, size: int) -> None:
        kind, form = CELLS[cell]
        options = {k: size // 2 if v == "half" else v for k, v in case.options.items()}
        self.layer = kind(size, size, seed=0, check_finite=False, **form, **options)
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((batch, steps, size)).astype(np.float32)
        self.lengths = np.where(np.arange(batch) % 2, steps, 0) if case.counted == "lengths" else None
        # Every row counts half of its steps, anywhere.
        order = rng.permuted(np.tile(np.arange(steps), (batch, 1)), axis=1)
        self.mask = order < steps // 2 if case.counted == "mask" else None
        y, _ = self.layer(self.x)
        self.dy = rng.standard_normal(y.shape).astype(np.float32) / y.size

    def __call__(self) -> float:
        start = time.perf_counter()
        _, _, tape = self.layer.forward(self.x, lengths=self.lengths, mask=self.mask)
        self.layer.backward(tape, self.dy)
        return time.perf_counter() - start


def fits(cell: str, case: Case) -> bool:
    """Whether the cell has the option: layers refuse what no equation stands for."""
    try:
        Turn(cell, case, 1, 1, 2)
    except (TypeError, ValueError):
        return False
    return True


def measure(cell: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    cases = [case for case in CASES if fits(cell, case)]
    turns = [Turn(cell, case, arguments.batch, arguments.steps, arguments.size) for case in cases]
    for turn in turns:
        turn()
    wait_until_idle([], arguments.idle_limit)
    rounds: list[list[float]] = [[] for _ in turns]
    others = Others([])
    for _ in range(arguments.rounds):
        for turn, taken in zip(turns, rounds, strict=True):
            taken.append(turn())
    busy = others.share()
    plain = median(rounds[0])
    return [
        {
            "cell": cell,
            "option": case.name,
            "milliseconds": 1e3 * median(taken),
            "rounds": taken,
            "cost": median(taken) / plain / case.work,
            "limit": case.limit,
            "others": busy,
        }
        for case, taken in zip(cases, rounds, strict=True)
    ]


def report(results: dict[str, Any]) -> str:
    rows = [
        [
            row["cell"],
            row["option"] + ("" if row["others"] <= IDLE else f" (busy: others {row['others']:.0%})"),
            f"{row['milliseconds']:.1f} ms",
            times(row["cost"]),
            times(row["limit"]),
        ]
        for row in results["rows"]
    ]
    over = [f"{row['cell']}, {row['option']}" for row in results["rows"] if row["cost"] > row["limit"]]
    head = ["cell", "option", "a training pass", "cost per useful step", "limit"]
    return f"""# What the options of recurrent layers cost

- Date: {results["date"]}
- Machine: {results["processor"]}, {results["cores"]} cores; {results["threads"]} threads
- Version: seqrs {seqrs.__version__}
- Command: `{results["command"]}`
- Size: {results["size"]}

{table(head, rows)}

Over the limit: {"; ".join(over) or "none"}.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--size", type=int, default=256, help="features and hidden units")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--idle-limit", type=float, default=120, help="longest wait for an idle machine, s")
    parser.add_argument("--cell", choices=CELLS, action="append", help="default: all")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    seqrs.set_num_threads(arguments.threads)
    results: dict[str, Any] = {
        "date": str(date.today()),
        "processor": cpu_model(),
        "cores": cores(),
        "threads": arguments.threads,
        "command": " ".join(["python", *without_paths(sys.argv)]),
        "size": f"batch {arguments.batch}, {arguments.steps} steps, "
        f"{arguments.size} features and hidden units, float32",
        "rows": [row for cell in arguments.cell or CELLS for row in measure(cell, arguments)],
    }
    publish("layer_options", report(results), results, arguments.output)


if __name__ == "__main__":
    main()
