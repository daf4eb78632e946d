"""Files and folders that are whole or absent, whatever interrupts their writing.

Something half-written bears a name that says which process writes it: ``.NAME.HOST@PID.partial``. What a process that
is gone left behind can therefore be told from what another one is writing right now.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stf_mamba.core.errors import DatasetError, VideoError

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


def files_below(folder: Path, nested: bool = True) -> Iterator[Path]:
    """The files of a folder and, with ``nested``, of its sub-folders; what begins with a dot is passed over.

    Links to folders are followed, and each real folder is entered once: under its own name where that lies below
    ``folder``, else under the first link's. The folders that ``folder`` itself lies in are never entered. A link to
    nothing counts as a file.

    Raises:
        OSError: a folder cannot be read.
    """
    entered = {_identity(parent) for parent in folder.resolve().parents}
    own = [folder]
    linked: list[Path] = []
    while own or linked:
        here = own.pop() if own else linked.pop(0)
        identity = _identity(here)
        if identity in entered:
            continue
        entered.add(identity)
        for entry in sorted(here.iterdir()):
            if entry.name.startswith("."):
                continue
            if not entry.is_dir():
                yield entry
            elif nested:
                (linked if entry.is_symlink() else own).append(entry)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def composed(name: str) -> str:
    """A name with composed letters (Unicode NFC): some systems write ``é`` as ``e`` and an accent."""
    return unicodedata.normalize("NFC", name)


class NameFinder:
    """Finds files and folders by names in any mixture of cases, with letters composed or not.

    It reads each folder once, so it serves one listing and is then dropped.
    """

    def __init__(self) -> None:
        self._entries: dict[Path, dict[str, list[Path]]] = {}

    def file(self, path: Path) -> Path | None:
        """The file that ``path`` means; a file of just this name wins. ``None`` where there is none.

        Raises:
            DatasetError: two files differ from ``path`` in case only.
        """
        return self._find(path, Path.is_file)

    def folder(self, path: Path) -> Path | None:
        """The folder that ``path`` means. Otherwise as ``file``."""
        return self._find(path, Path.is_dir)

    def _find(self, path: Path, is_wanted: Callable[[Path], bool]) -> Path | None:
        if is_wanted(path):
            return path
        parent = None if path.parent == path else self.folder(path.parent)
        if parent is None:
            return None
        if parent not in self._entries:
            self._entries[parent] = {}
            for entry in sorted(parent.iterdir()):
                self._entries[parent].setdefault(_key(entry.name), []).append(entry)
        found = [entry for entry in self._entries[parent].get(_key(path.name), []) if is_wanted(entry)]
        if len(found) > 1:
            names = ", ".join(entry.name for entry in found)
            raise DatasetError(
                f"{parent}: {names} differ in case only, one {path.name} was expected. Keep one of them."
            )
        return found[0] if found else None


def _key(name: str) -> str:
    return composed(composed(name).lower())


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
