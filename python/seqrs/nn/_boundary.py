"""Arrays on their way into a layer, checked, and out of it, in the form in which they came."""

from typing import Any, Generic, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check
from seqrs._check import Floats
from seqrs._native import Memory as Prepared
from seqrs._native import Network
from seqrs.nn._layout import StateLayout, put_together, take_apart
from seqrs.nn.gradients import StateT
from seqrs.nn.memory import Memory


class Boundary(Generic[StateT]):
    """What a layer takes and gives. In the core all have a batch axis, and states are flat."""

    input_size: int | None
    dtype: str
    check_finite: bool

    _takes = "features"  # or "tokens", or "both"
    _any_width: bool  # whether the width is that of the last input
    _within: str

    @property
    def network(self) -> Network:
        """The compiled program with its weights."""
        raise NotImplementedError

    def _build(self, width: int) -> None:
        """Make the network for inputs of this width."""
        raise NotImplementedError

    def _layouts(self) -> list[StateLayout]:
        """Return the form of the state of every recurrent block."""
        return []

    @property
    def _separate(self) -> bool:
        """Whether the output is a pair, one for each direction."""
        return False

    def _inputs(self, x: ArrayLike, axes: tuple[str, ...]) -> tuple[NDArray[Any], bool]:
        """Return the input with a batch axis, and whether it came with one."""
        array = _check.as_array("x", x)
        if self._any_width and not self._within and array.ndim > 0 and array.shape[-1] != self.input_size:
            self._build(array.shape[-1])
        size = self.input_size if self.input_size is not None else "I"
        as_tokens = self._takes == "tokens" or (self._takes == "both" and array.dtype.kind in "iu")
        shape: _check.Shape = axes if as_tokens else (*axes, size)
        batched = array.ndim != len(shape) - 1
        if not batched:
            shape = shape[1:]
        if as_tokens:
            checked: NDArray[Any] = _check.tokens("x", x, cast(int, self.input_size), shape)
        else:
            checked = _check.floats("x", x, self.dtype, shape, finite=self.check_finite)
        return (checked if batched else checked.reshape(1, *array.shape)), batched

    def _output(self, y: Floats, batched: bool) -> Floats:
        y = y if batched else y[0]
        if not self._separate:
            return y
        half = y.shape[-1] // 2
        # A pair where the user asked for it by an option; a type cannot depend on that.
        return cast(Floats, (y[..., :half], y[..., half:]))

    def _upstream(self, dy: Any) -> tuple[Floats, bool]:
        """Return the gradient by the output with a batch axis, and whether it came with one."""
        kind, width = self.network.output()
        names, parts = ["dy"], [dy]
        if self._separate:
            if not isinstance(dy, (tuple, list)) or len(dy) != 2:
                raise TypeError(f"dy: expected a pair (forward, backward) of arrays, got {type(dy).__name__}")
            names, parts, width = ["dy[0]", "dy[1]"], list(dy), width // 2
        shape: _check.Shape = ("B", width) if kind == "sequence" else ("B", "T", width)
        batched = _check.as_array(names[0], parts[0]).ndim != len(shape) - 1
        checked = [
            _check.floats(name, part, self.dtype, shape if batched else shape[1:], finite=self.check_finite)
            for name, part in zip(names, parts, strict=True)
        ]
        whole: Floats = checked[0]
        if self._separate:
            _check.same_shape(names, checked)
            whole = cast(Floats, np.concatenate(checked, axis=-1))
        return (whole if batched else whole[None]), batched

    def _flat(self, name: str, state: StateT | None, rows: tuple[int, ...]) -> tuple[Floats, ...] | None:
        """Return a state, or its gradient, as the core takes it."""
        if state is None:
            return None
        layouts = self._layouts()
        if not layouts:
            raise TypeError(f"{name}: expected None, because {type(self).__name__} has no state")

        def check(label: str, array: Any, shape: tuple[int, ...]) -> Floats:
            return _check.floats(label, array, self.dtype, shape, finite=self.check_finite)

        return take_apart(layouts, name, state, rows, check)

    def _attended(
        self, memory: Any, lengths: ArrayLike | None, rows: tuple[int, ...]
    ) -> tuple[Floats | Prepared | None, NDArray[np.int64] | None]:
        """Return the memory and its lengths as the core takes them, with a batch axis."""
        size = self.network.memory_size
        if size is None:
            if memory is not None or lengths is not None:
                raise TypeError(
                    f"memory: expected none, because {type(self).__name__} does not attend to one"
                )
            return None, None
        if memory is None:
            raise TypeError(f"memory: expected an array (B, S, {size}) to attend to, got none")
        if isinstance(memory, Memory):
            if lengths is not None:
                raise TypeError("memory_lengths: expected None, because the memory was prepared with its own")
            if len(memory) != (rows[0] if rows else 1):
                raise ValueError(
                    f"memory: expected a row for each of {rows[0] if rows else 1}, got {len(memory)}"
                )
            return memory._prepared, None
        shape: _check.Shape = (*rows, "S", size)
        checked = _check.floats("memory", memory, self.dtype, shape, finite=self.check_finite)
        counted = _check.lengths(
            lengths, rows[0] if rows else None, checked.shape[-2], of="memory", name="memory_lengths"
        )
        return (checked if rows else checked[None]), counted

    def _state(self, flat: tuple[Floats, ...], rows: tuple[int, ...]) -> StateT:
        """Return the core's state as the user sees it."""
        return cast(StateT, put_together(self._layouts(), flat, rows))
