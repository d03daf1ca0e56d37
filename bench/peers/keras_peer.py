"""Keras on its JAX backend: the fastest of its backends on a CPU (bench/README.md has the measurement).

A layer is compiled whole, as `Model.predict` and `Model.fit` compile it, without the loops around.
"""

from __future__ import annotations

import os
import sys

from worker import (
    GATES,
    Library,
    Run,
    UnsupportedError,
    layer_gradient,
    layer_input,
    layer_weights,
    use_cores,
)

use_cores(int(sys.argv[1]))  # JAX takes all cores that it sees when it is imported
os.environ["KERAS_BACKEND"] = "jax"

import jax  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402

LAYERS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}
# Where each of Keras's gates stands among PyTorch's: i f c o of i f g o; z r h of r z n.
ORDER = {"lstm": [0, 1, 2, 3], "gru": [1, 0, 2], "rnn": [0]}


def model(cell: str, hidden: int, steps: int) -> tuple[keras.Model, list, list]:
    """A layer as a model, and its variables: the weights, and what else it has."""
    if cell not in LAYERS:
        raise UnsupportedError("it is measured with PyTorch's cells")
    weights = layer_weights(cell, hidden)

    def ordered(name: str) -> np.ndarray:
        gates = np.split(weights[name], GATES[cell])
        return np.concatenate([gates[g] for g in ORDER[cell]])

    made = keras.Sequential([keras.Input((steps, hidden)), LAYERS[cell](hidden, return_sequences=True)])
    input_bias, recurrent_bias = ordered("bias_ih_l0"), ordered("bias_hh_l0")
    # The GRU alone keeps both biases: its reset gate stands between them.
    bias = np.stack([input_bias, recurrent_bias]) if cell == "gru" else input_bias + recurrent_bias
    made.set_weights([ordered("weight_ih_l0").T, ordered("weight_hh_l0").T, bias])
    return made, [v.value for v in made.trainable_variables], [v.value for v in made.non_trainable_variables]


class Keras(Library):
    def versions(self) -> dict[str, str]:
        return {"Keras": f"{keras.__version__} on JAX {jax.__version__}"}

    def layer_infer(self, cell: str, hidden: int, batch: int, steps: int) -> Run:
        made, weights, others = model(cell, hidden, steps)
        x = jax.numpy.asarray(layer_input(batch, steps, hidden))
        call = jax.jit(lambda weights, x: made.stateless_call(weights, others, x)[0])
        return lambda: call(weights, x).block_until_ready()

    def layer_train(
        self, cell: str, hidden: int, batch: int, steps: int, dtype: str, saturated: bool = False
    ) -> Run:
        if dtype != "float32" or saturated:
            raise UnsupportedError("it is measured in plain float32")
        made, weights, others = model(cell, hidden, steps)
        x = jax.numpy.asarray(layer_input(batch, steps, hidden))
        dy = jax.numpy.asarray(layer_gradient(batch, steps, hidden))

        @jax.jit
        def call(weights: list, x: jax.Array, dy: jax.Array) -> tuple:
            y, back = jax.vjp(lambda w, x: made.stateless_call(w, others, x)[0], weights, x)
            return y, back(dy)

        return lambda: jax.block_until_ready(call(weights, x, dy))[0]


if __name__ == "__main__":
    Keras().serve()
