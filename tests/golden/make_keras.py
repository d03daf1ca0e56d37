"""Make keras_*.npz: layers of Keras, forward and backward, in float64 (see README.md).

Keras runs on PyTorch here, which gives the gradients.
"""

from __future__ import annotations

import os
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the CPU's numbers, also where there is a GPU

import keras
import numpy as np
import torch
from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE
from vectors import FEATURES, WIDE, B, H, Numbers, T, save

CELLS: dict[str, dict[str, Any]] = {
    "rnn": {"class": "SimpleRNN"},
    "gru_reset_after": {"class": "GRU", "reset_after": True},
    "gru_reset_before": {"class": "GRU", "reset_after": False},
    "lstm": {"class": "LSTM"},
}

# A case is a stack: one dict of arguments for each layer. "merge_mode" is Bidirectional's.
CASES: dict[str, list[dict[str, Any]]] = {}
for cell, call in CELLS.items():
    plain, both_ways = {**call, "units": H}, {**call, "units": H, "merge_mode": "concat"}
    CASES |= {
        cell: [{**call, "units": WIDE}],
        f"{cell}_mask": [plain],
        f"{cell}_bidirectional_mask": [both_ways],
        f"{cell}_bidirectional_widths_mask": [{**both_ways, "units": 4}, both_ways],
        f"{cell}_bidirectional_sum_mask": [{**both_ways, "merge_mode": "sum"}] * 2,
        f"{cell}_bidirectional_mean_mask": [{**both_ways, "merge_mode": "ave"}] * 2,
    }
for activation in ("relu", "sigmoid", "hard_sigmoid", "linear", "softsign"):
    for cell in ("rnn", "gru_reset_before", "lstm"):
        CASES[f"{cell}_{activation}"] = [{**CELLS[cell], "units": H, "activation": activation}]


@keras.saving.register_keras_serializable()  # Bidirectional makes its layers from a description
def hard_sigmoid_by_definition(x: torch.Tensor) -> torch.Tensor:
    """Keras's hard sigmoid: PyTorch's own derivative of it holds 1/6 in float32, whatever x is."""
    return keras.ops.relu6(x + 3) / 6


def layer(call: dict[str, Any]) -> keras.layers.Layer:
    options = dict(call)
    if options.get("activation") == "hard_sigmoid":
        options["activation"] = hard_sigmoid_by_definition
    merge = options.pop("merge_mode", None)
    made = getattr(keras.layers, options.pop("class"))(
        **options, dtype="float64", return_sequences=True, return_state=True, zero_output_for_mask=True
    )
    return keras.layers.Bidirectional(made, merge_mode=merge, dtype="float64") if merge else made


def cells(layer: keras.layers.Layer) -> dict[str, keras.layers.Layer]:
    """What holds the weights, under the path that leads there from the layer."""
    if isinstance(layer, keras.layers.Bidirectional):
        return {f"{name}.cell": getattr(layer, name).cell for name in ("forward_layer", "backward_layer")}
    return {"cell": layer.cell}


def make(name: str, calls: list[dict[str, Any]]) -> None:
    """One forward and backward pass; "mask" in the name asks for a mask."""
    numbers = Numbers(name)
    layers = [layer(call) for call in calls]
    mask = torch.from_numpy(numbers.mask()) if "mask" in name else None

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(numbers.normal(*shape))

    y = x = normal(B, T, FEATURES).requires_grad_()
    params: dict[str, torch.Tensor] = {}
    before: dict[str, torch.Tensor] = {}
    after: dict[str, torch.Tensor] = {}
    for k, (net, call) in enumerate(zip(layers, calls, strict=True)):
        net.build(y.shape)
        for path, cell in cells(net).items():
            for variable in cell.trainable_variables:
                variable.assign(numbers.weights(*variable.shape, hidden=call["units"]))
                params[f"{k}.{path}.{variable.name}"] = variable.value
        count = len(cells(net)) * (2 if call["class"] == "LSTM" else 1)
        state = [normal(B, call["units"]).requires_grad_() for _ in range(count)]
        y, *end = net(y, mask=mask, initial_state=state)
        before |= {f"{k}.{i}": part for i, part in enumerate(state)}
        after |= {f"{k}.{i}": part for i, part in enumerate(end)}

    dy = normal(*y.shape)
    dafter = {key: normal(*part.shape) for key, part in after.items()}
    (sum((after[key] * dafter[key]).sum() for key in after) + (y * dy).sum()).backward()

    arrays = {"x": x, "y": y, "dy": dy, "dx": x.grad}
    for key in before:
        arrays |= {f"initial_state.{key}": before[key], f"state.{key}": after[key]}
        arrays |= {f"dinitial_state.{key}": before[key].grad, f"dstate.{key}": dafter[key]}
    if mask is not None:
        arrays["mask"] = mask
    save(
        f"keras_{name}",
        "keras",
        calls,
        {key: tensor.detach().numpy() for key, tensor in arrays.items()},
        {key: p.detach().numpy() for key, p in params.items()},
        [np.asarray(p.grad) for p in params.values()],
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    # On PyTorch, Keras multiplies float64 matrices in float32 (keras-team/keras#23704). This is the table
    # that says so, with the entry it has on TensorFlow.
    BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    for name, calls in CASES.items():
        make(name, calls)
