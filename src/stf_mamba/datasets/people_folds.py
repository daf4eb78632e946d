"""Folds for data sets in which swaps link nearly everybody, so that whole components make no balanced folds.

A fold holds out some of the people filmed, with all their videos. Whatever else shows one of them, or a donor of
theirs, is left out of that fold's training: no part shares a person, every video is held out once, and training pays
with the few videos that bridge two folds. The folds are drawn so that these are few.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from stf_mamba.core.checks import require_between
from stf_mamba.core.errors import DatasetError
from stf_mamba.core.records import FAKE, REAL, VideoRecord
from stf_mamba.core.seeds import derive_seed
from stf_mamba.datasets.splits import KNOWN_SHARED_SOURCES, Split, labelled_by_id

_SEARCHES = 2
_STEPS_PER_UNIT = 150
_FIRST_TEMPERATURE, _LAST_TEMPERATURE = 3.0, 0.05

Shown: TypeAlias = "csr_array[np.float32]"  # (videos, people), sparse: a video shows one or two of perhaps a thousand
IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]


def people_folds(records: Iterable[VideoRecord], n_folds: int, seed: int = 42) -> list[Split]:
    """``n_folds`` splits in which each video is validation once and nobody in it is seen in that split's training.

    Simulated annealing over who is held out where, for as few videos left out of training and as even folds as it
    finds. Its work grows with videos times people (about two minutes for 6,000 videos of 1,000 people); for data
    sets with many small components ``grouped_folds`` is exact and immediate.

    Raises:
        ValueError: fewer than two folds.
        DatasetError: an unlabelled video, a repeated id, or a part that would not hold both real and fake videos.

    Source: Kirkpatrick, Gelatt and Vecchi, Science 1983 (annealing).
    """
    require_between("folds", n_folds, 2)
    listed = sorted(labelled_by_id(records).values(), key=lambda record: record.video_id)
    shown, unit_of = _who_is_where(listed)
    fakes = np.array([record.label == FAKE for record in listed])
    found = [
        _anneal(shown, unit_of, fakes, n_folds, np.random.default_rng(derive_seed("people folds", seed, search)))
        for search in range(_SEARCHES)
    ]
    fold_of = min(found, key=lambda folds: _cost(folds[unit_of], shown, fakes, n_folds))[unit_of]  # (V,)
    touched = _touched(fold_of, shown, n_folds)  # (V, K)
    return [
        _split(listed, fold_of == fold, ~touched[:, fold], f"people-fold-{fold + 1}-of-{n_folds}")
        for fold in range(n_folds)
    ]


def _who_is_where(records: list[VideoRecord]) -> tuple[Shown, IntArray]:
    """Who is shown (videos, people), and the number (videos,) of the person filmed; unknown people are each their own.

    Somebody who is twice in one cast counts 2: what is above 0 is shown. Sequences that FF++ cut from one YouTube video
    are one person.
    """
    same = {sequence: group[0] for group in KNOWN_SHARED_SOURCES for sequence in group}
    casts = [tuple(same.get(p, p) for p in record.identities) or (f"video {record.video_id}",) for record in records]
    people: dict[str, int] = defaultdict(lambda: len(people))
    pairs = [(video, people[person]) for video, cast in enumerate(casts) for person in cast]
    shown = csr_array((np.ones(len(pairs), np.float32), tuple(np.array(pairs).T)), (len(records), len(people)))
    filmed = [people[cast[0]] for cast in casts]
    return shown, np.unique(filmed, return_inverse=True)[1]


def _anneal(
    shown: Shown, unit_of: IntArray, fakes: BoolArray, n_folds: int, generator: np.random.Generator
) -> IntArray:
    """The fold (units,) of each person filmed."""
    count = int(unit_of.max()) + 1
    folds = generator.permutation(np.arange(count) % n_folds)
    cost = _cost(folds[unit_of], shown, fakes, n_folds)
    best, best_cost = folds.copy(), cost
    for temperature in np.geomspace(_FIRST_TEMPERATURE, _LAST_TEMPERATURE, _STEPS_PER_UNIT * count):
        unit, fold = int(generator.integers(count)), int(generator.integers(n_folds))
        moved = folds.copy()
        moved[unit] = fold
        moved_cost = _cost(moved[unit_of], shown, fakes, n_folds)
        if moved_cost <= cost or generator.random() < np.exp((cost - moved_cost) / temperature):
            folds, cost = moved, moved_cost
            if cost < best_cost:
                best, best_cost = folds.copy(), cost
    return best


def _cost(fold_of: IntArray, shown: Shown, fakes: BoolArray, n_folds: int) -> float:
    """Videos left out of training, and videos that the folds' counts of each class are away from even ones."""
    left_out = int(_touched(fold_of, shown, n_folds).sum()) - len(fold_of)  # a fold's own videos are touched too
    uneven = 0.0
    for of_class in (fakes, ~fakes):
        counts = np.bincount(fold_of[of_class], minlength=n_folds)
        uneven += float(np.abs(counts - of_class.sum() / n_folds).sum())
        uneven += len(fold_of) * int((counts == 0).sum())  # a fold without a class has no AUC
    return left_out + uneven


def _touched(fold_of: IntArray, shown: Shown, n_folds: int) -> BoolArray:
    """Whether each video (V,) shows anybody whom a fold (K,) holds out, (V, K)."""
    held_out = np.eye(n_folds, dtype=np.float32)[fold_of]  # (V, K)
    people = (shown.T @ held_out > 0).astype(np.float32)  # (P, K)
    touched: BoolArray = shown @ people > 0
    return touched


def _split(records: list[VideoRecord], held_out: BoolArray, trains: BoolArray, name: str) -> Split:
    parts = {
        "train": [record for record, chosen in zip(records, trains, strict=True) if chosen],
        "validation": [record for record, chosen in zip(records, held_out, strict=True) if chosen],
    }
    for part, of_part in parts.items():
        counts = [sum(record.label == label for record in of_part) for label in (REAL, FAKE)]
        if 0 in counts:
            raise DatasetError(
                f"{name}: {part} would hold {counts[REAL]} real and {counts[FAKE]} fake of {len(records)} videos, both "
                "are needed; ask for fewer folds, or leave out the videos that link everybody"
            )
    ids = [tuple(record.video_id for record in of_part) for of_part in parts.values()]
    return Split(name, *ids)
