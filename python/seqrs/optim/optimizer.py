"""Optimizers for your own training loops over :mod:`seqrs.nn`.

========= ==================================================================================
`SGD`     gradient descent, with momentum if you like
`RMSprop` each weight's gradient divided by its own recent size
`Adam`    that, and a mean over recent gradients; a good first choice
`AdamW`   Adam with weight decay kept out of the averages
========= ==================================================================================

All take the same options for clipping, weight decay and the schedule of the learning rate;
:class:`Optimizer` documents them. :meth:`~Optimizer.step` takes what ``layer.backward``
returned and moves the weights.

Examples
--------
A training loop of one's own. The sequences count on by a step that the model has to see for
itself, over a clock of eleven hours:

>>> import numpy as np
>>> from seqrs import losses, nn, optim
>>> model = nn.Sequential(
...     nn.Embedding(11, 16, seed=0),
...     nn.LSTM(16, 32, seed=1),
...     nn.Linear(32, 11, seed=2),
... )
>>> adam = optim.Adam(model, lr=0.02, clip_norm=1.0, schedule="cosine", total_steps=300, warmup=10)
>>> rng = np.random.default_rng(0)
>>> for _ in range(adam.total_steps):
...     start, step = rng.integers(0, 11, (2, 64, 1))
...     counts = (start + step * np.arange(9)) % 11                      # (64, 9)
...     logits, state, tape = model.forward(counts[:, :-1])             # (64, 8, 11)
...     loss, dlogits = losses.softmax_cross_entropy(logits, counts[:, 1:])
...     norm = adam.step(model.backward(tape, dlogits))

Nobody can know the second number, which alone costs ln 11 / 8 = 0.3 nats a step:

>>> bool(0.29 < loss < 0.36)
True
>>> logits, state = model([2, 5, 8])
>>> int(logits[-1].argmax())                                            # 2, 5, 8, 11 = 0
0

Saved beside the model's own weights, ``adam.state_dict()`` continues bit for bit.
"""

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, SupportsFloat, SupportsIndex, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check, _native
from seqrs._check import Floats

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop"]

SCHEDULES = ("constant", "step", "cosine")


class Trainable(Protocol):
    """What an optimizer needs of a layer; those of :mod:`seqrs.nn` have it, and your own can."""

    dtype: str

    def state_dict(self) -> Mapping[str, Any]:
        """Return the parameters by name."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Set the parameters."""


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
        network = getattr(layer, "_network", None)
        self._weights = _InDict(layer) if network is None else _InNetwork(layer, network)
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


class SGD(Optimizer):
    """Gradient descent: w ← w - lr v with v ← momentum v + g.

    PyTorch's form of momentum: the rate is outside of v, so that a schedule acts at once.

    Parameters
    ----------
    layer, lr, weight_decay, **options
        As in :class:`Optimizer`.
    momentum : float, default 0.0
        Share of the last v that is kept, from 0 to below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn, optim
    >>> layer = nn.RNN(1, 1, bias=False, dtype="float64")
    >>> layer.load_state_dict({"weight_ih_l0": [[2.0]], "weight_hh_l0": [[1.0]]})
    >>> sgd = optim.SGD(layer, lr=0.5)
    >>> sgd.step({"weight_ih_l0": [[3.0]], "weight_hh_l0": [[4.0]]})
    5.0
    >>> layer.state_dict()
    {'weight_ih_l0': array([[0.5]]), 'weight_hh_l0': array([[-1.]])}
    """

    _rule = "sgd"

    def __init__(
        self,
        layer: Trainable,
        lr: SupportsFloat = 1e-3,
        *,
        momentum: SupportsFloat = 0.0,
        weight_decay: SupportsFloat = 0.0,
        **options: "Unpack[Options]",
    ) -> None:
        settings = {"momentum": _check.probability("momentum", momentum)}
        super().__init__(layer, lr, settings, weight_decay=weight_decay, **options)


class RMSprop(Optimizer):
    """RMSprop: w ← w - lr g / (√s + eps) with s ← rho s + (1 - rho) g² (Tieleman and Hinton 2012).

    Parameters
    ----------
    layer, lr, weight_decay, **options
        As in :class:`Optimizer`.
    rho : float, default 0.99
        Decay of the mean square, from 0 to below 1; PyTorch's `alpha`.
    eps : float, default 1e-8
        Above 0.

    Examples
    --------
    >>> from seqrs import nn, optim
    >>> optim.RMSprop(nn.GRU(2, 3), lr=0.01)
    RMSprop(GRU, lr=0.01, steps=0)
    """

    _rule = "rmsprop"

    def __init__(
        self,
        layer: Trainable,
        lr: SupportsFloat = 1e-3,
        *,
        rho: SupportsFloat = 0.99,
        eps: SupportsFloat = 1e-8,
        weight_decay: SupportsFloat = 0.0,
        **options: "Unpack[Options]",
    ) -> None:
        settings = {"rho": _check.probability("rho", rho), "eps": _check.number("eps", eps, above=0.0)}
        super().__init__(layer, lr, settings, weight_decay=weight_decay, **options)


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015): w ← w - lr m̂ / (√v̂ + eps).

    m and v are moving means of g and g², m ← β₁ m + (1 - β₁) g and v ← β₂ v + (1 - β₂) g²; divided
    by 1 - β₁ᵗ and 1 - β₂ᵗ after t steps they are m̂ and v̂, which do not lean towards their start at 0.

    Parameters
    ----------
    layer, lr, weight_decay, **options
        As in :class:`Optimizer`.
    betas : pair of float, default (0.9, 0.999)
        β₁ and β₂, each from 0 to below 1.
    eps : float, default 1e-8
        Above 0.

    Examples
    --------
    >>> from seqrs import nn, optim
    >>> adam = optim.Adam(nn.GRU(2, 3), lr=3e-3, clip_norm=5.0)
    >>> sorted(adam.state_dict())
    ['exp_avg', 'exp_avg_sq', 'steps']
    """

    _rule = "adam"

    def __init__(
        self,
        layer: Trainable,
        lr: SupportsFloat = 1e-3,
        *,
        betas: tuple[SupportsFloat, SupportsFloat] = (0.9, 0.999),
        eps: SupportsFloat = 1e-8,
        weight_decay: SupportsFloat = 0.0,
        **options: "Unpack[Options]",
    ) -> None:
        super().__init__(layer, lr, _adam(betas, eps), weight_decay=weight_decay, **options)


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019).

    Each step first shrinks the weights, w ← w - lr weight_decay w; the decay stays out of the
    moving means, so that every weight decays alike.

    Parameters
    ----------
    layer, lr, betas, eps, **options
        As in :class:`Adam`.
    weight_decay : float, default 0.01
        As above; PyTorch's, multiplied by the rate.

    Examples
    --------
    >>> from seqrs import nn, optim
    >>> optim.AdamW(nn.GRU(2, 3), weight_decay=0.1).lr
    0.001
    """

    _rule = "adamw"

    def __init__(
        self,
        layer: Trainable,
        lr: SupportsFloat = 1e-3,
        *,
        betas: tuple[SupportsFloat, SupportsFloat] = (0.9, 0.999),
        eps: SupportsFloat = 1e-8,
        weight_decay: SupportsFloat = 0.01,
        **options: "Unpack[Options]",
    ) -> None:
        super().__init__(layer, lr, _adam(betas, eps), weight_decay=weight_decay, **options)


def _adam(betas: tuple[SupportsFloat, SupportsFloat], eps: SupportsFloat) -> dict[str, Any]:
    if not (isinstance(betas, (tuple, list)) and len(betas) == 2):
        raise TypeError(f"betas: expected a pair of numbers, got {betas!r}")
    first, second = (_check.probability("betas", beta) for beta in betas)
    return {"betas": (first, second), "eps": _check.number("eps", eps, above=0.0)}


class _InNetwork:
    """The weights of a layer of :mod:`seqrs.nn`, moved where they lie."""

    def __init__(self, layer: Trainable, network: _native.Network) -> None:
        self._layer = layer
        self._network = network
        self.size = network.num_trainable

    def apply(self, gradients: Any, optimizer: _native.Optimizer, lr: float) -> float:
        """Make one step and return the norm of the gradients."""
        flat = getattr(gradients, "flat", None)
        return self._network.apply(self._flat(gradients) if flat is None else flat, optimizer, lr)

    def _flat(self, gradients: Any) -> Floats:
        """Return the gradients in the places of the weights; those of frozen ones are 0."""
        parameters = self._network.parameters()
        frozen = {name for name, _, _, frozen in parameters if frozen}
        shapes = {name: shape for name, shape, _, _ in parameters if name not in frozen}
        checked = _checked(self._layer, shapes, gradients, ignored=frozen)
        flat: Floats = np.zeros(self._network.num_parameters, self._layer.dtype)
        for name, _, place, _ in parameters:
            if name in checked:
                flat[place : place + checked[name].size] = checked[name].ravel()
        return flat


class _InDict:
    """The weights of a layer of a user's own, moved through its state_dict."""

    def __init__(self, layer: Trainable) -> None:
        self._layer = layer
        self._shapes = {name: np.shape(value) for name, value in layer.state_dict().items()}
        self.size = sum(map(math.prod, self._shapes.values()))

    def apply(self, gradients: Any, optimizer: _native.Optimizer, lr: float) -> float:
        """Make one step and return the norm of the gradients."""
        checked = _checked(self._layer, self._shapes, gradients)
        values = self._flat(self._layer.state_dict())
        norm = optimizer.update(values, self._flat(checked), lr)
        if math.isfinite(norm):
            ends = np.cumsum([math.prod(shape) for shape in self._shapes.values()])
            named = zip(self._shapes.items(), np.split(values, ends[:-1]), strict=True)
            self._layer.load_state_dict({name: piece.reshape(shape) for (name, shape), piece in named})
        return norm

    def _flat(self, arrays: Mapping[str, ArrayLike]) -> Floats:
        """Return all numbers in a row, in the order of the layer's state_dict."""
        dtype = self._layer.dtype
        flat: Floats = np.concatenate([np.ravel(np.asarray(arrays[name], dtype)) for name in self._shapes])
        return flat


def _checked(
    layer: Trainable, shapes: Mapping[str, tuple[int, ...]], gradients: Any, ignored: Collection[str] = ()
) -> dict[str, Floats]:
    """Return a gradient for each parameter, from a mapping or from what ``layer.backward`` returned."""
    given = {name: g for name, g in getattr(gradients, "params", gradients).items() if name not in ignored}
    owner = f"this {type(layer).__name__}"
    return _check.parameters(shapes.items(), given, layer.dtype, what="gradients", owner=owner, finite=False)
