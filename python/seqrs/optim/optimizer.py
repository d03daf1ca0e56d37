"""What all optimizers have in common: the weights they move, clipping, decay and the learning rate."""

from collections.abc import Mapping
from typing import Any, ClassVar, SupportsFloat, SupportsIndex, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check, _native
from seqrs.optim._weights import Trainable, weights_of

SCHEDULES = ("constant", "step", "cosine")


class Options(TypedDict, total=False):
    """The options that all optimizers take by name; :class:`Optimizer` documents them."""

    clip_norm: SupportsFloat | None
    clip_value: SupportsFloat | None
    schedule: str
    total_steps: SupportsIndex | None
    warmup: SupportsIndex
    step_size: SupportsIndex
    gamma: SupportsFloat
    final: SupportsFloat


class Optimizer:
    """What all optimizers have in common. Make one of :class:`SGD`, :class:`Adam`, ...

    Parameters
    ----------
    layer : layer or Sequential
        Its trainable weights are moved. Of your own it may be too: an object with `dtype`,
        ``state_dict`` and ``load_state_dict``.
    lr : float, default 1e-3
        Learning rate: the size of a step, at least 0.
    weight_decay : float, default 0.0, for AdamW 0.01
        Pull of every weight towards 0: so many times the weight is added to its gradient. See
        :class:`AdamW` for its own.
    clip_norm : float, optional
        Where the norm of all gradients together is greater, scale them down to it: the cure for
        exploding gradients (Pascanu et al. 2013). Default: no limit.
    clip_value : float, optional
        Cut each single gradient to ± this, before the norm is taken. Default: no limit.
    schedule : {"constant", "step", "cosine"}, default "constant"
        The rate after the warm-up: `lr`; `lr` times `gamma` after every `step_size` steps; or
        half a cosine from `lr` down to `final` (Loshchilov and Hutter 2017), where it stays.
    total_steps : int, optional
        Steps in all, which a cosine has to know.
    warmup : int, default 0
        The first steps, in which the rate rises linearly to `lr`.
    step_size : int, default 1
        For ``"step"``: steps at one rate.
    gamma : float, default 0.1
        For ``"step"``: factor from one rate to the next, above 0.
    final : float, default 0.0
        For ``"cosine"``: the last rate, from 0 to `lr`.

    Attributes
    ----------
    base_lr : float
        `lr` as it was given. May be changed at any time, such as when the loss stands still.
    total_steps : int or None
        As it was given.

    Raises
    ------
    ValueError, TypeError
        If a setting is out of its range or of another type.

    Examples
    --------
    >>> from seqrs import nn, optim
    >>> layer = nn.LSTM(3, 4)
    >>> sgd = optim.SGD(layer, lr=1.0, schedule="step", step_size=2, gamma=0.5, warmup=2)
    >>> rates = []
    >>> for _ in range(6):
    ...     rates.append(sgd.lr)
    ...     norm = sgd.step({name: 0 * weight for name, weight in layer.state_dict().items()})
    >>> rates
    [0.5, 1.0, 1.0, 1.0, 0.5, 0.5]
    """

    _rule: ClassVar[str]

    def __init__(
        self,
        layer: Trainable,
        lr: SupportsFloat,
        settings: dict[str, Any],
        *,
        weight_decay: SupportsFloat,
        clip_norm: SupportsFloat | None = None,
        clip_value: SupportsFloat | None = None,
        schedule: str = "constant",
        total_steps: SupportsIndex | None = None,
        warmup: SupportsIndex = 0,
        step_size: SupportsIndex = 1,
        gamma: SupportsFloat = 0.1,
        final: SupportsFloat = 0.0,
    ) -> None:
        self.layer = layer
        self.base_lr = _check.number("lr", lr, minimum=0.0)
        self._schedule = _check.choice("schedule", schedule, SCHEDULES)
        warmup = _check.integer("warmup", warmup, minimum=0)
        self.total_steps = (
            None if total_steps is None else _check.integer("total_steps", total_steps, minimum=1)
        )
        if self.total_steps is None and schedule == "cosine":
            raise ValueError('total_steps: expected the number of steps for schedule="cosine", got None')
        self._shape: dict[str, Any] = {
            # The other schedules do not ask how many steps follow the warm-up.
            "total": warmup if self.total_steps is None else self.total_steps,
            "warmup": warmup,
            "step_size": _check.integer("step_size", step_size, minimum=1),
            "gamma": _check.number("gamma", gamma, above=0.0),
            "final": _check.number("final", final, minimum=0.0),
        }
        settings = {**settings, "weight_decay": _check.number("weight_decay", weight_decay, minimum=0.0)}
        for name, limit in {"clip_norm": clip_norm, "clip_value": clip_value}.items():
            settings[name] = None if limit is None else _check.number(name, limit, above=0.0)
        self._weights = weights_of(layer)
        self._optimizer = _native.Optimizer(self._weights.size, layer.dtype, self._rule, **settings)
        _ = self.lr  # a schedule that makes no sense is refused here rather than at the first step

    @property
    def steps(self) -> int:
        """Number of steps made so far."""
        return self._optimizer.steps

    @property
    def lr(self) -> float:
        """The learning rate of the next step: `base_lr` as the schedule has it by now."""
        return _native.learning_rate(self._schedule, self.base_lr, self.steps, **self._shape)

    def step(self, gradients: Any) -> float:
        """Move the weights by one step.

        Parameters
        ----------
        gradients : Gradients, or mapping of str to array
            What ``layer.backward`` returned, or a gradient for every trainable parameter under
            its name and in its shape.

        Returns
        -------
        norm : float
            The norm of all gradients together, after `clip_value` and before `clip_norm`. Where
            it is NaN or infinite nothing has changed, and the step does not count.

        Raises
        ------
        ValueError
            If gradients are missing, unexpected or of another shape.
        TypeError
            If a gradient does not hold floats.

        Examples
        --------
        >>> import numpy as np
        >>> from seqrs import nn, optim
        >>> layer = nn.GRU(2, 3, dtype="float64")
        >>> adam = optim.Adam(layer, clip_norm=5.0)
        >>> y, state, tape = layer.forward(np.ones((1, 4, 2)))
        >>> gradients = layer.backward(tape, dy=np.ones_like(y))
        >>> norm = adam.step(gradients)
        >>> adam.steps
        1
        """
        return self._weights.apply(gradients, self._optimizer, self.lr)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return what continuing needs beside the layer's own ``state_dict()``.

        Returns
        -------
        dict of str to ndarray
            ``"steps"``, the number of steps made, and the moving averages by PyTorch's names
            (``"exp_avg"``, ...), each over all trainable weights in a row. All are arrays, so that
            ``numpy.savez(path, **optimizer.state_dict())`` keeps them.

        Examples
        --------
        >>> from seqrs import nn, optim
        >>> for name, array in optim.Adam(nn.RNN(1, 1)).state_dict().items():
        ...     print(name, array)
        steps 0
        exp_avg [0. 0. 0. 0.]
        exp_avg_sq [0. 0. 0. 0.]
        """
        return {"steps": np.array(self.steps), **self._optimizer.state()}

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Continue from a :meth:`state_dict`.

        An optimizer made with the same arguments for a layer with the same weights goes on bit
        for bit as the one that returned it.

        Parameters
        ----------
        state_dict : mapping of str to array
            What :meth:`state_dict` returned, or ``numpy.load`` of what ``numpy.savez`` wrote.

        Raises
        ------
        ValueError
            If an entry is missing, unexpected, of another length or not finite. Nothing has
            changed then.
        TypeError
            If an array is of another dtype.
        """
        moments = {name: np.asarray(value) for name, value in state_dict.items()}
        if "steps" not in moments:
            raise ValueError(f'state_dict: expected an entry "steps", got {sorted(moments)}')
        steps = moments.pop("steps")
        if steps.dtype.kind not in "iu" or steps.size != 1:
            raise TypeError(f"steps: expected an integer, got {_check.describe(steps)}")
        self._optimizer.load_state(_check.integer("steps", steps.item(), minimum=0), moments)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.layer).__name__}, lr={self.lr:g}, steps={self.steps})"
