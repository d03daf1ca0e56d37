"""The linear-chain conditional random field."""

from typing import NamedTuple

from numpy.typing import ArrayLike

from seqrs import _chain, _check, _native
from seqrs._chain import Allowed
from seqrs._check import Floats
from seqrs.losses._options import options_of


class CRFGradients(NamedTuple):
    """Gradients of :func:`crf`, each like what it is the gradient of.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import losses
    >>> _, gradients = losses.crf(np.zeros((1, 1, 2)), [[1]], np.zeros(2), np.zeros((2, 2)), np.zeros(2))
    >>> gradients.emissions, gradients.end
    (array([[[ 0.5, -0.5]]]), array([ 0.5, -0.5]))
    """

    emissions: Floats
    """(B, T, K): what ``layer.backward`` takes as `dy`; 0 where nothing counts."""
    start: Floats
    """(K,)"""
    transitions: Floats
    """(K, K)"""
    end: Floats
    """(K,)"""


def crf(
    emissions: ArrayLike,
    tags: ArrayLike,
    start: ArrayLike,
    transitions: ArrayLike,
    end: ArrayLike,
    *,
    lengths: ArrayLike | None = None,
    allowed: Allowed | None = None,
    reduction: str = "mean",
    device: str = "cpu",
) -> tuple[float, CRFGradients]:
    r"""Linear-chain conditional random field: tags of which each depends on the one before, in nats.

    A sequence of tags y scores start[y_1] + Σ_t emissions[t, y_t] + Σ_t transitions[y_t, y_t+1] +
    end[y_T]; its probability is the exponential of that, divided by the sum over all sequences, and
    the loss -ln of the probability of the tags that came (Lafferty, McCallum and Pereira 2001). The
    gradient is exact, by the forward-backward recursion in logarithms and double precision.

    Parameters
    ----------
    emissions : array of shape (B, T, K), float32 or float64
        A score for each of K tags at each step, as a network gives it; no softmax before.
    tags : integer array of shape (B, T)
        The tags that came, 0 to K - 1; beyond the lengths also -1.
    start, end : arrays of shape (K,), of the dtype of `emissions`
        Scores of the first and of the last tag. -inf rules one out, and has a gradient of 0.
    transitions : array of shape (K, K), of the dtype of `emissions`
        Score of each tag, the row, followed by each, the column. -inf rules a pair out.
    lengths : integer array of shape (B,), optional
        How many steps of each row count. Default: all.
    allowed : three boolean arrays, of the shapes of `start`, `transitions` and `end`, optional
        What is not ruled out, as from :func:`seqrs.decoding.bio_constraints`. Default: everything.
    reduction : {"mean", "sum"}, default "mean"
        ``"mean"`` divides by the number of steps that count, ``"sum"`` by nothing.
    device : {"cpu", "reference"}, default "cpu"
        What computes it.

    Returns
    -------
    loss : float
        In nats.
    gradients : CRFGradients
        By emissions, start, transitions and end.

    Raises
    ------
    ValueError
        If shapes do not fit, a tag is none, the tags that came are ruled out, everything is ruled
        out, or a number is NaN or infinite.
    TypeError
        If an array has another dtype.

    See Also
    --------
    seqrs.decoding.viterbi : the tags that score highest.
    seqrs.decoding.crf_marginals : the probability of each tag at each step.

    Examples
    --------
    Three steps and two tags that score alike, of which none may follow itself: 010 and 101 are left.

    >>> import numpy as np
    >>> from seqrs import losses
    >>> apart = np.array([[-np.inf, 0.0], [0.0, -np.inf]])
    >>> loss, gradients = losses.crf(
    ...     np.zeros((1, 3, 2)), [[0, 1, 0]], np.zeros(2), apart, np.zeros(2), reduction="sum"
    ... )
    >>> round(float(np.exp(-loss)), 6)
    0.5
    >>> gradients.start
    array([-0.5,  0.5])
    """
    scores, chain = _chain.checked(emissions, start, transitions, end, allowed)
    labels = _check.tokens("tags", tags, scores.shape[2], scores.shape[:2])
    steps, _, reduction, device = options_of(scores.shape, lengths, None, reduction, device)
    loss, gradients = _native.crf_loss(scores, labels, chain, steps, reduction, device)
    return loss, CRFGradients(*gradients)
