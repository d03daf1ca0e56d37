"""Results as Markdown."""

from __future__ import annotations

import json
from pathlib import Path

from machine import IDLE, ROOT


def without_paths(arguments: list[str]) -> list[str]:
    """A command's arguments without this machine's folders, so that results can be published."""

    def publishable(argument: str) -> str:
        path = Path(argument)
        if not path.is_absolute():
            return argument
        return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name

    return [publishable(argument) for argument in arguments]


def publish(name: str, text: str, results: dict, folder: Path | None) -> None:
    """Print the Markdown; write it and the JSON into the folder, if there is one."""
    print(text)
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        stem = folder / f"{name}-{results['date']}"
        stem.with_suffix(".md").write_text(text)
        stem.with_suffix(".json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def busy(row: dict) -> str:
    """A mark on cases during which other programs used the machine."""
    return "" if row["others"] <= IDLE else f" (busy: others {row['others']:.0%})"


def times(ratio: float) -> str:
    return f"{ratio:.1f} ×" if ratio >= 10 else f"{ratio:.2f} ×"


def conditions(results: dict) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return f"""- Date: {results["date"]}
- Machine: {results["processor"]}, {results["cores"]} cores
- Versions: {versions}
- Command: `{results["command"]}`"""


def training(results: dict) -> str:
    rows = []
    for row in results["training"]:
        rate, of_peak = row["tokens_per_s"], row["of_peak"]
        line = [row["case"] + busy(row)] + [f"{r:,.0f}" for r in rate.values()]
        if len(rate) == 2:
            line.append(times(rate["seqrs"] / rate["PyTorch"]))
        rows.append(line + [f"{share:.0%}" for share in of_peak.values()])
    rate, of_peak = results["training"][0]["tokens_per_s"], results["training"][0]["of_peak"]
    head = ["case", *(f"{name} tokens/s" for name in rate)]
    head += ["ratio"] if len(rate) == 2 else []
    return table(head + [f"of peak: {name}" for name in of_peak], rows)


def sampling(results: dict) -> str:
    rows = []
    for row in results["sampling"]:
        us = row["us_per_token"]
        line = [f"{row['case']}, {row['threads']} threads" + busy(row)] + [f"{u:.1f}" for u in us.values()]
        if "seqrs" in us:
            line += [times(us[peer] / us["seqrs"]) for peer in us if peer != "seqrs"]
        rows.append(line + [f"{share:.0%}" for share in row["of_peak"].values()])
    names = list(results["sampling"][0]["us_per_token"])
    ratios = [f"{peer} / seqrs" for peer in names if peer != "seqrs"] if "seqrs" in names else []
    return table(["case", *(f"{n} µs" for n in names), *ratios, *(f"of peak: {n}" for n in names)], rows)


def best_of_threads(results: dict) -> str:
    """Each library with the number of threads that suits it best."""
    best: dict[str, dict[str, float]] = {}
    for row in results["sampling"]:
        case = best.setdefault(row["case"], {})
        for name, us in row["us_per_token"].items():
            case[name] = min(us, case.get(name, us))
    return "\n".join(
        f"- {case}: "
        + ", ".join(f"{name} {us:.1f} µs" for name, us in of.items())
        + "".join(f"; {times(of[p] / of['seqrs'])} {p}" for p in of if "seqrs" in of and p != "seqrs")
        for case, of in best.items()
    )


def char_lm_speed(results: dict) -> str:
    imports = "\n".join(f"- `{name}`: {s * 1e3:.0f} ms" for name, s in results["import_seconds"].items())
    size = results["wheel_bytes"]
    wheel = f"{size / 1e6:.2f} MB" if size else "not measured: no wheel in dist/ (`make wheel` builds it)"
    peak = ", ".join(
        f"{gflop:.0f} GFLOP/s with {n} threads" for n, gflop in results["peak_gflop_per_s"].items()
    )
    return f"""# Character-level LSTM language model: speed

{conditions(results)}
- Medians of {results["rounds"]} rounds in which the libraries took turns of {results["seconds_per_turn"]} s
- Measured float32 multiply-add peak: {peak}

## Training

Forward, backward, clipping by global norm 5, Adam; vocabulary 65, embedding size = hidden size,
64 steps, {results["threads"]} threads.

{training(results)}

## A sampled token

Embedding, LSTM, head, softmax and draw, one text, one token after the other.

{sampling(results)}

Each library at its best number of threads:

{best_of_threads(results)}

## Import and size

Import time beyond NumPy's own:

{imports}

Wheel: {wheel}.
"""


def shakespeare(results: dict) -> str:
    rows = [
        [
            f"{run['seed']}" + busy(run),
            f"{min(run['validation_loss']):.4f}",
            f"{run['validation_loss'][-1]:.4f}",
            f"{run['training_loss'][-1]:.4f}",
            f"{run['minutes']:.1f}",
        ]
        for run in results["runs"]
    ]
    recipe = ", ".join(f"{name} {value}" for name, value in results["recipe"].items())
    sample = results["runs"][0]["sample"].replace("\n", "\n    ")
    return f"""# Tiny Shakespeare, character by character

{conditions(results)}
- {results["threads"]} threads
- Recipe: {recipe}

Losses in nats a character. The model kept is that of the epoch with the lowest validation loss.

{table(["seed", "validation loss", "after the last epoch", "training loss, last epoch", "minutes"], rows)}

Mean validation loss **{results["mean_validation_loss"]:.4f}**, {results["mean_minutes"]:.1f} minutes a seed.

A sample of the first seed's model (temperature 0.8):

    {sample}
"""
