"""Arguments that several commands have: what computes, where results go, and which options go together."""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

import seqrs


def add_device(parser: argparse.ArgumentParser) -> None:
    """Let a command say where a model is to run."""
    parser.add_argument(
        "--device",
        metavar="NAME",
        help="what computes: cpu, gpu, gpu:NAME, reference, or auto for cpu or gpu (default: as in training)",
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Let a command say on how many threads it is to run."""
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="how many compute; the results do not depend on it (default: all cores)",
    )


def use_threads(options: argparse.Namespace) -> None:
    """Run on as many threads as the command line says."""
    if options.threads is None:
        return
    try:
        seqrs.set_num_threads(options.threads)
    except ValueError as error:  # which calls it n
        raise ValueError(f"--threads{str(error).removeprefix('n')}") from None


def check_folder(output: Path) -> None:
    """Refuse, before there is anything to lose, a file that could not be written for want of its folder."""
    if not output.parent.is_dir():
        raise FileNotFoundError(f"{output}: there is no folder {output.parent}")


def refuse_idle(
    options: argparse.Namespace, only_with: Iterable[tuple[str, str, str]], defaults: Mapping[str, str]
) -> None:
    """Refuse an option that nothing would read: each goes with one choice of another alone.

    Options that the command line does not have are not in `options`.
    """
    for name, of, value in only_with:
        chosen = getattr(options, of, defaults.get(of))
        if hasattr(options, name) and chosen != value:
            flag, other = (f"--{word.replace('_', '-')}" for word in (name, of))
            raise ValueError(f"{flag}: only goes with {other} {value}, got {other} {chosen}")
