"""Texts against references: BLEU, and error rates from the edit distance."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from seqrs import _check

__all__ = ["bleu", "character_error_rate", "edit_distance", "word_error_rate"]

Words = str | Sequence[str]


def bleu(
    references: Sequence[Words] | Sequence[Sequence[str]],
    hypotheses: Sequence[Words],
    *,
    tokenize: str = "none",
    lowercase: bool = False,
) -> float:
    r"""BLEU of a corpus of translations (Papineni et al. 2002), from 0 to 100.

    100 · BP · exp(1/4 Σ_n ln p_n) for n from 1 to 4, where p_n is the share of the hypotheses'
    n-grams that occur in their references, each at most as often as there, and BP = exp(1 - r/c)
    where the hypotheses' length c is below the references' length r, else 1. sacrebleu (Post 2018) computes it
    where it is installed (``pip install "seqrs[bleu]"``); without it the figure is the same.

    Parameters
    ----------
    references, hypotheses : sequence of str, or of sequences of str
        For each sentence its reference and its translation: text, or a list of tokens.
    tokenize : str, default "none"
        ``"none"``: the texts are tokenised, count what stands between blanks. Else what sacrebleu does
        before it counts; ``"13a"``: for plain text, sacrebleu's own default.
    lowercase : bool, default False
        Whether case is ignored.

    Returns
    -------
    float
        With sacrebleu's default smoothing, for n of which no n-gram is right.

    Raises
    ------
    ImportError
        If another `tokenize` than ``"none"`` is asked for and sacrebleu is not installed.
    ValueError
        If there are no sentences, not as many of one as of the other, or sacrebleu has no such
        tokenizer.
    TypeError
        If one of them is a single text, or no list.

    Notes
    -----
    A figure is comparable to another one only if tokenizer and case are the same; name them with
    it.

    Examples
    --------
    >>> from seqrs import metrics
    >>> round(metrics.bleu(["a man rides a red bike"], ["a man rides a bike"]), 2)
    57.89
    """
    _check.many("references", references, "texts")
    _check.many("hypotheses", hypotheses, "texts")
    true, found = (
        [text if isinstance(text, str) else " ".join(text) for text in of] for of in (references, hypotheses)
    )
    if len(true) != len(found) or not true:
        raise ValueError(
            f"hypotheses: expected as many sentences as references, and at least one, got {len(found)} and {len(true)}"
        )
    try:
        BLEU = import_module("sacrebleu.metrics").BLEU
    except ImportError:
        if tokenize != "none":
            raise ImportError(
                f'tokenize: {tokenize!r} needs the package sacrebleu, which is not installed: pip install "seqrs[bleu]"'
            ) from None
        return _counted([text.lower() if lowercase else text for text in of] for of in (true, found))
    if tokenize not in BLEU.TOKENIZERS:
        raise ValueError(f"tokenize: expected one of {', '.join(BLEU.TOKENIZERS)}, got {tokenize!r}")
    # `force`: that the texts look tokenised, which they are, is no reason for a warning.
    score = BLEU(tokenize=tokenize, lowercase=lowercase, force=True).corpus_score(found, [true])
    return float(score.score)


def _counted(texts: Iterable[list[str]]) -> float:
    """Return BLEU of references and hypotheses, smoothed: for each n of which nothing is right, half as much."""
    pairs = [[text.split() for text in pair] for pair in zip(*texts, strict=True)]
    logs, missing = 0.0, 1
    for n in range(1, 5):
        right = total = 0
        for pair in pairs:
            true, found = (Counter(zip(*(words[i:] for i in range(n)), strict=False)) for words in pair)
            right += (true & found).total()
            total += found.total()
        missing *= 1 if right else 2
        if not total or (n == 1 and not right):
            return 0.0
        logs += math.log(right / total if right else 1 / (missing * total))
    lengths = [sum(len(pair[side]) for pair in pairs) for side in (0, 1)]
    return 100 * math.exp(min(0.0, 1 - lengths[0] / lengths[1]) + logs / 4)


def character_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Share of characters to insert, delete or substitute, of those of the references.

    Blanks are characters. Sums are over the whole corpus: Σ distance / Σ length.

    Parameters
    ----------
    references, hypotheses : sequence of str, or of sequences of labels
        What was said and what was understood.

    Returns
    -------
    float
        From 0 on; above 1 where much was inserted.

    Raises
    ------
    ValueError
        If the references are empty, or not as many as the hypotheses.
    TypeError
        If one of them is a single text, or no list.

    Examples
    --------
    >>> from seqrs import metrics
    >>> metrics.character_error_rate(["seven", "four"], ["seven", "five"])
    0.3333333333333333

    Labels other than characters, such as the digits of a number:

    >>> metrics.character_error_rate([[3, 1, 4, 1]], [[3, 1, 1]])
    0.25
    """
    _check.many("references", references, "texts")
    _check.many("hypotheses", hypotheses, "texts")
    return _error_rate(list(references), list(hypotheses))


def word_error_rate(references: Sequence[Words], hypotheses: Sequence[Words]) -> float:
    """Share of words to insert, delete or substitute, of those of the references.

    Parameters
    ----------
    references, hypotheses : sequence of str, or of sequences of str
        Texts, whose words are what stands between white space, or lists of words.

    Returns
    -------
    float
        From 0 on; above 1 where much was inserted.

    Raises
    ------
    ValueError
        If the references have no words, or are not as many as the hypotheses.
    TypeError
        If one of them is a single text, or no list.

    Examples
    --------
    >>> from seqrs import metrics
    >>> metrics.word_error_rate(["the cat sat on the mat"], ["the cat sit on mat"])
    0.3333333333333333
    """
    _check.many("references", references, "texts")
    _check.many("hypotheses", hypotheses, "texts")
    true, found = (
        [text.split() if isinstance(text, str) else list(text) for text in of]
        for of in (references, hypotheses)
    )
    return _error_rate(true, found)


def edit_distance(a: Sequence[Any], b: Sequence[Any]) -> int:
    """Fewest insertions, deletions and substitutions that make one sequence of another (Levenshtein 1966).

    With D(i, j) the distance of the first i and the first j items, ::

        D(i, j) = min(D(i-1, j) + 1,  D(i, j-1) + 1,  D(i-1, j-1) + (a_i is not b_j))

    a row at a time: in time len(a) len(b), in memory len(b).

    Parameters
    ----------
    a, b : str, or sequence of labels
        Items are equal or not; how much alike they are does not count.

    Returns
    -------
    int

    Raises
    ------
    TypeError
        If one of them is no sequence, or has items that cannot be hashed, such as arrays.

    Examples
    --------
    >>> from seqrs import metrics
    >>> metrics.edit_distance("kitten", "sitting")
    3
    """
    for name, items in (("a", a), ("b", b)):
        if not isinstance(items, str):
            _check.many(name, items, "items")
    numbers: dict[Any, int] = {}
    first, second = (np.array([numbers.setdefault(item, len(numbers)) for item in of], int) for of in (a, b))
    ahead = np.arange(len(second) + 1)
    row = ahead
    for i, item in enumerate(first, 1):
        # Without the insertions, which go along the row: the least of D(i, k) + (j - k) over k <= j.
        straight = np.append(i, np.minimum(row[1:] + 1, row[:-1] + (second != item)))
        row = np.minimum.accumulate(straight - ahead) + ahead
    return int(row[-1])


def _error_rate(references: Sequence[Sequence[Any]], hypotheses: Sequence[Sequence[Any]]) -> float:
    if len(references) != len(hypotheses):
        raise ValueError(
            f"hypotheses: expected {len(references)} as there are references, got {len(hypotheses)}"
        )
    length = sum(map(len, references))
    if length == 0:
        raise ValueError("references: expected something to compare with, got nothing")
    pairs = zip(references, hypotheses, strict=True)
    return sum(edit_distance(reference, hypothesis) for reference, hypothesis in pairs) / length
