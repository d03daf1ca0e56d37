"""The weights of recurrent layers in the notes' form, and back."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from seqrs.educational._arrays import Weights, floats, matrix, refuse_biases, shaped
from seqrs.educational.layout import Layout, layout_of

# What a layer may have and the notes' equations have no place for.
_NO_PLACE = {
    r"weight_hr": "a projection; the notes' a<t> is a gate times the memory, with no matrix behind it",
    r"gain_\w+|bias_c": "layer normalisation; the notes' gates are linear in what they see",
    r"initial_[hc]": "a learned initial state; the notes give a<0> and c<0> beside the weights",
}


def to_notes(
    state_dict: Mapping[str, ArrayLike],
    cell: str,
    form: str = "",
    *,
    coupled: bool = False,
    prefix: str = "",
) -> list[Weights]:
    r"""Return the weights of a stack of recurrent layers as the notes write them.

    Each gate k of each layer gets one matrix ``Wk = [Wka | Wkx]``, hidden block first, and one
    bias ``bk``:

    ============ ============================ ===================================================
    rnn          ``Wa``
    gru          ``Wr``, ``Wu``, ``Wc``       rows r, z, n. Γu is 1 - z, so Wu and bu are the rows
                                              of z *negated*. With "after" also ``bcc``, the bias
                                              inside the product with Γr
    lstm         ``Wu``, ``Wf``, ``Wc``,      rows i, f, g, o. Peepholes are ``Pu``, ``Pf``, ``Po``
                 ``Wo``
    mingru       ``Wu``, ``Wc``               rows z, n, without a hidden block; z is Γu itself
    minlstm      ``Wf``, ``Wu``, ``Wc``       rows f, i, n, without a hidden block
    ============ ============================ ===================================================

    PyTorch has two biases where the notes have one: their sum, or zero if there are none. Both
    forms compute the same, and :func:`from_notes` leads back: from the notes and to the notes
    again, every bit is the same.

    Activations, clipping and residual connections are no weights; nothing here looks at them.

    Parameters
    ----------
    state_dict : mapping of str to array
        What ``state_dict()`` of a layer of :mod:`seqrs.nn` or of a PyTorch module returns.
    cell : {"rnn", "gru", "lstm", "mingru", "minlstm"}
        The kind of cell.
    form : str
        For "gru" where the reset gate acts, "after", "before" or "none"; for "lstm" what the
        gates see of the memory, "none", "full", "prev" or "current". The shapes do not tell, so
        it has to be given. The others have one form.
    coupled : bool, default False
        Whether the forget gate of an LSTM is 1 - Γu. Its weights are then those of Γu negated.
    prefix : str, default ""
        Convert the names that begin with it, such as ``"1."`` for block 1 of a ``Sequential``,
        and leave all others out.

    Returns
    -------
    list of dict
        One for each layer, or for each layer forward and reverse if it is bidirectional: in
        the order of the layers' states. In the dtype of the weights.

    Raises
    ------
    ValueError
        If names are missing, unexpected or of another shape, or the weights hold something
        that the notes' equations have no place for: a projection, layer normalisation, a
        learned initial state.
    TypeError
        If an array does not hold floats.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import educational as ed, nn
    >>> layer = nn.LSTM(2, 3, num_layers=2, dtype="float64")
    >>> first, second = ed.to_notes(layer.state_dict(), "lstm", "none")
    >>> first["Wu"].shape, second["Wu"].shape, first["bu"].shape
    ((3, 5), (3, 6), (3, 1))
    >>> start = np.zeros((3, 1))
    >>> a1, _, _ = ed.lstm_forward(np.ones((4, 2, 1)), start, start, first)
    >>> a2, _, _ = ed.lstm_forward(a1[1:], start, start, second)
    >>> y, state = layer(np.ones((1, 4, 2)))
    >>> np.allclose(a2[1:, :, 0], y[0])
    True
    """
    layout = layout_of(cell, form, coupled)
    given = {name: value for name, value in state_dict.items() if name.startswith(prefix)}
    matches = [re.fullmatch(r"(\w+)_l(\d+)(_reverse)?", name.removeprefix(prefix)) for name in given]
    found = [match for match in matches if match]
    for match in found:
        for pattern, reason in _NO_PLACE.items():
            if re.fullmatch(pattern, match[1]):
                raise ValueError(f"state_dict: {prefix}{match[0]} has no place in the notes' form: {reason}")
    layers = max(1, len({match[2] for match in found}))
    directions = ("", "_reverse") if any(match[3] for match in found) else ("",)
    suffixes = [f"_l{k}{direction}" for k in range(layers) for direction in directions]
    bias = any(match[1].startswith("bias") for match in found)
    owner = f"a stack of {layers} {cell} ({form or 'its one form'})"
    kinds = layout.pytorch(0, 0, bias)
    arrays = floats(
        "state_dict", given, [prefix + kind + suffix for suffix in suffixes for kind in kinds], owner
    )
    result = []
    for suffix in suffixes:
        scan = {kind: arrays[prefix + kind + suffix] for kind in kinds}
        rows, n_x = matrix(f"state_dict: {prefix}weight_ih{suffix}", scan["weight_ih"])
        for kind, shape in layout.pytorch(n_x, rows // len(layout.gates), bias).items():
            shaped(f"state_dict: {prefix}{kind}{suffix}", scan[kind], shape)
        result.append(_scan_to_notes(scan, layout))
    return result


def from_notes(
    params: Mapping[str, ArrayLike] | Sequence[Mapping[str, ArrayLike]],
    cell: str,
    form: str = "",
    *,
    bidirectional: bool = False,
    bias: bool = True,
    coupled: bool = False,
    prefix: str = "",
) -> Weights:
    """Return weights in the notes' form under PyTorch's names: the reverse of :func:`to_notes`.

    The result can be loaded into the layer of :mod:`seqrs.nn` of the same cell and form, and
    into PyTorch's if that has the form: a GRU with "after", an LSTM with "none". The notes' one
    bias becomes ``bias_ih``, and ``bias_hh`` is zero, but for ``bcc``.

    Parameters
    ----------
    params : dict, or sequence of dict
        The weights of one layer, or of each layer (and direction) as :func:`to_notes` returns
        them.
    cell, form, coupled, prefix
        As for :func:`to_notes`. The prefix is put before every name.
    bidirectional : bool, default False
        Whether `params` are of a layer forward, the same layer reverse, the next one forward,
        and so on.
    bias : bool, default True
        Whether the layer has biases. If not, those of the notes must be zero.

    Returns
    -------
    dict of str to ndarray
        For ``load_state_dict``, in the dtype of the weights.

    Raises
    ------
    ValueError
        If names are missing, unexpected or of another shape, or the layer cannot represent the
        weights: biases in one without, a forget gate other than 1 - Γu in a coupled one.
    TypeError
        If an array does not hold floats.

    Examples
    --------
    >>> from seqrs import educational as ed, nn
    >>> p = ed.random_parameters("gru", n_x=2, n_a=3, reset="before")
    >>> weights = ed.from_notes(p, "gru", "before")
    >>> nn.GRU(2, 3, reset="before", dtype="float64").load_state_dict(weights)
    >>> z = weights["weight_hh_l0"][3:6]
    >>> bool((z == -p["Wu"][:, :3]).all())
    True
    """
    layout = layout_of(cell, form, coupled)
    scans = [params] if isinstance(params, Mapping) else list(params)
    if not scans or (bidirectional and len(scans) % 2):
        wanted = "one dict for each layer" + (", forward and reverse" if bidirectional else "")
        raise ValueError(f"params: expected {wanted}, got {len(scans)}")
    result: Weights = {}
    directions = ("", "_reverse") if bidirectional else ("",)
    for i, given in enumerate(scans):
        k, direction = divmod(i, len(directions))
        label = f"params[{i}]"
        p = floats(label, given, layout.notes(0, 0), f"the notes' {cell} ({form or 'its one form'})")
        n_a, columns = matrix(f"{label}: W{layout.gates[0]}", p["W" + layout.gates[0]])
        for name, shape in layout.notes(columns - n_a * layout.recurrent, n_a).items():
            shaped(f"{label}: {name}", p[name], shape)
        if columns <= n_a * layout.recurrent:
            raise ValueError(
                f"{label}: W{layout.gates[0]} has {columns} columns: {n_a} for a<t-1>, none for x<t>"
            )
        for name, value in _scan_from_notes(p, layout, bias, label).items():
            result[f"{prefix}{name}_l{k}{directions[direction]}"] = value
    return result


def _scan_to_notes(scan: Weights, layout: Layout) -> Weights:
    """Turn one layer in one direction to the notes' form."""
    gates = layout.gates
    W = np.hstack([scan["weight_hh"], scan["weight_ih"]]) if layout.recurrent else scan["weight_ih"]
    b = scan.get("bias_ih", np.zeros(len(W), W.dtype))
    inner = scan.get("bias_hh", np.zeros_like(b))
    n_a = len(W) // len(gates)
    rows = [slice(i * n_a, (i + 1) * n_a) for i in range(len(gates))]
    p = {"W" + k: W[row].copy() for k, row in zip(gates, rows, strict=True)}
    for k, row in zip(gates, rows, strict=True):
        apart = layout.inner_bias and k == "c"
        # Nothing is added to what came from one bias: -0.0 + 0.0 would be 0.0.
        p["b" + k] = np.where(apart | (inner[row] == 0), b[row], b[row] + inner[row])[:, None]
    if layout.inner_bias:
        p["bcc"] = inner[rows[-1], None].copy()
    for k in layout.negated:
        p["W" + k], p["b" + k] = -p["W" + k], -p["b" + k]
    for i, k in enumerate(layout.peepholes):
        p["P" + k] = scan["weight_ch"][rows[i]].reshape(n_a, -1).copy()
    if layout.coupled:
        p |= {name[0] + "f": -p[name] for name in ("Wu", "bu", "Pu") if name in p}
    return p


def _scan_from_notes(p: Weights, layout: Layout, bias: bool, label: str) -> Weights:
    """Turn one layer in one direction from the notes' form."""
    if layout.coupled:
        for u in ("Wu", "bu", "Pu"):
            if u in p and not np.array_equal(p[u[0] + "f"], -p[u]):
                raise ValueError(
                    f"{label}: a coupled forget gate is 1 - Γu, which cannot represent {u[0]}f other than -{u}"
                )
    if not bias:
        refuse_biases(label, {name: value for name, value in p.items() if name.startswith("b")})
    sign = {k: -1 if k in layout.negated else 1 for k in layout.gates}
    W = np.concatenate([sign[k] * p["W" + k] for k in layout.gates])
    n_hidden = len(W) // len(layout.gates) if layout.recurrent else 0
    result = {"weight_ih": W[:, n_hidden:].copy()}
    if layout.recurrent:
        result["weight_hh"] = W[:, :n_hidden].copy()
    if bias:
        result["bias_ih"] = np.concatenate([sign[k] * p["b" + k][:, 0] for k in layout.gates])
        if layout.recurrent:
            result["bias_hh"] = np.zeros_like(result["bias_ih"])
    if bias and layout.inner_bias:
        result["bias_hh"][-n_hidden:] = p["bcc"][:, 0]
    if layout.peepholes:
        peepholes = np.concatenate([p["P" + k] for k in layout.peepholes])
        result["weight_ch"] = peepholes if layout.peephole_matrix else peepholes[:, 0]
    return result
