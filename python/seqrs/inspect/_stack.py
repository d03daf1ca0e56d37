"""A stack of recurrent layers taken apart: each layer in each direction, and its states at every step."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrs import _check
from seqrs.nn.recurrent import Recurrent

Array = NDArray[Any]
Stack = Recurrent[Any]

# What acts in training passes alone, at its value for no effect.
_TRAINING = (
    "dropout", "recurrent_dropout", "candidate_dropout", "weight_dropout", "activation_penalty", "temporal_penalty",
)  # fmt: skip


@dataclass
class History:
    """One layer in one direction over a batch: what it read and what it held, in the order of the input.

    Attributes
    ----------
    name : str
        Such as "layer 0" or "layer 1 reverse".
    layer : Recurrent
        Itself, as a layer of its own.
    x : ndarray of shape (B, T, J), or (B, T) tokens
        Its input.
    before, after : dict of str to ndarray of shape (B, T, P)
        Its state ``"h"``, and in an LSTM ``"c"``, as each step found it and left it.
    counts : ndarray of shape (B, T), bool
        Which steps count; the others hold nothing of meaning.
    """

    name: str
    layer: Stack
    x: Array
    before: dict[str, Array]
    after: dict[str, Array]
    counts: Array


def copy_of(layer: Stack, **changes: Any) -> Stack:
    """Return a layer of the same kind and weights, that lets NaN pass and drops nothing in training passes."""
    options = {**layer._shared, **dict.fromkeys(_TRAINING, 0.0), "variational": False, **changes}
    own = {name: value for name, (value, _) in layer._own.items()}
    sizes = {
        name: options.pop(name, getattr(layer, name)) for name in ("input_size", "hidden_size", "num_layers")
    }
    kind: Any = type(layer)
    copy: Stack = kind(
        **sizes, **own, **options, dtype=layer.compute_dtype, device=layer.device, seed=0, check_finite=False
    )
    return copy


def zones(layer: Stack) -> bool:
    """Return whether training passes draw which units keep their state, as no other passes do."""
    return layer._shared["zoneout"] not in (0.0, (0.0, 0.0))


def calm(layer: Stack) -> Stack:
    """Return a copy whose training passes compute what its other passes do."""
    copy = copy_of(layer)
    copy.load_state_dict(layer.state_dict())
    return copy


def histories(layer: Stack, x: Array, state: Any, counts: Array) -> list[History]:
    """Run a stack layer by layer, step by step, with `x` and `state` as the layer has checked them."""
    weights = layer.state_dict()
    widths = (
        [layer.hidden_size] * layer.num_layers if isinstance(layer.hidden_size, int) else layer.hidden_size
    )
    starts = _by_scan(layer, state)
    directions = ("", "_reverse") if layer._shared["bidirectional"] else ("",)
    found: list[History] = []
    for k, width in enumerate(widths):
        outputs = []
        for direction in directions:
            # Of an input of tokens the width is the number of tokens.
            inputs = layer.input_size if k == 0 else x.shape[-1]
            single = copy_of(
                layer, input_size=inputs, hidden_size=width, num_layers=1,
                bidirectional=False, merge="concat", residual=False,
            )  # fmt: skip
            suffix = f"_l{k}{direction}"
            single.load_state_dict(
                {
                    name.removesuffix(suffix) + "_l0": value
                    for name, value in weights.items()
                    if name.endswith(suffix)
                }
            )
            name = f"layer {k}" + direction.replace("_", " ")
            found.append(_run(name, single, x, starts[len(found)], counts, reverse=bool(direction)))
            outputs.append(found[-1].after["h"])
        y = _merged(outputs, layer._shared["merge"])
        x = y + x if layer._shared["residual"] and k > 0 else y
    return found


def _run(name: str, layer: Stack, x: Array, state: Any, counts: Array, *, reverse: bool) -> History:
    order = backwards(counts) if reverse else np.arange(x.shape[1])[None].repeat(len(x), axis=0)
    seen = ordered(x, order)
    _, state = layer(seen[:, :0], state)  # the initial state, which the layer may have learned
    states = [_parts(state)]
    for t in range(seen.shape[1]):
        _, state = layer.step(seen[:, t], state)
        states.append(_parts(state))
    held = {part: np.stack([of[part] for of in states], axis=1) for part in states[0]}
    before, after = (
        {part: ordered(value[:, of], order) for part, value in held.items()}
        for of in (slice(0, -1), slice(1, None))
    )
    return History(name, layer, x, before, after, counts)


def backwards(counts: Array) -> Array:
    """Return the steps of each row from the last that counts to its first; padding stays where it is."""
    order = np.arange(counts.shape[1])
    return np.where(counts, counts.sum(axis=1)[:, None] - 1 - order, order)


def ordered(array: Array, order: Array) -> Array:
    """Return steps in another order. The reverse within a row's length is its own inverse."""
    return array[np.arange(len(array))[:, None], order]


def _parts(state: Any) -> dict[str, Array]:
    """Return the parts (B, P) of the state of one layer."""
    return {"h": state[0][0], "c": state[1][0]} if isinstance(state, tuple) else {"h": state[0]}


def _by_scan(layer: Stack, state: Any) -> list[Any]:
    """Return the state of each layer in each direction."""
    count = layer.num_layers * layer._layout.directions
    if state is None:
        return [None] * count
    parts = [
        [
            array[i : i + 1]
            for array in (part if isinstance(part, list) else [part])
            for i in range(len(array))
        ]
        for part in (state if isinstance(state, tuple) else (state,))
    ]
    return [tuple(of) if len(of) > 1 else of[0] for of in zip(*parts, strict=True)]


def _merged(outputs: list[Array], merge: str) -> Array:
    if len(outputs) == 1 or merge in ("concat", "separate"):
        return np.concatenate(outputs, axis=2)
    total: Array = outputs[0] + outputs[1]
    return total / 2 if merge == "mean" else total


def lengths_to_counts(lengths: Any, batch: int, steps: int) -> Array:
    """Return which steps count, (B, T)."""
    checked = _check.lengths(lengths, batch, steps)
    if checked is None:
        return np.ones((batch, steps), np.bool_)
    return np.arange(steps) < checked[:, None]
