"""What lies in folders, and what a name means there: each real folder once, names in any case and Unicode form."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

from stf_mamba.core.errors import DatasetError


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
