"""Data sets: adapters from folders to ``VideoRecord``s, splits, and the leak audit. No adapter reads a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stf_mamba.core.errors import UsageError
from stf_mamba.core.records import VideoRecord
from stf_mamba.datasets.celebdf import CelebDF, Part
from stf_mamba.datasets.faceforensics import FaceForensics
from stf_mamba.datasets.folder import CsvList, Folder
from stf_mamba.datasets.listing import Dataset

DATASETS: dict[str, type[FaceForensics] | type[CelebDF] | type[Folder] | type[CsvList]] = {
    FaceForensics.name: FaceForensics,
    CelebDF.name: CelebDF,
    Folder.name: Folder,
    CsvList.name: CsvList,
}

__all__ = ["DATASETS", "CelebDF", "CsvList", "Dataset", "FaceForensics", "Folder", "load_dataset"]


def load_dataset(
    name: str,
    root: Path | str,
    compression: str = "c23",
    methods: Sequence[str] | None = None,
    part: Part | None = None,
) -> list[VideoRecord]:
    """The records of the data set called ``name`` under ``root``, sorted by ``video_id``.

    Args:
        name: a key of ``DATASETS``.
        root: the data set's top folder; for ``csv`` the CSV file.
        compression: FaceForensics++ only: ``raw``, ``c23`` or ``c40``. The others have no such notion.
        methods: FaceForensics++ only: manipulation methods, ``None`` for all that are present.
        part: Celeb-DF only: ``test`` (the default) or ``all``.

    Raises:
        UsageError: no such data set, or an option that it does not have.
        DatasetError: the root does not have the layout that the adapter reads.

    Example:
        >>> import stf_mamba as stf
        >>> records = stf.datasets.load_dataset("celebdf", "/data/celebdf", part="all")  # doctest: +SKIP
    """
    if name not in DATASETS:
        raise UsageError(f"no data set is called {name!r}; there are {', '.join(DATASETS)}. Name one of them.")
    if methods is not None and name != FaceForensics.name:
        raise UsageError(f"methods={list(methods)} was given for {name!r}; only ffpp takes methods. Leave it out.")
    if part is not None and name != CelebDF.name:
        raise UsageError(f"part={part!r} was given for {name!r}; only celebdf takes a part. Leave it out.")
    if name == FaceForensics.name:
        return FaceForensics(root, compression, methods).records()
    if name == CelebDF.name:
        return CelebDF(root, part or "test").records()
    return DATASETS[name](root).records()
