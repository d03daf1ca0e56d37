"""Checks and measures device="gpu" on this machine's best adapter. This is `make bench-gpu`.

    python bench/gpu.py --output bench/results

First the tests of the backend run on the adapter; where they fail nothing is measured. Then come what a
step that waits for the one before costs, the rate of large products, and a model of tokens: forward, one
training step (forward, backward, clip by norm, Adam) whose loss is read, and as many as a training loop
makes from one look at the losses to the next. All against PyTorch on the same adapter where it is installed
with CUDA, with TF32 on (its default for recurrent layers) and off, and against device="cpu". Only tokens go
to the device and only losses come back, on all sides.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from machine import ROOT, cores, cpu_model
from report import publish, table, without_paths

import seqrs
from seqrs import _native, nn

VOCABULARY = 65
# Training steps whose losses the host reads together.
AHEAD = 16
TESTS = [*sorted((ROOT / "tests").glob("test_gpu*.py"))]


@dataclass(frozen=True)
class Case:
    """A one-layer LSTM of H units that reads batches of B rows of T tokens."""

    hidden: int
    batch: int
    steps: int = 100


# The table that the backend was designed by.
CASES = [Case(128, 32), Case(256, 64), Case(512, 64), Case(1024, 64), Case(1024, 256)]
QUICK = [Case(16, 4, 6)]

Run = Callable[[], object]


def tokens(case: Case) -> tuple[np.ndarray, np.ndarray]:
    text = np.random.default_rng(0).integers(VOCABULARY, size=(case.batch, case.steps + 1), dtype=np.int32)
    return np.ascontiguousarray(text[:, :-1]), np.ascontiguousarray(text[:, 1:])


def ours(case: Case, device: str) -> dict[str, Run]:
    network = _native.Network.language_model(
        cell="lstm",
        form="none",
        vocab_size=VOCABULARY,
        embedding_size=case.hidden,
        hidden_size=case.hidden,
        num_layers=1,
        dropout=0.0,
        dtype="float32",
        device=device,
        seed=0,
    )
    adam = _native.Optimizer(network.num_trainable, "float32", "adam", clip_norm=5.0)
    inputs, targets = tokens(case)
    counter = itertools.count()

    def steps(count: int) -> float:
        for _ in range(count):
            outcome, _ = network.train_step(
                inputs, targets, None, None, adam, lr=1e-3, seed=0, step=next(counter)
            )
        return outcome.loss

    return {
        "forward": lambda: network.evaluate(inputs, targets, None, None),
        "training step": lambda: steps(1),
        f"{AHEAD} training steps": lambda: steps(AHEAD),
    }


def torchs(case: Case, torch: Any, tf32: bool) -> dict[str, Run]:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.manual_seed(0)
    embedding = torch.nn.Embedding(VOCABULARY, case.hidden).cuda()
    layer = torch.nn.LSTM(case.hidden, case.hidden).cuda()
    head = torch.nn.Linear(case.hidden, VOCABULARY).cuda()
    parameters = [p for module in (embedding, layer, head) for p in module.parameters()]
    adam = torch.optim.Adam(parameters, lr=1e-3, fused=True)
    inputs, targets = (np.ascontiguousarray(array.T) for array in tokens(case))

    def loss() -> Any:
        x, y = torch.from_numpy(inputs).cuda().long(), torch.from_numpy(targets).cuda().long()
        logits = head(layer(embedding(x))[0])
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())

    def forward() -> float:
        with torch.inference_mode():
            return loss().item()

    def steps(count: int) -> float:
        for _ in range(count):
            value = loss()
            adam.zero_grad(set_to_none=True)
            value.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 5.0)
            adam.step()
        return value.item()

    return {
        "forward": forward,
        "training step": lambda: steps(1),
        f"{AHEAD} training steps": lambda: steps(AHEAD),
    }


def milliseconds(run: Run, budget: float) -> float:
    """The median time of a call, of as many as fit into `budget` seconds, at least three."""
    run()
    run()
    times: list[float] = []
    end = time.perf_counter() + budget
    while len(times) < 3 or (time.perf_counter() < end and len(times) < 200):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e3 * median(times)


def step_cost(quick: bool, budget: float) -> float:
    """Microseconds of a step that has next to nothing to compute and waits for the one before."""
    layer = nn.RNN(1, 16, device="gpu", seed=0, check_finite=False)
    short, long = (20, 40) if quick else (500, 1500)
    inputs = [np.zeros((1, n, 1), np.float32) for n in (short, long)]
    spent = [milliseconds(lambda x=x: layer(x), budget) for x in inputs]
    return 1e3 * (spent[1] - spent[0]) / (long - short)


def product_rate(n: int, budget: float) -> float:
    """GFLOP/s of products of n x n matrices: of eight more in a row, arrays in and out left out so."""
    x = np.ones((n, 1, n), np.float32)

    def run(count: int) -> Run:
        net = nn.Sequential(*[nn.Linear(n, n, device="gpu", check_finite=False) for _ in range(count)])
        return lambda: net(x)

    few, many = (milliseconds(run(count), budget) for count in (1, 9))
    return 8 * 2 * n**3 / max(many - few, 1e-6) / 1e6


def check() -> str:
    """Run the backend's tests; the last line that they print."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, TESTS)]
    run = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"SEQRS_TEST_GPU": "require"}, capture_output=True, text=True
    )
    if run.returncode:
        raise SystemExit(f"{run.stdout}\nThe tests fail on this adapter: nothing is measured.")
    return run.stdout.strip().splitlines()[-1]


def cuda() -> Any:
    """PyTorch, if it is here and has a device."""
    try:
        import torch
    except ImportError:
        return None
    return torch if torch.cuda.is_available() else None


def measure(cases: list[Case], budget: float, torch: Any) -> list[dict[str, Any]]:
    rows = []
    for case in cases:
        sides = {"gpu": lambda c=case: ours(c, "gpu"), "cpu": lambda c=case: ours(c, "cpu")}
        if torch is not None:
            sides["PyTorch, TF32"] = lambda c=case: torchs(c, torch, True)
            sides["PyTorch, float32"] = lambda c=case: torchs(c, torch, False)
        for name, side in sides.items():
            for what, run in side().items():
                spent = milliseconds(run, budget)
                print(f"{case} {what}, {name}: {spent:.3f} ms", file=sys.stderr)
                rows.append(asdict(case) | {"what": what, "side": name, "milliseconds": spent})
    return rows


def markdown(results: dict[str, Any]) -> str:
    sides = list(dict.fromkeys(row["side"] for row in results["times"]))
    head = ["", *(f"{side}, ms" for side in sides), *(f"gpu / {side}" for side in sides[1:])]
    groups: dict[str, dict[str, float]] = {}
    for row in results["times"]:
        name = f"{row['what']}, H {row['hidden']}, B {row['batch']}, T {row['steps']}"
        groups.setdefault(name, {})[row["side"]] = row["milliseconds"]
    lines = [
        [name]
        + [f"{spent[side]:.2f}" for side in sides]
        + [f"{spent['gpu'] / spent[side]:.2f}" for side in sides[1:]]
        for name, spent in groups.items()
    ]
    rates = ", ".join(f"{rate:,.0f} GFLOP/s for {n} x {n}" for n, rate in results["products"].items())
    return (
        "\n\n".join(
            [
                f'# Speed of device="gpu", {results["date"]}',
                f"`{results['command']}`\n\n{results['adapter']}; {results['processor']}, {results['cores']} cores. "
                f"Tests on the adapter: {results['tests']}.",
                f"A step that waits for the one before costs {results['step_microseconds']:.1f} µs; products of "
                f"matrices: {rates}.",
                "One-layer LSTM of H units over tokens, batches of B rows of T steps; a ratio below 1 is faster here.",
                table(head, lines),
            ]
        )
        + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes: to see that it works")
    parser.add_argument("--no-tests", action="store_true", help="measure at once")
    parser.add_argument("--output", type=Path, help="folder for the JSON and the Markdown")
    arguments = parser.parse_args()
    found = seqrs.gpu.info()
    print(found, file=sys.stderr)
    if found.chosen is None:
        raise SystemExit(2)
    tests = "not run" if arguments.no_tests else check()
    budget = 0.2 if arguments.quick else 2.0
    sizes = [64] if arguments.quick else [1024, 2048, 4096]
    results: dict[str, Any] = {
        "date": date.today().isoformat(),
        "command": " ".join(["python", "bench/gpu.py", *without_paths(sys.argv[1:])]),
        "adapter": f"{found.chosen.name}, {found.chosen.backend}, {found.chosen.driver}",
        "limits": found.chosen.limits,
        "processor": cpu_model(),
        "cores": cores(),
        "tests": tests,
        "step_microseconds": step_cost(arguments.quick, budget),
        "products": {n: product_rate(n, budget) for n in sizes},
    }
    torch = cuda()
    if torch is not None:
        results["versions"] = {"PyTorch": torch.__version__, "cuDNN": torch.backends.cudnn.version()}
    results["times"] = measure(QUICK if arguments.quick else CASES, budget, torch)
    publish("gpu-quick" if arguments.quick else "gpu", markdown(results), results, arguments.output)


if __name__ == "__main__":
    main()
