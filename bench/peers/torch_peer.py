"""PyTorch, in the fastest plain form we know: time-major tensors (no transposition per step), fused Adam,
foreach clipping, inference mode.
"""

from __future__ import annotations

import itertools
import sys

import torch
from torch import nn
from worker import (
    TOKENS,
    VOCABULARY,
    Library,
    Run,
    UnsupportedError,
    batches,
    layer_gradient,
    layer_input,
    layer_weights,
)

LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
CELLS = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}


def layer(cell: str, hidden: int, dtype: str = "float32", saturated: bool = False) -> nn.RNNBase:
    if cell not in LAYERS:
        raise UnsupportedError("PyTorch has no GRU that resets before the product")
    made = LAYERS[cell](hidden, hidden)
    weights = layer_weights(cell, hidden, saturated)
    made.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
    return made.to(getattr(torch, dtype))


class Model(nn.Module):
    def __init__(self, cell: str, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, hidden)
        self.layer = LAYERS[cell](hidden, hidden)
        self.head = nn.Linear(hidden, VOCABULARY)


def detached(state):
    return tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()


class Torch(Library):
    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(0)

    def versions(self) -> dict[str, str]:
        return {"PyTorch": torch.__version__}

    def layer_train(
        self, cell: str, hidden: int, batch: int, steps: int, dtype: str, saturated: bool = False
    ) -> Run:
        made = layer(cell, hidden, dtype, saturated)

        def time_major(numbers):
            return torch.from_numpy(numbers).transpose(0, 1).contiguous().to(getattr(torch, dtype))

        x = time_major(layer_input(batch, steps, hidden)).requires_grad_()
        dy = time_major(layer_gradient(batch, steps, hidden))

        def step() -> torch.Tensor:
            made.zero_grad(set_to_none=True)
            x.grad = None
            y, _ = made(x)
            y.backward(dy)
            return y

        return step

    def layer_infer(self, cell: str, hidden: int, batch: int, steps: int) -> Run:
        made = layer(cell, hidden).eval()
        x = torch.from_numpy(layer_input(batch, steps, hidden)).transpose(0, 1).contiguous()

        @torch.inference_mode()
        def step() -> torch.Tensor:
            return made(x)[0]

        return step

    def model_train(self, cell: str, hidden: int, batch: int, steps: int) -> Run:
        model = Model(cell, hidden)
        parameters = list(model.parameters())
        adam = torch.optim.Adam(parameters, lr=1e-3, fused=True)
        data = itertools.cycle(
            [
                (torch.from_numpy(x.T.copy()).long(), torch.from_numpy(y.T.copy()).long().flatten())
                for x, y in batches(batch, steps)
            ]
        )
        zeros = torch.zeros(1, batch, hidden)
        state = (zeros, zeros) if cell == "lstm" else zeros

        def step() -> float:
            nonlocal state
            inputs, targets = next(data)
            y, state = model.layer(model.embedding(inputs), detached(state))
            logits = model.head(y)
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets)
            adam.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 5.0)
            adam.step()
            return loss.item()

        return step

    def sample(self, cell: str, hidden: int, weights: str, module: str = "layer") -> Run:
        """With module "cell" through nn.LSTMCell, PyTorch's own way around the cost of calling nn.LSTM."""
        if weights == "int8":
            raise UnsupportedError("PyTorch has no int8 LSTM outside its deprecated quantization")
        model = Model(cell, hidden).eval().to(getattr(torch, weights))
        one_step = CELLS[cell](hidden, hidden).eval().to(getattr(torch, weights))
        token = torch.zeros(1, dtype=torch.long)
        state = None

        @torch.inference_mode()
        def draw() -> list[int]:
            nonlocal token, state
            text = []
            for _ in range(TOKENS):
                if module == "cell":
                    state = one_step(model.embedding(token), state)
                    logits = model.head(state[0] if cell == "lstm" else state)[0]
                else:
                    y, state = model.layer(model.embedding(token.view(1, 1)), state)
                    logits = model.head(y)[0, 0]
                token = torch.multinomial(logits.softmax(-1), 1)
                text.append(token.item())
            return text

        return draw

    def value(self, result: object) -> float:
        return super().value(result.detach().double() if isinstance(result, torch.Tensor) else result)


if __name__ == "__main__":
    Torch(int(sys.argv[1])).serve()
