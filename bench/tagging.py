"""Train taggers on slots (SNIPS) and named entities (WNUT-17): what do the chain and the characters add?

    python bench/tagging.py snips PATH/TO/snips --output bench/results
    python bench/tagging.py wnut17 PATH/TO/wnut17 --output bench/results

The recipe: word vectors of 100 numbers drawn at random, one bidirectional LSTM, Adam 3e-3 with a cosine to 0; the last
weights, no picking. For SNIPS 128 units in each direction, dropout 0.4, 1 word in 20 unknown, 25 units for characters,
12 epochs of batches of 32; for WNUT-17, which has fewer and more different sentences, 100 units, dropout 0.3, 1 word in
10 unknown, 50 units for characters, 9 epochs of batches of 8. The score is the entity F1 of the development part, as
conlleval counts it.

SNIPS is a folder with {train,valid}.seq.in and .seq.out, one sentence a line; WNUT-17 one with {train,dev}.conll, a
word and its tag a line.
"""

from __future__ import annotations

import sys
from pathlib import Path

import recipes
import report
from machine import Others

import seqrs

Sentences = tuple[list[list[str]], list[list[str]]]
# The options of each form, and whether words are spelled.
FORMS = {
    "softmax": ({"constraints": None}, False),
    "softmax, well formed": ({}, False),
    "chain": ({"output": "crf"}, False),
    "characters": ({}, True),
    "chain, characters": ({"output": "crf"}, True),
    "chain, characters, lower case": ({"output": "crf", "lowercase": True}, True),
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
# Options, and units for characters.
RECIPES = {
    "snips": ({"hidden_size": 128, "dropout": 0.4, "word_dropout": 0.05, "epochs": 12}, 25),
    "wnut17": ({"hidden_size": 100, "dropout": 0.3, "word_dropout": 0.1, "epochs": 9, "batch_size": 8}, 50),
}


def train(name: str, form: str, data: tuple[Sentences, Sentences], seed: int, epochs: int | None) -> dict:
    clock = Others([])
    (own, spelled), (recipe, units) = FORMS[form], RECIPES[name]
    recipe = recipe | own | ({"char_hidden_size": units} if spelled else {})
    recipe |= {} if epochs is None else {"epochs": epochs}
    model = seqrs.SequenceTagger(bidirectional=True, embedding_size=100, random_state=seed, **recipe).fit(
        *data[0]
    )
    result = {
        "form": form,
        "seed": seed,
        "f1": model.score(*data[1]),
        **clock.spent(),
    }
    print(f"{form}, seed {seed}: F1 {result['f1']:.4f} after {result['seconds']:.0f} s", file=sys.stderr)
    return result


def main() -> None:
    parser = recipes.parser(__doc__)
    parser.add_argument("data", choices=DATA)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=FORMS)
    parser.add_argument("--epochs", type=int, help="default: those of the recipe")
    options = parser.parse_args()
    seqrs.set_num_threads(options.threads)
    read, *parts = DATA[options.data]
    training, held_out = (read(options.folder, part) for part in parts)
    recipes.publish(
        "tagging.py",
        f"tagging-{options.data}",
        options,
        (
            train(options.data, form, (training, held_out), seed, options.epochs)
            for seed in options.seeds
            for form in options.forms
        ),
        lambda run: (list(FORMS).index(run["form"]), run["seed"]),
        text,
        data=options.data,
        recipe=RECIPES[options.data][0] | ({"epochs": options.epochs} if options.epochs else {}),
    )


def text(results: dict) -> str:
    rows = []
    for form in dict.fromkeys(run["form"] for run in results["runs"]):
        runs = [run for run in results["runs"] if run["form"] == form]
        scores = [run["f1"] for run in runs]
        mean = sum(scores) / len(scores)
        rows.append([form, f"{mean:.3f}", ", ".join(f"{score:.3f}" for score in scores), *report.spent(runs)])
    return f"""# Tagging: {results["data"]}

{report.conditions(results)}
- Recipe: word vectors of 100 drawn at random, BiLSTM, Adam 3e-3, {", ".join(f"{k} {v}" for k, v in results["recipe"].items())}

Entity F1 of the development part, each seed's last weights.

{report.table(["form", "F1, mean", "F1 of each seed", *report.SPENT], rows)}
"""


if __name__ == "__main__":
    main()
