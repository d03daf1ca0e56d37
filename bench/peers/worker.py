"""What every library under test runs: answer one request a line until the input ends.

The driver starts each library as a process in that library's own environment and asks
them in turn, so that no library's threads share a process with another's, and all meet
the same machine within the same seconds. A request and an answer are one line of JSON:

    {"do": "versions"}                              -> {"PyTorch": "2.15.0", ...}
    {"do": "train", "layers": 1, "hidden": 128, "batch": 32, "steps": 64, "threads": 2,
     "repeat": 20}                                  -> {"seconds": 0.31}
    {"do": "sample", "layers": 1, "hidden": 256, "threads": 1, "repeat": 500}
                                                    -> {"seconds": 0.02}

The same case asked again goes on with the same model, so only the first call builds it.
"""

from __future__ import annotations

import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

VOCABULARY = 65  # the number of distinct characters in tiny Shakespeare


def batches(batch: int, steps: int, count: int = 8) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of inputs and targets, (batch, steps) int32, the same for every library.

    Uniform over the vocabulary: the hardest case for whoever saves work on repeated tokens.
    """
    rng = np.random.default_rng(0)
    text = rng.integers(VOCABULARY, size=(count, batch, steps + 1), dtype=np.int32)
    return [(np.ascontiguousarray(t[:, :-1]), np.ascontiguousarray(t[:, 1:])) for t in text]


class Library(ABC):
    """One library under test."""

    @abstractmethod
    def versions(self) -> dict[str, str]: ...

    @abstractmethod
    def set_threads(self, threads: int) -> None: ...

    @abstractmethod
    def trainer(self, layers: int, hidden: int, batch: int, steps: int) -> Callable[[], float]:
        """A function that makes one training step (forward, backward, clip, Adam) and returns the loss."""

    @abstractmethod
    def sampler(self, layers: int, hidden: int) -> Callable[[int], None]:
        """A function that draws n more tokens of one text."""

    def serve(self) -> None:
        made_for, run = None, None
        for line in sys.stdin:
            request = json.loads(line)
            if request["do"] == "versions":
                answer: dict = self.versions()
            else:
                repeat = request.pop("repeat")
                self.set_threads(request.pop("threads"))
                if request != made_for:  # one model at a time: none fills another's cache
                    made_for, run = request, self._make(**request)
                start = time.perf_counter()
                run(repeat)
                answer = {"seconds": time.perf_counter() - start}
            print(json.dumps(answer), flush=True)

    def _make(self, do: str, **sizes: int) -> Callable[[int], None]:
        if do == "sample":
            return self.sampler(**sizes)
        step = self.trainer(**sizes)

        def run(repeat: int) -> None:
            for _ in range(repeat):
                loss = step()
            assert loss < 10, f"training went wrong: loss {loss}"

        return run
