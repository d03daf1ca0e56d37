"""Make the golden vectors in this folder with PyTorch (see README.md).

Run in an environment with PyTorch and NumPy:  python tests/golden/make_golden.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

HERE = Path(__file__).parent
B, T, FEATURES, H = 3, 5, 7, 17  # batch, steps, features, hidden units: no multiple of any vector width
LENGTHS = [3, 5, 1]  # unsorted; one row full, one row of a single step
CELLS = {
    "rnn_tanh": lambda **kw: nn.RNN(FEATURES, H, nonlinearity="tanh", batch_first=True, **kw),
    "rnn_relu": lambda **kw: nn.RNN(FEATURES, H, nonlinearity="relu", batch_first=True, **kw),
    "gru": lambda **kw: nn.GRU(FEATURES, H, batch_first=True, **kw),
    "lstm": lambda **kw: nn.LSTM(FEATURES, H, batch_first=True, **kw),
}


def as_float32(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy().astype(np.float32)


def draw(*shape: int, scale: float = 1.0) -> torch.Tensor:
    """Normal numbers, rounded to multiples of 1/64.

    float32 holds these exactly, so whoever reads the file starts from the very
    numbers used here; and the file stays small, since their last bits are zero.
    """
    return (torch.randn(*shape, dtype=torch.float64) * scale * 64).round() / 64


def golden(cell: str, layers: int, seed: int, lengths: list[int] | None = None) -> dict[str, np.ndarray]:
    """One forward and backward pass in float64, rounded to float32 at the end."""
    torch.manual_seed(seed)
    net = CELLS[cell](num_layers=layers).double()
    names = ["h", "c"] if cell == "lstm" else ["h"]
    with torch.no_grad():
        for p in net.parameters():
            # Twice the spread of PyTorch's own start, so that the gates leave the
            # straight part of their curves.
            p.copy_(draw(*p.shape, scale=2 / (3 * H) ** 0.5))

    x = draw(B, T, FEATURES).requires_grad_()
    start = [draw(layers, B, H).requires_grad_() for _ in names]
    state = tuple(start) if cell == "lstm" else start[0]

    if lengths is None:
        y, end = net(x, state)
    else:
        # The padding of x and of dy is not zero: whoever reads it gets wrong numbers.
        packed = pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
        y, end = net(packed, state)
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=T)
    end = list(end) if cell == "lstm" else [end]

    dy = draw(B, T, H)
    dend = [draw(layers, B, H) for _ in names]
    loss = (y * dy).sum() + sum((e * d).sum() for e, d in zip(end, dend, strict=True))
    loss.backward()

    out = {"x": as_float32(x), "y": as_float32(y), "dy": as_float32(dy), "dx": as_float32(x.grad)}
    for name, s, e, d in zip(names, start, end, dend, strict=True):
        out[f"{name}0"], out[f"{name}n"] = as_float32(s), as_float32(e)
        out[f"d{name}n"], out[f"d{name}0"] = as_float32(d), as_float32(s.grad)
    for name, p in net.named_parameters():
        out[f"param.{name}"], out[f"grad.{name}"] = as_float32(p), as_float32(p.grad)
    if lengths is not None:
        out["lengths"] = np.array(lengths, dtype=np.int64)
    return out


def main() -> None:
    torch.set_num_threads(1)
    version = np.array(torch.__version__.split("+")[0])
    cases = {f"{cell}_{n}layer": (cell, n, None) for cell in CELLS for n in (1, 2)}
    cases |= {f"{cell}_lengths": (cell, 1, LENGTHS) for cell in ("gru", "lstm")}
    for seed, (name, (cell, layers, lengths)) in enumerate(cases.items()):
        arrays = golden(cell, layers, seed, lengths)
        path = HERE / f"{name}.npz"
        np.savez_compressed(path, torch_version=version, seed=np.int64(seed), **arrays)
        print(f"{path.name}: seed {seed}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
