"""A cell of one's own: what it has to say, and the loop that runs it over sequences."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from seqrs import _check

__all__ = ["Cell"]

Array = NDArray[Any]
# For every step that ran: its number, the rows it ran for, and what the cell saved.
Trace = list[tuple[int, Array, Any]]


class Cell(Protocol):
    r"""What :class:`seqrs.nn.Custom` needs to know of a recurrent cell.

    An object with these four, no base class needed. It holds no weights and no states: the
    layer keeps both and hands them in, so one cell can serve all layers and directions of a
    stack. Rows are sequences: a step takes those of a batch that have an input at that time, x of
    shape (R, I) and each part of the state of shape (R, P), where R may differ from step to
    step. Arrays that come in may be saved as they are, but not changed.

    Attributes
    ----------
    state_sizes : tuple of int
        The width P of each part of the state. The first part is the output of the cell.

    Examples
    --------
    An independently recurrent network (Li et al. 2018), in which each unit sees its own past
    alone, through one weight::

        z⟨t⟩ = W x⟨t⟩ + u * h⟨t-1⟩ + b
        h⟨t⟩ = max(z⟨t⟩, 0)

    Its backward step is the chain rule, line by line:

    >>> import numpy as np
    >>> from seqrs import nn, optim, testing
    >>> class IndRNN:
    ...     def __init__(self, hidden_size):
    ...         self.state_sizes = (hidden_size,)
    ...
    ...     def parameters(self, input_size, rng):
    ...         (H,) = self.state_sizes
    ...         return {
    ...             "weight": rng.normal(0, H**-0.5, (H, input_size)),
    ...             "recurrent": rng.uniform(0, 1, H),
    ...             "bias": np.zeros(H),
    ...         }
    ...
    ...     def step(self, p, x, state):
    ...         (h,) = state
    ...         z = x @ p["weight"].T + p["recurrent"] * h + p["bias"]
    ...         return (np.maximum(z, 0),), (x, h, z)
    ...
    ...     def step_backward(self, p, saved, dstate):
    ...         x, h, z = saved
    ...         (dh,) = dstate
    ...         dz = dh * (z > 0)
    ...         gradients = {"weight": dz.T @ x, "recurrent": (dz * h).sum(0), "bias": dz.sum(0)}
    ...         return dz @ p["weight"], (dz * p["recurrent"],), gradients

    Is the backward step right? Central differences say so, or raise:

    >>> layer = nn.Custom(IndRNN(4), input_size=3, num_layers=2, bidirectional=True, dtype="float64", seed=0)
    >>> x = np.random.default_rng(0).normal(size=(2, 5, 3))
    >>> report = testing.check_gradients(layer, x, lengths=[5, 3])
    >>> list(report.tensors)[:6]
    ['x', 'state', 'weight_l0', 'recurrent_l0', 'bias_l0', 'weight_l0_reverse']

    Training, here towards outputs of zero, is as with any other layer:

    >>> adam = optim.Adam(layer, lr=0.01)
    >>> sizes = []
    >>> for _ in range(20):
    ...     y, h, tape = layer.forward(x, lengths=[5, 3])
    ...     norm = adam.step(layer.backward(tape, 2 * y / y.size))
    ...     sizes.append(np.mean(y**2))
    >>> bool(sizes[-1] < sizes[0] / 2)
    True
    """

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The width of each part of the state."""

    def parameters(self, input_size: int, rng: np.random.Generator) -> Mapping[str, Array]:
        """Return the weights of one layer in one direction, by name, as they are at the start.

        What is random is drawn from `rng`, so that a layer's seed determines it. Their names
        and shapes are those of the arrays that the other methods get as `p`; the numbers are
        converted to the layer's dtype.
        """

    def step(self, p: Mapping[str, Array], x: Array, state: tuple[Array, ...]) -> tuple[Sequence[Array], Any]:
        """Return the parts of the next state, and whatever the backward step will want of this one."""

    def step_backward(
        self, p: Mapping[str, Array], saved: Any, dstate: tuple[Array, ...]
    ) -> tuple[Array, Sequence[Array], Mapping[str, Array]]:
        """Return the gradients by x, by each part of the state before, and by each weight.

        `dstate` are those by the state after the step, from all that came of it: the steps
        that followed, and for the first part also the output. Those by the weights are sums over
        the rows of this step; the layer adds them up over the steps.
        """


def widths(cell: Cell) -> tuple[int, ...]:
    """Return the widths of the parts of a cell's state; refuse what is no cell."""
    needed = ("state_sizes", "parameters", "step", "step_backward")
    lacking = [name for name in needed if not hasattr(cell, name)]
    if isinstance(cell, type) or lacking:
        got = f"the class {cell.__name__}" if isinstance(cell, type) else type(cell).__name__
        without = f" without {', '.join(lacking)}" if lacking else " itself, not an object of it"
        raise TypeError(f"cell: expected an object with {', '.join(needed)}, got {got}{without}")
    name = f"{type(cell).__name__}.state_sizes"
    if not isinstance(cell.state_sizes, (tuple, list)):
        raise TypeError(f"{name}: expected a tuple of widths, got {_check.describe(cell.state_sizes)}")
    sizes = tuple(_check.integer(name, size, minimum=1) for size in cell.state_sizes)
    if not sizes:
        raise ValueError(f"{name}: expected at least one width, that of the output, got none")
    return sizes


def weights(cell: Cell, input_size: int, rng: np.random.Generator, dtype: DTypeLike) -> dict[str, Array]:
    """Return the weights of one layer in one direction at their start."""
    name, given = f"{type(cell).__name__}.parameters", cell.parameters(input_size, rng)
    if not isinstance(given, Mapping):
        raise TypeError(f"{name}: expected a dict of arrays by name, got {_check.describe(given)}")
    arrays = {}
    for key, value in given.items():
        array: Array = np.asarray(value)
        if not isinstance(key, str) or array.dtype.kind not in "fiu":
            raise TypeError(f"{name}: expected real numbers by name, got {key!r}: {_check.describe(value)}")
        arrays[key] = array.astype(dtype)
        _check.finite_everywhere(f"{name}: {key}", arrays[key])
    return arrays


def run(
    cell: Cell, p: Mapping[str, Array], x: Array, counts: Array, state: Iterable[Array], backwards: bool
) -> tuple[Array, list[Array], Trace]:
    """Run a cell over the steps that count, from the last to the first if `backwards`.

    Where a step of a row does not count, its state stays as it is and its output is 0, so to
    run backwards in time is all there is to the reverse direction, whatever rows lack.
    """
    y = np.zeros((*x.shape[:2], cell.state_sizes[0]), x.dtype)
    state = [part.copy() for part in state]
    trace: Trace = []
    steps = range(x.shape[1])
    for t in reversed(steps) if backwards else steps:
        rows = np.flatnonzero(counts[:, t])
        if not rows.size:
            continue
        result = cell.step(p, x[rows, t], tuple(part[rows] for part in state))
        after, saved = _returned("step", cell, result, ("state", "saved"))
        _store("step: state", cell, state, rows, after)
        y[rows, t] = after[0]
        trace.append((t, rows, saved))
    return y, state, trace


def run_backward(
    cell: Cell,
    p: Mapping[str, Array],
    trace: Trace,
    dy: Array,
    dstate: Iterable[Array],
    dx: Array,
    dp: Mapping[str, Array],
) -> list[Array]:
    """Carry gradients back through `run`: add to `dx` and `dp`, return those by the state before."""
    dstate = [part.copy() for part in dstate]
    for t, rows, saved in reversed(trace):
        dafter = [part[rows] for part in dstate]
        dafter[0] += dy[rows, t]
        result = cell.step_backward(p, saved, tuple(dafter))
        dx_t, dbefore, dp_t = _returned("step_backward", cell, result, ("by x", "by state", "by weights"))
        _store("step_backward: gradient by state", cell, dstate, rows, dbefore)
        _check_shape("step_backward: gradient by x", cell, dx_t, (len(rows), dx.shape[2]))
        dx[rows, t] += dx_t
        if not isinstance(dp_t, Mapping):
            raise TypeError(
                f"{type(cell).__name__}.step_backward: expected a dict of gradients by weight, "
                f"got {_check.describe(dp_t)}"
            )
        if dp_t.keys() != dp.keys():
            raise ValueError(
                f"{type(cell).__name__}.step_backward: expected gradients by {sorted(dp)}, got {sorted(dp_t)}"
            )
        for name, total in dp.items():
            _check_shape(f"step_backward: gradient by {name}", cell, dp_t[name], total.shape)
            total += dp_t[name]
    return dstate


def _returned(method: str, cell: Cell, result: Any, parts: tuple[str, ...]) -> Any:
    """Return what a method of the cell returned, which must be a tuple of so many parts."""
    if not isinstance(result, tuple) or len(result) != len(parts):
        got = f"a tuple of {len(result)}" if isinstance(result, tuple) else _check.describe(result)
        raise TypeError(f"{type(cell).__name__}.{method}: expected a tuple ({', '.join(parts)}), got {got}")
    return result


def _store(what: str, cell: Cell, state: list[Array], rows: Array, parts: Sequence[Array]) -> None:
    """Put parts of a state in their rows."""
    if not isinstance(parts, (tuple, list)):
        raise TypeError(
            f"{type(cell).__name__}.{what}: expected a tuple of {len(state)} arrays, got {_check.describe(parts)}"
        )
    if len(parts) != len(state):
        raise ValueError(f"{type(cell).__name__}.{what}: expected {len(state)} parts, got {len(parts)}")
    for i, (whole, part) in enumerate(zip(state, parts, strict=True)):
        _check_shape(f"{what}[{i}]", cell, part, (len(rows), whole.shape[1]))
        whole[rows] = part


def _check_shape(what: str, cell: Cell, array: Array, shape: tuple[int, ...]) -> None:
    """Refuse what would otherwise be broadcast without a word."""
    if np.shape(array) != shape:
        raise ValueError(f"{type(cell).__name__}.{what}: expected shape {shape}, got {np.shape(array)}")
