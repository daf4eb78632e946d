"""Which videos a program drew. The names of their data sets begin with a word that no other data set's may begin with.

The word is in every id of a video and of a person, and so in manifests, splits and runs. It is put there by what lies
beside the files, not by what a data set is called: see ``with_drawn_marked``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from stf_mamba.core.errors import UsageError
from stf_mamba.core.records import VideoRecord

DRAWN_PREFIX = "miniature-"
MARK_NAME = "DRAWN.txt"
SETTINGS_NAME = "miniature.json"
UNFINISHED_NAME = "miniature-unfinished.json"

KNOWS_DRAWINGS_ONLY = (
    "This model was trained on faces that a program drew and has never seen a person: whatever it scores says nothing "
    "about this video."
)


def is_drawn(name: str) -> bool:
    """Whether a data set of this name, or the video or person with this id, was drawn by a program."""
    return name.startswith(DRAWN_PREFIX)


def with_drawn_marked(records: Sequence[VideoRecord]) -> list[VideoRecord]:
    """The records, with the prefix before the ids of those whose files lie in a miniature and of their people."""
    folders = {record.path: record.path.resolve().parent for record in records}
    drawn = {folder for folder in set(folders.values()) if _is_in_miniature(folder)}
    return [_marked(record) if folders[record.path] in drawn else record for record in records]


def require_name_of(records: Iterable[VideoRecord], name: str) -> None:
    """Raises UsageError where ``name`` hides that videos are drawn, or says it of videos that are not."""
    drawn = any(is_drawn(record.video_id) for record in records)
    if drawn and not is_drawn(name):
        raise UsageError(
            f"the name {name!r} hides that these videos were drawn by a program; call them {DRAWN_PREFIX}{name}"
        )
    if is_drawn(name) and not drawn:
        raise UsageError(f"{name!r}: only videos that a program drew are called {DRAWN_PREFIX}...; choose another name")


def _is_in_miniature(folder: Path) -> bool:
    marks = (MARK_NAME, SETTINGS_NAME, UNFINISHED_NAME)
    return any((place / mark).is_file() for place in (folder, *folder.parents) for mark in marks)


def _marked(record: VideoRecord) -> VideoRecord:
    people = tuple(f"{DRAWN_PREFIX}{person}" for person in record.identities)
    return replace(record, video_id=f"{DRAWN_PREFIX}{record.video_id}", identities=people)
