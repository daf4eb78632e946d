"""Celeb-DF (v2) as it lies on disk, with its official list of test videos.

Source: Li et al., "Celeb-DF: A Large-scale Challenging Dataset for DeepFake Forensics", CVPR 2020, and the data set's
README. In ``idA_idB_NNNN`` A is the original person and B the face put in (the authors' answer in their issue 6).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from stf_mamba.core.errors import DatasetError, first_few
from stf_mamba.core.files import read_text
from stf_mamba.core.folders import NameFinder
from stf_mamba.core.records import FAKE, REAL, VideoRecord
from stf_mamba.datasets.listing import child_folder, layout_error, name_error, require_root, sorted_unique, videos_in

Part = Literal["test", "all"]

TEST_LIST = "List_of_testing_videos.txt"
_LISTED_REAL, _LISTED_FAKE = "1", "0"


@dataclass(frozen=True)
class _Source:
    """One of the data set's folders: what its videos are, and how their names read."""

    folder: str
    label: int
    method: str
    name: re.Pattern[str]
    expected: str
    prefix: str = ""


_SOURCES = (
    _Source("Celeb-real", REAL, "real", re.compile(r"(id\d+)_\d+"), "idA_NNNN.mp4"),
    _Source("YouTube-real", REAL, "real", re.compile(r"(\d+)"), "NNNNN.mp4", prefix="youtube"),
    _Source("Celeb-synthesis", FAKE, "Celeb-synthesis", re.compile(r"(id\d+)_(id\d+)_\d+"), "idA_idB_NNNN.mp4"),
)


@dataclass(frozen=True)
class CelebDF:
    """Celeb-DF v2. Ids are ``celebdf/real/NAME`` and ``celebdf/Celeb-synthesis/NAME``.

    The 59 people are ``celebdf:id0`` and so on; who is in a YouTube-real video is not published, so each of those is
    a person of its own, ``celebdf:youtube00170``.

    Attributes:
        root: the folder that holds ``Celeb-real``, ``YouTube-real`` and ``Celeb-synthesis`` (in any mixture of cases).
        part: ``test`` for the 518 videos of the official list, ``all`` for every video in the three folders.

    Example:
        >>> import stf_mamba as stf
        >>> len(stf.datasets.CelebDF("/data/celebdf").records())  # doctest: +SKIP
        518
    """

    root: Path | str
    part: Part = "test"
    name = "celebdf"

    def __post_init__(self) -> None:
        if self.part not in get_args(Part):
            raise ValueError(f"part must be 'test' or 'all', got {self.part!r}")

    def records(self) -> list[VideoRecord]:
        """The videos of the part, sorted by ``video_id``; those of the official list carry ``split="test"``.

        Raises:
            DatasetError: another layout, a missing or unreadable list, a listed video that is not there, a folder
                without videos, or a video whose name does not parse.
        """
        root = Path(self.root)
        require_root(root)
        folders = {source.folder.lower(): child_folder(root, source.folder) for source in _SOURCES}
        if not any(folders.values()):
            raise self._layout_error(root)
        if self.part == "test":
            return sorted_unique(_with_originals(self._listed(root, folders)), root)
        absent = [source.folder for source in _SOURCES if folders[source.folder.lower()] is None]
        if absent:
            raise self._layout_error(root)
        tested = {record.video_id for record in self._listed(root, folders)} if _list_in(root).is_file() else set()
        everything = (replace(r, split="test" if r.video_id in tested else None) for r in self._everything(folders))
        return sorted_unique(_with_originals(everything), root)

    def _everything(self, folders: dict[str, Path | None]) -> Iterator[VideoRecord]:
        for source in _SOURCES:
            folder = folders[source.folder.lower()]
            assert folder is not None
            for path in videos_in(folder):
                yield self._record(path, source, None)

    def _listed(self, root: Path, folders: dict[str, Path | None]) -> list[VideoRecord]:
        """The videos of the official list, whose labels (1 real, 0 fake) are turned into ours here and only here."""
        sources = {source.folder.lower(): source for source in _SOURCES}
        finder = NameFinder()
        records: list[VideoRecord] = []
        missing: list[str] = []
        for line_number, label, folder_name, file_name in _read_list(_list_in(root)):
            source, folder = sources.get(folder_name.lower()), folders.get(folder_name.lower())
            expected = None if source is None else _LISTED_REAL if source.label == REAL else _LISTED_FAKE
            if source is None or label != expected:
                raise DatasetError(
                    f"{root / TEST_LIST}, line {line_number}: {label} {folder_name}/{file_name} does not fit; expected "
                    "1 (real) for Celeb-real and YouTube-real, 0 (fake) for Celeb-synthesis. Use the official list."
                )
            path = None if folder is None else finder.file(folder / file_name)
            if path is None:
                missing.append(f"{folder_name}/{file_name}")
            else:
                records.append(self._record(path, source, "test"))
        if missing:
            raise DatasetError(
                f"{root}: {len(missing)} of {len(missing) + len(records)} videos of {TEST_LIST} are missing: "
                f"{first_few(missing)}. Complete the download: a test set with gaps gives another number."
            )
        return records

    def _record(self, path: Path, source: _Source, split: str | None) -> VideoRecord:
        name = path.stem.lower()
        match = source.name.fullmatch(name)
        if match is None:
            raise name_error([path], f"{source.folder}/{source.expected}")
        return VideoRecord(
            video_id=f"{self.name}/{source.method}/{name}",
            path=path,
            label=source.label,
            identities=tuple(f"{self.name}:{source.prefix}{person}" for person in match.groups()),
            method=source.method,
            split=split,
        )

    def _layout_error(self, root: Path) -> DatasetError:
        patterns = [f"{source.folder}/{source.expected}" for source in _SOURCES]
        return layout_error(root, "Celeb-DF v2", patterns, "Give the folder that holds these three.")


def _list_in(root: Path) -> Path:
    return NameFinder().file(root / TEST_LIST) or root / TEST_LIST


def _with_originals(records: Iterable[VideoRecord]) -> Iterator[VideoRecord]:
    """The records; a swap Celeb-synthesis/idA_idB_NNNN with its original Celeb-real/idA_NNNN, where that is there."""
    finder = NameFinder()
    for record in records:
        if record.label == FAKE:
            target, _, number = record.path.stem.split("_")
            original = record.path.parents[1] / "Celeb-real" / f"{target}_{number}{record.path.suffix}"
            record = replace(record, original=finder.file(original))
        yield record


def _read_list(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """Line number, label, folder and file name of each line ``LABEL FOLDER/FILE``; blank lines are passed over."""
    next_step = "it names the official test videos and comes with the data set: put it there, or ask for part='all'"
    lines = read_text(path, DatasetError, next_step).split("\n")
    entries = [(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()]
    if not entries:
        raise DatasetError(f"{path} names no video; 518 lines LABEL FOLDER/FILE were expected. Use the official list.")
    for number, words in entries:
        if len(words) != 2 or words[1].count("/") != 1:
            raise DatasetError(
                f"{path}, line {number}: {' '.join(words)!r}; LABEL FOLDER/FILE was expected, as in "
                "'1 YouTube-real/00170.mp4'. Use the official list."
            )
        folder_name, file_name = words[1].split("/")
        yield number, words[0], folder_name, file_name
