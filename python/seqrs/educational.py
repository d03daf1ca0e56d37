"""The recurrent cells in plain NumPy, as the course notes write them.

This module is for reading and stepping through, and the tests hold the compiled core against
it. It needs NumPy alone and shares nothing with the rest of seqrs.

Notation: Ng, Sequence Models, week 1. ``a<t>`` is a hidden state, ``c<t>`` a memory cell, ``G``
is Γ, a gate; ``c~`` is the candidate. Examples are columns: ``x[t]``, one step of a sequence x
of shape (T, n_x, m), holds m of them, and a state is (n_a, m). Each gate k has a matrix
``Wk = [Wka | Wkx]`` of shape (n_a, n_a + n_x), the hidden block first, which acts on a<t-1>
stacked above x<t>, and a bias ``bk`` of shape (n_a, 1). Parameters come in a dict; gradients come
back under the same names.

A forward function returns the states with the initial one first, so that ``a[t]`` *is* a<t>
(and x<t> is ``x[t - 1]``), and a cache of one tuple a step. A backward function takes the
derivatives of a loss by a<1> to a<T>, each as if the later steps did not exist, and carries
them back through time.

================================ =========================================================
`rnn_forward`, `rnn_backward`    the plain cell, tanh or ReLU
`gru_forward`, `gru_backward`    the simple GRU, the full GRU, and PyTorch's
`lstm_forward`, `lstm_backward`  the LSTM, without and with peepholes
`rnn_to_pytorch` and so on       the same parameters in PyTorch's names and layout
`random_parameters`              a dict to begin with
================================ =========================================================

Examples
--------
Four steps of a GRU, then the gradients of the sum of its outputs:

>>> import numpy as np
>>> from seqrs import educational as ed
>>> p = ed.random_parameters("gru", n_x=2, n_a=3, seed=0)
>>> c, cache = ed.gru_forward(np.ones((4, 2, 1)), np.zeros((3, 1)), p)
>>> c.shape
(5, 3, 1)
>>> dx, dc0, gradients = ed.gru_backward(np.ones((4, 3, 1)), cache, p)
>>> dx.shape, dc0.shape, gradients["Wu"].shape
((4, 2, 1), (3, 1), (3, 5))

The fast layer with the same weights computes the same:

>>> from seqrs import nn
>>> layer = nn.GRU(2, 3, reset="before", dtype="float64")
>>> layer.load_state_dict(ed.gru_to_pytorch(p))
>>> y, h = layer(np.ones((1, 4, 2)))
>>> np.allclose(y[0], c[1:, :, 0])
True
"""

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "gru_backward",
    "gru_forward",
    "gru_to_pytorch",
    "lstm_backward",
    "lstm_forward",
    "lstm_to_pytorch",
    "random_parameters",
    "rnn_backward",
    "rnn_forward",
    "rnn_to_pytorch",
]

Array = NDArray[np.float64]
Parameters = dict[str, Array]
Cache = list[tuple[Array, ...]]


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
    >>> p = {"Wa": np.array([[1.0, 1.0]]), "ba": np.zeros((1, 1))}
    >>> a, cache = rnn_forward(np.full((3, 1, 1), 0.01), np.zeros((1, 1)), p)
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
    >>> p = {"Wa": np.array([[0.1, 1.0]]), "ba": np.zeros((1, 1))}
    >>> a, cache = rnn_forward(np.zeros((4, 1, 1)), np.zeros((1, 1)), p)
    >>> da = np.zeros((4, 1, 1))
    >>> da[-1] = 1
    >>> dx, da0, gradients = rnn_backward(da, cache, p)
    >>> dx.ravel().round(6).tolist()
    [0.001, 0.01, 0.1, 1.0]
    """
    n_a, d, dx, da_later = _begin(da, p, "Wa")
    for t in reversed(range(len(da))):
        v, a = cache[t]
        da_t = da[t] + da_later
        dz = da_t * (1 - a**2) if g == "tanh" else da_t * (a > 0)
        dv = _gate_backward("a", dz, v, p, d)
        da_later, dx[t] = dv[:n_a], dv[n_a:]
    return dx, da_later, d


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
    >>> p = random_parameters("gru", n_x=2, n_a=1, reset="none")
    >>> p["bu"][:] = -50
    >>> c, cache = gru_forward(np.ones((100, 2, 1)), np.array([[0.7]]), p, reset="none")
    >>> float(c[-1, 0, 0])
    0.7
    """
    n_a = len(c0)
    c = [c0]
    cache: Cache = []
    for x_t in x:
        v = np.vstack([c[-1], x_t])
        Gu = _sigmoid(p["Wu"] @ v + p["bu"])
        Gr = np.ones_like(Gu) if reset == "none" else _sigmoid(p["Wr"] @ v + p["br"])
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
    >>> p = random_parameters("gru", n_x=2, n_a=1)
    >>> p["bu"][:] = -50
    >>> c, cache = gru_forward(np.ones((100, 2, 1)), np.zeros((1, 1)), p)
    >>> dc = np.zeros((100, 1, 1))
    >>> dc[-1] = 1
    >>> dx, dc0, gradients = gru_backward(dc, cache, p)
    >>> float(dc0[0, 0])
    1.0
    """
    n_a, d, dx, dc_later = _begin(dc, p, "Wu")
    for t in reversed(range(len(dc))):
        v, Gu, Gr, inner, candidate = cache[t]
        c_prev, x_t = v[:n_a], v[n_a:]
        dc_t = dc[t] + dc_later
        dv = _gate_backward("u", dc_t * (candidate - c_prev) * Gu * (1 - Gu), v, p, d)
        dz = dc_t * Gu * (1 - candidate**2)
        if reset == "after":
            dGr, dinner = dz * inner, dz * Gr
            d["Wc"] += np.hstack([dinner @ c_prev.T, dz @ x_t.T])
            d["bcc"] += dinner.sum(axis=1, keepdims=True)
            d["bc"] += dz.sum(axis=1, keepdims=True)
            dv += np.vstack([p["Wc"][:, :n_a].T @ dinner, p["Wc"][:, n_a:].T @ dz])
        else:
            dw = _gate_backward("c", dz, np.vstack([inner, x_t]), p, d)
            dGr = dw[:n_a] * c_prev
            dv += np.vstack([dw[:n_a] * Gr, dw[n_a:]])
        if reset != "none":
            dv += _gate_backward("r", dGr * Gr * (1 - Gr), v, p, d)
        dc_later, dx[t] = dc_t * (1 - Gu) + dv[:n_a], dv[n_a:]
    return dx, dc_later, d


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
    >>> p = random_parameters("lstm", n_x=2, n_a=1)
    >>> p["bf"][:], p["bu"][:] = 50, -50
    >>> a, c, cache = lstm_forward(np.ones((100, 2, 1)), np.zeros((1, 1)), np.array([[0.7]]), p)
    >>> float(c[-1, 0, 0])
    0.7
    """

    def gate(k: str, seen: Array) -> Array:
        z = p["W" + k] @ v + p["b" + k]
        if peephole == "full":
            z += p["P" + k] @ seen
        elif peephole != "none":
            z += p["P" + k] * seen
        return _sigmoid(z)

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
    >>> p = random_parameters("lstm", n_x=2, n_a=3)
    >>> start = np.zeros((3, 1))
    >>> a, c, cache = lstm_forward(np.ones((5, 2, 1)), start, start, p)
    >>> dx, da0, dc0, gradients = lstm_backward(np.ones((5, 3, 1)), start, cache, p)
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

    n_a, d, dx, da_later = _begin(da, p, "Wc")
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
        dv = _gate_backward("u", dz_u, v, p, d) + _gate_backward("f", dz_f, v, p, d)
        dv += _gate_backward("o", dz_o, v, p, d) + _gate_backward("c", dz_c, v, p, d)
        da_later, dx[t] = dv[:n_a], dv[n_a:]
    return dx, da_later, dc_later, d


def rnn_to_pytorch(p: Parameters) -> Parameters:
    """Return a plain cell's parameters in the names and layout of ``torch.nn.RNN``.

    PyTorch has two biases where the notes have one, so its second is zero.

    Examples
    --------
    >>> p = random_parameters("rnn", n_x=2, n_a=3)
    >>> {name: array.shape for name, array in rnn_to_pytorch(p).items()}
    {'weight_ih_l0': (3, 2), 'weight_hh_l0': (3, 3), 'bias_ih_l0': (3,), 'bias_hh_l0': (3,)}
    """
    return _stacked(p, ["a"])


def gru_to_pytorch(p: Parameters) -> Parameters:
    """Return a GRU's parameters in the names and layout of ``torch.nn.GRU``: gates r, z, n.

    PyTorch's z is the share of the old state that is kept, 1 - Gu, and σ(-s) = 1 - σ(s): the
    rows of z are those of Gu *negated*. They can be loaded into :class:`seqrs.nn.GRU` with the
    same `reset`; into ``torch.nn.GRU`` only if that is "after".

    Examples
    --------
    >>> p = random_parameters("gru", n_x=2, n_a=3)
    >>> z = gru_to_pytorch(p)["weight_hh_l0"][3:6]
    >>> bool((z == -p["Wu"][:, :3]).all())
    True
    """
    negated = {**p, "Wu": -p["Wu"], "bu": -p["bu"]}
    result = _stacked(negated, ["r", "u", "c"] if "Wr" in p else ["u", "c"])
    if "bcc" in p:
        result["bias_hh_l0"][-len(p["bcc"]) :] = p["bcc"][:, 0]
    return result


def lstm_to_pytorch(p: Parameters, peephole: str = "none") -> Parameters:
    """Return an LSTM's parameters in the names and layout of ``torch.nn.LSTM``: gates i, f, g, o.

    These are Gu, Gf, c~, Go. Peepholes, which PyTorch has not, become ``weight_ch_l0`` as in
    :class:`seqrs.nn.LSTM`, in the order i, f, o.

    Examples
    --------
    >>> p = random_parameters("lstm", n_x=2, n_a=3)
    >>> o = lstm_to_pytorch(p)["weight_ih_l0"][9:]
    >>> bool((o == p["Wo"][:, 3:]).all())
    True
    """
    result = _stacked(p, ["u", "f", "c", "o"])
    if peephole != "none":
        peepholes = np.vstack([p["Pu"], p["Pf"], p["Po"]])
        result["weight_ch_l0"] = peepholes if peephole == "full" else peepholes[:, 0]
    return result


def random_parameters(
    cell: str, n_x: int, n_a: int, *, reset: str = "before", peephole: str = "none", seed: int = 0
) -> Parameters:
    """Return parameters for a cell, drawn uniformly between -1/sqrt(n_a) and 1/sqrt(n_a).

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
        The kind of cell.
    n_x, n_a : int
        The number of features and of hidden units.
    reset, peephole : str
        The form, as :func:`gru_forward` and :func:`lstm_forward` take it.
    seed : int, default 0
        For the draw.

    Returns
    -------
    dict
        What the cell's forward function takes as `p`.

    Examples
    --------
    >>> {name: array.shape for name, array in random_parameters("rnn", n_x=2, n_a=3).items()}
    {'Wa': (3, 5), 'ba': (3, 1)}
    """
    gates = {"rnn": "a", "gru": "uc" if reset == "none" else "urc", "lstm": "ufoc"}[cell]
    shapes = {"W" + k: (n_a, n_a + n_x) for k in gates} | {"b" + k: (n_a, 1) for k in gates}
    if cell == "gru" and reset == "after":
        shapes["bcc"] = (n_a, 1)
    if cell == "lstm" and peephole != "none":
        shapes |= {"P" + k: (n_a, n_a if peephole == "full" else 1) for k in "ufo"}
    draw, bound = np.random.default_rng(seed), n_a**-0.5
    return {name: draw.uniform(-bound, bound, shape) for name, shape in shapes.items()}


def _sigmoid(z: Array) -> Array:
    """σ(z) = 1 / (1 + exp(-z)), in a form that does not overflow."""
    return 0.5 * (1 + np.tanh(0.5 * z))


def _begin(da: Array, p: Parameters, name: str) -> tuple[int, Parameters, Array, Array]:
    """Return n_a, zero gradients of the parameters, room for dx, and no gradient from later steps."""
    steps, n_a, m = da.shape
    n_x = p[name].shape[1] - n_a
    gradients = {name: np.zeros_like(value) for name, value in p.items()}
    return n_a, gradients, np.zeros((steps, n_x, m)), np.zeros((n_a, m))


def _gate_backward(k: str, dz: Array, v: Array, p: Parameters, d: Parameters) -> Array:
    """Add to the gradients of Wk and bk in z = Wk v + bk, and return that of v."""
    d["W" + k] += dz @ v.T
    d["b" + k] += dz.sum(axis=1, keepdims=True)
    return p["W" + k].T @ dz


def _stacked(p: Parameters, gates: list[str]) -> Parameters:
    """Put gates one below the other, and their two blocks apart: the hidden block comes first."""
    W = np.vstack([p["W" + k] for k in gates])
    b = np.concatenate([p["b" + k][:, 0] for k in gates])
    n_a = len(p["W" + gates[0]])
    return {
        "weight_ih_l0": W[:, n_a:],
        "weight_hh_l0": W[:, :n_a],
        "bias_ih_l0": b,
        "bias_hh_l0": np.zeros_like(b),
    }
