"""How far a run of training is."""

from dataclasses import asdict, dataclass, field
from typing import Any


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
        Sum of the losses of the epoch so far, and the number of tokens it is over: of the steps whose
        loss is known, which on a graphics processor are up to 15 fewer than `step`.
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
