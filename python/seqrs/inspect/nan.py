"""Where numbers stop being finite."""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from seqrs import _check
from seqrs.inspect._back import Parts
from seqrs.inspect._plot import new_axes
from seqrs.inspect._reading import Reading, read
from seqrs.inspect._stack import Array, calm
from seqrs.inspect.gradients import back

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
    around : ndarray of shape (T, P)
        The same quantity of this row at every step, of a gradient at this step and those after it;
        of a weight all its numbers.

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
    around: Array = field(default_factory=lambda: np.zeros((0, 0)), repr=False, compare=False)

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict, of where it is and what."""
        return [{of.name: getattr(self, of.name) for of in fields(self) if of.name != "around"}]

    def plot(self, axes: Any = None) -> Any:
        """Draw the numbers around it with matplotlib: how large they are, and in red those that are not finite.

        Parameters
        ----------
        axes : matplotlib axes, optional
            Where to. Default: a new figure.

        Returns
        -------
        matplotlib axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        axes = new_axes() if axes is None else axes
        sizes = np.abs(self.around.astype(np.float64))
        finite = np.isfinite(sizes)
        smallest = sizes[finite & (sizes > 0)].min(initial=1.0)
        shown = np.ma.masked_array(np.log10(np.where(finite, np.maximum(sizes, smallest), 1.0)), ~finite)
        begins = (self.step or 0) if self.quantity.startswith("d") else 0
        height, width = shown.T.shape
        extent = (begins - 0.5, begins + width - 0.5, height - 0.5, -0.5)
        image = axes.imshow(shown.T, cmap="Greys", aspect="auto", extent=extent, interpolation="none")
        axes.set_facecolor("red")  # which shows where nothing is drawn
        if self.step is not None:
            axes.plot([self.step], [self.unit], marker="o", markersize=12, color="white", fillstyle="none")
        axes.set(xlabel="row" if self.step is None else "step", ylabel="unit", title=str(self))
        axes.figure.colorbar(image, ax=axes, label="log10 of the size")
        return axes

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
            around = value.reshape(len(value), -1)
            return NotFinite(name, "", None, None, int(bad[0]), float(value.flat[bad[0]]), around)
    if isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.ndim == 3 and not np.isfinite(x).all():
        step, row, unit = _check.first(~np.isfinite(np.swapaxes(x, 0, 1)))
        return NotFinite("x", "", step, row, unit, float(x[row, step, unit]), x[row])
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
                place = int(step[i]), int(row[i]), int(unit[i])
                around = values[row[i], : lengths[row[i]]]
                first = at, NotFinite(part, history.name, *place, value, around)
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
    after: list[dict[str, Parts]] = []
    for t, gradients in back(reading, layer, upstream):
        after.append(gradients)
        for part in next(iter(gradients.values())):
            for name in reversed(gradients):  # gradients go from the last layer down
                bad = ~np.isfinite(gradients[name][part])
                if bad.any():
                    row, unit = _check.first(bad)
                    around = np.stack([of[name][part][row] for of in reversed(after)])
                    return NotFinite(f"d{part}", name, t, row, unit, float(around[0, unit]), around)
    return None
