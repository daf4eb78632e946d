"""What a study report contains, whatever form it is written in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stf_mamba.study.tables.table import Table


@dataclass(frozen=True)
class ReportFigure:
    """A drawn figure.

    Attributes:
        table: key of the table it stands under.
        files: the same picture in several formats.
        study: its study's label, where there are several studies.
    """

    name: str
    table: str
    caption: str
    files: tuple[Path, ...]
    study: str | None = None

    def file(self, *suffixes: str) -> Path | None:
        """Its file in the first of these formats that there is."""
        return next((path for suffix in suffixes for path in self.files if path.suffix == suffix), None)


@dataclass(frozen=True)
class Report:
    """What every format shows.

    Attributes:
        subtitle: data sets and protocols.
        warnings: sentences that belong on top.
        verdicts: for each verdict on the report's claims, which claims of which study have it.
    """

    title: str
    subtitle: str
    warnings: tuple[str, ...]
    verdicts: dict[str, tuple[str, ...]]
    tables: tuple[Table, ...]
    figures: tuple[ReportFigure, ...]

    def figures_of(self, table: Table) -> tuple[ReportFigure, ...]:
        """The figures that stand under a table."""
        return tuple(figure for figure in self.figures if figure.table == table.key)
