"""One process at a time in a folder: two that write the same run, clips or verdicts would mix them up."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stf_mamba.core.errors import StfError
from stf_mamba.core.files import write_failure

LOCK = ".lock"
CANNOT_LOCK = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)  # file systems without locks: there it goes on without one


@contextmanager
def sole_use(folder: str | os.PathLike[str], failure: type[StfError], kept: str) -> Iterator[None]:
    """Nobody else works in ``folder`` during the block. It is made where it is missing, and removed again if it is
    still empty then.

    The system holds the lock, and lets it go when the process ends, however it ends: a killed one leaves a file
    ``.lock`` behind and no lock. What the file says is for the message alone. Within a process, another call waits for
    no one either: it is refused.

    Args:
        failure, kept: as ``write_errors_as``.

    Raises:
        StfError: ``failure``: another process works there, or the folder cannot be written.
    """
    root = Path(folder)
    made = [place for place in (root, *root.parents) if not place.exists()]
    try:
        try:
            root.mkdir(parents=True, exist_ok=True)
            file = _locked(root, failure)
        except OSError as error:
            raise write_failure(failure, error, root, kept) from error
        try:
            yield
        finally:
            (root / LOCK).unlink(missing_ok=True)
            os.close(file)
    finally:
        with suppress(OSError):  # something lies in it now
            for place in made:
                place.rmdir()


def _locked(root: Path, failure: type[StfError]) -> int:
    """The descriptor of the lock's file, which holds the lock until it is closed."""
    import fcntl

    while True:
        file = os.open(root / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(file, 500).decode(errors="replace") or "another process"
            os.close(file)
            raise failure(
                f"{root} is in use by {owner}; wait until it ends, stop it, or choose another --out"
            ) from None
        except OSError as error:
            if error.errno not in CANNOT_LOCK:
                os.close(file)
                raise
        if _is_still_there(root / LOCK, file):
            os.ftruncate(file, 0)
            os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
            return file
        os.close(file)  # its owner removed it between our opening and our locking


def _is_still_there(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False
