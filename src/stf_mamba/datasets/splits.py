"""Splits in which nobody is seen in training and again in validation or test, and the audit of any split.

A swap shows two people: the one filmed (target) and the one whose face was put in (source). People who appear in one
video are linked; a split is identity-disjoint when it never cuts a connected component of these links.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

from stf_mamba.core.checks import require_between
from stf_mamba.core.errors import DatasetError, first_few
from stf_mamba.core.records import FAKE, REAL, JsonRecord, VideoRecord, load_record
from stf_mamba.core.seeds import hashed_rank
from stf_mamba.datasets.faceforensics import SHARED_YOUTUBE_SOURCES

PARTS = ("train", "validation", "test")

KNOWN_SHARED_SOURCES: tuple[tuple[str, ...], ...] = tuple(
    tuple(f"ffpp:{sequence}" for sequence in group) for group in SHARED_YOUTUBE_SOURCES
)

# A greedy pass may be stopped by a large component that it meets early; the best of this many orders is kept.
_ORDERS_TRIED = 16

# The videos of one component of linked people.
Unit = tuple[VideoRecord, ...]


@dataclass(frozen=True)
class Split(JsonRecord):
    """Which video is in which part, by ``video_id``. A video in no part is not used."""

    name: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Hash of who is where: independent of the order of the ids and of the split's name."""
        parts = {part: sorted(video_ids) for part, video_ids in self.parts.items()}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """The ids by part, in the order train, validation, test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def part_of(self, video_id: str) -> str | None:
        """``train``, ``validation``, ``test``, or ``None`` for a video that takes no part."""
        return self._part_by_id.get(video_id)

    @cached_property
    def _part_by_id(self) -> dict[str, str]:
        return {video_id: part for part, video_ids in self.parts.items() for video_id in video_ids}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The split that ``save`` wrote.

        Raises:
            DatasetError: the file is missing, no JSON, or not a split.
        """
        expected = "a split is a JSON object with name, train, validation and test, each a list of video ids"
        return load_record(cls, path, DatasetError, f"{expected}; write it again with stf split or Split.save")


def identity_disjoint_split(
    records: Iterable[VideoRecord], validation_fraction: float = 0.2, test_fraction: float = 0.0, seed: int = 42
) -> Split:
    """A split that never cuts a component of linked people, as near to the fractions as the components allow.

    Fractions count videos, real and fake apart. A video of unknown people is a component of its own.

    Raises:
        ValueError: a fraction is out of range.
        DatasetError: an unlabelled video, a repeated id, or no way to give each part both real and fake videos.
    """
    if not (0 <= validation_fraction < 1 and 0 <= test_fraction < 1 and validation_fraction + test_fraction < 1):
        raise ValueError(
            f"fractions must be in [0, 1) and leave something to train on, got validation {validation_fraction}, "
            f"test {test_fraction}"
        )
    units = linked_videos(records)
    fractions = {"test": test_fraction, "validation": validation_fraction}
    fractions = {part: fraction for part, fraction in fractions.items() if fraction > 0}
    tried = [_greedy_parts(units, fractions, f"{seed}/{order}") for order in range(_ORDERS_TRIED)]
    fractions["train"] = 1 - validation_fraction - test_fraction
    parts = min(tried, key=lambda parts: _distance_from(parts, fractions))
    return _split_from("identity-disjoint", parts, units)


def grouped_folds(records: Iterable[VideoRecord], n_folds: int, seed: int = 42) -> list[Split]:
    """``n_folds`` identity-disjoint splits in which each component of linked people is validation exactly once.

    The largest components are dealt first, each to the fold that has the smallest share of its labels.

    Raises:
        ValueError: fewer than two folds.
        DatasetError: an unlabelled video, a repeated id, or a fold that would not hold both real and fake videos.
    """
    require_between("folds", n_folds, 2)
    units = linked_videos(records)
    total = _count(units)
    folds: list[list[Unit]] = [[] for _ in range(n_folds)]
    loads = [_NO_VIDEOS] * n_folds
    for unit in sorted(units, key=lambda unit: (-len(unit), _rank(seed, unit))):
        added = _count([unit])
        costs = [
            load.real * added.real / max(total.real, 1) ** 2 + load.fake * added.fake / max(total.fake, 1) ** 2
            for load in loads
        ]
        chosen = min(range(n_folds), key=lambda fold: (costs[fold], sum(loads[fold]), fold))
        folds[chosen].append(unit)
        loads[chosen] = loads[chosen].plus(added)
    splits = []
    for number, fold in enumerate(folds, start=1):
        others = [unit for other in folds if other is not fold for unit in other]
        splits.append(_split_from(f"fold-{number}-of-{n_folds}", {"train": others, "validation": fold}, units))
    return splits


def identity_components(
    records: Iterable[VideoRecord], also_linked: Iterable[Collection[str]] = KNOWN_SHARED_SOURCES
) -> list[set[str]]:
    """The people of the records in connected components, two people being linked by appearing in one video.

    People of one group of ``also_linked`` are linked too, as far as they occur: the FF++ sequences that come from one
    YouTube video. Components are ordered by their first member's name.
    """
    groups = [set(record.identities) for record in records if record.identities]
    people = set().union(*groups)
    groups += [known for group in also_linked if (known := people.intersection(group))]
    components: dict[int, set[str]] = defaultdict(set)
    for number, group in zip(linked_groups(groups), groups, strict=True):
        components[number] |= group
    return sorted(components.values(), key=min)


def linked_groups(groups: Sequence[Collection[str]]) -> list[int]:
    """The number of each group's component, from 0 in the order of the groups: groups that share a person, directly or
    through others, share a number; a group of nobody stands alone."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    node_of: dict[str, int] = {}
    links = [
        (number, len(groups) + node_of.setdefault(person, len(node_of)))
        for number, group in enumerate(groups)
        for person in group
    ]
    size = len(groups) + len(node_of)
    ends = np.array(links, dtype=np.intp).reshape(-1, 2).T  # (2, links)
    graph = coo_array((np.ones(len(links)), tuple(ends)), shape=(size, size))
    component = connected_components(graph, directed=False)[1][: len(groups)]
    numbers: list[int] = np.unique(component, return_inverse=True)[1].tolist()
    return numbers


def linked_videos(records: Iterable[VideoRecord]) -> list[Unit]:
    """The videos grouped by component of linked people, each sorted by id; a video of unknown people stands alone.

    Raises:
        DatasetError: a video without a label, or two records with one id.
    """
    by_id = labelled_by_id(records)
    components = identity_components(by_id.values())
    component_of = {person: f"component {index}" for index, people in enumerate(components) for person in people}
    units: dict[str, list[VideoRecord]] = defaultdict(list)
    for video_id, record in sorted(by_id.items()):
        units[component_of[record.identities[0]] if record.identities else f"video {video_id}"].append(record)
    return sorted((tuple(unit) for unit in units.values()), key=lambda unit: unit[0].video_id)


def records_by_id(records: Iterable[VideoRecord]) -> dict[str, VideoRecord]:
    """The records by ``video_id``. Raises DatasetError where two have the same."""
    listed = list(records)
    counts = Counter(record.video_id for record in listed)
    repeated = sorted(video_id for video_id, count in counts.items() if count > 1)
    if repeated:
        raise DatasetError(
            f"{len(repeated)} video ids occur twice in the records: {first_few(repeated)}. "
            "Load each data set once, at one compression."
        )
    return {record.video_id: record for record in listed}


def labelled_by_id(records: Iterable[VideoRecord]) -> dict[str, VideoRecord]:
    """As ``records_by_id``. Raises DatasetError for a video without a label, too."""
    by_id = records_by_id(records)
    unlabelled = [video_id for video_id, record in by_id.items() if record.label is None]
    if unlabelled:
        raise DatasetError(
            f"{len(unlabelled)} videos have no label: {first_few(unlabelled)}; a split balances real and fake. "
            "Give labels, or leave these videos out."
        )
    return by_id


class _Count(NamedTuple):
    """Videos by label."""

    real: float
    fake: float

    def plus(self, other: _Count) -> _Count:
        return _Count(self.real + other.real, self.fake + other.fake)

    def minus(self, other: _Count) -> _Count:
        return _Count(self.real - other.real, self.fake - other.fake)

    def distance(self, other: _Count) -> float:
        return abs(self.real - other.real) + abs(self.fake - other.fake)

    def share(self, fraction: float) -> _Count:
        return _Count(self.real * fraction, self.fake * fraction)


_NO_VIDEOS = _Count(0, 0)


def _greedy_parts(units: Sequence[Unit], fractions: Mapping[str, float], order_seed: str) -> dict[str, list[Unit]]:
    """Units by part: each part in turn takes, in a hashed order, what brings its counts nearer to its share.

    No unit is taken whose loss would leave the later parts without a label, as far as that can be avoided.
    """
    total = _count(units)
    left = sorted(units, key=lambda unit: _rank(order_seed, unit))
    parts: dict[str, list[Unit]] = {}
    for part, fraction in fractions.items():
        goal, available = total.share(fraction), _count(left)
        taken: list[Unit] = []
        refused: list[Unit] = []
        count = _NO_VIDEOS
        for unit in left:
            larger = count.plus(_count([unit]))
            if larger.distance(goal) < count.distance(goal) and 0 not in available.minus(larger):
                count = larger
                taken.append(unit)
            else:
                refused.append(unit)
        parts[part], left = _with_both_labels(taken, refused, goal)
    parts["train"] = left
    return parts


def _with_both_labels(taken: list[Unit], refused: list[Unit], goal: _Count) -> tuple[list[Unit], list[Unit]]:
    """``taken`` and ``refused`` after moving over, for each label that ``taken`` lacks, the unit that fits best."""
    for label in (REAL, FAKE):
        count, rest = _count(taken), _count(refused)
        fits: dict[int, tuple[bool, float]] = {}
        for index, unit in enumerate(refused):
            added = _count([unit])
            if count[label] == 0 and added[label]:
                fits[index] = (0 in rest.minus(added), count.plus(added).distance(goal))
        if fits:
            best = min(fits, key=lambda index: fits[index])
            taken, refused = [*taken, refused[best]], refused[:best] + refused[best + 1 :]
    return taken, refused


def _distance_from(parts: Mapping[str, Sequence[Unit]], fractions: Mapping[str, float]) -> tuple[int, float]:
    """How far a division is from the wanted one: parts without both labels first, then the distance in videos."""
    counts = {part: _count(units) for part, units in parts.items()}
    total = _NO_VIDEOS
    for count in counts.values():
        total = total.plus(count)
    one_sided = sum(0 in count for count in counts.values())
    return one_sided, sum(counts[part].distance(total.share(fraction)) for part, fraction in fractions.items())


def _count(units: Iterable[Unit]) -> _Count:
    labels = [record.label for unit in units for record in unit]
    return _Count(labels.count(REAL), labels.count(FAKE))


def _rank(seed: int | str, unit: Unit) -> str:
    return hashed_rank(seed, unit[0].video_id)


def _split_from(name: str, parts: Mapping[str, Sequence[Unit]], units: Sequence[Unit]) -> Split:
    """The split into these parts. Raises DatasetError, saying why it is so, where a part lacks real or fake videos."""
    counts = {part: _count(taken) for part, taken in parts.items()}
    lacking = [part for part, count in counts.items() if 0 in count]
    if lacking:
        got = "; ".join(f"{part} {count.real} real, {count.fake} fake" for part, count in counts.items())
        total, largest = _count(units), _count([max(units, key=len, default=())])
        raise DatasetError(
            f"{name}: no split gives {' and '.join(lacking)} both real and fake videos (nearest: {got}). "
            f"{total.real} real and {total.fake} fake videos fall into {len(units)} components of people who appear "
            f"together, the largest with {largest.real} real and {largest.fake} fake, and a component is never cut. "
            "Ask for fewer parts, use the data set's official split, or leave out the videos that link everybody."
        )
    ids = {part: sorted(record.video_id for unit in taken for record in unit) for part, taken in parts.items()}
    return Split(name, *(tuple(ids.get(part, ())) for part in PARTS))
