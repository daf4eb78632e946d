"""The table of measured signals: one row a video and signal, as CSV under a header that says how it was made."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Self

from stf_mamba.core.records import FAKE, REAL
from stf_mamba.evaluation.predictions import IDENTITY_SEPARATOR
from stf_mamba.evaluation.stamped_csv import read_stamped_csv, write_stamped_csv


@dataclass(frozen=True)
class Footage:
    """What tells one shot of a person from another: a fake has the clock and the picture size of the real it was made
    from, and nearly its length.
    """

    fps: Fraction
    width_px: int
    height_px: int
    duration_s: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.duration_s):
            raise ValueError(f"duration_s is {self.duration_s}, expected a finite number")

    def is_of(self, other: Footage) -> bool:
        """Whether both may show the same shot; manipulated versions are sometimes cut a little shorter."""
        same_picture = (self.fps, self.width_px, self.height_px) == (other.fps, other.width_px, other.height_px)
        shorter_s, longer_s = sorted((self.duration_s, other.duration_s))
        return same_picture and shorter_s >= 0.9 * longer_s


@dataclass(frozen=True)
class SignalRow:
    """One signal of one video.

    Attributes:
        value: mean over the clips of the most prominent face, ``None`` where nothing could be measured.
        n_clips: clips behind the value.
        footage: ``None`` where the video could not be opened.
        reason: why there is no value, ``None`` where there is one.
    """

    video_id: str
    signal: str
    value: float | None
    unit: str | None
    label: int | None
    identities: tuple[str, ...]
    method: str | None
    compression: str | None
    footage: Footage | None
    n_clips: int
    reason: str | None

    def __post_init__(self) -> None:
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"{self.signal} of {self.video_id} is {self.value}, expected a finite number, or None")
        if self.label not in (None, REAL, FAKE):
            raise ValueError(f"label {self.label!r}, expected {REAL} (real), {FAKE} (fake) or nothing")


COLUMNS = tuple(
    name
    for field in fields(SignalRow)
    for name in ([part.name for part in fields(Footage)] if field.name == "footage" else [field.name])
)


@dataclass(frozen=True)
class SignalTable:
    """Rows and how they were measured: data set, clips, protocol, versions."""

    rows: tuple[SignalRow, ...]
    stamp: dict[str, str]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the CSV, whole or not at all. Values keep every digit. Returns its path."""
        return write_stamped_csv(path, self.stamp, COLUMNS, map(_to_cells, self.rows))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what ``save`` wrote.

        Raises:
            RunError: unreadable, other columns, or a row that does not parse (with its line number).
        """
        return cls(*read_stamped_csv(path, COLUMNS, _from_cells, "signals", "measure the signals again"))


def _to_cells(row: SignalRow) -> list[str]:
    footage = row.footage
    shot = ("",) * 4 if footage is None else (footage.fps, footage.width_px, footage.height_px, footage.duration_s)
    value = "" if row.value is None else repr(row.value)
    label = "" if row.label is None else str(row.label)
    people = IDENTITY_SEPARATOR.join(row.identities)
    names = (row.method or "", row.compression or "")
    reason = " ".join((row.reason or "").split())
    first = (row.video_id, row.signal, value, row.unit or "", label, people, *names)
    return [str(cell) for cell in (*first, *shot, row.n_clips, reason)]


def _from_cells(cells: list[str]) -> SignalRow:
    if len(cells) != len(COLUMNS):
        raise ValueError(f"{len(cells)} cells, expected {len(COLUMNS)}")
    cell = dict(zip(COLUMNS, cells, strict=True))
    footage = None
    if cell["fps"]:
        shape = int(cell["width_px"]), int(cell["height_px"])
        try:
            footage = Footage(Fraction(cell["fps"]), *shape, float(cell["duration_s"]))
        except ZeroDivisionError:
            raise ValueError(f"fps {cell['fps']!r}, expected a fraction") from None
    return SignalRow(
        video_id=cell["video_id"],
        signal=cell["signal"],
        value=float(cell["value"]) if cell["value"] else None,
        unit=cell["unit"] or None,
        label=int(cell["label"]) if cell["label"] else None,
        identities=tuple(cell["identities"].split(IDENTITY_SEPARATOR)) if cell["identities"] else (),
        method=cell["method"] or None,
        compression=cell["compression"] or None,
        footage=footage,
        n_clips=int(cell["n_clips"]),
        reason=cell["reason"] or None,
    )
