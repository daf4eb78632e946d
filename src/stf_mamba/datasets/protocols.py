"""Splits that were published: the official one of FaceForensics++, and the sampling of the ablation report."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from stf_mamba.core.errors import DatasetError, first_few
from stf_mamba.core.files import read_json
from stf_mamba.core.folders import NameFinder
from stf_mamba.core.records import FAKE, REAL, VideoRecord
from stf_mamba.core.seeds import hashed_rank
from stf_mamba.datasets.drawn import DRAWN_PREFIX
from stf_mamba.datasets.faceforensics import ACTORS_METHOD
from stf_mamba.datasets.splits import Split, labelled_by_id, linked_videos, records_by_id

Variant = Literal["correct", "report"]

OFFICIAL_FILES = {"train": "train.json", "validation": "val.json", "test": "test.json"}

REPORT_METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
REPORT_TRAIN, REPORT_VALIDATION, REPORT_TEST = 600, 50, 200  # videos of each label

# Kinds of leak that a protocol has by its own rules, by the name of its split (see splits.require_disjoint).
PUBLISHED_LEAKS: dict[str, tuple[str, ...]] = {
    "ffpp-official": ("youtube_source",),
    "report": ("source", "youtube_source"),
}


def official_ffpp_split(records: Iterable[VideoRecord], splits_folder: str | os.PathLike[str]) -> Split:
    """The split of the authors of FaceForensics++: ``train.json``, ``val.json``, ``test.json``, lists of pairs of ids.

    An original belongs to the part that lists its id, a swap to the part that lists its pair, in either order. The
    videos of actors (DeepFakeDetection) are in no list and take no part.

    Raises:
        DatasetError: a list is missing or unreadable, a YouTube video is in no list, or a listed original is missing.
    """
    folder = Path(splits_folder)
    finder = NameFinder()
    part_of: dict[frozenset[str], str] = {}
    for part, file_name in OFFICIAL_FILES.items():
        for pair in _read_pairs(finder.file(folder / file_name) or folder / file_name):
            for ids in (frozenset(pair), *(frozenset({sequence}) for sequence in pair)):
                if part_of.setdefault(ids, part) != part:
                    raise DatasetError(f"{folder}: {'_'.join(sorted(ids))} is in two lists. Use the official files.")
    by_id = records_by_id(records)
    sequences = {
        video_id: frozenset(person.removeprefix(DRAWN_PREFIX).removeprefix("ffpp:") for person in record.identities)
        for video_id, record in by_id.items()
        if not _shows_actors(record)
    }
    unlisted = sorted(video_id for video_id, ids in sequences.items() if ids not in part_of)
    originals = {ids for video_id, ids in sequences.items() if by_id[video_id].label == REAL}
    missing = sorted(next(iter(ids)) for ids in part_of if len(ids) == 1 and ids not in originals)
    if unlisted or missing:
        raise DatasetError(
            f"the videos and the lists of {folder} do not fit: {len(unlisted)} videos are in no list "
            f"({first_few(unlisted) or 'none'}), {len(missing)} listed originals are missing "
            f"({first_few(missing) or 'none'}). Complete the data set, or use identity_disjoint_split."
        )
    ids_by_part = {
        part: tuple(sorted(video_id for video_id, ids in sequences.items() if part_of[ids] == part))
        for part in OFFICIAL_FILES
    }
    return Split("ffpp-official", **ids_by_part)


def report_protocol(
    ffpp_records: Iterable[VideoRecord],
    celebdf_records: Iterable[VideoRecord],
    seed: int = 42,
    variant: Variant = "correct",
    scale: float = 1.0,
    methods: Sequence[str] = REPORT_METHODS,
) -> Split:
    """The sampling of the ablation report: FF++ to train and validate, Celeb-DF to test.

    600 real and 600 fake videos (150 of each of four methods) train, 50 and 50 validate, 200 and 200 of Celeb-DF test.
    The report's own list of videos is not known: the sample is drawn by sha256 of seed and video id.

    Args:
        ffpp_records: FaceForensics++ at the report's compression, c23.
        celebdf_records: Celeb-DF; its test list has 178 real videos only, so ``part="all"`` is needed for 200.
        seed: 42 in the report.
        variant: ``correct`` shares neither target nor source between training and validation. ``report`` keeps apart
            the targets only, as the report did, so that source people leak; its split is called ``report``.
        scale: fraction of the report's numbers to draw, for a corpus that is smaller.
        methods: the fakes' methods, in equal shares.

    Raises:
        ValueError: ``scale`` is not in (0, 1], an unknown variant, or no methods.
        DatasetError: the corpus is too small; the message counts what is there and what is needed.
    """
    if not 0 < scale <= 1 or variant not in get_args(Variant) or not methods:
        raise ValueError(
            f"scale must be in (0, 1], variant one of {get_args(Variant)}, methods not empty; "
            f"got {scale}, {variant!r}, {list(methods)}"
        )
    kept = [
        record
        for record in ffpp_records
        if record.method in methods
        or (record.label == REAL and (ACTORS_METHOD in methods or not _shows_actors(record)))
    ]
    train_quota, validation_quota = (
        {"real": _scaled(count, scale), **_even_shares(_scaled(count, scale), methods)}
        for count in (REPORT_TRAIN, REPORT_VALIDATION)
    )
    celebdf = [(record, "real" if record.label == REAL else "fake") for record in celebdf_records]
    test = _Pool("test (Celeb-DF)", dict.fromkeys(("real", "fake"), _scaled(REPORT_TEST, scale)), seed, tuple(celebdf))

    groups = linked_videos(kept) if variant == "correct" else _by_target(kept)
    chosen, others = _validation_groups(groups, validation_quota, seed)
    train = _Pool("train (FF++)", train_quota, seed, _with_strata(others))
    validation = _Pool("validation (FF++)", validation_quota, seed, _with_strata(chosen))
    shortages = [shortage for pool in (train, validation, test) for shortage in pool.shortages()]
    if shortages:
        raise DatasetError(
            f"the corpus is too small for the report's sampling: {'; '.join(shortages)}. Complete the data sets "
            "(Celeb-DF with part='all'), or draw a fraction of the sample with scale."
        )
    name = "report" if variant == "report" else "report-corrected"
    return Split(name, train.sample(), validation.sample(), test.sample())


def _read_pairs(path: Path) -> list[tuple[str, str]]:
    """The pairs of sequences of a list, each with its three digits; numbers and names without zeros are completed."""
    next_step = (
        f"the official split has {', '.join(OFFICIAL_FILES.values())}, published with FaceForensics++ under "
        "dataset/splits: put the three files into one folder"
    )
    pairs = read_json(path, DatasetError, next_step)
    if not isinstance(pairs, list) or not pairs or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise DatasetError(f'{path} is no list of pairs such as [["071", "054"], ...]. Use the official file.')
    return [(_sequence(path, first), _sequence(path, second)) for first, second in pairs]


def _sequence(path: Path, listed: Any) -> str:
    digits = str(listed).strip() if isinstance(listed, str | int) and not isinstance(listed, bool) else ""
    if not (digits.isascii() and digits.isdecimal() and int(digits) < 1000):
        raise DatasetError(
            f'{path} names {listed!r} in a pair, expected a sequence from "000" to "999". Use the official file.'
        )
    return f"{int(digits):03d}"


@dataclass(frozen=True)
class _Pool:
    """Videos to draw one part from, each with its stratum, and how many of each stratum are wanted."""

    name: str
    quota: dict[str, int]
    seed: int
    videos: tuple[tuple[VideoRecord, str], ...]

    def shortages(self) -> list[str]:
        """What is missing, in words."""
        there = Counter(stratum for _, stratum in self.videos)
        return [
            f"{self.name} needs {wanted} {stratum}, {there[stratum]} available"
            for stratum, wanted in self.quota.items()
            if there[stratum] < wanted
        ]

    def sample(self) -> tuple[str, ...]:
        """The wanted number of ids of each stratum, drawn by hash, sorted."""
        drawn: list[str] = []
        for stratum, wanted in self.quota.items():
            ids = [record.video_id for record, of in self.videos if of == stratum]
            drawn += sorted(ids, key=lambda video_id: hashed_rank(self.seed, video_id))[:wanted]
        return tuple(sorted(drawn))


def _validation_groups(
    groups: Iterable[Sequence[VideoRecord]], quota: dict[str, int], seed: int
) -> tuple[list[Sequence[VideoRecord]], list[Sequence[VideoRecord]]]:
    """Groups whose videos fill the quota, taken in hashed order where they help, and the other groups.

    A group larger than the whole quota comes last: all of its videos are lost to training.
    """
    wanted = Counter(quota)
    chosen, others = [], []
    for group in sorted(groups, key=lambda group: (len(group) > wanted.total(), hashed_rank(seed, group[0].video_id))):
        there = Counter(stratum for _, stratum in _with_strata([group]))
        still_wanted = {stratum for stratum, count in quota.items() if count > 0}
        if still_wanted & set(there):
            chosen.append(group)
            quota = {stratum: count - there[stratum] for stratum, count in quota.items()}
        else:
            others.append(group)
    return chosen, others


def _by_target(records: Iterable[VideoRecord]) -> list[list[VideoRecord]]:
    """Videos grouped by the person filmed, whoever was put in. Raises DatasetError for a video without a label."""
    groups: dict[str, list[VideoRecord]] = {}
    for video_id, record in sorted(labelled_by_id(records).items()):
        groups.setdefault(record.identities[0] if record.identities else video_id, []).append(record)
    return list(groups.values())


def _with_strata(groups: Iterable[Sequence[VideoRecord]]) -> tuple[tuple[VideoRecord, str], ...]:
    return tuple((record, str(record.method)) for group in groups for record in group)


def _shows_actors(record: VideoRecord) -> bool:
    return any(person.startswith("ffpp:actor") for person in record.identities)


def _even_shares(total: int, names: Sequence[str]) -> dict[str, int]:
    """``total`` dealt out to the names; the first ones get one more where it does not divide."""
    return {name: total // len(names) + (index < total % len(names)) for index, name in enumerate(names)}


def _scaled(count: int, scale: float) -> int:
    return max(1, round(count * scale))


REPORT_VALIDATION_FRACTION = REPORT_VALIDATION / (REPORT_TRAIN + REPORT_VALIDATION)


def report_split(
    records: Iterable[VideoRecord], seed: int = 42, validation_fraction: float = REPORT_VALIDATION_FRACTION
) -> Split:
    """The report's division of a data set of any size: nobody is *filmed* in training and again in validation.

    People put in by a swap may be in both parts, as in the report. There is no test part: the videos that choose the
    epoch are those whose figures are reported. The split is called ``report``, the name under which
    ``datasets.protocols.PUBLISHED_LEAKS`` tolerates these leaks, and training says them.

    Args:
        records: labelled videos; one of unknown people counts as filmed alone.
        seed: of the order in which people are taken for validation.
        validation_fraction: part of each label's videos to reach in validation; 50 of 650 in the report.

    Raises:
        ValueError: a fraction that is not between 0 and 1.
        DatasetError: an unlabelled video, a repeated id, or no way to give both parts real and fake videos.
    """
    if not 0 < validation_fraction < 1:
        raise ValueError(f"validation_fraction is {validation_fraction}, expected a number between 0 and 1")
    groups = _by_target(records)
    total = _counts(groups)
    wanted = [max(1.0, validation_fraction * count) for count in total]
    validation: list[list[VideoRecord]] = []
    for group in sorted(groups, key=lambda group: hashed_rank(seed, group[0].video_id)):
        there, larger = _counts(validation), _counts([*validation, group])
        helps = any(here < goal and here < more for here, more, goal in zip(there, larger, wanted, strict=True))
        if helps and all(more < count for more, count in zip(larger, total, strict=True)):
            validation.append(group)
    chosen = {record.video_id for group in validation for record in group}
    ids = sorted(record.video_id for group in groups for record in group)
    if 0 in _counts(validation):
        raise DatasetError(
            f"report: {total[0]} real and {total[1]} fake videos of {len(groups)} people filmed cannot be divided so "
            "that training and validation both have real and fake ones; load more videos"
        )
    return Split("report", tuple(i for i in ids if i not in chosen), tuple(i for i in ids if i in chosen))


def _counts(groups: Iterable[Iterable[VideoRecord]]) -> tuple[int, int]:
    """Real and fake videos."""
    labels = [record.label for group in groups for record in group]
    return labels.count(REAL), labels.count(FAKE)
