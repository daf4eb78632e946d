"""A folder of verdicts: each file's JSON and page under a name that no other file's can take."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from stf_mamba.core.errors import VerdictError
from stf_mamba.core.files import names_for
from stf_mamba.core.records import Verdict


@dataclass(frozen=True)
class VerdictPlace:
    """Where a file's verdict lies or will lie."""

    json: Path
    page: Path

    @property
    def verdict(self) -> Verdict | None:
        """The verdict that lies there; ``None`` for nothing, or for something else."""
        try:
            return Verdict.load(self.json)
        except VerdictError:
            return None

    @property
    def is_free(self) -> bool:
        """Whether nothing of this name is there."""
        return not (self.json.exists() or self.page.exists())


class VerdictFolder:
    """Names for verdicts below one folder, which may hold those of earlier calls."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self._given: set[VerdictPlace] = set()

    def place(self, name: Path, file: Path, sha256: str | None) -> VerdictPlace:
        """The place of a file's verdict, by its name (sub-folders included) and hash.

        It is free, or holds a verdict on a file of the same content (where it cannot be read, of the same path). The
        names of ``names_for`` are tried in turn; the same files in the same order get the same names again.
        """
        for stem in names_for(name.name, sha256):
            base = self.root / name.parent / stem
            place = VerdictPlace(base.with_name(f"{stem}.json"), base.with_name(f"{stem}.html"))
            if place not in self._given and (place.is_free or _is_of(place.verdict, file, sha256)):
                self._given.add(place)
                return place
        raise AssertionError("numbers do not end")


def _is_of(verdict: Verdict | None, file: Path, sha256: str | None) -> bool:
    if verdict is None or verdict.provenance.get("sha256") != sha256:
        return False
    return sha256 is not None or verdict.provenance.get("path") == str(file)
