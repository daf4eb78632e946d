"""CSV tables under a header of ``# key: value`` lines that say how their rows were made.

What is read is what was written, for every text. A text that a line or a cell cannot show as it is (line breaks in the
header, bytes of a file's name that are no letters) stands there as a JSON string, in quotation marks.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

from stf_mamba.core.errors import RunError
from stf_mamba.core.files import read_text, write_text_atomically

Row = TypeVar("Row")

PEOPLE_SEPARATOR = "|"

_NOT_IN_A_CELL = re.compile('^"|[\0\ud800-\udfff]')
# What ends a line or is lost at its end.
_NOT_IN_A_LINE = re.compile(r'^["\s]|\s$|^$|[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')


def write_stamped_csv(
    path: str | os.PathLike[str], stamp: Mapping[str, str], columns: tuple[str, ...], rows: Iterable[Sequence[str]]
) -> Path:
    """Write a table, whole or not at all. Returns its path.

    Raises:
        ValueError: a key or a cell that would not be read back as it is.
    """
    text = io.StringIO()
    for key, value in stamp.items():
        if ":" in key or _NOT_IN_A_LINE.search(key):
            raise ValueError(f"the key {key!r} cannot stand in the header of a table; use words in one line")
        text.write(f"# {key}: {_quoted(value) if _NOT_IN_A_LINE.search(value) else value}\n")
    plain = csv.writer(text, lineterminator="\n")
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    plain.writerow(columns)
    for cells in rows:
        if max(map(len, cells)) >= csv.field_size_limit():
            raise ValueError(f"a cell of {max(map(len, cells))} letters, expected fewer than {csv.field_size_limit()}")
        (quoted if any("\r" in cell for cell in cells) else plain).writerow(cells)
    return write_text_atomically(path, text.getvalue())


def read_stamped_csv(
    path: str | os.PathLike[str],
    columns: tuple[str, ...],
    parse: Callable[[dict[str, str]], Row],
    what: str,
    next_step: str,
) -> tuple[tuple[Row, ...], dict[str, str]]:
    """The parsed rows of a table and its stamp.

    Args:
        parse: makes a row of its cells by column, or raises ``ValueError``.
        what, next_step: what the table holds and how to make it anew, for the messages.

    Raises:
        RunError: unreadable, other columns, or a row that does not parse (with its line number).
    """
    text = read_text(path, RunError, f"{what} were expected: {next_step}", keep_line_ends=True)
    header = list(takewhile(lambda line: line.startswith("#"), text.split("\n")))
    stamp = dict(_stamp_line(line) for line in header if ":" in line)
    reader = csv.reader(io.StringIO("\n".join(text.split("\n")[len(header) :]), newline=""))
    rows: list[Row] = []
    try:
        found = next(reader, [])
        if tuple(found) != columns:
            raise RunError(f"{path} has the columns {found}, expected {list(columns)}; {next_step}")
        for cells in reader:
            if cells:
                if len(cells) != len(columns):
                    raise ValueError(f"{len(cells)} cells, expected {len(columns)}")
                rows.append(parse(dict(zip(columns, cells, strict=True))))
    except (ValueError, csv.Error) as error:
        line = len(header) + reader.line_num
        raise RunError(f"{path} line {line} does not parse: {error}; {next_step}") from error
    return tuple(rows), stamp


def to_cell(text: str | None) -> str:
    """A text, or its absence, as a cell; ``from_cell`` reads it back."""
    if text is None:
        return ""
    return _quoted(text) if text == "" or _NOT_IN_A_CELL.search(text) else text


def from_cell(cell: str) -> str | None:
    """The text of a cell, ``None`` of an empty one. Raises ValueError for one that begins as JSON and is none."""
    if not cell:
        return None
    text = json.loads(cell) if cell.startswith('"') else cell
    assert isinstance(text, str)
    return text


def people_to_cell(people: Sequence[str]) -> str:
    """Names as one cell, a stroke between them; as a JSON list where a name has a stroke itself or is empty."""
    joined = PEOPLE_SEPARATOR.join(people)
    if "" in people or joined.count(PEOPLE_SEPARATOR) >= max(1, len(people)) or joined.startswith("["):
        return _checked(json.dumps(list(people)), list(people))
    return to_cell(joined) if people else ""


def people_from_cell(cell: str) -> tuple[str, ...]:
    """The names of a cell. Raises ValueError for one that begins as JSON and is none."""
    if cell.startswith("["):
        return tuple(map(str, json.loads(cell)))
    joined = from_cell(cell)
    return () if joined is None else tuple(joined.split(PEOPLE_SEPARATOR))


def number_to_cell(number: float | None) -> str:
    """A number with every digit, or an empty cell for none."""
    return "" if number is None else repr(float(number))


def label_from_cell(cell: str) -> int | None:
    """A label, ``None`` of an empty cell. Raises ValueError for something else than a whole number."""
    return int(cell) if cell else None


def _stamp_line(line: str) -> tuple[str, str]:
    key, _, value = line[1:].strip().partition(":")
    value = value.strip()
    return key, json.loads(value) if value.startswith('"') else value


def _quoted(text: str) -> str:
    return _checked(json.dumps(text), text)


def _checked(quoted: str, value: object) -> str:
    if json.loads(quoted) != value:
        raise ValueError(f"{value!a} holds two surrogates side by side, which are read back as one letter")
    return quoted
