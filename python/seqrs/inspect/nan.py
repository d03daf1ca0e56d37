"""Where numbers stop being finite."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from seqrs import _check
from seqrs.inspect._reading import Reading, read
from seqrs.inspect._stack import calm
from seqrs.inspect.gradients import back_by_steps

__all__ = ["NotFinite", "first_nan"]


@dataclass(frozen=True)
class NotFinite:
    """The first place where :func:`first_nan` found a NaN or an infinity.

    Attributes
    ----------
    quantity : str
        The name of a weight; ``"x"``; ``"h"`` or ``"c"``, as the step left it; or on the way back
        ``"dh"`` or ``"dc"``, the gradient by the state as the step found it.
    layer : str
        Such as ``"layer 0"`` or ``"layer 1 reverse"``; ``""`` for weights and x.
    step, row : int or None
        Where in the sequence and in the batch; None for weights.
    unit : int
        Which number: of the state, of the features, or of a weight's numbers in a row.
    value : float
        NaN, inf or -inf.

    Examples
    --------
    >>> from seqrs import inspect
    >>> print(inspect.NotFinite("h", "layer 0", 12, 3, 7, float("inf")))
    h of layer 0 is inf at step 12, row 3, unit 7
    """

    quantity: str
    layer: str
    step: int | None
    row: int | None
    unit: int
    value: float

    def __str__(self) -> str:
        of = f" of {self.layer}" if self.layer else ""
        at = (
            f"number {self.unit}"
            if self.step is None
            else f"step {self.step}, row {self.row}, unit {self.unit}"
        )
        return f"{self.quantity}{of} is {self.value} at {at}"


def first_nan(
    layer: Any,
    x: Any,
    state: Any = None,
    lengths: ArrayLike | None = None,
    *,
    dy: ArrayLike | None = None,
) -> NotFinite | None:
    """Return the first place where a NaN or an infinity appears, or None.

    It looks at the weights, at the input, and then at the states, step by step and at each step
    from the lowest layer up; with `dy` also at the gradients, from the last step back.

    Parameters
    ----------
    layer : a recurrent layer of :mod:`seqrs.nn`, a Sequential, or a fitted model
        What to look at; of several recurrent blocks in a row the first. Here it may have been made with ``check_finite=True``. Of a bidirectional
        layer each layer is looked at as a whole, in the order in which its directions run.
    x, state, lengths
        As for :func:`gate_statistics`.
    dy : array of shape (B, T, O), optional
        The derivative of a loss by the outputs, to look at the backward pass too.

    Returns
    -------
    NotFinite or None

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit.

    Examples
    --------
    A layer whose state doubles at each step, until float32 has no number for it:

    >>> import numpy as np
    >>> from seqrs import inspect, nn
    >>> layer = nn.RNN(1, 1, nonlinearity="relu", bias=False)
    >>> layer.load_state_dict({"weight_ih_l0": np.ones((1, 1)), "weight_hh_l0": 2 * np.ones((1, 1))})
    >>> found = inspect.first_nan(layer, np.ones((1, 200, 1), np.float32))
    >>> print(found)
    h of layer 0 is inf at step 127, row 0, unit 0
    """
    for name, value in layer.state_dict().items() if hasattr(layer, "state_dict") else ():
        bad = np.flatnonzero(~np.isfinite(value))
        if bad.size:
            return NotFinite(name, "", None, None, int(bad[0]), float(value.flat[bad[0]]))
    if isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.ndim == 3 and not np.isfinite(x).all():
        step, row, unit = _check.first(~np.isfinite(np.swapaxes(x, 0, 1)))
        return NotFinite("x", "", step, row, unit, float(x[row, step, unit]))
    reading = read(layer, x, state, lengths)
    found = _in_states(reading)
    if found is None and dy is not None:
        found = _in_gradients(reading, dy)
    return found


def _in_states(reading: Reading) -> NotFinite | None:
    """Return the first number of the states that is not finite."""
    both_ways = reading.layer._shared["bidirectional"]
    first: tuple[tuple[int, ...], NotFinite] | None = None
    for scan, history in enumerate(reading.histories()):
        if both_ways and scan % 2 == 0 and first is not None:
            break  # what a layer above makes of it came later
        for part, values in sorted(history.after.items()):  # c comes before h, which is made of it
            bad = ~np.isfinite(values) & history.counts[:, :, None]
            if not bad.any():
                continue
            row, step, unit = np.nonzero(bad)
            lengths = history.counts.sum(axis=1)
            ran = (
                lengths[row] - 1 - step if history.name.endswith("reverse") else step
            )  # how many steps before
            i = int(np.lexsort((unit, row, ran))[0])
            at = (int(ran[i]), scan)
            if first is None or at < first[0]:
                value = float(values[row[i], step[i], unit[i]])
                first = at, NotFinite(part, history.name, int(step[i]), int(row[i]), int(unit[i]), value)
    return None if first is None else first[1]


def _in_gradients(reading: Reading, dy: ArrayLike) -> NotFinite | None:
    """Return the first number of the gradients by the states that is not finite, from the last step back."""
    layer = calm(reading.layer)
    if layer._shared["bidirectional"]:
        raise ValueError(
            "dy: expected None for a bidirectional layer, whose states depend on later steps too"
        )
    upstream = _check.floats(
        "dy", dy, layer.dtype, (*reading.counts.shape, layer.output_size or 0), finite=False
    )
    for t, gradient in back_by_steps(layer, reading.x, reading.state, reading.counts, upstream):
        state = gradient.state
        parts = dict(zip("hc", state, strict=True)) if isinstance(state, tuple) else {"h": state}
        for part, arrays in parts.items():
            found = [of for array in (arrays if isinstance(arrays, list) else [arrays]) for of in array]
            for k in reversed(range(len(found))):  # gradients go from the last layer down
                bad = ~np.isfinite(found[k])
                if bad.any():
                    row, unit = _check.first(bad)
                    return NotFinite(f"d{part}", f"layer {k}", t, row, unit, float(found[k][row, unit]))
    return None
