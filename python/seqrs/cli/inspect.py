"""``seqrs inspect``: what a model does with its memory."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import seqrs
from seqrs.cli import _json
from seqrs.cli._arguments import add_device, add_threads, check_folder, refuse_idle, use_threads
from seqrs.cli._texts import documents

_VIEWS = {
    "gradients": "norm of the gradient of the loss by the states so many steps back",
    "gates": "mean of each gate, and the shares that are shut (below 0.1) and open (above 0.9)",
    "norms": "length of the states after each step",
    "nan": "the first NaN or infinity",
    "activations": "what units of a language model do after each token",
    "attention": "where each token of the translation of the first line was looked up; of a model with attention "
    "for its pooling, how much it looks at each token of that line",
}

# Options that one view alone reads, with their defaults.
_ONLY_WITH = (
    ("lags", "show", "gradients"),
    ("units", "show", "activations"),
    ("layer", "show", "activations"),
    ("part", "show", "activations"),
)
_DEFAULTS: dict[str, Any] = {"lags": None, "units": None, "layer": -1, "part": "h"}


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "inspect",
        help="show what a model does with its memory",
        description="Show what a model does with its memory while it reads a text: as a table, as a picture "
        "(which needs matplotlib), or for activations as a page of HTML.",
        epilog="views: " + "; ".join(f"{name}: {about}" for name, about in _VIEWS.items()),
    )
    parser.add_argument("model", type=Path, help="a model file")
    parser.add_argument("text", nargs="?", type=Path, help="a UTF-8 text file (default: standard input)")
    parser.add_argument("--show", choices=_VIEWS, default="gradients", help="what (default: gradients)")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="draw into this file, such as gates.png or gates.svg, instead of printing; activations go into an .html",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="a line of JSON for each row of the table; NaN and infinities are strings there",
    )
    parser.add_argument(
        "--length", type=int, default=2000, metavar="N", help="most characters to read (default: 2000)"
    )
    parser.add_argument(
        "--lags",
        type=int,
        metavar="N",
        default=argparse.SUPPRESS,
        help="gradients: how many steps back (default: 100)",
    )
    parser.add_argument(
        "--units",
        type=_numbers,
        metavar="N,N,...",
        default=argparse.SUPPRESS,
        help="activations: which units (default: the five that change most)",
    )
    parser.add_argument(
        "--layer",
        type=int,
        metavar="N",
        default=argparse.SUPPRESS,
        help="activations: from 0; -1 is the last (default: -1)",
    )
    parser.add_argument(
        "--part",
        choices=("h", "c"),
        default=argparse.SUPPRESS,
        help="activations: output, or an LSTM's memory (default: h)",
    )
    add_device(parser)
    add_threads(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from seqrs import _check, inspect

    refuse_idle(options, _ONLY_WITH, _DEFAULTS)
    options = argparse.Namespace(**(_DEFAULTS | vars(options)))
    if options.output is not None:
        _check_output(options.output, options.show)
    use_threads(options)
    model = seqrs.load(options.model, device=options.device)
    length = _check.integer("--length", options.length, minimum=1)
    texts = list(_shortened(_documents(options, model), length))
    if options.show == "nan":
        found = inspect.first_nan(model, texts)
        if options.json:
            print(_json.line(None if found is None else found.rows()[0]))
        else:
            print("no NaN, no infinity" if found is None else found)
        if found is not None and options.output is not None:
            found.plot().figure.savefig(options.output)
        return
    rows, draw = _VIEWERS[options.show](model, texts, options)
    if options.output is not None:
        draw(options.output)
    if options.output is None or options.json:
        _print(rows, as_json=options.json)


def _check_output(output: Path, show: str) -> None:
    """Refuse a file that cannot be written, or of whose kind the view is not."""
    check_folder(output)
    if show == "activations" and output.suffix.lower() not in {".html", ".htm"}:
        raise ValueError(f"-o: expected an .html file for --show activations, got {output}")
    if not output.suffix:
        raise ValueError(f"-o: expected a file of some kind of picture, such as {output}.png, got {output}")


# The rows of a view's table, and what draws it into a file.
_View = tuple[list[dict[str, Any]], Callable[[Path], None]]


def _gradients(model: Any, texts: list[str], options: argparse.Namespace) -> _View:
    from seqrs import inspect

    result = inspect.gradient_by_lag(model, texts, lags=options.lags)
    return result.rows(), lambda path: result.plot().figure.savefig(path)


def _gates(model: Any, texts: list[str], _: argparse.Namespace) -> _View:
    from seqrs import inspect

    result = inspect.gate_statistics(model, texts)
    return result.rows(), lambda path: result.plot()[0].figure.savefig(path)


def _norms(model: Any, texts: list[str], _: argparse.Namespace) -> _View:
    from seqrs import inspect

    result = inspect.hidden_norms(model, texts)
    return result.rows(), lambda path: result.plot().figure.savefig(path)


def _activations(model: Any, texts: list[str], options: argparse.Namespace) -> _View:
    from seqrs import inspect

    result = inspect.activations(model, texts[0], units=options.units, layer=options.layer, part=options.part)
    return result.rows(), result.save


def _attention(model: Any, texts: list[str], _: argparse.Namespace) -> _View:
    from seqrs import inspect

    if not isinstance(model, seqrs.Translator):
        (weights,) = inspect.pooling_weights(model, texts[:1])
        tokens = model.reader.tokenizer.tokenize(texts[0])
        label = str(model.predict(texts[:1])[0])
        return (
            [{"token": token, "weight": float(of)} for token, of in zip(tokens, weights, strict=True)],
            lambda path: inspect.attention_map([weights], tokens, [label]).figure.savefig(path),
        )
    found = model.translate(texts[:1])[0][0]
    source = [f"{s} {token}" for s, token in enumerate(found.source_tokens)]
    rows = [
        {"token": token} | dict(zip(source, map(float, weights), strict=True))
        for token, weights in zip(found.tokens, found.attention, strict=True)
    ]
    return rows, lambda path: inspect.attention_map(
        found.attention, found.source_tokens, found.tokens
    ).figure.savefig(path)


_VIEWERS: dict[str, Callable[[Any, list[str], argparse.Namespace], _View]] = {
    "gradients": _gradients,
    "gates": _gates,
    "norms": _norms,
    "activations": _activations,
    "attention": _attention,
}


def _documents(options: argparse.Namespace, model: Any) -> Sequence[str]:
    """Return what a model reads: the documents of a language model, lines for every other one."""
    kind, needed = type(model).__name__, ""
    if options.show == "activations" and not isinstance(model, seqrs.LanguageModel):
        needed = "a LanguageModel"
    attends = isinstance(model, seqrs.Translator) or getattr(model, "pooling", None) == "attention"
    if options.show == "attention" and not attends:
        needed = 'a Translator, or a model with pooling="attention"'
    if needed:
        raise ValueError(f"--show {options.show}: expected {needed}, {options.model} is a {kind}")
    if isinstance(model, seqrs.LanguageModel):
        return documents(options.text, model.documents)
    if model.reader.tokenizer is None:
        raise ValueError(f"{options.model}: expected a model that reads text; this {kind} does not")
    return documents(options.text, "line")


def _shortened(texts: Sequence[str], length: int) -> Iterator[str]:
    """Yield documents up to so many characters together."""
    for text, end in zip(texts, accumulate(map(len, texts)), strict=True):
        left = length - (end - len(text))
        if left <= 0:
            return
        yield text[:left]


def _print(rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            print(_json.line(row))
        return
    if not rows:  # of a translation into nothing
        return
    cells = [list(rows[0]), *([_shown(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)))


def _shown(value: float | str) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value) if isinstance(value, int) else value.replace("\n", "\\n")


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers between commas, got {text!r}") from None
