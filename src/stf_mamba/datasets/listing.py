"""Listing the files of a data set, and the words for what is wrong with its folder. No pixel is read."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from stf_mamba.core.errors import DatasetError, LeftOutWarning, first_few
from stf_mamba.core.folders import NameFinder, files_below
from stf_mamba.core.records import VideoRecord
from stf_mamba.datasets.drawn import with_drawn_marked

# The files with pictures in motion that FFmpeg reads. Source: the demuxers of FFmpeg's libavformat, without those of
# sound, subtitles and single pictures, and the names that cameras and discs give to the same containers.
_SUFFIXES = """
.3g2 .3gp .3gpp .amv .apng .asf .av1 .avi .bik .cine .dav .divx .dv .dvr-ms .evo .f4v .flc .fli .flv .gif .gxf .h261
.h263 .h264 .264 .h265 .265 .hevc .insv .ivf .lrv .m1v .m2p .m2t .m2ts .m2v .m4v .mj2 .mjpeg .mjpg .mk3d .mkv .mod
.moov .mov .mp4 .mpe .mpeg .mpg .mpv .mts .mxf .nsv .nut .obu .ogg .ogm .ogv .ogx .ps .psp .qt .rm .rmvb .roq .smk
.swf .tod .tp .trp .ts .vc1 .vob .vro .webm .wmv .wtv .xvid .y4m
"""
VIDEO_SUFFIXES = frozenset(_SUFFIXES.split())


class Dataset(Protocol):
    """What every adapter offers."""

    name: str

    def records(self) -> list[VideoRecord]:
        """Every video of the data set, sorted by ``video_id``."""
        ...


def videos_in(folder: Path, nested: bool = False) -> list[Path]:
    """The video files of ``folder``, sorted by path; with ``nested`` those of its sub-folders too.

    Each real folder is entered once, whatever links lead to it. What begins with a dot is passed over; files whose
    suffix is not in ``VIDEO_SUFFIXES`` are left out, and a ``LeftOutWarning`` counts and names them.

    Raises:
        DatasetError: the folder holds no video, or cannot be read.
    """
    try:
        files = sorted(files_below(folder, nested))
    except OSError as error:
        raise DatasetError(f"{error.filename} cannot be read ({error.strerror}). Check its permissions.") from error
    found = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    if not found:
        raise DatasetError(
            f"{folder}: no video in it; looked for files ending in .mp4, .mov, .avi or one of {len(VIDEO_SUFFIXES)} "
            f"suffixes of videos, found {contents(folder)}. Check that the download or the extraction finished."
        )
    left_out = [str(path.relative_to(folder)) for path in files if path.suffix.lower() not in VIDEO_SUFFIXES]
    if left_out:
        warnings.warn(
            f"{folder}: {len(left_out)} of {len(files)} files are no videos by their names and are left out: "
            f"{first_few(left_out)}. Give a video one of the usual suffixes, such as .mp4.",
            LeftOutWarning,
            stacklevel=2,
        )
    return found


def child_folder(folder: Path, name: str) -> Path | None:
    """The sub-folder called ``name`` in any mixture of cases; an exact match wins. ``None`` where there is none.

    Raises:
        DatasetError: two sub-folders differ from ``name`` in case only.
    """
    return NameFinder().folder(folder / name)


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
        DatasetError: two records have one ``video_id``, for example ``000.mp4`` beside ``000.avi``, or are of one
            file, whatever links lead to it.
    """
    ordered = sorted(with_drawn_marked(list(records)), key=lambda record: (record.video_id, str(record.path)))
    counts = Counter(record.video_id for record in ordered)
    repeated = [str(record.path) for record in ordered if counts[record.video_id] > 1]
    if repeated:
        raise DatasetError(
            f"{root}: {len(repeated)} videos share a video id with another one: {first_few(repeated)}. "
            "Names must be unique, suffix aside. Keep one of each."
        )
    by_file = defaultdict(list)
    for record in ordered:
        by_file[record.path.resolve()].append(f"{record.path} ({record.method})")
    twice = [" is ".join(names) for names in by_file.values() if len(names) > 1]
    if twice:
        raise DatasetError(
            f"{root}: {len(twice)} files are listed more than once: {first_few(twice)}. A video has one label and one "
            "place in a split. Keep one of each."
        )
    return ordered


def contents(folder: Path) -> str:
    """The first entries of a folder in words, folders with a slash."""
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    if not entries:
        return "nothing"
    return first_few(entry.name + ("/" if entry.is_dir() else "") for entry in entries)
