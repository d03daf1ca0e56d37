"""How the recurrent state lies in memory, and how a user sees it.

The core keeps the state of a program as one flat array for each part, all h and then all c: scan
by scan (layer 0 forward, layer 0 reverse, layer 1 forward, ...) its (B, width) numbers. A user
sees arrays (D*L, B, width), or where the layers differ in width a list of one (D, B, width) for
each layer. Both are the same numbers in the same order, so one is a view of the other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import numpy as np

from seqrs._check import Floats

# A flat array and how far it has been read.
Cursor = tuple[Floats, int]
# The check an array must pass: its name, the array, the shape it should have.
Check = Callable[[str, Any, tuple[int, ...]], Floats]


@dataclass(frozen=True)
class StateLayout:
    """The state of one recurrent block.

    Attributes
    ----------
    directions : int
        D, 1 or 2.
    widths : dict of str to tuple of int
        For each part, ``"h"`` and for an LSTM ``"c"``, its width in every layer.
    """

    directions: int
    widths: dict[str, tuple[int, ...]]

    def shapes(self, part: str, rows: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Return the shapes of the arrays of one part; `rows` is (B,), or () without a batch."""
        widths = self.widths[part]
        if len(set(widths)) == 1:
            return [(self.directions * len(widths), *rows, widths[0])]
        return [(self.directions, *rows, width) for width in widths]

    def take_apart(
        self, name: str, state: Any, rows: tuple[int, ...], check: Check
    ) -> dict[str, list[Floats]]:
        """Return the flat arrays of each part of a state as the user has it."""
        parts = dict.fromkeys(self.widths, state)
        labels = {"h": name}
        if len(self.widths) > 1:
            kind = "a pair" if len(self.widths) == 2 else "a tuple"
            values = _sequence(name, state, f"{kind} ({', '.join(self.widths)}) of arrays", len(self.widths))
            parts = dict(zip(self.widths, values, strict=True))
            labels = {part: f"{name} ({part})" for part in self.widths}
        flat = {}
        for part, value in parts.items():
            label, shapes = labels[part], self.shapes(part, rows)
            arrays, names = [value], [label]
            if len(shapes) > 1:
                arrays = _sequence(label, value, "a list of one array for each layer", len(shapes))
                names = [f"{label}[{k}]" for k in range(len(shapes))]
            flat[part] = [
                check(at, array, shape).reshape(-1)
                for at, array, shape in zip(names, arrays, shapes, strict=True)
            ]
        return flat

    def put_together(self, flat: dict[str, Cursor], rows: tuple[int, ...]) -> Any:
        """Return the user's view of the next numbers of each part, and move the cursors on."""
        parts = []
        for part in self.widths:
            arrays = []
            for shape in self.shapes(part, rows):
                numbers, start = flat[part]
                end = start + prod(shape)
                arrays.append(numbers[start:end].reshape(shape))
                flat[part] = numbers, end
            parts.append(arrays if len(arrays) > 1 else arrays[0])
        return tuple(parts) if len(parts) > 1 else parts[0]


def take_apart(
    layouts: list[StateLayout], name: str, state: Any, rows: tuple[int, ...], check: Check
) -> tuple[Floats, ...]:
    """Return the state of a whole program as the core takes it; no copy where there is one array a part."""
    states, names = [state], [name]
    if len(layouts) > 1:
        states = _sequence(name, state, "a list of one state for each recurrent block", len(layouts))
        names = [f"{name}[{i}]" for i in range(len(layouts))]
    flat: dict[str, list[Floats]] = {}
    for layout, at, of in zip(layouts, names, states, strict=True):
        for part, arrays in layout.take_apart(at, of, rows, check).items():
            flat.setdefault(part, []).extend(arrays)
    return tuple(_joined(arrays) for arrays in flat.values())


def put_together(layouts: list[StateLayout], flat: tuple[Floats, ...], rows: tuple[int, ...]) -> Any:
    """Return the state of a whole program as the user sees it: views of the core's arrays."""
    parts = dict.fromkeys(part for layout in layouts for part in layout.widths)
    cursors: dict[str, Cursor] = {part: (numbers, 0) for part, numbers in zip(parts, flat, strict=True)}
    states = [layout.put_together(cursors, rows) for layout in layouts]
    if not states:
        return None
    return states if len(states) > 1 else states[0]


def _joined(arrays: list[Floats]) -> Floats:
    if len(arrays) == 1:
        return arrays[0]
    return cast(Floats, np.concatenate(arrays))


def _sequence(name: str, value: Any, expected: str, count: int) -> list[Any]:
    if not isinstance(value, (tuple, list)) or len(value) != count:
        got = type(value).__name__ + (f" of {len(value)}" if isinstance(value, (tuple, list)) else "")
        raise TypeError(f"{name}: expected {expected}, got {got}")
    return list(value)
