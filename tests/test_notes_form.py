"""Weights to the notes' form and back: nothing is lost, and what has no place there is refused."""

from typing import Any

import numpy as np
import pytest
from helpers import FORMS, assert_close, make_layer
from hypothesis import given
from hypothesis import strategies as st

from seqrs import educational as ed
from seqrs import nn

# Both zeros, which differ in one bit, are numbers as likely as others: biases start at zero.
NUMBERS = np.array([0.0, -0.0, 1.0, -0.5, 1e-30, 3.25])


def draw_notes(
    cell: str, form: str, n_x: int, n_a: int, dtype: str, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    options = {"gru": {"reset": form}, "lstm": {"peephole": form}}.get(cell, {})
    shapes = {name: value.shape for name, value in ed.random_parameters(cell, n_x, n_a, **options).items()}
    return {name: rng.choice(NUMBERS, shape).astype(dtype) for name, shape in shapes.items()}


def assert_same_bits(actual: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name].dtype == value.dtype
        assert actual[name].shape == value.shape
        assert actual[name].tobytes() == value.tobytes(), name


@pytest.mark.parametrize(("cell", "form"), FORMS)
@given(data=st.data())
def test_from_the_notes_and_back_every_bit_is_the_same(cell: str, form: str, data: st.DataObject) -> None:
    layers, bidirectional = data.draw(st.integers(1, 3)), data.draw(st.booleans())
    coupled = cell == "lstm" and data.draw(st.booleans())
    dtype, prefix = data.draw(st.sampled_from(["float32", "float64"])), data.draw(st.sampled_from(["", "1."]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    sizes = st.integers(1, 4)
    params = [
        draw_notes(cell, form, data.draw(sizes), data.draw(sizes), dtype, rng)
        for _ in range(layers * (1 + bidirectional))
    ]
    if coupled:
        for p in params:
            p |= {name[0] + "f": -p[name] for name in ("Wu", "bu", "Pu") if name in p}
    ours = ed.from_notes(params, cell, form, bidirectional=bidirectional, coupled=coupled, prefix=prefix)
    others = {"2.weight": np.ones((1, 1))} if prefix else {}
    back = ed.to_notes({**ours, **others}, cell, form, coupled=coupled, prefix=prefix)
    assert len(back) == len(params)
    for actual, expected in zip(back, params, strict=True):
        assert_same_bits(actual, expected)
    # From the second time on, ours too come back as they are.
    again = ed.from_notes(back, cell, form, bidirectional=bidirectional, coupled=coupled, prefix=prefix)
    assert_same_bits(again, ours)


@pytest.mark.parametrize(("cell", "form"), FORMS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [True, False])
def test_a_stack_computes_what_its_notes_say(cell: str, form: str, bidirectional: bool, bias: bool) -> None:
    """Weights as the layer draws them, with two biases that both count; the output by the notes' equations."""
    options = {"bidirectional": bidirectional, "bias": bias, "dtype": "float64"}
    layer = make_layer(cell, form, 3, 4, 2, seed=0, **options)
    params = ed.to_notes(layer.state_dict(), cell, form)
    x = np.random.default_rng(0).standard_normal((2, 5, 3))
    y = layer(x)[0]
    assert_close(y, by_the_notes(x, params, cell, form, bidirectional))

    # One bias each instead of two: another layer, which computes the same.
    one = make_layer(cell, form, 3, 4, 2, **options)
    one.load_state_dict(ed.from_notes(params, cell, form, bidirectional=bidirectional, bias=bias))
    assert_close(one(x)[0], y)


@pytest.mark.parametrize("form", ["none", "full", "prev", "current"])
def test_coupled_gates_compute_what_their_notes_say(form: str) -> None:
    layer = nn.LSTM(3, 4, 2, peephole=form, coupled=True, dtype="float64", seed=0)
    params = ed.to_notes(layer.state_dict(), "lstm", form, coupled=True)
    x = np.random.default_rng(0).standard_normal((2, 5, 3))
    assert_close(layer(x)[0], by_the_notes(x, params, "lstm", form, bidirectional=False))


def by_the_notes(
    x: np.ndarray, params: list[dict[str, np.ndarray]], cell: str, form: str, bidirectional: bool
) -> np.ndarray:
    """The output (B, T, D*H) of a stack from zero states."""
    v = x.transpose(1, 2, 0)
    directions = 2 if bidirectional else 1
    for k in range(0, len(params), directions):
        outputs = []
        for p, order in zip(params[k : k + directions], (1, -1)[:directions], strict=True):
            start = np.zeros((len(p["ba" if cell == "rnn" else "bc"]), v.shape[2]))
            states = [start] * (2 if cell == "lstm" else 1)
            a = getattr(ed, f"{cell}_forward")(v[::order], *states, p, *([form] if form else []))[0]
            outputs.append(a[1:][::order])
        v = np.concatenate(outputs, axis=1)
    return v.transpose(2, 0, 1)


def test_two_biases_become_one_but_the_one_inside_the_reset_product() -> None:
    rng = np.random.default_rng(0)
    ours = {
        "weight_ih_l0": rng.standard_normal((6, 1)),
        "weight_hh_l0": rng.standard_normal((6, 2)),
        "bias_ih_l0": np.arange(6.0),
        "bias_hh_l0": np.arange(6.0) * 10,
    }
    [after] = ed.to_notes(ours, "gru", "after")
    [before] = ed.to_notes(ours, "gru", "before")
    # Rows r, z, n; z negated.
    assert after["br"].ravel().tolist() == before["br"].ravel().tolist() == [0.0, 11.0]
    assert after["bu"].ravel().tolist() == before["bu"].ravel().tolist() == [-22.0, -33.0]
    assert (after["bc"].ravel().tolist(), after["bcc"].ravel().tolist()) == ([4.0, 5.0], [40.0, 50.0])
    assert before["bc"].ravel().tolist() == [44.0, 55.0]
    assert "bcc" not in before


def test_lstm_gates_and_peepholes_take_their_places() -> None:
    """Rows i, f, g, o and peepholes i, f, o, numbered; coupled: i, g, o and i, o, and Γf is 1 - Γu."""
    ours = {
        "weight_ih_l0": np.array([[1.0], [2.0], [3.0], [4.0]]),
        "weight_hh_l0": np.array([[10.0], [20.0], [30.0], [40.0]]),
        "weight_ch_l0": np.array([0.1, 0.2, 0.3]),
    }
    [p] = ed.to_notes(ours, "lstm", "current")
    assert {name: value.ravel().tolist() for name, value in p.items() if name[0] != "b"} == {
        "Wu": [10.0, 1.0],
        "Wf": [20.0, 2.0],
        "Wc": [30.0, 3.0],
        "Wo": [40.0, 4.0],
        "Pu": [0.1],
        "Pf": [0.2],
        "Po": [0.3],
    }
    assert all((p["b" + k] == 0).all() for k in "ufco")
    coupled = {name: value[:-1] for name, value in ours.items()}
    [p] = ed.to_notes(coupled, "lstm", "prev", coupled=True)
    assert (p["Wu"].tolist(), p["Wf"].tolist()) == ([[10.0, 1.0]], [[-10.0, -1.0]])
    assert (p["Wc"].tolist(), p["Wo"].tolist()) == ([[20.0, 2.0]], [[30.0, 3.0]])
    assert (p["Pu"].item(), p["Pf"].item(), p["Po"].item()) == (0.1, -0.1, 0.2)


@pytest.mark.parametrize("bias", [True, False])
def test_output_there_and_back(bias: bool) -> None:
    ours = {"2.weight": np.array([[1.0, -0.0, 3.0], [4.0, 5.0, 6.0]], np.float32)}
    ours |= {"2.bias": np.array([-0.0, 7.0], np.float32)} if bias else {}
    p = ed.output_to_notes({**ours, "1.weight": np.zeros(3)}, prefix="2.")
    assert p["by"].tolist() == ([[-0.0], [7.0]] if bias else [[0.0], [0.0]])
    assert p["Wya"].tolist() == ours["2.weight"].tolist()
    assert_same_bits(ed.output_from_notes(p, bias=bias, prefix="2."), ours)


GRU = ed.from_notes(ed.random_parameters("gru", 2, 3), "gru", "before")
NOTES_GRU = ed.random_parameters("gru", 2, 3)
NOTES_LSTM = ed.random_parameters("lstm", 2, 3)
WITH = {name: {name: np.zeros(3)} for name in ("weight_hr_l0", "gain_ih_l1", "bias_c_l0", "initial_h_l0")}


@pytest.mark.parametrize(
    ("message", "call"),
    [
        (
            r"state_dict: weight_hr_l0 has no place in the notes' form: a projection",
            lambda: ed.to_notes(GRU | WITH["weight_hr_l0"], "gru", "before"),
        ),
        (
            r"state_dict: gain_ih_l1 has no place in the notes' form: layer normalisation",
            lambda: ed.to_notes(GRU | WITH["gain_ih_l1"], "gru", "before"),
        ),
        (
            r"state_dict: bias_c_l0 has no place in the notes' form: layer normalisation",
            lambda: ed.to_notes(GRU | WITH["bias_c_l0"], "gru", "before"),
        ),
        (
            r"state_dict: initial_h_l0 has no place in the notes' form: a learned initial state",
            lambda: ed.to_notes(GRU | WITH["initial_h_l0"], "gru", "before"),
        ),
        (
            r"state_dict: expected the weights of a stack of 1 lstm \(none\), got unexpected weight_ch_l0",
            lambda: ed.to_notes(
                ed.from_notes(ed.random_parameters("lstm", 2, 3, peephole="prev"), "lstm", "prev"),
                "lstm",
                "none",
            ),
        ),
        (
            r"state_dict: expected .* got missing weight_ih_l0; missing weight_hh_l0; unexpected head.weight$",
            lambda: ed.to_notes({"head.weight": np.ones((2, 3))}, "rnn"),
        ),
        (
            r"state_dict: expected .* 2 gru \(before\), got missing weight_hh_l0; missing bias_hh_l0; missing weight_ih_l1; ",
            lambda: ed.to_notes(
                {name.replace("hh_l0", "hh_l1"): value for name, value in GRU.items()}, "gru", "before"
            ),
        ),
        (
            r"state_dict: weight_hh_l0: expected shape \(8, 2\), got \(9, 3\)",
            lambda: ed.to_notes(GRU | {"weight_ih_l0": np.ones((8, 2))}, "lstm", "none"),
        ),
        (
            r"state_dict: weight_ih_l0: expected a matrix, got shape \(9,\)",
            lambda: ed.to_notes(GRU | {"weight_ih_l0": np.ones(9)}, "gru", "before"),
        ),
        (
            r"state_dict: weight_ih_l0: expected floats, got an array of int64",
            lambda: ed.to_notes(GRU | {"weight_ih_l0": np.ones((9, 2), np.int64)}, "gru", "before"),
        ),
        (r"cell: expected one of rnn, gru, .*, got 'elman'", lambda: ed.to_notes({}, "elman")),
        (r"form: expected one of 'after', 'before', 'none' for gru, got ''", lambda: ed.to_notes(GRU, "gru")),
        (
            r"coupled: only an lstm has two gates to couple, got gru",
            lambda: ed.to_notes(GRU, "gru", "before", coupled=True),
        ),
        (
            r'params\[0\]: expected .*, got missing bcc; bcc is there where the reset gate acts "after"',
            lambda: ed.from_notes(NOTES_GRU, "gru", "after"),
        ),
        (
            r"params\[1\]: expected the weights of the notes' gru \(none\), got unexpected Wr; unexpected br$",
            lambda: ed.from_notes(
                [ed.random_parameters("gru", 2, 3, reset="none"), NOTES_GRU], "gru", "none"
            ),
        ),
        (
            r"params\[0\]: bu: expected shape \(3, 1\), got \(3,\)",
            lambda: ed.from_notes(NOTES_GRU | {"bu": np.zeros(3)}, "gru", "before"),
        ),
        (
            r"params\[0\]: Wr has 3 columns: 3 for a<t-1>, none for x<t>",
            lambda: ed.from_notes({name: value[:, :3] for name, value in NOTES_GRU.items()}, "gru", "before"),
        ),
        (
            r"params\[0\]: a layer without biases cannot represent br other than zero",
            lambda: ed.from_notes(NOTES_GRU, "gru", "before", bias=False),
        ),
        (
            r"params\[0\]: a coupled forget gate is 1 - Γu, which cannot represent Wf other than -Wu",
            lambda: ed.from_notes(NOTES_LSTM, "lstm", "none", coupled=True),
        ),
        (
            r"params: expected one dict for each layer, forward and reverse, got 1",
            lambda: ed.from_notes(NOTES_LSTM, "lstm", "none", bidirectional=True),
        ),
        (r"params: expected one dict for each layer, got 0", lambda: ed.from_notes([], "lstm", "none")),
        (
            r"p: a layer without biases cannot represent by other than zero",
            lambda: ed.output_from_notes({"Wya": np.ones((1, 2)), "by": np.ones((1, 1))}, bias=False),
        ),
        (
            r"state_dict: bias: expected shape \(1,\), got \(2,\)",
            lambda: ed.output_to_notes({"weight": np.ones((1, 2)), "bias": np.ones(2)}),
        ),
    ],
)
def test_what_does_not_fit_is_refused(message: str, call: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call()
