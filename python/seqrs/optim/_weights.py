"""Where the weights lie that an optimizer moves: in a compiled network, or behind a layer's ``state_dict``."""

import math
from collections.abc import Collection, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from seqrs import _check, _native
from seqrs._check import Floats


class Trainable(Protocol):
    """What an optimizer needs of a layer; those of :mod:`seqrs.nn` have it, and your own can."""

    dtype: str

    def state_dict(self) -> Mapping[str, Any]:
        """Return the parameters by name."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Set the parameters."""


def weights_of(layer: Trainable) -> "InNetwork | InDict":
    """Return where the weights of a layer lie."""
    lacking = [name for name in ("dtype", "state_dict", "load_state_dict") if not hasattr(layer, name)]
    if lacking:
        raise TypeError(f"layer: expected a layer, got {type(layer).__name__} without {', '.join(lacking)}")
    network = getattr(layer, "_network", None)
    return InDict(layer) if network is None else InNetwork(layer, network)


class InNetwork:
    """The weights of a layer of :mod:`seqrs.nn`, moved where they lie."""

    def __init__(self, layer: Trainable, network: _native.Network) -> None:
        self._layer = layer
        self._network = network
        self.size = network.num_trainable

    def apply(self, gradients: Any, optimizer: _native.Optimizer, lr: float) -> float:
        """Make one step and return the norm of the gradients."""
        # A mapping, or what a backward pass returned: the latter has all of them in one array too.
        flat = getattr(gradients, "flat", None) if hasattr(gradients, "params") else None
        return self._network.apply(self._flat(gradients) if flat is None else flat, optimizer, lr)

    def _flat(self, gradients: Any) -> Floats:
        """Return the gradients in the places of the weights; those of frozen ones are 0."""
        parameters = self._network.parameters()
        frozen = {name for name, _, _, frozen in parameters if frozen}
        shapes = {name: shape for name, shape, _, _ in parameters if name not in frozen}
        checked = _checked(self._layer, shapes, gradients, ignored=frozen)
        flat: Floats = np.zeros(self._network.num_parameters, self._layer.dtype)
        for name, _, place, _ in parameters:
            if name in checked:
                flat[place : place + checked[name].size] = checked[name].ravel()
        return flat


class InDict:
    """The weights of a layer of a user's own, moved through its state_dict."""

    def __init__(self, layer: Trainable) -> None:
        self._layer = layer
        self._shapes = {name: np.shape(value) for name, value in layer.state_dict().items()}
        self.size = sum(map(math.prod, self._shapes.values()))

    def apply(self, gradients: Any, optimizer: _native.Optimizer, lr: float) -> float:
        """Make one step and return the norm of the gradients."""
        checked = _checked(self._layer, self._shapes, gradients)
        values = self._flat(self._layer.state_dict())
        norm = optimizer.update(values, self._flat(checked), lr)
        if math.isfinite(norm):
            ends = np.cumsum([math.prod(shape) for shape in self._shapes.values()])
            named = zip(self._shapes.items(), np.split(values, ends[:-1]), strict=True)
            self._layer.load_state_dict({name: piece.reshape(shape) for (name, shape), piece in named})
        return norm

    def _flat(self, arrays: Mapping[str, ArrayLike]) -> Floats:
        """Return all numbers in a row, in the order of the layer's state_dict."""
        dtype = self._layer.dtype
        flat: Floats = np.concatenate([np.ravel(np.asarray(arrays[name], dtype)) for name in self._shapes])
        return flat


def _checked(
    layer: Trainable, shapes: Mapping[str, tuple[int, ...]], gradients: Any, ignored: Collection[str] = ()
) -> dict[str, Floats]:
    """Return a gradient for each parameter, from a mapping or from what ``layer.backward`` returned."""
    named = getattr(gradients, "params", gradients)
    if not isinstance(named, Mapping):
        raise TypeError(
            f"gradients: expected what backward returned, or a mapping of names to arrays, got {_check.describe(named)}"
        )
    given = {name: g for name, g in named.items() if name not in ignored}
    owner = f"this {type(layer).__name__}"
    return _check.parameters(shapes.items(), given, layer.dtype, what="gradients", owner=owner, finite=False)
