"""``seqrs demo``: watch a model learn to write."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import seqrs

if TYPE_CHECKING:
    from seqrs.training import Trainer


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "demo",
        help="watch a model learn to write, in a minute or two",
        description="Train a character model on half a megabyte of English that every Python carries "
        "(the topics of its help), with samples before, during and after.",
    )
    parser.add_argument(
        "--epochs", type=int, default=6, metavar="N", help="passes over the text (default: 6)"
    )
    parser.add_argument(
        "--hidden-size", type=int, default=192, metavar="N", help="units in each layer (default: 192)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--threads", type=int, metavar="N", help="default: all cores")
    parser.add_argument("-o", "--output", type=Path, help="keep the model in this file")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    if options.threads is not None:
        seqrs.set_num_threads(options.threads)
    from pydoc_data.topics import topics

    from seqrs.callbacks import Callback, ProgressLines

    class Show(Callback):
        """Samples before training and halfway through."""

        def on_start(self, run: "Trainer") -> None:
            parameters = run.model.network.num_parameters
            print(f"Two layers, {parameters:,} weights, {run.total:,} steps. Before training it writes:\n")
            print(_quoted(run.model.excerpt(160, seed=1)))

        def on_step(self, run: "Trainer") -> None:
            if run.progress.update in {run.total // 20, run.total // 3}:
                print(
                    f"\nAfter {run.progress.update:,} steps:\n\n{_quoted(run.model.excerpt(160, seed=1))}\n"
                )

    text = "\n\n".join(topics[name].strip() for name in sorted(topics))
    print(f"The text: {len(text):,} characters of Python's own help.")
    began = time.monotonic()
    model = seqrs.LanguageModel(hidden_size=options.hidden_size, num_layers=2, seed=options.seed)
    model.fit(
        text,
        epochs=options.epochs,
        batch_size=32,
        seq_len=64,
        lr=5e-3,
        progress=False,
        callbacks=[Show(), ProgressLines(seconds=4, file=sys.stdout)],
    )
    print(f"\nTrained in {time.monotonic() - began:.0f} seconds. Now it writes:\n")
    for piece in model.stream(800, prompt="The ", temperature=0.7, seed=1):
        sys.stdout.write(piece)
        sys.stdout.flush()
    print()
    if options.output:
        model.save(options.output)
        print(f"\nWrite more with: seqrs sample {options.output}")


def _quoted(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
