"""Measuring one case: libraries take turns on an idle machine, and medians of the rounds count."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

from machine import IDLE, Others, cache_bytes, cores, hand_over, wait_until_idle
from peers import MissingError, Pool, Worker


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int  # the libraries take turns this often, or less where a case would take too long
    turn: float  # seconds of one library's turn, or one call where that takes longer
    case: float  # seconds of one case
    idle_limit: float  # longest wait for an idle machine before a case
    tries: int  # a case during which other programs were busy is measured again, so often at most


FULL = Effort(rounds=7, turn=0.3, case=12.0, idle_limit=30.0, tries=2)
QUICK = Effort(rounds=3, turn=0.05, case=1.0, idle_limit=0.0, tries=1)
LEAST_ROUNDS = 3
SLOW = 4.0  # a library one call of which takes longer is called once: it would hold up all others


@dataclass(frozen=True)
class Contestant:
    """Who takes part in a case: a library, and what is different for it."""

    peer: str
    asked: dict = field(default_factory=dict)  # beside what the case asks of everybody
    threads: int | None = None  # None: as the case says
    settings: dict[str, str] = field(default_factory=dict)  # environment variables
    work: float | None = None  # what it does of the case's work, where it is less
    stolen: bool = False  # while another process keeps one core busy


@dataclass(frozen=True)
class Case:
    """One row of results. Ratios are to the first contestant."""

    group: str  # rows whose ratios are averaged
    label: str
    asked: dict
    contestants: dict[str, Contestant]
    work: float  # of one call: FLOP, or bytes that must be read
    limit: str  # what bounds it: a key of the machine's limits, or "bandwidth"
    tokens: int  # of one call
    best_threads: bool = False  # True: one thread or all, whichever suits the library; False: all


def options_of_threads(case: Case, contestant: Contestant) -> list[int]:
    if contestant.threads:
        return [contestant.threads]
    return sorted({1, cores()}) if case.best_threads else [cores()]


@dataclass
class Racer:
    """A contestant ready to take its turns."""

    worker: Worker
    threads: int
    repeat: int  # calls in one turn
    estimate: float  # seconds of one call
    value: float | None


def warmed_up(case: Case, contestant: Contestant, pool: Pool, effort: Effort) -> Racer:
    """Build the model, warm up, and choose the number of threads."""
    asked = {**case.asked, **contestant.asked}
    racers = []
    for threads in options_of_threads(case, contestant):
        worker = pool.worker(contestant.peer, threads, contestant.settings)
        value = worker.ask(**asked, value=str(asked["do"]).startswith("layer"))["value"]
        seconds = worker.ask(**asked)["seconds"]
        if seconds < effort.turn / 3:
            repeat = max(2, round(effort.turn / 3 / seconds))
            # The best of three: by a single disturbed one the wrong number of threads could be chosen.
            seconds = min(worker.ask(**asked, repeat=repeat)["seconds"] / repeat for _ in range(3))
        racers.append(Racer(worker, threads, max(1, round(effort.turn / seconds)), seconds, value))
    return min(racers, key=lambda racer: racer.estimate)


def same_work(case: Case, racers: dict[str, Racer], missing: dict[str, str]) -> None:
    """Drop whoever was asked the same as the first but computes something else: its time says nothing."""
    first, *others = racers
    asked, reference = case.contestants[first].asked, racers[first].value
    for name in others:
        value = racers[name].value
        if case.contestants[name].asked != asked or reference is None or value is None:
            continue
        if abs(value - reference) > 0.02 * abs(reference):
            missing[name] = f"its output is not that of {first}: {value:.4g}, not {reference:.4g}"
            del racers[name]


@contextmanager
def thief() -> Iterator[subprocess.Popen]:
    """A process that can keep the last core busy; it starts asleep."""
    core = max(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{core}])\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", code])
    process.send_signal(signal.SIGSTOP)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def measure(case: Case, pool: Pool, effort: Effort, limits: dict[str, dict[str, float]]) -> dict:
    """One row of results; whoever cannot take part is in it by name, with the reason.

    `others` is the share of the machine that other programs took, before or during the case; of
    several tries the quietest counts. `hand_overs` are the nanoseconds that a word took from core to core and
    back, before and after.
    """
    racers: dict[str, Racer] = {}
    missing: dict[str, str] = {}
    for name, contestant in case.contestants.items():
        try:
            racers[name] = warmed_up(case, contestant, pool, effort)
        except MissingError as reason:
            missing[name] = str(reason)
    if racers:
        same_work(case, racers, missing)
    tries = [_rounds(case, racers, missing, pool, effort)]
    while tries[-1]["others"] > IDLE and len(tries) < effort.tries:
        tries.append(_rounds(case, racers, missing, pool, effort))
    row = min(tries, key=lambda one: one["others"])
    entries = {
        name: entry(case, case.contestants[name], racers[name].threads, seconds, limits)
        for name, seconds in row["seconds"].items()
    }
    return {
        "group": case.group,
        "case": case.label,
        "others": row["others"],
        "hand_overs": row["hand_overs"],
        "tokens": case.tokens,
        "work": case.work,
        "contestants": list(case.contestants),
        "entries": entries,
        "missing": missing,
    }


def _rounds(
    case: Case, racers: dict[str, Racer], missing: dict[str, str], pool: Pool, effort: Effort
) -> dict:
    before = wait_until_idle(pool.pids(), effort.idle_limit)
    hand_overs = [hand_over()]
    seconds = {name: [racer.estimate] for name, racer in racers.items()}
    quick = {name: racer for name, racer in racers.items() if racer.estimate <= SLOW}
    all_turns = sum(racer.repeat * racer.estimate + 0.2 for racer in quick.values())
    rounds = min(effort.rounds, max(LEAST_ROUNDS, int(effort.case / all_turns))) if quick else 0
    with thief() as burden:
        others = Others([*pool.pids(), burden.pid])
        for number in range(rounds):
            for name, racer in list(quick.items()):
                contestant = case.contestants[name]
                # Threads of the library before may spin for a while before they sleep.
                time.sleep(0.2)
                if contestant.stolen:
                    burden.send_signal(signal.SIGCONT)
                try:
                    answer = racer.worker.ask(**case.asked, **contestant.asked, repeat=racer.repeat)
                except MissingError as reason:
                    missing[name] = str(reason)
                    del quick[name], seconds[name]
                    continue
                finally:
                    burden.send_signal(signal.SIGSTOP)
                if number == 0:
                    seconds[name] = []
                seconds[name].append(answer["seconds"] / racer.repeat)
        share = others.share()
    time.sleep(0.2)  # as above
    hand_overs.append(hand_over())
    return {"others": max(before, share), "hand_overs": hand_overs, "seconds": seconds}


def entry(
    case: Case,
    contestant: Contestant,
    threads: int,
    seconds: list[float],
    limits: dict[str, dict[str, float]],
) -> dict:
    """What is known of one contestant in one case; `of_limit` is the fraction of the machine's limit."""
    work = contestant.work or case.work
    if case.limit == "bandwidth":
        kinds = [level(work / case.tokens, threads)]
    elif case.limit == "bfloat16":  # by whichever products are faster
        kinds = ["bfloat16", "float32"]
    else:
        kinds = [case.limit]
    bound = max(limits.get(kind, {}).get(str(threads), 0.0) for kind in kinds)
    return {
        "threads": threads,
        "measured": seconds,
        "median": median(seconds),
        "of_limit": work / median(seconds) / 1e9 / bound if bound else None,
    }


def level(size: float, threads: int) -> str:
    """Which cache so many bytes of weights stay in, shared out to the threads."""
    caches = cache_bytes()
    if size / threads <= 0.9 * caches["L2"]:
        return "L2"
    return "L3" if size <= 0.9 * caches["L3"] else "DRAM"
