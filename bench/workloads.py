"""What is measured: each workload is a list of cases, or a function that measures its rows itself.

Counting work: a multiply-add is two FLOP. A layer with G gates (LSTM 4, GRU 3, RNN 1) and as many features
as hidden units H multiplies its input and its state by (GH, H) weights at each step: 4GH² for one token
forward, and the same again for each of the two gradients of a product. Gate functions, softmax, clipping,
Adam and bias sums are not counted, so nobody reaches the limit.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from machine import cores, wait_until_idle
from peers import PEERS, SCRIPTS, MissingError, Pool
from turns import Case, Contestant, Effort, measure

VOCABULARY, TOKENS = 65, 64  # as in peers/worker.py, which needs NumPy
GATES = {"lstm": 4, "gru": 3, "gru_before": 3, "rnn": 1}
NAMES = {"lstm": "LSTM", "gru": "GRU", "gru_before": "GRU, reset before", "rnn": "RNN"}
SIZES = (128, 256, 512, 1024)

SEQRS = Contestant("seqrs")
TORCH = Contestant("torch")

Rows = Iterator[dict]
Limits = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Workload:
    title: str
    about: str
    unit: str  # "GFLOP/s", "tokens/s", "µs/token", "MB" or "ms"
    cases: Callable[[], list[Case]] | None = None
    rows: Callable[[Pool, Effort], Rows] | None = None

    def run(self, pool: Pool, effort: Effort, limits: Limits, few: bool) -> Rows:
        if self.rows:
            yield from self.rows(pool, effort)
            return
        cases = self.cases()
        for case in cases[:: max(1, len(cases) // 2)] if few else cases:
            print(f"  {case.label}", file=sys.stderr)
            yield measure(case, pool, effort, limits)


def layer(
    do: str,
    cell: str,
    hidden: int,
    batch: int,
    steps: int,
    contestants: dict[str, Contestant],
    *,
    dtype: str = "float32",
    label: str = "",
    best_threads: bool = False,
) -> Case:
    training = do == "layer_train"
    asked = {"do": do, "cell": cell, "hidden": hidden, "batch": batch, "steps": steps}
    return Case(
        group=label + NAMES[cell],
        label=f"{label}{NAMES[cell]} {hidden}, batch {batch}, {steps} steps",
        asked=asked | ({"dtype": dtype} if training else {}),
        contestants=contestants,
        work=(3 if training else 1) * 4 * GATES[cell] * hidden**2 * batch * steps,
        limit=dtype,
        tokens=batch * steps,
        best_threads=best_threads,
    )


def layers() -> list[Case]:
    return [
        layer("layer_train", cell, hidden, batch, steps, {"seqrs": SEQRS, "PyTorch": TORCH})
        for cell in ("lstm", "gru", "gru_before", "rnn")
        for hidden in SIZES
        for batch, steps in ((32, 64), (64, 128))
    ]


def layers_bfloat16() -> list[Case]:
    return [
        layer(
            "layer_train", "lstm", hidden, batch, steps, {"seqrs": SEQRS, "PyTorch": TORCH}, dtype="bfloat16"
        )
        for hidden in SIZES
        for batch, steps in ((32, 64), (64, 128))
    ]


def avx2() -> list[Case]:
    both = {"seqrs": SEQRS, "seqrs, AVX2": Contestant("seqrs", settings={"SEQRS_CPU": "avx2"})}
    return [
        layer("layer_train", cell, hidden, 32, 64, both)
        for cell in ("lstm", "gru", "gru_before", "rnn")
        for hidden in SIZES
    ]


EVERYONE = {peer.title: Contestant(name) for name, peer in PEERS.items()}


def training() -> list[Case]:
    contestants = {title: c for title, c in EVERYONE.items() if c.peer != "onnxruntime"}
    return [
        layer("layer_train", cell, hidden, 32, 64, contestants, best_threads=True)
        for cell in ("lstm", "gru", "rnn")
        for hidden in (128, 512)
    ]


def inference() -> list[Case]:
    return [
        layer("layer_infer", cell, hidden, batch, 64, EVERYONE, best_threads=True)
        for cell in ("lstm", "gru", "rnn")
        for batch, sizes in ((1, (256, 1024)), (32, SIZES))
        for hidden in sizes
    ]


def model_step(cell: str, hidden: int, batch: int, steps: int, best_threads: bool) -> Case:
    """One training step of a character model; seqrs projects each distinct token once."""
    product = 2 * GATES[cell] * hidden**2
    tokens = batch * steps
    work = 3 * tokens * (2 * product + 2 * hidden * VOCABULARY)
    saved = 3 * product * max(0, tokens - VOCABULARY)
    return Case(
        group=NAMES[cell],
        label=f"{NAMES[cell]} {hidden}, batch {batch}, {steps} steps",
        asked={"do": "model_train", "cell": cell, "hidden": hidden, "batch": batch, "steps": steps},
        contestants={"seqrs": Contestant("seqrs", work=work - saved), "PyTorch": TORCH},
        work=work,
        limit="float32",
        tokens=tokens,
        best_threads=best_threads,
    )


def model() -> list[Case]:
    return [
        model_step(cell, hidden, batch, 64, best_threads=False)
        for cell in ("lstm", "gru")
        for hidden in (128, 256, 512)
        for batch in (32, 64)
    ]


def small() -> list[Case]:
    return [
        model_step(cell, hidden, batch, 25, best_threads=True)
        for cell in ("lstm", "gru")
        for hidden in (32, 64)
        for batch in (1, 4, 16)
    ]


def token() -> list[Case]:
    cases = []
    for weights, width in (("float32", 4), ("bfloat16", 2), ("int8", 1)):
        # Other widths are set beside the same float32 PyTorch, which has none that is faster.
        float32 = {"weights": "float32"}
        for hidden in SIZES:
            recurrent = 4 * hidden**2
            head = VOCABULARY * hidden
            cases.append(
                Case(
                    group=f"LSTM, {weights}",
                    label=f"LSTM {hidden}, {weights} weights",
                    asked={"do": "sample", "cell": "lstm", "hidden": hidden},
                    contestants={
                        # The input product of each token is made once and then looked up.
                        "seqrs": Contestant(
                            "seqrs", {"weights": weights}, work=TOKENS * width * (recurrent + head)
                        ),
                        "PyTorch nn.LSTM": Contestant("torch", float32),
                        "PyTorch nn.LSTMCell": Contestant("torch", float32 | {"module": "cell"}),
                    },
                    work=TOKENS * 4 * (2 * recurrent + head),
                    limit="bandwidth",
                    tokens=TOKENS,
                    best_threads=True,
                )
            )
    return cases


def of_each(
    one: Callable[[str], dict[str, Contestant]], hidden: tuple[int, ...], cells: tuple[str, ...]
) -> list[Case]:
    """Cases that set one library beside itself, seqrs and PyTorch in rows of their own."""
    return [
        layer("layer_train", cell, size, 32, 64, one(name), label=f"{PEERS[name].title}: ")
        for name in ("seqrs", "torch")
        for cell in cells
        for size in hidden
    ]


def threads() -> list[Case]:
    def one(name: str) -> dict[str, Contestant]:
        return {
            f"{n} thread{'s' * (n > 1)}": Contestant(name, threads=n)
            for n in sorted({1, cores()}, reverse=True)
        }

    return of_each(one, (256, 512, 1024), ("lstm", "gru", "rnn"))


def stolen() -> list[Case]:
    def one(name: str) -> dict[str, Contestant]:
        return {"idle machine": Contestant(name), "one core busy": Contestant(name, stolen=True)}

    return of_each(one, (256, 512), ("lstm",))


def subnormal() -> list[Case]:
    def one(name: str) -> dict[str, Contestant]:
        return {
            "normal": Contestant(name, {"saturated": False}),
            "saturated": Contestant(name, {"saturated": True}),
        }

    return of_each(one, (256, 512), ("lstm",))


def memory(pool: Pool, effort: Effort) -> Rows:
    for cell in ("lstm", "gru"):
        case = model_step(cell, 512, 64, 128, best_threads=False)
        measured: dict[str, list[float]] = {}
        missing: dict[str, str] = {}
        for _ in range(3 if effort.rounds >= 3 else 1):
            for name, contestant in case.contestants.items():
                try:
                    worker = pool.start(contestant.peer, cores(), {})
                    answer = worker.ask(**case.asked | {"do": "memory"})
                    worker.close()
                    measured.setdefault(name, []).append(answer["bytes"])
                except MissingError as reason:
                    missing[name] = str(reason)
        yield own_row(case.group, case.label, measured, missing)


def imports(pool: Pool, effort: Effort) -> Rows:
    statements = {
        "seqrs.LanguageModel": ("seqrs", "from seqrs import LanguageModel"),
        "seqrs alone": ("seqrs", "import seqrs"),
        "PyTorch": ("torch", "import torch"),
        "ONNX Runtime": ("onnxruntime", "import onnxruntime"),
        "Keras": ("keras", "import os; os.environ['KERAS_BACKEND'] = 'jax'; import keras"),
    }
    measured: dict[str, list[float]] = {}
    missing: dict[str, str] = {}
    wait_until_idle(pool.pids(), effort.idle_limit)
    for number in range(effort.rounds + 1):
        for title, (name, statement) in statements.items():
            code = f"import time, numpy; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
            try:
                pool.command(name)  # it is there
                out = subprocess.run(
                    [pool.python(name), "-c", code], check=True, capture_output=True, text=True, cwd=SCRIPTS
                )
            except (MissingError, subprocess.CalledProcessError) as reason:
                missing[title] = str(reason)
                continue
            if number:  # the first round may have read the files from disk
                measured.setdefault(title, []).append(float(out.stdout))
    yield own_row("import", "import, NumPy being there", measured, missing)


def own_row(group: str, label: str, measured: dict[str, list[float]], missing: dict[str, str]) -> dict:
    entries = {
        name: {"threads": None, "measured": of, "median": median(of), "of_limit": None}
        for name, of in measured.items()
    }
    return {
        "group": group,
        "case": label,
        "others": 0.0,
        "tokens": 1,
        "work": 0.0,
        "contestants": [*measured, *(name for name in missing if name not in measured)],
        "entries": entries,
        "missing": missing,
    }


WORKLOADS = {
    "layers": Workload(
        "Training a layer, float32",
        "Forward and backward with the gradients of the input and of all weights; as many features as hidden"
        " units; all cores.",
        "GFLOP/s",
        layers,
    ),
    "bfloat16": Workload(
        "Training a layer, bfloat16",
        'The same with products of bfloat16: seqrs with `dtype="bfloat16"`, weights and results in float32;'
        " PyTorch with everything in bfloat16.",
        "GFLOP/s",
        layers_bfloat16,
    ),
    "model": Workload(
        "A character model, whole training step",
        "Forward, backward, clipping by global norm 5, Adam; one layer, vocabulary 65, embedding as wide as"
        " the layer; all cores. seqrs multiplies each distinct token of a step once: its fraction of the limit"
        " counts only what it does.",
        "tokens/s",
        model,
    ),
    "small": Workload(
        "Small character models, whole training step",
        "The same for models where the calls cost more than the products; each library on one thread or all,"
        " whichever suits it.",
        "tokens/s",
        small,
    ),
    "token": Workload(
        "A sampled token, whole model",
        "Embedding, LSTM, head, softmax and draw for one text, one token after the other; inference mode; each"
        " library on one thread or all, whichever suits it. The limit is reading the weights from the cache"
        " that they fit in. bfloat16 and int8 weights are set beside the same float32 PyTorch.",
        "µs/token",
        token,
    ),
    "training": Workload(
        "Training a layer, every library",
        "The first table's work by all that can train; each library on one thread or all, whichever suits it.",
        "GFLOP/s",
        training,
    ),
    "inference": Workload(
        "Whole sequences, inference",
        "One layer of the same weights over 64 steps; each library on one thread or all, whichever suits it.",
        "GFLOP/s",
        inference,
    ),
    "threads": Workload(
        "One thread and all, training a layer",
        "How a layer's training scales, beside the machine's own limit.",
        "GFLOP/s",
        threads,
    ),
    "memory": Workload(
        "Memory of a training step",
        "By how much three training steps of a character model raise the peak over the idle model, each in a"
        " fresh process.",
        "MB",
        rows=memory,
    ),
    "subnormal": Workload(
        "A saturated layer, full of subnormal numbers",
        "Training of a layer whose shut gates make outputs and gradients smaller than 1.2e-38, beside the"
        " normal one.",
        "GFLOP/s",
        subnormal,
    ),
    "stolen": Workload(
        "A stolen core",
        "Training of a layer while another process keeps one core busy, beside the idle machine.",
        "GFLOP/s",
        stolen,
    ),
    "avx2": Workload(
        "AVX2 forced",
        "Training of a layer with `SEQRS_CPU=avx2`, beside the instruction set that seqrs chooses.",
        "GFLOP/s",
        avx2,
    ),
    "imports": Workload(
        "Import",
        "A fresh interpreter that has imported NumPy already. `import seqrs` loads little until something is"
        " used, so the time until `LanguageModel` is there is given as well.",
        "ms",
        rows=imports,
    ),
}
