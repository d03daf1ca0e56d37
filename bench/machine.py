"""What the measurements need to know of the machine: its name, its limit, and whether it is idle."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
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
        try:
            after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:  # it has ended
            continue
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
        # Of all cores, also where this process may use some of them only.
        return max(0.0, others / (wall * (os.cpu_count() or 1)))

    def spent(self) -> dict[str, float]:
        """Seconds on the clock, seconds of processors, and the share that others used meanwhile."""
        return {
            "seconds": time.monotonic() - self.start[0],
            "cpu_seconds": process_seconds(self.own) - self.start[2],
            "others": self.share(),
        }


def wait_until_idle(own: list[int], limit: float) -> float:
    """Look for a second at a time until the machine is idle or `limit` seconds are over.

    Returns the share of the last look that was busy.
    """
    deadline = time.monotonic() + limit
    told = False
    while True:
        others = Others(own)
        time.sleep(1.0)
        share = others.share()
        if share <= IDLE or time.monotonic() >= deadline:
            return share
        if not told:
            print(f"  {share:.0%} of the machine is busy: waiting", file=sys.stderr)
            told = True


def cache_bytes() -> dict[str, int]:
    """Size of "L2" (one core's) and "L3" (shared), as far as the system tells."""
    sizes = {}
    for cache in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        kind, level = (cache / "type").read_text().strip(), (cache / "level").read_text().strip()
        if kind != "Instruction" and level in "23":
            size = (cache / "size").read_text().strip()
            sizes[f"L{level}"] = int(size.rstrip("KM")) * (1 << 20 if size.endswith("M") else 1 << 10)
    return {"L2": 1 << 20, "L3": 8 << 20} | sizes


@functools.cache
def _built(example: str) -> Path:
    """One of the core's examples, built for this very processor. They use no crate: the compiler alone is enough."""
    program = ROOT / "target" / "bench-probes" / example
    program.parent.mkdir(parents=True, exist_ok=True)
    source = ROOT / f"rust/core/examples/{example}.rs"
    build = ["rustc", "-O", "-C", "target-cpu=native", "--edition=2024", "-o", program, source]
    subprocess.run(build, check=True)
    return program


def _probe(example: str, *arguments: str, limit: float | None = None) -> list[list[str]]:
    """The words of each line that one of the core's examples prints, in so many seconds."""
    command = [_built(example), *arguments]
    out = subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit)
    return [line.split() for line in out.stdout.splitlines()]


def hand_over() -> float | None:
    """Nanoseconds that a word takes from one core to another and back, just now.

    None where there is one core, or both threads were on the same. Of more than two cores it is that of some two.
    """
    try:
        return float(_probe("hand_over", limit=5.0)[0][0]) if cores() > 1 else None
    except subprocess.TimeoutExpired:
        return None


def limits() -> dict[str, dict[str, float]]:
    """The machine's own limits, measured now, each for one thread and for all cores.

    GFLOP/s of "float32", "bfloat16" and "int8" (where there are instructions for them), a multiply-add
    counted as two; GB/s of reading from "L2", "L3" and "DRAM". JSON has text for keys, so threads are text.
    """
    found: dict[str, dict[str, float]] = {}
    for threads, _, peak, _, kind, _ in _probe("fma_peak", *map(str, sorted({1, cores()}))):
        found.setdefault(kind, {})[threads] = float(peak)
    caches = cache_bytes()
    # Half of a core's L2; what cannot be in it but in the shared cache; what is in none.
    sizes = {"L2": caches["L2"] // 2, "L3": caches["L3"] // (4 * cores()), "DRAM": 4 * caches["L3"]}
    levels = {str(size >> 10): level for level, size in sizes.items()}
    for threads, _, kib, _, bandwidth, _ in _probe("read_bandwidth", *levels):
        found.setdefault(levels[kib], {})[threads] = float(bandwidth)
    return found
