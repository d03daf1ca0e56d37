"""``seqrs gpu``: which graphics processors there are."""

import argparse

import seqrs


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "gpu",
        help="tell which graphics processors there are",
        description='Tell which graphics processors there are, and which one --device gpu means. "gpu:NAME" '
        "picks another by part of its name.",
    )
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> None:
    """Run the command."""
    print(seqrs.gpu.info())
