"""One class, or several labels, for a whole sequence."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check, losses, nn
from seqrs._check import Floats
from seqrs.models.examples import Examples, SequenceBatch, sample_weights
from seqrs.models.inputs import Sequence_
from seqrs.models.labels import (
    Classes,
    check_class_weight,
    class_weight_from_json,
    class_weight_to_json,
    class_weights,
    listed,
)
from seqrs.models.pooling import check_pooling, pooled
from seqrs.models.sequence_model import SequenceModel
from seqrs.models.sequence_options import Seeds
from seqrs.text.tokenizers import Tokenizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from seqrs.models.sequence_options import Common

__all__ = ["SequenceClassifier"]


class SequenceClassifier(SequenceModel):
    """A recurrent network that gives each sequence a class, or several labels (many-to-one).

    What it learns, `y`, is a label for each sequence, a str or a number; or, where there may be any number of
    them, a set or list of labels for each, or 0 or 1 for each sequence and label (B, K).

    Parameters
    ----------
    pooling : {"last", "mean", "max", "max+mean", "attention", "center"}, default "last"
        What the class is read from: see :func:`seqrs.models.pooling.pooled`.
    class_weight : "balanced", mapping of label to float, or None, default None
        How much the examples of each class count. ``"balanced"``: all classes alike, however
        rare.
    **options
        Those of all models of sequences: see :class:`seqrs.models.SequenceOptions`.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        The labels, sorted.
    multilabel : bool
        Whether a sequence may have any number of the labels.
    network, reader, history
        See :class:`SequenceModel`.

    Raises
    ------
    ValueError, TypeError
        If an option is out of its range, of another type, or unknown.

    Examples
    --------
    Sequences of different length, with two features a step:

    >>> import numpy as np, seqrs
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(n, 2)).cumsum(0) for n in rng.integers(5, 20, 200)]
    >>> y = ["up" if x[-1, 0] > 0 else "down" for x in X]
    >>> model = seqrs.SequenceClassifier(cell="gru", hidden_size=16, epochs=10, random_state=0)
    >>> model.fit(X[:150], y[:150]).score(X[150:], y[150:]) > 0.9
    True
    >>> model.predict(X[:2]).shape, model.predict_proba(X[:2]).shape
    ((2,), (2, 2))

    Text, with any number of labels for each:

    >>> X = ["cheap and good", "good", "dear and bad", "cheap"] * 10
    >>> y = [{"price", "praise"}, {"praise"}, set(), {"price"}] * 10
    >>> model = seqrs.SequenceClassifier(hidden_size=8, epochs=30, lr=0.03, random_state=0).fit(X, y)
    >>> model.classes_.tolist(), model.predict(["good", "cheap"]).tolist()
    (['praise', 'price'], [[1, 0], [0, 1]])
    """

    kind = "sequence_classifier"
    _estimator_type = "classifier"
    classes_: NDArray[Any]
    multilabel: bool
    _flags: bool  # whether training said of each label whether it is there

    def __init__(
        self,
        *,
        pooling: str = "last",
        class_weight: str | Mapping[Any, float] | None = None,
        **options: "Unpack[Common]",
    ) -> None:
        self.pooling = pooling
        self.class_weight = class_weight
        super().__init__(**options)

    def _check_params(self) -> None:
        super()._check_params()
        check_pooling(self.pooling)
        check_class_weight(self.class_weight)

    # Labels

    def _learn_targets(self, y: Any, inputs: list[Sequence_]) -> None:  # noqa: ARG002
        indicator = _indicator(y, lists=True)
        self._flags = indicator is not None
        if indicator is not None:
            if indicator.shape[1] == 1:
                raise ValueError(
                    f"y: expected shape ({len(indicator)},), or 0 or 1 for each of several labels, got {indicator.shape}"
                )
            self.multilabel, self._classes = True, Classes(np.arange(indicator.shape[1]))
        else:
            rows = listed("y", y, "a list of labels")
            self.multilabel = _is_label_set(rows)
            every = [label for row in rows for label in row] if self.multilabel else y
            self._classes = Classes.learn("y", every)
        if len(self._classes) < 2 - self.multilabel:
            raise ValueError(
                f"y: expected at least {2 - self.multilabel} classes, got {len(self._classes)}: "
                f"{self._classes.values.tolist()}"
            )
        self.classes_ = self._classes.values

    def _read_targets(self, name: str, y: Any, inputs: list[Sequence_]) -> list[Any]:  # noqa: ARG002
        if not self.multilabel:
            return list(self._classes.encode(name, y))
        indicator = _indicator(y, lists=self._flags, labels=len(self._classes))
        if indicator is not None:
            if indicator.shape[1] != len(self._classes) or not np.isin(indicator, (0, 1)).all():
                raise ValueError(
                    f"{name}: expected 0 or 1 for each of {len(self._classes)} labels, got shape {indicator.shape} "
                    f"with numbers from {indicator.min(initial=0)} to {indicator.max(initial=0)}"
                )
            return list(indicator.astype(np.int32))
        targets = []
        for i, row in enumerate(listed(name, y, "a list of labels")):
            if not _is_label_set([row]):
                raise TypeError(f"{name}[{i}]: expected a set of labels, as in training, got {row!r}")
            chosen = np.zeros(len(self._classes), np.int32)
            chosen[self._classes.encode(f"{name}[{i}]", list(row))] = 1
            targets.append(chosen)
        return targets

    def _weigh(self, examples: Examples) -> NDArray[np.float64]:
        if self.class_weight is None:
            return examples.weights
        if self.multilabel:
            raise ValueError("class_weight: expected None, because a sequence may have several labels")
        numbers = np.array(examples.targets, np.int32)
        weights = examples.weights * class_weights(self._classes, numbers, self.class_weight)[numbers]
        if not weights.any():
            raise ValueError("class_weight: expected some weight above 0 for the classes that y holds")
        return weights

    # The network

    def _blocks(self, seeds: Seeds) -> list[nn.Layer[Any]]:
        return pooled(self, self.pooling, len(self._classes), seeds)

    def _loss(self, output: Floats, batch: SequenceBatch) -> tuple[float, Floats]:
        if self.multilabel:
            loss, gradient = losses.binary_cross_entropy(
                output, np.array(batch.targets), device=_check.beside(self.device)
            )
        else:
            loss, gradient = losses.softmax_cross_entropy(
                output, np.array(batch.targets), device=_check.beside(self.device)
            )
        return loss, gradient

    def _score_outputs(self, outputs: list[Floats], examples: Examples) -> float | None:
        hits = self._chosen(stacked(outputs)) == np.array(examples.targets)
        return float((hits.all(1) if self.multilabel else hits).mean())

    def _chosen(self, logits: Floats) -> NDArray[Any]:
        return (logits > 0).astype(np.int32) if self.multilabel else logits.argmax(1)

    # Use

    def predict(self, X: Any, lengths: ArrayLike | None = None) -> NDArray[Any]:
        """Return the most likely class of each sequence.

        Parameters
        ----------
        X, lengths
            As for :meth:`fit`.

        Returns
        -------
        ndarray of shape (B,)
            A label for each; where there may be several, 0 or 1 for each of `classes_`, (B, K):
            1 where the probability is above 0.5.

        Raises
        ------
        ValueError, TypeError
            If the sequences are not like those of the training.
        RuntimeError
            If the model is not fitted.
        """
        chosen = self._chosen(stacked(self._outputs(X, lengths)))
        return chosen if self.multilabel else self._classes.decode(chosen)

    def predict_proba(self, X: Any, lengths: ArrayLike | None = None) -> Floats:
        """Return the probability of each class for each sequence.

        Parameters
        ----------
        X, lengths
            As for :meth:`predict`.

        Returns
        -------
        ndarray of shape (B, K)
            In the order of `classes_`. Rows sum to 1, except where a sequence may have several
            labels: then each is a probability of its own.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            As :meth:`predict`.
        """
        logits = stacked(self._outputs(X, lengths))
        return sigmoid(logits) if self.multilabel else softmax(logits)

    def score(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, lengths: ArrayLike | None = None
    ) -> float:
        """Return the accuracy: the part of the sequences whose class, or whose every label, is right.

        Parameters
        ----------
        X, y, lengths
            As for :meth:`fit`.
        sample_weight : array of shape (B,), optional
            How much each sequence counts.

        Returns
        -------
        float

        Raises
        ------
        ValueError, TypeError, RuntimeError
            As :meth:`predict`, and if a label was not there in training.
        """
        self._check_fitted()
        examples = self._examples(X, y, lengths=lengths)
        hits = self._chosen(stacked(self._run(examples.inputs))) == np.array(examples.targets)
        weights = sample_weights(sample_weight, len(hits))
        return float(np.average(hits.all(1) if self.multilabel else hits, weights=weights))

    # Files

    def _targets_to_json(self) -> dict[str, Any]:
        return {"classes": self._classes.to_json(), "multilabel": self.multilabel, "flags": self._flags}

    def _targets_from_json(self, values: Mapping[str, Any], tokenizer: Tokenizer | None) -> None:  # noqa: ARG002
        self._classes = Classes.from_json(values["classes"])
        self.classes_, self.multilabel = self._classes.values, bool(values["multilabel"])
        self._flags = bool(values.get("flags"))  # files of older versions do not say

    _options_to_json = staticmethod(class_weight_to_json)
    _options_from_json = staticmethod(class_weight_from_json)


def stacked(outputs: list[Floats]) -> Floats:
    """Return one array of the outputs of sequences."""
    return cast(Floats, np.stack(outputs))


def sigmoid(logits: Floats) -> Floats:
    """Return σ of numbers of any size."""
    return cast(Floats, 0.5 + 0.5 * np.tanh(0.5 * logits))


def softmax(logits: Floats) -> Floats:
    """Return the probabilities of rows of logits."""
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    return cast(Floats, shares / shares.sum(-1, keepdims=True))


def _indicator(y: Any, *, lists: bool, labels: int | None = None) -> NDArray[Any] | None:
    """Return `y` where it is an array (B, K) of 0 and 1 or, with `lists`, lists of them; else None.

    In training lists of two or more 0 and 1, all of one length, say of each label whether it is there: as lists
    of labels they would name one twice, or the same two for every sequence. Later they are what they were there.
    """
    y = _check.plain(y)
    if lists and isinstance(y, (list, tuple)) and y and all(isinstance(row, (list, tuple)) for row in y):
        width = len(y[0]) if labels is None else labels
        if width > 1 and all(len(row) == width and all(map(_is_flag, row)) for row in y):
            return np.array(y)
    return y if isinstance(y, np.ndarray) and y.ndim == 2 and y.dtype.kind in "iubf" else None


def _is_flag(value: Any) -> bool:
    return isinstance(value, (int, float, np.number, np.bool_)) and value in (0, 1)


def _is_label_set(rows: list[Any]) -> bool:
    return bool(rows) and all(isinstance(row, (set, frozenset, list, tuple)) for row in rows)
