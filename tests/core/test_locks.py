"""A folder is used by one process at a time, and a dead one holds nothing."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from stf_mamba.core.errors import ClipStoreError, RunError
from stf_mamba.core.locks import LOCK, sole_use

HOLD = """
import sys, time
from stf_mamba.core.errors import RunError
from stf_mamba.core.locks import sole_use
with sole_use(sys.argv[1], RunError, "kept"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "run"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_another_process_is_refused_and_named(holder, tmp_path):
    refusal = rf"run is in use by process {holder.pid} on .*; wait until it ends, stop it"
    with pytest.raises(RunError, match=refusal), sole_use(tmp_path / "run", RunError, "kept"):
        pass
    assert (tmp_path / "run" / LOCK).is_file()


def test_a_killed_process_leaves_no_lock(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "run" / LOCK).is_file()
    with sole_use(tmp_path / "run", RunError, "kept"):
        assert f"process {os.getpid()} on " in (tmp_path / "run" / LOCK).read_text()
    assert list((tmp_path / "run").iterdir()) == []


def test_the_same_process_is_refused_too_and_may_come_back(tmp_path):
    refusal = f"in use by process {os.getpid()} on"
    with (
        sole_use(tmp_path, RunError, "kept"),
        pytest.raises(ClipStoreError, match=refusal),
        sole_use(tmp_path, ClipStoreError, "kept"),
    ):
        pass
    with sole_use(tmp_path, RunError, "kept"):
        pass


def test_a_folder_that_stays_empty_is_gone_and_a_filled_one_stays(tmp_path):
    with sole_use(tmp_path / "a" / "b", RunError, "kept"):
        assert (tmp_path / "a" / "b").is_dir()
    assert list(tmp_path.iterdir()) == []
    with sole_use(tmp_path / "a" / "b", RunError, "kept"):
        (tmp_path / "a" / "b" / "kept").touch()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["kept"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    words = r"cannot write below .*file/run: Not a directory; .* choose another --out: kept"
    with pytest.raises(RunError, match=words), sole_use(tmp_path / "file" / "run", RunError, "kept"):
        pass


def test_a_file_system_without_locks_is_used_without_one(tmp_path, monkeypatch):
    def refused(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    with sole_use(tmp_path / "run", RunError, "kept"):
        pass
    assert not (tmp_path / "run").exists()
