"""A network whose recurrent cells are a user's, run by loops in NumPy.

It has the methods of the compiled network that :class:`seqrs.nn.layer.Layer` calls, with the
same arguments and results; the layer cannot tell one from the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrs._native import Optimizer
from seqrs.exceptions import TapeError
from seqrs.nn.cell import Cell, Trace, run, run_backward, weights

__all__ = ["Loop", "LoopTape"]

Array = NDArray[Any]
State = tuple[Array, ...]  # as the core has it: every part flat, scan by scan


@dataclass(eq=False)
class LoopTape:
    """What a training pass keeps for its backward pass."""

    weights: Array
    shape: tuple[int, int]  # batch and steps
    tokens: bool  # whether the input was tokens
    traces: list[Trace]  # of each scan
    penalty: float = 0.0
    used: bool = False


class Loop:
    """Layers of cells, each in one or both directions, and their weights.

    A *scan* is one layer in one direction; they are in PyTorch's order, layer 0 forward, layer 0
    reverse, layer 1 forward, and so on.
    """

    def __init__(
        self, cells: Sequence[Cell], input_size: int, directions: int, merge: str, dtype: str, seed: int
    ) -> None:
        self._directions = directions
        self._side_by_side = merge in ("concat", "separate")
        self._mean = merge == "mean"
        #: The width of the input of each layer, and of the output of the last one.
        self._widths = [input_size]
        self._cells: list[Cell] = []  # of each scan
        self._names: list[dict[str, str]] = []  # of each scan: its own name of a parameter, and the full one
        initial: dict[str, Array] = {}
        rng = np.random.default_rng(seed)
        for k, cell in enumerate(cells):
            for suffix in (f"_l{k}", f"_l{k}_reverse")[:directions]:
                params = weights(cell, self._widths[k], rng, dtype)
                self._cells.append(cell)
                self._names.append({name: name + suffix for name in params})
                initial |= {name + suffix: value for name, value in params.items()}
            self._widths.append(cell.state_sizes[0] * (directions if self._side_by_side else 1))
        self._shapes = {name: value.shape for name, value in initial.items()}
        self._dtype = np.dtype(dtype)
        self.set(initial)

    @property
    def num_parameters(self) -> int:
        return sum(map(prod, self._shapes.values()))

    @property
    def num_trainable(self) -> int:
        return self.num_parameters

    @property
    def causal(self) -> bool:
        return self._directions == 1

    @property
    def memory_size(self) -> None:
        return None

    def output(self) -> tuple[str, int]:
        return "steps", self._widths[-1]

    def parameters(self) -> list[tuple[str, tuple[int, ...], int, bool]]:
        starts = accumulate(map(prod, self._shapes.values()), initial=0)
        return [
            (name, shape, start, False)
            for (name, shape), start in zip(self._shapes.items(), starts, strict=False)
        ]

    def get(self, name: str) -> Array:
        return self._views(self._weights)[name].copy()

    def set(self, arrays: Mapping[str, Array]) -> None:
        # A new buffer whenever they change: by it a tape knows whether they are those of its pass.
        self._weights = np.empty(self.num_parameters, self._dtype)
        for name, view in self._views(self._weights).items():
            view[...] = arrays[name]

    def forward(
        self,
        x: Array,
        state: State | None,
        lengths: Array | None,
        mask: Array | None,
        training: bool,
        _seed: int,
        _step: int,
        _memory: Array | None = None,
        _memory_lengths: Array | None = None,
    ) -> tuple[Array, State, LoopTape | None]:
        """Run the scans. Nothing here is random, so the seed and the number of the pass have no effect."""
        shape = batch, steps = x.shape[:2]
        counts = np.ones(shape, np.bool_) if mask is None else mask
        if lengths is not None:
            counts = counts & (np.arange(steps) < lengths[:, None])
        y = self._vectors(x)
        before, after, traces = self._scans(state, batch), [], []
        for k in range(len(self._widths) - 1):
            outputs = []
            for scan in self._of_layer(k):
                out, final, trace = run(
                    self._cells[scan],
                    self._params(scan, self._weights),
                    y,
                    counts,
                    before[scan],
                    backwards=scan % self._directions == 1,
                )
                outputs.append(out)
                after.append(final)
                traces.append(trace)
            y = self._merged(outputs)
        tape = LoopTape(self._weights, shape, x.ndim == 2, traces) if training else None
        return y, self._flat(after), tape

    def backward(
        self, tape: LoopTape, dy: Array, dstate: State | None
    ) -> tuple[Array | None, State, Array, None]:
        """Return the gradients by x (None for tokens), the initial state, the weights, and no memory."""
        if tape.used:
            raise TapeError("tape: used before")
        if tape.weights is not self._weights:
            raise TapeError("tape: made by another layer, or before the weights changed")
        if dy.shape[:2] != tape.shape:
            raise ValueError(f"dy: expected shape {(*tape.shape, self._widths[-1])}, got {dy.shape}")
        after = self._scans(dstate, len(dy))
        tape.used = True
        before = list(after)
        flat = np.zeros_like(self._weights)
        for k in reversed(range(len(self._widths) - 1)):
            dx = np.zeros((*tape.shape, self._widths[k]), self._dtype)
            for scan, d in zip(self._of_layer(k), self._parted(dy), strict=True):
                before[scan] = run_backward(
                    self._cells[scan],
                    self._params(scan, self._weights),
                    tape.traces[scan],
                    d,
                    after[scan],
                    dx,
                    self._params(scan, flat),
                )
            dy = dx
        return None if tape.tokens else dy, self._flat(before), flat, None

    def step(
        self,
        x: Array,
        state: State | None,
        _memory: Array | None = None,
        _memory_lengths: Array | None = None,
    ) -> tuple[Array, State]:
        y, after, _ = self.forward(x[:, None], state, None, None, False, 0, 0)
        return y[:, 0], after

    def apply(self, gradient: Array, optimizer: Optimizer, lr: float) -> float:
        """Move the weights by one step. Return the gradient's norm; where it is not finite nothing has changed."""
        weights = self._weights.copy()
        norm = optimizer.update(weights, gradient, lr)
        if np.isfinite(norm):
            self._weights = weights
        return norm

    def _of_layer(self, k: int) -> range:
        """Return the numbers of the scans of a layer."""
        return range(k * self._directions, (k + 1) * self._directions)

    def _views(self, flat: Array) -> dict[str, Array]:
        """Return all parameters, or their gradients, as views of a flat array."""
        return {
            name: flat[start : start + prod(shape)].reshape(shape)
            for name, shape, start, _ in self.parameters()
        }

    def _params(self, scan: int, flat: Array) -> dict[str, Array]:
        """Return those of one scan under the cell's own names."""
        views = self._views(flat)
        return {own: views[name] for own, name in self._names[scan].items()}

    def _vectors(self, x: Array) -> Array:
        """Return features as they are; for tokens their one-hot vectors, zeros for -1."""
        if x.ndim == 3:
            return x
        vectors: Array = np.eye(self._widths[0] + 1, self._widths[0], dtype=self._dtype)[x]
        return vectors

    def _merged(self, outputs: list[Array]) -> Array:
        """Return one output for those of the directions of a layer."""
        if len(outputs) == 1 or self._side_by_side:
            return np.concatenate(outputs, axis=2)
        total: Array = outputs[0] + outputs[1]
        return total / 2 if self._mean else total

    def _parted(self, dy: Array) -> list[Array]:
        """Return the gradients by what `_merged` was given."""
        if self._side_by_side:
            return np.split(dy, self._directions, axis=2)
        return [dy / 2 if self._mean and self._directions == 2 else dy] * self._directions

    def _scans(self, state: State | None, batch: int) -> list[list[Array]]:
        """Return the parts (B, P) of the state of each scan; zeros for None."""
        sizes = [cell.state_sizes for cell in self._cells]
        if state is None:
            return [[np.zeros((batch, width), self._dtype) for width in widths] for widths in sizes]
        parts = [
            np.split(flat, list(accumulate(batch * widths[i] for widths in sizes))[:-1])
            for i, flat in enumerate(state)
        ]
        return [
            [part[scan].reshape(batch, width) for part, width in zip(parts, widths, strict=True)]
            for scan, widths in enumerate(sizes)
        ]

    def _flat(self, scans: list[list[Array]]) -> State:
        """Return the state of the scans as the core has it."""
        return tuple(np.concatenate([part.ravel() for part in parts]) for parts in zip(*scans, strict=True))
