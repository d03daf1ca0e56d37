"""Sequences out of nothing, or out of a class: step by step, each step from those before it."""

import math
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, SupportsFloat, SupportsIndex, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check
from seqrs._check import Floats
from seqrs.callbacks import Callback
from seqrs.models.classifier import sigmoid, softmax, stacked
from seqrs.models.labels import Classes
from seqrs.models.next_step import NextStep
from seqrs.models.sequence_model import Validation

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from seqrs.models.sequence_options import Common

__all__ = ["SequenceGenerator"]


class SequenceGenerator(NextStep):
    """A recurrent network that writes sequences, such as tunes (one-to-many).

    It reads what came before a step and predicts the step: at first the zero vector, or the class
    that the sequence is to be of.

    Parameters
    ----------
    output : {"softmax", "sigmoid"}, default "softmax"
        What a step is. ``"softmax"``: one symbol; the model also learns where sequences end.
        ``"sigmoid"``: any number of symbols at once, such as the keys that sound together; each is
        there or not, independently of the others given what came before. Such sequences have no
        end of their own.
    symbols : iterable or None, default None
        With ``"sigmoid"``, for sequences whose steps list their symbols: all symbols there are,
        such as ``range(21, 109)``. Default: those of the training data.
    **options
        Those of all models of sequences: see :class:`seqrs.models.SequenceOptions`. The layer cannot be
        bidirectional.

    Attributes
    ----------
    classes_ : ndarray of shape (K,), or None
        The classes that a sequence can be of; None for a model that was fitted without.
    symbols_ : list or None
        With ``output="sigmoid"``, the symbols of a step.
    network, reader, history
        See :class:`SequenceModel`. Losses are in nats a step.

    Raises
    ------
    ValueError, TypeError
        If an option is out of its range, of another type, or unknown.

    Examples
    --------
    >>> import seqrs
    >>> X, y = ["abababab", "cdcdcd"] * 20, ["ab", "cd"] * 20
    >>> model = seqrs.SequenceGenerator(level="char", hidden_size=16, lr=0.02, random_state=0)
    >>> model.fit(X, y).sample(6, of="cd", temperature=0)
    'cdcdcd'

    Several symbols a step, as MIDI numbers of keys: two chords in turn.

    >>> X = [[[60, 64], [62, 65, 69]] * 4] * 20
    >>> model = seqrs.SequenceGenerator("sigmoid", hidden_size=16, lr=0.02, random_state=0).fit(X)
    >>> model.sample(3, temperature=0)
    [[60, 64], [62, 65, 69], [60, 64]]
    """

    kind = "sequence_generator"

    def __init__(
        self,
        output: str = "softmax",
        *,
        symbols: Iterable[Any] | None = None,
        **options: "Unpack[Common]",
    ) -> None:
        self.output = output
        self.symbols = symbols
        self._classes: Classes | None = None
        super().__init__(**options)

    def _check_params(self) -> None:
        super()._check_params()
        _check.choice("output", self.output, ("softmax", "sigmoid"))
        if self.monitor == "score":
            raise ValueError('monitor: expected "loss", of which the score of a generator is the negative')
        if self.bidirectional:
            raise ValueError(
                "bidirectional: expected False, because a step is predicted from those before it"
            )
        if self.symbols is not None and self.output != "sigmoid":
            raise ValueError('symbols: expected None with output="softmax", where the data say what there is')

    # Data

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        validation: Validation = None,
        checkpoint: str | os.PathLike[str] | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> "SequenceGenerator":
        """Learn to write such sequences, with new weights.

        Parameters
        ----------
        X : list of sequences
            With ``output="softmax"``: str, lists of tokens (str), or integers (T,). With
            ``"sigmoid"``: lists of steps, each a list of its symbols; or arrays (T, K) of 0 and 1.
        y : list of labels, optional
            The class of each sequence, for a model that is asked for one.
        lengths, sample_weight, checkpoint, callbacks
            As in :meth:`SequenceModel.fit`.
        validation : (X, y), X alone as (X, None), float or None
            As in :meth:`SequenceModel.fit`.

        Returns
        -------
        SequenceGenerator
            This model.

        Raises
        ------
        ValueError, TypeError, DivergenceError, KeyboardInterrupt
            As :meth:`SequenceModel.fit`.
        """
        return super().fit(
            X,
            y,
            lengths=lengths,
            sample_weight=sample_weight,
            validation=validation,
            checkpoint=checkpoint,
            callbacks=callbacks,
        )

    # Use

    def predict_proba(self, X: Any, y: Any = None, lengths: ArrayLike | None = None) -> Floats:
        """Return the probability of each symbol in the step after a sequence.

        Parameters
        ----------
        X, y, lengths
            As for :meth:`fit`.

        Returns
        -------
        ndarray of shape (B, V + 1) or (B, K)
            With ``output="softmax"`` of each token of the vocabulary and, last, of the end. With
            ``"sigmoid"`` of each symbol, on its own.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            As :meth:`log_probs`.
        """
        examples = self._read_examples(X, y, lengths)
        pairs = zip(examples.inputs, examples.targets, strict=True)
        logits = stacked(
            [output[-1] for output in self._run([self._reading(list(row), kind) for row, kind in pairs])]
        )
        return softmax(logits) if self._output == "softmax" else sigmoid(logits)

    def predict(self, X: Any, y: Any = None, lengths: ArrayLike | None = None) -> list[Any]:
        """Return the most likely step after each sequence, in the form of the training's steps.

        Parameters
        ----------
        X, y, lengths
            As for :meth:`fit`.

        Returns
        -------
        list
            With ``output="softmax"`` a token for each, or None for the end.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            As :meth:`log_probs`.
        """
        shares = self.predict_proba(X, y, lengths)
        if self._output == "sigmoid":
            return [self._as_given([step])[0] for step in (shares > 0.5).astype(self._dtype)]
        vocabulary, end = self.reader.vocabulary, self.reader.size
        tokens = list(range(end)) if vocabulary is None else list(vocabulary.tokens)
        return [[*tokens, None][number] for number in shares.argmax(1)]

    def log_probs(self, X: Any, y: Any = None, lengths: ArrayLike | None = None) -> list[NDArray[np.float64]]:
        """Return the log-probability of each step of sequences, given those before it.

        Parameters
        ----------
        X, y, lengths
            As for :meth:`fit`.

        Returns
        -------
        list of ndarray of float64
            (T,) for each sequence, in nats; with ``output="softmax"`` (T + 1,): the last is that of
            the end.

        Raises
        ------
        ValueError, TypeError
            If the sequences are not like those of the training.
        RuntimeError
            If the model is not fitted.
        """
        examples = self._read_examples(X, y, lengths)
        pairs = [
            self._shifted(row, kind) for row, kind in zip(examples.inputs, examples.targets, strict=True)
        ]
        values = []
        for logits, (_, target) in zip(self._run([x for x, _ in pairs]), pairs, strict=True):
            z = logits.astype(np.float64)
            if self._output == "sigmoid":
                values.append(-(np.logaddexp(0, z) - z * target).sum(1))
            else:
                known = np.where(target < 0, 0, target)[:, None]
                picked = np.take_along_axis(z, known, 1)[:, 0] - np.logaddexp.reduce(z, axis=1)
                values.append(np.where(target < 0, -math.inf, picked))
        return values

    def score(self, X: Any, y: Any = None, lengths: ArrayLike | None = None) -> float:
        """Return the mean log-likelihood a step, in nats: minus the negative log-likelihood of papers.

        Parameters
        ----------
        X, y, lengths
            As for :meth:`fit`.

        Returns
        -------
        float
            Over all steps of all sequences; with ``output="softmax"`` their ends among them.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            As :meth:`log_probs`.
        """
        return float(np.concatenate(self.log_probs(X, y, lengths)).mean())

    def sample(
        self,
        length: SupportsIndex = 100,
        *,
        of: Any = None,
        start: Any = None,
        temperature: SupportsFloat = 1.0,
        seed: SupportsIndex | None = None,
    ) -> Any:
        """Write a sequence.

        Parameters
        ----------
        length : int, default 100
            Steps, at most: with ``output="softmax"`` it may end before.
        of : label, optional
            The class that it is to be of, for a model that was fitted with classes.
        start : sequence, optional
            What it begins with, such as a first note; part of the result.
        temperature : float, default 1
            Above 0 the logits are divided by it; 0: the most likely symbols.
        seed : int, optional
            Draws. Default: anew each time.

        Returns
        -------
        str, list or ndarray
            A sequence as those of the training.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit.
        RuntimeError
            If the model is not fitted.
        """
        self._check_fitted()
        steps = _check.integer("length", length, minimum=1)
        heat = _check.number("temperature", temperature, minimum=0.0)
        draw = np.random.default_rng(_check.seed(seed))
        (kind,) = self._read_targets("of", None if of is None else [of], [np.zeros(0)])
        written: list[Any] = []
        if start is not None:
            (begun,) = self._read([start], name="start")
            if begun.ndim == 1 and (begun < 0).any():
                raise ValueError(
                    f"start: expected tokens that training has seen, got another at step {begun.argmin()}"
                )
            written = list(begun)
        state, x = None, self._reading(written, kind)
        while len(written) < steps:
            output, state = self.network(x[None], state)
            step = self._drawn(output[0, -1].astype(np.float64), heat, draw)
            if step is None:
                break
            written.append(step)
            x = self._reading(written[-1:], kind)[-1:]
        return self._as_given(written)

    def _drawn(self, logits: NDArray[np.float64], heat: float, draw: np.random.Generator) -> Any:
        """Return a step drawn from its logits; None for the end."""
        if self._output == "sigmoid":
            chances = sigmoid(cast(Floats, logits / heat)) if heat else (logits > 0)
            return (draw.random(len(logits)) < chances).astype(self._dtype)
        if heat:
            edges = np.cumsum(softmax(cast(Floats, logits / heat)))
            number = int(np.searchsorted(edges, draw.random() * edges[-1], side="right"))
        else:
            number = int(logits.argmax())
        return None if number == self.reader.size else number
