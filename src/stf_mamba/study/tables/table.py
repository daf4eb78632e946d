"""A table of text cells, and how numbers are written in one."""

from __future__ import annotations

from dataclasses import dataclass

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


def column_shares(table: Table) -> list[float]:
    """Each column's part of the page's width: room for its longest word, and more for long texts. They sum to 1."""
    wants = []
    for place, name in enumerate(table.columns):
        texts = [name, *(row[place] for row in table.rows)]
        word = max(len(word) for text in texts for word in text.split())
        longest = max(map(len, texts))
        wants.append(max(word + 1, 5) + min(longest, 160) / 8)
    return [want / sum(wants) for want in wants]
