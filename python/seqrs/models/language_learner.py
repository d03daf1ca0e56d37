"""How a language model learns a text: from new weights, or from where a training was stopped."""

import math
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from seqrs import _check, _native
from seqrs.batches import Batch, FileBatches, LineBatches
from seqrs.callbacks import Callback, Checkpoint, Samples, check_told, progress_display
from seqrs.models.saved import reading
from seqrs.models.saved_language_model import SavedLanguageModel
from seqrs.models.scoring import mean_loss
from seqrs.models.text_data import Documents, TextData
from seqrs.text.codec import Codec, tokenizer_of
from seqrs.text.corpora import Text
from seqrs.text.tokenizers import Tokenizer
from seqrs.training import Options, Outcome, State, Trainer, best_weights

Model = TypeVar("Model", bound="LanguageLearner")
# Without a number of epochs, at least so many, and on a small text at least so many updates.
_EPOCHS, _UPDATES = 10, 1500


class LanguageLearner(SavedLanguageModel):
    """A language model as its training sees it."""

    unit = "tokens"
    min_count: int
    max_vocab: int | None
    seed: int | None

    # Training

    def fit(
        self: Model,
        text: Text,
        *,
        validation: Text | float | None = 0.1,
        documents: str = "file",
        epochs: int | None = None,
        seq_len: int = 100,
        batch_size: int = 32,
        optimizer: str = "adam",
        lr: float = 3e-3,
        schedule: str = "cosine",
        warmup: int = 0,
        step_size: int = 1,
        gamma: float = 0.5,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        clip: float | None = 5.0,
        patience: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        sample_every: int | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
    ) -> Model:
        """Learn a text, from new weights.

        Afterwards the model has the weights of the epoch with the lowest validation loss.

        Parameters
        ----------
        text : str, path, or iterable of them
            A file by its path, or the text itself; see :meth:`seqrs.text.Corpus.read`.
        validation : float, text or None, default 0.1
            What the model is validated with after each epoch: a fraction of the text (its end,
            or of many documents some drawn by the seed), or another text. None: nothing, and
            the last weights are the best.
        documents : "file" or "line", default "file"
            What starts from zero. ``"file"``: the text as one stream, through which the state is
            carried from window to window. ``"line"``: each line of a file, or each str of an
            iterable, alone; the model learns where lines end.
        epochs : int, optional
            Passes over the text. Default: 10, and on a small text as many as make 1,500 updates.
        seq_len : int, default 100
            Tokens in a window, at most: how far back gradients reach.
        batch_size : int, default 32
            Windows, or lines, in a step.
        optimizer : "adam", "adamw", "rmsprop" or "sgd", default "adam"
            The update rule.
        lr : float, default 3e-3
            The highest learning rate.
        schedule : "cosine", "constant" or "step", default "cosine"
            How the rate falls: to zero as a cosine; not at all; times `gamma` every `step_size`
            epochs.
        warmup : int, default 0
            Updates over which the rate rises at first.
        step_size, gamma : int, float, default 1, 0.5
            For ``schedule="step"``.
        momentum : float, default 0
            For ``optimizer="sgd"``.
        weight_decay : float, default 0
            Pull of the weights to zero; decoupled for ``"adamw"``.
        clip : float or None, default 5
            The longest gradient, as the norm over all weights; a longer one is shortened to it.
        patience : int, optional
            Stop after so many epochs without a lower validation loss. Default: never.
        checkpoint : str or path, optional
            Keep the best model in this file, and in ``NAME.last.seqrs`` beside it all that
            :meth:`resume` needs, written every 30 seconds and after each epoch.
        sample_every : int, optional
            Show a sample every so many updates; 0: never. Default: ten times in the run if
            `progress`, else never.
        callbacks : sequence of Callback, default ()
            Told of each step and epoch; see :class:`seqrs.callbacks.Callback`.
        progress : bool, default True
            Show loss, tokens a second and time left on standard error: a bar where tqdm is
            installed and the terminal can show it, else lines.

        Returns
        -------
        LanguageModel
            This model.

        Raises
        ------
        ValueError, TypeError
            If an option does not fit, or the text is empty, not UTF-8, or shorter than a window.
        OSError
            If a file cannot be read or a checkpoint cannot be written.
        DivergenceError
            If the loss explodes. The model then has the last good weights.
        KeyboardInterrupt
            On Ctrl-C, between two steps. The model then has the weights so far, and the
            checkpoint, if there is one, is complete.
        """
        self._check_params()
        check_told(callbacks, checkpoint)
        _check_shown(sample_every, progress)
        if patience is not None and not validation and not isinstance(validation, str):
            raise ValueError("patience: expected a validation text to wait for, got validation=None")
        seed = _check.seed(self.seed)
        # Checked before anything is read; the number of epochs may depend on the text.
        options = Options(
            epochs=_EPOCHS if epochs is None else epochs,
            seq_len=seq_len,
            batch_size=batch_size,
            optimizer=optimizer,
            lr=lr,
            schedule=schedule,
            warmup=warmup,
            step_size=step_size,
            gamma=gamma,
            momentum=momentum,
            weight_decay=weight_decay,
            clip=clip,
            patience=patience,
            seed=seed,
        )
        data = TextData.read(text, validation, documents)
        tokenizer = tokenizer_of(self.level)
        training, held_out = data.split(tokenizer, seed)
        codec = Codec.build(
            tokenizer,
            (token for document in training for token in document),
            documents,
            min_count=self.min_count,
            max_size=self.max_vocab,
        )
        batches = _batches(codec, training, options)
        if epochs is None:
            options = replace(options, epochs=max(_EPOCHS, math.ceil(_UPDATES / batches.steps(0))))
        self._codec = codec
        self._keep_params()
        self._build(seed, options.batch_size)
        self._data, self._run_options = data.to_json(), options.to_json()
        run = Trainer(self, batches, options, _validation(self.network, codec, held_out))
        return self._train(run, checkpoint, sample_every, callbacks, progress)

    @classmethod
    def resume(
        cls: type[Model],
        checkpoint: str | os.PathLike[str],
        text: Text | None = None,
        *,
        validation: Text | None = None,
        output: str | os.PathLike[str] | None = None,
        device: str | None = None,
        tokenizer: Tokenizer | None = None,
        sample_every: int | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
    ) -> Model:
        """Go on with a training that was stopped, as if it never had been, bit for bit.

        Where it had come to its end, only the model is read.

        Parameters
        ----------
        checkpoint : str or path
            The ``NAME.last.seqrs`` that :meth:`fit` wrote.
        text, validation : text, optional
            The texts it was trained on. Default: read again from the files they were in.
        output : str or path, optional
            Where the best model is kept; its checkpoint lies beside it. Default: nowhere, and
            no checkpoints are written.
        device : str, optional
            As for :func:`seqrs.load`. The bits are the same only on the same device.
        tokenizer : Tokenizer, optional
            As for :func:`seqrs.load`.
        sample_every, callbacks, progress
            As for :meth:`fit`.

        Returns
        -------
        LanguageModel
            With the weights of the lowest validation loss.

        Raises
        ------
        ModelFileError
            If the file is no checkpoint, or damaged.
        ValueError
            If the texts are not the same as before.
        OSError, DivergenceError, KeyboardInterrupt
            As :meth:`fit`.
        """
        check_told(callbacks, output, "output")
        _check_shown(sample_every, progress)
        model, file, name = cls._from_checkpoint(checkpoint, device, tokenizer)
        if model._progress.finished:
            model.set_weights(best_weights(file) or {})
            return model
        with reading(name, "the training state"):
            options = Options.from_json(file.training["options"])
        data = TextData.read_again(model._data, text, validation)
        codec = model._fitted()
        training, held_out = data.split(codec.tokenizer, options.seed)
        run = Trainer(
            model,
            _batches(codec, training, options),
            options,
            _validation(model.network, codec, held_out),
            progress=model._progress,
        )
        with reading(name, "the training state"):
            run.restore(file)
        return model._train(run, output, sample_every, callbacks, progress)

    def _train(
        self: Model,
        run: Trainer,
        checkpoint: str | os.PathLike[str] | None,
        sample_every: int | None,
        callbacks: Sequence[Callback],
        progress: bool,
    ) -> Model:
        told: list[Callback] = [progress_display()] if progress else []
        if sample_every or (sample_every is None and progress):
            told.append(Samples(sample_every))
        told.extend(callbacks)
        if checkpoint is not None:
            told.append(Checkpoint(checkpoint))
        run.callbacks = told
        self._progress = run.progress
        run.run()
        self.set_weights(run.best or {})
        return self

    # What training asks of a model

    def learn(
        self,
        batch: Batch,
        state: State | None,
        optimizer: _native.Optimizer,
        lr: float,
        seed: int,
        update: int,
    ) -> tuple[Outcome, State | None]:
        """Make one training step; :class:`seqrs.training.Trainer` calls this."""
        return self.network.train_step(
            batch.inputs, batch.targets, batch.lengths, state, optimizer, lr, seed, update
        )

    def new_optimizer(self, options: Options) -> _native.Optimizer:
        """Return an optimizer of the weights, at its start."""
        return options.new_optimizer(self.network.num_parameters, self.network.dtype)


def _check_shown(sample_every: int | None, progress: bool) -> None:
    if sample_every is not None:
        _check.integer("sample_every", sample_every, minimum=0)
    _check.flag("progress", progress)


def _batches(codec: Codec, documents: Documents, options: Options) -> FileBatches | LineBatches:
    numbers = [codec.vocabulary.encode(document) for document in documents]
    window, rows, seed = options.seq_len or 1, options.batch_size, options.seed
    if codec.documents == "line":
        return LineBatches(numbers, seq_len=window, batch_size=rows, seed=seed)
    return FileBatches(numbers[0], seq_len=window, batch_size=rows, seed=seed)


def _validation(
    network: _native.Network, codec: Codec, documents: Documents | None
) -> Callable[[Callable[[], None]], dict[str, float]] | None:
    """Return what computes the validation loss."""
    if documents is None:
        return None
    numbers = [codec.vocabulary.encode(document) for document in documents]
    unseen = sum(int((document < 0).sum()) for document in numbers)
    total = sum(map(len, numbers))
    if unseen == total:
        raise ValueError("validation: expected tokens that are in the training text too, got none")
    if unseen:
        warnings.warn(
            f"validation: {unseen} of {total} tokens are not in the training text; they are not scored",
            stacklevel=3,
        )
    return lambda pause: {"loss": mean_loss(network, numbers, pause)}
