"""The table of measured signals: one row a video and signal, as CSV under a header that says how it was made."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Self

from stf_mamba.atomic import write_text_atomically
from stf_mamba.errors import RunError
from stf_mamba.predictions import IDENTITY_SEPARATOR
from stf_mamba.records import FAKE, REAL


@dataclass(frozen=True)
class Footage:
    """What tells one shot of a person from another: a fake has the clock and the picture size of the real it was made
    from, and nearly its length.
    """

    fps: Fraction
    width_px: int
    height_px: int
    duration_s: float

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
        text = io.StringIO()
        for key, value in self.stamp.items():
            text.write(f"# {key}: {' '.join(str(value).split())}\n")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_to_cells(row) for row in self.rows)
        return write_text_atomically(path, text.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what ``save`` wrote.

        Raises:
            RunError: unreadable, other columns, or a row that does not parse (with its line number).
        """
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"cannot read signals from {path}: {error}; measure them again") from error
        header = [line for line in lines if line.startswith("# ")]
        stamp = dict(line[2:].split(": ", 1) for line in header if ": " in line)
        table = list(csv.reader(lines[len(header) :]))
        if not table or tuple(table[0]) != COLUMNS:
            raise RunError(
                f"{path} has the columns {table[0] if table else []}, expected {list(COLUMNS)}; "
                "measure the signals again"
            )
        rows = []
        for number, cells in enumerate(table[1:], start=len(header) + 2):
            try:
                rows.append(_from_cells(cells))
            except (ValueError, ZeroDivisionError) as error:
                raise RunError(f"{path} line {number} does not parse: {error}; measure the signals again") from error
        return cls(tuple(rows), stamp)


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
    if cell["label"] not in ("", str(REAL), str(FAKE)):
        raise ValueError(f"label {cell['label']!r}, expected 0, 1 or nothing")
    footage = None
    if cell["fps"]:
        shape = int(cell["width_px"]), int(cell["height_px"])
        footage = Footage(Fraction(cell["fps"]), *shape, float(cell["duration_s"]))
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
