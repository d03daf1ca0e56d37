"""What a layer holds: a compiled program with its weights, which are read, set, copied and counted."""

import json
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from seqrs import _check
from seqrs._check import Floats
from seqrs._machine import say_why
from seqrs._native import Network
from seqrs.nn._boundary import Boundary
from seqrs.nn._summary import Row, table
from seqrs.nn.gradients import StateT
from seqrs.nn.options import BLOCK_DEFAULTS


class Weights(Boundary[StateT]):
    """A program, built for the width of its input, and its weights."""

    input_size: int | None
    output_size: int | None

    _needs_steps = False  # whether the input must have a time axis
    _pools = False  # whether the output has none
    _times = 1  # for a block of any width: how many times as wide its output is

    def __init__(
        self,
        input_size: int | None,
        output_size: int | None,
        options: Mapping[str, Any],
    ) -> None:
        _check.keywords(type(self).__name__, options, BLOCK_DEFAULTS)
        chosen = {**BLOCK_DEFAULTS, **options}
        self.input_size = input_size
        self.output_size = output_size
        self.compute_dtype = _check.compute_dtype(chosen["dtype"])
        self.dtype = "float32" if self.compute_dtype == "bfloat16" else self.compute_dtype
        self.device = _check.device(chosen["device"])
        self.seed = _check.seed(chosen["seed"])
        self.check_finite = _check.flag("check_finite", chosen["check_finite"])
        self.passes = 0
        self._any_width = input_size is None
        self._within = ""  # once the layer is part of another: what and where
        self._network: Network | None = None
        if input_size is not None:
            self._build(input_size)

    # What a subclass says of itself

    def _blocks(self, name: str, width: int) -> list[dict[str, Any]]:
        """Return the blocks that the core is to build, their parameters named after `name`."""
        raise NotImplementedError

    def _rows(self, parameters: list[tuple[str, int, bool]]) -> list[Row]:
        """Return lines for the summary, given names, sizes and frozenness of the parameters."""
        return [Row(type(self).__name__, self.output_size, not self._pools, parameters)]

    # Weights

    @property
    def network(self) -> Network:
        """The compiled program with its weights, which :mod:`seqrs.optim` updates."""
        if self._within:
            raise RuntimeError(f"{self!r} is {self._within}, which holds its weights now: use that")
        if self._network is None:
            raise RuntimeError(f"{self!r} takes any width, and has not seen an input yet")
        return self._network

    @property
    def num_parameters(self) -> int:
        """How many numbers all parameters have together."""
        return self.network.num_parameters

    @property
    def num_trainable(self) -> int:
        """How many of them are not frozen."""
        return self.network.num_trainable

    def state_dict(self) -> dict[str, Floats]:
        """Return a copy of every parameter by PyTorch's name.

        Returns
        -------
        dict of str to ndarray
            For each recurrent layer k: ``weight_ih_l{k}``, ``weight_hh_l{k}``, and unless
            ``bias=False`` ``bias_ih_l{k}``, ``bias_hh_l{k}``. The class documents the shapes.

        Examples
        --------
        >>> from seqrs import nn
        >>> {name: value.shape for name, value in nn.Linear(3, 5).state_dict().items()}
        {'weight': (5, 3), 'bias': (5,)}
        """
        network = self.network
        return {name: network.get(name) for name, *_ in network.parameters()}

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Set every parameter, from :meth:`state_dict` or from a PyTorch module's.

        Parameters
        ----------
        state_dict : mapping of str to array
            One array of floats for each parameter, under its name and in its shape. Arrays of
            another float dtype are converted to the layer's; PyTorch's CPU tensors are accepted.

        Raises
        ------
        ValueError
            If parameters are missing, unexpected or of another shape (the message lists them
            all), or hold NaN or infinity. No parameter has changed then.
        TypeError
            If an array does not hold floats.
        """
        network = self.network
        expected = [(name, shape) for name, shape, *_ in network.parameters()]
        network.set(
            _check.parameters(expected, state_dict, self.dtype, owner=repr(self), finite=self.check_finite)
        )

    # A pickle, or a deep copy, holds what the layer was made with and its weights; the rest is built again.

    def __getstate__(self) -> dict[str, Any]:
        network = self._network
        weights = None if network is None else {name: network.get(name) for name, *_ in network.parameters()}
        return {**vars(self), "_network": weights}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        weights, self._network = self._network, None
        if weights is not None:
            self._build(cast(int, self.input_size))
            cast(Any, self._network).set(weights)

    def __str__(self) -> str:
        """Return a table of layers, the shapes of their outputs and the sizes of their parameters."""
        parameters = [
            (name, int(np.prod(shape)), frozen) for name, shape, _, frozen in self.network.parameters()
        ]
        return table(repr(self), self._rows(parameters))

    def _build(self, width: int) -> None:
        kind = "tokens" if self._takes == "tokens" else "features"
        spec = {"input": {kind: width}, "blocks": self._blocks("", width)}
        self._network = Network.build(
            json.dumps(spec), dtype=self.compute_dtype, device=self.device, seed=self.seed
        )
        say_why(self._network)
        self.input_size = width
        if self._any_width:
            self.output_size = self._times * width
