"""dtype="bfloat16": float32 arrays and weights, products of numbers rounded to 8 bits."""

from typing import Any

import numpy as np
import pytest

import seqrs
from seqrs import losses, nn, optim

LAYERS: list[tuple[type[nn.Layer[Any]], dict[str, Any]]] = [
    (nn.RNN, {}),
    (nn.GRU, {"reset": "after"}),
    (nn.GRU, {"reset": "before"}),
    (nn.LSTM, {}),
    (nn.LSTM, {"peephole": "full", "proj_size": 5}),
    (nn.MinGRU, {}),
]


@pytest.mark.parametrize(("kind", "options"), LAYERS)
def test_near_float32(kind: type[nn.Layer[Any]], options: dict[str, Any]) -> None:
    x = np.random.default_rng(0).standard_normal((5, 9, 7), dtype=np.float32)
    results = []
    for dtype in ("float32", "bfloat16"):
        layer = kind(7, 17, num_layers=2, bidirectional=True, seed=1, dtype=dtype, **options)
        y, _, tape = layer.forward(x, lengths=[9, 0, 3, 9, 1])
        gradients = layer.backward(tape, dy=np.cos(y))
        results.append({"y": y, "x": gradients.x, **gradients.params})
    full, short = results
    for name, want in full.items():
        got = short[name]
        assert got.dtype == np.float32
        error = np.abs(got - want).max() / np.abs(want).max()
        assert 0 < error < 0.03, name


def test_what_the_dtypes_are() -> None:
    layer = nn.GRU(3, 4, dtype="bfloat16")
    assert (layer.dtype, layer.compute_dtype) == ("float32", "bfloat16")
    assert all(values.dtype == np.float32 for values in layer.state_dict().values())
    with pytest.raises(TypeError, match="x: expected float32, got"):
        layer(np.zeros((2, 3, 3)))


def test_weights_are_not_rounded() -> None:
    layer = nn.Linear(1, 1, dtype="bfloat16")
    layer.load_state_dict({"weight": [[1.0 + 2.0**-20]], "bias": [0.0]})
    assert layer.state_dict()["weight"][0, 0] == 1.0 + 2.0**-20
    assert layer(np.ones((1, 1, 1), np.float32))[0].item() == 1.0
    # A step too small for 8 bits still moves them.
    _, _, tape = layer.forward(np.ones((1, 1, 1), np.float32))
    optim.SGD(layer, lr=2.0**-20).step(layer.backward(tape, dy=-np.ones((1, 1, 1), np.float32)))
    assert layer.state_dict()["weight"][0, 0] == 1.0 + 2.0**-19


def test_blocks_go_together() -> None:
    blocks = nn.GRU(2, 3, dtype="bfloat16"), nn.Linear(3, 2, dtype="bfloat16")
    assert nn.Sequential(*blocks).compute_dtype == "bfloat16"
    with pytest.raises(ValueError, match="block 1: expected bfloat16 on cpu as in block 0, got float32"):
        nn.Sequential(nn.GRU(2, 3, dtype="bfloat16"), nn.Linear(3, 2))


def test_learns_as_well() -> None:
    """Which of two halves of a sequence has the larger sum."""
    x = np.random.default_rng(1).standard_normal((256, 16, 1), dtype=np.float32)
    answers = (x[:, :8].sum(axis=(1, 2)) > x[:, 8:].sum(axis=(1, 2))).astype(int)
    final = {}
    for dtype in ("float32", "bfloat16"):
        model = nn.Sequential(
            nn.LSTM(1, 24, seed=0, dtype=dtype), nn.Pool("last"), nn.Linear(24, 2, seed=0, dtype=dtype)
        )
        adam = optim.Adam(model, lr=0.01, clip_norm=5.0)
        for _ in range(80):
            logits, _, tape = model.forward(x)
            loss, dlogits = losses.softmax_cross_entropy(logits, answers)
            adam.step(model.backward(tape, dlogits))
        final[dtype] = loss
    assert final["float32"] < 0.3
    assert final["bfloat16"] < 0.3


def test_a_language_model_keeps_it(tmp_path: Any) -> None:
    model = seqrs.LanguageModel(hidden_size=16, num_layers=1, dtype="bfloat16", seed=0)
    model.fit("abcd" * 200, epochs=3, progress=False)
    model.save(tmp_path / "model.seqrs")
    again = seqrs.load(tmp_path / "model.seqrs")
    assert again.dtype == "bfloat16"
    assert again.sample(50, seed=3) == model.sample(50, seed=3)
    assert again.perplexity("abcd" * 20) == model.perplexity("abcd" * 20)


@pytest.mark.parametrize(("value", "problem"), [("float16", ValueError), (3, TypeError), (None, TypeError)])
def test_other_dtypes_are_refused(value: Any, problem: type[Exception]) -> None:
    with pytest.raises(problem, match=r'dtype: expected "float32", "float64" or "bfloat16", got'):
        nn.LSTM(2, 2, dtype=value)


def test_the_reference_does_not_round() -> None:
    with pytest.raises(NotImplementedError, match="rounded numbers on the reference"):
        nn.LSTM(2, 2, dtype="bfloat16", device="reference")
