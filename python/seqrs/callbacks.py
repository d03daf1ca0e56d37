"""What can happen beside training: progress on the screen, samples, checkpoints, your own."""

import os
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TextIO, runtime_checkable

from seqrs import _check
from seqrs.training import Callback as Callback
from seqrs.training import Trainer

__all__ = ["Callback", "Checkpoint", "ProgressLines", "Samples", "progress_display"]


@runtime_checkable
class Resumable(Protocol):
    """A model whose training can be stopped and resumed."""

    def save_checkpoint(self, path: str, run: Trainer) -> None:
        """Write the model and all that resuming needs."""


@runtime_checkable
class Writer(Protocol):
    """A model that writes."""

    def excerpt(self, length: int, seed: int) -> str:
        """Return a short sample."""


class Checkpoint(Callback):
    """Keeps the best model in one file, and in another all that resuming needs.

    Parameters
    ----------
    path : str or path
        The best model so far, from the first epoch on. Where training ends before, with Ctrl-C
        or a loss that explodes, the model as it was last in order.
    seconds : float, default 30
        How often to write the other file, ``model.last.seqrs`` for ``model.seqrs``. It is
        written before the first step and after each epoch too.

    Examples
    --------
    >>> from seqrs.callbacks import Checkpoint
    >>> Checkpoint("model.seqrs").last.name
    'model.last.seqrs'
    """

    def __init__(self, path: str | os.PathLike[str], seconds: float = 30.0) -> None:
        self.best = Path(path)
        self.last = last_path(path)
        self._seconds = seconds
        self._written = 0.0

    def on_start(self, run: Trainer) -> None:
        """Write the start, so that there is something to resume from whatever comes."""
        if run.best is not None and not self.best.exists():  # resumed, and the file is gone
            run.model.save(str(self.best), run.best)
        self._write(run)

    def on_step(self, run: Trainer) -> None:
        """Write now and then."""
        if time.monotonic() - self._written >= self._seconds:
            self._write(run)

    def on_epoch(self, run: Trainer) -> None:
        """Write the best model if this is it, then the last."""
        if run.improved:
            run.model.save(str(self.best))
        self._write(run)

    def on_end(self, run: Trainer) -> None:
        """Write what would be lost."""
        if run.ending != "failed" and not run.progress.best_epoch:
            run.model.save(str(self.best))
        if run.ending in {"finished", "interrupted"}:
            self._write(run)

    def _write(self, run: Trainer) -> None:
        if isinstance(run.model, Resumable):
            run.model.save_checkpoint(str(self.last), run)
        self._written = time.monotonic()


def check_told(
    callbacks: Sequence[Callback], path: str | os.PathLike[str] | None, name: str = "checkpoint"
) -> None:
    """Refuse what is no list of callbacks, and no path of a file to keep the model in, before anything is trained."""
    if not isinstance(callbacks, Sequence):
        raise TypeError(f"callbacks: expected a list of them, got {_check.describe(callbacks)}")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks: expected objects of seqrs.callbacks.Callback, got {callback!r}")
    if path is not None:
        _check.path(name, path)


def last_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of the checkpoint that belongs to a model file: model.last.seqrs for model.seqrs."""
    path = Path(path)
    return path.with_name(f"{path.stem}.last{path.suffix}")


class Samples(Callback):
    """Writes a sample of the model now and then, without any effect on training.

    Parameters
    ----------
    every : int, optional
        Number of updates from one sample to the next. Default: a tenth of the run.
    length : int, default 200
        Tokens in a sample.
    file : text file, optional
        Where to write. Default: standard error.

    Examples
    --------
    >>> import sys, seqrs
    >>> from seqrs.callbacks import Samples
    >>> model = seqrs.LanguageModel(hidden_size=8, num_layers=1, seed=0)
    >>> samples = Samples(every=1, length=20, file=sys.stdout)
    >>> _ = model.fit("la la la, " * 50, epochs=1, validation=None, callbacks=[samples], progress=False)
    --- sample after 1 update ---
    ...
    -----------------------------
    """

    def __init__(self, every: int | None = None, length: int = 200, file: TextIO | None = None) -> None:
        self._every = every
        self._length = length
        self._file = file

    def on_start(self, run: Trainer) -> None:
        """Refuse a model that does not write."""
        if not isinstance(run.model, Writer):
            raise TypeError(f"Samples: expected a model that writes, got {type(run.model).__name__}")

    def on_step(self, run: Trainer) -> None:
        """Write a sample if it is time."""
        updates = run.progress.update
        if updates % (self._every or max(run.total // 10, 1)) == 0:
            title = f"--- sample after {updates:,} update{'s' * (updates != 1)} ---"
            assert isinstance(run.model, Writer)
            text = run.model.excerpt(self._length, seed=updates)
            _write(f"{title}\n{text}\n{'-' * len(title)}", self._file)


class ProgressLines(Callback):
    """Writes a plain line every few seconds, and one for each epoch.

    Parameters
    ----------
    seconds : float, default 10
        From one line to the next.
    file : text file, optional
        Where to write. Default: standard error.

    Examples
    --------
    >>> import sys, seqrs
    >>> from seqrs.callbacks import ProgressLines
    >>> model = seqrs.LanguageModel(hidden_size=8, num_layers=1, seed=0)
    >>> lines = ProgressLines(file=sys.stdout)
    >>> _ = model.fit("la la la, " * 50, epochs=1, callbacks=[lines], progress=False)
    epoch 1/1  loss ...  validation ... (best)  ... tokens/s
    """

    def __init__(self, seconds: float = 10.0, file: TextIO | None = None) -> None:
        self._seconds = seconds
        self._file = file
        self._rate = _Rate()
        self._shown = 0.0

    def on_start(self, run: Trainer) -> None:
        """Start the clock."""
        self._rate.start(run)
        self._shown = time.monotonic()

    def on_step(self, run: Trainer) -> None:
        """Write a line if it is time."""
        self._rate.count(run)
        progress = run.progress
        steps = run.batches.steps(progress.epoch)
        if progress.step < steps and time.monotonic() - self._shown >= self._seconds:
            self._shown = time.monotonic()
            self._line(
                f"epoch {progress.epoch + 1}/{run.options.epochs}  step {progress.step}/{steps}  "
                f"loss {run.loss:.3f}  {self._rate}  {self._rate.left(run)} left"
            )

    def on_epoch(self, run: Trainer) -> None:
        """Write the epoch's line."""
        self._shown = time.monotonic()
        self._line(f"{epoch_summary(run)}  {self._rate}")

    def _line(self, text: str) -> None:
        print(text, file=self._file or sys.stderr, flush=True)


class ProgressBar(Callback):
    """A bar with loss, speed and time left, and a line for each epoch. Needs tqdm."""

    def __init__(self) -> None:
        self._rate = _Rate()
        self._bar: Any = None
        self._shown = 0.0

    def on_start(self, run: Trainer) -> None:
        """Show the bar."""
        from tqdm import tqdm

        self._rate.start(run)
        self._bar = tqdm(
            total=run.total,
            initial=run.progress.update,
            unit="step",
            dynamic_ncols=True,
            leave=False,
            bar_format="{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed} < {remaining}{postfix}]",
        )

    def on_step(self, run: Trainer) -> None:
        """Move the bar on."""
        self._rate.count(run)
        # A graphics processor waits whenever the loss is looked at: no more often than the bar is drawn.
        if not self._bar.disable and time.monotonic() - self._shown >= self._bar.mininterval:
            self._shown = time.monotonic()
            self._bar.set_postfix_str(f"loss {run.loss:.3f}, {self._rate}", refresh=False)
        self._bar.update()

    def on_epoch(self, run: Trainer) -> None:
        """Write the epoch's line above the bar."""
        self._bar.write(f"{epoch_summary(run)}  {self._rate}", file=sys.stderr)

    def on_end(self, run: Trainer) -> None:  # noqa: ARG002
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()


def progress_display() -> Callback:
    """Return a bar if tqdm is there and the terminal can show it, else plain lines.

    Examples
    --------
    >>> from seqrs.callbacks import progress_display
    >>> type(progress_display()).__name__ in {"ProgressBar", "ProgressLines"}
    True
    """
    return ProgressBar() if sys.stderr.isatty() and find_spec("tqdm") else ProgressLines()


def epoch_summary(run: Trainer) -> str:
    """Return a line about the epoch that has just ended."""
    result = run.progress.history[-1]
    text = f"epoch {result['epoch']}/{run.options.epochs}  loss {result['loss']:.3f}"
    if "validation_loss" in result:
        text += f"  validation {result['validation_loss']:.3f}"
        if "validation_score" in result:
            text += f"  score {result['validation_score']:.3f}"
        text += " (best)" if run.improved else "       "
    return text


class _Rate:
    """Tokens, or what the model counts in, a second and the time left, since the start or the resumption."""

    def start(self, run: Trainer) -> None:
        self._began = time.monotonic()
        self._first = run.progress.update
        self._unit = run.model.unit
        self._tokens = 0

    def count(self, run: Trainer) -> None:
        self._tokens += run.tokens

    def left(self, run: Trainer) -> str:
        done = run.progress.update - self._first
        seconds = int((time.monotonic() - self._began) / max(done, 1) * (run.total - run.progress.update))
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

    def __str__(self) -> str:
        return f"{self._tokens / max(time.monotonic() - self._began, 1e-9):,.0f} {self._unit}/s"


def _write(text: str, file: TextIO | None) -> None:
    """Write above a progress bar, if there is one."""
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(text, file=file or sys.stderr)
    else:
        print(text, file=file or sys.stderr, flush=True)
