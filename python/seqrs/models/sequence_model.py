"""What the models of sequences have in common: data in people's terms, training, files, scikit-learn's protocol."""

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check, _native, nn
from seqrs._check import Floats
from seqrs.batches import SequenceBatches, hold_out
from seqrs.callbacks import Callback, progress_display
from seqrs.exceptions import ModelFileError
from seqrs.io import ModelFile
from seqrs.models.examples import Examples, SequenceBatch, apart, groups, sample_weights, seed_of
from seqrs.models.inputs import Reader, Sequence_, padded
from seqrs.models.sequence_options import Seeds, SequenceOptions
from seqrs.text.tokenizers import Tokenizer
from seqrs.training import Options, Progress, State, Trainer

Model = TypeVar("Model", bound="SequenceModel")


class SequenceModel(SequenceOptions):
    """Base class of the models of sequences: examples in, a network trained on them, and its outputs.

    A model says what it predicts (``_learn_targets``, ``_read_targets``), with which network
    (``_blocks``), and what the loss is (``_loss``); the rest is here.

    Attributes
    ----------
    network : seqrs.nn.Sequential
        The network with its weights, once fitted.
    reader : Reader
        What it reads: vocabulary, or scales of the features.
    history : list of dict
        For each epoch its ``"epoch"``, ``"loss"``, and if there is validation its
        ``"validation_loss"`` and, of a model that has one, ``"validation_score"``.
    """

    kind: ClassVar[str]
    unit = "sequences"
    network: Any  # an nn.Sequential, unless a model makes another
    _estimator_type: ClassVar[str | None] = None  # scikit-learn's: "classifier", "regressor"

    def __init__(self, **options: Any) -> None:
        self._progress = Progress()
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
        """Return the mean loss of a batch, and its gradient by the network's output."""

    def _score_outputs(self, outputs: list[Floats], examples: Examples) -> float | None:  # noqa: ARG002
        """Return how good outputs are, more is better; None for a model without a score."""
        return None

    def _targets_to_json(self) -> dict[str, Any]:
        """Return what :meth:`_learn_targets` learned, as values for JSON."""
        return {}

    def _targets_from_json(self, values: Mapping[str, Any]) -> None:
        """Take what :meth:`_targets_to_json` wrote."""

    def _counts(self, targets: list[Any]) -> NDArray[np.int64]:
        """Return in how many parts of the mean loss each target has: one, unless a model says otherwise."""
        return np.ones(len(targets), np.int64)

    def _weigh(self, examples: Examples) -> NDArray[np.float64]:
        """Return how much each training example counts, from its own weight and its target."""
        return examples.weights

    # Training

    def fit(
        self: Model,
        X: Any,
        y: Any,
        *,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        validation: tuple[Any, Any] | float | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Model:
        """Learn from examples, with new weights.

        Parameters
        ----------
        X : list of sequences, or a padded array
            A sequence is an array or list of floats (T, F), or (T,) for one feature; a str, which
            is cut into tokens; a list of tokens (str); or integers (T,), which are numbers of
            tokens. They may be of different length. An array (B, T) or (B, T, F) is B sequences.
        y : list or array
            What is to be predicted of each.
        lengths : array of int, shape (B,), optional
            For a padded array: how many steps of each sequence count. Default: all.
        sample_weight : array of shape (B,), optional
            How much each example counts in the gradients, at least 0. Default: alike.
        validation : (X, y), float or None
            What to validate with, in the place of the option of this name.
        callbacks : sequence of Callback
            Told of each step and epoch; see :class:`seqrs.callbacks.Callback`.

        Returns
        -------
        SequenceModel
            This model.

        Raises
        ------
        ValueError, TypeError
            If the data or an option does not fit; the message says which sequence.
        DivergenceError
            If the loss explodes. The model then has the last good weights.
        KeyboardInterrupt
            On Ctrl-C, between two steps. The model then has the weights so far.
        """
        self._check_params()
        seed = seed_of(self.random_state)
        self._ready = False  # what follows replaces, piece by piece, what an earlier fit has learned
        reader, inputs = self._learn_reader(X, lengths)
        self._learn_targets(y, inputs)
        training = Examples(
            inputs, self._targets_of("y", y, inputs), sample_weights(sample_weight, len(inputs))
        )
        self.reader = reader
        held_out: Examples | None = None
        validation = self.validation if validation is None else validation
        if isinstance(validation, (int, float)):
            training, held_out = self._split(training, validation, seed)
        elif validation is not None:
            held_out = self._examples(validation[0], validation[1], "validation ")
        if self.patience is not None and held_out is None:
            raise ValueError("patience: expected validation data to wait for, got none")
        weights = self._weigh(training)
        # Of mean 1, so that the size of a step does not depend on them.
        weights = weights / np.average(weights, weights=self._counts(training.targets))
        training = Examples(training.inputs, training.targets, weights)
        self._build(seed)
        batches = SequenceBatches(
            training.lengths,
            batch_size=self.batch_size,
            seed=seed,
            make=lambda rows, epoch, step: self._batch(
                training.take(rows), np.random.default_rng([seed, epoch, step])
            ),
        )
        run = Trainer(
            self,
            batches,
            self._run_options(seed),
            None if held_out is None else lambda pause: self._validate(held_out, pause),
            [progress_display(), *callbacks] if self.progress else callbacks,
        )
        self._progress = run.progress
        self._ready = True
        run.run()
        self.set_weights(run.best or {})
        return self

    def _learn_reader(self, X: Any, lengths: ArrayLike | None) -> tuple[Reader, list[Sequence_]]:
        """Return what reads sequences like those of the training, and what it reads of them."""
        return Reader.learn(
            X,
            lengths,
            level=self.level,
            min_count=self.min_count,
            max_vocab=self.max_vocab,
            standardize=self._standardizes,
            dtype=self._dtype,
        )

    def _build(self, seed: int) -> None:
        count = iter(range(1 << 20))
        blocks = self._blocks(lambda: (seed + next(count)) % 2**64)
        self.network = nn.Sequential(*blocks, seed=seed)

    def _split(self, examples: Examples, fraction: float, seed: int) -> tuple[Examples, Examples | None]:
        if not _check.probability("validation", fraction):
            return examples, None
        training, held = hold_out(len(examples.inputs), fraction, seed)
        if not (training and held):
            raise ValueError(
                f"validation: expected enough examples to hold out {fraction:g} of them, got {len(examples.inputs)}"
            )
        return examples.take(training), examples.take(held)

    def _targets_of(self, name: str, y: Any, inputs: list[Sequence_]) -> list[Any]:
        targets = self._read_targets(name, y, inputs)
        if len(targets) != len(inputs):
            raise ValueError(f"{name}: expected one for each of {len(inputs)} sequences, got {len(targets)}")
        return targets

    def _examples(self, X: Any, y: Any, where: str = "", lengths: ArrayLike | None = None) -> Examples:
        inputs = self.reader.read(X, lengths, f"{where}X")
        return Examples(inputs, self._targets_of(f"{where}y", y, inputs), np.ones(len(inputs)))

    @property
    def _standardizes(self) -> bool:
        """Whether features are standardised."""
        return self.standardize

    def _augmented(self, inputs: list[Sequence_], draw: np.random.Generator) -> list[Sequence_]:
        """Return training inputs changed at random, as the options say."""
        if self.augment is not None:
            inputs = [self.augment(row, draw) for row in inputs]
        return self._noisy(inputs, draw)

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
        scored = int(self._counts(examples.targets).sum())
        return SequenceBatch(x, lengths, examples.targets, examples.weights, scored)

    def learn(
        self,
        batch: SequenceBatch,
        state: State | None,
        optimizer: _native.Optimizer,
        lr: float,
        seed: int,  # noqa: ARG002 - the network has it
        update: int,
    ) -> tuple[float, float, State | None]:
        """Make one training step; :class:`seqrs.training.Trainer` calls this."""
        output, _, tape = self.network.forward(batch.inputs, lengths=batch.lengths, step=update)
        loss, gradient = self._loss(output, batch)
        if (batch.weights != 1).any():
            factors = cast(Floats, batch.weights.reshape(-1, *[1] * (gradient.ndim - 1)))
            gradient = cast(Floats, (gradient * factors).astype(gradient.dtype))
        flat = self.network.backward(tape, gradient).flat
        assert flat is not None
        return loss, self.network.network.apply(flat, optimizer, lr), state

    def new_optimizer(self, options: Options) -> _native.Optimizer:
        """Return an optimizer of the weights, at its start."""
        return options.new_optimizer(self.network.num_parameters, self.network.dtype)

    def weights(self) -> dict[str, Floats]:
        """Return a copy of all that is trained."""
        weights: dict[str, Floats] = self.network.state_dict()
        return weights

    def set_weights(self, weights: Mapping[str, Floats]) -> None:
        """Put back some of what :meth:`weights` returned."""
        self.network.network.set(dict(weights))

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
        if score is None and self.monitor == "score":
            raise ValueError(f'monitor: expected "loss", because {type(self).__name__} has no score to go by')
        return {"loss": total / max(count, 1)} | ({} if score is None else {"score": score})

    # Use

    def _outputs(self, X: Any, lengths: ArrayLike | None = None) -> list[Floats]:
        """Return the network's output for each sequence: (O,), or (T, O) without pooling."""
        self._check_fitted()
        return self._run(self.reader.read(X, lengths))

    def _run(self, inputs: list[Sequence_]) -> list[Floats]:
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

    @property
    def history(self) -> list[dict[str, Any]]:
        """The results of each epoch."""
        return [dict(result) for result in self._progress.history]

    def state_dict(self) -> dict[str, Floats]:
        """Return a copy of every weight by PyTorch's name.

        Raises
        ------
        RuntimeError
            If the model is not fitted.
        """
        self._check_fitted()
        weights: dict[str, Floats] = self.network.state_dict()
        return weights

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Set every weight, as :meth:`seqrs.nn.Layer.load_state_dict` does.

        Raises
        ------
        ValueError, TypeError
            If names, shapes or dtypes do not fit. No weight has changed then.
        RuntimeError
            If the model is not fitted.
        """
        self._check_fitted()
        self.network.load_state_dict(state_dict)

    # Files

    def save(self, path: str | os.PathLike[str], weights: Mapping[str, Floats] | None = None) -> None:
        """Write the model to a file, for :func:`seqrs.load`.

        It is a safetensors file, holds no code, and replaces an older one whole or not at all.

        Parameters
        ----------
        path : str or path
            The file, by custom ``NAME.seqrs``.
        weights : mapping of str to ndarray, optional
            Weights to write in place of the model's own.

        Raises
        ------
        OSError
            If it cannot be written; the older file is still there.
        RuntimeError
            If the model is not fitted.
        """
        self._check_fitted()
        config = self.get_params() | {
            "level": "custom" if not isinstance(self.level, str) else self.level,
            "layer_options": None if self.layer_options is None else dict(self.layer_options),
            "dtype": _check.compute_dtype(self.dtype),
            "augment": None,
            "random_state": str(self.random_state)
            if isinstance(self.random_state, (int, np.integer))
            else None,
        }
        learned = {
            "options": self._options_to_json(config),
            "reader": self.reader.to_json(),
            "targets": self._targets_to_json(),
        }
        tensors = dict(weights or self.weights())
        tensors |= {f"reader.{name}": value for name, value in self.reader.tensors().items()}
        vocabulary = "" if self.reader.vocabulary is None else self.reader.vocabulary.to_json()
        ModelFile(self.kind, learned, vocabulary, {"progress": self._progress.to_json()}, tensors).write(path)

    @staticmethod
    def _options_to_json(options: dict[str, Any]) -> dict[str, Any]:
        """Return the options as values for JSON; a model with others changes them here."""
        return options

    @staticmethod
    def _options_from_json(options: dict[str, Any]) -> dict[str, Any]:
        """Return the options that :meth:`_options_to_json` changed."""
        return options

    @classmethod
    def from_file(
        cls: type[Model],
        file: ModelFile,
        name: str,
        *,
        device: str | None = None,
        tokenizer: Tokenizer | None = None,
    ) -> Model:
        """Make the model that a file holds; :func:`seqrs.load` is the way to call it."""
        if device is not None:
            _check.device(device)
        try:
            options = dict(file.config["options"])
            if options.keys() != set(cls._option_names()):
                raise ValueError("its options are not those of this version")
            if options["random_state"] is not None:
                options["random_state"] = int(options["random_state"])
            if options["level"] == "custom":
                # Needed where text was read with it; for other data it never had an effect.
                options["level"] = tokenizer if tokenizer is not None else "word"
            options = cls._options_from_json(options) | ({} if device is None else {"device": device})
            model = cls(**options)
            model.reader = Reader.from_json(
                file.config["reader"], file.vocabulary, file.part("reader."), tokenizer
            )
            model._targets_from_json(file.config["targets"])
            model._progress = Progress.from_json(file.training["progress"])
            if model._least_size() > sum(
                tensor.size for tensor in file.tensors.values()
            ):  # before memory is asked for
                raise ValueError("its parts do not fit together")
            model._build(0)
            model._ready = True
            model.load_state_dict(
                {key: value for key, value in file.tensors.items() if not key.startswith("reader.")}
            )
        except LookupError as error:
            if not isinstance(error, KeyError):
                raise ValueError(f"{name}: {error}") from None
            raise ModelFileError(f"{name}: the model is damaged: {error} is missing") from None
        except (TypeError, ValueError) as error:
            raise ModelFileError(f"{name}: the model is damaged: {error}") from None
        return model

    def _least_size(self) -> int:
        """Return a number of weights that the network has at least."""
        width = self.reader.size if not self.reader.reads_tokens else self.embedding_size or self.reader.size
        return self.hidden_size * max(self.num_layers * self.hidden_size, width)

    # scikit-learn's protocol, without scikit-learn

    def __sklearn_is_fitted__(self) -> bool:
        return self._ready

    def __sklearn_tags__(self) -> Any:
        # Only scikit-learn calls this, so that it is there.
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

        kind = self._estimator_type
        return Tags(
            estimator_type=kind,
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags() if kind == "classifier" else None,
            regressor_tags=RegressorTags() if kind == "regressor" else None,
            input_tags=InputTags(two_d_array=True, three_d_array=True, string=True),
        )
