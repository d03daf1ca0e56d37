"""PyTorch: nn.Embedding + nn.LSTM + nn.Linear, in the fastest plain form we know.

Time-major tensors (no transposition per step), fused Adam, foreach clipping, inference mode.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable

import torch
from torch import nn
from worker import VOCABULARY, Library, batches


class Model(nn.Module):
    def __init__(self, layers: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, hidden)
        self.lstm = nn.LSTM(hidden, hidden, layers)
        self.head = nn.Linear(hidden, VOCABULARY)

    def forward(
        self, tokens: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        y, state = self.lstm(self.embedding(tokens), state)
        return self.head(y), state


class Torch(Library):
    """With `cell`, tokens are drawn through nn.LSTMCell, PyTorch's own way around the cost of calling nn.LSTM."""

    def __init__(self, cell: bool) -> None:
        self.cell = cell

    def versions(self) -> dict[str, str]:
        return {"PyTorch": torch.__version__}

    def set_threads(self, threads: int) -> None:
        torch.set_num_threads(threads)

    def trainer(self, layers: int, hidden: int, batch: int, steps: int) -> Callable[[], float]:
        torch.manual_seed(0)
        model = Model(layers, hidden)
        parameters = list(model.parameters())
        adam = torch.optim.Adam(parameters, lr=1e-3, fused=True)
        data = itertools.cycle(
            [
                (torch.from_numpy(x.T.copy()).long(), torch.from_numpy(y.T.copy()).long().flatten())
                for x, y in batches(batch, steps)
            ]
        )
        state = tuple(torch.zeros(layers, batch, hidden) for _ in range(2))

        def step() -> float:
            nonlocal state
            inputs, targets = next(data)
            logits, state = model(inputs, tuple(s.detach() for s in state))
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets)
            adam.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 5.0)
            adam.step()
            return loss.item()

        return step

    def sampler(self, layers: int, hidden: int) -> Callable[[int], None]:
        torch.manual_seed(0)
        model = Model(layers, hidden).eval()
        token = torch.zeros(1, dtype=torch.long)
        state = None
        if self.cell:
            assert layers == 1
            cell = nn.LSTMCell(hidden, hidden)

        @torch.inference_mode()
        def draw(n: int) -> None:
            nonlocal token, state
            text = []
            for _ in range(n):
                if self.cell:
                    state = cell(model.embedding(token), state)
                    logits = model.head(state[0])[0]
                else:
                    logits, state = model(token.view(1, 1), state)
                    logits = logits[0, 0]
                token = torch.multinomial(logits.softmax(-1), 1)
                text.append(token.item())

        return draw


if __name__ == "__main__":
    Torch(cell="--cell" in sys.argv).serve()
