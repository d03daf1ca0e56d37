"""Train a translator: ISO dates from dates as people write them, or German sentences from English ones.

    python bench/translation.py dates --output bench/results
    python bench/translation.py multi30k FOLDER --output bench/results

The recipes. Dates: characters, a bidirectional GRU of 64 units and a GRU of 64 that attends to it, 10,000 pairs, Adam
4e-3, 10 epochs; the share of 1,000 others that is exactly right. Multi30k (FOLDER has train.en.gz, train.de.gz,
val.en and val.de, lower-cased and tokenised): words seen three times, a bidirectional GRU of 256 units and a GRU of 256
that attends to it, tied output, dropout 0.4, label smoothing 0.1, batches of 64, Adam 1.5e-3 along a cosine, clipping by
global norm 1; BLEU of the validation sentences as they are, by sacrebleu without its tokenizer.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import recipes
import report
from machine import Others

import seqrs
from seqrs import datasets, metrics

COMMON = {"cell": "gru", "bidirectional": True, "batch_size": 64, "progress": True}
BEAM = 5


def dates(seed: int, epochs: int) -> dict:
    clock = Others([])
    model = seqrs.Translator(
        **COMMON,
        level="char",
        metric="exact",
        hidden_size=64,
        embedding_size=32,
        epochs=epochs,
        lr=4e-3,
        random_state=seed,
    )
    model.fit(*datasets.dates(10_000, seed=seed))
    spent = clock.spent()  # in training
    sources, references = datasets.dates(1000, seed=2**63 + seed)
    scores = [model.set_params(beam=beam).score(sources, references) for beam in (1, BEAM)]
    return {
        "seed": seed,
        "greedy": scores[0],
        "beam": scores[1],
        **spent,
    }


def lines(path: Path) -> list[str]:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8").splitlines()


def multi30k(seed: int, epochs: int, folder: Path) -> dict:
    clock = Others([])
    model = seqrs.Translator(
        **COMMON,
        min_count=3,
        hidden_size=256,
        embedding_size=256,
        dropout=0.4,
        label_smoothing=0.1,
        epochs=epochs,
        lr=1.5e-3,
        clip=1.0,
        length_penalty=1.0,
        random_state=seed,
    )
    held_out = lines(folder / "val.en"), lines(folder / "val.de")
    model.fit(lines(folder / "train.en.gz"), lines(folder / "train.de.gz"), validation=held_out)
    spent = clock.spent()  # in training
    scores = []
    for beam in (1, BEAM):
        found = [best[0].text for best in model.translate(held_out[0], beam=beam, replace_unk=True)]
        scores.append(metrics.bleu(held_out[1], found))
    return {
        "seed": seed,
        "greedy": scores[0],
        "beam": scores[1],
        "history": model.history,
        **spent,
    }


def main() -> None:
    parser = recipes.parser(__doc__)
    parser.add_argument("task", choices=["dates", "multi30k"])
    parser.add_argument("folder", nargs="?", type=Path, help="of multi30k")
    parser.add_argument("--epochs", type=int, default=10, help="default: 10")
    options = parser.parse_args()
    if options.task == "multi30k" and options.folder is None:
        parser.error("multi30k needs the folder of its files")
    seqrs.set_num_threads(options.threads)
    recipes.publish(
        "translation.py",
        f"translation-{options.task}",
        options,
        (
            dates(seed, options.epochs)
            if options.task == "dates"
            else multi30k(seed, options.epochs, options.folder)
            for seed in options.seeds
        ),
        lambda run: (run["seed"],),
        text,
        packages=("sacrebleu",) if options.task == "multi30k" else (),
        task=options.task,
        epochs=options.epochs,
    )


def text(results: dict) -> str:
    runs, exact = results["runs"], results["task"] == "dates"

    def shown(value: float) -> str:
        return f"{100 * value:.1f} %" if exact else f"{value:.1f}"

    rows = [
        [str(run["seed"]), shown(run["greedy"]), shown(run["beam"]), *report.spent([run])] for run in runs
    ]
    means = [shown(sum(run[name] for run in runs) / len(runs)) for name in ("greedy", "beam")]
    unit = "exactly right" if exact else "BLEU"
    head = ["seed", f"{unit}, greedy", f"{unit}, beam of {BEAM}", "time of training", report.SPENT[1]]
    return f"""# Translation: {results["task"]}

{report.conditions(results)}
- The recipe at the head of `bench/translation.py`, {results["epochs"]} epochs

{report.table(head, [*rows, ["mean", *means, *report.spent(runs)]])}
"""


if __name__ == "__main__":
    main()
