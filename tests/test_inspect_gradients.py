"""Gradients by lag: against windows of so many steps, central differences, and a model's own loss."""

from typing import Any

import numpy as np
import pytest
from helpers import FORMS, make_layer

import seqrs
from seqrs import inspect, nn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 7, 2))
LENGTHS = [7, 1, 4]


@pytest.mark.parametrize(("cell", "form"), FORMS)
def test_gradient_by_lag_is_that_of_a_window_of_so_many_steps(cell: str, form: str) -> None:
    layer = make_layer(cell, form, 2, 4, 2, dtype="float64", seed=3, dropout=0.5)
    calm = make_layer(cell, form, 2, 4, 2, dtype="float64", seed=3)
    _, start = calm(X)
    dy = RNG.normal(size=(3, 4))
    result = inspect.gradient_by_lag(layer, X, start, dy=dy)
    for lag in range(1, 8):
        _, state = calm(X[:, : 7 - lag], start)
        y, _, tape = calm.forward(X[:, 7 - lag :], state)
        upstream = np.zeros_like(y)
        upstream[:, -1] = dy
        dstate = calm.backward(tape, upstream).state
        parts = dict(zip("hc", dstate, strict=True)) if cell == "lstm" else {"h": dstate}
        for part, of in parts.items():
            for k in range(2):
                norm = result.norms[f"layer {k}", part][lag - 1]
                assert norm == pytest.approx(np.linalg.norm(of[k], axis=1).mean(), rel=1e-10)


def test_gradient_by_lag_counts_back_from_each_rows_last_step() -> None:
    layer = nn.GRU(2, 4, dtype="float64", seed=3)
    result = inspect.gradient_by_lag(layer, X, lengths=LENGTHS)
    alone = [
        inspect.gradient_by_lag(layer, X[b : b + 1, :steps]).norms["layer 0", "h"]
        for b, steps in enumerate(LENGTHS)
    ]
    expected = [np.mean([of[k] for of in alone if len(of) > k]) for k in range(7)]
    assert np.allclose(result.norms["layer 0", "h"], expected)
    short = inspect.gradient_by_lag(layer, X, lengths=LENGTHS, lags=3)
    assert short.lags.tolist() == [1, 2, 3]
    assert np.allclose(short.norms["layer 0", "h"], expected[:3])


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
@pytest.mark.parametrize("options", [{"num_layers": 1}, {"num_layers": 3, "residual": True}])
def test_gradient_by_lag_with_zoneout_is_central_differences(cell: str, options: dict[str, Any]) -> None:
    kind: Any = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}[cell]
    layer = kind(2, 4, zoneout=(0.4, 0.2) if cell == "lstm" else 0.4, dtype="float64", seed=3, **options)
    lengths = np.array([5, 1, 4])
    found = inspect.gradient_by_lag(layer, X, lengths=lengths)
    # E by the state that the step so many steps before the last of each row finds.
    for lag in (1, 2, 4):
        norms: dict[tuple[str, str], list[float]] = {}
        for row in np.flatnonzero(lengths >= lag):
            first = int(lengths[row]) - lag
            _, state = layer(X[row : row + 1, :first])
            rest = X[row : row + 1, first : lengths[row]]
            parts = list(state) if isinstance(state, tuple) else [state]
            for number, part in enumerate("hc"[: len(parts)]):
                slopes = np.zeros(parts[number].shape)
                for index in np.ndindex(slopes.shape):
                    values = []
                    for by in (1e-6, -1e-6):
                        moved = [of.copy() for of in parts]
                        moved[number][index] += by
                        y, _ = layer(rest, tuple(moved) if len(moved) > 1 else moved[0])
                        values.append(y[0, -1].sum())
                    slopes[index] = (values[0] - values[1]) / 2e-6
                for k, slope in enumerate(slopes):
                    norms.setdefault((f"layer {k}", part), []).append(float(np.linalg.norm(slope)))
        for of, values in norms.items():
            assert found.norms[of][lag - 1] == pytest.approx(np.mean(values), abs=1e-7)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_gradient_by_lag_of_both_directions_is_that_of_each_alone(cell: str) -> None:
    kind: Any = {"gru": nn.GRU, "lstm": nn.LSTM}[cell]
    both = kind(2, 3, bidirectional=True, dtype="float64", seed=3)
    lengths = np.array([5, 1, 4])
    found = inspect.gradient_by_lag(both, X, lengths=lengths, lags=4)
    turned = X.copy()
    for row, n in zip(turned, lengths, strict=True):
        row[:n] = row[:n][::-1]
    for suffix, name, x in (("", "layer 0", X), ("_reverse", "layer 0 reverse", turned)):
        alone = kind(2, 3, dtype="float64")
        weights = both.state_dict()
        alone.load_state_dict({key: weights[key + suffix] for key in alone.state_dict()})
        expected = inspect.gradient_by_lag(alone, x, lengths=lengths, lags=4)
        for part in ("h", "c")[: len(expected.norms)]:
            np.testing.assert_allclose(found.norms[name, part], expected.norms["layer 0", part], rtol=1e-9)


def test_gradient_by_lag_of_a_model_is_that_of_its_own_loss() -> None:
    """By differences of the log-probability of the last token of the second window."""
    text = "tick, tock. "
    model = seqrs.LanguageModel(hidden_size=5, num_layers=2, embedding_size=3, dtype="float64", seed=0)
    model.fit(text * 40, epochs=2, progress=False)
    result = inspect.gradient_by_lag(model, [text], lags=6)
    numbers = model.vocabulary.encode(list(text))
    inputs = np.append(-1, numbers[:-1]).astype(np.int32)
    targets = numbers.astype(np.int32)

    def loss(window: slice, state: Any) -> float:
        scores, _ = model.network.evaluate(inputs[None, window], targets[None, window], None, state)
        return -float(scores[0, -1])

    expected = []
    for last in (6, 12):
        begin = last - 4  # a lag of 4
        state: Any = tuple(np.zeros(10) for _ in range(2))
        if begin:
            _, state = model.network.evaluate(inputs[None, :begin], targets[None, :begin], None, None)
        gradient = np.zeros(5)
        for unit in range(5):
            sides = []
            for sign in (1e-5, -1e-5):
                moved = [part.copy() for part in state]
                moved[1][5 + unit] += sign  # c of layer 1
                sides.append(loss(slice(begin, last), tuple(moved)))
            gradient[unit] = (sides[0] - sides[1]) / 2e-5
        expected.append(np.linalg.norm(gradient))
    assert result.norms["layer 1", "c"][3] == pytest.approx(np.mean(expected), rel=1e-6)
    assert len(result.lags) == 6


def test_gradient_by_lag_of_a_model_of_lines() -> None:
    model = seqrs.LanguageModel("word", cell="gru", hidden_size=5, num_layers=1, embedding_size=None, seed=0)
    model.fit(["so it is"] * 20 + ["it is"] * 20, documents="line", validation=None, epochs=1, progress=False)
    assert len(inspect.gradient_by_lag(model, ["so it is", "is it"]).lags) == 4  # words, and the end
    assert [row["gate"] for row in inspect.gate_statistics(model, ["so it is"]).rows()] == ["r", "z"]


def test_plain_layers_lose_gradients_that_gated_ones_keep() -> None:
    x = RNG.normal(size=(8, 60, 4))
    left = {}
    for kind, options in ((nn.RNN, {}), (nn.GRU, {}), (nn.LSTM, {"forget_bias": 1.0})):
        norm = inspect.gradient_by_lag(kind(4, 32, dtype="float64", seed=0, **options), x).norms[
            "layer 0", "h"
        ]
        left[kind] = norm[-1] / norm[0]
    assert left[nn.RNN] < left[nn.GRU] / 100
    assert left[nn.RNN] < left[nn.LSTM] / 100
