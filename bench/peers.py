"""The libraries that are measured: where each one lives, how it gets there, and how it is asked.

Every library has an environment of its own in target/bench-peers, made on first use. One that cannot be
had is left out by name.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from machine import ROOT

FOLDER = ROOT / "target" / "bench-peers"
SCRIPTS = Path(__file__).resolve().parent / "peers"
PATIENCE = 300  # seconds that one answer may take


@dataclass(frozen=True)
class Peer:
    """A library: a script with the packages it needs, or a cargo project in peers/."""

    title: str
    script: str = ""
    packages: tuple[str, ...] = ()
    project: str = ""


PEERS = {
    "seqrs": Peer("seqrs", "seqrs_peer.py"),
    "torch": Peer("PyTorch", "torch_peer.py", ("torch", "numpy")),
    "onnxruntime": Peer("ONNX Runtime", "onnxruntime_peer.py", ("onnxruntime", "onnx", "numpy")),
    "keras": Peer("Keras", "keras_peer.py", ("keras", "jax", "numpy")),
    "candle": Peer("candle", project="candle"),
    "burn": Peer("burn", project="burn"),
    "rust-lstm": Peer("rust-lstm", project="rust_lstm"),
}


class MissingError(Exception):
    """A library, or something that it should do, is not there; the message says why."""


def environment(name: str, packages: tuple[str, ...]) -> Path:
    """Python of an environment in target/bench-peers with these packages, made anew when they change."""
    folder = FOLDER / name
    python, done = folder / "bin" / "python", folder / ".installed"
    if not done.exists() or done.read_text() != " ".join(packages):
        print(f"Installing {', '.join(packages)} into {folder.relative_to(ROOT)}", file=sys.stderr)
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise MissingError("its packages could not be installed") from error
        done.write_text(" ".join(packages))
    return python


def _built(project: str) -> Path:
    target = FOLDER / project
    # For this very processor, as someone would build it who cares for speed.
    settings = {"CARGO_TARGET_DIR": str(target), "RUSTFLAGS": "-C target-cpu=native"}
    build = ["cargo", "build", "--release", "--quiet", "--manifest-path", SCRIPTS / project / "Cargo.toml"]
    print(f"Building bench/peers/{project}", file=sys.stderr)
    try:
        subprocess.run(build, check=True, env=os.environ | settings)
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingError("it could not be built") from error
    return target / "release" / "peer"


class Worker:
    """One library in a process of its own, with its number of threads (see peers/worker.py)."""

    def __init__(self, name: str, command: list[str], threads: int, settings: dict[str, str]) -> None:
        self.name = name
        # For those that read it from the environment when they start.
        counts = {key: str(threads) for key in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")}
        FOLDER.mkdir(parents=True, exist_ok=True)
        with (FOLDER / f"{name}.log").open("a") as log:
            self.process = subprocess.Popen(
                [*command, str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | counts | settings,
            )

    def ask(self, **request: object) -> dict:
        """What the library answers. Raises `MissingError` with its reason where it cannot."""
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise self._ended() from error
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            self.close()
            raise MissingError(f"no answer within {PATIENCE} s")
        line = self.process.stdout.readline()
        if not line:
            raise self._ended()
        answer = json.loads(line)
        if "unsupported" in answer:
            raise MissingError(answer["unsupported"])
        return answer

    def _ended(self) -> MissingError:
        log = (FOLDER / f"{self.name}.log").relative_to(ROOT)
        return MissingError(f"its process ended with {self.process.wait()}, see {log}")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Pool:
    """The processes of all libraries, started when they are first asked."""

    def __init__(self, pythons: dict[str, str], without: list[str]) -> None:
        self.pythons = pythons
        self.missing = dict.fromkeys(without, "left out by --without")
        self._commands: dict[str, list[str]] = {}
        self._workers: dict[tuple, Worker] = {}

    def command(self, name: str) -> list[str]:
        """How to start the library, after making sure that it is there."""
        if name in self.missing:
            raise MissingError(self.missing[name])
        if name not in self._commands:
            peer = PEERS[name]
            try:
                if peer.project:
                    self._commands[name] = [str(_built(peer.project))]
                else:
                    self._commands[name] = [str(self.python(name)), str(SCRIPTS / peer.script)]
            except MissingError as missing:
                self.missing[name] = str(missing)
                raise
        return self._commands[name]

    def python(self, name: str) -> str | Path:
        if name == "seqrs":
            return sys.executable
        return self.pythons.get(name) or environment(name, PEERS[name].packages)

    def start(self, name: str, threads: int, settings: dict[str, str]) -> Worker:
        """A fresh process, the caller's to close."""
        return Worker(name, self.command(name), threads, settings)

    def worker(self, name: str, threads: int, settings: dict[str, str]) -> Worker:
        """The process with so many threads and such settings, the same each time while it lives."""
        key = name, threads, *sorted(settings.items())
        worker = self._workers.get(key)
        if worker is None or worker.process.poll() is not None:
            worker = self._workers[key] = self.start(name, threads, settings)
        return worker

    def prepare(self, names: list[str]) -> dict[str, str]:
        """Install and start each library once; what versions they are."""
        versions: dict[str, str] = {}
        for name in names:
            try:
                versions |= self.worker(name, 1, {}).ask(do="versions")
            except MissingError as missing:
                self.missing[name] = str(missing)
                print(f"{name} is left out: {missing}", file=sys.stderr)
        return versions

    def pids(self) -> list[int]:
        return [w.process.pid for w in self._workers.values() if w.process.poll() is None]

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()
