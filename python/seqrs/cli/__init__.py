"""The command line, one file for each command.

Nothing here imports NumPy or the compiled core before a command runs, so that ``--help`` answers
at once.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from seqrs.cli import demo, gpu, info, inspect, sample, score, train
from seqrs.exceptions import GpuDeviceLostError, GpuInternalError, GpuUnavailableError

_COMMANDS = (demo, train, sample, score, inspect, info, gpu)

# What a shell reports for a program that Ctrl-C, or a closed pipe, has ended.
_INTERRUPTED, _CLOSED_PIPE = 130, 141

_GPU = (GpuUnavailableError, GpuDeviceLostError, GpuInternalError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        The exit code: 0; 2 after an error, which is one line on standard error; 130 after Ctrl-C.

    Examples
    --------
    >>> from seqrs.cli import main
    >>> main(["sample", "--help"])
    usage: seqrs sample ...
    0
    """
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:  # argparse has said why
        return int(stop.code or 0)
    if options.run is None:
        parser.print_help()
        return 0
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: _say("warning", message)
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has enough. What is left in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _CLOSED_PIPE
    except OSError as error:
        named = error.filename is not None and error.strerror
        _say("error", f"{error.filename}: {error.strerror}" if named else error)
        return 2
    except (ValueError, ArithmeticError, MemoryError, NotImplementedError, ImportError, *_GPU) as error:
        _say("error", error or type(error).__name__)
        return 2
    return 0


def _say(kind: str, message: object) -> None:
    """Write one line to standard error."""
    print(f"seqrs: {kind}: {' '.join(str(message).split())}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Reports a wrong argument in one line, as every other error."""

    def error(self, message: str) -> NoReturn:
        _say("error", f"{message} (see {self.prog} --help)")
        self.exit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="seqrs", description="Learn a language model from a text, and write with it.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"seqrs {version('seqrs')}")
        parser.exit()
