"""From what a network gives for each step to labels: the best tags of a chain, labels without times.

================= ==================================================================== ===================
`viterbi`         the tags that score highest together                                 of :func:`seqrs.losses.crf`
`crf_marginals`   the probability of each tag at each step                             of :func:`seqrs.losses.crf`
`bio_constraints` which tags may follow which, from their names                        for both, and the loss
`ctc_greedy`      labels of the best path                                              of :func:`seqrs.losses.ctc`
`ctc_beam`        labels that are best over all their paths, with a language model too of :func:`seqrs.losses.ctc`
================= ==================================================================== ===================
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _chain, _check, _native
from seqrs._chain import Allowed
from seqrs._check import Floats

__all__ = [
    "Hypothesis",
    "Reading",
    "bio_constraints",
    "crf_marginals",
    "ctc_beam",
    "ctc_greedy",
    "viterbi",
]

# Prefixes of labels to (n, V): ln P of the next label, and in place of the blank ln P of the end.
LanguageFunction = Callable[[list[tuple[int, ...]]], NDArray[np.float64]]


def viterbi(
    emissions: ArrayLike,
    start: ArrayLike,
    transitions: ArrayLike,
    end: ArrayLike,
    *,
    lengths: ArrayLike | None = None,
    allowed: Allowed | None = None,
) -> tuple[list[NDArray[np.int32]], NDArray[np.float64]]:
    """Find the tags of each row that score highest together (Viterbi 1967).

    Parameters
    ----------
    emissions, start, transitions, end, lengths, allowed
        As in :func:`seqrs.losses.crf`.

    Returns
    -------
    tags : list of B integer arrays
        As many as the row has steps. Of tags that score alike the lowest.
    scores : float64 array of shape (B,)
        Of each row; 0 for a row without steps.

    Raises
    ------
    ValueError
        If shapes do not fit, everything is ruled out, or a number is NaN or infinite.
    TypeError
        If an array has another dtype.

    Examples
    --------
    The second step would rather be 0, but changing costs 3:

    >>> import numpy as np
    >>> from seqrs import decoding
    >>> emissions = np.array([[[0.0, 4.0], [1.0, 0.0], [0.0, 4.0]]])
    >>> tags, scores = decoding.viterbi(emissions, np.zeros(2), 3 * np.eye(2) - 3, np.zeros(2))
    >>> tags[0], scores
    (array([1, 1, 1], dtype=int32), array([8.]))
    """
    scores, chain = _chain.checked(emissions, start, transitions, end, allowed)
    steps = _check.lengths(lengths, *scores.shape[:2], of="the emissions")
    return _native.viterbi(scores, chain, steps)


def crf_marginals(
    emissions: ArrayLike,
    start: ArrayLike,
    transitions: ArrayLike,
    end: ArrayLike,
    *,
    lengths: ArrayLike | None = None,
    allowed: Allowed | None = None,
    device: str = "cpu",
) -> Floats:
    """Return the probability of each tag at each step, summed over all sequences that have it there.

    Parameters
    ----------
    emissions, start, transitions, end, lengths, allowed, device
        As in :func:`seqrs.losses.crf`.

    Returns
    -------
    ndarray like `emissions`
        Each step sums to 1; 0 where nothing counts.

    Raises
    ------
    ValueError, TypeError
        As :func:`viterbi`.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import decoding
    >>> free = np.zeros((2, 2))  # nothing depends on the tag before: a softmax
    >>> decoding.crf_marginals(np.array([[[0.0, 2.0]]]), free[0], free, free[0]).round(4)
    array([[[0.1192, 0.8808]]])
    """
    scores, chain = _chain.checked(emissions, start, transitions, end, allowed)
    steps = _check.lengths(lengths, *scores.shape[:2], of="the emissions")
    return _native.crf_marginals(scores, chain, steps, _check.choice("device", device, _check.ARRAY_DEVICES))


def bio_constraints(
    tags: Sequence[str],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Which tags may come first, follow one another and come last, from their names.

    ``O`` is outside; ``B-X`` begins an entity of kind X and ``I-X`` goes on with it. Where there are
    also ``E-X`` or ``L-X`` for the last and ``S-X`` or ``U-X`` for the only tag of an entity (BIOES,
    BILOU), an entity must be ended by them.

    Parameters
    ----------
    tags : sequence of K str
        Their names, in the order of their numbers.

    Returns
    -------
    start, transitions, end : boolean arrays of shape (K,), (K, K), (K,)
        What is possible: what :func:`seqrs.losses.crf` and :func:`viterbi` take as `allowed`.

    Raises
    ------
    ValueError
        If a name is none of these.

    Examples
    --------
    >>> from seqrs import decoding
    >>> start, transitions, end = decoding.bio_constraints(["O", "B-PER", "I-PER"])
    >>> start
    array([ True,  True, False])
    >>> transitions
    array([[ True,  True, False],
           [ True,  True,  True],
           [ True,  True,  True]])
    """
    _check.many("tags", tags, "names")
    for i, tag in enumerate(tags):
        if not isinstance(tag, str):
            raise TypeError(f"tags: expected names, got {_check.describe(tag)} at {i}")
        prefix, dash, kind = tag.partition("-")
        if not (tag == "O" or (prefix in tuple("BIELSU") and dash and kind)):
            raise ValueError(f"tags: expected O, or B-, I-, E-, L-, S- or U- and a kind, got {tag!r} at {i}")
    prefixes, kinds = [tag[0] for tag in tags], [tag[2:] for tag in tags]
    closed = any(prefix in "ELSU" for prefix in prefixes)  # entities must be ended
    goes_on = np.array([prefix in "IEL" for prefix in prefixes], np.bool_)
    is_open = np.array([prefix in "BI" for prefix in prefixes], np.bool_)
    same = np.array([[a == b for b in kinds] for a in kinds], np.bool_).reshape(len(tags), len(tags))
    transitions = np.where(goes_on, is_open[:, None] & same, ~(closed & is_open[:, None]))
    return ~goes_on, transitions, ~(closed & is_open)


class Reading(NamedTuple):
    """The labels that a path reads as.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import decoding
    >>> labels, steps, log_p = decoding.ctc_greedy(np.zeros((1, 2, 3)), blank=2)[0]
    >>> labels.tolist(), steps.tolist(), round(float(np.exp(log_p)), 4)
    ([0], [0], 0.1111)
    """

    labels: NDArray[np.int32]
    """Equal neighbours merged, blanks dropped."""
    steps: NDArray[np.int32]
    """The step at which each label begins."""
    log_p: float
    """ln P of the path, in nats: at most that of its labels, to which other paths add."""


def ctc_greedy(
    logits: ArrayLike, *, lengths: ArrayLike | None = None, blank: SupportsIndex = 0
) -> list[Reading]:
    """Read the best path of each row: the likeliest symbol of each step (Graves et al. 2006, section 3.2).

    Parameters
    ----------
    logits, lengths, blank
        As in :func:`seqrs.losses.ctc`.

    Returns
    -------
    list of B `Reading`
        Labels, the step at which each begins, ln P of the path.

    Raises
    ------
    ValueError
        If shapes do not fit, or a logit that counts is NaN or infinite.
    TypeError
        If an array has another dtype.

    Examples
    --------
    The path 1 1 blank 1:

    >>> import numpy as np
    >>> from seqrs import decoding
    >>> [reading] = decoding.ctc_greedy(np.array([[[0, 5.0], [0, 5.0], [5.0, 0], [0, 5.0]]]))
    >>> reading.labels, reading.steps
    (array([1, 1], dtype=int32), array([0, 3], dtype=int32))
    """
    z, steps, blank = _logits(logits, lengths, blank)
    return [Reading(*row) for row in _native.ctc_greedy(z, steps, blank)]


class Hypothesis(NamedTuple):
    """Labels that a beam found.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import decoding
    >>> [[best]] = decoding.ctc_beam(np.zeros((1, 2, 2)), beta=1.0)
    >>> best.labels.tolist(), round(float(np.exp(best.log_p)), 4), round(best.score - best.log_p, 4)
    ([1], 0.75, 1.0)
    """

    labels: NDArray[np.int32]
    """Equal neighbours merged, blanks dropped."""
    score: float
    """What the beam ranks by, in nats."""
    log_p: float
    """ln P(labels | logits) over the paths that the beam held, in nats."""


def ctc_beam(
    logits: ArrayLike,
    *,
    lengths: ArrayLike | None = None,
    blank: SupportsIndex = 0,
    beam_width: SupportsIndex = 16,
    num_hypotheses: SupportsIndex = 1,
    language: LanguageFunction | None = None,
    alpha: SupportsFloat = 0.5,
    beta: SupportsFloat = 0.0,
) -> list[list[Hypothesis]]:
    """Search for the best labels of each row with a beam of prefixes (Hannun et al. 2014).

    Many paths read as the same labels. The beam sums them up: it holds the prefixes of labels y that
    are best by ``ln P(y | logits) + alpha * ln P(y | language) + beta * len(y)``.

    Parameters
    ----------
    logits, lengths, blank
        As in :func:`seqrs.losses.ctc`.
    beam_width : int, default 16
        Prefixes that are kept after each step. One as wide as there are prefixes finds the best.
    num_hypotheses : int, default 1
        How many come back for each row, at most.
    language : callable, optional
        What a language model says. It is called once a step with a list of prefixes, tuples of
        labels, and returns a float64 array of shape (n, V): ln P of each label as the next one, -inf
        for one that cannot be, and in the column of the blank, which is no label, ln P of the end,
        or 0 for a model without one.
    alpha : float, default 0.5
        Weight of the language model, at least 0.
    beta : float, default 0.0
        What each label is worth, in nats: a language model alone favours few of them.

    Returns
    -------
    list of B lists of `Hypothesis`
        Best first: labels, score, ln P(labels | logits).

    Raises
    ------
    ValueError
        If shapes do not fit, a setting is out of its range, a logit that counts is NaN or infinite,
        or the language model returns another shape or NaN.
    TypeError
        If an array has another dtype.

    Examples
    --------
    The best path is "blank, blank" (0.36), yet most paths (0.64) read as one label:

    >>> import numpy as np
    >>> from seqrs import decoding
    >>> [row] = decoding.ctc_beam(np.log([[[0.6, 0.4], [0.6, 0.4]]]), num_hypotheses=2)
    >>> [(h.labels.tolist(), round(float(np.exp(h.log_p)), 2)) for h in row]
    [([1], 0.64), ([], 0.36)]
    """
    z, steps, blank = _logits(logits, lengths, blank)
    width = _check.integer("beam_width", beam_width, minimum=1)
    most = _check.integer("num_hypotheses", num_hypotheses, minimum=1)
    weights = _check.number("alpha", alpha, minimum=0.0), _check.number("beta", beta)
    if language is not None and not callable(language):
        raise TypeError(f"language: expected a callable, got {_check.describe(language)}")
    rows = _native.ctc_beam(z, steps, blank, width, most, language, *weights)
    return [[Hypothesis(*found) for found in row] for row in rows]


def _logits(
    logits: ArrayLike, lengths: ArrayLike | None, blank: SupportsIndex
) -> tuple[Floats, NDArray[np.int64] | None, int]:
    z = _check.any_floats("logits", logits)
    if z.ndim != 3 or z.shape[2] == 0:
        raise ValueError(f"logits: expected shape (B, T, V) with at least one symbol, got {z.shape}")
    steps = _check.lengths(lengths, *z.shape[:2], of="the logits")
    return z, steps, _check.integer("blank", blank, minimum=0, maximum=z.shape[2] - 1)
