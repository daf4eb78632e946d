"""Listing the files of a data set, and the words for what is wrong with its folder. No pixel is read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from stf_mamba.core.errors import DatasetError, first_few
from stf_mamba.core.records import VideoRecord
from stf_mamba.datasets.drawn import with_drawn_marked

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm"}
)


class Dataset(Protocol):
    """What every adapter offers."""

    name: str

    def records(self) -> list[VideoRecord]:
        """Every video of the data set, sorted by ``video_id``."""
        ...


def videos_in(folder: Path, nested: bool = False) -> list[Path]:
    """The video files of ``folder``, sorted by path; with ``nested`` those of its sub-folders too.

    Hidden files and folders, and files whose suffix is not in ``VIDEO_SUFFIXES``, are no videos and are left out.

    Raises:
        DatasetError: the folder holds no video.
    """
    found: list[Path] = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if nested and not name.startswith(".")]
        found += [
            Path(parent, name)
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES
        ]
    if not found:
        raise DatasetError(
            f"{folder}: no video in it; looked for files ending in {' '.join(sorted(VIDEO_SUFFIXES))}, "
            f"found {contents(folder)}. Check that the download or the extraction finished."
        )
    return sorted(found)


def child_folder(folder: Path, name: str) -> Path | None:
    """The sub-folder called ``name`` in any mixture of cases; an exact match wins. ``None`` where there is none.

    Raises:
        DatasetError: two sub-folders differ from ``name`` in case only.
    """
    if not folder.is_dir():
        return None
    matches = sorted(entry for entry in folder.iterdir() if entry.name.lower() == name.lower() and entry.is_dir())
    exact = [entry for entry in matches if entry.name == name]
    if len(matches) > 1 and not exact:
        names = ", ".join(entry.name for entry in matches)
        raise DatasetError(f"{folder}: {names} differ in case only, one {name} was expected. Rename or merge them.")
    return next(iter(exact or matches), None)


def require_root(root: Path) -> None:
    """Raises DatasetError unless ``root`` is an existing folder."""
    if not root.is_dir():
        seen = "is a file" if root.exists() else "does not exist"
        raise DatasetError(f"{root} {seen}, a folder was expected. Give the data set's own top folder.")


def layout_error(root: Path, dataset: str, patterns: Sequence[str], next_step: str) -> DatasetError:
    """The error for a root with another layout: what was looked for, what is there, what to do."""
    return DatasetError(
        f"{root} does not have the layout of {dataset}. Looked for: {'; '.join(patterns)}. "
        f"Found there: {contents(root)}. {next_step}"
    )


def name_error(paths: Sequence[Path], pattern: str) -> DatasetError:
    """The error for videos whose names the adapter cannot read; none of them is left out in silence."""
    return DatasetError(
        f"{len(paths)} video name(s) cannot be read: {first_few(map(str, paths))}. Expected: {pattern}. "
        "Rename the files or move them out of the data set's folder."
    )


def sorted_unique(records: Iterable[VideoRecord], root: Path) -> list[VideoRecord]:
    """The records sorted by ``video_id``; those of videos that a program drew say so (see ``drawn``).

    Raises:
        DatasetError: two records have one ``video_id``, for example ``000.mp4`` beside ``000.avi``.
    """
    ordered = sorted(with_drawn_marked(list(records)), key=lambda record: (record.video_id, str(record.path)))
    counts = Counter(record.video_id for record in ordered)
    repeated = [str(record.path) for record in ordered if counts[record.video_id] > 1]
    if repeated:
        raise DatasetError(
            f"{root}: {len(repeated)} videos share a video id with another one: {first_few(repeated)}. "
            "Names must be unique, suffix aside. Keep one of each."
        )
    return ordered


def contents(folder: Path) -> str:
    """The first entries of a folder in words, folders with a slash."""
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    if not entries:
        return "nothing"
    return first_few(entry.name + ("/" if entry.is_dir() else "") for entry in entries)
