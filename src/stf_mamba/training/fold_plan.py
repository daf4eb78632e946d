"""Who is where in every training of a cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stf_mamba.clips.records import Manifest, ManifestEntry
from stf_mamba.core.checks import require_seeds
from stf_mamba.core.errors import DatasetError
from stf_mamba.core.recipe import Recipe, folds_of_about
from stf_mamba.core.records import VideoRecord
from stf_mamba.core.seeds import derive_seed
from stf_mamba.datasets.audit import require_disjoint
from stf_mamba.datasets.people_folds import people_folds
from stf_mamba.datasets.splits import Split, grouped_folds, identity_disjoint_split, linked_videos
from stf_mamba.evaluation.fold_results import Grouping


@dataclass(frozen=True)
class PlannedFold:
    """One training: its seed, the number of the fold that it holds out (from 1), and who is where."""

    seed: int
    number: int
    split: Split

    @property
    def folder(self) -> Path:
        """Where its files lie, below the cross-validation's folder."""
        return Path(f"seed-{self.seed}") / f"fold-{self.number}"


def plan_folds(
    manifest: Manifest,
    folds: int,
    seeds: Sequence[int],
    validation_fraction: float | None,
    fold_seed: int,
    grouping: Grouping = "components",
) -> list[PlannedFold]:
    """The splits of all trainings, seed by seed: a fold as test, the rest as train and inner validation.

    With ``None`` for the fraction all of the rest trains. Every part is disjoint from the others in people, donors and
    files.

    Raises:
        ValueError: no seeds, one twice, fewer than two folds, or a fraction out of range.
        DatasetError: a fold or an inner validation part would lack real or fake videos.
        LeakError: two parts share a file.
    """
    require_seeds(seeds)
    records = [entry.record for entry in labelled(manifest) if entry.clips]
    files = manifest.sha256_by_id
    held_out = (grouped_folds if grouping == "components" else people_folds)(records, folds, fold_seed)
    plan = []
    for seed in seeds:
        for number, fold in enumerate(held_out, start=1):
            train: tuple[str, ...] = fold.train
            validation: tuple[str, ...] = ()
            if validation_fraction is not None:
                rest = [record for record in records if fold.part_of(record.video_id) == "train"]
                where = f"seed {seed}, fold {number} of {folds}"
                train, validation = _inner_parts(rest, validation_fraction, seed, grouping, where)
            split = Split(f"seed-{seed}-{fold.name}", train, validation, fold.validation)
            require_disjoint(split, records, files)
            plan.append(PlannedFold(seed, number, split))
    return plan


def _inner_parts(
    records: Sequence[VideoRecord], fraction: float, seed: int, grouping: Grouping, where: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Training and validation part of the videos outside a fold, drawn by the training's seed.

    Raises:
        DatasetError: a part would lack real or fake videos.
    """
    try:
        if grouping == "components":
            inner = identity_disjoint_split(records, fraction, seed=seed)
        else:
            parts = people_folds(records, folds_of_about(fraction), seed)
            inner = parts[derive_seed("inner validation", seed) % len(parts)]
    except DatasetError as error:
        raise DatasetError(
            f"{where}: the videos outside the fold cannot be divided into training and inner validation. {error}"
        ) from error
    return inner.train, inner.validation


def labelled(manifest: Manifest) -> list[ManifestEntry]:
    """The videos whose label is known, also those without clips."""
    return [entry for entry in manifest.entries if entry.record.label is not None]


def folds_of_training(manifest: Manifest, train_ids: Sequence[str], recipe: Recipe) -> list[Split]:
    """The folds of a run's training videos that have clips: what trains, and what is held out (``test``).

    Raises:
        DatasetError: a fold, or what trains without it, would lack real or fake videos.
        LeakError: two videos of different people are the same file.
    """
    records = [entry.record for entry in manifest.of(train_ids) if entry.clips]
    try:
        splits = validation_folds(records, recipe.data.folds, recipe.seed)
    except DatasetError as error:
        raise DatasetError(
            f"{len(records)} training videos cannot be scored in {recipe.data.folds} folds: {error}. In the recipe, a "
            f"larger data.validation_fraction (is {recipe.data.validation_fraction}) makes fewer folds, and "
            'data.validation = "part" does without them'
        ) from error
    for split in splits:
        require_disjoint(split, records, manifest.sha256_by_id)
    return splits


def validation_folds(records: Sequence[VideoRecord], folds: int, seed: int) -> list[Split]:
    """Splits into a training part and a held-out fold (``test``); each video is held out once, and no two parts of a
    split share a person.

    Whole components of linked people are held out where they are small enough for even folds; where swaps link nearly
    everybody, people are, and what shows them besides is left out of that training.

    Raises:
        ValueError: fewer than two folds.
        DatasetError: a fold, or what trains without it, would lack real or fake videos.
    """
    largest = max((len(unit) for unit in linked_videos(records)), default=0)
    draw = grouped_folds if largest * folds <= len(records) else people_folds
    return [Split(fold.name, fold.train, (), fold.validation) for fold in draw(records, folds, seed)]
