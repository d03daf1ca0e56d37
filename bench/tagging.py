"""Train taggers on slots (SNIPS) and named entities (WNUT-17): what do the chain and the characters add?

    python bench/tagging.py snips PATH/TO/snips --output bench/results
    python bench/tagging.py wnut17 PATH/TO/wnut17 --output bench/results

The recipe: word vectors of 100 numbers drawn at random, one bidirectional LSTM of 128 units in each direction, dropout
0.4, 1 word in 20 unknown, Adam 3e-3 with a cosine to 0, 12 epochs of batches of 32; the last weights, no picking. The
score is the entity F1 of the development part, as conlleval counts it.

SNIPS is a folder with {train,valid}.seq.in and .seq.out, one sentence a line; WNUT-17 one with {train,dev}.conll, a
word and its tag a line.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import date
from pathlib import Path

import report
from machine import Others, cores, cpu_model

import seqrs

Sentences = tuple[list[list[str]], list[list[str]]]
CHARACTERS = {"char_hidden_size": 25}
FORMS = {
    "softmax": {"constraints": None},
    "softmax, well formed": {},
    "chain": {"output": "crf"},
    "characters": CHARACTERS,
    "chain, characters": {"output": "crf", **CHARACTERS},
    "chain, characters, lower case": {"output": "crf", "lowercase": True, **CHARACTERS},
}


def snips(folder: Path, part: str) -> Sentences:
    words, tags = (
        [line.split() for line in (folder / f"{part}.seq.{end}").read_text(encoding="utf-8").splitlines()]
        for end in ("in", "out")
    )
    return words, tags


def conll(folder: Path, part: str) -> Sentences:
    words: list[list[str]] = [[]]
    tags: list[list[str]] = [[]]
    for line in (folder / f"{part}.conll").read_text(encoding="utf-8").split("\n"):
        if line.strip():
            word, tag = line.split("\t")
            words[-1].append(word)
            tags[-1].append(tag)
        elif words[-1]:
            words.append([])
            tags.append([])
    return [row for row in words if row], [row for row in tags if row]


DATA = {"snips": (snips, "train", "valid"), "wnut17": (conll, "train", "dev")}


def train(form: str, data: tuple[Sentences, Sentences], seed: int, epochs: int) -> dict:
    others, start = Others([]), time.perf_counter()
    model = seqrs.SequenceTagger(
        hidden_size=128,
        bidirectional=True,
        embedding_size=100,
        dropout=0.4,
        word_dropout=0.05,
        epochs=epochs,
        random_state=seed,
        **FORMS[form],
    ).fit(*data[0])
    result = {
        "form": form,
        "seed": seed,
        "f1": model.score(*data[1]),
        "seconds": time.perf_counter() - start,
        "others": others.share(),
    }
    print(f"{form}, seed {seed}: F1 {result['f1']:.4f} after {result['seconds']:.0f} s", file=sys.stderr)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", choices=DATA)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=FORMS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="SEED")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--threads", type=int, default=cores(), help="default: all cores")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="where to write the results (default: print only)"
    )
    options = parser.parse_args()
    seqrs.set_num_threads(options.threads)
    read, *parts = DATA[options.data]
    training, held_out = (read(options.folder, part) for part in parts)

    results = {
        "date": date.today().isoformat(),
        "command": " ".join(["python bench/tagging.py", *report.without_paths(sys.argv[1:])]),
        "processor": cpu_model(),
        "cores": cores(),
        "threads": options.threads,
        "versions": {"seqrs": seqrs.__version__, "Python": sys.version.split()[0]},
        "data": options.data,
        "epochs": options.epochs,
        "runs": [
            train(form, (training, held_out), seed, options.epochs)
            for form in options.forms
            for seed in options.seeds
        ],
    }
    report.publish(f"tagging-{options.data}", text(results), results, options.output)


def text(results: dict) -> str:
    rows = []
    for form in dict.fromkeys(run["form"] for run in results["runs"]):
        runs = [run for run in results["runs"] if run["form"] == form]
        scores = [run["f1"] for run in runs]
        mean = sum(scores) / len(scores)
        seconds = sum(run["seconds"] for run in runs) / len(runs)
        rows.append([form, f"{mean:.3f}", ", ".join(f"{score:.3f}" for score in scores), f"{seconds:.0f}"])
    return f"""# Tagging: {results["data"]}

{report.conditions(results)}
- {results["threads"]} threads
- Recipe: word vectors of 100 drawn at random, BiLSTM 128, dropout 0.4, Adam 3e-3, {results["epochs"]} epochs

Entity F1 of the development part, each seed's last weights.

{report.table(["form", "F1, mean", "F1 of each seed", "seconds a run"], rows)}
"""


if __name__ == "__main__":
    main()
