"""Draw the ratios of results: a bar for each workload and peer, from the least to the greatest case.

    python bench/plot.py bench/results/speed-DATE.json ... bench/results/ratios.svg

Of a workload that several files have the last one counts. Needs matplotlib; `run.py` calls it with an environment
that has it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import geometric_mean

import matplotlib as mpl
from report import averages, times

mpl.use("svg")
from matplotlib import pyplot as plt

# What sets a peer beside seqrs; other workloads set seqrs beside itself.
SHOWN = {
    "layers": "layer training",
    "bfloat16": "layer training, bfloat16",
    "model": "character model, whole step",
    "small": "small models, whole step",
    "token": "a sampled token",
    "training": "layer training by all",
    "inference": "inference",
    "memory": "memory of a step",
}
# These and the grey of the text have enough contrast on white and on black.
GREY = "#7d8590"
COLOURS = ["#e36209", "#2188ff", "#2da44e", "#a475f9", "#d4537e", "#0f9d9d", "#9a7b00", "#cc5555"]


def bars(workloads: dict) -> list[tuple[str, str, list[float]]]:
    """What to draw, from the top: the work, whom it is compared with, and the ratios of all cases."""
    found = []
    for name, shown in SHOWN.items():
        result = workloads.get(name)
        for group, by in averages(result["rows"] if result else []).items():
            found += [(f"{shown}, {group}", peer, of) for peer, of in by.items()]
    return found


def draw(workloads: dict, target: Path) -> None:
    rows = bars(workloads)
    peers = list(dict.fromkeys(peer for _, peer, _ in rows))
    colours = {peer: COLOURS[i % len(COLOURS)] for i, peer in enumerate(peers)}
    # Text stays text, in the reader's own font; no date, so that the same results give the same file.
    plt.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "seqrs", "font.size": 9, "text.color": GREY}
    figure, axes = plt.subplots(figsize=(9, 0.24 * len(rows) + 1.2))
    for y, (_, peer, ratios) in enumerate(rows):
        mean = geometric_mean(ratios)
        axes.plot([min(ratios), max(ratios)], [y, y], color=colours[peer], linewidth=5, alpha=0.45)
        axes.plot([mean], [y], "o", color=colours[peer], markersize=6)
        axes.annotate(
            f"{peer} {times(mean)}", (max(ratios), y), (6, 0), textcoords="offset points", va="center"
        )
    works = [work for work, _, _ in rows]
    first = [y for y, work in enumerate(works) if y == 0 or works[y - 1] != work]
    axes.set_yticks(first, [works[y] for y in first])
    for y in first[1:]:
        axes.axhline(y - 0.5, color=GREY, linewidth=0.4, alpha=0.5)
    axes.axvline(1, color=GREY, linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(right=axes.get_xlim()[1] * 2.5)  # room for the names
    ticks = [t for t in (0.5, 1, 2, 5, 10, 20, 50, 100) if axes.get_xlim()[0] <= t <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, [f"{t:g} ×" for t in ticks])
    axes.minorticks_off()
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_title(
        "Time (or memory) of others as a multiple of seqrs's: all cases, and their mean", fontsize=10
    )
    axes.tick_params(colors=GREY)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.savefig(target, transparent=True, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    *sources, picture = map(Path, sys.argv[1:])
    measured: dict = {}
    for source in sources:
        measured |= json.loads(source.read_text())["workloads"]
    draw(measured, picture)
