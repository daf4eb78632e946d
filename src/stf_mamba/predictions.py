"""``predictions.csv``: one row a video under a header that says by which protocol the scores were made.

It is the contract between evaluation and everything that reads results: metrics, figures and tables look at nothing
else.
"""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from stf_mamba.atomic import write_text_atomically
from stf_mamba.errors import RunError
from stf_mamba.records import FAKE, REAL, Outcome

IDENTITY_SEPARATOR = "|"


@dataclass(frozen=True)
class Prediction:
    """One video's row.

    Attributes:
        score: the video's logit (higher is more suspicious); ``None`` where nothing could be scored, never a
            stand-in number.
        n_clips: clips behind the score.
    """

    video_id: str
    path: str
    label: int | None
    identities: tuple[str, ...]
    method: str | None
    compression: str | None
    score: float | None
    outcome: Outcome
    n_clips: int


COLUMNS = tuple(field.name for field in fields(Prediction))


@dataclass(frozen=True)
class Predictions:
    """Rows and the protocol stamp: data set, split hash, weights hash, frames, margin, aggregation, level, versions."""

    rows: tuple[Prediction, ...]
    stamp: dict[str, str]

    def scored(self) -> list[Prediction]:
        """The rows that have both a label and a score."""
        return [row for row in self.rows if row.label is not None and row.score is not None]

    @property
    def coverage(self) -> float:
        """Part of the videos that could be scored; 0 of none is 0."""
        return sum(row.score is not None for row in self.rows) / max(1, len(self.rows))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the CSV, whole or not at all. Scores keep every digit. Returns its path."""
        text = io.StringIO()
        for key, value in self.stamp.items():
            text.write(f"# {key}: {' '.join(str(value).split())}\n")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in self.rows:
            writer.writerow(_to_cells(row))
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
            raise RunError(f"cannot read predictions from {path}: {error}; make them with: stf evaluate") from error
        header = [line for line in lines if line.startswith("#")]
        stamp = dict(line[1:].strip().split(": ", 1) for line in header if ": " in line)
        table = list(csv.reader(lines[len(header) :]))
        if not table or tuple(table[0]) != COLUMNS:
            raise RunError(
                f"{path} has the columns {table[0] if table else []}, expected {list(COLUMNS)}; "
                "make predictions with: stf evaluate"
            )
        rows = []
        for number, cells in enumerate(table[1:], start=len(header) + 2):
            try:
                rows.append(_from_cells(cells))
            except ValueError as error:
                raise RunError(f"{path} line {number} does not parse: {error}") from error
        return cls(tuple(rows), stamp)


def _to_cells(row: Prediction) -> list[str]:
    return [
        row.video_id,
        row.path,
        "" if row.label is None else str(row.label),
        IDENTITY_SEPARATOR.join(row.identities),
        row.method or "",
        row.compression or "",
        "" if row.score is None else repr(row.score),
        row.outcome.value,
        str(row.n_clips),
    ]


def _from_cells(cells: list[str]) -> Prediction:
    if len(cells) != len(COLUMNS):
        raise ValueError(f"{len(cells)} cells, expected {len(COLUMNS)}")
    video_id, path, label, identities, method, compression, score, outcome, n_clips = cells
    if label not in ("", str(REAL), str(FAKE)):
        raise ValueError(f"label {label!r}, expected 0, 1 or nothing")
    return Prediction(
        video_id,
        path,
        int(label) if label else None,
        tuple(identities.split(IDENTITY_SEPARATOR)) if identities else (),
        method or None,
        compression or None,
        float(score) if score else None,
        Outcome(outcome),
        int(n_clips),
    )
