"""``run_study``: rows one after the other, each resumable, each finished row read back and not run again."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from stf_mamba.clips.records import Manifest
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.checks import require_between, require_seeds
from stf_mamba.core.environment import choose_device, versions
from stf_mamba.core.errors import RecipeError, RunError, UsageError, WeightsError, holds_another
from stf_mamba.core.files import sha256_of, write_json
from stf_mamba.core.recipe import Recipe
from stf_mamba.core.records import differing_fields, load_record
from stf_mamba.datasets.protocols import REPORT_VALIDATION_FRACTION, report_split
from stf_mamba.datasets.splits import Split, identity_disjoint_split
from stf_mamba.evaluation.evaluate import evaluate
from stf_mamba.evaluation.fold_results import Grouping
from stf_mamba.evaluation.frame_scoring import predict_frames
from stf_mamba.evaluation.metrics import auc, mean_auc
from stf_mamba.evaluation.predictions import Predictions
from stf_mamba.evaluation.protocol import Part, entries_of_part, protocol_stamp
from stf_mamba.evaluation.runs import Run
from stf_mamba.models.encoders.cnn import CNN_ENCODERS
from stf_mamba.models.encoders.registry import ENCODERS
from stf_mamba.study.ablation_protocol import report_recipe
from stf_mamba.study.budgets import Budget, block_count, planned_recipe
from stf_mamba.study.results import Design, Measured, ProtocolName, RowResult, Study, StudySettings
from stf_mamba.study.rows import ROWS, StudyRow
from stf_mamba.training.cache.cached_items import CachePlace
from stf_mamba.training.crossvalidation import CrossValidationOptions, cross_validate
from stf_mamba.training.parts import TrainingOptions
from stf_mamba.training.train import train
from stf_mamba.training.watcher import Watcher

VALIDATION_PART, TEST_PART = 0.2, 0.2
FINISHED, READY, UNFINISHED = "finished", "ready", "unfinished"
REPORT_VIDEOS = 1300  # at which the report kept 50 real and 50 fake videos for validation


@dataclass(frozen=True)
class StudyPlan:
    """What a study is run on and how.

    Attributes:
        store: prepared clips.
        manifest: the study's own data set.
        cross: a second data set with clips in the same store, never trained on.
        folds: grouped cross-validation with so many folds; ``None`` trains once a seed on a split.
        split: with a test part; ``None`` draws one by people from the first seed.
        protocol: ``report`` trains and divides as the report did (see ``ablation_protocol``); figures of the study's
            own data set are then those of the part that chose the epoch.
        weights: files of pretrained encoders, by encoder name.
        from_scratch: start encoders that are meant to be pretrained from random values where no file is given.
        generated: the footage was drawn by a program.

    Raises:
        ValueError: no seeds, or one twice; or folds in the report's way, which had one split, or with a second data
            set, which they never score.
    """

    out: Path
    budget: Budget
    store: ClipStore
    manifest: Manifest
    cross: Manifest | None = None
    seeds: tuple[int, ...] = (42,)
    folds: int | None = None
    grouping: Grouping = "components"
    split: Split | None = None
    weights: Mapping[str, Path] = field(default_factory=dict)
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    from_scratch: bool = False
    protocol: ProtocolName = "right"
    device: str = "auto"
    generated: bool = False

    def __post_init__(self) -> None:
        require_seeds(self.seeds)
        if self.folds is None:
            return
        require_between("folds", self.folds, 2)
        if self.protocol == "report":
            raise ValueError(f"folds are {self.folds} in the report's way, which has one split; expected no folds")
        if self.cross is not None:
            raise ValueError(
                f"with folds the second data set {self.cross.name} is never scored; expected none, or no folds"
            )

    @property
    def design(self) -> Design:
        """How rows are tested."""
        return "split" if self.folds is None else "folds"

    def recipe_of(self, row: StudyRow) -> Recipe:
        """The row's recipe as this plan runs it, with the first seed."""
        recipe = planned_recipe(row, self.budget, self.stand_ins)
        if self.protocol == "report":
            recipe = report_recipe(recipe, row)
        return replace(recipe, seed=self.seeds[0])


def run_study(
    plan: StudyPlan,
    keys: Sequence[str],
    watcher: Watcher | None = None,
    on_row: Callable[[str, str], None] = lambda key, state: None,
) -> Study:
    """Run what is missing of these rows; the same call continues what was interrupted.

    Args:
        keys: of ``rows.ROWS``.
        on_row: called with each row's key and what came of it: ``finished``, ``found finished``, or why it was not run.

    Raises:
        RunError: ``plan.out`` holds a study of other settings.
        StfError: data that cannot be trained on, as ``train`` and ``cross_validate``.
        KeyboardInterrupt: after the running training saved its state.
    """
    prepare_folder(plan)
    for key in keys:
        on_row(key, _run_row(plan, ROWS[key], watcher or Watcher()))
    return Study.load(plan.out)


def row_state(plan: StudyPlan, row: StudyRow) -> str:
    """``finished``, ``unfinished``, ``ready``, or why the row cannot be run."""
    place = plan.out / "rows" / row.key
    if _is_finished(place, plan, row):
        return FINISHED
    obstacle = _obstacle(plan, row)
    return obstacle or (UNFINISHED if place.exists() else READY)


def _run_row(plan: StudyPlan, row: StudyRow, watcher: Watcher) -> str:
    place = plan.out / "rows" / row.key
    if _is_finished(place, plan, row):
        return "found finished"
    place.mkdir(parents=True, exist_ok=True)
    obstacle = _obstacle(plan, row)
    if obstacle is None:
        watcher.on_message(f"{row.key}: {row.question}")
        try:
            _finish(plan, row, plan.recipe_of(row), place, watcher)
        except (RecipeError, WeightsError) as error:
            obstacle = str(error)
    if obstacle is not None:
        write_json(place / "not-run.json", {"reason": obstacle}, indent=1)
        return f"not run: {obstacle}"
    (place / "not-run.json").unlink(missing_ok=True)
    return FINISHED


def _is_finished(place: Path, plan: StudyPlan, row: StudyRow) -> bool:
    """Whether the row was finished with the same recipe and seeds.

    Raises:
        RunError: it was finished with another recipe.
    """
    if not (place / "row.json").is_file():
        return False
    result = load_record(RowResult, place / "row.json", RunError, "remove it and repeat the command")
    if replace(result.recipe, seed=plan.seeds[0]) != plan.recipe_of(row):
        raise holds_another(place, "a row", ["recipe"])
    return result.seeds == plan.seeds


def _obstacle(plan: StudyPlan, row: StudyRow) -> str | None:
    """Why the row cannot be run with what is at hand, ``None`` if it can."""
    try:
        recipe = plan.recipe_of(row)
    except UsageError as error:
        return str(error)
    name = recipe.encoder.name
    if ENCODERS[name].pretrained and name not in plan.weights and not plan.from_scratch:
        return f"no weights of {name}; give --weights {name}=FILE, or --stand-in {name}=ENCODER"
    available, wanted = plan.store.settings.frames, recipe.data.frames
    if wanted > available:
        return f"clips hold {available} frames, the row takes {wanted}; prepare clips with --frames {wanted}"
    crop_px, side_px = CNN_ENCODERS[name].crop_px if name in CNN_ENCODERS else None, plan.store.settings.faces.size_px
    if crop_px is not None and crop_px != side_px:
        return f"{name} takes crops of {crop_px} px, the clips have {side_px}; prepare clips with --size {crop_px}"
    return None


def _finish(plan: StudyPlan, row: StudyRow, recipe: Recipe, place: Path, watcher: Watcher) -> None:
    started_s = time.monotonic()
    if plan.folds is None:
        runs, in_domain, cross = _by_split(plan, row, recipe, place, watcher)
        trainings: list[tuple[int, int | None, Run]] = [(run.recipe.seed, None, run) for run in runs]
    else:
        trainings, in_domain = _by_folds(plan, recipe, place, watcher)
        runs, cross = [run for _, _, run in trainings], None
    histories = [
        {"seed": seed, "fold": fold, "history": [dict(entry) for entry in run.history()]}
        for seed, fold, run in trainings
    ]
    write_json(place / "histories.json", histories, indent=1)
    trained_s = sum(entry["seconds"] + entry["validation_seconds"] for run in runs for entry in run.history())
    meant = row.recipe.encoder.name
    RowResult(
        key=row.key,
        recipe=recipe,
        stands_in_for=None if recipe.encoder.name == meant else meant,
        initial_weights=_initial_weights(plan, recipe.encoder.name),
        parameters=int(runs[0].environment["parameters"]),
        trainable_parameters=int(runs[0].environment["trainable_parameters"]),
        seeds=plan.seeds,
        in_domain=in_domain,
        cross=cross,
        trainings=len(trainings),
        seconds=max(trained_s, time.monotonic() - started_s),
    ).save(place / "row.json")


def _by_split(
    plan: StudyPlan, row: StudyRow, recipe: Recipe, place: Path, watcher: Watcher
) -> tuple[list[Run], Measured, Measured | None]:
    runs = []
    split = plan.split or drawn_split(plan)
    for seed in plan.seeds:
        one = replace(recipe, seed=seed)
        folder = place / f"seed-{seed}"
        runs.append(train(one, plan.store, plan.manifest, folder, _training(plan, recipe), split, watcher))
    part: Part = "test" if split.test else "validation"
    in_domain = _measured(plan, row, runs, plan.manifest, part, place, "in-domain")
    cross = None if plan.cross is None else _measured(plan, row, runs, plan.cross, "all", place, "cross")
    return runs, in_domain, cross


def drawn_split(plan: StudyPlan) -> Split:
    """Train, validation and test parts that share no person, drawn from the first seed; or the report's two parts.

    The report's validation part is its own 50 in 650 of each label, of a smaller data set a fifth.
    """
    usable = [entry.record for entry in plan.manifest.entries if entry.clips and entry.record.label is not None]
    if plan.protocol == "report":
        fraction = REPORT_VALIDATION_FRACTION if len(usable) >= REPORT_VIDEOS else VALIDATION_PART
        return report_split(usable, plan.seeds[0], fraction)
    return identity_disjoint_split(usable, VALIDATION_PART, TEST_PART, plan.seeds[0])


def _measured(
    plan: StudyPlan, row: StudyRow, runs: Sequence[Run], manifest: Manifest, part: Part, place: Path, kind: str
) -> Measured:
    """Scores of a part by every seed's run, saved, and their AUC."""
    scores, frames = [], []
    for run in runs:
        predictions = evaluate(run, plan.store, manifest, part, plan.device)
        predictions.save(place / f"{kind}-seed-{run.recipe.seed}.csv")
        scores.append(predictions)
        if row.is_frame_level:
            frames.append(_frame_scores(plan, run, manifest, part))
            frames[-1].save(place / f"frames-{kind}-seed-{run.recipe.seed}.csv")
    return Measured(
        dataset=manifest.name,
        auc=mean_auc(scores),
        by_seed=tuple(auc(one, resamples=1).value for one in scores),
        frame_auc=mean_auc(frames) if frames else None,
        coverage=scores[0].coverage,
    )


def _frame_scores(plan: StudyPlan, run: Run, manifest: Manifest, part: Part) -> Predictions:
    entries = entries_of_part(run, manifest, part)
    device = choose_device(plan.device)
    stamp = {**protocol_stamp(run, plan.store, manifest, part, len(entries)), "level": "frame"}
    return predict_frames(run.model(device), plan.store, entries, run.recipe.data.frames, device, stamp)


def _by_folds(
    plan: StudyPlan, recipe: Recipe, place: Path, watcher: Watcher
) -> tuple[list[tuple[int, int | None, Run]], Measured]:
    assert plan.folds is not None
    options = CrossValidationOptions(plan.folds, plan.seeds, plan.grouping)
    result = cross_validate(
        recipe,
        plan.store,
        plan.manifest,
        place / "folds",
        options=options,
        training=_training(plan, recipe),
        watcher=watcher,
    )
    result.save(place)
    for seed, predictions in zip(plan.seeds, result.scores, strict=True):
        predictions.save(place / f"in-domain-seed-{seed}.csv")
    trainings = [
        (seed, number, Run.load(place / "folds" / f"seed-{seed}" / f"fold-{number}" / "run"))
        for seed in plan.seeds
        for number in range(1, plan.folds + 1)
    ]
    by_seed = tuple(found.mean_fold_auc.value for found in result.summary.by_seed)
    videos = len(result.scores[0].rows) + len(result.summary.not_analysable)
    coverage = len(result.scores[0].rows) / videos
    measured = Measured(plan.manifest.name, result.summary.mean_fold_auc, by_seed, None, coverage)
    return [(seed, number, run) for seed, number, run in trainings], measured


def is_cached(recipe: Recipe) -> bool:
    """Whether a study keeps what frozen blocks make: not where every block trains or views are endless."""
    encoder = recipe.encoder
    blocks = encoder.blocks or block_count(encoder.name)
    return encoder.trainable_blocks < blocks and recipe.versions is not None


def _training(plan: StudyPlan, recipe: Recipe) -> TrainingOptions:
    """How the study trains a recipe; all rows share one cache."""
    cache = CachePlace(plan.out / "cache") if is_cached(recipe) else None
    return TrainingOptions(plan.weights.get(recipe.encoder.name), plan.from_scratch, plan.device, cache)


def _initial_weights(plan: StudyPlan, encoder: str) -> str:
    path = plan.weights.get(encoder)
    return "random values" if path is None else f"{path.name}, sha256 {sha256_of(path, WeightsError)[:16]}"


def prepare_folder(plan: StudyPlan) -> None:
    """Write the settings of a new study, or check that an old one has the same.

    Raises:
        RunError: the folder holds a study of other settings.
    """
    labelled = sorted(
        [entry.record.video_id, entry.record.label, entry.sha256] for entry in plan.manifest.entries if entry.clips
    )
    settings = StudySettings(
        budget=plan.budget.name,
        protocol=plan.protocol,
        design=plan.design,
        dataset=plan.manifest.name,
        cross_dataset=None if plan.cross is None else plan.cross.name,
        generated=plan.generated,
        seeds=plan.seeds,
        folds=plan.folds,
        grouping=plan.grouping,
        videos=len(labelled),
        videos_sha256=hashlib.sha256(json.dumps(labelled).encode()).hexdigest(),
        clip_settings=plan.store.settings.key,
        stand_ins={**plan.budget.stand_ins, **plan.stand_ins},
        encoder_weights_sha256={name: sha256_of(path, WeightsError) for name, path in plan.weights.items()},
        environment={"machine": f"{platform.machine()}, {os.cpu_count()} cores", **versions()},
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    path = plan.out / "study.json"
    if path.is_file():
        before = Study.load(plan.out).settings
        differing = differing_fields(before, settings, ignored=("seeds", "environment", "started"))
        if differing:
            raise holds_another(plan.out, "a study", differing)
        settings = replace(settings, started=before.started)
    plan.out.mkdir(parents=True, exist_ok=True)
    settings.save(path)
