"""``seqrs info``: what a model file holds."""

import argparse
import math
from pathlib import Path
from typing import Any

import seqrs


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
    from seqrs.io import ModelFile

    file = ModelFile.read(options.model)
    weights = seqrs.load(options.model).state_dict()
    print(f"{options.model}: {file.kind.replace('_', ' ')}")
    _section("options", file.config)
    count = sum(weight.size for weight in weights.values())
    size = sum(weight.nbytes for weight in weights.values())
    _section(
        f"parameters: {count:,} ({size / 1e6:.1f} MB)",
        {name: " x ".join(map(str, weight.shape)) for name, weight in weights.items()},
    )
    _section("training options", file.training["options"])
    _section("text", file.training["data"])
    _progress(file.training["progress"], int(file.training["options"]["epochs"]))
    if "optimizer_steps" in file.training:
        print("\nThis is a checkpoint: seqrs train --resume goes on from here.")


def _section(title: str, values: dict[str, Any]) -> None:
    width = max(map(len, values))
    print(f"\n{title}")
    for name, value in values.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        print(f"  {name:{width}}  {'none' if value is None or value == [] else text}")


def _progress(progress: dict[str, Any], epochs: int) -> None:
    state = "finished" if progress["finished"] else "not finished"
    print(f"\ntraining: {progress['epoch']} of {epochs} epochs, {progress['update']} updates, {state}")
    for result in progress["history"]:
        line = f"  epoch {result['epoch']:3}  loss {result['loss']:.4f}"
        if "validation_loss" in result:
            loss = result["validation_loss"]
            best = "  best" if result["epoch"] == progress["best_epoch"] else ""
            line += f"  validation {loss:.4f}  perplexity {math.exp(loss):.3f}{best}"
        print(line)
