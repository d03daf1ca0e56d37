"""``seqrs demo``: watch a model learn to write."""

import argparse
import re
import sys
import time
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import seqrs
from seqrs.cli._arguments import add_threads, check_folder, use_threads

if TYPE_CHECKING:
    from seqrs.training import Trainer


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "demo",
        help="watch a model learn to write, in a minute or two",
        description="Train a character model on the English that every Python carries, the topics of its "
        "help, with samples before, during and after.",
    )
    parser.add_argument(
        "--epochs", type=int, default=12, metavar="N", help="passes over the text (default: 12)"
    )
    parser.add_argument(
        "--hidden-size", type=int, default=256, metavar="N", help="units of the LSTM (default: 256)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    add_threads(parser)
    parser.add_argument("-o", "--output", type=Path, help="keep the model in this file")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    if options.output:
        if options.output.exists():
            raise FileExistsError(f"{options.output} exists: name another file with -o")
        check_folder(options.output)
    use_threads(options)
    from seqrs.callbacks import Callback, ProgressLines

    class Show(Callback):
        """Samples before training and early on, when the most happens."""

        def on_start(self, run: "Trainer") -> None:
            parameters = sum(weight.size for weight in run.model.weights().values())
            print(f"The model: {parameters:,} weights. Before training it writes:\n")
            print(_quoted(model.excerpt(160, seed=1)))

        def on_step(self, run: "Trainer") -> None:
            if run.progress.update in {run.total // 40, run.total // 8}:
                print(f"\nAfter {run.progress.update:,} steps:\n\n{_quoted(model.excerpt(160, seed=1))}\n")

    text = help_text()
    print(f"The text: {len(text):,} characters of Python's own help.")
    began = time.monotonic()
    model = seqrs.LanguageModel(hidden_size=options.hidden_size, num_layers=1, seed=options.seed)
    model.fit(
        text,
        epochs=options.epochs,
        seq_len=64,
        lr=8e-3,
        progress=False,
        callbacks=[Show(), ProgressLines(seconds=4, file=sys.stdout)],
    )
    print(f"\nTrained in {time.monotonic() - began:.0f} seconds. Now it writes:\n")
    sys.stdout.write("The ")
    for piece in model.stream(800, prompt="The ", temperature=0.6, seed=1):
        sys.stdout.write(piece)
        sys.stdout.flush()
    print()
    if options.output:
        model.save(options.output)
        print(f"\nWrite more with: seqrs sample {options.output}")


def help_text() -> str:
    """Return the topics of Python's help, each paragraph once, without tables and headings."""
    from pydoc_data.topics import topics

    paragraphs = "\n\n".join(topics[name] for name in sorted(topics)).split("\n\n")
    prose = (dedent(text).strip("\n") for text in paragraphs if not re.search(r"\||\+--|[*=~-]{3}", text))
    return "\n\n".join(text for text in dict.fromkeys(prose) if text)


def _quoted(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
