"""Fixtures that more than one test file needs."""

import os
from pathlib import Path

import pytest

# Two test workers share the cores; threads of their own would wait for each other. Child processes inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real clips and weights beside the checkout; the test skips where it is absent."""
    folder = Path(__file__).resolve().parents[1].parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("needs the real clips and weights of ../shared")
    return folder
