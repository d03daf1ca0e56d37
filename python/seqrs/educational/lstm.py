"""Long short-term memory, without and with peepholes."""

import numpy as np

from seqrs.educational._gate import Array, Cache, Parameters, begin, gate_backward, sigmoid


def lstm_forward(
    x: Array, a0: Array, c0: Array, p: Parameters, peephole: str = "none"
) -> tuple[Array, Array, Cache]:
    """Run an LSTM.

    ::

        Gu = σ(Wu [a<t-1>, x<t>] + bu + peep_u)       update (input) gate
        Gf = σ(Wf [a<t-1>, x<t>] + bf + peep_f)       forget gate
        Go = σ(Wo [a<t-1>, x<t>] + bo + peep_o)       output gate
        c~ = tanh(Wc [a<t-1>, x<t>] + bc)
        c<t> = Gu * c~ + Gf * c<t-1>
        a<t> = Go * tanh(c<t>)

    with ``peep_k`` 0 ("none"), Pk c<t-1> for a matrix Pk ("full": the notes' "c<t-1> included
    with every gate"), Pk * c<t-1> for a column Pk ("prev"), or that but Po * c<t> ("current":
    Gers and Schmidhuber 2000).

    Parameters
    ----------
    x : ndarray of shape (T, n_x, m)
        The sequence.
    a0, c0 : ndarray of shape (n_a, m)
        The states a<0> and c<0>.
    p : dict
        ``Wu``, ``Wf``, ``Wo``, ``Wc`` with their biases; with peepholes ``Pu``, ``Pf``, ``Po`` of
        shape (n_a, n_a) for "full", else (n_a, 1).
    peephole : {"none", "full", "prev", "current"}, default "none"
        What the gates see of the memory.

    Returns
    -------
    a, c : ndarray of shape (T + 1, n_a, m)
        The states a<0> to a<T>, and c<0> to c<T>.
    cache : list of tuple
        For :func:`lstm_backward`.

    Examples
    --------
    With the forget gate open and the update gate shut the memory keeps what it holds:

    >>> import numpy as np
    >>> from seqrs import educational as ed
    >>> p = ed.random_parameters("lstm", n_x=2, n_a=1)
    >>> p["bf"][:], p["bu"][:] = 50, -50
    >>> a, c, cache = ed.lstm_forward(np.ones((100, 2, 1)), np.zeros((1, 1)), np.array([[0.7]]), p)
    >>> float(c[-1, 0, 0])
    0.7
    """

    def gate(k: str, seen: Array) -> Array:
        z = p["W" + k] @ v + p["b" + k]
        if peephole == "full":
            z += p["P" + k] @ seen
        elif peephole != "none":
            z += p["P" + k] * seen
        return sigmoid(z)

    a, c = [a0], [c0]
    cache: Cache = []
    for x_t in x:
        v, c_prev = np.vstack([a[-1], x_t]), c[-1]
        Gu, Gf = gate("u", c_prev), gate("f", c_prev)
        candidate = np.tanh(p["Wc"] @ v + p["bc"])
        c.append(Gu * candidate + Gf * c_prev)
        Go = gate("o", c[-1] if peephole == "current" else c_prev)
        a.append(Go * np.tanh(c[-1]))
        cache.append((v, c_prev, Gu, Gf, Go, candidate, c[-1]))
    return np.array(a), np.array(c), cache


def lstm_backward(
    da: Array, dc_last: Array, cache: Cache, p: Parameters, peephole: str = "none"
) -> tuple[Array, Array, Array, Parameters]:
    """Carry gradients back through :func:`lstm_forward`.

    Parameters
    ----------
    da : ndarray of shape (T, n_a, m)
        Derivatives by a<1> to a<T>. A gradient by the final a is added to the last.
    dc_last : ndarray of shape (n_a, m)
        The derivative by c<T>, usually zero.
    cache, p, peephole
        As the forward pass returned and took them.

    Returns
    -------
    dx : ndarray of shape (T, n_x, m)
        The gradient by the sequence.
    da0, dc0 : ndarray of shape (n_a, m)
        By the initial states.
    gradients : dict
        By each parameter.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import educational as ed
    >>> p = ed.random_parameters("lstm", n_x=2, n_a=3)
    >>> start = np.zeros((3, 1))
    >>> a, c, cache = ed.lstm_forward(np.ones((5, 2, 1)), start, start, p)
    >>> dx, da0, dc0, gradients = ed.lstm_backward(np.ones((5, 3, 1)), start, cache, p)
    >>> sorted(gradients) == sorted(p)
    True
    """

    def through_peephole(k: str, dz: Array, seen: Array) -> Array:
        if peephole == "none":
            return np.zeros_like(dz)
        if peephole == "full":
            d["P" + k] += dz @ seen.T
            return p["P" + k].T @ dz
        d["P" + k] += (dz * seen).sum(axis=1, keepdims=True)
        return p["P" + k] * dz

    n_a = da.shape[1]
    d, dx, da_later = begin(da, p, p["Wc"].shape[1] - n_a)
    dc_later = dc_last
    for t in reversed(range(len(da))):
        v, c_prev, Gu, Gf, Go, candidate, c = cache[t]
        da_t = da[t] + da_later
        dz_o = da_t * np.tanh(c) * Go * (1 - Go)
        dc_t = dc_later + da_t * Go * (1 - np.tanh(c) ** 2)
        if peephole == "current":
            dc_t += through_peephole("o", dz_o, c)
        dz_u = dc_t * candidate * Gu * (1 - Gu)
        dz_f = dc_t * c_prev * Gf * (1 - Gf)
        dz_c = dc_t * Gu * (1 - candidate**2)
        dc_later = dc_t * Gf + through_peephole("u", dz_u, c_prev) + through_peephole("f", dz_f, c_prev)
        if peephole != "current":
            dc_later += through_peephole("o", dz_o, c_prev)
        dv = gate_backward("u", dz_u, v, p, d) + gate_backward("f", dz_f, v, p, d)
        dv += gate_backward("o", dz_o, v, p, d) + gate_backward("c", dz_c, v, p, d)
        da_later, dx[t] = dv[:n_a], dv[n_a:]
    return dx, da_later, dc_later, d
