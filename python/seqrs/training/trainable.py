"""What the training loop asks of data and of a model."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from seqrs import _native
from seqrs._check import Floats
from seqrs.training.options import Options


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


State = tuple[Floats, ...] | _native.State


class Outcome(Protocol):
    """What a training step came to, while a device may still be at it."""

    @property
    def known(self) -> bool:
        """Whether it is here, so that nothing below waits."""

    @property
    def loss(self) -> float:
        """The mean loss before the update."""

    @property
    def norm(self) -> float:
        """The gradient's norm before clipping."""


class Known(NamedTuple):
    """One that is here."""

    loss: float
    norm: float
    known: bool = True


class Trainable(Protocol):
    """What the loop asks of a model: what a step does, and where its weights are."""

    #: What losses are the mean over, such as ``"tokens"``.
    unit: str

    def new_optimizer(self, options: Options) -> _native.Optimizer:
        """Return an optimizer of the model's weights, at its start."""

    def learn(
        self, batch: Any, state: State | None, optimizer: _native.Optimizer, lr: float, seed: int, update: int
    ) -> tuple[Outcome, State | None]:
        """Make one step; return what it came to, and the state after.

        Where loss or norm is not finite, the weights stay as they are, by all steps after that one too until
        somebody looks at it.
        """

    def weights(self) -> dict[str, Floats]:
        """Return a copy of all that is trained."""

    def set_weights(self, weights: Mapping[str, Floats]) -> None:
        """Put back some of what :meth:`weights` returned."""

    def save(self, path: str, weights: Mapping[str, Floats] | None = None) -> None:
        """Write the model, with its own weights or with others."""
