"""Grouped cross-validation: every video is scored by models that saw neither its people nor their donors.

    OUT/settings.json                        what the folds are made with; another command's folder is refused
    OUT/seed-42/fold-1/run/                  the training run
    OUT/seed-42/fold-1/validation.csv        inner validation videos, or the training videos out of fold
    OUT/seed-42/fold-1/control-NAME.csv      real videos of another data set
    OUT/seed-42/fold-1/predictions.csv       the held-out videos
    OUT/cross-validation.json, *.csv         the figures, and the out-of-fold scores that they are computed from

Each fold is held out once. Where swaps link nearly everybody (FaceForensics++ with few donors), whole components of
linked people make no even folds; the grouping ``people`` then holds out people and leaves out of a fold's training
whatever else shows them or their donors. An inner validation part is taken from the other folds by the same rule;
epoch, threshold and scale are chosen there, and the held-out videos are looked at once, at the end. Where the recipe
lets every video train, threshold and scale come from the training videos' out-of-fold scores instead.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self, get_args

from stf_mamba.clips.records import Manifest, ManifestEntry
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.checks import require_between, require_one_of, require_seeds
from stf_mamba.core.environment import choose_device
from stf_mamba.core.errors import DatasetError, LeakError, RunError, WeightsError, first_few, holds_another
from stf_mamba.core.files import sha256_of, write_errors_as
from stf_mamba.core.locks import sole_use
from stf_mamba.core.recipe import Recipe
from stf_mamba.core.records import REAL, JsonRecord, differing_fields, load_record
from stf_mamba.evaluation.evaluate import predict
from stf_mamba.evaluation.fold_results import CrossValidation, FoldPredictions, Grouping, ThresholdRule
from stf_mamba.evaluation.fold_statistics import summarise
from stf_mamba.evaluation.predictions import Predictions
from stf_mamba.evaluation.protocol import NOTHING_SELECTED, Part, entries_of_part, protocol_stamp
from stf_mamba.evaluation.runs import ENVIRONMENT, FOLDS, STATE, WEIGHTS, Run
from stf_mamba.evaluation.statistics.resampling import RESAMPLES
from stf_mamba.models.clip_detector import ClipDetector, build_detector
from stf_mamba.models.weights.loading import load_model_weights, save_state_dict
from stf_mamba.training.cache.cached_items import default_cache, tokens_to_score
from stf_mamba.training.fold_plan import PlannedFold, folds_of_training, labelled, plan_folds
from stf_mamba.training.parts import TrainingOptions
from stf_mamba.training.run_folder import KEPT, has_state, read_state
from stf_mamba.training.train import train
from stf_mamba.training.watcher import Watcher

VALIDATION, PREDICTIONS, LAST_WEIGHTS = "validation.csv", "predictions.csv", "last.safetensors"

Select = Literal["best", "last"]

Reporter = Callable[[FoldPredictions], None]


@dataclass(frozen=True)
class CrossValidationSettings(JsonRecord):
    """What decides the scores of the folds. Further seeds and another control may be added to the same folder.

    Attributes:
        recipe: its seed draws the folds; each training has a seed of its own.
        videos_sha256: hash of the ids, labels, people and files of the usable videos.
        token_storage: type of the frozen blocks' tokens that train; float32 without a cache.
    """

    recipe: Recipe
    dataset: str
    videos_sha256: str
    clip_settings: str
    grouping: Grouping
    folds: int
    select: Select
    encoder_weights_sha256: str | None
    token_storage: str = "float32"

    @classmethod
    def load(cls, path: Path) -> Self:
        """The settings that ``save`` wrote.

        Raises:
            RunError: unreadable.
        """
        return load_record(cls, path, RunError, "choose another --out")


@dataclass(frozen=True)
class CrossValidationOptions:
    """What is left open of a cross-validation beside the recipe and how it is trained (``TrainingOptions``).

    Attributes:
        folds: drawn by the recipe's own seed, so that recipes with the same one can be compared fold by fold.
        seeds: of the trainings; each has an inner validation part of its own, of ``data.validation_fraction``.
        grouping: ``components`` never cuts linked people apart and resamples components for the intervals; ``people``
            holds out people, leaves what links them to others out of training, and resamples people.
        select: ``best`` scores the epoch with the best AUC on the inner validation videos, ``last`` the last one, in
            which these videos decide nothing but threshold and scale. A recipe whose validation is by folds keeps the
            last one, and its out-of-fold scores take the place of the inner validation videos. ``None`` is ``last`` for
            such a recipe and ``best`` for others.
        threshold: how the flagging threshold is chosen on the inner validation videos (``choose_threshold``).
        resamples: of groups of people, for the intervals.

    Raises:
        ValueError: fewer than two folds; no seeds, or one twice; or a name that does not exist.
    """

    folds: int = 4
    seeds: tuple[int, ...] = (42,)
    grouping: Grouping = "components"
    select: Select | None = None
    threshold: ThresholdRule = "specificity"
    resamples: int = RESAMPLES

    def __post_init__(self) -> None:
        require_between("folds", self.folds, 2)
        require_seeds(self.seeds)
        require_one_of("grouping", self.grouping, get_args(Grouping))
        require_one_of("select", self.select, (None, *get_args(Select)))
        require_one_of("threshold", self.threshold, get_args(ThresholdRule))
        require_between("resamples", self.resamples, 1)

    def selected_by(self, recipe: Recipe) -> Select:
        """Which epoch of a recipe's trainings is scored.

        Raises:
            ValueError: ``best`` for a recipe that keeps the last epoch.
        """
        by_folds = recipe.data.validation == "folds"
        if by_folds and self.select == "best":
            raise ValueError('select is "best", and the recipe\'s validation is by folds, which keeps the last epoch')
        return self.select or ("last" if by_folds else "best")


def cross_validate(
    recipe: Recipe,
    store: ClipStore,
    manifest: Manifest,
    out: str | os.PathLike[str],
    options: CrossValidationOptions | None = None,
    training: TrainingOptions | None = None,
    control: Manifest | None = None,
    watcher: Watcher | None = None,
    on_fold: Reporter = lambda fold: None,
) -> CrossValidation:
    """Train and score every fold with every seed, or what is missing of it; then the figures of all.

    Args:
        store: prepared clips.
        manifest: the data set whose videos they are; unlabelled videos are left out.
        out: folder of the cross-validation. The same call continues what was interrupted.
        options: of folds, seeds and thresholds; ``None`` for the options' own defaults.
        training: what the recipe leaves open of each training; ``None`` likewise. A cache is shared by the folds of a
            seed, and by all seeds where training shows clips as they are stored.
        control: real videos of other people, with clips in the same store, for a false-positive rate.
        watcher: follows each training; its messages say which one begins.
        on_fold: called with each fold's predictions as they are there, those of an earlier call included.

    Returns:
        The result, which was also saved in ``out``.

    Raises:
        ValueError: the options ask for the best epoch of a recipe that keeps the last one.
        DatasetError: a fold or its inner validation would lack real or fake videos, or the control holds fakes.
        LeakError: two parts share a file, or the control shows people of the data set.
        RunError: ``out`` holds something else, or another process works there.
        WeightsError, UsageError: as ``train``.
        KeyboardInterrupt: after the running training saved its state.
    """
    options, training = options or CrossValidationOptions(), training or TrainingOptions()
    options = replace(options, select=options.selected_by(recipe))
    training = replace(training, cache=training.cache or default_cache(recipe, Path(out)))
    plan = _plan(recipe, manifest, options)
    if control is not None:
        _require_strangers(control, manifest)
    job = _Job(recipe, store, manifest, Path(out), options, training, control, watcher or Watcher())
    with sole_use(out, RunError, KEPT):
        _open(job)
        return _result(job, plan, on_fold)


def _result(job: _Job, plan: Sequence[PlannedFold], on_fold: Reporter) -> CrossValidation:
    """The figures of all folds, saved, after what is missing of the folds was made."""
    done = []
    for planned in plan:
        done.append(_predictions_of(job, planned))
        on_fold(done[-1])
    missing = [entry.record.video_id for entry in labelled(job.manifest) if not entry.clips]
    options, names = job.options, (job.recipe.name, job.manifest.name)
    rule, grouping = options.threshold, options.grouping
    result = summarise(*names, job.select, done, rule, grouping, missing, options.resamples)
    result.save(job.out)
    return result


@dataclass(frozen=True)
class _Job:
    """What every fold has in common; the options say which epoch is scored."""

    recipe: Recipe
    store: ClipStore
    manifest: Manifest
    out: Path
    options: CrossValidationOptions
    training: TrainingOptions
    control: Manifest | None
    watcher: Watcher

    @property
    def select(self) -> Select:
        assert self.options.select is not None
        return self.options.select


def _plan(recipe: Recipe, manifest: Manifest, options: CrossValidationOptions) -> list[PlannedFold]:
    """The trainings; what would refuse one of them within its own folds does so now rather than after hours."""
    by_folds = recipe.data.validation == "folds"
    fraction = None if by_folds else recipe.data.validation_fraction
    plan = plan_folds(manifest, options.folds, options.seeds, fraction, recipe.seed, options.grouping)
    for planned in plan if by_folds else ():
        folds_of_training(manifest, planned.split.train, replace(recipe, seed=planned.seed))
    return plan


def _predictions_of(job: _Job, planned: PlannedFold) -> FoldPredictions:
    """One fold's predictions: read where they are complete, otherwise made, after training what is not trained."""
    folder = job.out / planned.folder
    wanted: dict[str, tuple[Manifest, Part]] = {VALIDATION: (job.manifest, "validation")}
    if job.control is not None:
        wanted[f"control-{job.control.name}.csv"] = (job.control, "all")
    wanted[PREDICTIONS] = (job.manifest, "test")  # last, because it makes the fold look finished
    missing = [name for name in wanted if not (folder / name).is_file()]
    if missing:
        run = _trained(job, planned)
        if VALIDATION in missing and (out_of_fold := run.out_of_fold()) is not None:
            out_of_fold.save(folder / VALIDATION)
            missing.remove(VALIDATION)
        model, device = _model(job, run, folder), choose_device(job.training.device)
        tokens_of = tokens_to_score(job.training.cache, model, run.recipe, job.store)
        frames = run.recipe.data.frames
        for name in missing:
            manifest, part = wanted[name]
            entries = entries_of_part(run, manifest, part)
            stamp = {
                **protocol_stamp(run, job.store, manifest, part, len(entries)),
                **_origin(job, run, planned),
            }
            predictions = predict(model, job.store, entries, frames, device, None, stamp, tokens_of=tokens_of)
            predictions.save(folder / name)
    read = {name: Predictions.load(folder / name) for name in wanted}
    epoch = int(read[PREDICTIONS].stamp["epoch"])
    control = read[f"control-{job.control.name}.csv"] if job.control is not None else None
    if job.control is not None and control is not None:
        _require_same_videos(folder / f"control-{job.control.name}.csv", control, job.control.entries)
    return FoldPredictions(planned.seed, planned.number, epoch, read[VALIDATION], read[PREDICTIONS], control)


def _trained(job: _Job, planned: PlannedFold) -> Run:
    """The fold's complete run. What only resuming needs is removed from it."""
    folder = job.out / planned.folder
    place = folder / "run"
    if (place / ENVIRONMENT).is_file() and (run := Run.load(place)).is_complete and not _resumable(run):
        return run
    job.watcher.on_message(f"seed {planned.seed}, fold {planned.number} of {job.options.folds}: {place}")
    recipe = replace(job.recipe, seed=planned.seed)
    run = train(recipe, job.store, job.manifest, place, job.training, planned.split, job.watcher)
    state = read_state(place)
    assert state is not None
    if _keeps_another_epoch(job):
        save_state_dict(state["model"], folder / LAST_WEIGHTS)
    (place / STATE).unlink()
    for weights in (place / FOLDS).glob(f"*/{WEIGHTS}"):  # their scores are kept
        weights.unlink()
    return run


def _keeps_another_epoch(job: _Job) -> bool:
    """Whether the last epoch is scored, and the run keeps its best one."""
    return job.select == "last" and job.recipe.data.validation == "part"


def _resumable(run: Run) -> bool:
    return has_state(run.folder)


def _model(job: _Job, run: Run, folder: Path) -> ClipDetector:
    device = choose_device(job.training.device)
    if not _keeps_another_epoch(job):
        return run.model(device)
    model = build_detector(run.recipe)
    load_model_weights(model, folder / LAST_WEIGHTS)
    return model.to(device).eval()


def _origin(job: _Job, run: Run, planned: PlannedFold) -> dict[str, str]:
    """What the stamp says of the weights and the fold."""
    stamp = {"fold": f"{planned.number} of {job.options.folds}"}
    if job.select == "best":
        best = [entry["epoch"] for entry in run.history() if entry["best"]][-1]
        return {**stamp, "epoch": str(best + 1), "selected_on": "inner validation part of the training folds"}
    stamp |= {"epoch": str(run.recipe.epochs), "selected_on": NOTHING_SELECTED}
    if _keeps_another_epoch(job):
        stamp["weights_sha256"] = sha256_of(job.out / planned.folder / LAST_WEIGHTS, RunError)
    return stamp


def _open(job: _Job) -> None:
    """Write the settings of a new folder, or check that an old one has the same."""
    weights = job.training.encoder_weights
    listed = [
        [entry.record.video_id, entry.record.label, sorted(entry.record.identities), entry.sha256]
        for entry in labelled(job.manifest)
        if entry.clips
    ]
    settings = CrossValidationSettings(
        recipe=job.recipe,
        dataset=job.manifest.name,
        videos_sha256=hashlib.sha256(json.dumps(sorted(listed)).encode()).hexdigest(),
        clip_settings=job.store.settings.key,
        grouping=job.options.grouping,
        folds=job.options.folds,
        select=job.select,
        encoder_weights_sha256=None if weights is None else sha256_of(weights, WeightsError),
        token_storage=job.training.token_storage,
    )
    path = job.out / "settings.json"
    if path.is_file():
        before = CrossValidationSettings.load(path)
        differing = differing_fields(before, settings)
        if differing:
            raise holds_another(job.out, "a cross-validation", differing)
        return
    foreign = sorted(p.name for p in job.out.glob("[!.]*"))  # nothing where there is no folder
    if foreign:
        raise RunError(f"{job.out} holds {first_few(foreign)} and is no cross-validation; choose another --out")
    with write_errors_as(RunError, job.out, KEPT):
        job.out.mkdir(parents=True, exist_ok=True)
        settings.save(path)


def _require_strangers(control: Manifest, manifest: Manifest) -> None:
    """The control is real throughout and shows nobody of the data set: each of them trains in some fold."""
    fakes = [entry.record.video_id for entry in control.entries if entry.record.label != REAL]
    if fakes:
        raise DatasetError(
            f"{len(fakes)} of {len(control.entries)} videos of the control {control.name} are not labelled real: "
            f"{first_few(fakes)}; a false-positive rate needs real videos only"
        )
    people = {person for entry in manifest.entries for person in entry.record.identities}
    files = {entry.sha256 for entry in manifest.entries if entry.sha256 is not None}
    known = [
        entry.record.video_id
        for entry in control.entries
        if people.intersection(entry.record.identities) or entry.sha256 in files
    ]
    if known:
        raise LeakError(
            f"{len(known)} of {len(control.entries)} videos of the control {control.name} show people or files of "
            f"{manifest.name}: {first_few(known)}; a model would be tested on what it was trained on. Leave them out."
        )


def _require_same_videos(path: Path, predictions: Predictions, entries: Sequence[ManifestEntry]) -> None:
    if [row.video_id for row in predictions.rows] != [entry.record.video_id for entry in entries]:
        raise RunError(
            f"{path} holds {len(predictions.rows)} videos, the control now has {len(entries)} or others; remove the "
            "file and repeat the command to score it again"
        )
