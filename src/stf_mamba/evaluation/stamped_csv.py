"""CSV tables under a header of ``# key: value`` lines that say how their rows were made."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Mapping
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

from stf_mamba.core.errors import RunError
from stf_mamba.core.files import write_text_atomically

Row = TypeVar("Row")


def write_stamped_csv(
    path: str | os.PathLike[str], stamp: Mapping[str, str], columns: tuple[str, ...], rows: Iterable[list[str]]
) -> Path:
    """Write a table, whole or not at all. Returns its path."""
    text = io.StringIO()
    for key, value in stamp.items():
        text.write(f"# {key}: {' '.join(str(value).split())}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return write_text_atomically(path, text.getvalue())


def read_stamped_csv(
    path: str | os.PathLike[str],
    columns: tuple[str, ...],
    parse: Callable[[list[str]], Row],
    what: str,
    next_step: str,
) -> tuple[tuple[Row, ...], dict[str, str]]:
    """The parsed rows of a table and its stamp.

    Args:
        parse: makes a row of its cells, or raises ``ValueError``.
        what, next_step: what the table holds and how to make it anew, for the messages.

    Raises:
        RunError: unreadable, other columns, or a row that does not parse (with its line number).
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"cannot read {what} from {path}: {error}; {next_step}") from error
    header = list(takewhile(lambda line: line.startswith("#"), lines))
    stamp = dict(line[1:].strip().split(": ", 1) for line in header if ": " in line)
    table = list(csv.reader(lines[len(header) :]))
    if not table or tuple(table[0]) != columns:
        raise RunError(f"{path} has the columns {table[0] if table else []}, expected {list(columns)}; {next_step}")
    rows = []
    for number, cells in enumerate(table[1:], start=len(header) + 2):
        try:
            rows.append(parse(cells))
        except ValueError as error:
            raise RunError(f"{path} line {number} does not parse: {error}; {next_step}") from error
    return tuple(rows), stamp
