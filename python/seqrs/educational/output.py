"""The weights of a linear output in the notes' form, and back."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from seqrs.educational._arrays import Weights, floats, matrix, refuse_biases, shaped


def output_to_notes(state_dict: Mapping[str, ArrayLike], *, prefix: str = "") -> Weights:
    """Return the weights of a linear output, ŷ<t> = g(Wya a<t> + by), as the notes write them.

    Parameters
    ----------
    state_dict : mapping of str to array
        ``weight`` of shape (O, H) and, unless there is none, ``bias`` of shape (O,).
    prefix : str, default ""
        Convert the names that begin with it and leave all others out.

    Returns
    -------
    dict
        ``Wya`` of shape (n_y, n_a) and ``by`` of shape (n_y, 1).

    Raises
    ------
    ValueError, TypeError
        As :func:`to_notes`.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import educational as ed
    >>> p = ed.output_to_notes({"weight": np.ones((2, 3)), "bias": np.zeros(2)})
    >>> p["Wya"].shape, p["by"].shape
    ((2, 3), (2, 1))
    """
    given = {name: value for name, value in state_dict.items() if name.startswith(prefix)}
    weight, bias = prefix + "weight", prefix + "bias"
    arrays = floats("state_dict", given, [weight, bias] if bias in given else [weight], "a linear output")
    n_y, _ = matrix(f"state_dict: {weight}", arrays[weight])
    by = shaped(f"state_dict: {bias}", arrays.get(bias, np.zeros(n_y, arrays[weight].dtype)), (n_y,))
    return {"Wya": arrays[weight].copy(), "by": by[:, None].copy()}


def output_from_notes(p: Mapping[str, ArrayLike], *, bias: bool = True, prefix: str = "") -> Weights:
    """Return the weights of a linear output under PyTorch's names: the reverse of :func:`output_to_notes`.

    Parameters
    ----------
    p : dict
        ``Wya`` and ``by``.
    bias : bool, default True
        Whether the layer has a bias. If not, that of the notes must be zero.
    prefix : str, default ""
        Put before every name.

    Returns
    -------
    dict of str to ndarray
        For ``load_state_dict``.

    Raises
    ------
    ValueError, TypeError
        As :func:`from_notes`.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import educational as ed
    >>> p = {"Wya": np.ones((2, 3)), "by": np.zeros((2, 1))}
    >>> sorted(ed.output_from_notes(p, prefix="1."))
    ['1.bias', '1.weight']
    """
    arrays = floats("p", p, ["Wya", "by"], "the notes' output")
    n_y, _ = matrix("p: Wya", arrays["Wya"])
    by = shaped("p: by", arrays["by"], (n_y, 1))
    result = {prefix + "weight": arrays["Wya"].copy()}
    if bias:
        return result | {prefix + "bias": by[:, 0].copy()}
    refuse_biases("p", {"by": by})
    return result
