"""The training loop: epochs of steps, validation, the best model so far, and a safe stop at any time."""

import math
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import FrameType, TracebackType
from typing import Any, Protocol

from seqrs import _check, _native
from seqrs._check import Floats
from seqrs.callbacks import Callback
from seqrs.exceptions import DivergenceError

OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")
SCHEDULES = ("cosine", "constant", "step")
MONITORS = ("loss", "score")

# A loss so many times that of the untrained model will not come back.
_HOPELESS = 10.0
# Seconds after which the weights to return to, if the loss explodes, are taken anew.
_KEEP_EVERY = 30.0


@dataclass(frozen=True)
class Options:
    """What a run is to do; :meth:`seqrs.LanguageModel.fit` documents each.

    `seq_len` is None where sequences are not cut into windows. `monitor` says what makes an epoch
    the best: the lowest validation ``"loss"``, or the highest validation ``"score"``.
    """

    epochs: int
    seq_len: int | None
    batch_size: int
    optimizer: str
    lr: float
    schedule: str
    warmup: int
    step_size: int
    gamma: float
    momentum: float
    weight_decay: float
    clip: float | None
    patience: int | None
    seed: int
    monitor: str = "loss"

    def __post_init__(self) -> None:
        _check.integer("epochs", self.epochs, minimum=0)
        if self.seq_len is not None:
            _check.integer("seq_len", self.seq_len, minimum=1)
        _check.integer("batch_size", self.batch_size, minimum=1)
        _check.choice("optimizer", self.optimizer, OPTIMIZERS)
        _check.number("lr", self.lr, above=0.0)
        _check.choice("schedule", self.schedule, SCHEDULES)
        _check.integer("warmup", self.warmup, minimum=0)
        _check.integer("step_size", self.step_size, minimum=1)
        _check.number("gamma", self.gamma, above=0.0)
        _check.probability("momentum", self.momentum)
        _check.number("weight_decay", self.weight_decay, minimum=0.0)
        if self.clip is not None:
            _check.number("clip", self.clip, above=0.0)
        if self.patience is not None:
            _check.integer("patience", self.patience, minimum=1)
        _check.choice("monitor", self.monitor, MONITORS)

    def new_optimizer(self, size: int, dtype: str) -> _native.Optimizer:
        """Return an optimizer of so many numbers, at its start."""
        return _native.Optimizer(
            size,
            dtype,
            self.optimizer,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            clip_norm=self.clip,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the options as values for JSON."""
        return asdict(self) | {"seed": str(self.seed)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Options":
        """Return the options that :meth:`to_json` wrote."""
        return cls(**(values | {"seed": int(values["seed"])}))


@dataclass
class Progress:
    """How far a run is: with the weights, the optimizer and the carried state, all that resuming needs.

    Attributes
    ----------
    epoch, step : int
        The position in the data: the number of the next step within its epoch, both from 0.
    update : int
        Number of updates so far, over all epochs.
    loss_sum, scored : float, int
        Sum of the losses of the epoch so far, and the number of tokens it is over.
    first_loss : float or None
        Loss of the first step, before any update.
    best_loss, best_epoch : float or None, int
        The lowest validation loss so far (of a run that goes by its score: minus the highest), and
        the epoch, from 1, that reached it.
    waited : int
        Epochs since then.
    finished : bool
        Whether there is nothing left to do.
    history : list of dict
        For each epoch its ``"epoch"``, from 1, its ``"loss"``, and its ``"validation_loss"`` if
        there is any, of a language model in nats a token; and of a model that has one its
        ``"validation_score"``.
    """

    epoch: int = 0
    step: int = 0
    update: int = 0
    loss_sum: float = 0.0
    scored: int = 0
    first_loss: float | None = None
    best_loss: float | None = None
    best_epoch: int = 0
    waited: int = 0
    finished: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)

    _COUNTERS = ("update", "scored")

    def to_json(self) -> dict[str, Any]:
        """Return the progress as values for JSON."""
        return asdict(self) | {name: str(getattr(self, name)) for name in self._COUNTERS}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Progress":
        """Return the progress that :meth:`to_json` wrote."""
        return cls(**(values | {name: int(values[name]) for name in cls._COUNTERS}))


class Batch(Protocol):
    """What one training step reads."""

    @property
    def fresh(self) -> bool:
        """Whether the recurrent state starts anew here, rather than from where the step before ended."""

    @property
    def scored(self) -> int:
        """Over how many tokens, or whatever the model counts in, its loss is the mean."""


class Batches(Protocol):
    """Where the data come from: a function of the position alone."""

    def steps(self, epoch: int) -> int:
        """Return the number of steps in an epoch."""

    def batch(self, epoch: int, step: int) -> Batch:
        """Return what a step reads."""


State = tuple[Floats, ...]


class Trainable(Protocol):
    """What the loop asks of a model: what a step does, and where its weights are."""

    #: What losses are the mean over, such as ``"tokens"``.
    unit: str

    def new_optimizer(self, options: Options) -> _native.Optimizer:
        """Return an optimizer of the model's weights, at its start."""

    def learn(
        self, batch: Any, state: State | None, optimizer: _native.Optimizer, lr: float, seed: int, update: int
    ) -> tuple[float, float, State | None]:
        """Make one step; return its mean loss, the gradient's norm before clipping, and the state after.

        Where loss or norm is not finite, the weights stay as they are.
        """

    def weights(self) -> dict[str, Floats]:
        """Return a copy of all that is trained."""

    def set_weights(self, weights: Mapping[str, Floats]) -> None:
        """Put back some of what :meth:`weights` returned."""

    def save(self, path: str, weights: Mapping[str, Floats] | None = None) -> None:
        """Write the model, with its own weights or with others."""


class Trainer:
    """One run of training, from its start or from where another one stopped.

    Parameters
    ----------
    model : Trainable
        It is trained.
    batches : Batches
        The data.
    options : Options
        What to do.
    validate : callable, optional
        Returns the validation ``"loss"``, and where there is one the ``"score"``; calls its argument
        now and then, where it may be interrupted.
    callbacks : sequence of Callback
        Told of what happens.
    progress : Progress, optional
        How far the run is. Default: at its start.

    Attributes
    ----------
    optimizer : Optimizer
        Its moving averages.
    state : tuple of ndarray, or None
        The recurrent state carried to the next step.
    best : dict of str to ndarray, or None
        The weights of the lowest validation loss so far.
    loss, norm, lr, tokens : float, float, float, int
        Of the last step: mean loss a token (or whatever the model's `unit` is), norm of the gradient
        before clipping, learning rate, number of tokens.
    improved : bool
        Whether the last epoch gave the best model so far. Without validation the last is best.
    total : int
        Number of updates in all epochs.
    ending : str
        ``""`` while running, then ``"finished"``, ``"interrupted"``, ``"diverged"`` or ``"failed"``.
    """

    def __init__(
        self,
        model: Trainable,
        batches: Batches,
        options: Options,
        validate: Callable[[Callable[[], None]], Mapping[str, float]] | None = None,
        callbacks: Sequence[Callback] = (),
        progress: Progress | None = None,
    ) -> None:
        self.model = model
        self.batches = batches
        self.options = options
        self.validate = validate
        self.callbacks = callbacks
        self.progress = progress or Progress()
        self.optimizer = model.new_optimizer(options)
        self.state: State | None = None
        self.best: dict[str, Floats] | None = None
        self.loss = self.norm = self.lr = math.nan
        self.tokens = 0
        self.improved = False
        self.total = sum(batches.steps(epoch) for epoch in range(options.epochs))
        self.ending = ""
        self._interrupt = _Interrupt()
        self._good: dict[str, Floats] | None = None

    def run(self) -> None:
        """Train to the end.

        Raises
        ------
        KeyboardInterrupt
            On Ctrl-C, between two steps: what the model and this object hold then is complete.
            A second Ctrl-C does not wait.
        DivergenceError
            If the loss or the gradient is not finite, or the loss has become hopeless. The
            weights are then the best so far, or without any, those before it happened.
        """
        self.ending = "failed"  # unless it ends in one of the other ways
        try:
            with self._interrupt:
                self._tell("on_start")
                while not self._done():
                    self._run_epoch()
                self.progress.finished = True
                self.ending = "finished"
        except _Interrupted:
            self.ending = "interrupted"
            raise KeyboardInterrupt from None
        except DivergenceError:
            self.ending = "diverged"
            self.model.set_weights(self.best or self._good or {})
            raise
        finally:
            self._tell("on_end")

    def _done(self) -> bool:
        patience = self.options.patience
        return self.progress.epoch >= self.options.epochs or (
            patience is not None and self.progress.waited >= patience
        )

    def _run_epoch(self) -> None:
        progress = self.progress
        kept_at = -math.inf
        for step in range(progress.step, self.batches.steps(progress.epoch)):
            self._interrupt.check()
            candidate = None
            if time.monotonic() - kept_at > _KEEP_EVERY:
                candidate, kept_at = self.model.weights(), time.monotonic()
            self._run_step(self.batches.batch(progress.epoch, step))
            self._good = candidate or self._good  # their loss is known now, and is finite
            self._tell("on_step")
        self._finish_epoch()

    def _run_step(self, batch: Batch) -> None:
        options, progress = self.options, self.progress
        self.lr = _native.learning_rate(
            options.schedule,
            options.lr,
            progress.update,
            self.total,
            warmup=options.warmup,
            step_size=options.step_size * self.batches.steps(progress.epoch),
            gamma=options.gamma,
        )
        self.loss, self.norm, state = self.model.learn(
            batch, None if batch.fresh else self.state, self.optimizer, self.lr, options.seed, progress.update
        )
        self._refuse_divergence("loss", self.loss)
        if progress.first_loss is None:
            progress.first_loss = self.loss
        self.tokens = batch.scored
        self.state = state
        progress.loss_sum += self.loss * self.tokens
        progress.scored += self.tokens
        progress.step += 1
        progress.update += 1

    def _finish_epoch(self) -> None:
        progress = self.progress
        result: dict[str, Any] = {"epoch": progress.epoch + 1}
        result["loss"] = progress.loss_sum / max(progress.scored, 1)
        self.improved = True
        if self.validate is not None:
            found = self.validate(self._interrupt.check)
            self._refuse_divergence("validation loss", found["loss"])
            result |= {f"validation_{what}": value for what, value in found.items()}
            value = found["loss"] if self.options.monitor == "loss" else -found["score"]
            self.improved = progress.best_loss is None or value < progress.best_loss
            if self.improved:
                progress.best_loss, self.best = value, self.model.weights()
        if self.improved:
            progress.best_epoch, progress.waited = progress.epoch + 1, 0
        else:
            progress.waited += 1
        progress.history.append(result)
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.loss_sum, progress.scored = 0.0, 0
        progress.finished = self._done()
        self._tell("on_epoch")

    def _refuse_divergence(self, what: str, loss: float) -> None:
        progress = self.progress
        if not math.isfinite(loss):
            problem = f"the {what} is {loss}"
        elif what == "loss" and not math.isfinite(self.norm):
            problem = f"the gradient's norm is {self.norm}"
        elif progress.first_loss is not None and loss > _HOPELESS * max(progress.first_loss, 1.0):
            problem = f"the {what} is {loss:.4g}, after {progress.first_loss:.4g} at the start"
        else:
            return
        raise DivergenceError(
            f"training diverged at update {progress.update + 1} (epoch {progress.epoch + 1}): {problem}; "
            f"the learning rate was {self.lr:.3g}, try a smaller one. The last good weights are kept"
        )

    def _tell(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)


class _Interrupted(Exception):  # noqa: N818 - no error: someone asked for it
    pass


class _Interrupt:
    """Makes the first Ctrl-C wait for a moment between two steps."""

    def __init__(self) -> None:
        self._requested = False
        self._installed = False

    def check(self) -> None:
        """Stop here if Ctrl-C was pressed."""
        if self._requested:
            raise _Interrupted

    def __enter__(self) -> None:
        # Signals reach the main thread alone, and a handler of the program's own stays.
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._request)
            self._installed = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _request(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a handler's arguments
        self._requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
