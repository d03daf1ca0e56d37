"""How long the states are."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs.inspect._decoder import reading_of
from seqrs.inspect._plot import new_axes

__all__ = ["HiddenNorms", "hidden_norms"]


@dataclass(frozen=True)
class HiddenNorms:
    """The result of :func:`hidden_norms`.

    Attributes
    ----------
    norms : dict of (str, str) to ndarray of shape (T,)
        For each layer, such as ``"layer 0"``, and part of its state, ``"h"`` or ``"c"``: its
        length after each step, the mean over the rows that have that step.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import inspect, nn
    >>> result = inspect.hidden_norms(nn.LSTM(2, 3, seed=0), np.ones((1, 4, 2), np.float32))
    >>> list(result.norms), len(result.rows())
    ([('layer 0', 'h'), ('layer 0', 'c')], 4)
    """

    norms: dict[tuple[str, str], NDArray[np.float64]]

    def rows(self) -> list[dict[str, Any]]:
        """Return a dict for each step, with the norm for each layer and part."""
        steps = len(next(iter(self.norms.values())))
        return [
            {"step": t} | {" ".join(of): float(norm[t]) for of, norm in self.norms.items()}
            for t in range(steps)
        ]

    def plot(self, axes: Any = None, label: str = "") -> Any:
        """Draw the norms over time with matplotlib.

        Parameters
        ----------
        axes : matplotlib axes, optional
            Where to. Default: a new figure.
        label : str, default ""
            What this result is called in the legend.

        Returns
        -------
        matplotlib axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        axes = new_axes() if axes is None else axes
        for of, norm in self.norms.items():
            axes.plot(norm, label=" ".join((label, *of)).strip(), linestyle="--" if of[1] == "c" else "-")
        axes.set(xlabel="step", ylabel="norm of the state")
        axes.legend()
        return axes


def hidden_norms(
    layer: Any, x: Any, state: Any = None, lengths: ArrayLike | None = None, *, targets: Any = None
) -> HiddenNorms:
    """How long the states are after each step: ‖h⟨t⟩‖ and, in an LSTM, ‖c⟨t⟩‖.

    Parameters
    ----------
    layer, x, state, lengths, targets
        As for :func:`gate_statistics`; any recurrent layer.

    Returns
    -------
    HiddenNorms
        The numbers, and ``.plot()``.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit.

    Examples
    --------
    A memory that only adds up grows by the same every step:

    >>> import numpy as np
    >>> from seqrs import inspect, nn
    >>> layer = nn.RNN(1, 1, nonlinearity="identity", bias=False)
    >>> layer.load_state_dict({"weight_ih_l0": np.ones((1, 1)), "weight_hh_l0": np.ones((1, 1))})
    >>> inspect.hidden_norms(layer, np.ones((1, 4, 1), np.float32)).norms["layer 0", "h"].tolist()
    [1.0, 2.0, 3.0, 4.0]
    """
    reading = reading_of(layer, x, state, lengths, targets)
    rows = reading.counts.sum(axis=0)
    steps = int((rows > 0).sum())
    norms = {}
    for history in reading.histories():
        for part, values in history.after.items():
            lengths_of = np.linalg.norm(values.astype(np.float64), axis=2)
            norms[history.name, part] = (
                np.where(history.counts, lengths_of, 0).sum(axis=0)[:steps] / rows[:steps]
            )
    return HiddenNorms(norms)
