"""ONNX Runtime: one layer of the same weights, as a graph of one node. It has no training."""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from worker import GATES, Library, Run, UnsupportedError, layer_input, layer_weights

# Where each of ONNX's gates stands among PyTorch's: i o f c of i f g o; z r h of r z n.
ORDER = {"lstm": [0, 3, 1, 2], "gru": [1, 0, 2], "rnn": [0]}
NODE = {"lstm": ("LSTM", {}), "gru": ("GRU", {"linear_before_reset": 1}), "rnn": ("RNN", {})}


def model(cell: str, hidden: int) -> bytes:
    def ordered(name: str) -> np.ndarray:
        gates = np.split(layer_weights(cell, hidden)[name], GATES[cell])
        return np.concatenate([gates[g] for g in ORDER[cell]])[np.newaxis]

    weights = {
        "W": ordered("weight_ih_l0"),
        "R": ordered("weight_hh_l0"),
        "B": np.concatenate([ordered("bias_ih_l0"), ordered("bias_hh_l0")], axis=1),
    }
    kind, options = NODE[cell]
    graph = helper.make_graph(
        [helper.make_node(kind, ["x", *weights], ["y"], hidden_size=hidden, **options)],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["steps", "batch", hidden])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["steps", 1, "batch", hidden])],
        [numpy_helper.from_array(w, name) for name, w in weights.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


class OnnxRuntime(Library):
    def __init__(self, threads: int) -> None:
        self.threads = threads

    def versions(self) -> dict[str, str]:
        return {"ONNX Runtime": ort.__version__}

    def layer_infer(self, cell: str, hidden: int, batch: int, steps: int) -> Run:
        if cell not in NODE:
            raise UnsupportedError("it is measured with PyTorch's cells")
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        # The other libraries sleep while one works; so must its threads.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session = ort.InferenceSession(model(cell, hidden), options, providers=["CPUExecutionProvider"])
        x = np.ascontiguousarray(layer_input(batch, steps, hidden).transpose(1, 0, 2))
        return lambda: session.run(["y"], {"x": x})[0]


if __name__ == "__main__":
    OnnxRuntime(int(sys.argv[1])).serve()
