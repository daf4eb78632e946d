"""The table of measured signals: one row a video and signal, as CSV under a header that says how it was made."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Self

from stf_mamba.core.records import FAKE, REAL
from stf_mamba.evaluation.stamped_csv import (
    from_cell,
    label_from_cell,
    number_to_cell,
    people_from_cell,
    people_to_cell,
    read_stamped_csv,
    to_cell,
    write_stamped_csv,
)


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
        """Write the CSV, whole or not at all. Values keep every digit. Returns its path.

        Raises:
            ValueError: as ``write_stamped_csv``.
        """
        return write_stamped_csv(path, self.stamp, COLUMNS, map(_to_cells, self.rows))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what ``save`` wrote.

        Raises:
            RunError: unreadable, other columns, or a row that does not parse (with its line number).
        """
        return cls(*read_stamped_csv(path, COLUMNS, _from_cells, "signals", "measure the signals again"))


def _to_cells(row: SignalRow) -> list[str]:
    shot = row.footage
    return [
        to_cell(row.video_id),
        to_cell(row.signal),
        number_to_cell(row.value),
        to_cell(row.unit),
        "" if row.label is None else str(row.label),
        people_to_cell(row.identities),
        to_cell(row.method),
        to_cell(row.compression),
        *(("",) * 4 if shot is None else map(str, (shot.fps, shot.width_px, shot.height_px, shot.duration_s))),
        str(row.n_clips),
        to_cell(row.reason),
    ]


def _from_cells(cell: dict[str, str]) -> SignalRow:
    return SignalRow(
        video_id=from_cell(cell["video_id"]) or "",
        signal=from_cell(cell["signal"]) or "",
        value=float(cell["value"]) if cell["value"] else None,
        unit=from_cell(cell["unit"]),
        label=label_from_cell(cell["label"]),
        identities=people_from_cell(cell["identities"]),
        method=from_cell(cell["method"]),
        compression=from_cell(cell["compression"]),
        footage=_footage(cell) if cell["fps"] else None,
        n_clips=int(cell["n_clips"]),
        reason=from_cell(cell["reason"]),
    )


def _footage(cell: dict[str, str]) -> Footage:
    shape = int(cell["width_px"]), int(cell["height_px"])
    try:
        return Footage(Fraction(cell["fps"]), *shape, float(cell["duration_s"]))
    except ZeroDivisionError:
        raise ValueError(f"fps {cell['fps']!r}, expected a fraction") from None
