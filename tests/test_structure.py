"""The structure holds: who may know whom, where unsafe code may stand, what is documented and tested."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "rust/core"
FACADE = ROOT / "python/seqrs"

# What each room of the core may use: itself, and every room on an earlier line.
CORE_ROOMS = [
    "error float",
    "shape rng io",
    "params",
    "cells",
    "program optim",  # the rules of optim: a backend carries them out
    "backend",
    "device plans",
    "network layers losses",
    "models schedule sampling search",
    "decode",
]

# The facade's modules that hold policy alone and never reach into the compiled core.
WITHOUT_CORE = {"cli", "educational", "exceptions", "text", "_check"}


def rust_code(path: Path) -> str:
    """Return a source file without its comments."""
    return re.sub(r"//.*", "", path.read_text(encoding="utf-8"))


def facade_imports(path: Path) -> set[str]:
    """Return the modules of the package that a file imports, type checks aside: "nn.lstm", "" for the package."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute here"
            found |= {
                f"{node.module}.{alias.name}" if node.module == "seqrs" else str(node.module)
                for alias in node.names
            }
    return {name.removeprefix("seqrs").lstrip(".") for name in found if re.match(r"seqrs\b", name)}


def facade_rooms() -> dict[str, set[str]]:
    """Return, for each top-level module or folder of the facade, those that it imports."""
    rooms: dict[str, set[str]] = {}
    for path in FACADE.rglob("*.py"):
        room = path.relative_to(FACADE).parts[0].removesuffix(".py")
        rooms.setdefault(room, set()).update(name.split(".")[0] for name in facade_imports(path))
    return {room: uses - {room} for room, uses in rooms.items()}


def test_facade_imports_flow_one_way() -> None:
    rooms = facade_rooms()
    assert len(rooms) > 5
    surface = {"__init__", "__main__"}
    TopologicalSorter(
        {room: uses for room, uses in rooms.items() if room not in surface}
    ).prepare()  # no cycle
    assert {room for room, uses in rooms.items() if "cli" in uses} <= {"__main__"}


def test_policy_does_not_reach_into_the_compiled_core() -> None:
    users = {room for room, uses in facade_rooms().items() if "_native" in uses}
    assert users
    assert not users & WITHOUT_CORE


def test_numpy_is_the_only_required_dependency() -> None:
    (listed,) = re.findall(r"^dependencies = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert re.fullmatch(r'"numpy[^",]*"', listed)


def test_core_knows_nothing_of_python() -> None:
    assert not re.search("pyo3|numpy", (CORE / "Cargo.toml").read_text())
    assert [path for path in CORE.rglob("*.rs") if re.search("pyo3", rust_code(path))] == []


def test_core_rooms_use_only_earlier_ones() -> None:
    rank = {room: i for i, rooms in enumerate(CORE_ROOMS) for room in rooms.split()}
    source = CORE / "src"
    for path in source.rglob("*.rs"):
        room = path.relative_to(source).parts[0].removesuffix(".rs")
        if room == "lib" or path.name == "tests.rs":  # tests look at the whole
            continue
        for used in re.findall(r"\bcrate::(?:\{\s*)?(\w+)", rust_code(path)):
            assert used == room or rank[used] < rank[room], (
                f"{path.relative_to(ROOT)} may not use crate::{used}"
            )


def test_only_device_names_the_backends() -> None:
    source = CORE / "src"
    backends = {path.name for path in (source / "backend").iterdir() if path.is_dir()}
    assert backends >= {"cpu", "reference"}
    for path in source.rglob("*.rs"):
        parts = path.relative_to(source).parts
        if parts[0] in {"device.rs", "lib.rs"} or parts == ("backend", "mod.rs"):
            continue
        own = parts[1] if parts[0] == "backend" else None
        named = set(re.findall(r"\bbackend::(?:\{\s*)?(\w+)", rust_code(path))) & backends
        assert named <= {own}, f"{path.relative_to(ROOT)} names the backend {named}"


def test_unsafe_stands_only_where_the_processor_is_driven() -> None:
    # A kernel's loops are compiled as they stand, without wgpu's own counters. The example measures the
    # processor's peak, to which the benchmarks compare; the test counts what goes through the allocator.
    allowed = re.compile(
        r"rust/core/(src/backend/(cpu/(simd|threads|scratch)\w*(/\w+)?|gpu/kernel)|examples/fma_peak|tests/allocations)\.rs"
    )
    files = [
        path.relative_to(ROOT).as_posix()
        for path in ROOT.glob("rust/**/*.rs")
        if "unsafe " in rust_code(path)
    ]
    assert [name for name in files if not allowed.fullmatch(name)] == []
    assert "#![deny(unsafe_code)]" in (CORE / "src/lib.rs").read_text()
    assert "#![forbid(unsafe_code)]" in (ROOT / "rust/python/src/lib.rs").read_text()


def test_every_make_target_has_help() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z][a-z-]*):(?!=)(.*)$", makefile, re.MULTILINE)
    assert {"demo", "test", "check", "bench", "wheel", "docs", "clean"} <= {name for name, _ in targets}
    assert [name for name, rest in targets if not re.search(r"## \w", rest)] == []


ERROR_VARIANTS = [
    f"{kind}::{variant}"
    for kind, variants in re.findall(
        r"^pub enum (\w+) \{\n(.*?)^\}", (CORE / "src/error.rs").read_text(), re.MULTILINE | re.DOTALL
    )
    for variant in re.findall(r"^    ([A-Z]\w+)(?: \{|\(|,)", variants, re.MULTILINE)
]


@pytest.mark.parametrize("variant", ERROR_VARIANTS)
def test_every_error_of_the_core_is_reached_by_a_test(variant: str) -> None:
    files = [*(CORE / "tests").rglob("*.rs"), CORE / "src/backend/gpu/tests.rs"]
    assert any(variant in rust_code(path) for path in files), f"no Rust test reaches {variant}"
