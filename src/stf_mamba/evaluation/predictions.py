"""``predictions.csv``: one row a video under a header that says by which protocol the scores were made.

It is the contract between evaluation and everything that reads results: metrics, figures and tables look at nothing
else.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from stf_mamba.core.records import FAKE, REAL, Outcome
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
class Prediction:
    """One video's row.

    Attributes:
        score: the video's logit (higher is more suspicious); ``None`` where nothing could be scored, never a
            stand-in number.
        n_clips: clips behind the score.

    Raises:
        ValueError: a score that is not finite, or a label that is neither 0, 1 nor ``None``.
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

    def __post_init__(self) -> None:
        if self.score is not None and not math.isfinite(self.score):
            raise ValueError(
                f"the score of {self.video_id} is {self.score}, expected a finite number, or None where there is none"
            )
        if self.label not in (None, REAL, FAKE):
            raise ValueError(f"label {self.label!r}, expected {REAL} (real), {FAKE} (fake) or nothing")


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
        """Write the CSV, whole or not at all. Scores keep every digit. Returns its path.

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
        again = "make predictions with: stf evaluate"
        return cls(*read_stamped_csv(path, COLUMNS, _from_cells, "predictions", again))


def _to_cells(row: Prediction) -> list[str]:
    return [
        to_cell(row.video_id),
        to_cell(row.path),
        "" if row.label is None else str(row.label),
        people_to_cell(row.identities),
        to_cell(row.method),
        to_cell(row.compression),
        number_to_cell(row.score),
        row.outcome.value,
        str(row.n_clips),
    ]


def _from_cells(cell: dict[str, str]) -> Prediction:
    return Prediction(
        video_id=from_cell(cell["video_id"]) or "",
        path=from_cell(cell["path"]) or "",
        label=label_from_cell(cell["label"]),
        identities=people_from_cell(cell["identities"]),
        method=from_cell(cell["method"]),
        compression=from_cell(cell["compression"]),
        score=float(cell["score"]) if cell["score"] else None,
        outcome=Outcome(cell["outcome"]),
        n_clips=int(cell["n_clips"]),
    )
