"""seqrs: the compiled network behind `seqrs.LanguageModel`, called directly.

The model's own loop around it (reading text, progress, validation) is left out, as it is for
the other library; what is called here is what `fit` and `sample` call for every step.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from worker import VOCABULARY, Library, batches

from seqrs import _native as native


def model(layers: int, hidden: int) -> native.Network:
    return native.Network.language_model(
        cell="lstm",
        form="none",
        vocab_size=VOCABULARY,
        embedding_size=hidden,
        hidden_size=hidden,
        num_layers=layers,
        dropout=0.0,
        dtype="float32",
        device="cpu",
        seed=0,
    )


class Seqrs(Library):
    def versions(self) -> dict[str, str]:
        return {"seqrs": native.version, "seqrs path": native.cpu_features()["path"], "NumPy": np.__version__}

    def set_threads(self, threads: int) -> None:
        native.set_num_threads(threads)

    def trainer(self, layers: int, hidden: int, batch: int, steps: int) -> Callable[[], float]:
        network = model(layers, hidden)
        adam = native.Optimizer(network.num_parameters, network.dtype, "adam", clip_norm=5.0)
        data = itertools.cycle(batches(batch, steps))
        numbers = itertools.count()
        state = None

        def step() -> float:
            nonlocal state
            inputs, targets = next(data)
            loss, _, state = network.train_step(
                inputs, targets, None, state, adam, lr=1e-3, seed=0, step=next(numbers)
            )
            return loss

        return step

    def sampler(self, layers: int, hidden: int) -> Callable[[int], None]:
        generator = model(layers, hidden).generator(
            prompt=np.array([-1], dtype=np.int32),
            state=None,
            temperature=1.0,
            top_k=None,
            top_p=None,
            banned=np.array([], dtype=np.int32),
            stop=None,
            seed=0,
        )

        def draw(n: int) -> None:
            tokens, _ = generator.take(n)
            assert len(tokens) == n

        return draw


if __name__ == "__main__":
    Seqrs().serve()
