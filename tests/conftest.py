"""Fixtures that more than one test file needs."""

import os
import shutil
import signal
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOM_BYTES = 3 << 29  # what the tests' files took at most when measured (1.0 GB), and half as much again

LONGEST_FIRST = (
    "test_two_processes",
    "test_interruptions",
    "test_every_row",
    "test_notebook",
    "test_resume",
    "test_hydra",
    "test_study_killed",
    "test_demo",
)

# Two test workers share the cores; threads of their own would wait for each other. Child processes inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A law holds on a slow or busy machine too: how long an example takes to draw or to run is no failure.
settings.register_profile("laws", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("laws")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a disk that will not hold the tests' files: hundreds of errors about something else would follow.

    A script that runs the tests in its background ignores Ctrl-C for them, and so for every command that they start
    and stop: here it counts again.
    """
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput"):
        return  # a worker, perhaps one that replaces another in the middle: its files are counted already
    folder = Path(os.environ.get("PYTEST_DEBUG_TEMPROOT") or tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    if free < ROOM_BYTES:
        wanted = f"the tests need {ROOM_BYTES / 1e9:.1f} GB; make room or set TMPDIR"
        raise pytest.UsageError(f"{folder}: {free / 1e9:.1f} GB free, {wanted}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that both workers end together; then the other journeys, then the rest."""

    def place(item: pytest.Item) -> int:
        if item.path.stem in LONGEST_FIRST:
            return LONGEST_FIRST.index(item.path.stem)
        return len(LONGEST_FIRST) + (item.path.parent.name != "journeys")

    items.sort(key=place)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real clips and weights beside the checkout; the test skips where it is absent."""
    folder = Path(__file__).resolve().parents[1].parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("needs the real clips and weights of ../shared")
    return folder
