"""The plain cell."""

import numpy as np

from seqrs.educational._gate import Array, Cache, Parameters, begin, gate_backward


def rnn_forward(x: Array, a0: Array, p: Parameters, g: str = "tanh") -> tuple[Array, Cache]:
    """Run the plain cell, a<t> = g(Wa [a<t-1>, x<t>] + ba).

    Parameters
    ----------
    x : ndarray of shape (T, n_x, m)
        The sequence.
    a0 : ndarray of shape (n_a, m)
        The state a<0>.
    p : dict
        ``Wa`` and ``ba``.
    g : {"tanh", "relu"}, default "tanh"
        The activation.

    Returns
    -------
    a : ndarray of shape (T + 1, n_a, m)
        The states a<0> to a<T>.
    cache : list of tuple
        For :func:`rnn_backward`.

    Examples
    --------
    A cell that adds up its input while it is small:

    >>> import numpy as np
    >>> from seqrs import educational as ed
    >>> p = {"Wa": np.array([[1.0, 1.0]]), "ba": np.zeros((1, 1))}
    >>> a, cache = ed.rnn_forward(np.full((3, 1, 1), 0.01), np.zeros((1, 1)), p)
    >>> a.ravel().round(4).tolist()
    [0.0, 0.01, 0.02, 0.03]
    """
    a = [a0]
    cache: Cache = []
    for x_t in x:
        v = np.vstack([a[-1], x_t])
        z = p["Wa"] @ v + p["ba"]
        a.append(np.tanh(z) if g == "tanh" else np.maximum(z, 0.0))
        cache.append((v, a[-1]))
    return np.array(a), cache


def rnn_backward(da: Array, cache: Cache, p: Parameters, g: str = "tanh") -> tuple[Array, Array, Parameters]:
    """Carry gradients back through :func:`rnn_forward`.

    Parameters
    ----------
    da : ndarray of shape (T, n_a, m)
        Derivatives by a<1> to a<T>. A gradient by the final state is added to the last.
    cache, p, g
        As the forward pass returned and took them.

    Returns
    -------
    dx : ndarray of shape (T, n_x, m)
        The gradient by the sequence.
    da0 : ndarray of shape (n_a, m)
        By the initial state.
    gradients : dict
        By each parameter.

    Examples
    --------
    The gradient by the first input vanishes with the recurrent weight, here 0.1, to the power
    of the distance:

    >>> import numpy as np
    >>> from seqrs import educational as ed
    >>> p = {"Wa": np.array([[0.1, 1.0]]), "ba": np.zeros((1, 1))}
    >>> a, cache = ed.rnn_forward(np.zeros((4, 1, 1)), np.zeros((1, 1)), p)
    >>> da = np.zeros((4, 1, 1))
    >>> da[-1] = 1
    >>> dx, da0, gradients = ed.rnn_backward(da, cache, p)
    >>> dx.ravel().round(6).tolist()
    [0.001, 0.01, 0.1, 1.0]
    """
    n_a = da.shape[1]
    d, dx, da_later = begin(da, p, p["Wa"].shape[1] - n_a)
    for t in reversed(range(len(da))):
        v, a = cache[t]
        da_t = da[t] + da_later
        dz = da_t * (1 - a**2) if g == "tanh" else da_t * (a > 0)
        dv = gate_backward("a", dz, v, p, d)
        da_later, dx[t] = dv[:n_a], dv[n_a:]
    return dx, da_later, d
