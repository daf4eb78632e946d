"""The command line as a user meets it: within this process, or started in one of its own, read, interrupted, killed."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from stf_mamba.cli.app import main
from stf_mamba.cli.progress import stderr

STF = (sys.executable, "-m", "stf_mamba")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run")
TIMEOUT_S = 180.0
PROGRESS = re.compile(r"\d:\d\d:\d\d left |^  loss \d.* clips/s")

# Wide, so that no message is broken into lines.
ENVIRONMENT = {"COLUMNS": "2000", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
# What Python keeps to itself outside of a test run.
UNSHOWN = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)

Argument = str | int | float | Path


@dataclass(frozen=True)
class Finished:
    """What a command left behind: its exit code and what it wrote."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The message of a command that refused; asserts that it is the only one and the last word."""
        lines = messages(self.stderr)
        assert [line.startswith("error: ") for line in lines] == [False] * (len(lines) - 1) + [True], self.stderr
        assert "Warning" not in self.stderr
        assert self.stdout == ""
        return lines[-1].removeprefix("error: ")


def stf(*arguments: Argument) -> Finished:
    """Run ``stf`` to its end within this process: nothing is imported again. What it does not catch is raised here."""
    printed, told = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    stderr.cache_clear()  # a console keeps the width and the colours that it was made with
    with (
        mock.patch.dict(os.environ, ENVIRONMENT),
        mock.patch.object(sys, "argv", ["stf", *map(str, arguments)]),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(told),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("default")
        for category in UNSHOWN:
            warnings.simplefilter("ignore", category)
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
    stderr.cache_clear()
    shown = [warnings.formatwarning(one.message, one.category, one.filename, one.lineno) for one in caught]
    stdout, stderr_text = (stream.buffer.getvalue().decode().replace("\r", "\n") for stream in (printed, told))
    assert isinstance(code, int), code
    return Finished(code, stdout, stderr_text + "".join(shown))


def stf_process(*arguments: Argument) -> Finished:
    """Run ``stf`` to its end in a process of its own, as a person does."""
    return run([*STF, *arguments])


def run(command: list[Argument]) -> Finished:
    """Run a command to its end."""
    with started(command) as process:
        return finish(process)


def start(*arguments: Argument) -> AbstractContextManager[subprocess.Popen[str]]:
    """``stf`` as a context: see ``started``."""
    return started([*STF, *arguments])


@contextmanager
def started(command: list[Argument]) -> Iterator[subprocess.Popen[str]]:
    """A running command in a process group of its own, which is killed at the end, whatever is left of it."""
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **ENVIRONMENT},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with_group(process, signal.SIGKILL)
        process.wait()


def finish(process: subprocess.Popen[str]) -> Finished:
    """Wait for a command's end. No run, whatever its input, may show a traceback."""
    stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    assert "Traceback" not in stderr, stderr
    return Finished(process.returncode, stdout, stderr)


def with_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal to a command and its children, as a terminal does on Ctrl-C."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def wait_until(holds: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until something holds; fails if the command ends before."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not holds():
        assert process.poll() is None, f"ended too early: {process.communicate()}"
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.002)


def children(process: subprocess.Popen[str]) -> dict[int, str]:
    """The processes that a command has started and that still run: their command lines by id (Linux)."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            if parent == process.pid:
                found[int(status.parent.name)] = (status.parent / "cmdline").read_text().replace("\0", " ")
        except (OSError, ValueError):  # it ended while we looked
            continue
    return found


def has_loaded(process_id: int, library: str) -> bool:
    """Whether a process has mapped a library's files (Linux)."""
    try:
        return library in Path(f"/proc/{process_id}/maps").read_text()
    except OSError:  # it has ended
        return False


def is_running(process_id: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def partial_files(folder: Path) -> list[Path]:
    """Whatever lies half-written below a folder, in which others may be working."""
    return [
        Path(parent, name)
        for parent, folders, files in os.walk(folder)
        for name in (*folders, *files)
        if "partial" in name
    ]


def messages(stderr: str) -> list[str]:
    """The lines of stderr that are no progress bars."""
    return [line for line in stderr.splitlines() if line.strip() and not PROGRESS.search(line)]
