"""Which weights a cell has, in the notes' form and in that of PyTorch and :mod:`seqrs.nn`."""

from dataclasses import dataclass, replace

import numpy as np

from seqrs.educational._arrays import Weights

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Layout:
    """Where a cell's weights are in the notes' form and in PyTorch's."""

    gates: str  # letters of the notes, in the order of the rows of weight_ih
    negated: str = ""  # gates whose rows are the notes' negated: σ(-s) = 1 - σ(s)
    recurrent: bool = True  # whether the gates see the hidden state
    peepholes: str = ""  # gates with a peephole, in the order of weight_ch
    peephole_matrix: bool = False
    inner_bias: bool = False  # whether c~ has a second bias, bcc, that cannot be added to the first
    coupled: bool = False  # Gf = 1 - Gu, so there are no rows for f

    def notes(self, n_x: int, n_a: int) -> Shapes:
        """Return the notes' names and shapes."""
        f = "f" if self.coupled else ""
        shapes: Shapes = {"W" + k: (n_a, n_a * self.recurrent + n_x) for k in self.gates + f}
        shapes |= {"b" + k: (n_a, 1) for k in self.gates + f}
        shapes |= {"bcc": (n_a, 1)} if self.inner_bias else {}
        width = n_a if self.peephole_matrix else 1
        return shapes | {"P" + k: (n_a, width) for k in self.peepholes + (f if self.peepholes else "")}

    def pytorch(self, n_x: int, n_a: int, bias: bool) -> Shapes:
        """Return PyTorch's names, without layer and direction, and shapes."""
        rows, seen = len(self.gates) * n_a, len(self.peepholes) * n_a
        shapes: Shapes = {"weight_ih": (rows, n_x)}
        shapes |= {"weight_hh": (rows, n_a)} if self.recurrent else {}
        shapes |= {"bias_ih": (rows,)} if bias else {}
        shapes |= {"bias_hh": (rows,)} if bias and self.recurrent else {}
        if self.peepholes:
            shapes["weight_ch"] = (seen, n_a) if self.peephole_matrix else (seen,)
        return shapes


LAYOUTS = {
    "rnn": dict.fromkeys(["", "tanh", "relu"], Layout("a")),
    "gru": {
        "after": Layout("ruc", negated="u", inner_bias=True),
        "before": Layout("ruc", negated="u"),
        "none": Layout("uc", negated="u"),
    },
    "lstm": {
        "none": Layout("ufco"),
        "full": Layout("ufco", peepholes="ufo", peephole_matrix=True),
        "prev": Layout("ufco", peepholes="ufo"),
        "current": Layout("ufco", peepholes="ufo"),
    },
    "mingru": {"": Layout("uc", recurrent=False)},
    "minlstm": {"": Layout("fuc", recurrent=False)},
}


def layout_of(cell: str, form: str, coupled: bool = False) -> Layout:
    """Return the layout of a cell in one of its forms."""
    if cell not in LAYOUTS:
        raise ValueError(f"cell: expected one of {', '.join(LAYOUTS)}, got {cell!r}")
    if form not in LAYOUTS[cell]:
        forms = ", ".join(map(repr, LAYOUTS[cell]))
        raise ValueError(f"form: expected one of {forms} for {cell}, got {form!r}")
    layout = LAYOUTS[cell][form]
    if not coupled:
        return layout
    if cell != "lstm":
        raise ValueError(f"coupled: only an lstm has two gates to couple, got {cell}")
    return replace(layout, gates="uco", peepholes=layout.peepholes.replace("f", ""), coupled=True)


def random_parameters(
    cell: str, n_x: int, n_a: int, *, reset: str = "before", peephole: str = "none", seed: int = 0
) -> Weights:
    """Return parameters for a cell, drawn uniformly between -1/sqrt(n_a) and 1/sqrt(n_a).

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm", "mingru", "minlstm"}
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

    Raises
    ------
    ValueError
        If there is no such cell or form.

    Examples
    --------
    >>> from seqrs import educational as ed
    >>> {name: array.shape for name, array in ed.random_parameters("rnn", n_x=2, n_a=3).items()}
    {'Wa': (3, 5), 'ba': (3, 1)}
    """
    layout = layout_of(cell, {"gru": reset, "lstm": peephole}.get(cell, ""))
    draw, bound = np.random.default_rng(seed), n_a**-0.5
    return {name: draw.uniform(-bound, bound, shape) for name, shape in layout.notes(n_x, n_a).items()}
