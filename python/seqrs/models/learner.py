"""What training does with a model of sequences: batches, steps, validation; and the network's outputs."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from seqrs import _native, nn
from seqrs._check import Floats
from seqrs.models.examples import Examples, SequenceBatch, apart, groups
from seqrs.models.inputs import Sequence_, padded
from seqrs.models.sequence_options import Seeds, SequenceOptions
from seqrs.training import Known, Options, Outcome, State


class Learner(SequenceOptions):
    """A model as the training loop sees it (:class:`seqrs.training.Trainable`).

    A model says what it predicts (``_learn_targets``, ``_read_targets``), with which network
    (``_blocks``), and what the loss is (``_loss``); the rest is here.
    """

    unit = "sequences"
    network: Any  # an nn.Sequential, unless a model makes another
    _estimator_type: ClassVar[str | None] = None  # scikit-learn's: "classifier", "regressor"

    def __init__(self, **options: Any) -> None:
        self._ready = False
        super().__init__(**options)

    # What a model says of itself

    @abstractmethod
    def _learn_targets(self, y: Any, inputs: list[Sequence_]) -> None:
        """Learn what there is to predict, such as the classes, from training data."""

    @abstractmethod
    def _read_targets(self, name: str, y: Any, inputs: list[Sequence_]) -> list[Any]:
        """Return the target of each sequence as :meth:`_loss` wants it; `name` is y's in messages."""

    @abstractmethod
    def _blocks(self, seeds: Seeds) -> list[nn.Layer[Any]]:
        """Return the blocks of the network; each call of `seeds` gives a seed for one."""

    @abstractmethod
    def _loss(self, output: Floats, batch: SequenceBatch) -> tuple[float, Floats]:
        """Return the mean loss of a batch, all sequences alike, and its gradient by the network's output."""

    def _score_outputs(self, outputs: list[Floats], examples: Examples) -> float | None:  # noqa: ARG002
        """Return how good outputs are, more is better; None for a model without a score."""
        return None

    def _counts(self, examples: Examples) -> NDArray[np.int64]:
        """Return in how many parts of the mean loss each example has: one, unless a model says otherwise."""
        return np.ones(len(examples.targets), np.int64)

    def _weigh(self, examples: Examples) -> NDArray[np.float64]:
        """Return how much each training example counts, from its own weight and its target."""
        return examples.weights

    # The network

    def _build(self, seed: int) -> None:
        count = iter(range(1 << 20))
        blocks = self._blocks(lambda: (seed + next(count)) % 2**64)
        self.network = nn.Sequential(*blocks, seed=seed)

    def _least_size(self) -> int:
        """Return a number of weights that the network has at least."""
        width = self.reader.size if not self.reader.reads_tokens else self.embedding_size or self.reader.size
        return self.hidden_size * max(self.num_layers * self.hidden_size, width)

    def weights(self) -> dict[str, Floats]:
        """Return a copy of all that is trained."""
        weights: dict[str, Floats] = self.network.state_dict()
        return weights

    def set_weights(self, weights: Mapping[str, Floats]) -> None:
        """Put back some of what :meth:`weights` returned."""
        self.network.network.set(dict(weights))

    def _run(self, inputs: list[Sequence_]) -> list[Floats]:
        """Return the network's output for each sequence: (O,), or (T, O) without pooling."""
        outputs: list[Any] = [None] * len(inputs)
        for rows in groups(np.array([len(row) for row in inputs], np.int64)):
            x, counts = padded([inputs[i] for i in rows])
            output, _ = self.network(x, lengths=counts)
            for row, own in zip(rows, apart(output, counts), strict=True):
                outputs[row] = own
        return outputs

    def _check_fitted(self) -> None:
        if not self._ready:
            raise RuntimeError(
                f"this {type(self).__name__} has learned nothing yet: call fit, or read one with seqrs.load"
            )

    # Batches

    def _augmented(self, inputs: list[Sequence_], draw: np.random.Generator) -> list[Sequence_]:
        """Return training inputs changed at random, as the options say."""
        return self._noisy(self._changed(inputs, draw), draw)

    def _changed(self, inputs: list[Sequence_], draw: np.random.Generator) -> list[Sequence_]:
        """Return training inputs changed by the option `augment`."""
        if self.augment is None:
            return inputs
        changed = [np.asarray(self.augment(row, draw)) for row in inputs]
        for row, new in zip(inputs, changed, strict=True):
            fits = (
                new.dtype.kind == row.dtype.kind and new.shape[1:] == row.shape[1:] and new.ndim == row.ndim
            )
            if not fits or len(new) == 0 or (self._steps_stay and len(new) != len(row)):
                steps = f"{len(row)} steps" if self._steps_stay else "at least one step"
                raise ValueError(
                    f"augment: expected an array of {steps} like the one it was given, of {row.dtype} and shape "
                    f"{row.shape}, got {new.dtype} and shape {new.shape}"
                )
        return [new.astype(row.dtype) for row, new in zip(inputs, changed, strict=True)]

    @property
    def _steps_stay(self) -> bool:
        """Whether something is to be predicted of each step, so that there have to be as many."""
        return False

    def _noisy(self, inputs: list[Sequence_], draw: np.random.Generator) -> list[Sequence_]:
        """Return training inputs with tokens dropped or noise added."""
        if self.reader.reads_tokens and self.word_dropout:
            return [np.where(draw.random(len(row)) < self.word_dropout, np.int32(-1), row) for row in inputs]
        if self.noise and not self.reader.reads_tokens:
            return [row + (self.noise * draw.standard_normal(row.shape)).astype(row.dtype) for row in inputs]
        return inputs

    def _batch(self, examples: Examples, draw: np.random.Generator | None = None) -> SequenceBatch:
        inputs = examples.inputs if draw is None else self._augmented(examples.inputs, draw)
        x, lengths = padded(inputs)
        return SequenceBatch(x, lengths, examples.targets, examples.weights, self._counts(examples))

    # Steps

    def new_optimizer(self, options: Options) -> _native.Optimizer:
        """Return an optimizer of the weights, at its start."""
        return options.new_optimizer(self.network.num_parameters, self.network.dtype)

    def learn(
        self,
        batch: SequenceBatch,
        state: State | None,
        optimizer: _native.Optimizer,
        lr: float,
        seed: int,  # noqa: ARG002 - the network has it
        update: int,
    ) -> tuple[Outcome, State | None]:
        """Make one training step; :class:`seqrs.training.Trainer` calls this."""
        output, _, tape = self.network.forward(batch.inputs, lengths=batch.lengths, step=update)
        loss, gradients = weighted(self._losses, output, batch)
        return Known(loss, self._step(tape, gradients, optimizer, lr)), state

    def _step(self, tape: Any, gradients: list[Floats], optimizer: _native.Optimizer, lr: float) -> float:
        """Change the weights, given the gradients of :meth:`_losses`; return the norm before clipping."""
        (gradient,) = gradients
        return float(self.network.network.apply(self.network.backward(tape, gradient).flat, optimizer, lr))

    def _losses(self, output: Floats, batch: SequenceBatch) -> tuple[float, list[Floats]]:
        """Return what training makes small, all sequences alike, and its gradients: see :func:`weighted`."""
        loss, gradient = self._loss(output, batch)
        return loss, [gradient]

    def _validate(self, examples: Examples, pause: Callable[[], None]) -> dict[str, float]:
        total, count = 0.0, 0
        outputs: list[Any] = [None] * len(examples.inputs)
        for rows in groups(examples.lengths):
            pause()
            batch = self._batch(examples.take(rows))
            output, _ = self.network(batch.inputs, lengths=batch.lengths)
            total += self._loss(output, batch)[0] * batch.scored
            count += batch.scored
            for row, own in zip(rows, apart(output, batch.lengths), strict=True):
                outputs[row] = own
        score = self._score_outputs(outputs, examples)
        return {"loss": total / max(count, 1)} | ({} if score is None else {"score": score})


def weighted(
    loss: Callable[[Floats, SequenceBatch], tuple[float, Sequence[Floats]]],
    output: Floats,
    batch: SequenceBatch,
) -> tuple[float, list[Floats]]:
    """Return Σ w_i n_i l_i / Σ n_i of a batch, l_i the mean loss of a sequence over its n_i parts; and its gradients.

    `loss` returns the mean over all parts of some sequences, and gradients: by the output, sequence by
    sequence, and by what all sequences have in common. Sequences of equal weight go together.
    """
    if (batch.weights == 1).all():
        value, own = loss(output, batch)
        return value, list(own)
    total, gradients = 0.0, list[Any]()
    for weight in np.unique(batch.weights):
        rows = np.flatnonzero(batch.weights == weight)
        part = batch.take(rows)
        value, own = loss(cast(Floats, np.ascontiguousarray(output[rows])), part)
        share = float(weight) * part.scored / max(batch.scored, 1)
        total += share * value
        gradients = gradients or [np.zeros_like(array) for array in (output, *own[1:])]
        gradients[0][rows] = cast(Any, own[0]) * share
        for sums, shared in zip(gradients[1:], own[1:], strict=True):
            sums += cast(Any, shared) * share
    return total, gradients
