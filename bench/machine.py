"""What the measurements need to know of the machine: its name, its limit, and whether it is idle."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
IDLE = 0.03  # what may be busy, of all cores, on an idle machine


def cores() -> int:
    return len(os.sched_getaffinity(0))


def cpu_model() -> str:
    fields = {}
    for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    name = fields.get("model name", "unknown processor")
    if "cpu family" in fields:
        name += f" (family {fields['cpu family']} model {fields['model']})"
    return name


def busy_seconds() -> float:
    """Processor time that all programs together have used since the start, with what the host took away."""
    user, nice, system, _idle, _wait, irq, soft, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + soft + steal) / TICKS


def process_seconds(pids: list[int]) -> float:
    """Processor time that these processes, with all their threads, have used."""
    total = 0
    for pid in pids:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(after_name[11]) + int(after_name[12])
    return total / TICKS


class Others:
    """The share of the machine that other programs used since this was made."""

    def __init__(self, own: list[int]) -> None:
        self.own = [os.getpid(), *own]
        self.start = time.monotonic(), busy_seconds(), process_seconds(self.own)

    def share(self) -> float:
        wall = time.monotonic() - self.start[0]
        others = busy_seconds() - self.start[1] - (process_seconds(self.own) - self.start[2])
        return max(0.0, others / (wall * cores()))


def wait_until_idle(own: list[int], limit: float) -> float:
    """Look for 2 seconds at a time until the machine is idle or `limit` seconds are over.

    Returns the share of the last look that was busy.
    """
    deadline = time.monotonic() + limit
    while True:
        others = Others(own)
        time.sleep(2.0)
        share = others.share()
        if share <= IDLE or time.monotonic() >= deadline:
            return share
        print(f"  {share:.0%} of the machine is busy: waiting", file=sys.stderr)


def fma_peak(threads: list[int]) -> dict[int, float]:
    """Measured float32 multiply-add limit in GFLOP/s, for each number of threads."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "fma_peak"
        # It uses no crate, so the compiler alone builds it in a second.
        source = ROOT / "rust/core/examples/fma_peak.rs"
        subprocess.run(["rustc", "-O", "--edition=2024", "-o", program, source], check=True)
        out = subprocess.run([program, *map(str, threads)], check=True, capture_output=True, text=True).stdout
    return {int(line.split()[0]): float(line.split()[2]) for line in out.splitlines()}
