"""The golden files of other packages, brought into seqrs's names and layouts in plain NumPy.

Each package has its own gate order, axes and number of biases. What is written here is the whole
conversion, so a test that passes through it tests the mapping too.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrs import nn

GOLDEN = Path(__file__).parent / "golden"
PEERS = ("pytorch", "keras", "onnxruntime")
# The layers; a loss has a test of its own.
NAMES = sorted(path.stem for path in GOLDEN.glob("*.npz") if path.stem.startswith(PEERS))

Array = NDArray[Any]
Arrays = dict[str, Array]
# For each part (h, then c) one array (D, B, width) for each layer, or one for all of them (D*L, B, width).
State = list[list[Array]]


@dataclass
class Gradients:
    """What a peer's backward pass was given, and what it returned."""

    dy: Array
    dafter: State
    dx: Array
    dbefore: State
    params: Arrays


@dataclass
class Case:
    """One golden file in seqrs's terms."""

    layer: Callable[..., Any]
    params: Arrays
    x: Array
    before: State
    y: Array
    after: State
    lengths: Array | None = None
    mask: Array | None = None
    gradients: Gradients | None = None


def blocks(array: Array, order: str, wanted: str) -> Array:
    """Put the gates' blocks of rows, one letter each in `order`, into the order `wanted`."""
    rows = dict(zip(order, np.split(array, len(order)), strict=True))
    return np.concatenate([rows[gate] for gate in wanted])


def load(name: str) -> Case:
    """Read ``{name}.npz``."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        golden = dict(file)
    readers = {"pytorch": from_pytorch, "keras": from_keras, "onnxruntime": from_onnxruntime}
    return readers[name.partition("_")[0]](golden, json.loads(str(golden["call"])))


def from_pytorch(golden: Arrays, call: dict[str, Any]) -> Case:
    """torch.nn: the same names, layouts and order of states."""
    options = dict(call)
    layer = getattr(nn, options.pop("class"))
    names = ["h", "c"] if "c_0" in golden else ["h"]

    def state(before: str, after: str) -> State:
        return [[golden[f"{before}{name}_{after}"]] for name in names]

    return Case(
        layer=lambda **more: layer(**options, **more),
        params=named(golden, "param."),
        x=golden["x"],
        before=state("", "0"),
        y=golden["y"],
        after=state("", "n"),
        lengths=golden.get("lengths"),
        gradients=Gradients(golden["dy"], state("d", "n"), golden["dx"], state("d", "0"), gradients(golden)),
    )


def from_keras(golden: Arrays, calls: list[dict[str, Any]]) -> Case:
    """Keras: weights act from the right, GRU gates z, r, h, LSTM gates i, f, c, o, one bias but for reset_after."""
    call = calls[0]
    cell = call["class"]
    ours = {"SimpleRNN": "h", "GRU": "rzh", "LSTM": "ifco"}[cell]
    theirs = {"SimpleRNN": "h", "GRU": "zrh", "LSTM": "ifco"}[cell]
    options: dict[str, Any] = {"reset": "after" if call["reset_after"] else "before"} if cell == "GRU" else {}
    if "activation" in call:
        activation = "identity" if call["activation"] == "linear" else call["activation"]
        options["nonlinearity" if cell == "SimpleRNN" else "activation"] = activation
        if cell == "LSTM":
            options["output_activation"] = activation
    merge = call.get("merge_mode")
    if merge:
        options |= {"bidirectional": True, "merge": "mean" if merge == "ave" else merge}
    units = [c["units"] for c in calls]
    sizes = (units,) if len(set(units)) > 1 else (units[0], len(units))
    layer = {"SimpleRNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}[cell]

    def mapped(arrays: Arrays, gradient: bool = False) -> Arrays:
        out = {}
        for path, array in arrays.items():
            k, *owner, variable = path.split(".")
            suffix = f"l{k}_reverse" if "backward_layer" in owner else f"l{k}"
            if variable == "bias":
                # The sum of our two biases: one of them may be all of it, and each has its gradient.
                other = array if gradient else np.zeros_like(array)
                bias, recurrent_bias = array if array.ndim == 2 else (array, other)
                out[f"bias_ih_{suffix}"] = blocks(bias, theirs, ours)
                out[f"bias_hh_{suffix}"] = blocks(recurrent_bias, theirs, ours)
            else:
                weight = {"kernel": "weight_ih", "recurrent_kernel": "weight_hh"}[variable]
                out[f"{weight}_{suffix}"] = blocks(array.T, theirs, ours)
        return out

    def state(prefix: str) -> State:
        # Keras lists a layer's states forward first: h, c, then the other direction's h, c.
        count = 2 if cell == "LSTM" else 1
        layers = []
        for k in range(len(calls)):
            parts = [golden[f"{prefix}.{k}.{i}"] for i in range(count * (2 if merge else 1))]
            layers.append([np.stack(parts[i::count]) for i in range(count)])
        return [list(part) for part in zip(*layers, strict=True)]

    return Case(
        layer=lambda **more: layer(golden["x"].shape[2], *sizes, **options, **more),
        params=mapped(named(golden, "param.")),
        x=golden["x"],
        before=state("initial_state"),
        y=golden["y"],
        after=state("state"),
        mask=golden.get("mask"),
        gradients=Gradients(
            golden["dy"],
            state("dstate"),
            golden["dx"],
            state("dinitial_state"),
            mapped(gradients(golden), gradient=True),
        ),
    )


def from_onnxruntime(golden: Arrays, call: dict[str, Any]) -> Case:
    """ONNX: GRU gates z, r, h, LSTM gates i, o, f, c and peepholes i, o, f; directions first, time before batch."""
    cell = call["op_type"]
    theirs = {"RNN": "h", "GRU": "zrh", "LSTM": "iofc"}[cell]
    ours = {"RNN": "h", "GRU": "rzh", "LSTM": "ifco"}[cell]
    options: dict[str, Any] = {}
    if cell == "RNN":
        options["nonlinearity"] = call["activations"][0].lower()
    if cell == "GRU":
        options["reset"] = "after" if call["linear_before_reset"] else "before"
    coupled = bool(call.get("input_forget"))
    if coupled:
        # The operator takes f's weights and does not read them; f = 1 - i.
        options["coupled"], ours = True, "ico"
    if "param.P" in golden:
        options["peephole"] = "current"
    bidirectional = call.get("direction") == "bidirectional"
    if bidirectional:
        options["bidirectional"] = True
    layer = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}[cell]

    params: Arrays = {}
    for d, suffix in enumerate(["l0", "l0_reverse"][: 1 + bidirectional]):
        bias, recurrent_bias = np.split(golden["param.B"][d], 2)
        params |= {
            f"weight_ih_{suffix}": blocks(golden["param.W"][d], theirs, ours),
            f"weight_hh_{suffix}": blocks(golden["param.R"][d], theirs, ours),
            f"bias_ih_{suffix}": blocks(bias, theirs, ours),
            f"bias_hh_{suffix}": blocks(recurrent_bias, theirs, ours),
        }
        if "param.P" in golden:
            params[f"weight_ch_{suffix}"] = blocks(golden["param.P"][d], "iof", "io" if coupled else "ifo")

    T, D, B, H = golden["Y"].shape
    parts = ["h", "c"] if cell == "LSTM" else ["h"]
    return Case(
        layer=lambda **more: layer(golden["X"].shape[2], call["hidden_size"], 1, **options, **more),
        params=params,
        x=golden["X"].swapaxes(0, 1),
        before=[[golden[f"initial_{part}"]] for part in parts],
        y=golden["Y"].transpose(2, 0, 1, 3).reshape(B, T, D * H),
        after=[[golden[f"Y_{part}"]] for part in parts],
        lengths=golden.get("sequence_lens"),
    )


def named(golden: Arrays, prefix: str) -> Arrays:
    """The members whose names start with `prefix`, under the rest of their names."""
    return {key.removeprefix(prefix): array for key, array in golden.items() if key.startswith(prefix)}


def gradients(golden: Arrays) -> Arrays:
    """Cut the vector "grads" into the parameters' gradients, under the peer's names."""
    params = named(golden, "param.")
    ends = np.cumsum([p.size for p in params.values()])
    assert ends[-1] == golden["grads"].size
    pieces = np.split(golden["grads"], ends[:-1])
    return {key: piece.reshape(p.shape) for (key, p), piece in zip(params.items(), pieces, strict=True)}
