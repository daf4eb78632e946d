"""The ablation report's own way of training, known faults included, so that their effect can be measured."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from stf_mamba.core.errors import DatasetError
from stf_mamba.core.recipe import Recipe
from stf_mamba.core.records import FAKE, REAL, VideoRecord
from stf_mamba.datasets.protocols import REPORT_TRAIN, REPORT_VALIDATION
from stf_mamba.datasets.splits import Split, records_by_id
from stf_mamba.study.rows import StudyRow

REPORT_FRAMES = 4  # of a video, in Experiments 2 and 3
REPORT_VALIDATION_FRACTION = REPORT_VALIDATION / (REPORT_TRAIN + REPORT_VALIDATION)


def report_recipe(recipe: Recipe, row: StudyRow | None) -> Recipe:
    """The recipe as the report trained it; what the report does not say stays.

    Flip, geometry and colour are drawn for each frame, and labels are not smoothed. Rows of Experiments 2 and 3 see 4
    frames of a video; the bidirectional GRU of Experiment 3 is read at its last step only.

    Args:
        recipe: the recipe, perhaps already cut to a budget.
        row: the study's row that it belongs to; ``None`` for a recipe of no row.
    """
    changed = replace(
        recipe,
        augment=replace(recipe.augment, draws="frame"),
        optimiser=replace(recipe.optimiser, label_smoothing=0.0),
    )
    if row is None or row.experiment not in (2, 3):
        return changed
    changed = replace(changed, data=replace(changed.data, frames=REPORT_FRAMES))
    if row.experiment == 3 and recipe.temporal.mixer == "gru":
        changed = replace(changed, head=replace(changed.head, kind="last_step"))
    return changed


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
    for group in sorted(groups, key=lambda group: _rank(seed, group[0].video_id)):
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


def _by_target(records: Iterable[VideoRecord]) -> list[list[VideoRecord]]:
    """Videos grouped by the person filmed, whoever was put in. Raises DatasetError for a video without a label."""
    groups: dict[str, list[VideoRecord]] = {}
    for video_id, record in sorted(records_by_id(records).items()):
        if record.label is None:
            raise DatasetError(f"{video_id} has no label; give labels, or leave such videos out")
        groups.setdefault(record.identities[0] if record.identities else video_id, []).append(record)
    return list(groups.values())


def _counts(groups: Iterable[Iterable[VideoRecord]]) -> tuple[int, int]:
    """Real and fake videos."""
    labels = [record.label for group in groups for record in group]
    return labels.count(REAL), labels.count(FAKE)


def _rank(seed: int, video_id: str) -> str:
    return hashlib.sha256(f"{seed}/{video_id}".encode()).hexdigest()
