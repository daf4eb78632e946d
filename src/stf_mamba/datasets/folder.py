"""Videos of one's own: a folder with ``real`` and ``fake`` in it, or a CSV list."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stf_mamba.core.errors import DatasetError, first_few
from stf_mamba.core.files import read_text
from stf_mamba.core.folders import NameFinder, composed
from stf_mamba.core.records import FAKE, REAL, VideoRecord
from stf_mamba.datasets.listing import child_folder, layout_error, require_root, sorted_unique, videos_in

_LABELS = {"0": REAL, "real": REAL, "1": FAKE, "fake": FAKE}
_COLUMNS = ("path", "label", "identity", "method")


@dataclass(frozen=True)
class Folder:
    """``real/`` and ``fake/`` under ``root``, in any mixture of cases, with sub-folders where one likes.

    A video's id is ``folder/real/PATH`` or ``folder/fake/PATH``, PATH being relative and without suffix. Nothing is
    known of the people, so each video stands alone in a split.

    Example:
        >>> import stf_mamba as stf
        >>> records = stf.datasets.Folder("videos").records()  # doctest: +SKIP
    """

    root: Path | str
    name = "folder"

    def records(self) -> list[VideoRecord]:
        """Every video, sorted by ``video_id``.

        Raises:
            DatasetError: ``real`` or ``fake`` is missing or holds no video, or two videos differ in suffix only.
        """
        root = Path(self.root)
        require_root(root)
        folders = {name: child_folder(root, name) for name in ("real", "fake")}
        if not all(folders.values()):
            next_step = "Sort the videos into these two, or list them in a CSV file (data set csv)."
            raise layout_error(root, "a plain folder", ["real/", "fake/"], next_step)
        records = [
            VideoRecord(
                video_id=composed(f"{self.name}/{name}/{path.relative_to(folder).with_suffix('').as_posix()}"),
                path=path,
                label=_LABELS[name],
                method=name,
            )
            for name, folder in folders.items()
            if folder is not None
            for path in videos_in(folder, nested=True)
        ]
        return sorted_unique(records, root)


@dataclass(frozen=True)
class CsvList:
    """A CSV file with the header ``path,label[,identity][,method]``.

    ``path`` is absolute or relative to the CSV file; ``label`` is 0 or real, 1 or fake. ``identity`` names the person
    filmed, and after a semicolon the face put in; both are kept apart from other data sets by the prefix ``csv:``.
    A video's id is ``csv/METHOD/PATH`` without suffix; without a method, METHOD is ``real`` or ``fake``.

    Example:
        >>> import stf_mamba as stf
        >>> record = stf.datasets.CsvList("list.csv").records()[0]  # doctest: +SKIP
        >>> record.video_id, record.label, record.identities  # doctest: +SKIP
        ('csv/fake/anna-as-berta', 1, ('csv:anna', 'csv:berta'))
    """

    path: Path | str
    name = "csv"

    def records(self) -> list[VideoRecord]:
        """Every listed video, sorted by ``video_id``.

        Raises:
            DatasetError: the file cannot be read, a column or a label is unknown, a listed video does not exist, or a
                video is listed twice.
        """
        path = Path(self.path)
        finder = NameFinder()
        records = [self._record(path, line_number, row, finder) for line_number, row in _read_rows(path)]
        if not records:
            raise DatasetError(f"{path} lists no video; expected lines under the header path,label. Add some.")
        missing = [str(record.path) for record in records if not record.path.is_file()]
        if missing:
            raise DatasetError(
                f"{path}: {len(missing)} of {len(records)} listed videos do not exist: {first_few(missing)}. "
                f"Relative paths are relative to {path.parent}."
            )
        return sorted_unique(records, path)

    def _record(self, csv_path: Path, line_number: int, row: dict[str, str], finder: NameFinder) -> VideoRecord:
        label = _LABELS.get(row["label"].lower())
        if label is None or not row["path"]:
            raise DatasetError(
                f"{csv_path}, line {line_number}: path {row['path']!r}, label {row['label']!r}; "
                "expected a path and one of 0, 1, real, fake. Correct the line."
            )
        method = row.get("method") or ("fake" if label == FAKE else "real")
        if (method.lower() == "real") != (label == REAL):
            raise DatasetError(
                f"{csv_path}, line {line_number}: label {row['label']!r} and method {method!r} contradict each other; "
                "the method of a real video is 'real' or empty. Correct the line."
            )
        listed = csv_path.parent / row["path"]
        file = finder.file(listed) or finder.file(csv_path.parent / row["path"].replace("\\", "/")) or listed
        people = [person.strip() for person in row.get("identity", "").split(";")]
        return VideoRecord(
            video_id=f"{self.name}/{method}/{_name_from(file, csv_path.parent)}",
            path=file,
            label=label,
            identities=tuple(f"{self.name}:{person}" for person in people if person),
            method=method,
        )


def _read_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells by column name, stripped; empty lines are passed over."""
    text = read_text(path, DatasetError, "a CSV file in UTF-8 was expected: check the path, or save it as UTF-8")
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        columns = [(column or "").strip().lower() for column in reader.fieldnames or []]
        if not {"path", "label"} <= set(columns) <= set(_COLUMNS) or len(set(columns)) != len(columns):
            raise DatasetError(
                f"{path}: the header is {','.join(columns)!r}, expected path,label and optionally identity and "
                "method. Correct the first line."
            )
        reader.fieldnames = columns
        for row in reader:
            if None in row or None in row.values():
                raise DatasetError(
                    f"{path}, line {reader.line_num}: the number of cells is not the header's {len(columns)}. "
                    "Correct the line; quote a path that holds a comma."
                )
            yield reader.line_num, {column: cell.strip() for column, cell in row.items()}
    except csv.Error as error:
        raise DatasetError(f"{path}, line {reader.line_num}: no CSV ({error}). Correct the line.") from error


def _name_from(file: Path, csv_folder: Path) -> str:
    """The file's path without suffix, relative to the CSV file's folder where it lies inside."""
    absolute = Path(os.path.abspath(file))
    folder = Path(os.path.abspath(csv_folder))
    inside = absolute.is_relative_to(folder)
    named = absolute.relative_to(folder) if inside else absolute.relative_to(absolute.anchor)
    return composed(PurePosixPath(named.with_suffix("")).as_posix())
