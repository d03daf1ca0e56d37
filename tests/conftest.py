"""Fixtures and the hypothesis profile that all tests share."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

import seqrs

# "repeatable" draws the same cases on every run and machine, so a red run stays red;
# `pytest --hypothesis-profile=explore` looks for new ones. Times vary too much for deadlines.
settings.register_profile(
    "repeatable",
    derandomize=True,
    max_examples=60,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", settings.get_profile("repeatable"), derandomize=False, max_examples=500)
settings.load_profile("repeatable")


def pytest_sessionstart() -> None:
    """What is asked to be tested on one instruction set is not tested on another."""
    asked, used = os.environ.get("SEQRS_CPU"), seqrs.cpu_features()["path"]
    if asked not in (None, used):
        pytest.exit(f"SEQRS_CPU={asked}, but {used} is in use", returncode=1)


def pytest_report_header() -> list[str]:
    """What the tests run on."""
    return [f"instruction sets: {seqrs.cpu_features()}", str(seqrs.gpu.info())]


@pytest.fixture(params=["cpu", "reference"], scope="session")
def device(request: pytest.FixtureRequest) -> str:
    """Each device in turn: what holds for one must hold for the other."""
    return request.param


@pytest.fixture
def thread_count() -> Iterator[int]:
    """The number of threads at the start, which a test may change."""
    before = seqrs.get_num_threads()
    yield before
    seqrs.set_num_threads(before)
