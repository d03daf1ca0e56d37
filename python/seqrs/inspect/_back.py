"""Gradients by the states of every step, from the last step back."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from seqrs.inspect._stack import Array, History, Stack, backwards, copy_of, ordered

#: Gradients by a layer's state before a step, (B, P) for each part of it.
Parts = dict[str, Array]


def back_by_steps(
    layer: Stack, x: Array, state: Any, counts: Array, dy: Array
) -> Iterator[tuple[int, dict[str, Parts]]]:
    """Run forward in windows of one step, then yield each step's number and gradients, last to first.

    `dy` of shape (B, T, O) is the derivative by the outputs. For stacks in one direction without
    zoneout, whose training passes compute what the others do.
    """
    tapes = []
    for t in range(x.shape[1]):
        _, state, tape = layer.forward(x[:, t : t + 1], state, counts[:, t].astype(np.int64))
        tapes.append(tape)
    dstate = None
    for t in reversed(range(len(tapes))):
        gradient = layer.backward(tapes.pop(), dy[:, t : t + 1], dstate)
        yield t, _by_layer(gradient.state)
        dstate = gradient.state


def _by_layer(dstate: Any) -> dict[str, Parts]:
    parts = dict(zip("hc", dstate, strict=True)) if isinstance(dstate, tuple) else {"h": dstate}
    layers = {
        part: [of for array in (arrays if isinstance(arrays, list) else [arrays]) for of in array]
        for part, arrays in parts.items()
    }
    return {f"layer {k}": {part: of[k] for part, of in layers.items()} for k in range(len(layers["h"]))}


def back_by_layers(
    stack: Sequence[History], dy: Array, *, residual: bool = False
) -> Iterator[tuple[int, dict[str, Parts]]]:
    r"""Yield what :func:`back_by_steps` does, of layers on top of one another in one direction, layer by layer.

    Zoneout outside of training is h⟨t⟩ = ζ h⟨t-1⟩ + (1 - ζ) h̃⟨t⟩, with h̃ what the cell makes, and the
    same of c. So of the gradient by h⟨t⟩ the share 1 - ζ goes back through the cell, and ζ past it.
    """
    cells = [copy_of(history.layer, zoneout=0.0) for history in stack]
    for cell, history in zip(cells, stack, strict=True):
        cell.load_state_dict(history.layer.state_dict())
    carried = [{part: np.zeros_like(of[:, 0]) for part, of in history.before.items()} for history in stack]
    for t in reversed(range(dy.shape[1])):
        above = dy[:, t]
        for k in reversed(range(len(stack))):
            history, counted = stack[k], stack[k].counts[:, t]
            dstate = {**carried[k], "h": carried[k]["h"] + above * counted[:, None]}
            kept = {
                part: np.where(counted, share, 0.0)[:, None].astype(dy.dtype)
                for part, share in zip(dstate, _zoneout(history.layer), strict=False)
            }
            before = [np.ascontiguousarray(of[None, :, t]) for of in history.before.values()]
            _, _, tape = cells[k].forward(
                history.x[:, t : t + 1],
                tuple(before) if len(before) > 1 else before[0],
                counted.astype(np.int64),
            )
            back = [((1 - kept[part]) * of)[None] for part, of in dstate.items()]
            zeros = np.zeros((len(counted), 1, dstate["h"].shape[1]), dy.dtype)
            gradient = cells[k].backward(tape, zeros, tuple(back) if len(back) > 1 else back[0])
            found = _by_layer(gradient.state)["layer 0"]
            carried[k] = {part: found[part] + kept[part] * of for part, of in dstate.items()}
            if k > 0:
                assert gradient.x is not None
                above = gradient.x[:, 0] + (above if residual else 0)
        yield t, {history.name: parts for history, parts in zip(stack, carried, strict=True)}


def _zoneout(layer: Stack) -> tuple[float, float]:
    zoneout = layer._shared["zoneout"]
    return zoneout if isinstance(zoneout, tuple) else (zoneout, zoneout)


def in_running_order(history: History) -> History:
    """Return a layer with its steps in the order in which it takes them."""
    if not history.name.endswith("reverse"):
        return history
    order = backwards(history.counts)
    return replace(
        history,
        x=ordered(history.x, order),
        before={part: ordered(of, order) for part, of in history.before.items()},
        after={part: ordered(of, order) for part, of in history.after.items()},
    )
