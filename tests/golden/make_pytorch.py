"""Make pytorch_*.npz, ctc_pytorch.npz and attention_pytorch_*.npz: torch.nn, forward and backward, in float64 (see README.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from vectors import FEATURES, LENGTHS, WIDE, B, H, Numbers, T, save

CELLS: dict[str, dict[str, Any]] = {
    "rnn_tanh": {"class": "RNN", "nonlinearity": "tanh"},
    "rnn_relu": {"class": "RNN", "nonlinearity": "relu"},
    "gru": {"class": "GRU"},
    "lstm": {"class": "LSTM"},
}
SHAPES: dict[str, dict[str, Any]] = {
    "1layer": {"hidden_size": WIDE},
    "3layer": {"num_layers": 3},
    "nobias": {"bias": False},
    "lengths": {},
    "bidirectional": {"bidirectional": True},
    "3layer_bidirectional_lengths": {"num_layers": 3, "bidirectional": True},
}
PROJECTED: dict[str, dict[str, Any]] = {
    "proj": {"proj_size": 2},
    "3layer_proj": {"proj_size": 2, "num_layers": 3},
    "bidirectional_proj": {"proj_size": 2, "bidirectional": True},
    "3layer_bidirectional_proj_lengths": {"proj_size": 2, "num_layers": 3, "bidirectional": True},
}
CASES = {f"{cell}_{shape}": CELLS[cell] | SHAPES[shape] for cell in CELLS for shape in SHAPES}
CASES |= {f"lstm_{shape}": CELLS["lstm"] | options for shape, options in PROJECTED.items()}


def make(name: str, call: dict[str, Any]) -> None:
    """One forward and backward pass; "lengths" in the name asks for packed sequences."""
    numbers = Numbers(name)
    options = {"input_size": FEATURES, "hidden_size": H, **call}
    net = getattr(torch.nn, options.pop("class"))(**options, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.from_numpy(numbers.weights(*p.shape, hidden=net.hidden_size)))

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(numbers.normal(*shape))

    scans = net.num_layers * (2 if net.bidirectional else 1)
    widths = {"h": net.proj_size or net.hidden_size}
    if net.mode == "LSTM":
        widths["c"] = net.hidden_size
    x = normal(B, T, FEATURES).requires_grad_()
    before = {part: normal(scans, B, width).requires_grad_() for part, width in widths.items()}
    state = tuple(before.values()) if "c" in before else before["h"]

    arrays: dict[str, Any] = {}
    if "lengths" in name:
        # The padding of x, and of dy below, is not zero: whoever reads it gets wrong numbers.
        arrays["lengths"] = torch.tensor(LENGTHS)
        packed = pack_padded_sequence(x, arrays["lengths"], batch_first=True, enforce_sorted=False)
        y, after = net(packed, state)
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=T)
    else:
        y, after = net(x, state)
    after = dict(zip(widths, after if "c" in before else [after], strict=True))

    dy = normal(*y.shape)
    dafter = {part: normal(*end.shape) for part, end in after.items()}
    (sum((after[part] * dafter[part]).sum() for part in after) + (y * dy).sum()).backward()

    arrays |= {"x": x, "y": y, "dy": dy, "dx": x.grad}
    for part in widths:
        arrays |= {f"{part}_0": before[part], f"{part}_n": after[part]}
        arrays |= {f"d{part}_n": dafter[part], f"d{part}_0": before[part].grad}
    params = dict(net.named_parameters())
    save(
        f"pytorch_{name}",
        "torch",
        {"class": call["class"], **options},
        {key: tensor.detach().numpy() for key, tensor in arrays.items()},
        {key: p.detach().numpy() for key, p in params.items()},
        [p.grad.numpy() for p in params.values()],
    )


def make_ctc() -> None:
    """CTC: equal neighbours, one label, none, as many steps as the labels need, padding on both sides."""
    numbers, classes, lengths = Numbers("ctc"), 5, [9, 7, 5, 3, 4]
    labels = [[1, 2, 3], [2, 2, 1], [4], [], [3, 3, 1]]
    counts = [len(row) for row in labels]
    call = {"blank": 0, "reduction": "none"}
    logits = torch.from_numpy(3 * numbers.normal(len(labels), max(lengths), classes)).requires_grad_()
    losses = torch.nn.functional.ctc_loss(
        logits.transpose(0, 1).log_softmax(2),
        torch.tensor([label for row in labels for label in row]),
        torch.tensor(lengths),
        torch.tensor(counts),
        **call,
    )
    losses.sum().backward()
    arrays = {"logits": logits, "losses": losses, "dlogits": logits.grad}
    arrays = {key: tensor.detach().numpy() for key, tensor in arrays.items()}
    steps = {"lengths": np.array(lengths), "target_lengths": np.array(counts)}
    targets = np.array([row + [-7] * (3 - len(row)) for row in labels])
    save("ctc_pytorch", "torch", call, arrays | steps | {"targets": targets}, {})


def make_attention(cell: str, score: str, when: str) -> None:
    """A decoder written with torch.nn.GRUCell or LSTMCell: attention before the step or after, ragged memory."""
    name = f"attention_pytorch_{cell}_{score}_{when}"
    numbers, steps, size, width = Numbers(name), 5, 4, H if score == "dot" else 2
    before = when == "before"
    kind = {"gru": torch.nn.GRUCell, "lstm": torch.nn.LSTMCell}[cell]
    net = kind(FEATURES + width * before, H, dtype=torch.float64)
    shapes = {
        "additive": {"query": (size, H), "key": (size, width), "vector": (size,)},
        "general": {"key": (H, width)},
        "dot": {},
    }[score]
    w = {part: torch.from_numpy(numbers.weights(*shape)).requires_grad_() for part, shape in shapes.items()}
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.from_numpy(numbers.weights(*p.shape)))

    x = torch.from_numpy(numbers.normal(B, T, FEATURES)).requires_grad_()
    memory = torch.from_numpy(numbers.normal(B, steps, width)).requires_grad_()
    memory_lengths = torch.tensor([5, 2, 1, 4])
    counts = torch.arange(steps)[None] < memory_lengths[:, None]

    def look(h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if score == "additive":
            scores = torch.tanh((h @ w["query"].T)[:, None] + memory @ w["key"].T) @ w["vector"]
        else:
            keys = memory if score == "dot" else memory @ w["key"].T
            scores = torch.einsum("bh,bsh->bs", h, keys)
        shares = torch.softmax(scores.masked_fill(~counts, -torch.inf), dim=1)
        return shares, torch.einsum("bs,bsd->bd", shares, memory)

    state = (torch.zeros(B, H, dtype=torch.float64),) * (2 if cell == "lstm" else 1)
    outputs, looked = [], []
    for t in range(T):
        shares, context = look(state[0])
        given = torch.cat([x[:, t], context], 1) if before else x[:, t]
        after = net(given, state if cell == "lstm" else state[0])
        state = after if cell == "lstm" else (after,)
        if not before:
            shares, context = look(state[0])
        outputs.append(torch.cat([state[0], context], 1))
        looked.append(shares)
    y = torch.stack(outputs, 1)
    dy = torch.from_numpy(numbers.normal(*y.shape))
    (y * dy).sum().backward()
    arrays = {"x": x, "memory": memory, "memory_lengths": memory_lengths, "y": y, "dy": dy, "dx": x.grad}
    arrays |= {"dmemory": memory.grad, "shares": torch.stack(looked, 1)}
    params = dict(net.named_parameters()) | w
    save(
        name,
        "torch",
        {"cell": cell, "score": score, "when": when},
        {key: tensor.detach().numpy() for key, tensor in arrays.items()},
        {key: p.detach().numpy() for key, p in params.items()},
        [p.grad.numpy() for p in params.values()],
    )


ATTENTION = [
    ("gru", "additive", "before"),
    ("lstm", "general", "before"),
    ("gru", "general", "after"),
    ("lstm", "dot", "after"),
]

if __name__ == "__main__":
    torch.set_num_threads(1)
    make_ctc()
    for attention in ATTENTION:
        make_attention(*attention)
    for name, call in CASES.items():
        make(name, call)
