"""Sequences out of nothing, or out of a class: step by step, each step from those before it."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, SupportsFloat, SupportsIndex, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check, losses, nn
from seqrs._check import Floats
from seqrs.callbacks import Callback
from seqrs.models.classifier import sigmoid, softmax, stacked
from seqrs.models.examples import Examples, SequenceBatch
from seqrs.models.inputs import Reader, Sequence_, padded
from seqrs.models.labels import Classes
from seqrs.models.pooling import pooled
from seqrs.models.rolls import learn_symbols, listed, rolled
from seqrs.models.sequence_model import SequenceModel, Validation
from seqrs.models.sequence_options import Seeds
from seqrs.text.tokenizers import Tokenizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from seqrs.models.sequence_options import Common

__all__ = ["SequenceGenerator"]


class SequenceGenerator(SequenceModel):
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
    unit = "steps"
    classes_: NDArray[Any] | None
    symbols_: list[Any] | None

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

    def _learn_reader(self, X: Any, lengths: ArrayLike | None) -> tuple[Reader, list[Sequence_]]:
        self.symbols_ = None
        if self.output == "sigmoid":
            self.symbols_ = learn_symbols(X) if self.symbols is None else list(self.symbols)
        return super()._learn_reader(self._rolled("X", X), lengths)

    def _read(self, X: Any, lengths: ArrayLike | None = None, name: str = "X") -> list[Sequence_]:
        return super()._read(self._rolled(name, X), lengths, name)

    def _rolled(self, name: str, X: Any) -> Any:
        return X if self.output == "softmax" else rolled(name, X, self.symbols_, self._dtype)

    def _learn_targets(self, y: Any, inputs: list[Sequence_]) -> None:
        if inputs[0].ndim != (2 if self.output == "sigmoid" else 1):
            expected = "steps of 0 and 1" if self.output == "sigmoid" else "tokens"
            raise ValueError(f'X: expected {expected} with output="{self.output}"')
        self._classes = None if y is None else Classes.learn("y", y)
        self.classes_ = None if self._classes is None else self._classes.values

    def _weigh(self, examples: Examples) -> NDArray[np.float64]:
        self._frequencies = self._count_symbols(examples)
        return examples.weights

    def _count_symbols(self, examples: Examples) -> NDArray[np.float64]:
        """Return how often each symbol is in a step, never quite 0 or 1."""
        every = np.concatenate(examples.inputs)
        weights = np.repeat(examples.weights, examples.lengths)
        if self.output == "sigmoid":
            return cast(NDArray[np.float64], (weights @ every + 0.5) / (weights.sum() + 1))
        known = every >= 0
        tokens = np.bincount(every[known], weights[known], minlength=self.reader.size)
        counts = np.append(tokens, examples.weights.sum()) + 0.5  # the last is the end
        return cast(NDArray[np.float64], counts / counts.sum())

    def _read_targets(self, name: str, y: Any, inputs: list[Sequence_]) -> list[Any]:
        if self._classes is None:
            if y is not None:
                raise ValueError(f"{name}: expected None, because the model was fitted without classes")
            return [-1] * len(inputs)
        if y is None:
            raise ValueError(f"{name}: expected the class of each sequence, as in training, got None")
        return list(self._classes.encode(name, y))

    # The network

    @property
    def _standardizes(self) -> bool:
        return False

    @property
    def _kinds(self) -> int:
        return 0 if self._classes is None else len(self._classes)

    def _blocks(self, seeds: Seeds) -> list[nn.Layer[Any]]:
        # Beside the symbols the network reads classes, and beside them it predicts the end.
        symbols = self.reader.size
        return pooled(self, None, symbols + (self.output == "softmax"), seeds, reads=symbols + self._kinds)

    def _build(self, seed: int) -> None:
        super()._build(seed)
        # Before it has learned anything else, the network knows how frequent each symbol is.
        chances = self._frequencies
        logits = np.log(chances) if self.output == "softmax" else np.log(chances / (1 - chances))
        last = max(self.weights(), key=lambda name: int(name.split(".")[0])).split(".")[0]
        self.set_weights({f"{last}.bias": logits.astype(self._dtype)})

    def _shifted(self, row: Sequence_, kind: int) -> tuple[Sequence_, Sequence_]:
        """Return what the network reads at each step, and what it is to predict there."""
        if self.output == "softmax":
            first = [self.reader.size + kind if kind >= 0 else -1]
            return np.concatenate([first, row]).astype(np.int32), np.append(row, self.reader.size).astype(
                np.int32
            )
        x = np.zeros((len(row), row.shape[1] + self._kinds), row.dtype)
        x[1:, : row.shape[1]] = row[:-1]
        if kind >= 0:
            x[:, row.shape[1] + kind] = 1
        return x, row

    def _batch(self, examples: Examples, draw: np.random.Generator | None = None) -> SequenceBatch:
        rows = examples.inputs
        if draw is not None and self.augment is not None:
            rows = [self.augment(row, draw) for row in rows]
        pairs = [self._shifted(row, kind) for row, kind in zip(rows, examples.targets, strict=True)]
        inputs = [x for x, _ in pairs]  # noise is for what is read, not for what is to be written
        x, lengths = padded(inputs if draw is None else self._noisy(inputs, draw))
        counts = self._counts(Examples(rows, examples.targets, examples.weights))
        return SequenceBatch(x, lengths, [target for _, target in pairs], examples.weights, counts)

    def _counts(self, examples: Examples) -> NDArray[np.int64]:
        if self.output == "sigmoid":
            return examples.lengths
        # The end counts too, and a token without a logit does not.
        return np.array([1 + int((row >= 0).sum()) for row in examples.inputs], np.int64)

    def _loss(self, output: Floats, batch: SequenceBatch) -> tuple[float, Floats]:
        if self.output == "softmax":
            targets, _ = padded(batch.targets, -1, output.shape[1])
            return losses.softmax_cross_entropy(
                output, targets, lengths=batch.lengths, device=_check.beside(self.device)
            )
        targets, _ = padded(batch.targets, steps=output.shape[1])
        loss, gradient = losses.binary_cross_entropy(
            output, targets, lengths=batch.lengths, device=_check.beside(self.device)
        )
        width = output.shape[-1]  # a step's loss is the sum over its symbols
        return loss * width, cast(Floats, gradient * np.asarray(width, gradient.dtype))

    # Use

    def predict_proba(self, X: Any, y: Any = None) -> Floats:
        """Return the probability of each symbol in the step after a sequence.

        Parameters
        ----------
        X, y
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
        examples = self._read_examples(X, y)
        pairs = zip(examples.inputs, examples.targets, strict=True)
        logits = stacked(
            [output[-1] for output in self._run([self._reading(list(row), kind) for row, kind in pairs])]
        )
        return softmax(logits) if self.output == "softmax" else sigmoid(logits)

    def predict(self, X: Any, y: Any = None) -> list[Any]:
        """Return the most likely step after each sequence, in the form of the training's steps.

        Parameters
        ----------
        X, y
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
        shares = self.predict_proba(X, y)
        if self.output == "sigmoid":
            return [self._as_given([step])[0] for step in (shares > 0.5).astype(self._dtype)]
        vocabulary, end = self.reader.vocabulary, self.reader.size
        tokens = list(range(end)) if vocabulary is None else list(vocabulary.tokens)
        return [[*tokens, None][number] for number in shares.argmax(1)]

    def _read_examples(self, X: Any, y: Any) -> Examples:
        self._check_fitted()
        return self._examples(X, y)

    def log_probs(self, X: Any, y: Any = None) -> list[NDArray[np.float64]]:
        """Return the log-probability of each step of sequences, given those before it.

        Parameters
        ----------
        X, y
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
        examples = self._read_examples(X, y)
        pairs = [
            self._shifted(row, kind) for row, kind in zip(examples.inputs, examples.targets, strict=True)
        ]
        values = []
        for logits, (_, target) in zip(self._run([x for x, _ in pairs]), pairs, strict=True):
            z = logits.astype(np.float64)
            if self.output == "sigmoid":
                values.append(-(np.logaddexp(0, z) - z * target).sum(1))
            else:
                known = np.where(target < 0, 0, target)[:, None]
                picked = np.take_along_axis(z, known, 1)[:, 0] - np.logaddexp.reduce(z, axis=1)
                values.append(np.where(target < 0, -math.inf, picked))
        return values

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean log-likelihood a step, in nats: minus the negative log-likelihood of papers.

        Parameters
        ----------
        X, y
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
        return float(np.concatenate(self.log_probs(X, y)).mean())

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
            written = list(self._read([start], name="start")[0])
        state, x = None, self._reading(written, kind)
        while len(written) < steps:
            output, state = self.network(x[None], state)
            step = self._drawn(output[0, -1].astype(np.float64), heat, draw)
            if step is None:
                break
            written.append(step)
            x = self._reading(written[-1:], kind)[-1:]
        return self._as_given(written)

    def _reading(self, written: Sequence[Any], kind: int) -> Sequence_:
        """Return what the network reads of steps, up to where it predicts the one after them."""
        if self.output == "softmax":
            return self._shifted(np.array(written, np.int32), kind)[0]
        blank = np.zeros((1, self.reader.size), self._dtype)
        return self._shifted(np.concatenate([*(step[None] for step in written), blank]), kind)[0]

    def _drawn(self, logits: NDArray[np.float64], heat: float, draw: np.random.Generator) -> Any:
        """Return a step drawn from its logits; None for the end."""
        if self.output == "sigmoid":
            chances = sigmoid(cast(Floats, logits / heat)) if heat else (logits > 0)
            return (draw.random(len(logits)) < chances).astype(self._dtype)
        if heat:
            edges = np.cumsum(softmax(cast(Floats, logits / heat)))
            number = int(np.searchsorted(edges, draw.random() * edges[-1], side="right"))
        else:
            number = int(logits.argmax())
        return None if number == self.reader.size else number

    def _as_given(self, written: list[Any]) -> Any:
        if self.output == "sigmoid":
            return listed(written, self.symbols_)
        if self.reader.vocabulary is None:
            return np.array(written, np.int64)
        tokens = self.reader.vocabulary.decode([number for number in written if number >= 0])
        return tokens if self.reader.tokenizer is None else self.reader.tokenizer.detokenize(tokens)

    # Files

    def _targets_to_json(self) -> dict[str, Any]:
        return {
            "classes": None if self._classes is None else self._classes.to_json(),
            "symbols": self.symbols_,
        }

    def _targets_from_json(self, values: Mapping[str, Any], tokenizer: Tokenizer | None) -> None:  # noqa: ARG002
        self._classes = None if values["classes"] is None else Classes.from_json(values["classes"])
        self.classes_ = None if self._classes is None else self._classes.values
        self.symbols_ = values["symbols"]
        size = self.reader.size + (self.output == "softmax")
        self._frequencies = np.full(size, 0.5)  # the weights of the file come in their place

    @staticmethod
    def _options_to_json(options: dict[str, Any]) -> dict[str, Any]:
        symbols = options["symbols"]
        return options | {"symbols": None if symbols is None else list(symbols)}
