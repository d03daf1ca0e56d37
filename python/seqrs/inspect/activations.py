"""What single units do along a text."""

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from seqrs import _check
from seqrs.inspect._reading import recurrence
from seqrs.inspect._stack import histories
from seqrs.models import LanguageModel

__all__ = ["Activations", "activations"]

_POSITIVE, _NEGATIVE = "222, 84, 32", "40, 110, 220"  # red, green, blue
_LINE_END = "\n", "↵\n"  # a line end has something to colour, too
_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font-family: sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #111; background: #fff }}
pre {{ font-size: 1.05em; line-height: 1.6; white-space: pre-wrap; overflow-wrap: anywhere }}
</style>
<h1>{title}</h1>
<p>The value of a unit after each token: <span style="background: rgba({positive}, 0.7)">positive</span>,
<span style="background: rgba({negative}, 0.7)">negative</span>, white is zero; darkest is {scale:.3g}.
The number itself is shown under the pointer.</p>
{units}
</html>
"""


@dataclass(frozen=True)
class Activations:
    """The result of :func:`activations`.

    Attributes
    ----------
    tokens : list of str
        The text's tokens.
    values : ndarray of shape (T, U)
        The value of each unit after each token.
    units : list of int
        Their numbers.
    layer : int
        Whose units they are.
    part : str
        ``"h"`` or ``"c"``.
    separator : str
        What stands between tokens in the page: nothing, or a blank between words.

    Examples
    --------
    >>> import seqrs
    >>> from seqrs import inspect
    >>> model = seqrs.LanguageModel(hidden_size=8, num_layers=1, seed=0)
    >>> _ = model.fit("so <so> " * 50, epochs=1, progress=False)
    >>> found = inspect.activations(model, "so <so>", units=[3])
    >>> found.tokens, found.values.shape
    (['s', 'o', ' ', '<', 's', 'o', '>'], (7, 1))
    >>> page = found.html()
    >>> "&lt;</span>" in page, "http" in page
    (True, False)
    """

    tokens: list[str]
    values: NDArray[np.float64]
    units: list[int]
    layer: int
    part: str
    separator: str

    def rows(self) -> list[dict[str, Any]]:
        """Return a dict for each token, with the value of each unit."""
        return [
            {"token": token}
            | {f"unit {unit}": float(value) for unit, value in zip(self.units, of, strict=True)}
            for token, of in zip(self.tokens, self.values, strict=True)
        ]

    def html(self) -> str:
        """Return a page with the text coloured by each unit; it refers to nothing outside itself.

        Returns
        -------
        str
        """
        scale = float(np.abs(self.values).max()) or 1.0
        sections = []
        for unit, values in zip(self.units, self.values.T, strict=True):
            spans = self.separator.join(
                f'<span title="{value:.3f}" style="background: '
                f'rgba({_POSITIVE if value > 0 else _NEGATIVE}, {abs(value) / scale:.2f})">'
                f"{html.escape(token.replace(*_LINE_END))}</span>"
                for token, value in zip(self.tokens, values, strict=True)
            )
            sections.append(f"<h2>Unit {unit}</h2>\n<pre>{spans}</pre>")
        return _PAGE.format(
            title=f"Units of layer {self.layer}, {self.part}",
            positive=_POSITIVE,
            negative=_NEGATIVE,
            scale=scale,
            units="\n".join(sections),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file.

        Parameters
        ----------
        path : str or path
            The file, by custom ``NAME.html``.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        Path(path).write_text(self.html(), encoding="utf-8")


def activations(
    model: LanguageModel,
    text: str,
    *,
    units: SupportsIndex | Sequence[SupportsIndex] | None = None,
    layer: SupportsIndex = -1,
    part: str = "h",
) -> Activations:
    """Return the value of units after each token of a text (Karpathy, Johnson and Fei-Fei 2015).

    Some units of a character model can be read: they count the length of a line, or are on
    within quotation marks.

    Parameters
    ----------
    model : LanguageModel
        A fitted one.
    text : str
        One document: the text itself, never a file's name.
    units : int or sequence of int, optional
        Which. Default: the five whose values differ most along the text.
    layer : int, default -1
        Whose units, from 0; -1 is the last.
    part : {"h", "c"}, default "h"
        The output, or the memory of an LSTM.

    Returns
    -------
    Activations
        The numbers; ``.html()`` and ``.save("page.html")`` colour the text by them.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit, or the text is empty.
    RuntimeError
        If the model is not fitted.

    Examples
    --------
    >>> import seqrs
    >>> from seqrs import inspect
    >>> model = seqrs.LanguageModel(hidden_size=8, num_layers=2, seed=0)
    >>> _ = model.fit("(a) (bb) " * 50, epochs=1, progress=False)
    >>> inspect.activations(model, "(a) (b)", part="c").save("units.html")
    """
    if not isinstance(model, LanguageModel):
        raise TypeError(f"model: expected a LanguageModel, got {type(model).__name__}")
    if not isinstance(text, str):
        raise TypeError(f"text: expected a str, got {_check.describe(text)}")
    layers = model.num_layers
    number = _check.integer("layer", layer, minimum=-layers, maximum=layers - 1) % layers
    _check.choice("part", part, ("h", "c") if model.cell == "lstm" else ("h",))
    tokens, numbers = model._fitted().prompt(text)
    if not tokens:
        raise ValueError("text: expected at least one token, got none")
    stack, x, _ = recurrence(model, numbers[None])
    history = histories(stack, x, None, np.ones((1, len(numbers)), np.bool_))[number]
    values = history.after[part][0, 1:].astype(np.float64)  # the first step reads the zero vector
    H = values.shape[1]
    if units is None:
        chosen = sorted(np.argsort(-values.std(axis=0), kind="stable")[:5].tolist())
    elif isinstance(units, Sequence):
        chosen = [
            _check.integer(f"units[{i}]", unit, minimum=0, maximum=H - 1) for i, unit in enumerate(units)
        ]
    else:
        chosen = [_check.integer("units", units, minimum=0, maximum=H - 1)]
    if not chosen:
        raise ValueError("units: expected at least one, got none")
    separator = "" if model.level in ("char", "byte") else " "
    return Activations(tokens, values[:, chosen], chosen, number, part, separator)
