"""The training loop: epochs of steps, validation, the best model so far, and a safe stop at any time."""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from seqrs import _native
from seqrs._check import Floats
from seqrs.exceptions import DivergenceError
from seqrs.io import ModelFile
from seqrs.training.interrupt import Interrupt, Interrupted
from seqrs.training.options import Options
from seqrs.training.progress import Progress
from seqrs.training.trainable import Batch, Batches, Outcome, State, Trainable

# A loss so many times that of the untrained model will not come back.
_HOPELESS = 10.0
# Seconds after which the weights to return to, if the loss explodes, are taken anew.
_KEEP_EVERY = 30.0
# What a checkpoint holds besides the weights.
_OPTIMIZER, _STATE, _BEST = "optimizer.", "state.", "best."


class Callback:
    """Base class of what is told of a run's events; override what you need.

    Each method gets the run, a :class:`seqrs.training.Trainer`: its `progress` (epoch, step,
    history), `loss`, `lr`, `model` and so on. The methods may look at everything, and change
    nothing that training depends on. Each look at `loss`, `norm` or `state` waits for a graphics
    processor, which else works on while the next steps are prepared: look now and then.

    Examples
    --------
    >>> import seqrs
    >>> from seqrs.callbacks import Callback
    >>> class Losses(Callback):
    ...     def __init__(self):
    ...         self.values = []
    ...     def on_step(self, run):
    ...         self.values.append(run.loss)
    >>> losses = Losses()
    >>> model = seqrs.LanguageModel(hidden_size=8, num_layers=1, seed=0)
    >>> _ = model.fit("so it goes. " * 50, epochs=3, seq_len=20, callbacks=[losses], progress=False)
    >>> losses.values[-1] < losses.values[0]
    True
    """

    def on_start(self, run: "Trainer") -> None:
        """Before the first step."""

    def on_step(self, run: "Trainer") -> None:
        """After each step."""

    def on_epoch(self, run: "Trainer") -> None:
        """After each epoch and its validation."""

    def on_end(self, run: "Trainer") -> None:
        """At the end, whichever it is: ``run.ending`` says."""


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
    best : dict of str to ndarray, or None
        The weights of the lowest validation loss so far.
    loss, norm, lr, tokens : float, float, float, int
        Of the last step: mean loss a token (or whatever the model's `unit` is), norm of the gradient
        before clipping, learning rate, number of tokens. Where the loss is not known yet, looking at it
        or at the norm waits for it, and may find that training has diverged (`DivergenceError`).
    state : tuple of ndarray, or None
        The recurrent state carried to the next step; a copy.
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
        self.best: dict[str, Floats] | None = None
        self.lr = math.nan
        self.tokens = 0
        self.improved = False
        self.total = sum(batches.steps(epoch) for epoch in range(options.epochs))
        self.ending = ""
        self._interrupt = Interrupt()
        self._good: dict[str, Floats] | None = None
        self._state: State | None = None
        self._loss = self._norm = math.nan
        self._begun: deque[_Begun] = deque()

    @property
    def loss(self) -> float:
        """Mean loss of the last step."""
        self._look()
        return self._loss

    @property
    def norm(self) -> float:
        """Norm of its gradient before clipping."""
        self._look()
        return self._norm

    @property
    def state(self) -> tuple[Floats, ...] | None:
        """The recurrent state carried to the next step; a copy."""
        return None if self._state is None else tuple(self._state)

    def run(self) -> None:
        """Train to the end.

        Raises
        ------
        KeyboardInterrupt
            On Ctrl-C, between two steps: what the model and this object hold then is complete.
            A second Ctrl-C does not wait.
        DivergenceError
            If the loss or the gradient is not finite, or the loss has become hopeless. The
            weights are then the best so far, or without any, those before it happened. A graphics
            processor is asked every 16 steps, and before whatever is kept or shown: it is up to 15
            steps further then, and the error names the step that diverged.
        """
        self.ending = "failed"  # unless it ends in one of the other ways
        try:
            with self._interrupt:
                self._tell("on_start")
                try:
                    while not self._done():
                        self._run_epoch()
                except Interrupted:
                    self._look()
                    raise
                self.progress.finished = True
                self.ending = "finished"
        except Interrupted:
            self.ending = "interrupted"
            raise KeyboardInterrupt from None
        except DivergenceError:
            self.ending = "diverged"
            self.model.set_weights(self.best or self._good or {})
            raise
        finally:
            self._begun.clear()  # of one that failed
            self._tell("on_end")

    def checkpoint(self) -> tuple[dict[str, Floats], dict[str, Any]]:
        """Return what a file needs beside model and progress for a run to go on from here: arrays, and JSON."""
        self._look()
        tensors = {f"{_OPTIMIZER}{name}": value for name, value in self.optimizer.state().items()}
        tensors |= {f"{_STATE}{number}": value for number, value in enumerate(self.state or ())}
        tensors |= {f"{_BEST}{name}": value for name, value in (self.best or {}).items()}
        return tensors, {
            "options": self.options.to_json(),
            "optimizer_steps": str(self.optimizer.steps),
        }

    def restore(self, file: ModelFile) -> None:
        """Go on from where the run was whose :meth:`checkpoint` a file has; model and progress are as then."""
        self.optimizer.load_state(int(file.training["optimizer_steps"]), file.part(_OPTIMIZER))
        # Flat, as the core takes it; files of older versions have the same numbers as (L, B, H).
        self._state = tuple(value.reshape(-1) for _, value in sorted(file.part(_STATE).items())) or None
        self.best = best_weights(file)

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
            self._run_step(self.batches.batch(progress.epoch, step), candidate)
            self._tell("on_step")
        self._look()
        self._finish_epoch()

    def _run_step(self, batch: Batch, candidate: dict[str, Floats] | None) -> None:
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
        outcome, self._state = self.model.learn(
            batch,
            None if batch.fresh else self._state,
            self.optimizer,
            self.lr,
            options.seed,
            progress.update,
        )
        self.tokens = batch.scored
        self._begun.append(_Begun(outcome, progress.step, progress.update, self.lr, self.tokens, candidate))
        progress.step += 1
        progress.update += 1
        while self._begun and self._begun[0].outcome.known:
            self._end_step()

    def _look(self) -> None:
        """Wait for what all steps so far came to."""
        while self._begun:
            self._end_step()

    def _end_step(self) -> None:
        """Count the loss of the first step that has only begun."""
        step, progress = self._begun[0], self.progress
        self._loss, self._norm = step.outcome.loss, step.outcome.norm
        problem = self._problem("loss", self._loss)
        if problem:
            progress.step, progress.update, self.lr = step.step, step.update, step.lr
            raise self._divergence(problem)
        self._begun.popleft()
        if progress.first_loss is None:
            progress.first_loss = self._loss
        progress.loss_sum += self._loss * step.tokens
        progress.scored += step.tokens
        self._good = step.weights or self._good

    def _finish_epoch(self) -> None:
        progress = self.progress
        result: dict[str, Any] = {"epoch": progress.epoch + 1}
        result["loss"] = progress.loss_sum / max(progress.scored, 1)
        self.improved = True
        if self.validate is not None:
            found = self.validate(self._interrupt.check)
            problem = self._problem("validation loss", found["loss"])
            if problem:
                raise self._divergence(problem)
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

    def _problem(self, what: str, loss: float) -> str:
        """Return why a loss will not come back; empty if it may."""
        first = self.progress.first_loss
        if not math.isfinite(loss):
            return f"the {what} is {loss}"
        if what == "loss" and not math.isfinite(self._norm):
            return f"the gradient's norm is {self._norm}"
        if first is not None and loss > _HOPELESS * max(first, 1.0):
            return f"the {what} is {loss:.4g}, after {first:.4g} at the start"
        return ""

    def _divergence(self, problem: str) -> DivergenceError:
        progress = self.progress
        return DivergenceError(
            f"training diverged at update {progress.update + 1} (epoch {progress.epoch + 1}): {problem}; "
            f"the learning rate was {self.lr:.3g}, try a smaller one. The last good weights are kept"
        )

    def _tell(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)


class _Begun(NamedTuple):
    """A training step whose loss has not been looked at."""

    outcome: Outcome
    step: int
    update: int
    lr: float
    tokens: int
    weights: dict[str, Floats] | None  # those before it, if they are to be kept in case they are good


def without_checkpoint(tensors: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return the arrays of a file that are not what :meth:`Trainer.checkpoint` gave it."""
    return {
        name: value for name, value in tensors.items() if not name.startswith((_OPTIMIZER, _STATE, _BEST))
    }


def best_weights(file: ModelFile) -> dict[str, Floats] | None:
    """Return the best weights of a checkpoint, or None where no epoch was validated."""
    return file.part(_BEST) or None
