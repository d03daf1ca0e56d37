"""Make onnxruntime_*.npz: ONNX's recurrent operators as ONNX Runtime computes them (see README.md).

ONNX Runtime has no gradients, and implements these operators in float32 only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from vectors import FEATURES, LENGTHS, WIDE, B, H, Numbers, T, save

OPSET = 22
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
BOTH_WAYS = {"direction": "bidirectional"}
OPERATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "rnn_tanh": ("RNN", {"activations": ["Tanh"]}),
    "rnn_relu": ("RNN", {"activations": ["Relu"]}),
    "gru_reset_before": ("GRU", {"linear_before_reset": 0}),
    "gru_reset_after": ("GRU", {"linear_before_reset": 1}),
    "lstm": ("LSTM", {}),
    "lstm_coupled": ("LSTM", {"input_forget": 1}),
    "lstm_peephole": ("LSTM", {}),
    "lstm_coupled_peephole": ("LSTM", {"input_forget": 1}),
}


def make(name: str, operator: str, attributes: dict[str, Any]) -> None:
    """One forward pass; "peephole" and "lengths" in the name ask for the inputs P and sequence_lens."""
    numbers = Numbers(name)
    D = 2 if attributes.get("direction") == "bidirectional" else 1
    hidden, G = attributes["hidden_size"], GATES[operator]
    params = {
        "W": numbers.weights(D, G * hidden, FEATURES, hidden=hidden),
        "R": numbers.weights(D, G * hidden, hidden, hidden=hidden),
        "B": numbers.weights(D, 2 * G * hidden, hidden=hidden),
    }
    if "peephole" in name:
        params["P"] = numbers.weights(D, 3 * hidden, hidden=hidden)
    arrays = {"X": numbers.normal(T, B, FEATURES), "initial_h": numbers.normal(D, B, hidden)}
    if operator == "LSTM":
        arrays["initial_c"] = numbers.normal(D, B, hidden)
    feed = {key: array.astype(np.float32) for key, array in (params | arrays).items()}
    if "lengths" in name:
        feed["sequence_lens"] = np.array(LENGTHS, np.int32)

    order = ["X", "W", "R", "B", "sequence_lens", "initial_h"]
    outputs = {"Y": (T, D, B, hidden), "Y_h": (D, B, hidden)}
    if operator == "LSTM":
        order += ["initial_c", "P"]
        outputs["Y_c"] = (D, B, hidden)
    # Inputs go by position; an empty name is an input left out.
    inputs = [key if key in feed else "" for key in order]
    node = helper.make_node(operator, inputs, list(outputs), **attributes)
    types = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int32): TensorProto.INT32}
    graph = helper.make_graph(
        [node],
        name,
        [helper.make_tensor_value_info(key, types[a.dtype], a.shape) for key, a in feed.items()],
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in outputs.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    results = dict(zip(outputs, session.run(list(outputs), feed), strict=True))
    save(
        f"onnxruntime_{name}",
        "onnxruntime",
        {"op_type": operator, **attributes},
        {key: feed[key] for key in feed if key not in params} | results,
        {key: feed[key] for key in params},
    )


if __name__ == "__main__":
    for name, (operator, attributes) in OPERATORS.items():
        make(name, operator, {"hidden_size": WIDE, **attributes})
        make(f"{name}_lengths", operator, {"hidden_size": H, **attributes})
        both = {key: value * 2 if key == "activations" else value for key, value in attributes.items()}
        make(f"{name}_bidirectional_lengths", operator, {"hidden_size": H, **both, **BOTH_WAYS})
