"""What the models of sequences have in common: data in people's terms, fitting, scikit-learn's protocol."""

import os
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from seqrs import _check
from seqrs._check import Floats
from seqrs.batches import SequenceBatches, hold_out
from seqrs.callbacks import Callback, Checkpoint, check_told, progress_display
from seqrs.models.examples import Examples, sample_weights, seed_of
from seqrs.models.inputs import Reader, Sequence_, check_padding
from seqrs.models.saved import reading
from seqrs.models.saved_sequence_model import SavedSequenceModel
from seqrs.models.sequence_options import Augment
from seqrs.text.tokenizers import Tokenizer
from seqrs.training import Options, Trainer, best_weights

Model = TypeVar("Model", bound="SequenceModel")
#: What to validate with: (X, y), a share of the training data, or None.
Validation = tuple[Any, Any] | float | None


class SequenceModel(SavedSequenceModel):
    """Base class of the models of sequences: examples in, a network trained on them, and its outputs.

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

    # Training

    def fit(
        self: Model,
        X: Any,
        y: Any,
        *,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        validation: Validation = None,
        checkpoint: str | os.PathLike[str] | None = None,
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
            How much each example counts in the loss, at least 0. Default: alike.
        validation : (X, y), float or None
            What to validate with, in the place of the option of this name.
        checkpoint : str or path, optional
            Keep the best model in this file, and in ``NAME.last.seqrs`` beside it all that
            :meth:`resume` needs, written every 30 seconds and after each epoch.
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
        OSError
            If a checkpoint cannot be written.
        DivergenceError
            If the loss explodes. The model then has the last good weights.
        KeyboardInterrupt
            On Ctrl-C, between two steps. The model then has the weights so far, and the
            checkpoint, if there is one, is complete.
        """
        self._check_params()
        check_told(callbacks, checkpoint)
        seed = seed_of(self.random_state)
        self._ready = False  # what follows replaces, piece by piece, what an earlier fit has learned
        reader, inputs = self._learn_reader(X, lengths)
        if self._steps_stay:
            check_padding("y", y, X, inputs)
        self._learn_targets(y, inputs)
        self.reader = reader
        training, held_out = self._divided(inputs, y, sample_weight, validation, seed)
        self._build(seed)
        self._keep_params()
        run = self._new_run(training, held_out, self._run_options(seed))
        self._progress = run.progress
        self._ready = True
        return self._train(run, checkpoint, callbacks)

    @classmethod
    def resume(
        cls: type[Model],
        checkpoint: str | os.PathLike[str],
        X: Any,
        y: Any = None,
        *,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        validation: Validation = None,
        output: str | os.PathLike[str] | None = None,
        device: str | None = None,
        tokenizer: Tokenizer | tuple[Tokenizer, Tokenizer] | None = None,
        augment: Augment | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Model:
        """Go on with a training that was stopped, as if it never had been, bit for bit.

        Where it had come to its end, only the model is read.

        Parameters
        ----------
        checkpoint : str or path
            The ``NAME.last.seqrs`` that :meth:`fit` wrote.
        X, y, lengths, sample_weight, validation
            What :meth:`fit` was called with. What is not the same is refused.
        output : str or path, optional
            Where the best model is kept; its checkpoint lies beside it. Default: nowhere, and
            no checkpoints are written.
        device : str, optional
            As for :func:`seqrs.load`. The bits are the same only on the same device.
        tokenizer : Tokenizer, optional
            As for :func:`seqrs.load`.
        augment : callable, optional
            The option of this name, where there was one: no file holds it.
        callbacks : sequence of Callback
            As for :meth:`fit`.

        Returns
        -------
        SequenceModel
            With the weights of the best epoch, or without validation of the last.

        Raises
        ------
        ModelFileError
            If the file is no checkpoint of such a model, or damaged.
        ValueError
            If the data are not the same as before.
        OSError, DivergenceError, KeyboardInterrupt
            As :meth:`fit`.

        Examples
        --------
        >>> import seqrs
        >>> X, y = ["la la", "do do", "la do", "do la"], ["la", "do", "la", "do"]
        >>> model = seqrs.SequenceClassifier(hidden_size=4, epochs=3, random_state=0)
        >>> _ = model.fit(X, y, checkpoint="model.seqrs")
        >>> again = seqrs.SequenceClassifier.resume("model.last.seqrs", X, y)
        >>> again.history == model.history
        True
        """
        check_told(callbacks, output, "output")
        model, file, name = cls._from_checkpoint(checkpoint, device, tokenizer)
        if model._progress.finished:
            model.set_weights(best_weights(file) or {})
            return model
        with reading(name, "the training state"):
            options, before = Options.from_json(file.training["options"]), dict(file.training["data"])
        if (augment is not None) != bool(before.get("augmented")):
            told = "the function that training began with" if augment is None else "None, as in training"
            raise ValueError(f"augment: expected {told}, got {_check.describe(augment)}")
        model.augment = augment
        inputs = model._read(X, lengths)
        training, held_out = model._divided(inputs, y, sample_weight, validation, options.seed)
        if model._data != before:
            raise ValueError("X, y, validation: these are not the examples that this training began with")
        run = model._new_run(training, held_out, options)
        run.progress = model._progress
        with reading(name, "the training state"):
            run.restore(file)
        return model._train(run, output, callbacks)

    def _divided(
        self,
        inputs: list[Sequence_],
        y: Any,
        sample_weight: ArrayLike | None,
        validation: Validation,
        seed: int,
    ) -> tuple[Examples, Examples | None]:
        """Return what to train on, with weights of mean 1, and what to validate with."""
        weights = sample_weights(sample_weight, len(inputs))
        training = Examples(inputs, self._targets_of("y", y, inputs), weights)
        held_out: Examples | None = None
        validation = self.validation if validation is None else validation
        if isinstance(validation, (int, float)):
            training, held_out = self._split(training, validation, seed)
        elif validation is not None:
            if not isinstance(validation, (tuple, list)) or len(validation) != 2:
                got = _check.describe(validation)
                raise TypeError(
                    f"validation: expected a pair (X, y), a share of the examples, or None, got {got}"
                )
            held_out = self._examples(validation[0], validation[1], "validation ")
        if self.patience is not None and held_out is None:
            raise ValueError("patience: expected validation data to wait for, got none")
        self._data = {
            "training": training.digest(),
            "validation": None if held_out is None else held_out.digest(),
            "augmented": self.augment is not None,
        }
        if not training.weights.any():
            raise ValueError("sample_weight: expected some above 0 among the examples to train on, got none")
        weights = self._weigh(training)
        # Of mean 1, so that the size of a step does not depend on them.
        weights = weights / np.average(weights, weights=self._counts(training))
        return Examples(training.inputs, training.targets, weights), held_out

    def _split(self, examples: Examples, fraction: float, seed: int) -> tuple[Examples, Examples | None]:
        if not _check.probability("validation", fraction):
            return examples, None
        training, held = hold_out(len(examples.inputs), fraction, seed)
        if not (training and held):
            raise ValueError(
                f"validation: expected enough examples to hold out {fraction:g} of them, got {len(examples.inputs)}"
            )
        return examples.take(training), examples.take(held)

    def _new_run(self, training: Examples, held_out: Examples | None, options: Options) -> Trainer:
        batches = SequenceBatches(
            training.lengths,
            batch_size=options.batch_size,
            seed=options.seed,
            make=lambda rows, epoch, step: self._batch(
                training.take(rows), np.random.default_rng([options.seed, epoch, step])
            ),
        )
        validate = None if held_out is None else lambda pause: self._validate(held_out, pause)
        return Trainer(self, batches, options, validate)

    def _train(
        self: Model, run: Trainer, checkpoint: str | os.PathLike[str] | None, callbacks: Sequence[Callback]
    ) -> Model:
        run.callbacks = [
            *([progress_display()] if self.progress else []),
            *callbacks,
            *([] if checkpoint is None else [Checkpoint(checkpoint)]),
        ]
        run.run()
        self.set_weights(run.best or {})
        return self

    # Data

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

    def _read(self, X: Any, lengths: ArrayLike | None = None, name: str = "X") -> list[Sequence_]:
        """Return sequences, which are like those of the training, as the network reads them."""
        return self.reader.read(X, lengths, name)

    def _targets_of(self, name: str, y: Any, inputs: list[Sequence_]) -> list[Any]:
        targets = self._read_targets(name, y, inputs)
        if len(targets) != len(inputs):
            raise ValueError(f"{name}: expected one for each of {len(inputs)} sequences, got {len(targets)}")
        return targets

    def _examples(self, X: Any, y: Any, where: str = "", lengths: ArrayLike | None = None) -> Examples:
        inputs = self._read(X, lengths, f"{where}X")
        if self._steps_stay:
            check_padding(f"{where}y", y, X, inputs)
        return Examples(inputs, self._targets_of(f"{where}y", y, inputs), np.ones(len(inputs)))

    @property
    def _standardizes(self) -> bool:
        """Whether features are standardised."""
        return self.standardize

    # Use

    def _outputs(self, X: Any, lengths: ArrayLike | None = None) -> list[Floats]:
        """Return the network's output for each sequence: (O,), or (T, O) without pooling."""
        self._check_fitted()
        return self._run(self._read(X, lengths))

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
