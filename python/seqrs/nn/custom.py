"""Layers of a user's own cell."""

from collections.abc import Sequence
from typing import Any, SupportsIndex, cast

from numpy.typing import DTypeLike

from seqrs import _check
from seqrs._native import Network, Tape
from seqrs.nn._layout import StateLayout
from seqrs.nn._loop import Loop, LoopTape
from seqrs.nn._summary import Row
from seqrs.nn.cell import Cell, widths
from seqrs.nn.layer import Layer
from seqrs.nn.options import MERGES

__all__ = ["Custom"]


class Custom(Layer[Any]):
    """A stack of layers of a cell of your own (:class:`seqrs.nn.Cell`).

    For experiments: a loop in Python calls the cell's `step` once a time step, on the CPU. That
    is far slower than a cell of the compiled core, but everything else is as in the other
    layers: lengths, masks, both directions, stacks, states in and out, gradients of everything,
    :mod:`seqrs.optim`.

    Parameters
    ----------
    cell : Cell, or sequence of Cell
        The cell of all layers, or one for each.
    input_size : int
        I, the number of features of a step, or the number of different tokens.
    num_layers : int, optional
        L, the number of layers. Default: as many as there are cells.
    bidirectional : bool, default False
        Whether each layer also reads each row from its last step to its first, with weights of
        its own.
    merge : {"concat", "sum", "mean", "separate"}, default "concat"
        How the outputs of the two directions become one: side by side, their sum, or their
        mean. ``"separate"``: side by side between layers; the last layer's are a pair.
    dtype : {"float32", "float64"}, default "float32"
        Of the weights and of all arrays, in and out.
    seed : int, optional
        For the generator from which the cells draw their initial weights. Default: drawn at
        random; the attribute `seed` holds it.
    check_finite : bool, default True
        Refuse arrays that hold NaN or infinity. Without the check they pass through.

    Notes
    -----
    Parameters have the names that the cell gives them, and after those ``_l{k}`` for layer k and
    ``_reverse`` for the reverse direction. A state is an array if the cell's has one part, and
    else a tuple with an array for each.

    A :class:`seqrs.nn.Sequential` cannot contain this layer: its blocks run in the core.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of the wrong type; later, if the cell returns
        something of another shape than it should.

    Examples
    --------
    A running mean that forgets, without any weights; its backward step halves too:

    >>> import numpy as np
    >>> from seqrs import nn
    >>> class Smooth:
    ...     state_sizes = (1,)
    ...
    ...     def parameters(self, input_size, rng):
    ...         return {}
    ...
    ...     def step(self, p, x, state):
    ...         return ((x + state[0]) / 2,), None
    ...
    ...     def step_backward(self, p, saved, dstate):
    ...         return dstate[0] / 2, (dstate[0] / 2,), {}
    >>> layer = nn.Custom(Smooth(), input_size=1, dtype="float64")
    >>> y, state = layer(np.array([[[8.0], [0.0], [0.0]]]))
    >>> y.ravel().tolist()
    [4.0, 2.0, 1.0]
    """

    _takes = "both"
    _tape = cast("type[Tape]", LoopTape)

    def __init__(
        self,
        cell: Cell | Sequence[Cell],
        input_size: SupportsIndex,
        num_layers: SupportsIndex | None = None,
        *,
        bidirectional: bool = False,
        merge: str = "concat",
        dtype: DTypeLike = "float32",
        seed: SupportsIndex | None = None,
        check_finite: bool = True,
    ) -> None:
        given = list(cell) if isinstance(cell, Sequence) else [cell]
        self.num_layers = _check.num_layers(len(given) if num_layers is None else num_layers)
        if isinstance(cell, Sequence) and len(given) != self.num_layers:
            raise ValueError(f"cell: expected {self.num_layers} cells, one for each layer, got {len(given)}")
        self.cells = given if isinstance(cell, Sequence) else given * self.num_layers
        self.bidirectional = _check.flag("bidirectional", bidirectional)
        self.merge = _check.choice("merge", merge, MERGES)
        sizes = [widths(cell) for cell in self.cells]
        if len({len(parts) for parts in sizes}) > 1:
            raise ValueError(f"cell: expected cells with as many parts of the state, got state_sizes {sizes}")
        count = len(sizes[0])
        parts = ("h", "c")[:count] if count <= 2 else [f"s{i}" for i in range(count)]
        directions = 2 if self.bidirectional else 1
        self._layout = StateLayout(directions, dict(zip(parts, zip(*sizes, strict=True), strict=True)))
        side_by_side = directions if merge in ("concat", "separate") else 1
        self._widths = [side_by_side * width for width, *_ in sizes]
        super().__init__(
            _check.integer("input_size", input_size, minimum=1),
            self._widths[-1],
            {"dtype": _check.dtype(dtype), "seed": seed, "check_finite": check_finite},
        )

    def _build(self, width: int) -> None:
        # Not the compiled network, but one with the same methods.
        loop = Loop(self.cells, width, self._layout.directions, self.merge, self.dtype, self.seed)
        self._network = cast(Network, loop)

    def _blocks(self, name: str, width: int) -> list[dict[str, Any]]:  # noqa: ARG002 - there are none
        raise TypeError(f"{name}: the core cannot run {self!r}: its cell is Python")

    def _layouts(self) -> list[StateLayout]:
        return [self._layout]

    def _rows(self, parameters: list[tuple[str, int, bool]]) -> list[Row]:
        rows = []
        for k, (cell, width) in enumerate(zip(self.cells, self._widths, strict=True)):
            own = [p for p in parameters if p[0].endswith((f"_l{k}", f"_l{k}_reverse"))]
            rows.append(Row(f"{type(cell).__name__} l{k}", width, True, own))
        return rows

    @property
    def _separate(self) -> bool:
        return self.bidirectional and self.merge == "separate"

    def __repr__(self) -> str:
        cells = ", ".join(dict.fromkeys(type(cell).__name__ for cell in self.cells))
        return (
            f"Custom({cells}, {self.input_size}, num_layers={self.num_layers}, "
            f"bidirectional={self.bidirectional}, merge={self.merge!r})"
        )
