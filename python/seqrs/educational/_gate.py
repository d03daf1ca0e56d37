"""What the cells share: a gate, and its gradients."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Parameters = dict[str, Array]
Cache = list[tuple[Array, ...]]


def sigmoid(z: Array) -> Array:
    """σ(z) = 1 / (1 + exp(-z)), in a form that does not overflow."""
    return 0.5 * (1 + np.tanh(0.5 * z))


def begin(da: Array, p: Parameters, n_x: int) -> tuple[Parameters, Array, Array]:
    """Return zero gradients of the parameters, room for dx, and no gradient from later steps."""
    steps, n_a, m = da.shape
    gradients = {name: np.zeros_like(value) for name, value in p.items()}
    return gradients, np.zeros((steps, n_x, m)), np.zeros((n_a, m))


def gate_backward(k: str, dz: Array, v: Array, p: Parameters, d: Parameters) -> Array:
    """Add to the gradients of Wk and bk in z = Wk v + bk, and return that of v."""
    d["W" + k] += dz @ v.T
    d["b" + k] += dz.sum(axis=1, keepdims=True)
    return p["W" + k].T @ dz
