"""What every library under test runs: answer one request a line until the input ends.

The driver starts each library as a process in that library's own environment, one for each number
of threads (its argument), and asks them in turn, so that no library's threads share a process with
another's, and all meet the same machine within the same seconds. A request and an answer are one
line of JSON:

    {"do": "versions"}                                   -> {"PyTorch": "2.15.0"}
    {"do": "layer_train", "cell": "lstm", "hidden": 128, "batch": 32, "steps": 64,
     "dtype": "float32", "repeat": 20}                   -> {"seconds": 0.31, "value": null}
    {"do": "sample", ..., "repeat": 500}                 -> {"unsupported": "it has no LSTM"}

`do` names a method of `Library`, and what else is in the request are its arguments; `peers/protocol`
is the same for libraries in Rust. The same case asked again goes on with the same model, so only the
first call builds it.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

VOCABULARY = 65  # the number of distinct characters in tiny Shakespeare
TOKENS = 64  # drawn by one call of what `sample` returns
GATES = {"lstm": 4, "gru": 3, "gru_before": 3, "rnn": 1}

# What one call of a measured function returns is looked at only when the driver asks for a value: the
# mean of abs(y) of a layer, or the loss of a model. It sees by that that everybody does the same work.
Run = Callable[[], object]


class UnsupportedError(Exception):
    """The library cannot do it; the message says what is missing."""


def numbers(seed: int, scale: float, *shape: int) -> np.ndarray:
    """Float32 numbers in [-scale, scale), the same in every language (see `peers/protocol`)."""
    x = np.arange(np.prod(shape), dtype=np.uint32) ^ np.uint32(seed * 0x9E3779B9 & 0xFFFFFFFF)
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    return (scale * (x.astype(np.float64) / 2**31 - 1)).astype(np.float32).reshape(shape)


def layer_weights(cell: str, hidden: int, saturated: bool = False) -> dict[str, np.ndarray]:
    """The weights of one layer by PyTorch's names. As many features as hidden units.

    `saturated` shuts the input and output gates of an LSTM so far that the outputs and the gradients
    of all gates are products below the smallest normal number, 1.2e-38, though no factor is.
    """
    rows, scale = GATES[cell] * hidden, hidden**-0.5
    weights = {
        "weight_ih_l0": numbers(1, scale, rows, hidden),
        "weight_hh_l0": numbers(2, scale, rows, hidden),
        "bias_ih_l0": numbers(3, scale, rows),
        "bias_hh_l0": numbers(4, scale, rows),
    }
    if saturated:
        i, f, _, o = weights["bias_ih_l0"].reshape(4, hidden)
        i -= 50  # sigmoid: 2e-22
        f += 2  # 0.9: the memory fades slowly
        o -= 45  # 3e-20
    return weights


def layer_input(batch: int, steps: int, hidden: int) -> np.ndarray:
    return numbers(5, 1.0, batch, steps, hidden)


def layer_gradient(batch: int, steps: int, hidden: int) -> np.ndarray:
    """What comes back to the output of the layer."""
    return numbers(6, 1.0, batch, steps, hidden)


def batches(batch: int, steps: int, count: int = 8) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of inputs and targets, (batch, steps) int32, the same for every library.

    Uniform over the vocabulary: the hardest case for whoever saves work on repeated tokens.
    """
    rng = np.random.default_rng(0)
    text = rng.integers(VOCABULARY, size=(count, batch, steps + 1), dtype=np.int32)
    return [(np.ascontiguousarray(t[:, :-1]), np.ascontiguousarray(t[:, 1:])) for t in text]


def resident(field: str) -> int:
    """Bytes of memory that this process has ("VmRSS") or had at most ("VmHWM")."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise UnsupportedError(f"/proc/self/status has no {field}")


def use_cores(threads: int) -> None:
    """Keep this process on so many cores: for libraries that take all cores they see."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


class Library:
    """One library under test. What a library does not define, it is not measured with.

    A library's own class has `versions() -> {name: version}` and some of these, each of which builds what
    it needs and returns the function whose calls are timed:

    layer_train(cell, hidden, batch, steps, dtype, saturated=False)
        Forward and backward through one layer: the gradients of its input and of all its weights.
    layer_infer(cell, hidden, batch, steps)
        Forward alone, in the library's mode for inference.
    model_train(cell, hidden, batch, steps)
        One training step of a character model: forward, backward, clip by norm 5, Adam.
    sample(cell, hidden, weights)
        Draw TOKENS more tokens of a text; each token drawn is the next input.
    """

    def memory(self, cell: str, hidden: int, batch: int, steps: int) -> dict[str, int]:
        """By how many bytes three training steps of a model raise the peak over the idle model.

        The idle model has made a step already, of one row and one token, so that what is loaded or
        made once (code, the optimiser's moving averages) counts as the model's.
        """
        self.model_train(cell, hidden, 1, 1)()
        step = self.model_train(cell, hidden, batch, steps)
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
        idle = resident("VmRSS")
        for _ in range(3):
            step()
        return {"bytes": resident("VmHWM") - idle}

    def serve(self) -> None:
        made_for, run = None, None
        for line in sys.stdin:
            request = json.loads(line)
            kind, repeat, value = request.pop("do"), request.pop("repeat", 1), request.pop("value", False)
            try:
                if not hasattr(self, "model_train" if kind == "memory" else kind):
                    raise UnsupportedError(f"{kind} is not measured with it")
                if kind in ("versions", "memory"):
                    answer = getattr(self, kind)(**request)
                else:
                    if (kind, request) != made_for:  # one model at a time: none fills another's cache
                        made_for, run = None, None
                        run = getattr(self, kind)(**request)
                        made_for = kind, request
                    answer = self._timed(run, repeat, value)
            except UnsupportedError as missing:
                answer = {"unsupported": str(missing)}
            except Exception as error:  # noqa: BLE001 - one failure must not end the whole run
                traceback.print_exc()
                answer = {"unsupported": f"failed: {type(error).__name__}: {error}".splitlines()[0]}
            print(json.dumps(answer), flush=True)

    def _timed(self, run: Run, repeat: int, value: bool) -> dict[str, float | None]:
        start = time.perf_counter()
        for _ in range(repeat):
            result = run()
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "value": self.value(result) if value else None}

    def value(self, result: object) -> float:
        """The number by which a result is compared with other libraries'."""
        return float(np.abs(np.asarray(result, dtype=np.float64)).mean())
