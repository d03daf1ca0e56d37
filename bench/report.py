"""Results as Markdown."""

from __future__ import annotations

from pathlib import Path

from machine import IDLE


def without_paths(arguments: list[str]) -> list[str]:
    """A command's arguments without this machine's folders, so that results can be published."""
    return [Path(a).name if Path(a).is_absolute() else a for a in arguments]


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
    peak = ", ".join(
        f"{gflop:.0f} GFLOP/s with {n} threads" for n, gflop in results["peak_gflop_per_s"].items()
    )
    return f"""- Date: {results["date"]}
- Machine: {results["processor"]}, {results["cores"]} cores
- Versions: {versions}
- Command: `{results["command"]}`
- Medians of {results["rounds"]} rounds in which the libraries took turns of {results["seconds_per_turn"]} s
- Measured float32 multiply-add peak: {peak}"""


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
    return f"""# Character-level LSTM language model: speed

{conditions(results)}

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
