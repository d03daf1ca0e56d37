"""The gated recurrent unit: the simple one, the full one, and PyTorch's."""

import numpy as np

from seqrs.educational._gate import Array, Cache, Parameters, begin, gate_backward, sigmoid


def gru_forward(x: Array, c0: Array, p: Parameters, reset: str = "before") -> tuple[Array, Cache]:
    """Run a GRU, whose state a<t> is c<t>.

    ::

        Gu = σ(Wu [c<t-1>, x<t>] + bu)
        Gr = σ(Wr [c<t-1>, x<t>] + br)
        c~ = tanh(Wc [c<t-1>, x<t>] + bc)                       reset="none": no Gr, the simple GRU
        c~ = tanh(Wc [Gr * c<t-1>, x<t>] + bc)                  reset="before": the full GRU
        c~ = tanh(Gr * (Wcc c<t-1> + bcc) + Wcx x<t> + bc)      reset="after": PyTorch's
        c<t> = Gu * c~ + (1 - Gu) * c<t-1>

    Parameters
    ----------
    x : ndarray of shape (T, n_x, m)
        The sequence.
    c0 : ndarray of shape (n_a, m)
        The state c<0>.
    p : dict
        ``Wu``, ``bu``, ``Wc``, ``bc``; unless reset is "none" ``Wr``, ``br``; if it is "after"
        also ``bcc``.
    reset : {"none", "before", "after"}, default "before"
        Where the reset gate acts.

    Returns
    -------
    c : ndarray of shape (T + 1, n_a, m)
        The states c<0> to c<T>.
    cache : list of tuple
        For :func:`gru_backward`.

    Examples
    --------
    With the update gate shut (bu = -50) the memory keeps what it holds:

    >>> import numpy as np
    >>> from seqrs import educational as ed
    >>> p = ed.random_parameters("gru", n_x=2, n_a=1, reset="none")
    >>> p["bu"][:] = -50
    >>> c, cache = ed.gru_forward(np.ones((100, 2, 1)), np.array([[0.7]]), p, reset="none")
    >>> float(c[-1, 0, 0])
    0.7
    """
    n_a = len(c0)
    c = [c0]
    cache: Cache = []
    for x_t in x:
        v = np.vstack([c[-1], x_t])
        Gu = sigmoid(p["Wu"] @ v + p["bu"])
        Gr = np.ones_like(Gu) if reset == "none" else sigmoid(p["Wr"] @ v + p["br"])
        if reset == "after":
            inner = p["Wc"][:, :n_a] @ c[-1] + p["bcc"]
            candidate = np.tanh(Gr * inner + p["Wc"][:, n_a:] @ x_t + p["bc"])
        else:
            inner = Gr * c[-1]
            candidate = np.tanh(p["Wc"] @ np.vstack([inner, x_t]) + p["bc"])
        cache.append((v, Gu, Gr, inner, candidate))
        c.append(Gu * candidate + (1 - Gu) * c[-1])
    return np.array(c), cache


def gru_backward(
    dc: Array, cache: Cache, p: Parameters, reset: str = "before"
) -> tuple[Array, Array, Parameters]:
    """Carry gradients back through :func:`gru_forward`.

    Parameters
    ----------
    dc : ndarray of shape (T, n_a, m)
        Derivatives by c<1> to c<T>. A gradient by the final state is added to the last.
    cache, p, reset
        As the forward pass returned and took them.

    Returns
    -------
    dx : ndarray of shape (T, n_x, m)
        The gradient by the sequence.
    dc0 : ndarray of shape (n_a, m)
        By the initial state.
    gradients : dict
        By each parameter.

    Examples
    --------
    With the update gate shut the gradient reaches the first state whole:

    >>> import numpy as np
    >>> from seqrs import educational as ed
    >>> p = ed.random_parameters("gru", n_x=2, n_a=1)
    >>> p["bu"][:] = -50
    >>> c, cache = ed.gru_forward(np.ones((100, 2, 1)), np.zeros((1, 1)), p)
    >>> dc = np.zeros((100, 1, 1))
    >>> dc[-1] = 1
    >>> dx, dc0, gradients = ed.gru_backward(dc, cache, p)
    >>> float(dc0[0, 0])
    1.0
    """
    n_a = dc.shape[1]
    d, dx, dc_later = begin(dc, p, p["Wu"].shape[1] - n_a)
    for t in reversed(range(len(dc))):
        v, Gu, Gr, inner, candidate = cache[t]
        c_prev, x_t = v[:n_a], v[n_a:]
        dc_t = dc[t] + dc_later
        dv = gate_backward("u", dc_t * (candidate - c_prev) * Gu * (1 - Gu), v, p, d)
        dz = dc_t * Gu * (1 - candidate**2)
        if reset == "after":
            dGr, dinner = dz * inner, dz * Gr
            d["Wc"] += np.hstack([dinner @ c_prev.T, dz @ x_t.T])
            d["bcc"] += dinner.sum(axis=1, keepdims=True)
            d["bc"] += dz.sum(axis=1, keepdims=True)
            dv += np.vstack([p["Wc"][:, :n_a].T @ dinner, p["Wc"][:, n_a:].T @ dz])
        else:
            dw = gate_backward("c", dz, np.vstack([inner, x_t]), p, d)
            dGr = dw[:n_a] * c_prev
            dv += np.vstack([dw[:n_a] * Gr, dw[n_a:]])
        if reset != "none":
            dv += gate_backward("r", dGr * Gr * (1 - Gr), v, p, d)
        dc_later, dx[t] = dc_t * (1 - Gu) + dv[:n_a], dv[n_a:]
    return dx, dc_later, d
