"""Numbers for a whole sequence, or for each of its steps."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check, losses, nn
from seqrs._check import Floats
from seqrs.models.examples import Examples, SequenceBatch, sample_weights
from seqrs.models.inputs import Sequence_, padded, sequences, without_padding
from seqrs.models.pooling import check_pooling, pooled
from seqrs.models.sequence_model import SequenceModel
from seqrs.models.sequence_options import Seeds
from seqrs.text.tokenizers import Tokenizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from seqrs.models.sequence_options import Common

__all__ = ["SequenceRegressor"]

LOSSES: dict[str, Callable[..., tuple[float, Floats]]] = {
    "squared_error": losses.mean_squared_error,
    "absolute_error": losses.mean_absolute_error,
    "huber": losses.huber,
}


class SequenceRegressor(SequenceModel):
    """A recurrent network that predicts numbers, for each sequence or for each of its steps.

    What it learns, `y`, is a number or K numbers for each sequence, (B,) or (B, K); with ``pooling=None`` those of
    each step: arrays (T,) or (T, K), or one array padded as `X` is.

    Parameters
    ----------
    pooling : {"last", "mean", "max", "max+mean", "attention", "center"} or None, default "last"
        What the numbers are read from: see :func:`seqrs.models.pooling.pooled`. None: numbers for
        every step (many-to-many); what the steps before it hold is known at a step, and with
        ``bidirectional=True`` those after it too.
    loss : {"squared_error", "absolute_error", "huber"}, default "squared_error"
        What is made small: see :mod:`seqrs.losses`.
    **options
        Those of all models of sequences: see :class:`seqrs.models.SequenceOptions`. With `standardize` the
        numbers to predict are standardised as well, in training, and losses are of those.

    Attributes
    ----------
    network, reader, history
        See :class:`SequenceModel`.

    Raises
    ------
    ValueError, TypeError
        If an option is out of its range, of another type, or unknown.

    Examples
    --------
    The mean of a sequence of any length:

    >>> import numpy as np, seqrs
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.uniform(size=n) for n in rng.integers(3, 15, 200)]
    >>> y = [x.mean() for x in X]
    >>> model = seqrs.SequenceRegressor(hidden_size=16, epochs=40, lr=0.02, random_state=0)
    >>> model.fit(X[:150], y[:150]).score(X[150:], y[150:]) > 0.9
    True

    The mean so far, at every step:

    >>> y = [x.cumsum() / np.arange(1, len(x) + 1) for x in X]
    >>> model.set_params(pooling=None).fit(X[:150], y[:150]).score(X[150:], y[150:]) > 0.9
    True
    >>> [len(numbers) for numbers in model.predict([[0.1, 0.9], [0.5]])]
    [2, 1]
    """

    kind = "sequence_regressor"
    _estimator_type = "regressor"
    _outputs_axis: bool  # whether a target had an axis of its own, of K numbers
    _mean: NDArray[np.float64]
    _scale: NDArray[np.float64]

    def __init__(
        self,
        *,
        pooling: str | None = "last",
        loss: str = "squared_error",
        **options: "Unpack[Common]",
    ) -> None:
        self.pooling = pooling
        self.loss = loss
        super().__init__(**options)

    def _check_params(self) -> None:
        super()._check_params()
        if self.pooling is not None:
            check_pooling(self.pooling)
        _check.choice("loss", self.loss, LOSSES)

    # Targets

    @property
    def _pooling(self) -> str | None:
        pooling: str | None = self._followed("pooling")
        return pooling

    @property
    def _steps_stay(self) -> bool:
        return self._pooling is None

    def _learn_targets(self, y: Any, inputs: list[Sequence_]) -> None:
        rows = self._numbers("y", y, inputs)
        self._outputs_axis = rows[0].ndim > (0 if self.pooling is not None else 1)
        width = rows[0].shape[-1] if self._outputs_axis else 1
        for i, row in enumerate(rows):
            if row.ndim != rows[0].ndim or (self._outputs_axis and row.shape[-1] != width):
                raise ValueError(
                    f"y[{i}]: expected numbers like those of y[0], {rows[0].shape}, got {row.shape}"
                )
        every = np.concatenate([row.reshape(-1, width) for row in rows])
        self._mean, self._scale = np.zeros(every.shape[1]), np.ones(every.shape[1])
        if self.standardize:
            spread = every.std(0)
            self._mean, self._scale = every.mean(0), np.where(spread > 0, spread, 1.0)

    def _read_targets(self, name: str, y: Any, inputs: list[Sequence_]) -> list[Any]:
        width = len(self._mean)
        targets = []
        for i, (row, x) in enumerate(zip(self._numbers(name, y, inputs), inputs, strict=True)):
            shape = (() if self._pooling is not None else (len(x),)) + (
                (width,) if self._outputs_axis else ()
            )
            if row.shape != shape:
                raise ValueError(f"{name}[{i}]: expected numbers of shape {shape}, got {row.shape}")
            standard = (row.reshape(-1, width) - self._mean) / self._scale
            targets.append((standard[0] if self._pooling is not None else standard).astype(self._dtype))
        return targets

    def _numbers(self, name: str, y: Any, inputs: list[Sequence_]) -> list[NDArray[np.float64]]:
        """Return what is to be predicted of each sequence: (), (K,), (T,) or (T, K)."""
        y = _check.plain(y)
        rows = list(y) if isinstance(y, np.ndarray) and y.dtype != object else sequences(name, y)
        if len(rows) != len(inputs):
            raise ValueError(f"{name}: expected one for each of {len(inputs)} sequences, got {len(rows)}")
        if self._pooling is None:
            rows = without_padding(y, rows, inputs)
        numbers = []
        for i, row in enumerate(rows):
            try:
                array = np.asarray(row, np.float64)
            except (TypeError, ValueError):
                raise TypeError(f"{name}[{i}]: expected numbers, got {_check.describe(row)}") from None
            _check.finite_everywhere(f"{name}[{i}]", array)
            numbers.append(array)
        least = 0 if self._pooling is not None else 1
        if not least <= numbers[0].ndim <= least + 1:
            shape = (
                "a number, or (K,)" if self._pooling is not None else "(T,) or (T, K), because pooling=None"
            )
            raise ValueError(f"{name}[0]: expected {shape}, got shape {numbers[0].shape}")
        return numbers

    def _counts(self, examples: Examples) -> NDArray[np.int64]:
        return np.array([np.size(target) for target in examples.targets], np.int64)

    # The network

    def _blocks(self, seeds: Seeds) -> list[nn.Layer[Any]]:
        return pooled(self, self.pooling, len(self._mean), seeds)

    def _loss(self, output: Floats, batch: SequenceBatch) -> tuple[float, Floats]:
        function = LOSSES[self.loss]
        if self._pooling is not None:
            return function(output, np.stack(batch.targets), device=_check.beside(self.device))
        targets, _ = padded(batch.targets, steps=output.shape[1])
        return function(output, targets, lengths=batch.lengths, device=_check.beside(self.device))

    def _score_outputs(self, outputs: list[Floats], examples: Examples) -> float | None:
        return _r2(_joined(outputs), _joined(examples.targets), np.ones(self._rows(examples.targets)))

    def _rows(self, targets: list[Any]) -> int:
        return len(targets) if self._pooling is not None else sum(map(len, targets))

    # Use

    def predict(self, X: Any, lengths: ArrayLike | None = None) -> Any:
        """Return the numbers of each sequence, or of each step.

        Parameters
        ----------
        X, lengths
            As for :meth:`fit`.

        Returns
        -------
        ndarray of shape (B,) or (B, K), or list of ndarray of shape (T,) or (T, K)
            As `y` was in training; the list with ``pooling=None``.

        Raises
        ------
        ValueError, TypeError
            If the sequences are not like those of the training.
        RuntimeError
            If the model is not fitted.
        """
        rows = [output * self._scale + self._mean for output in self._outputs(X, lengths)]
        if not self._outputs_axis:
            rows = [row[..., 0] for row in rows]
        dtype = self._dtype
        if self._pooling is not None:
            return np.stack(rows).astype(dtype)
        return [row.astype(dtype) for row in rows]

    def score(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, lengths: ArrayLike | None = None
    ) -> float:
        """Return R², the part of the variance that is predicted: 1 is perfect, 0 as good as the mean.

        Parameters
        ----------
        X, y, lengths
            As for :meth:`fit`.
        sample_weight : array of shape (B,), optional
            How much each sequence counts.

        Returns
        -------
        float
            Over all sequences, or all steps of all of them; of several numbers the mean, as in
            scikit-learn.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            As :meth:`predict`, and if `y` does not fit.
        """
        self._check_fitted()
        examples = self._examples(X, y, lengths=lengths)
        weights = sample_weights(sample_weight, len(examples.inputs))
        if self._pooling is None:
            weights = np.repeat(weights, examples.lengths)
        return _r2(_joined(self._run(examples.inputs)), _joined(examples.targets), weights)

    # Files

    def _targets_to_json(self) -> dict[str, Any]:
        return {"mean": self._mean.tolist(), "scale": self._scale.tolist(), "axis": self._outputs_axis}

    def _targets_from_json(self, values: Mapping[str, Any], tokenizer: Tokenizer | None) -> None:  # noqa: ARG002
        self._mean, self._scale = (np.array(values[name], np.float64) for name in ("mean", "scale"))
        self._outputs_axis = bool(values["axis"])
        if self._mean.ndim != 1 or self._mean.shape != self._scale.shape or not self._mean.size:
            raise ValueError("the scales of what is predicted do not fit")


def _joined(rows: list[Any]) -> NDArray[np.float64]:
    """Return the numbers of all sequences, or all their steps, as (n, K)."""
    return np.concatenate([np.atleast_2d(np.asarray(row, np.float64)) for row in rows])


def _r2(
    predictions: NDArray[np.float64], targets: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    """Return the mean over columns of 1 - Σ w (y - p)² / Σ w (y - mean)²; 0 for a constant that is missed."""
    missed = np.average((targets - predictions) ** 2, axis=0, weights=weights)
    spread = np.average(
        (targets - np.average(targets, axis=0, weights=weights)) ** 2, axis=0, weights=weights
    )
    ratio = np.where(spread > 0, missed / np.where(spread > 0, spread, 1.0), (missed > 0).astype(np.float64))
    return float(cast(Any, (1 - ratio).mean()))
