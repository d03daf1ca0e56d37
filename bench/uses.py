"""Train the models on the data sets of their uses: does each reach the result that it should?

    python bench/uses.py PATH/TO/data --only splice --only trec --output bench/results

A recipe is a name, where its data come from, the options of a model and the result to reach: the mean over seeds of
the accuracy on development data, for music the negative log-likelihood of a step, all steps counted. Where the data
come without any, a tenth is held out by a fixed seed, equal sequences always together; skeletons are tested on each
subject in turn, after training on the others; promoters on each tenth of three divisions into ten. The rows of iris
and digits, which come with scikit-learn, are sequences of one step, tested on each tenth of one division: here the
result to reach is that of scikit-learn's own network, on the same tenths.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
import wave
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import recipes
import report
from machine import Others
from sklearn.datasets import load_digits, load_iris
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import seqrs
from seqrs import features

# X and y to train on, X and y to test on.
Split = tuple[list, list, list, list]


@dataclass(frozen=True)
class Recipe:
    """What is trained on what, and the result to reach."""

    data: Callable[[Path], Iterator[Split]]
    goal: float | None  # None: what scikit-learn's network reaches
    options: dict[str, Any] = field(default_factory=dict)
    members: int = 1  # networks whose probabilities are averaged
    model: Callable[..., Any] = seqrs.SequenceClassifier

    def reached(self, score: float, goal: float) -> bool:
        return score <= goal if self.model is seqrs.SequenceGenerator else score >= goal

    def shown(self, score: float) -> str:
        return f"{score:.3f} nats" if self.model is seqrs.SequenceGenerator else f"{100 * score:.1f} %"


# Data


def chosen(X: list, y: list, held: list[bool]) -> Split:
    rows = [[i for i, h in enumerate(held) if h == wanted] for wanted in (False, True)]
    (X_train, y_train), (X_test, y_test) = [([X[i] for i in part], [y[i] for i in part]) for part in rows]
    return X_train, y_train, X_test, y_test


def tenth(X: list, y: list, keys: list) -> Split:
    """Hold out a tenth of the distinct keys of each class, always the same; equal keys go together."""
    distinct = sorted(set(zip(map(str, y), keys, strict=True)))
    order = np.random.default_rng(0).permutation(len(distinct))
    order = sorted(order, key=lambda i: distinct[i][0])  # class by class, by chance within
    held = {distinct[i][1] for i in order[::10]}
    return chosen(X, y, [key in held for key in keys])


def divided(X: list, y: list, divisions: int) -> Iterator[Split]:
    """Hold out each tenth of so many divisions into ten."""
    for division in range(divisions):
        fold = np.random.default_rng(division).permutation(len(X)) % 10
        for k in range(10):
            yield chosen(X, y, list(fold == k))


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def splice(folder: Path) -> Iterator[Split]:
    rows = [line.split("\t") for line in lines(folder / "splice/train.tsv")]
    sequences = [row[2] for row in rows]
    yield tenth(sequences, [row[0] for row in rows], sequences)


def promoters(folder: Path) -> Iterator[Split]:
    rows = [line.split("\t") for line in lines(folder / "promoters/promoters.tsv")]
    X, y = [row[2] for row in rows], [row[0] for row in rows]
    yield from divided(X, y, 3)


def labelled(path: Path) -> tuple[list[str], list[str]]:
    rows = [line.split(" ", 1) for line in lines(path)]
    return [text for _, text in rows], [label for label, _ in rows]


def trec(folder: Path) -> Iterator[Split]:
    X, y = labelled(folder / "trec/train.txt")
    yield tenth(X, y, X)


def sst2(folder: Path) -> Iterator[Split]:
    yield *labelled(folder / "sst2/train.txt"), *labelled(folder / "sst2/dev.txt")


def imdb(folder: Path) -> Iterator[Split]:
    with gzip.open(folder / "imdb_small/train.tsv.gz", "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    words = seqrs.text.WordTokenizer(split_punctuation=True).tokenize
    # What a review comes to, it says at its end.
    X = [words(text.replace("<br />", " ").lower())[-300:] for _, _, text in rows]
    yield tenth(X, [label for label, *_ in rows], [text for *_, text in rows])


def names18(folder: Path) -> Iterator[Split]:
    # The file repeats some names, those of one language fifteen times each: here each counts once.
    rows = [line.split("\t") for line in sorted(set(lines(folder / "names18/train.tsv")))]
    names = [name for _, name in rows]
    yield tenth(names, [language for language, _ in rows], names)


def vowels(folder: Path) -> Iterator[Split]:
    rows = lines(folder / "uea/JapaneseVowels_TRAIN.ts")
    parts = [row.split(":") for row in rows if row and row[0] not in "#@"]
    X = [np.array([[float(v) for v in dimension.split(",")] for dimension in row[:-1]]).T for row in parts]
    y = [row[-1] for row in parts]
    yield tenth(X, y, list(range(len(X))))


def spoken(folder: Path) -> Iterator[Split]:
    X, y, held = [], [], []
    with zipfile.ZipFile(folder / "fsdd/fsdd_train.zip") as archive:
        for name in sorted(archive.namelist()):
            digit, _, number = name.removesuffix(".wav").split("/")[-1].split("_")
            with wave.open(io.BytesIO(archive.read(name))) as sound:
                samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2") / 2**15
                energy = features.standardize(features.log_mel(samples, sound.getframerate()))
                X.append(np.hstack([energy, features.standardize(features.deltas(energy))]))
            y.append(digit)
            held.append(number in ("5", "6"))  # of each speaker and digit, a tenth
    yield chosen(X, y, held)


def skeletons(name: str) -> Callable[[Path], Iterator[Split]]:
    def read(folder: Path) -> Iterator[Split]:
        with gzip.open(folder / name / "train.jsonl.gz", "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        X, y = [posture(row["frames"]) for row in rows], [row["action"] for row in rows]
        for subject in sorted({row["subject"] for row in rows}):
            yield chosen(X, y, [row["subject"] == subject for row in rows])

    return read


def tunes(name: str) -> Callable[[Path], Iterator[Split]]:
    def read(folder: Path) -> Iterator[Split]:
        with gzip.open(folder / f"polymusic/{name}.json.gz", "rt", encoding="utf-8") as file:
            data = json.load(file)
        yield data["train"], [], data["valid"], []

    return read


def one_step(load: Callable[..., Any]) -> Callable[[Path], Iterator[Split]]:
    """Rows of numbers, each a sequence of one step."""

    def read(_folder: Path) -> Iterator[Split]:
        X, y = load(return_X_y=True)
        yield from divided(list(X[:, None]), list(y), 1)

    return read


def posture(frames: list[list[float]]) -> np.ndarray:
    """Where the joints are, seen from the middle of the body, and how they move."""
    joints = np.array(frames).reshape(len(frames), -1, 3)
    joints = (joints - joints.mean(1, keepdims=True)).reshape(len(frames), -1)
    return np.concatenate([joints, np.gradient(joints, axis=0) if len(joints) > 1 else 0 * joints], axis=1)


def skip_frames(x: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Leave out each frame with a probability of up to a third, as a faster hand would."""
    kept = x[draw.random(len(x)) >= draw.uniform(0, 0.33)]
    return kept if len(kept) else x


BIDIRECTIONAL = {"bidirectional": True, "lr": 3e-3}
WORDS = {**BIDIRECTIONAL, "level": "word", "batch_size": 50}
SKELETON = {
    **BIDIRECTIONAL,
    "hidden_size": 64,
    "pooling": "max",
    "dropout": 0.4,
    "noise": 0.1,
    "augment": skip_frames,
    "epochs": 60,
    "batch_size": 16,
}
DNA = {"bidirectional": True, "lr": 8e-3, "cell": "gru", "level": "char", "embedding_size": None}

MUSIC = {"output": "sigmoid", "symbols": range(21, 109), "lr": 5e-3, "clip": 1.0}

ONE_STEP = {"hidden_size": 100, "lr": 3e-3, "pooling": "last"}

RECIPES = {
    "iris": Recipe(one_step(load_iris), None, {**ONE_STEP, "epochs": 60, "batch_size": 16}),
    "digits": Recipe(one_step(load_digits), None, {**ONE_STEP, "epochs": 30, "batch_size": 32}),
    "splice": Recipe(
        splice, 0.96, {**DNA, "hidden_size": 48, "pooling": "center", "dropout": 0.4, "epochs": 12}
    ),
    "promoters": Recipe(
        promoters,
        1 - 15 / 106,
        {**DNA, "hidden_size": 32, "pooling": "max", "dropout": 0.4, "epochs": 30, "batch_size": 16},
        members=3,
    ),
    "trec": Recipe(
        trec,
        0.83,
        {
            **WORDS,
            "embedding_size": 100,
            "hidden_size": 64,
            "pooling": "max",
            "dropout": 0.5,
            "epochs": 6,
        },
    ),
    "sst2": Recipe(
        sst2,
        0.785,
        {
            **WORDS,
            "embedding_size": 100,
            "hidden_size": 64,
            "pooling": "attention",
            "dropout": 0.4,
            "word_dropout": 0.05,
            "epochs": 8,
            "batch_size": 32,
        },
    ),
    "imdb_small": Recipe(
        imdb,
        0.80,
        {
            **WORDS,
            "hidden_size": 64,
            "pooling": "max+mean",
            "dropout": 0.5,
            "word_dropout": 0.1,
            "epochs": 8,
            "min_count": 2,
        },
    ),
    "names18": Recipe(
        names18,
        0.77,
        {
            "cell": "gru",
            "level": "char",
            "hidden_size": 128,
            "dropout": 0.3,
            "epochs": 12,
            "batch_size": 64,
        },
    ),
    "japanese_vowels": Recipe(
        vowels,
        0.97,
        {
            **BIDIRECTIONAL,
            "hidden_size": 64,
            "pooling": "max+mean",
            "dropout": 0.4,
            "epochs": 40,
            "batch_size": 16,
        },
    ),
    "fsdd": Recipe(
        spoken,
        0.96,
        {
            **BIDIRECTIONAL,
            "hidden_size": 96,
            "pooling": "max+mean",
            "dropout": 0.3,
            "noise": 0.2,
            "augment": skip_frames,
            "epochs": 30,
            "standardize": False,
        },
    ),
    "jsb_chorales": Recipe(
        tunes("jsb_chorales"),
        8.45,
        {**MUSIC, "cell": "gru", "hidden_size": 46, "dropout": 0.1, "epochs": 20, "batch_size": 2},
        model=seqrs.SequenceGenerator,
    ),
    "nottingham": Recipe(
        tunes("nottingham"),
        3.50,
        {**MUSIC, "hidden_size": 200, "dropout": 0.2, "epochs": 20, "batch_size": 4},
        model=seqrs.SequenceGenerator,
    ),
    "utkinect": Recipe(skeletons("utkinect"), 0.92, SKELETON),
    "msraction3d": Recipe(skeletons("msraction3d"), 0.78, SKELETON),
}


def accuracy(recipe: Recipe, folder: Path, seed: int) -> float:
    """Return the part that is right of all that is tested."""
    hits: list[bool] = []
    for X, y, X_test, y_test in recipe.data(folder):
        shares: Any = 0
        for member in range(recipe.members):
            model = recipe.model(**recipe.options, random_state=1000 * member + seed)
            shares = shares + model.fit(X, y).predict_proba(X_test)
        hits += list(model.classes_[shares.argmax(1)] == np.array(y_test))
    return sum(hits) / len(hits)


def likelihood(recipe: Recipe, folder: Path, seed: int) -> float:
    """Return the negative log-likelihood of a step, of the epoch that validates best."""
    ((X, _, X_test, _),) = recipe.data(folder)
    model = seqrs.SequenceGenerator(**recipe.options, random_state=seed)
    return -model.fit(X, validation=(X_test, None)).score(X_test)


def peer_accuracy(recipe: Recipe, folder: Path, seed: int) -> float:
    """Return what scikit-learn's network gets right of the same sequences of one step."""
    hits: list[bool] = []
    for X, y, X_test, y_test in recipe.data(folder):
        peer = make_pipeline(StandardScaler(), MLPClassifier(max_iter=1000, random_state=seed))
        hits += list(peer.fit(np.concatenate(X), y).predict(np.concatenate(X_test)) == np.array(y_test))
    return sum(hits) / len(hits)


def run(name: str, folder: Path, seed: int) -> dict[str, Any]:
    """Return what a recipe reaches with a seed, and what it was to reach."""
    recipe, clock = RECIPES[name], Others([])
    measure = likelihood if recipe.model is seqrs.SequenceGenerator else accuracy
    result = {"recipe": name, "seed": seed, "score": measure(recipe, folder, seed), **clock.spent()}
    result["goal"] = peer_accuracy(recipe, folder, seed) if recipe.goal is None else recipe.goal
    print(f"{name} seed {seed}: {recipe.shown(result['score'])}", file=sys.stderr)
    return result


def text(results: dict) -> str:
    cells = []
    for name in dict.fromkeys(run["recipe"] for run in results["runs"]):
        own, recipe = [run for run in results["runs"] if run["recipe"] == name], RECIPES[name]
        mean, goal = (float(np.mean([run[kind] for run in own])) for kind in ("score", "goal"))
        cells.append(
            [
                name,
                recipe.shown(mean),
                "yes" if recipe.reached(mean, goal) else "no",
                recipe.shown(goal) + (", scikit-learn" if recipe.goal is None else ""),
                ", ".join(f"{recipe.shown(run['score'])} ({run['seed']})" for run in own),
                *report.spent(own),
            ]
        )
    head = ["data", "mean", "reached", "to reach", "of each seed", *report.SPENT]
    return f"""# The models on the data of their uses

{report.conditions(results)}
- Recipes, divisions of the data: `bench/uses.py`

{report.table(head, cells)}
"""


def main() -> None:
    parser = recipes.parser(__doc__)
    parser.add_argument("data", type=Path, help="the folder that holds the data sets, each in its own")
    parser.add_argument("--only", action="append", choices=RECIPES, help="default: all")
    options = parser.parse_args()
    seqrs.set_num_threads(options.threads)
    recipes.publish(
        "uses.py",
        "uses",
        options,
        (run(name, options.data, seed) for name in options.only or RECIPES for seed in options.seeds),
        lambda run: (list(RECIPES).index(run["recipe"]), run["seed"]),
        text,
        packages=("scikit-learn",),
    )


if __name__ == "__main__":
    main()
