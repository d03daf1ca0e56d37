"""Checks to run on layers: those of seqrs, and your own."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs.nn.layer import Layer

__all__ = ["Differentiable", "GradientReport", "TensorReport", "check_gradients"]

Doubles = NDArray[np.float64]


class Differentiable(Protocol):
    """What :func:`check_gradients` needs; every layer of :mod:`seqrs.nn` has it.

    An object of your own needs the same five: `dtype`, ``forward``, ``backward``,
    ``state_dict`` and ``load_state_dict``, each used as in :class:`seqrs.nn.Layer`. What
    ``backward`` returns has the attributes `x`, `state` and `params`. Its parameters may have
    any names and shapes; those that `params` leaves out are not checked. If the tape has a
    `penalty`, that is part of the loss.

    Examples
    --------
    y = w x, with a state that is carried unchanged:

    >>> import numpy as np
    >>> from seqrs import nn, testing
    >>> class Scale:
    ...     dtype, w = "float64", np.array([2.0])
    ...     def forward(self, x, state, lengths, training, *, step):
    ...         state = np.zeros((1, len(x), 1)) if state is None else state
    ...         return self.w * x, state, x
    ...     def backward(self, tape, dy, dstate):
    ...         return nn.Gradients(self.w * dy, dstate, {"w": np.sum(dy * tape, keepdims=True)[0, 0]})
    ...     def state_dict(self):
    ...         return {"w": self.w}
    ...     def load_state_dict(self, state_dict):
    ...         self.w = state_dict["w"].copy()
    >>> sorted(testing.check_gradients(Scale(), np.ones((2, 3, 1))).tensors)
    ['state', 'w', 'x']
    """

    dtype: str

    def forward(
        self, x: ArrayLike, state: Any, lengths: ArrayLike | None, training: bool, *, step: int
    ) -> tuple[Any, Any, Any]:
        """Return the output, the final state and a tape."""

    def backward(self, tape: Any, dy: Any, dstate: Any) -> Any:
        """Return the gradients, given those by the output and the final state."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return the parameters by name."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Set the parameters."""


@dataclass(frozen=True)
class TensorReport:
    """How one tensor's analytic gradient compares: its worst element.

    Attributes
    ----------
    index : tuple of int
        Where the worst element is.
    analytic, numeric : float
        The gradient there, from ``backward`` and from central differences.
    allowed : float
        How far apart the two may be, anywhere in this tensor.

    Examples
    --------
    >>> from seqrs.testing import TensorReport
    >>> tensor = TensorReport(index=(0, 2), analytic=0.25, numeric=0.5, allowed=1e-6)
    >>> tensor.error, tensor.ok
    (0.25, False)
    """

    index: tuple[int, ...]
    analytic: float
    numeric: float
    allowed: float

    @property
    def error(self) -> float:
        """The distance between the two."""
        return abs(self.analytic - self.numeric)

    @property
    def ok(self) -> bool:
        """Whether it is allowed; never for NaN."""
        return self.error <= self.allowed


@dataclass(frozen=True)
class GradientReport:
    """What :func:`check_gradients` found; printed, a table.

    Attributes
    ----------
    tensors : dict of str to TensorReport
        For each tensor: ``"x"`` (unless the input is tokens), the initial state (``"state"``;
        of a pair or a list ``"state[0]"`` and so on), and each parameter. Tensors without
        elements are left out.

    Examples
    --------
    >>> from seqrs.testing import GradientReport, TensorReport
    >>> print(GradientReport({"bias_ih_l0": TensorReport((2,), 0.25, 0.25, 1e-6)}))
    tensor         error   allowed  at
    bias_ih_l0   0.0e+00   1.0e-06  [2]
    """

    tensors: dict[str, TensorReport]

    def __str__(self) -> str:
        width = max([len("tensor"), *map(len, self.tensors)])
        lines = [f"{'tensor':<{width}}  {'error':>8}  {'allowed':>8}  at"]
        lines += [
            f"{name:<{width}}  {report.error:8.1e}  {report.allowed:8.1e}  {list(report.index)}"
            for name, report in self.tensors.items()
        ]
        return "\n".join(lines)


def check_gradients(
    layer: Differentiable,
    x: ArrayLike,
    state: Any = None,
    lengths: ArrayLike | None = None,
    *,
    mask: ArrayLike | None = None,
    memory: ArrayLike | None = None,
    memory_lengths: ArrayLike | None = None,
    seed: int = 0,
    difference: float = 1e-5,
) -> GradientReport:
    """Compare a layer's analytic gradients with central differences, element by element.

    The function differentiated is E = Σ dy * y + Σ dstate * state over the output y and the
    final state of a training pass, with dy and dstate drawn from a normal distribution, plus the
    penalty on activations if the layer has one. For
    every element v of every parameter, of the input and of the initial state, the analytic
    gradient a must be close to n = (E(v + d) - E(v - d)) / 2d:

        |a - n| <= 1e-6 * (largest |n| of the tensor + 1e-3)

    That takes two forward passes for every number in the layer, so keep it small: a wrong
    equation shows at H = 3 as well as at H = 300.

    Parameters
    ----------
    layer : Differentiable
        A layer of dtype ``"float64"``: in float32, rounding would drown what is looked for. Its
        parameters are changed during the check and restored after it.
    x, state, lengths, mask, memory, memory_lengths
        What ``layer.forward`` takes. Without a state the layer starts from its own; that one's
        gradient is checked too, unless it is learned: then it is part of the parameters'.
    seed : int, default 0
        For dy and dstate.
    difference : float, default 1e-5
        d above. Where the layer has a kink (ReLU at 0) closer than this to one of its values,
        the two sides differ although the gradient is right: draw other numbers then.

    Returns
    -------
    GradientReport
        The worst element of every tensor.

    Raises
    ------
    AssertionError
        If an element is further off than allowed. The message names the worst one.
    ValueError
        If the layer's dtype is not ``"float64"``.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn, testing
    >>> layer = nn.LSTM(2, 3, dtype="float64", seed=0)
    >>> x = np.random.default_rng(0).normal(size=(4, 5, 2))
    >>> report = testing.check_gradients(layer, x, lengths=[5, 2, 0, 3])
    >>> all(tensor.error < 1e-6 for tensor in report.tensors.values())
    True
    """
    if layer.dtype != "float64":
        raise ValueError(f'layer: expected dtype "float64", got "{layer.dtype}"')
    draw = np.random.default_rng(seed).standard_normal
    attended = None if memory is None else np.array(memory, np.float64)
    # A layer of one's own need not know the words.
    more = {"mask": mask, "memory": attended, "memory_lengths": memory_lengths}
    given_more: dict[str, Any] = {name: value for name, value in more.items() if value is not None}
    y, after, tape = layer.forward(x, state, lengths, True, step=0, **given_more)
    upstream = [draw(part.shape) for part in (*_parts(y), *_parts(after))]
    count = len(list(_parts(y)))
    gradients = layer.backward(tape, _like(y, upstream[:count]), _like(after, upstream[count:]))

    # Working copies: an element is moved in place, and put back.
    inputs = np.array(x)
    parts = list(_parts(gradients.state))
    params = {name: np.array(value) for name, value in layer.state_dict().items()}
    learned = any("initial_" in name for name in params)
    given = state is not None or not learned
    before = [np.array(part) for part in (map(np.zeros_like, parts) if state is None else _parts(state))]

    def start() -> Any:
        return _like(gradients.state, before) if given else None

    def outputs() -> list[Any]:
        return _numbers(layer.forward(inputs, start(), lengths, True, step=0, **given_more))

    def outputs_of_params() -> list[Any]:
        layer.load_state_dict(params)
        return outputs()

    def compare(analytic: Doubles, values: Doubles, run: Callable[[], list[Any]]) -> TensorReport:
        numeric = np.zeros(values.shape)
        for index in np.ndindex(values.shape):
            value = values[index]
            values[index] = value + difference
            above = run()
            values[index] = value - difference
            below = run()
            values[index] = value
            # Outputs are subtracted before they are summed: the difference of two large sums
            # would lose the digits that matter.
            change = sum(np.vdot(d, a - b) for d, a, b in zip([*upstream, 1.0], above, below, strict=True))
            numeric[index] = change / (2 * difference)
        error = np.abs(analytic - numeric)
        worst = tuple(int(i) for i in np.unravel_index(int(np.argmax(error)), error.shape))
        allowed = 1e-6 * (float(np.max(np.abs(numeric))) + 1e-3)
        return TensorReport(worst, float(analytic[worst]), float(numeric[worst]), allowed)

    report: dict[str, TensorReport] = {}
    try:
        if gradients.x is not None and inputs.size:
            report["x"] = compare(gradients.x, inputs, outputs)
        if attended is not None and attended.size:
            report["memory"] = compare(gradients.memory, attended, outputs)
        for i, (analytic, values) in enumerate(zip(parts, before, strict=True)):
            if values.size and given:
                name = "state" if len(parts) == 1 else f"state[{i}]"
                report[name] = compare(analytic, values, outputs)
        run = outputs_of_params
        if isinstance(layer, Layer) and type(layer).forward is Layer.forward:
            run = _rerun(layer, params, inputs, start(), lengths, True, mask, attended, memory_lengths)
        for name, analytic in gradients.params.items():
            report[name] = compare(analytic, params[name], run)
    finally:
        layer.load_state_dict(params)

    wrong = {name: tensor for name, tensor in report.items() if not tensor.ok}
    if wrong:
        name = max(wrong, key=lambda name: wrong[name].error / wrong[name].allowed)
        worst = wrong[name]
        raise AssertionError(
            f"gradient of {name}{list(worst.index)}: analytic {worst.analytic:.9g}, central difference "
            f"{worst.numeric:.9g}, apart by {worst.error:.2g} where {worst.allowed:.2g} is allowed\n"
            f"{GradientReport(report)}"
        )
    return GradientReport(report)


def _rerun(layer: Layer[Any], params: dict[str, Any], *given: Any) -> Callable[[], list[Any]]:
    """Return what runs a layer with `params` as they are then; what stays is checked once, not at every pass."""
    run = layer._pass(*given)

    def outputs() -> list[Any]:
        layer.network.set(params)
        return _numbers(run(0))

    return outputs


def _numbers(ran: tuple[Any, Any, Any]) -> list[Any]:
    """Return what a pass gave: copies, since an output may share memory with an input that is about to move."""
    y, after, tape = ran
    arrays = [np.array(array) for array in (*_parts(y), *_parts(after))]
    return [*arrays, getattr(tape, "penalty", 0.0)]


def _parts(state: Any) -> Iterator[Doubles]:
    """Take a state, or an output, apart: None, an array, or a tuple or list of such."""
    if isinstance(state, (tuple, list)):
        for part in state:
            yield from _parts(part)
    elif state is not None:
        yield state


def _like(state: Any, parts: list[Doubles]) -> Any:
    """Put arrays together in the form of a state."""
    rest = iter(parts)

    def fill(part: Any) -> Any:
        if isinstance(part, (tuple, list)):
            return type(part)(fill(inner) for inner in part)
        return None if part is None else next(rest)

    return fill(state)
