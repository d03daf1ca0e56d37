"""Results as Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import geometric_mean

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


# So much longer than the least of a run, and the cores are far apart: each has a last cache of its own.
FAR = 2.5


def far(row: dict, least: float | None) -> str:
    """A mark on cases during which what cores hand over took long."""
    longest = max(filter(None, row.get("hand_overs", [])), default=None)
    return f" ({longest:.0f} ns)" if longest and least and longest > FAR * least else ""


def hand_overs(parts: list[dict]) -> list[float]:
    """What cores took to hand over a word and have the answer, before and after every case."""
    return [ns for part in parts for row in part["rows"] for ns in row.get("hand_overs", []) if ns]


def times(ratio: float) -> str:
    return f"{ratio:.1f} ×" if ratio >= 10 else f"{ratio:.2f} ×"


def conditions(results: dict) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    runs = results.get("runs", [])
    commands = dict.fromkeys(run.get("command", results["command"]) for run in runs) or [results["command"]]
    lines = [
        f"- Date: {results['date']}",
        f"- Machine: {results['processor']}, {results['cores']} cores",
        f"- Versions: {versions}",
        "- Command: " + ", ".join(f"`{command}`" for command in commands),
        f"- {results['threads']} thread{'s' if results['threads'] > 1 else ''}",
    ]
    others = [run["others"] for run in runs if "others" in run]
    if others and max(others) > IDLE:
        shares = dict.fromkeys(f"{share:.0%}" for share in (min(others), max(others)))
        lines[-1] += f"; meanwhile other programs used {' to '.join(shares)} of the machine"
    return "\n".join(lines)


def spent(runs: list[dict]) -> list[str]:
    """Two cells of a table: the mean time of runs, on the clock and of processors."""
    means = [sum(run[kind] for run in runs) / len(runs) for kind in ("seconds", "cpu_seconds")]
    return [f"{mean:.0f} s" if mean < 100 else f"{mean / 60:.1f} min" for mean in means]


SPENT = ["time of a run", "of processors"]


def figure(entry: dict, row: dict, unit: str) -> float:
    """What a table shows of one measurement: a rate, or a time or size."""
    median = entry["median"]
    return {
        "GFLOP/s": row["work"] / median / 1e9,
        "tokens/s": row["tokens"] / median,
        "µs/token": median / row["tokens"] * 1e6,
        "MB": median / 1e6,
        "ms": median * 1e3,
    }[unit]


def ratios(row: dict) -> dict[str, float]:
    """How many times the first contestant's time (or memory) each other one takes."""
    first, *others = row["contestants"]
    of = row["entries"]
    return {n: of[n]["median"] / of[first]["median"] for n in others if first in of and n in of}


def averages(rows: list[dict]) -> dict[str, dict[str, list[float]]]:
    """For each group of rows and each contestant but the first: its ratios."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        for name, ratio in ratios(row).items():
            found.setdefault(row["group"], {}).setdefault(name, []).append(ratio)
    return found


def _cell(row: dict, name: str, unit: str) -> str:
    entry = row["entries"].get(name)
    if entry is None:
        return "–"
    value = figure(entry, row, unit)
    text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return text if entry["of_limit"] is None else f"{text} ({entry['of_limit']:.0%})"


def workload(result: dict, least: float | None = None) -> str:
    """One workload's table; `least` is the shortest that cores took to hand over a word."""
    rows = result["rows"]
    names = list(dict.fromkeys(name for row in rows for name in row["contestants"]))
    present = [name for name in names if any(name in row["entries"] for row in rows)]
    compared = [name for name in present if any(name in ratios(row) for row in rows)]
    lines = [
        [
            row["case"] + busy(row) + far(row, least),
            *(_cell(row, name, result["unit"]) for name in present),
            *(times(ratios(row)[name]) if name in ratios(row) else "–" for name in compared),
        ]
        for row in rows
    ]
    head = ["case", *(f"{name} {result['unit']}" for name in present)]
    head += [f"{name} / {names[0]}" for name in compared]
    text = [f"## {result['title']}", result["about"]]
    if lines:
        text.append(table(head, lines))
    means = [
        f"- {group}: "
        + "; ".join(f"{name} {times(geometric_mean(of))} (least {times(min(of))})" for name, of in by.items())
        for group, by in averages(rows).items()
    ]
    if means and len(rows) > 1:
        text.append(f"Geometric means of the ratios to {names[0]}:\n\n" + "\n".join(means))
    missing: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for name, reason in row["missing"].items():
            missing.setdefault((name, reason), []).append(row["case"])
    if missing:
        listed = (
            f"- {name}{'' if len(cases) == len(rows) else ' (' + '; '.join(cases) + ')'}: {reason}"
            for (name, reason), cases in missing.items()
        )
        text.append("Not measured:\n\n" + "\n".join(listed))
    if "error" in result:
        text.append(f"The rest of this workload failed: {result['error']}")
    return "\n\n".join(text)


def limits_of(result: dict) -> str:
    def list_of(kinds: list[str], unit: str) -> str:
        return (
            "; ".join(
                f"{kind} " + ", ".join(f"{value:.0f} on {n}" for n, value in result["limits"][kind].items())
                for kind in kinds
                if kind in result["limits"]
            )
            + f" {unit}"
        )

    return (
        f"multiply-adds {list_of(['float32', 'bfloat16', 'int8'], 'GFLOP/s')}; "
        f"reading {list_of(['L2', 'L3', 'DRAM'], 'GB/s')}"
    )


def speed(results: dict) -> str:
    """The results of run.py."""
    parts = list(results["workloads"].values())
    last = parts[-1]
    versions = ", ".join(f"{name} {version}" for name, version in last["versions"].items())
    commands = dict.fromkeys(part["command"] for part in parts)
    left_out = {name: reason for part in parts for name, reason in part["left_out"].items()}
    apart = hand_overs(parts)
    least = min(apart, default=None)
    head = [
        f"- Date: {results['date']}",
        f"- Machine: {results['processor']}, {results['cores']} cores",
        f"- Its limits, by number of threads: {limits_of(last)}",
        f"- Versions: {versions}",
        f"- Command: {', '.join(f'`{command}`' for command in commands)}",
        f"- Medians of up to {last['rounds']} rounds in which the libraries took turns; in brackets the fraction"
        " of the machine's limit, measured in the same run",
        *(f"- Left out: {name}: {reason}" for name, reason in left_out.items()),
    ]
    if apart:
        head.insert(
            3,
            f"- A word from one core to another and back: {least:.0f} to {max(apart):.0f} ns, before and after every"
            " case; where it was much more than the least it stands after the case",
        )
    tables = (workload(part, least) for part in parts)
    return "\n\n".join(["# Speed", "\n".join(head), *tables]) + "\n"


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
- Recipe: {recipe}

Losses in nats a character. The model kept is that of the epoch with the lowest validation loss.

{table(["seed", "validation loss", "after the last epoch", "training loss, last epoch", "minutes"], rows)}

Mean validation loss **{results["mean_validation_loss"]:.4f}**, {results["mean_minutes"]:.1f} minutes a seed.

A sample of the first seed's model (temperature 0.8):

    {sample}
"""
