"""Speed of a character-level LSTM language model: seqrs beside PyTorch, in one run.

    python bench/char_lm_speed.py --torch-python PATH/TO/A/PYTHON/WITH/PYTORCH

See bench/README.md for what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median

import report
from machine import IDLE, ROOT, Others, cores, cpu_model, fma_peak, wait_until_idle

PEERS = Path(__file__).resolve().parent / "peers"
VOCABULARY = 65
TRAIN = [
    (layers, hidden, batch)
    for layers, hidden in [(1, 128), (1, 256), (2, 256), (1, 512)]
    for batch in (32, 64)
]
STEPS = 64
SAMPLE = [(1, 256), (1, 512)]


@dataclass
class Effort:
    """How long to measure."""

    rounds: int  # the libraries take turns this often; medians are over these
    seconds: float  # one library's turn
    idle_limit: float  # longest wait for an idle machine before a case
    tries: int  # a case during which other programs were busy is measured again, so often at most


class Worker:
    """One library in a process of its own (see peers/worker.py)."""

    def __init__(self, python: str, script: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [python, PEERS / script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, **request: object) -> dict:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.process.args} ended with {self.process.wait()} at {request}")
        return json.loads(answer)


def take_turns(workers: dict[str, Worker], effort: Effort, **request: object) -> dict:
    """One row of results: each library's seconds for one repeat of the request, a number a round.

    `others` is the share of the machine that other programs took, before or during the case; of
    several tries the quietest counts.
    """
    pids = [w.process.pid for w in workers.values()]
    repeats = {}
    for name, worker in workers.items():
        worker.ask(**request, repeat=2)  # builds the model and warms up
        repeats[name] = max(1, round(effort.seconds / (worker.ask(**request, repeat=2)["seconds"] / 2)))
    tries = []
    for _ in range(effort.tries):
        before = wait_until_idle(pids, effort.idle_limit)
        others = Others(pids)
        seconds: dict[str, list[float]] = {name: [] for name in workers}
        for _ in range(effort.rounds):
            for name, worker in workers.items():
                # Threads of the library before may spin for a while before they sleep.
                time.sleep(0.2)
                seconds[name].append(worker.ask(**request, repeat=repeats[name])["seconds"] / repeats[name])
        tries.append({"others": max(before, others.share()), "seconds": seconds})
        if tries[-1]["others"] <= IDLE:
            break
    return min(tries, key=lambda row: row["others"])


def train_flop(layers: int, hidden: int, batch: int, *, distinct_tokens: bool) -> float:
    """Multiply-adds, counted as two, for one token of training (embedding size = hidden size H).

    A product costs the same again for each of its two gradients, hence 3. A layer multiplies its
    input and its state, H numbers each, by (4H, H) weights; the head multiplies H by (V, H).
    With `distinct_tokens` the first layer's input product counts once for each token of the
    vocabulary and training step, as seqrs does it, not once for each token of the text.
    """
    product = 2 * 4 * hidden * hidden
    head = 2 * hidden * VOCABULARY
    saved = product * (1 - VOCABULARY / (batch * STEPS)) if distinct_tokens else 0.0
    return 3 * (layers * 2 * product + head - saved)


def sample_flop(layers: int, hidden: int) -> float:
    """The same for drawing one token, everything dense."""
    return layers * 2 * 2 * 4 * hidden * hidden + 2 * hidden * VOCABULARY


def training(workers: dict[str, Worker], effort: Effort, threads: int, peak: float) -> list[dict]:
    rows = []
    for layers, hidden, batch in TRAIN:
        case = f"LSTM {layers}×{hidden}, batch {batch}"
        print("training", case, file=sys.stderr)
        row = take_turns(
            workers,
            effort,
            do="train",
            layers=layers,
            hidden=hidden,
            batch=batch,
            steps=STEPS,
            threads=threads,
        )
        row |= {"case": case, "tokens_per_s": {}, "of_peak": {}}
        for name, times in row["seconds"].items():
            rate = batch * STEPS / median(times)
            row["tokens_per_s"][name] = rate
            flop = train_flop(layers, hidden, batch, distinct_tokens=False)
            row["of_peak"][name] = rate * flop / 1e9 / peak
            if name == "seqrs":
                flop = train_flop(layers, hidden, batch, distinct_tokens=True)
                row["of_peak"]["seqrs, executed"] = rate * flop / 1e9 / peak
        rows.append(row)
    return rows


def sampling(workers: dict[str, Worker], effort: Effort, peak: dict[int, float]) -> list[dict]:
    rows = []
    for layers, hidden in SAMPLE:
        for threads in peak:
            case = f"LSTM {layers}×{hidden}"
            print(f"sampling {case}, {threads} threads", file=sys.stderr)
            row = take_turns(workers, effort, do="sample", layers=layers, hidden=hidden, threads=threads)
            row |= {"case": case, "threads": threads, "us_per_token": {}, "of_peak": {}}
            for name, times in row["seconds"].items():
                row["us_per_token"][name] = median(times) * 1e6
                row["of_peak"][name] = sample_flop(layers, hidden) / median(times) / 1e9 / peak[threads]
            rows.append(row)
    return rows


def import_seconds(pythons: dict[str, tuple[str, str]], rounds: int) -> dict[str, float]:
    """Median time of each `import` statement in a fresh interpreter that has NumPy imported already."""
    seconds: dict[str, list[float]] = {name: [] for name in pythons}
    for _ in range(rounds + 1):
        for name, (python, statement) in pythons.items():
            code = f"import time, numpy; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
            out = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True, cwd=PEERS)
            seconds[name].append(float(out.stdout))
    # The first round may have read the files from disk.
    return {name: median(times[1:]) for name, times in seconds.items()}


def newest_wheel() -> Path | None:
    wheels = sorted((ROOT / "dist").glob("seqrs-*.whl"), key=lambda w: w.stat().st_mtime)
    return wheels[-1] if wheels else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--torch-python",
        default=os.environ.get("SEQRS_BENCH_TORCH"),
        metavar="PATH",
        help="Python of an environment with PyTorch and NumPy (default: $SEQRS_BENCH_TORCH)",
    )
    parser.add_argument("--only", choices=["seqrs", "PyTorch"], help="measure one library alone")
    parser.add_argument(
        "--threads", type=int, default=cores(), help="threads of each library (default: all cores)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a trial run: few and short rounds, no wait for idleness"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="where to write the results (default: print only)"
    )
    options = parser.parse_args()
    if options.only != "seqrs" and not options.torch_python:
        parser.error(
            "PyTorch's Python is needed: --torch-python PATH, or SEQRS_BENCH_TORCH (or --only seqrs)"
        )

    effort = Effort(2, 0.05, 0.0, 1) if options.quick else Effort(9, 0.5, 120.0, 3)
    trained, sampled, imports = {}, {}, {}
    if options.only != "PyTorch":
        trained["seqrs"] = sampled["seqrs"] = Worker(sys.executable, "seqrs_char_lm.py")
        imports["import seqrs"] = (sys.executable, "import seqrs")
        imports["import seqrs; seqrs.LanguageModel"] = (sys.executable, "import seqrs; seqrs.LanguageModel")
    if options.only != "seqrs":
        trained["PyTorch"] = sampled["PyTorch"] = Worker(options.torch_python, "torch_char_lm.py")
        sampled["PyTorch LSTMCell"] = Worker(options.torch_python, "torch_char_lm.py", "--cell")
        imports["import torch"] = (options.torch_python, "import torch")

    wait_until_idle([], effort.idle_limit)
    peak = fma_peak(sorted({1, options.threads}))
    wheel = newest_wheel()
    results = {
        "date": date.today().isoformat(),
        "command": " ".join(["python bench/char_lm_speed.py", *report.without_paths(sys.argv[1:])]),
        "processor": cpu_model(),
        "cores": cores(),
        "threads": options.threads,
        "versions": {k: v for w in trained.values() for k, v in w.ask(do="versions").items()}
        | {"Python": sys.version.split()[0]},
        "rounds": effort.rounds,
        "seconds_per_turn": effort.seconds,
        "peak_gflop_per_s": peak,
        "training": training(trained, effort, options.threads, peak[options.threads]),
        "sampling": sampling(sampled, effort, peak),
        "import_seconds": import_seconds(imports, effort.rounds),
        "wheel_bytes": wheel.stat().st_size if wheel else None,
    }
    report.publish("char_lm_speed", report.char_lm_speed(results), results, options.output)


if __name__ == "__main__":
    main()
