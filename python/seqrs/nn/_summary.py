"""The table that ``print(layer)`` shows."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line.

    Attributes
    ----------
    label : str
        What it is.
    width : int or None
        Of its output.
    steps : bool
        Whether its output has a time axis.
    parameters : list of (str, int, bool)
        Names, sizes and frozenness of its own parameters.
    place : str
        Its number in a :class:`seqrs.nn.Sequential`.
    note : str
        Something to know about it.
    """

    label: str
    width: int | None
    steps: bool
    parameters: list[tuple[str, int, bool]]
    place: str = ""
    note: str = ""


def table(title: str, rows: list[Row]) -> str:
    """Return the rows as a table under a title, with the total below."""
    total = sum(size for row in rows for _, size, _ in row.parameters)
    trainable = sum(size for row in rows for _, size, frozen in row.parameters if not frozen)
    lines = [["", "layer", "output", "parameters", ""]]
    lines += [
        [row.place, row.label, _shape(row), f"{sum(size for _, size, _ in row.parameters):,}", _note(row)]
        for row in rows
    ]
    lines += [["", "total", "", f"{total:,}", ""], ["", "trainable", "", f"{trainable:,}", ""]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join(
            cell.rjust(width) if i == 3 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            if width > 0
        ).rstrip()
        for line in lines
    ]
    return "\n".join([title, *text])


def _shape(row: Row) -> str:
    return f"(B, {'T, ' if row.steps else ''}{'I' if row.width is None else row.width})"


def _note(row: Row) -> str:
    frozen = "frozen" if row.parameters and all(frozen for *_, frozen in row.parameters) else ""
    return row.note or frozen
