"""Axes to draw on."""

from importlib import import_module
from typing import Any


def new_axes(rows: int = 1, **options: Any) -> Any:
    """Return matplotlib's axes on a new figure: one, or an array of several above each other.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        pyplot = import_module("matplotlib.pyplot")
    except ImportError:
        raise ImportError(
            'plot: needs the package matplotlib, which is not installed: pip install "seqrs[plot]"'
        ) from None
    _, axes = pyplot.subplots(rows, layout="constrained", **options)
    return axes
