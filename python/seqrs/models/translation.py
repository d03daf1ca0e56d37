"""A translation with what is known of it."""

from dataclasses import dataclass
from typing import Any

from seqrs._check import Floats

__all__ = ["Translation"]


@dataclass(frozen=True, eq=False)
class Translation:
    """One translation of one source.

    Attributes
    ----------
    text : str or list of str
        In the form of the targets that the model was trained on.
    tokens, source_tokens : list of str
        Of the translation, and of the source.
    score : float
        What translations of one source are ranked by; see :meth:`seqrs.Translator.translate`.
    log_prob : float
        Log-probability of the tokens and their end, in nats.
    attention : ndarray of shape (T, S)
        How much each token of the translation looked at each token of the source; rows sum to 1.

    Examples
    --------
    >>> import seqrs
    >>> model = seqrs.Translator(level="char", hidden_size=8, epochs=1, random_state=0)
    >>> ((best,),) = model.fit(["ab", "ba"], ["ba", "ab"]).translate(["ab"])
    >>> best.source_tokens, best.attention.shape == (len(best.tokens), 2)
    (['a', 'b'], True)
    """

    text: Any
    tokens: list[str]
    source_tokens: list[str]
    score: float
    log_prob: float
    attention: Floats
