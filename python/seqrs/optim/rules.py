"""The update rules."""

from typing import TYPE_CHECKING, Any, SupportsFloat

from seqrs import _check
from seqrs.optim._weights import Trainable
from seqrs.optim.optimizer import Optimizer, Options

if TYPE_CHECKING:
    from typing_extensions import Unpack


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
