"""``seqrs sample``: write with a model."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from seqrs.cli import _json
from seqrs.cli._arguments import add_device, add_threads, use_threads
from seqrs.cli._models import language_model

if TYPE_CHECKING:
    from seqrs.models.writing import WritingModel


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "sample",
        help="write a text with a model",
        description="Write a text with a model, as it is drawn. Without --prompt, each line of standard "
        "input is a prompt; at a terminal, or where the input is empty, the text begins from nothing.",
    )
    parser.add_argument("model", type=Path, help="a model file")
    parser.add_argument("--prompt", metavar="TEXT", help="the beginning of the text")
    parser.add_argument(
        "--length", type=int, default=200, metavar="N", help="most tokens to draw (default: 200)"
    )
    parser.add_argument(
        "--temperature", type=float, default=0.8, metavar="X", help="0 is the most likely text (default: 0.8)"
    )
    parser.add_argument("--top-k", type=int, metavar="N", help="draw from the N most likely tokens")
    parser.add_argument(
        "--top-p",
        type=float,
        metavar="X",
        help="draw from the likely tokens that have probability X together",
    )
    parser.add_argument("--allow-unk", action="store_true", help="let words be <UNK>")
    parser.add_argument("--seed", type=int, metavar="N", help="the same seed writes the same text")
    parser.add_argument(
        "--num-samples",
        type=int,
        metavar="N",
        help="write N texts for each prompt, drawn together, with the seeds from --seed on",
    )
    parser.add_argument(
        "--weights",
        choices=("float32", "bfloat16", "int8"),
        help="round the weights: less memory, more speed (default: as they are)",
    )
    add_device(parser)
    add_threads(parser)
    parser.add_argument(
        "--json", action="store_true", help="a line of JSON each, with tokens and log-probabilities"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    use_threads(options)
    loaded = language_model(options.model, options.device)
    model: WritingModel = loaded if options.weights is None else loaded.quantize(options.weights)
    prompts = [options.prompt] if options.prompt is not None else _prompts()
    how = {
        "temperature": options.temperature,
        "top_k": options.top_k,
        "top_p": options.top_p,
        "allow_unk": options.allow_unk,
        "seed": options.seed,
    }
    for prompt in prompts:
        if options.num_samples is not None:
            for text, tokens, log_probs in model.draw_together(
                options.num_samples, options.length, prompt, **how
            ):
                if options.json:
                    _write_json(prompt, [(text, tokens, log_probs)])
                else:
                    print(prompt + text, flush=True)
            continue
        pieces = model.draw(options.length, prompt, **how)
        if options.json:
            _write_json(prompt, list(pieces))
        else:
            sys.stdout.write(prompt)
            for piece, _, _ in pieces:
                sys.stdout.write(piece)
                sys.stdout.flush()
            sys.stdout.write("\n")


def _prompts() -> Iterator[str]:
    """Yield the lines of standard input, or one empty prompt where there is none."""
    empty = True
    if sys.stdin is not None and not sys.stdin.isatty():
        for line in sys.stdin:
            empty = False
            yield line.removesuffix("\n")
    if empty:
        yield ""


def _write_json(prompt: str, pieces: list[tuple[str, list[str], list[float]]]) -> None:
    scores = [
        {"token": token, "log_prob": log_prob}
        for _, tokens, log_probs in pieces
        for token, log_prob in zip(tokens, log_probs, strict=True)
    ]
    text = "".join(piece for piece, _, _ in pieces)
    print(_json.line({"prompt": prompt, "text": text, "tokens": scores}), flush=True)
