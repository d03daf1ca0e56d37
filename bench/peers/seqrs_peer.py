"""seqrs: layers as users call them, and the compiled network behind `seqrs.LanguageModel`, called directly.

The model's own loop around the network (reading text, progress, validation) is left out, as it is for
the other libraries; what is called here is what `fit` and `sample` call for every step.
"""

from __future__ import annotations

import itertools
import sys

import numpy as np
from worker import (
    TOKENS,
    VOCABULARY,
    Library,
    Run,
    UnsupportedError,
    batches,
    layer_gradient,
    layer_input,
    layer_weights,
)

import seqrs
from seqrs import _native as native
from seqrs import nn

LAYERS = {
    "lstm": (nn.LSTM, {}),
    "gru": (nn.GRU, {"reset": "after"}),
    "gru_before": (nn.GRU, {"reset": "before"}),
    "rnn": (nn.RNN, {}),
}


def layer(cell: str, hidden: int, dtype: str, saturated: bool = False) -> nn.LSTM | nn.GRU | nn.RNN:
    kind, form = LAYERS[cell]
    try:
        made = kind(hidden, hidden, dtype=dtype, seed=0, check_finite=False, **form)
    except ValueError as error:
        raise UnsupportedError(f"this version of seqrs has no {dtype}") from error
    made.load_state_dict(layer_weights(cell, hidden, saturated))
    return made


def model(cell: str, hidden: int, dtype: str = "float32") -> native.Network:
    kind, _, form = cell.partition("_")
    return native.Network.language_model(
        cell=kind,
        form=form or {"lstm": "none", "gru": "after", "rnn": "tanh"}[kind],
        vocab_size=VOCABULARY,
        embedding_size=hidden,
        hidden_size=hidden,
        num_layers=1,
        dropout=0.0,
        dtype=dtype,
        device="cpu",
        seed=0,
    )


class Seqrs(Library):
    def __init__(self, threads: int) -> None:
        seqrs.set_num_threads(threads)

    def versions(self) -> dict[str, str]:
        return {"seqrs": native.version, "seqrs path": native.cpu_features()["path"], "NumPy": np.__version__}

    def layer_train(
        self, cell: str, hidden: int, batch: int, steps: int, dtype: str, saturated: bool = False
    ) -> Run:
        made = layer(cell, hidden, dtype, saturated)
        x, dy = layer_input(batch, steps, hidden), layer_gradient(batch, steps, hidden)

        def step() -> np.ndarray:
            y, _, tape = made.forward(x, training=True)
            made.backward(tape, dy)
            return y

        return step

    def layer_infer(self, cell: str, hidden: int, batch: int, steps: int) -> Run:
        made = layer(cell, hidden, "float32")
        x = layer_input(batch, steps, hidden)
        return lambda: made(x)[0]

    def model_train(self, cell: str, hidden: int, batch: int, steps: int) -> Run:
        network = model(cell, hidden)
        adam = native.Optimizer(network.num_parameters, network.dtype, "adam", clip_norm=5.0)
        data = itertools.cycle(batches(batch, steps))
        counter = itertools.count()
        state = None

        def step() -> float:
            nonlocal state
            inputs, targets = next(data)
            outcome, state = network.train_step(
                inputs, targets, None, state, adam, lr=1e-3, seed=0, step=next(counter)
            )
            return outcome.loss

        return step

    def sample(self, cell: str, hidden: int, weights: str) -> Run:
        network = model(cell, hidden)
        generator = (network if weights == "float32" else network.at(weights)).generator(
            prompt=np.array([-1], dtype=np.int32),
            state=None,
            temperature=1.0,
            top_k=None,
            top_p=None,
            banned=np.array([], dtype=np.int32),
            stop=None,
            seeds=[0],
        )
        return lambda: generator.take(TOKENS)


if __name__ == "__main__":
    Seqrs(int(sys.argv[1])).serve()
