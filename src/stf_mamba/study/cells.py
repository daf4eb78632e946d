"""A table of text cells, and how numbers are written in one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from stf_mamba.evaluation.metrics import Estimate
from stf_mamba.evaluation.statistics.intervals import ALPHA
from stf_mamba.study.results import NOT_RUN, FinishedRow, Measured, Study
from stf_mamba.study.rows import ROWS

NO_INTERVAL = "no interval"
NOT_GIVEN = "—"
REPORTED = "reported"
INTERVAL_NOTE = (
    "AUC of videos with its bootstrap interval over groups of people; with several seeds the mean over them. "
    "An interval is left out where too few groups of people carry it."
)
WIDE_COLUMNS = 6
# A column of published numbers is headed so, and shown apart from measured ones.
REPORTED_MARK = f"({REPORTED})"


@dataclass(frozen=True)
class Table:
    """A table ready to be shown anywhere.

    Attributes:
        key: short name, of its file and of links to it.
        columns: headings; those that end in ``(reported)`` hold published numbers.
        rows: cells, as many in each row as there are columns.
        notes: what a reader must know to read the cells.

    Raises:
        ValueError: a row of another length, or an empty cell.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"table {self.key}: a row of {len(row)} cells under {len(self.columns)} columns: {row}"
                )
            if not all(row):
                raise ValueError(f"table {self.key}: an empty cell in {row}; write what is missing, such as 'not run'")

    @property
    def reported_columns(self) -> frozenset[int]:
        """Places of the columns that hold published numbers."""
        return frozenset(place for place, name in enumerate(self.columns) if name.endswith(REPORTED_MARK))

    @property
    def is_wide(self) -> bool:
        """Whether a page on its side shows it better."""
        return len(self.columns) > WIDE_COLUMNS


def decimals(value: float | None, places: int = 3, missing: str = NOT_GIVEN) -> str:
    """The number with so many decimals, or what stands for a missing one."""
    return missing if value is None else typeset(f"{value:.{places}f}")


def signed(value: float | None, places: int = 3, missing: str = NOT_GIVEN) -> str:
    """As ``decimals``, with its sign."""
    return missing if value is None else typeset(f"{value:+.{places}f}")


def quantity(value: float, unit: str | None) -> str:
    """A signed number of three significant digits with its unit."""
    return typeset(f"{value:+.3g}") + (f" {unit}" if unit else "")


def with_interval(value: float, low: float | None, high: float | None, sign: str = "") -> str:
    """A value and its interval, or that there is none."""
    interval = NO_INTERVAL if low is None or high is None else f"[{low:{sign}.3f}, {high:{sign}.3f}]"
    return typeset(f"{value:{sign}.3f} {interval}")


def typeset(number: str) -> str:
    """The text of a number with a minus sign in place of a hyphen; a rounded zero has no minus."""
    zero = re.sub(r"-(0(?:\.0+)?)(?![\d.])", r"\1", number)
    return zero.replace("-", "−")


def estimated(estimate: Estimate | None, missing: str = NOT_GIVEN) -> str:
    """A figure with its interval."""
    return missing if estimate is None else with_interval(estimate.value, estimate.low, estimate.high)


def measured_auc(measured: Measured | None, missing: str = NOT_RUN) -> str:
    """AUC of videos with its interval; coverage is named where videos are missing from it."""
    if measured is None:
        return missing
    covered = "" if measured.coverage >= 1 else f", {100 * measured.coverage:.1f} % of the videos"
    return estimated(measured.auc) + covered


def p_value(p: float | None, missing: str = "no test") -> str:
    """Two significant digits, three where two would read as ``ALPHA``; nothing below 0.0001 is told apart."""
    if p is None:
        return missing
    if p < 0.0001:
        return "< 0.0001"
    return f"{p:.3g}" if f"{p:.2g}" == f"{ALPHA:.2g}" else f"{p:.2g}"


def millions(count: int) -> str:
    """A count in millions."""
    return f"{count / 1e6:.1f}"


def spread(values: Sequence[float]) -> str:
    """From the smallest to the largest, and of how many."""
    if len(values) < 2:
        return "one seed"
    return f"{min(values):.3f} to {max(values):.3f} ({len(values)} seeds)"


def study_labels(studies: Sequence[Study]) -> tuple[str, ...]:
    """What each study is called beside the others: its protocol, and its folder's name where that does not tell."""
    protocols = [study.settings.protocol for study in studies]
    if len(set(protocols)) == len(protocols):
        return tuple(protocols)
    return tuple(f"{study.settings.protocol}, {study.folder.name}" for study in studies)


def stands_in(study: Study, finished: FinishedRow) -> bool:
    """Whether another encoder than the one that was meant was run."""
    meant = finished.row.recipe.encoder.name
    return finished.result.stands_in_for is not None or meant in study.settings.stand_ins


def row_name(study: Study, key: str) -> str:
    """A row's label, with a dagger where a stand-in was run."""
    finished = study.finished.get(key)
    label = ROWS[key].label if key in ROWS else key
    return f"{label}†" if finished is not None and stands_in(study, finished) else label


def stand_in_notes(studies: Sequence[Study]) -> tuple[str, ...]:
    """What a dagger means; nothing where none is set."""
    if not any(stands_in(study, finished) for study in studies for finished in study.finished.values()):
        return ()
    return ("† Run with an encoder that stands in for the one meant (see Setup); says nothing about that one.",)


def not_run_reason(study: Study, key: str) -> str:
    """Why a row has no figures."""
    reason = study.not_run.get(key)
    return NOT_RUN if reason is None else f"{NOT_RUN}: {reason}"


def cross_auc(study: Study, finished: FinishedRow) -> str:
    """AUC on the second data set, or why there is none."""
    return measured_auc(finished.result.cross, no_cross(study))


def no_cross(study: Study) -> str:
    """Why a row has no figure on a second data set."""
    return "no second data set" if study.settings.cross_dataset is None else NOT_RUN


def column_shares(table: Table) -> list[float]:
    """Each column's part of the page's width: room for its longest word, and more for long texts. They sum to 1."""
    wants = []
    for place, name in enumerate(table.columns):
        texts = [name, *(row[place] for row in table.rows)]
        word = max(len(word) for text in texts for word in text.split())
        longest = max(map(len, texts))
        wants.append(max(word + 1, 5) + min(longest, 160) / 8)
    return [want / sum(wants) for want in wants]
