"""What a run of training is to do."""

from dataclasses import asdict, dataclass
from typing import Any

from seqrs import _check, _native

OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")
SCHEDULES = ("cosine", "constant", "step")
MONITORS = ("loss", "score")


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
        _check.integer("epochs", self.epochs, minimum=0, maximum=1_000_000)  # all of them are counted
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
