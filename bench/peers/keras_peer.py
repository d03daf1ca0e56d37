"""Keras on its JAX backend: the fastest of its backends on a CPU (bench/README.md has the measurement).

A layer is compiled whole, as `Model.predict` compiles it, without the loop around.
"""

from __future__ import annotations

import os
import sys

from worker import GATES, Library, Run, UnsupportedError, layer_input, layer_weights, use_cores

use_cores(int(sys.argv[1]))  # JAX takes all cores that it sees when it is imported
os.environ["KERAS_BACKEND"] = "jax"

import jax  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402

LAYERS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}
# Where each of Keras's gates stands among PyTorch's: i f c o of i f g o; z r h of r z n.
ORDER = {"lstm": [0, 1, 2, 3], "gru": [1, 0, 2], "rnn": [0]}


def model(cell: str, hidden: int, steps: int) -> keras.Model:
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
    return made


class Keras(Library):
    def versions(self) -> dict[str, str]:
        return {"Keras": f"{keras.__version__} on JAX {jax.__version__}"}

    def layer_infer(self, cell: str, hidden: int, batch: int, steps: int) -> Run:
        made = model(cell, hidden, steps)
        x = keras.ops.convert_to_tensor(layer_input(batch, steps, hidden))
        weights = [v.value for v in made.trainable_variables]
        others = [v.value for v in made.non_trainable_variables]
        call = jax.jit(lambda weights, others, x: made.stateless_call(weights, others, x)[0])
        return lambda: call(weights, others, x).block_until_ready()


if __name__ == "__main__":
    Keras().serve()
