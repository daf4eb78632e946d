"""Files and folders that are whole or absent, whatever interrupts their writing.

Something half-written bears a name that says which process writes it: ``.NAME.HOST@PID.partial``. What a process that
is gone left behind can therefore be told from what another one is writing right now.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stf_mamba.core.errors import VideoError

if TYPE_CHECKING:
    import os


SUFFIX = ".partial"


@contextmanager
def partial_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The name to write a file or folder under; at the end of the block it gets its own, after an error it is removed.

    Raises:
        OSError: what the block raises, or the final name cannot be given.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{socket.gethostname()}@{os.getpid()}{SUFFIX}")
    try:
        yield partial
        partial.replace(target)
    except BaseException:
        _remove(partial)
        raise


def write_bytes_atomically(path: str | os.PathLike[str], content: bytes | memoryview) -> Path:
    """Write a file that appears whole or not at all, on the disk and not only in its cache. Returns its path.

    Raises:
        OSError: the disk is full (``errno.ENOSPC``) or the folder cannot be written; nothing stays behind.
    """
    with partial_path(path) as partial, partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return Path(path)


def write_text_atomically(path: str | os.PathLike[str], text: str) -> Path:
    """Write ``text`` as UTF-8; otherwise as ``write_bytes_atomically``.

    What UTF-8 cannot hold (bytes in the name of a file) is written as an escape, which JSON reads back as it was.
    """
    return write_bytes_atomically(path, text.encode(errors="backslashreplace"))


def remove_leftovers(folder: Path) -> None:
    """Remove what processes of this machine that no longer run left half-written in a folder."""
    for partial in folder.glob(f".*@*{SUFFIX}"):
        owner, _, number = partial.name.removesuffix(SUFFIX).rpartition("@")
        if owner.endswith(f".{socket.gethostname()}") and number.isdecimal() and not _is_running(int(number)):
            _remove(partial)


def _remove(partial: Path) -> None:
    if partial.is_dir():
        shutil.rmtree(partial, ignore_errors=True)
    else:
        partial.unlink(missing_ok=True)


def _is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The file's SHA-256 in hexadecimal, read in pieces.

    Raises:
        VideoError: the file is missing or cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise VideoError(f"{path}: cannot be read ({error.strerror}). Check the path and its permissions.") from error
