"""Vanishing and exploding gradients: what is left of a gradient so many steps back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check, losses, nn
from seqrs.inspect._back import Parts, back_by_layers, back_by_steps, in_running_order
from seqrs.inspect._plot import new_axes
from seqrs.inspect._reading import Reading, read
from seqrs.inspect._stack import Array, Stack, calm, histories, zones

__all__ = ["GradientByLag", "gradient_by_lag"]


@dataclass(frozen=True)
class GradientByLag:
    """The result of :func:`gradient_by_lag`.

    Attributes
    ----------
    lags : ndarray of shape (K,)
        1 to K: how many steps before the loss.
    norms : dict of (str, str) to ndarray of shape (K,)
        For each layer, ``"layer 0"`` and so on, and part of its state, ``"h"`` or ``"c"``: the
        length of the gradient by that state, the mean over the rows that go so far back.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import inspect, nn
    >>> result = inspect.gradient_by_lag(nn.GRU(2, 3, num_layers=2, seed=0), np.ones((1, 9, 2), np.float32))
    >>> list(result.norms), result.lags.tolist()
    ([('layer 0', 'h'), ('layer 1', 'h')], [1, 2, 3, 4, 5, 6, 7, 8, 9])
    """

    lags: NDArray[np.int64]
    norms: dict[tuple[str, str], NDArray[np.float64]]

    def rows(self) -> list[dict[str, Any]]:
        """Return a dict for each lag, with the norm for each layer and part."""
        return [
            {"lag": int(lag)} | {" ".join(of): float(norm[k]) for of, norm in self.norms.items()}
            for k, lag in enumerate(self.lags)
        ]

    def plot(self, axes: Any = None, label: str = "") -> Any:
        """Draw the norms by lag, on a logarithmic scale, with matplotlib.

        Parameters
        ----------
        axes : matplotlib axes, optional
            Where to; drawing several results on the same compares them. Default: a new figure.
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
            (line,) = axes.plot(
                self.lags, np.where(norm > 0, norm, np.nan), label=" ".join((label, *of)).strip()
            )
            line.set_linestyle("--" if of[1] == "c" else "-")
        axes.set(yscale="log", xlabel="steps before the loss", ylabel="norm of the gradient by the state")
        axes.legend()
        return axes


def gradient_by_lag(
    layer: Any,
    x: Any,
    state: Any = None,
    lengths: ArrayLike | None = None,
    *,
    dy: ArrayLike | None = None,
    lags: int | None = None,
) -> GradientByLag:
    r"""How long the gradient of a loss at one step is by the states k steps before it.

    For a loss E at the last step t of a sequence: ‖∂E/∂h⟨t-k⟩‖ and, in an LSTM, ‖∂E/∂c⟨t-k⟩‖ for k
    = 1, 2, ... By the chain rule the gradient is a product of k Jacobians, so that it shrinks or
    grows about as a power of k: it vanishes or explodes (Bengio et al. 1994; Pascanu et al. 2013).

    Parameters
    ----------
    layer : a recurrent layer of :mod:`seqrs.nn`, a Sequential, or a fitted model
        What to look at; of several recurrent blocks in a row the first. Dropout is left out.
    x : array (B, T, I) in the layer's dtype or integer array (B, T); for a model its own input
        A batch of sequences for the layer; for a model what ``predict`` takes, and for a
        SequenceGenerator of classes a pair of that and the class of each. For a
        LanguageModel what ``perplexity`` takes: its lines, or a long text, which is read in
        windows of `lags` steps, the state carried through.
    state : the layer's state, optional
        Before the first step. Default: zero, or what the layer has learned.
    lengths : integer array of shape (B,), optional
        How many steps of each row count; its loss is at the last of them. Default: all.
    dy : array of shape (B, O), optional
        ∂E/∂y, the derivative of each row's loss by the layer's output at that step. Default: 1, E
        is the sum of the outputs; for a LanguageModel what its own loss, the cross-entropy of
        the next token, gives.
    lags : int, optional
        How far to go back. Default: to the beginning of the sequences; for a long text 100.

    Returns
    -------
    GradientByLag
        The numbers, and ``.plot()``.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit.

    Notes
    -----
    The sequence is run in windows of one step, each with a tape, and the gradient carried back
    through them: ``backward`` of a window returns the gradient by the state before it, which is
    both what is wanted and what the window before it takes. This is exact, costs one forward and
    one backward pass, and gives all layers and lags at once.

    The output of a bidirectional layer has no one last step. There each layer is looked at in each
    direction on its own: E is the sum of its own outputs at the step it takes last, and lags count
    back in the order in which it takes them.

    Examples
    --------
    With the forget gate wide open the memory of an LSTM keeps its gradient:

    >>> import numpy as np
    >>> from seqrs import inspect, nn
    >>> x = np.random.default_rng(0).normal(size=(4, 60, 2)).astype(np.float32)
    >>> result = inspect.gradient_by_lag(nn.LSTM(2, 16, seed=0, forget_bias=3.0), x)
    >>> c = result.norms["layer 0", "c"]
    >>> bool(c[-1] > 0.3 * c[0])
    True
    """
    reading = read(layer, x, state, lengths)
    both_ways = reading.layer._shared["bidirectional"]
    if both_ways and dy is not None:
        raise ValueError(
            "dy: expected None for a bidirectional layer, whose directions end at different steps"
        )
    if lags is not None:
        lags = _check.integer("lags", lags, minimum=1)
    stack = calm(reading.layer)
    if reading.head is not None and len(reading.x) == 1:
        reading = _windows(reading, stack, 100 if lags is None else lags)
    last = reading.counts.sum(axis=1) - 1
    if last.min() < 0:
        raise ValueError("lengths: expected at least one step in each row")
    steps = last.max() + 1 if lags is None else min(lags, last.max() + 1)
    by_row: dict[tuple[str, str], NDArray[np.float64]] = {}
    found = (
        _each_alone(reading, last) if both_ways else back(reading, stack, _upstream(reading, stack, last, dy))
    )
    for t, gradients in found:
        for of, norm in _norms(gradients).items():
            norms = by_row.setdefault(of, np.full((len(last), int(steps)), np.nan))
            lag = last + 1 - t  # the state before step t is so far from the loss
            rows = np.flatnonzero((lag >= 1) & (lag <= steps))
            norms[rows, lag[rows] - 1] = norm[rows]
    return GradientByLag(
        np.arange(1, steps + 1), {of: np.nanmean(norms, axis=0) for of, norms in by_row.items()}
    )


def back(reading: Reading, stack: Stack, upstream: Array) -> Iterator[tuple[int, dict[str, Parts]]]:
    """Yield each step's number and its gradients by the states before it, from the last step back."""
    if zones(stack):
        layers = histories(stack, reading.x, reading.state, reading.counts)
        return back_by_layers(layers, upstream, residual=stack._shared["residual"])
    return back_by_steps(stack, reading.x, reading.state, reading.counts, upstream)


def _each_alone(reading: Reading, last: NDArray[np.int64]) -> Iterator[tuple[int, dict[str, Parts]]]:
    """Yield what :func:`back` does for each layer in each direction, of its own last output's sum."""
    for history in reading.histories():
        alone = in_running_order(history)
        width = alone.after["h"].shape[2]
        upstream = np.zeros((*reading.counts.shape, width), reading.layer.dtype)
        upstream[np.arange(len(last)), last] = 1
        yield from back_by_layers([alone], upstream)


def _norms(gradients: dict[str, Parts]) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Return the length of each row's gradient, (B,), for each layer and part."""
    return {
        (layer, part): np.linalg.norm(of.astype(np.float64), axis=1)
        for layer, parts in gradients.items()
        for part, of in parts.items()
    }


def _windows(reading: Reading, layer: Stack, steps: int) -> Reading:
    """Return a long text as rows of `steps` steps, each with the state that those before it leave."""
    length = reading.x.shape[1]
    steps = min(steps, length)
    states, state, starts = [], None, range(0, length - steps + 1, steps)
    _, state = layer(reading.x[:, :0])
    for first in starts:
        states.append(state)
        _, state = layer(reading.x[:, first : first + steps], state)

    def rows(array: Array) -> Array:
        return np.concatenate([array[:, first : first + steps] for first in starts])

    return Reading(
        layer,
        rows(reading.x),
        nn.states.concatenate(states),
        rows(reading.counts),
        rows(reading.targets),
        reading.head,
    )


def _upstream(reading: Reading, layer: Stack, last: Array, dy: ArrayLike | None) -> Array:
    """Return the derivative of the loss by all outputs: zero but at each row's last step."""
    batch, steps = reading.counts.shape
    upstream = np.zeros((batch, steps, layer.output_size or 0), layer.dtype)
    rows = np.arange(batch)
    if dy is not None:
        upstream[rows, last] = _check.floats(
            "dy", dy, layer.dtype, (batch, layer.output_size or 0), finite=True
        )
    elif reading.head is None:
        upstream[rows, last] = 1
    else:
        y, _ = layer(reading.x, reading.state, last + 1)
        logits, _, tape = reading.head.forward(y[rows, last])
        # Of each row's own loss, not of their mean.
        _, dlogits = losses.softmax_cross_entropy(logits, reading.targets[rows, last], reduction="sum")
        upstream[rows, last] = reading.head.backward(tape, dlogits).x
    return upstream
