"""``seqrs info``: what a model file holds."""

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqrs.training import Progress


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "info",
        help="tell what a model file holds",
        description="Tell what a model file holds: options, parameters, and how training went.",
    )
    parser.add_argument("model", type=Path, help="a model file")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from seqrs.exceptions import ModelFileError
    from seqrs.io import ModelFile
    from seqrs.training import Progress, without_checkpoint

    file = ModelFile.read(options.model)
    # The models of sequences keep also what they have learned of their data, beside options and weights.
    weights = {
        name: tensor
        for name, tensor in without_checkpoint(file.tensors).items()
        if not name.startswith("reader.")
    }
    training = file.training
    try:
        progress = Progress.from_json(training["progress"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{options.model}: the metadata are damaged: {error}") from None
    print(f"{options.model}: {file.kind.replace('_', ' ')}")
    _section("options", file.config.get("options", file.config))
    count = sum(weight.size for weight in weights.values())
    size = sum(weight.nbytes for weight in weights.values())
    _section(
        f"parameters: {count:,} ({size / 1e6:.1f} MB)",
        {name: " x ".join(map(str, weight.shape)) for name, weight in weights.items()},
    )
    if "options" in training:
        _section("training options", training["options"])
    if "data" in training:
        _section("text" if file.kind == "language_model" else "data", training["data"])
    _progress(progress, training.get("options", {}), nats=file.kind == "language_model")
    if "optimizer_steps" in training:
        how = "seqrs train --resume" if file.kind == "language_model" else "the model's resume, in Python,"
        print(f"\nThis is a checkpoint: {how} goes on from here.")


def _section(title: str, values: dict[str, Any]) -> None:
    width = max(map(len, values))
    print(f"\n{title}")
    for name, value in values.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        print(f"  {name:{width}}  {'none' if value is None or value == [] else text}")


def _progress(progress: "Progress", options: dict[str, Any], *, nats: bool) -> None:
    """Print the epochs; `nats` says that losses are nats a token, so that there is a perplexity."""
    of = f" of {options['epochs']}" if "epochs" in options else ""
    state = "finished" if progress.finished else "not finished"
    print(f"\ntraining: {progress.epoch}{of} epochs, {progress.update} updates, {state}")
    for result in progress.history:
        line = f"  epoch {result['epoch']:3}  loss {result['loss']:.4f}"
        if "validation_loss" in result:
            loss = result["validation_loss"]
            line += f"  validation {loss:.4f}"
            line += f"  perplexity {math.exp(loss):.3f}" if nats else ""
            line += f"  score {result['validation_score']:.4f}" if "validation_score" in result else ""
            line += "  best" if result["epoch"] == progress.best_epoch else ""
        print(line)
