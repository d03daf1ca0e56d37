"""Five conversions between the notes, PyTorch, Keras and ONNX that go wrong without a word.

The shapes fit either way and nothing complains, so each test shows two things on a peer's own numbers:
the right mapping agrees, and the tempting one is clearly off.
"""

from typing import Any

import numpy as np
import pytest
from peers import Array, Arrays, Case, blocks, load

from seqrs import educational as ed
from seqrs import nn

CLOSE, CLEAR = 1e-5, 0.01  # at most this far apart when right; more than this when wrong


def off_by(case: Case, y: Array) -> float:
    """How far an output is from the peer's."""
    assert y.shape == case.y.shape
    return float(np.abs(y - case.y).max())


def run(case: Case, layer: Any, params: Arrays) -> Array:
    """A layer's output for the peer's input and initial state."""
    layer.load_state_dict(params)
    before = [part[0].astype(layer.dtype) for part in case.before]
    y, _ = layer(case.x.astype(layer.dtype), tuple(before) if len(before) > 1 else before[0])
    return y


def by_the_notes(case: Case, p: Arrays, cell: str, **form: str) -> Array:
    """The same with the notes' equations, whose examples are columns."""
    before = [part[0][0].T.astype(float) for part in case.before]
    forward = {"gru": ed.gru_forward, "lstm": ed.lstm_forward}[cell]
    states = forward(case.x.transpose(1, 2, 0).astype(float), *before, p, **form)[0]
    return states[1:].transpose(2, 0, 1)


def notes(params: Arrays, gates: str) -> Arrays:
    """Wk = [Wka | Wkx] and bk for every gate k of `gates`, which names the rows' blocks in order; the biases added."""
    W = np.hstack([params["weight_hh_l0"], params["weight_ih_l0"]]).astype(float)
    b = (params["bias_ih_l0"].astype(float) + params["bias_hh_l0"])[:, None]
    p = {}
    for k, rows, bias in zip(gates, np.split(W, len(gates)), np.split(b, len(gates)), strict=True):
        p |= {f"W{k}": rows, f"b{k}": bias}
    return p


def with_rows(params: Arrays, block: int, change: Any, of: int = 3) -> Arrays:
    """The parameters with one of `of` blocks of rows changed everywhere."""
    changed = {key: array.copy() for key, array in params.items()}
    for array in changed.values():
        part = np.split(array, of)[block]  # a view
        part[...] = change(part)
    return changed


def test_the_update_gate_is_negated_between_the_notes_and_the_peers(device: str) -> None:
    # z keeps the old state, the notes' Γu takes the new one: Γu = 1 - z = σ of the negated sum.
    case = load("onnxruntime_gru_reset_before")
    p = notes(case.params, "ruc")
    p_negated = p | {"Wu": -p["Wu"], "bu": -p["bu"]}
    assert off_by(case, by_the_notes(case, p_negated, "gru", reset="before")) < CLOSE
    assert off_by(case, by_the_notes(case, p, "gru", reset="before")) > 0.5

    layer = case.layer(device=device)
    assert off_by(case, run(case, layer, ed.from_notes(p_negated, "gru", "before"))) < CLOSE
    assert off_by(case, run(case, layer, case.params)) < CLOSE
    assert off_by(case, run(case, layer, with_rows(case.params, 1, np.negative))) > 0.5


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("pytorch_gru_1layer", "after", "before"),
        ("keras_gru_reset_after", "after", "before"),
        ("keras_gru_reset_before", "before", "after"),
        ("onnxruntime_gru_reset_after", "after", "before"),
        ("onnxruntime_gru_reset_before", "before", "after"),
    ],
)
def test_the_reset_gate_acts_on_one_side_of_the_product_or_the_other(
    name: str, right: str, wrong: str, device: str
) -> None:
    # Both forms have the same weights in the same shapes, and neither can represent the other.
    case = load(name)
    features, hidden = case.x.shape[2], case.y.shape[2]
    error = {
        reset: off_by(case, run(case, nn.GRU(features, hidden, reset=reset, device=device), case.params))
        for reset in (right, wrong)
    }
    assert error[right] < CLOSE
    assert error[wrong] > CLEAR


def test_the_output_gate_of_the_notes_looks_at_the_memory_before_and_of_onnx_after(device: str) -> None:
    case = load("onnxruntime_lstm_peephole")
    features, hidden = case.x.shape[2], case.y.shape[2]
    peepholes = zip("ufo", np.split(case.params["weight_ch_l0"].astype(float)[:, None], 3), strict=True)
    p = notes({key: array for key, array in case.params.items() if "_ch_" not in key}, "ufco")
    p |= {f"P{k}": column for k, column in peepholes}

    def errors(peephole: str) -> list[float]:
        layer = nn.LSTM(features, hidden, peephole=peephole, device=device)
        return [
            off_by(case, run(case, layer, case.params)),
            off_by(case, by_the_notes(case, p, "lstm", peephole=peephole)),
        ]

    assert max(errors("current")) < CLOSE
    assert min(errors("prev")) > CLEAR


def test_onnx_lists_peepholes_in_another_order(device: str) -> None:
    # i, o, f there; i, f, o here, as in the rows of the weights.
    case = load("onnxruntime_lstm_peephole")
    mistaken = case.params | {"weight_ch_l0": blocks(case.params["weight_ch_l0"], "ifo", "iof")}
    layer = case.layer(device=device)
    assert off_by(case, run(case, layer, case.params)) < CLOSE
    assert off_by(case, run(case, layer, mistaken)) > CLEAR


def test_the_candidates_recurrent_bias_is_not_added_to_the_other(device: str) -> None:
    # r and z have one bias in two parts. n's second is inside the product with r.
    case = load("pytorch_gru_1layer")
    assert min(np.abs(block).max() for block in np.split(case.params["bias_hh_l0"], 3)) > 0.1

    def folded(keep: slice) -> Arrays:
        inner = np.zeros_like(case.params["bias_hh_l0"])
        inner[keep] = case.params["bias_hh_l0"][keep]
        outer = case.params["bias_ih_l0"] + case.params["bias_hh_l0"] - inner
        return case.params | {"bias_ih_l0": outer, "bias_hh_l0": inner}

    hidden = case.y.shape[2]
    layer = case.layer(device=device)
    assert off_by(case, run(case, layer, folded(keep=slice(2 * hidden, None)))) < CLOSE
    assert off_by(case, run(case, layer, folded(keep=slice(0)))) > CLEAR

    # Keras has the same two where it resets after the product, and adds them up where it resets before.
    before = load("keras_gru_reset_before")
    everything = before.params | {
        "bias_ih_l0": np.zeros_like(before.params["bias_hh_l0"]),
        "bias_hh_l0": before.params["bias_ih_l0"],
    }
    assert off_by(before, run(before, before.layer(device=device), everything)) < CLOSE
