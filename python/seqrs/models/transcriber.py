"""Labels for a longer sequence, in its order but without their times: speech to letters or digits."""

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check, decoding, losses, metrics, nn
from seqrs._check import Floats
from seqrs.decoding import LanguageFunction
from seqrs.models.classifier import softmax
from seqrs.models.examples import Examples, SequenceBatch, side_by_side
from seqrs.models.inputs import Sequence_
from seqrs.models.labels import Classes, listed
from seqrs.models.language_model import LanguageModel
from seqrs.models.language_scores import language_function
from seqrs.models.pooling import pooled
from seqrs.models.sequence_model import SequenceModel
from seqrs.models.sequence_options import Seeds
from seqrs.text.tokenizers import Tokenizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from seqrs.models.sequence_options import Common

__all__ = ["Transcriber", "Transcript"]

#: A str, or an array of labels, whichever the model was trained on.
Labels = str | NDArray[Any]


class Transcript(NamedTuple):
    """What a sequence may say.

    Examples
    --------
    >>> from seqrs.models.transcriber import Transcript
    >>> Transcript("two", score=-1.5, log_p=-1.5).labels
    'two'
    """

    labels: Labels
    """A str, or an array of labels."""
    score: float
    """What it is ranked by, in nats: with a language model its part, too."""
    log_p: float
    """ln P(labels | sequence), in nats."""


class Transcriber(SequenceModel):
    """A recurrent network that reads a sequence and writes fewer labels, of which it is not told when.

    Trained by connectionist temporal classification (Graves et al. 2006): see :func:`seqrs.losses.ctc`.
    For speech `X` is what :func:`seqrs.features.log_mel` makes of sound. What it learns, `y`, is a str for each
    sequence, whose characters are the labels, or a list of labels.

    Parameters
    ----------
    **options
        Those of all models of sequences: see :class:`seqrs.models.SequenceOptions`.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        The labels, sorted.
    network, reader, history
        See :class:`SequenceModel`. The loss is a mean over labels.

    Raises
    ------
    ValueError, TypeError
        If an option is out of its range, of another type, or unknown.

    Examples
    --------
    Each letter sounds for a few steps, and is followed by silence:

    >>> import numpy as np, seqrs
    >>> rng = np.random.default_rng(0)
    >>> sound = {"a": [2.0, 0.0], "b": [0.0, 2.0]}
    >>> def speak(word):
    ...     steps = [s for c in word for s in [sound[c]] * rng.integers(2, 4) + [[0.0, 0.0]] * 2]
    ...     return np.array(steps) + 0.1 * rng.normal(size=(len(steps), 2))
    >>> words = ["".join(rng.choice(list("ab"), rng.integers(1, 5))) for _ in range(100)]
    >>> model = seqrs.Transcriber(cell="gru", hidden_size=16, epochs=15, lr=0.02, random_state=0)
    >>> listener = model.fit([speak(word) for word in words], words)
    >>> listener.predict([speak("abba"), speak("b")])
    ['abba', 'b']
    """

    kind = "transcriber"
    unit = "labels"
    classes_: NDArray[Any]

    def __init__(self, **options: "Unpack[Common]") -> None:
        super().__init__(**options)

    # Labels

    def _learn_targets(self, y: Any, inputs: list[Sequence_]) -> None:
        rows = _rows("y", y)
        self._text = all(isinstance(row, str) for row in rows)
        labels = [label for row in rows for label in row]
        if not labels:
            raise ValueError("y: expected some labels, got none")
        self._classes = Classes.learn("y", labels)
        self.classes_ = self._classes.values
        for i, (row, steps) in enumerate(zip(rows, map(len, inputs), strict=False)):
            needed = len(row) + sum(a == b for a, b in pairwise(row))
            if needed > steps:
                raise ValueError(
                    f"y[{i}]: expected labels that fit into the {steps} steps of X[{i}], one a step and one more "
                    f"between equal ones, got {len(row)} that need {needed}"
                )

    def _read_targets(self, name: str, y: Any, inputs: list[Sequence_]) -> list[Any]:  # noqa: ARG002
        # 0 is the blank.
        return [1 + self._classes.encode(f"{name}[{i}]", list(row)) for i, row in enumerate(_rows(name, y))]

    def _counts(self, examples: Examples) -> NDArray[np.int64]:
        return np.array([max(1, len(labels)) for labels in examples.targets], np.int64)

    def _decoded(self, labels: NDArray[np.integer[Any]]) -> Labels:
        found = self._classes.decode(labels - 1)
        return "".join(found) if self._text else found

    # The network

    def _blocks(self, seeds: Seeds) -> list[nn.Layer[Any]]:
        return pooled(self, None, 1 + len(self._classes), seeds)

    def _loss(self, output: Floats, batch: SequenceBatch) -> tuple[float, Floats]:
        # What does not fit was refused before training; elsewhere, in validation, it is left out.
        return losses.ctc(
            output,
            batch.targets,
            lengths=batch.lengths,
            zero_infinity=True,
            device=_check.beside(self.device),
        )

    def _score_outputs(self, outputs: list[Floats], examples: Examples) -> float:
        found = [reading.labels.tolist() for reading in self._greedy(outputs)]
        came = [labels.tolist() for labels in examples.targets]
        wrong = sum(metrics.edit_distance(a, b) for a, b in zip(came, found, strict=True))
        return 1.0 - wrong / max(1, sum(map(len, examples.targets)))

    # Use

    def _greedy(self, outputs: list[Floats]) -> list[decoding.Reading]:
        read: list[Any] = [None] * len(outputs)
        for rows, logits, lengths in side_by_side(outputs):
            for i, reading in zip(rows, decoding.ctc_greedy(logits, lengths=lengths), strict=True):
                read[i] = reading
        return read

    def predict(
        self,
        X: Any,
        lengths: ArrayLike | None = None,
        *,
        beam_width: SupportsIndex | None = None,
        language_model: LanguageModel | LanguageFunction | None = None,
        alpha: SupportsFloat = 0.5,
        beta: SupportsFloat = 0.0,
    ) -> list[Labels]:
        """Return what each sequence says.

        Parameters
        ----------
        X, lengths
            As for :meth:`fit`.
        beam_width : int, optional
            Search with a beam of so many prefixes (Hannun et al. 2014). Default: read the best path, or
            with a language model a beam of 16.
        language_model : LanguageModel or callable, optional
            Says what is likely. A :class:`seqrs.LanguageModel` of ``level="char"``, where labels are
            characters; or what :func:`seqrs.decoding.ctc_beam` takes as `language`, where label k is
            number k - 1 of `classes_`, and 0 the blank.
        alpha, beta : float, default 0.5, 0.0
            Weight of the language model, and what each label is worth, in nats.

        Returns
        -------
        list of B str, or of B ndarrays
            Str if the model was trained on str, whose characters are its labels; else arrays of labels.

        Raises
        ------
        ValueError, TypeError
            If the sequences are not like those of the training, or an option does not fit.
        RuntimeError
            If the model is not fitted.
        """
        if beam_width is None and language_model is None:
            readings = self._greedy(self._outputs(X, lengths))
            return [self._decoded(reading.labels) for reading in readings]
        width = 16 if beam_width is None else beam_width
        rows = self.transcripts(
            X, lengths, 1, beam_width=width, language_model=language_model, alpha=alpha, beta=beta
        )
        return [row[0].labels for row in rows]

    def transcripts(
        self,
        X: Any,
        lengths: ArrayLike | None = None,
        num_hypotheses: SupportsIndex = 5,
        *,
        beam_width: SupportsIndex = 16,
        language_model: LanguageModel | LanguageFunction | None = None,
        alpha: SupportsFloat = 0.5,
        beta: SupportsFloat = 0.0,
    ) -> list[list[Transcript]]:
        """Return the best that each sequence may say, best first.

        Parameters
        ----------
        X, lengths, beam_width, language_model, alpha, beta
            As for :meth:`predict`.
        num_hypotheses : int, default 5
            How many for each, at most.

        Returns
        -------
        list of B lists of Transcript

        Raises
        ------
        ValueError, TypeError, RuntimeError
            As :meth:`predict`.
        """
        outputs = self._outputs(X, lengths)
        language = language_function(language_model, self.classes_)
        found: list[Any] = [None] * len(outputs)
        for rows, logits, counts in side_by_side(outputs):
            hypotheses = decoding.ctc_beam(
                logits,
                lengths=counts,
                beam_width=beam_width,
                num_hypotheses=num_hypotheses,
                language=language,
                alpha=alpha,
                beta=beta,
            )
            for i, row in zip(rows, hypotheses, strict=True):
                found[i] = [Transcript(self._decoded(h.labels), h.score, h.log_p) for h in row]
        return found

    def predict_proba(self, X: Any, lengths: ArrayLike | None = None) -> list[Floats]:
        """Return at each step the probability of silence, or between labels, and of each label.

        Parameters
        ----------
        X, lengths
            As for :meth:`predict`.

        Returns
        -------
        list of B ndarrays of shape (T, 1 + K)
            The blank first, then the labels in the order of `classes_`.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            As :meth:`predict`.
        """
        return [softmax(row) for row in self._outputs(X, lengths)]

    def score(self, X: Any, y: Any, lengths: ArrayLike | None = None) -> float:
        """Return 1 minus the label error rate: edits between truth and best path, by labels of the truth.

        Parameters
        ----------
        X, y, lengths
            As for :meth:`fit`.

        Returns
        -------
        float
            At most 1; below 0 where more is wrong than is there.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            As :meth:`predict`, and if a label was not there in training.
        """
        self._check_fitted()
        examples = self._examples(X, y, lengths=lengths)
        return self._score_outputs(self._run(examples.inputs), examples)

    # Files

    def _targets_to_json(self) -> dict[str, Any]:
        return {"classes": self._classes.to_json(), "text": self._text}

    def _targets_from_json(self, values: Mapping[str, Any], tokenizer: Tokenizer | None) -> None:  # noqa: ARG002
        self._classes = Classes.from_json(values["classes"])
        self.classes_, self._text = self._classes.values, bool(values["text"])


def _rows(name: str, y: Any) -> list[Any]:
    """Return the labels of each sequence."""
    rows = listed(name, y, "the labels of each sequence")
    for i, row in enumerate(rows):
        if not isinstance(row, (str, list, tuple, np.ndarray)):
            raise TypeError(f"{name}[{i}]: expected a str or a list of labels, got {_check.describe(row)}")
    return rows
