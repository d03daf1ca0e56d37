"""``seqrs train``: learn a language model from text files."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import seqrs
from seqrs.cli._arguments import add_threads, check_folder, refuse_idle, use_threads

# (option, type or choices, default as the help shows it, what it is). The defaults that count are
# those of LanguageModel and its fit: an option that is not given is not passed on.
_MODEL: tuple[tuple[str, Any, str, str], ...] = (
    ("--level", ("char", "byte", "word", "word-punct"), "char", "what a token is"),
    ("--cell", ("lstm", "gru", "rnn"), "lstm", "kind of recurrent layer"),
    ("--hidden-size", int, "256", "units in each layer"),
    ("--num-layers", int, "2", "layers"),
    ("--embedding-size", int, "64", "length of the vector a token is looked up as; 0: one-hot vectors"),
    ("--dropout", float, "0.0", "on the embedding, between layers and before the output"),
    ("--peephole", ("none", "full", "prev", "current"), "none", "form of the LSTM"),
    ("--reset", ("after", "before", "none"), "after", "form of the GRU"),
    ("--nonlinearity", ("tanh", "relu"), "tanh", "form of the RNN"),
    ("--min-count", int, "1", "leave rarer tokens out of the vocabulary"),
    ("--max-vocab", int, "none", "largest vocabulary"),
    ("--dtype", ("float32", "float64", "bfloat16"), "float32", "of arithmetic"),
    ("--device", str, "cpu", "what computes: cpu, gpu, gpu:NAME, reference, or auto for cpu or gpu"),
    ("--seed", int, "none", "draws weights, order of the data and dropout; none: a new one"),
)
_FIT: tuple[tuple[str, Any, str, str], ...] = (
    ("--documents", ("file", "line"), "file", "the text is one stream, or each line stands alone"),
    ("--validation", str, "0.1", "fraction of the text to validate with, or another file; 0: none"),
    ("--epochs", int, "none", "passes over the text; none: 10, more on a small text"),
    ("--seq-len", int, "100", "tokens in a window: how far back gradients reach"),
    ("--batch-size", int, "32", "windows, or lines, in a step"),
    ("--optimizer", ("adam", "adamw", "rmsprop", "sgd"), "adam", "update rule"),
    ("--lr", float, "0.003", "highest learning rate"),
    ("--schedule", ("cosine", "constant", "step"), "cosine", "how the rate falls"),
    ("--warmup", int, "0", "updates over which the rate rises at first"),
    ("--step-size", int, "1", "for --schedule step: epochs from one fall to the next"),
    ("--gamma", float, "0.5", "for --schedule step: factor of each fall"),
    ("--momentum", float, "0.0", "for --optimizer sgd"),
    ("--weight-decay", float, "0.0", "pull of the weights to zero"),
    ("--clip", float, "5.0", "longest gradient; 0: any"),
    ("--patience", int, "none", "stop after so many epochs without a lower validation loss"),
    ("--sample-every", int, "none", "updates from sample to sample; 0: no samples; none: ten in all"),
)
# Options that only one choice of another reads.
_ONLY_WITH = (
    ("peephole", "cell", "lstm"),
    ("reset", "cell", "gru"),
    ("nonlinearity", "cell", "rnn"),
    ("step_size", "schedule", "step"),
    ("gamma", "schedule", "step"),
    ("momentum", "optimizer", "sgd"),
)
_DEFAULTS = {flag[2:].replace("-", "_"): default for flag, _, default, _ in (*_MODEL, *_FIT)}


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "train",
        help="learn a language model from text files",
        description="Learn a language model from UTF-8 text files. The best model is kept in the output "
        "file; NAME.last.seqrs beside it holds all that --resume needs. Ctrl-C stops and saves.",
    )
    parser.add_argument("text", nargs="*", type=Path, help="text files")
    parser.add_argument("-o", "--output", type=Path, help="default: model.seqrs")
    begun = parser.add_mutually_exclusive_group()
    begun.add_argument(
        "--resume",
        nargs="?",
        const=True,
        metavar="CHECKPOINT",
        help="go on bit for bit with the training of the output file, or with the checkpoint of this name; "
        "all options are those it began with",
    )
    begun.add_argument(
        "--overwrite", action="store_true", help="begin anew where the output file or its checkpoint exists"
    )
    add_threads(parser)
    parser.add_argument("--quiet", action="store_true", help="show no progress and no samples")
    for title, options in (("model", _MODEL), ("training", _FIT)):
        group = parser.add_argument_group(title)
        for flag, kind, default, text in options:
            typed: dict[str, Any] = {"choices": kind} if isinstance(kind, tuple) else {"type": kind}
            if not isinstance(kind, tuple):
                typed["metavar"] = "N" if kind is int else "X"
            group.add_argument(flag, default=argparse.SUPPRESS, help=f"{text} (default: {default})", **typed)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    use_threads(options)
    from seqrs.callbacks import last_path

    output, last = options.output or Path("model.seqrs"), None
    if isinstance(options.resume, str):
        last = Path(options.resume)
        output = options.output or last.with_name(last.name.replace(".last", ""))
    elif options.resume:
        last = last_path(output)
        if options.text and not last.exists():
            _refuse_to_replace(output)
            print(f"there is no {last} to resume from: training begins", file=sys.stderr)
            last = None
    if last is not None and not last.exists():
        raise FileNotFoundError(
            f"--resume: there is no checkpoint {last}; seqrs train TEXT -o {output} begins a training and writes it"
        )
    check_folder(output)
    try:
        model = _fit(options, output) if last is None else _resume(options, last, output)
    except KeyboardInterrupt:
        if last_path(output).exists():
            print(f"\nstopped and saved; go on with: seqrs train --resume -o {output}", file=sys.stderr)
        raise
    print(_summary(model, output), file=sys.stderr)


def _fit(options: argparse.Namespace, output: Path) -> "seqrs.LanguageModel":
    if not options.text:
        raise ValueError("text: expected at least one text file, got none")
    refuse_idle(options, _ONLY_WITH, _DEFAULTS)
    if not options.overwrite:
        _refuse_to_replace(output)
    given = _given(options, _FIT)
    if "validation" in given:
        given["validation"] = _fraction_or_path(given["validation"])
    if given.get("clip") == 0:
        given["clip"] = None
    described = _given(options, _MODEL)
    if described.get("embedding_size") == 0:
        described["embedding_size"] = None
    model = seqrs.LanguageModel(**described)
    return model.fit(options.text, checkpoint=output, progress=not options.quiet, **given)


def _resume(options: argparse.Namespace, last: Path, output: Path) -> "seqrs.LanguageModel":
    from seqrs.io import ModelFile

    file = ModelFile.read(last)
    began = {**file.config, **file.training.get("options", {}), **file.training.get("data", {})}
    for name, value in (_given(options, _MODEL) | _given(options, _FIT)).items():
        if name in began and str(began[name]) != str(value) and name not in {"validation", "sample_every"}:
            flag = f"--{name.replace('_', '-')}"
            print(
                f"seqrs: warning: {flag} {value} is not used: this training began with {began[name]}",
                file=sys.stderr,
            )
    model = seqrs.LanguageModel.resume(
        last,
        options.text or None,
        output=output,
        sample_every=getattr(options, "sample_every", None),
        progress=not options.quiet,
    )
    if file.training["progress"]["finished"]:
        print(f"{last}: this training has finished; there is nothing to go on with", file=sys.stderr)
    if not output.exists():  # it had finished, and its model was taken away
        model.save(output)
    return model


def _refuse_to_replace(output: Path) -> None:
    """Refuse to write over a model that somebody may have waited hours for."""
    from seqrs.callbacks import last_path

    last = last_path(output)
    for path in (output, last):
        if path.exists():
            go_on = ", --resume to go on with its training" if last.exists() else ""
            raise FileExistsError(f"{path} exists: give --overwrite to replace it{go_on}, or another -o")


def _given(options: argparse.Namespace, table: tuple[tuple[str, Any, str, str], ...]) -> dict[str, Any]:
    """Return the options of a table that the command line has."""
    names = (flag[2:].replace("-", "_") for flag, *_ in table)
    return {name: getattr(options, name) for name in names if hasattr(options, name)}


def _fraction_or_path(text: str) -> float | Path:
    try:
        return float(text)
    except ValueError:
        return Path(text)


def _summary(model: "seqrs.LanguageModel", output: os.PathLike[str]) -> str:
    import math

    history = model.history
    losses = [result["validation_loss"] for result in history if "validation_loss" in result]
    if not history:
        return f"{output}: the untrained model"
    if not losses:
        return f"{output}: the model after epoch {len(history)}: loss {history[-1]['loss']:.4f} nats a token"
    best = min(losses)
    return (
        f"{output}: the best model, of epoch {losses.index(best) + 1} of {len(losses)}: validation loss "
        f"{best:.4f} nats a token, perplexity {math.exp(best):.3f}"
    )
