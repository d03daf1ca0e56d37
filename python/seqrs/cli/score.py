"""``seqrs score``: how likely a model finds a text."""

import argparse
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seqrs.cli._arguments import add_device, add_threads, use_threads
from seqrs.cli._models import language_model
from seqrs.cli._texts import documents

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from seqrs.models.text_model import TextModel


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "score",
        help="tell how likely a model finds a text",
        description="Tell how likely a model finds a text: log-probability (nats), perplexity a token, bits "
        "a character. A character that training has not seen has probability 0: the figures then are "
        "infinite, and those of the rest are given too.",
    )
    parser.add_argument("model", type=Path, help="a model file")
    parser.add_argument("text", nargs="?", type=Path, help="a UTF-8 text file (default: standard input)")
    parser.add_argument(
        "--lines",
        action="store_true",
        help="a row for each line: log-probability, perplexity, bits a character, the line, between tabs",
    )
    parser.add_argument(
        "--weights",
        choices=("bfloat16", "int8"),
        help="also with weights rounded to these, and what that changes",
    )
    add_device(parser)
    add_threads(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    use_threads(options)
    model = language_model(options.model, options.device)
    texts = documents(options.text, model.documents)
    if options.lines:
        _print_lines(model if options.weights is None else model.quantize(options.weights), texts)
        return
    full = _total(model, texts)
    print(full)
    if options.weights is not None:
        rounded = _total(model.quantize(options.weights), texts)
        print(f"with weights in {options.weights}:", rounded, sep="\n")
        change = 100.0 * (math.exp((full.known - rounded.known) / max(full.tokens - full.unseen, 1)) - 1.0)
        print(f"change            {change:+.4f} % of perplexity")


def _total(model: "TextModel", texts: Sequence[str]) -> "Figures":
    total = Figures()
    for document in texts:
        total += Figures.of(document, *model.log_probs(document))
    return total


def _print_lines(model: "TextModel", texts: Sequence[str]) -> None:
    for document in texts:
        tokens, log_probs = model.log_probs(document)
        for line, of_line in zip(io.StringIO(document, newline="\n"), _lines(tokens), strict=False):
            figures = Figures.of(line, tokens[of_line], log_probs[of_line])
            values = (figures.log_prob, figures.perplexity, figures.bits)
            print(*(f"{value:.4f}" for value in values), line.removesuffix("\n"), sep="\t")


def _lines(tokens: list[str]) -> Iterator[slice]:
    """Yield where each line's tokens are, the line end among them."""
    first = 0
    for place, token in enumerate(tokens, 1):
        if token in {"\n", "<EOS>"} or place == len(tokens):
            yield slice(first, place)
            first = place


@dataclass(frozen=True)
class Figures:
    """What a model says of a text: sums over its tokens.

    Attributes
    ----------
    known : float
        Log-probability of the tokens that the model knows, in nats.
    tokens, unseen : int
        All tokens, and those it does not know.
    characters : int
        With line ends.
    """

    known: float = 0.0
    tokens: int = 0
    unseen: int = 0
    characters: int = 0

    @classmethod
    def of(cls, text: str, tokens: list[str], log_probs: "NDArray[np.float64]") -> "Figures":
        """Return the figures of a text."""
        seen = log_probs[log_probs > -math.inf]
        ends = tokens[-1:] == ["<EOS>"] and not text.endswith("\n")
        return cls(float(seen.sum()), len(tokens), len(tokens) - len(seen), len(text) + ends)

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(
            self.known + other.known,
            self.tokens + other.tokens,
            self.unseen + other.unseen,
            self.characters + other.characters,
        )

    @property
    def log_prob(self) -> float:
        """Of the text, in nats."""
        return -math.inf if self.unseen else self.known

    @property
    def perplexity(self) -> float:
        """A token."""
        mean = -self.log_prob / max(self.tokens, 1)
        return math.exp(mean) if mean < 700 else math.inf

    @property
    def bits(self) -> float:
        """A character."""
        return -self.log_prob / math.log(2) / max(self.characters, 1)

    def __str__(self) -> str:
        rows = [
            f"log-probability   {self.log_prob:.4f} nats",
            f"tokens            {self.tokens}",
            f"perplexity        {self.perplexity:.4f}",
            f"bits a character  {self.bits:.4f}",
        ]
        if self.unseen:
            rest = Figures(self.known, self.tokens - self.unseen, 0, self.characters - self.unseen)
            rows += [f"unseen tokens     {self.unseen}, of probability 0; without them:", str(rest)]
        return "\n".join(rows)
