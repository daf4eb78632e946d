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
from stf_mamba.evaluation.stamped_csv import read_stamped_csv, write_stamped_csv

IDENTITY_SEPARATOR = "|"


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
        """Write the CSV, whole or not at all. Scores keep every digit. Returns its path."""
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
