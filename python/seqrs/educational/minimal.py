"""The minimal GRU and LSTM of Feng et al. (2024), in the notes' letters.

Their gates see the input alone, so a matrix Wk is (n_a, n_x) and has no hidden block: what a step
does to the memory is known before the memory is, and all steps can be prepared at once.
"""

import numpy as np

from seqrs.educational._gate import Array, Cache, Parameters, begin, gate_backward, sigmoid


def mingru_forward(x: Array, c0: Array, p: Parameters) -> tuple[Array, Cache]:
    """Run a minGRU.

    ::

        Gu = σ(Wu x<t> + bu)
        c~ = Wc x<t> + bc
        c<t> = Gu * c~ + (1 - Gu) * c<t-1>

    Parameters
    ----------
    x : ndarray of shape (T, n_x, m)
        The sequence.
    c0 : ndarray of shape (n_a, m)
        The state c<0>.
    p : dict
        ``Wu``, ``bu``, ``Wc``, ``bc``.

    Returns
    -------
    c : ndarray of shape (T + 1, n_a, m)
        The states c<0> to c<T>.
    cache : list of tuple
        For :func:`mingru_backward`.

    Examples
    --------
    With a half open gate the memory moves half of the way to its input at each step:

    >>> import numpy as np
    >>> from seqrs import educational as ed
    >>> p = {"Wu": np.zeros((1, 1)), "Wc": np.ones((1, 1)), "bu": np.zeros((1, 1)), "bc": np.zeros((1, 1))}
    >>> c, cache = ed.mingru_forward(np.ones((3, 1, 1)), np.zeros((1, 1)), p)
    >>> c.ravel().tolist()
    [0.0, 0.5, 0.75, 0.875]
    """
    c = [c0]
    cache: Cache = []
    for x_t in x:
        Gu = sigmoid(p["Wu"] @ x_t + p["bu"])
        candidate = p["Wc"] @ x_t + p["bc"]
        cache.append((x_t, c[-1], Gu, candidate))
        c.append(Gu * candidate + (1 - Gu) * c[-1])
    return np.array(c), cache


def mingru_backward(dc: Array, cache: Cache, p: Parameters) -> tuple[Array, Array, Parameters]:
    """Carry gradients back through :func:`mingru_forward`.

    Parameters
    ----------
    dc : ndarray of shape (T, n_a, m)
        Derivatives by c<1> to c<T>. A gradient by the final state is added to the last.
    cache, p
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
    >>> import numpy as np
    >>> from seqrs import educational as ed
    >>> p = ed.random_parameters("mingru", n_x=2, n_a=3)
    >>> c, cache = ed.mingru_forward(np.ones((4, 2, 1)), np.zeros((3, 1)), p)
    >>> dx, dc0, gradients = ed.mingru_backward(np.ones((4, 3, 1)), cache, p)
    >>> dx.shape, gradients["Wu"].shape
    ((4, 2, 1), (3, 2))
    """
    d, dx, dc_later = begin(dc, p, p["Wc"].shape[1])
    for t in reversed(range(len(dc))):
        x_t, c_prev, Gu, candidate = cache[t]
        dc_t = dc[t] + dc_later
        dx[t] = gate_backward("u", dc_t * (candidate - c_prev) * Gu * (1 - Gu), x_t, p, d)
        dx[t] += gate_backward("c", dc_t * Gu, x_t, p, d)
        dc_later = dc_t * (1 - Gu)
    return dx, dc_later, d


def minlstm_forward(x: Array, c0: Array, p: Parameters) -> tuple[Array, Cache]:
    """Run a minLSTM, whose two gates are scaled to sum to 1.

    ::

        Gf = σ(Wf x<t> + bf)
        Gu = σ(Wu x<t> + bu)
        c~ = Wc x<t> + bc
        c<t> = (Gu * c~ + Gf * c<t-1>) / (Gu + Gf)

    Parameters
    ----------
    x : ndarray of shape (T, n_x, m)
        The sequence.
    c0 : ndarray of shape (n_a, m)
        The state c<0>.
    p : dict
        ``Wf``, ``bf``, ``Wu``, ``bu``, ``Wc``, ``bc``.

    Returns
    -------
    c : ndarray of shape (T + 1, n_a, m)
        The states c<0> to c<T>.
    cache : list of tuple
        For :func:`minlstm_backward`.

    Examples
    --------
    Gates that are equally open count as one half each, however little that is:

    >>> import numpy as np
    >>> from seqrs import educational as ed
    >>> p = {"W" + k: np.zeros((1, 1)) for k in "fuc"}
    >>> p |= {"bf": np.full((1, 1), -3.0), "bu": np.full((1, 1), -3.0), "bc": np.ones((1, 1))}
    >>> c, cache = ed.minlstm_forward(np.zeros((3, 1, 1)), np.zeros((1, 1)), p)
    >>> c.ravel().tolist()
    [0.0, 0.5, 0.75, 0.875]
    """
    c = [c0]
    cache: Cache = []
    for x_t in x:
        Gf = sigmoid(p["Wf"] @ x_t + p["bf"])
        Gu = sigmoid(p["Wu"] @ x_t + p["bu"])
        candidate = p["Wc"] @ x_t + p["bc"]
        cache.append((x_t, c[-1], Gf, Gu, candidate))
        c.append((Gu * candidate + Gf * c[-1]) / (Gu + Gf))
    return np.array(c), cache


def minlstm_backward(dc: Array, cache: Cache, p: Parameters) -> tuple[Array, Array, Parameters]:
    """Carry gradients back through :func:`minlstm_forward`.

    Parameters
    ----------
    dc : ndarray of shape (T, n_a, m)
        Derivatives by c<1> to c<T>. A gradient by the final state is added to the last.
    cache, p
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
    >>> import numpy as np
    >>> from seqrs import educational as ed
    >>> p = ed.random_parameters("minlstm", n_x=2, n_a=3)
    >>> c, cache = ed.minlstm_forward(np.ones((4, 2, 1)), np.zeros((3, 1)), p)
    >>> dx, dc0, gradients = ed.minlstm_backward(np.ones((4, 3, 1)), cache, p)
    >>> dx.shape, sorted(gradients) == sorted(p)
    ((4, 2, 1), True)
    """
    d, dx, dc_later = begin(dc, p, p["Wc"].shape[1])
    for t in reversed(range(len(dc))):
        x_t, c_prev, Gf, Gu, candidate = cache[t]
        dc_t = dc[t] + dc_later
        kept = Gf / (Gu + Gf)  # the share of the old memory; that of the candidate is 1 - kept
        # By the share, times what its derivatives by both gates have in common.
        dshare = dc_t * (c_prev - candidate) * kept * (1 - kept)
        dx[t] = gate_backward("f", dshare * (1 - Gf), x_t, p, d)
        dx[t] += gate_backward("u", -dshare * (1 - Gu), x_t, p, d)
        dx[t] += gate_backward("c", dc_t * (1 - kept), x_t, p, d)
        dc_later = dc_t * kept
    return dx, dc_later, d
