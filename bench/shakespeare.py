"""Train a character model on tiny Shakespeare, for several seeds, and tell its validation loss.

    python bench/shakespeare.py PATH/TO/input.txt

The recipe: first 90 % of the text for training, last 10 % for validation; 2 layers of 256 LSTM units,
embedding 128, dropout 0.3 (on the embedding, between layers, before the head); windows of 100 steps,
50 at a time; Adam 3e-3 falling to zero as a cosine; clipping by global norm 5; 12 epochs.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import date
from pathlib import Path
from statistics import mean

import report
from machine import Others, cores, cpu_model

import seqrs

MODEL = {
    "level": "char",
    "cell": "lstm",
    "num_layers": 2,
    "hidden_size": 256,
    "embedding_size": 128,
    "dropout": 0.3,
}
TRAINING = {
    "validation": 0.1,
    "documents": "file",
    "seq_len": 100,
    "batch_size": 50,
    "optimizer": "adam",
    "lr": 3e-3,
    "schedule": "cosine",
    "clip": 5.0,
}


def train(text: Path, seed: int, epochs: int) -> dict:
    others = Others([])
    start = time.perf_counter()
    model = seqrs.LanguageModel(**MODEL, seed=seed).fit(text, **TRAINING, epochs=epochs, sample_every=0)
    minutes = (time.perf_counter() - start) / 60
    losses = [epoch["validation_loss"] for epoch in model.history]
    return {
        "seed": seed,
        "minutes": minutes,
        "validation_loss": losses,
        "training_loss": [epoch["loss"] for epoch in model.history],
        "others": others.share(),
        "sample": model.sample(300, temperature=0.8, seed=0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("text", type=Path, help="the text of tiny Shakespeare (1,115,394 characters)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="SEED")
    parser.add_argument("--epochs", type=int, default=12, help="fewer for a trial run (default: 12)")
    parser.add_argument("--threads", type=int, default=cores(), help="default: all cores")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="where to write the results (default: print only)"
    )
    options = parser.parse_args()
    seqrs.set_num_threads(options.threads)

    runs = [train(options.text, seed, options.epochs) for seed in options.seeds]
    results = {
        "date": date.today().isoformat(),
        "command": " ".join(["python bench/shakespeare.py", *report.without_paths(sys.argv[1:])]),
        "processor": cpu_model(),
        "cores": cores(),
        "threads": options.threads,
        "versions": {"seqrs": seqrs.__version__, "Python": sys.version.split()[0]},
        "recipe": MODEL | TRAINING | {"epochs": options.epochs},
        "runs": runs,
        "mean_validation_loss": mean(min(run["validation_loss"]) for run in runs),
        "mean_minutes": mean(run["minutes"] for run in runs),
    }
    report.publish("shakespeare", report.shakespeare(results), results, options.output)


if __name__ == "__main__":
    main()
