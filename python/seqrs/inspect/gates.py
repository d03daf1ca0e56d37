"""How open the gates are, and how many of them are stuck."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs.inspect._decoder import reading_of
from seqrs.inspect._plot import new_axes
from seqrs.inspect._stack import Array, History

__all__ = ["GateStatistics", "gate_statistics"]

Series = NDArray[np.float64]
Key = tuple[str, str]

# The rows of weight_ih, gate by gate. The last of them, the candidate, is none.
_ROWS = {"rnn": "n", "gru": "rzn", "lstm": "ifgo", "mingru": "zn", "minlstm": "fin"}
# Karpathy, Johnson and Fei-Fei (2015), section 4.2.
_SHUT, _OPEN = 0.1, 0.9
# What layers add to the variance that they divide by.
_EPS = 1e-5


@dataclass(frozen=True)
class GateStatistics:
    """The result of :func:`gate_statistics`: for each layer and gate, such as ``("layer 0", "f")``.

    Attributes
    ----------
    mean : dict of (str, str) to ndarray of shape (T,)
        The mean of the gate over rows and units, at each step.
    shut, open : dict of (str, str) to ndarray of shape (T,)
        The share of gates below 0.1 and above 0.9.
    counts : ndarray of shape (T,)
        How many rows each step has.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import inspect, nn
    >>> found = inspect.gate_statistics(nn.LSTM(2, 3, seed=0, forget_bias=5.0), np.ones((1, 4, 2), np.float32))
    >>> found.open["layer 0", "f"].tolist(), found.open["layer 0", "i"].tolist()
    ([1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0])
    """

    mean: dict[Key, Series]
    shut: dict[Key, Series]
    open: dict[Key, Series]
    counts: NDArray[np.int64]

    def rows(self) -> list[dict[str, Any]]:
        """Return a dict for each layer and gate, with the figures over all steps."""
        return [
            {
                "layer": of[0],
                "gate": of[1],
                **{
                    name: float(np.average(series[of], weights=self.counts))
                    for name, series in (("mean", self.mean), ("shut", self.shut), ("open", self.open))
                },
            }
            for of in self.mean
        ]

    def plot(self, axes: Any = None) -> Any:
        """Draw mean and share of saturated gates over time with matplotlib.

        Parameters
        ----------
        axes : pair of matplotlib axes, optional
            Where to. Default: a new figure.

        Returns
        -------
        pair of matplotlib axes
            Of the means, and of the shares below 0.1 or above 0.9.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        above, below = new_axes(2, sharex=True) if axes is None else axes
        for of, mean in self.mean.items():
            above.plot(mean, label=" ".join(of))
            below.plot(self.shut[of] + self.open[of], label=" ".join(of))
        above.set(ylabel="mean of the gate", ylim=(-0.02, 1.02))
        below.set(ylabel="share shut or open", xlabel="step", ylim=(-0.02, 1.02))
        above.legend()
        return above, below


def gate_statistics(
    layer: Any, x: Any, state: Any = None, lengths: ArrayLike | None = None, *, targets: Any = None
) -> GateStatistics:
    """How open the gates of each layer are, and what share of them is stuck, step by step.

    A gate that is always open or always shut (above 0.9, below 0.1: Karpathy, Johnson and Fei-Fei
    2015) does not decide anything any more, and learns little: its slope is near zero.

    Parameters
    ----------
    layer : a recurrent layer of :mod:`seqrs.nn` with gates, a Sequential, or a fitted model
        What to look at; of several recurrent blocks in a row the first.
    x : array (B, T, I) in the layer's dtype or integer array (B, T); for a model its own input
        A batch of sequences for the layer; for a LanguageModel a text as ``perplexity`` takes it,
        for other models sequences as ``predict`` takes them, for a SequenceGenerator of classes the
        pair of sequences and classes.
    state : the layer's state, optional
        Before the first step. Default: zero, or what the layer has learned.
    lengths : integer array of shape (B,), optional
        How many steps of each row count. Default: all.
    targets : list of str, or of lists of str, optional
        Of a Translator what its decoder writes for each of `x`: then the decoder is looked at, given the
        token before at every step, and not the encoder.

    Returns
    -------
    GateStatistics
        The numbers, and ``.plot()``. LSTM: i, f, o. GRU: r, z, where z is the share of the old
        state that is kept. MinGRU: z. MinLSTM: f, i.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit, or the layer has no gates (an RNN).

    Notes
    -----
    Layers do not give their gates out. A gate is a function of the step's input and of the state
    before it, which come from the layer's own steps; so all of them are one product with the
    weights, and no recurrence is computed a second time.

    Examples
    --------
    >>> import seqrs
    >>> from seqrs import inspect
    >>> model = seqrs.LanguageModel(hidden_size=16, num_layers=1, cell="gru", seed=0)
    >>> _ = model.fit("tick tock " * 50, epochs=2, progress=False)
    >>> for row in inspect.gate_statistics(model, "tick tock tick").rows():
    ...     print(row["layer"], row["gate"], 0.3 < row["mean"] < 0.7)
    layer 0 r True
    layer 0 z True
    """
    reading = reading_of(layer, x, state, lengths, targets)
    if reading.layer._cell == "rnn":
        raise ValueError("layer: expected one with gates; an RNN has none")
    rows = reading.counts.sum(axis=0)
    steps = int((rows > 0).sum())
    result = GateStatistics({}, {}, {}, rows[:steps])
    for history in reading.histories():
        for gate, values in gates(history).items():
            for series, flags in (
                (result.mean, values),
                (result.shut, values < _SHUT),
                (result.open, values > _OPEN),
            ):
                by_row = flags.mean(axis=2, dtype=np.float64)
                series[history.name, gate] = (
                    np.where(history.counts, by_row, 0).sum(axis=0)[:steps] / rows[:steps]
                )
    return result


def gates(history: History) -> dict[str, Array]:
    """Return the values (B, T, H) of each gate of one layer."""
    layer, weights = history.layer, history.layer.state_dict()
    letters = _ROWS[layer._cell]
    if getattr(layer, "coupled", False):
        letters = letters.replace("f", "")
    if getattr(layer, "reset", "") == "none":
        letters = letters.replace("r", "")
    H = len(weights["weight_ih_l0"]) // len(letters)
    normed = bool(layer._shared.get("layer_norm"))
    # Of a layer that normalises, the gates that are taken together: in a GRU all but the candidate.
    together = letters.replace("n", "") if layer._cell == "gru" else letters
    rows = slice(0, len(together) * H)
    z = _times(history.x, weights["weight_ih_l0"][rows])
    z = _normalised(z, weights["gain_ih_l0"][rows]) if normed else z
    if "weight_hh_l0" in weights:
        recurrent = history.before["h"] @ weights["weight_hh_l0"][rows].T
        z = z + (_normalised(recurrent, weights["gain_hh_l0"][rows]) if normed else recurrent)
    for bias in ("bias_ih_l0", "bias_hh_l0"):
        if bias in weights:
            z = z + weights[bias][rows]
    found = {}
    for number, letter in enumerate(together):
        if letter in "gn":
            continue
        own = z[:, :, number * H : (number + 1) * H]
        if "weight_ch_l0" in weights:
            own = own + _peephole(history, weights["weight_ch_l0"], letter, letters, H)
        found[letter] = 0.5 * (1 + np.tanh(0.5 * own))
    if getattr(layer, "coupled", False):
        found["f"] = 1 - found["i"]
    return found


def _normalised(z: Array, gain: Array) -> Array:
    """Return numbers of mean 0 and variance 1 over the last axis, times their gains (Ba et al. 2016)."""
    centred = z - z.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    normed: Array = centred / np.sqrt(variance + _EPS) * gain
    return normed


def _times(x: Array, W: Array) -> Array:
    """Return W x of every step; of a token its column of W, and zero for -1."""
    if x.dtype.kind == "f":
        product: Array = x @ W.T
        return product
    columns: Array = np.append(W.T, np.zeros((1, len(W)), W.dtype), axis=0)[x]
    return columns


def _peephole(history: History, W: Array, letter: str, letters: str, H: int) -> Array:
    """Return what a gate of an LSTM sees of the memory."""
    number = letters.replace("g", "").index(letter)
    own = W[number * H : (number + 1) * H]
    current = getattr(history.layer, "peephole", "") == "current" and letter == "o"
    c = history.after["c"] if current else history.before["c"]
    seen: Array = c @ own.T if W.ndim == 2 else c * own
    return seen
