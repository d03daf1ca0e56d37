"""The core against the course notes' equations in plain NumPy: outputs and every gradient."""

from typing import Any

import numpy as np
import pytest
from helpers import FORMS, assert_close, make_layer, parts, state_like

from seqrs import educational as ed

T, N_X, N_A, M = 5, 3, 4, 2


class Notes:
    """One cell of the notes behind one interface, with arrays turned to the core's axes."""

    def __init__(self, cell: str, form: str, n_x: int = N_X, n_a: int = N_A) -> None:
        self.cell, self.form = cell, form
        self.options = (form,) if form else ()
        option = {"gru": {"reset": form}, "lstm": {"peephole": form}}.get(cell, {})
        self.p = ed.random_parameters(cell, n_x, n_a, seed=7, **option)

    def to_pytorch(self, p: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return ed.from_notes(p, self.cell, self.form)

    def run(self, x: np.ndarray, state: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        """x (B, T, I) and states (B, H) to the output (B, T, H) and the final states."""
        x, state = x.transpose(1, 2, 0), [part.T for part in state]
        if self.cell == "lstm":
            a, c, self.cache = ed.lstm_forward(x, *state, self.p, self.form)
            return a[1:].transpose(2, 0, 1), [a[-1].T, c[-1].T]
        forward = getattr(ed, f"{self.cell}_forward")
        a, self.cache = forward(x, *state, self.p, *self.options)
        return a[1:].transpose(2, 0, 1), [a[-1].T]

    def gradients(
        self, dy: np.ndarray, dstate: list[np.ndarray]
    ) -> tuple[np.ndarray, list[np.ndarray], dict[str, np.ndarray]]:
        """By x, by the initial states, and by the parameters in the notes' own layout."""
        da = dy.transpose(1, 2, 0).copy()
        da[-1] += dstate[0].T
        if self.cell == "lstm":
            dx, da0, dc0, gradients = ed.lstm_backward(da, dstate[1].T, self.cache, self.p, self.form)
            return dx.transpose(2, 0, 1), [da0.T, dc0.T], gradients
        backward = getattr(ed, f"{self.cell}_backward")
        dx, da0, gradients = backward(da, self.cache, self.p, *self.options)
        return dx.transpose(2, 0, 1), [da0.T], gradients


def random_case(states: int) -> tuple[np.ndarray, list[np.ndarray], np.ndarray, list[np.ndarray]]:
    """x, initial states, dy, and the final states' gradients."""
    rng = np.random.default_rng(3)
    initial = [rng.uniform(-1, 1, (M, N_A)) for _ in range(states)]
    final = [rng.standard_normal((M, N_A)) for _ in range(states)]
    return rng.standard_normal((M, T, N_X)), initial, rng.standard_normal((M, T, N_A)), final


@pytest.mark.parametrize(("cell", "form"), FORMS)
def test_core_equals_the_notes(cell: str, form: str, device: str) -> None:
    notes = Notes(cell, form)
    layer = make_layer(cell, form, N_X, N_A, dtype="float64", device=device)
    layer.load_state_dict(notes.to_pytorch(notes.p))
    x, initial, dy, dfinal = random_case(2 if cell == "lstm" else 1)

    y, state, tape = layer.forward(x, in_layers(layer, initial))
    g = layer.backward(tape, dy, in_layers(layer, dfinal))

    y_notes, final = notes.run(x, initial)
    assert_close(y, y_notes, "y")
    for part, expected in zip(parts(state), final, strict=True):
        assert_close(part[0], expected, "state")

    dx, dinitial, gradients = notes.gradients(dy, dfinal)
    assert_close(g.x, dx, "dx")
    for part, expected in zip(parts(g.state), dinitial, strict=True):
        assert_close(part[0], expected, "dstate")
    # The change of layout moves and negates, so it takes gradients where it takes parameters.
    # Only the second bias is no such copy: it sees what the first one sees.
    expected = notes.to_pytorch(gradients)
    if "bias_hh_l0" in expected:
        same = 2 * N_A if form == "after" else None
        expected["bias_hh_l0"][:same] = expected["bias_ih_l0"][:same]
    assert g.params.keys() == expected.keys()
    for name, gradient in g.params.items():
        assert_close(gradient, expected[name], name)


@pytest.mark.parametrize(("cell", "form"), FORMS)
def test_the_notes_own_gradients_are_right(cell: str, form: str) -> None:
    """Central differences of the plain cells themselves, so that they can be an oracle."""
    notes = Notes(cell, form)
    x, initial, dy, dfinal = random_case(2 if cell == "lstm" else 1)

    def loss() -> float:
        y, final = notes.run(x, initial)
        return float((y * dy).sum() + sum((s * d).sum() for s, d in zip(final, dfinal, strict=True)))

    loss()
    dx, dinitial, gradients = notes.gradients(dy, dfinal)
    analytic = [dx, *dinitial, *gradients.values()]
    assert gradients.keys() == notes.p.keys()
    for gradient, values in zip(analytic, [x, *initial, *notes.p.values()], strict=True):
        for index in np.ndindex(values.shape):
            value, sides = values[index], []
            for moved in (value + 1e-5, value - 1e-5):
                values[index] = moved
                sides.append(loss())
            values[index] = value
            numeric = (sides[0] - sides[1]) / 2e-5
            assert abs(gradient[index] - numeric) <= 1e-8 * (1 + abs(numeric))


def test_notes_have_the_hidden_block_first_and_the_update_gate_in_their_own_sense() -> None:
    """One unit, one step, numbers worked out by hand: Γu = 1 takes the candidate."""
    p = {
        "Wu": np.zeros((1, 2)),
        "bu": np.array([[50.0]]),
        "Wc": np.array([[2.0, 3.0]]),
        "bc": np.zeros((1, 1)),
    }
    c, _ = ed.gru_forward(np.array([[[0.1]]]), np.array([[0.2]]), p, reset="none")
    np.testing.assert_allclose(c[1], np.tanh(2.0 * 0.2 + 3.0 * 0.1), rtol=1e-15)
    torch = ed.from_notes(p, "gru", "none")
    np.testing.assert_array_equal(torch["weight_hh_l0"], [[0.0], [2.0]])  # rows z, n
    np.testing.assert_array_equal(torch["weight_ih_l0"], [[0.0], [3.0]])
    np.testing.assert_array_equal(torch["bias_ih_l0"], [-50.0, 0.0])


def in_layers(layer: Any, states: list[np.ndarray]) -> Any:
    """States (B, H) as those of a stack of one layer."""
    return state_like(layer, [part[None] for part in states])
