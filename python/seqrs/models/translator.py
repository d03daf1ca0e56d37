"""From one sequence of tokens to another of any length: an encoder, and a decoder that attends to it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seqrs import _check, metrics
from seqrs.models.beam import Hypothesis, Search
from seqrs.models.examples import groups
from seqrs.models.inputs import padded
from seqrs.models.next_token import NextToken
from seqrs.models.translation import Translation
from seqrs.text.codec import tokenizer_of
from seqrs.text.tokenizers import Tokenizer
from seqrs.text.vocabulary import UNK

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from seqrs.models.sequence_options import Common

__all__ = ["Translator"]

SCORES = ("additive", "dot", "general")


class Translator(NextToken):
    r"""An encoder that reads a sequence, and a decoder that looks back at it while it writes another.

    For text to text of any two lengths: sentences of two languages, dates in two formats, words and
    their sounds. The decoder is that of Bahdanau et al. (2015) or of Luong et al. (2015); see
    :class:`seqrs.nn.AttentionDecoder` for the equations.

    Parameters
    ----------
    attention : {"additive", "dot", "general"}, default "additive"
        How the decoder scores what it may look at. ``"dot"`` wants a source state as wide as the
        decoder's: not with ``bidirectional=True``.
    looks : {"before", "after"}, default "before"
        When the decoder looks: before it takes a step, which then sees what was looked at (Bahdanau),
        or after (Luong).
    decoder_layers : int, default 1
        Layers of the decoder. The lowest looks at the source, and those above it read what it saw
        (Wu et al. 2016).
    tied : bool, default True
        Whether the output layer's weights are the target embedding's (Press and Wolf 2017).
    label_smoothing : float, default 0
        Share of the target that is spread over the whole vocabulary.
    teacher_forcing : float, default 1
        The probability, at the end of training, with which the decoder is given the true token before;
        it falls to this from 1, in a straight line. Otherwise the decoder is given what it would have
        written itself (scheduled sampling, Bengio et al. 2015, with the tokens of one pass over the
        batch: Duckworth et al. 2019).
    target_level : str or tokenizer object, optional
        As `level`, for the targets. Default: as `level`.
    beam : int, default 5
        Beginnings that :meth:`predict` keeps while it searches; 1 is greedy.
    length_penalty, coverage_penalty : float, default 0.6, 0
        α and β of Wu et al. (2016): see :meth:`translate`.
    replace_unk : bool, default False
        Whether the translation has, in place of ``<UNK>``, the source token that was most looked at.
    metric : {"bleu", "exact"}, default "bleu"
        What :meth:`score` returns: BLEU from 0 to 100 (see :func:`seqrs.metrics.bleu`), or the share of
        translations that are the reference.
    **options
        Those of all models of sequences: see :class:`seqrs.models.SequenceOptions`. `num_layers` and
        `bidirectional` are the encoder's; the decoder's layers have `hidden_size` units, too.

    Attributes
    ----------
    network : EncoderDecoder
        The networks with their weights.
    target_vocabulary : Vocabulary
        What it can write.
    reader, history
        See :class:`SequenceModel`.

    Raises
    ------
    ValueError, TypeError
        If an option is out of its range, of another type, or unknown.

    Examples
    --------
    >>> import random, seqrs
    >>> draw = random.Random(0)
    >>> words = ["".join(draw.choices("abcd", k=draw.randint(2, 5))) for _ in range(800)]
    >>> reversed_words = [word[::-1] for word in words]
    >>> model = seqrs.Translator(
    ...     cell="gru", hidden_size=32, embedding_size=16, bidirectional=True, level="char", metric="exact",
    ...     epochs=12, lr=0.01, random_state=0,
    ... )
    >>> model.fit(words[:700], reversed_words[:700]).score(words[700:], reversed_words[700:]) > 0.9
    True
    >>> best = model.translate(["abc"])[0][0]
    >>> best.text, best.attention.shape
    ('cba', (3, 3))
    """

    kind = "translator"
    _of_use = frozenset({"beam", "length_penalty", "coverage_penalty", "replace_unk", "metric"})

    def __init__(
        self,
        *,
        attention: str = "additive",
        looks: str = "before",
        decoder_layers: int = 1,
        tied: bool = True,
        label_smoothing: float = 0.0,
        teacher_forcing: float = 1.0,
        target_level: str | Tokenizer | None = None,
        beam: int = 5,
        length_penalty: float = 0.6,
        coverage_penalty: float = 0.0,
        replace_unk: bool = False,
        metric: str = "bleu",
        **options: "Unpack[Common]",
    ) -> None:
        self.attention = attention
        self.looks = looks
        self.decoder_layers = decoder_layers
        self.tied = tied
        self.label_smoothing = label_smoothing
        self.teacher_forcing = teacher_forcing
        self.target_level = target_level
        self.beam = beam
        self.length_penalty = length_penalty
        self.coverage_penalty = coverage_penalty
        self.replace_unk = replace_unk
        self.metric = metric
        super().__init__(**options)

    def _check_params(self) -> None:
        super()._check_params()
        _check.choice("attention", self.attention, SCORES)
        _check.choice("looks", self.looks, ("before", "after"))
        _check.integer("decoder_layers", self.decoder_layers, minimum=1)
        _check.flag("tied", self.tied)
        _check.probability("label_smoothing", self.label_smoothing)
        _check.number("teacher_forcing", self.teacher_forcing, minimum=0.0)
        if self.teacher_forcing > 1:
            raise ValueError(f"teacher_forcing: expected a number from 0 to 1, got {self.teacher_forcing}")
        if self.target_level is not None:
            tokenizer_of(self.target_level)
        _check.integer("beam", self.beam, minimum=1)
        _check.number("length_penalty", self.length_penalty, minimum=0.0)
        _check.number("coverage_penalty", self.coverage_penalty, minimum=0.0)
        _check.flag("replace_unk", self.replace_unk)
        _check.choice("metric", self.metric, ("bleu", "exact"))
        if self.monitor == "score":
            raise ValueError('monitor: expected "loss": translating all of it after each epoch takes long')
        if self.embedding_size is None:
            raise ValueError("embedding_size: expected a number, because the decoder reads vectors of tokens")
        if self.attention == "dot" and self.bidirectional:
            raise ValueError('attention: expected "additive" or "general" with bidirectional=True, got "dot"')
        if self.layer_options:
            raise ValueError("layer_options: expected none, because a Translator has layers of two kinds")

    # Use

    def translate(
        self,
        X: Sequence[Any],
        *,
        beam: int | None = None,
        n_best: int = 1,
        length_penalty: float | None = None,
        coverage_penalty: float | None = None,
        replace_unk: bool | None = None,
    ) -> list[list[Translation]]:
        r"""Translate, with scores, attention, and several translations of each source.

        A translation of T tokens, its end among them, has the score (Wu et al. 2016) ::

            log P / ((5 + T) / 6)^α + β Σ_s ln(min(Σ_t a⟨t, s⟩, 1))

        with a⟨t, s⟩ how much token t looked at token s of the source: α > 0 favours long ones, β > 0
        those that leave nothing of the source out.

        Parameters
        ----------
        X : list of str, or of lists of str
            The sources.
        beam : int, optional
            Beginnings kept while searching; 1 is greedy. Default: the model's option.
        n_best : int, default 1
            Translations of each source, at most `beam`.
        length_penalty, coverage_penalty : float, optional
            α and β. Default: the model's options.
        replace_unk : bool, optional
            Default: the model's option.

        Returns
        -------
        list of list of Translation
            For each source its translations, best first. There may be fewer than `n_best` where the
            search found no more.

        Raises
        ------
        ValueError, TypeError
            If sources are of another kind than in training, or a number is out of range.
        RuntimeError
            If the model is not fitted.

        Examples
        --------
        >>> import seqrs
        >>> model = seqrs.Translator(level="char", hidden_size=8, epochs=1, random_state=0)
        >>> found = model.fit(["ab", "ba"], ["ba", "ab"]).translate(["ab"], beam=3, n_best=2)
        >>> len(found), len(found[0]), found[0][0].score >= found[0][1].score
        (1, 2, True)
        """
        self._check_fitted()
        width = _check.integer("beam", self.beam if beam is None else beam, minimum=1)
        count = _check.integer("n_best", n_best, minimum=1, maximum=width)
        alpha = self.length_penalty if length_penalty is None else length_penalty
        beta = self.coverage_penalty if coverage_penalty is None else coverage_penalty
        search = Search(
            width,
            _check.number("length_penalty", alpha, minimum=0.0),
            _check.number("coverage_penalty", beta, minimum=0.0),
        )
        replace = self.replace_unk if replace_unk is None else _check.flag("replace_unk", replace_unk)
        inputs = self._read(X)
        cut = [self._source_tokens(row) for row in X]
        results: list[list[Translation]] = [[] for _ in inputs]
        for rows in groups(np.array([len(row) for row in inputs], np.int64)):
            memory = self.network.read(*padded([inputs[i] for i in rows]))
            for row, found in zip(rows, search.run(self.network, memory, self._targets.end), strict=True):
                results[row] = [self._translation(one, cut[row], replace) for one in found[:count]]
        return results

    def predict(self, X: Sequence[Any]) -> list[Any]:
        """Return the best translation of each source that the search finds.

        Parameters
        ----------
        X : list of str, or of lists of str
            The sources, as in training.

        Returns
        -------
        list of str, or of lists of str
            In the form of the targets in training.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            As :meth:`translate`.
        """
        return [found[0].text for found in self.translate(X)]

    def score(self, X: Sequence[Any], y: Sequence[Any]) -> float:
        """Return how good translations are, by the option `metric`.

        Parameters
        ----------
        X : list of str, or of lists of str
            The sources.
        y : list of str, or of lists of str
            One reference for each.

        Returns
        -------
        float
            BLEU, from 0 to 100, of the texts as they are (what stands between blanks counts as a
            word); or the share that is exactly right, from 0 to 1.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            As :meth:`translate`, or if there is not one reference for each source.
        """
        self._check_fitted()
        self._examples(X, y)  # refuses what does not fit before anything is translated
        found = self.predict(X)
        if self.metric == "bleu":
            return metrics.bleu(y, found)
        same = (
            own == (true if isinstance(true, str) else list(true)) for own, true in zip(found, y, strict=True)
        )
        return float(np.mean(list(same)))

    def _source_tokens(self, row: Any) -> list[str]:
        tokenizer = self.reader.tokenizer
        return list(tokenizer.tokenize(row)) if tokenizer is not None and isinstance(row, str) else list(row)

    def _translation(self, found: Hypothesis, source: list[str], replace: bool) -> Translation:
        tokens = self.target_vocabulary.decode(found.tokens)
        if replace:
            looked_at = found.attention.argmax(1)
            tokens = [
                source[s] if token == UNK else token for token, s in zip(tokens, looked_at, strict=True)
            ]
        return Translation(
            self._targets.joined(tokens), tokens, source, found.score, found.log_prob, found.attention
        )
