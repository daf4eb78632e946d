"""The verbs that train: ``stf estimate``, ``train`` and ``crossvalidate``."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from stf_mamba.cli.arguments import folder_to_write, made_by, require_dataset, whole_numbers
from stf_mamba.cli.options import (
    CacheOption,
    CacheStorageOption,
    ClipsOption,
    DatasetNameOption,
    DeviceOption,
    EncoderWeightsOption,
    FromScratchOption,
    GroupingOption,
    JsonOption,
    SettingsOption,
    SplitOption,
    Storage,
    load_split,
    open_clips,
    wrong_values_are_wrong_usage,
)
from stf_mamba.cli.progress import progress_bar, stderr, training_progress
from stf_mamba.core.errors import UsageError
from stf_mamba.core.recipe import Recipe

if TYPE_CHECKING:
    from stf_mamba.evaluation.fold_results import Comparison, FoldPredictions, Summary
    from stf_mamba.evaluation.runs import Run
    from stf_mamba.evaluation.statistics.resampling import BootstrapDifference
    from stf_mamba.training.cache.cached_items import CachePlace
    from stf_mamba.training.costs import CostEstimate

Select: TypeAlias = Literal["best", "last"]
ThresholdRule: TypeAlias = Literal["specificity", "predictive", "youden"]

RecipeArgument = Annotated[Path, typer.Argument(help="A recipe (TOML), such as one of those in recipes/.")]

GB = 1e9


def train(
    recipe: RecipeArgument,
    clips: ClipsOption,
    out: Annotated[
        Path,
        typer.Option("--out", help="The run's folder; an unfinished run there is continued.", callback=folder_to_write),
    ],
    weights: EncoderWeightsOption = None,
    from_scratch: FromScratchOption = False,
    split: SplitOption = None,
    dataset: DatasetNameOption = None,
    settings: SettingsOption = None,
    device: DeviceOption = "auto",
    cache: CacheOption = None,
    cache_storage: CacheStorageOption = "float32",
) -> None:
    """Train a recipe on prepared clips. Run it again to continue after a stop."""
    loaded = Recipe.load(recipe)
    _require_cache(cache, cache_storage)
    require_dataset(clips, dataset)
    from stf_mamba.core.distributed import is_main
    from stf_mamba.models.weights.sources import local_weights
    from stf_mamba.training.parts import TrainingOptions
    from stf_mamba.training.train import train as train_recipe

    found = None if weights is None else local_weights(weights)
    options = TrainingOptions(found, from_scratch, device, _cache_place(cache, cache_storage))
    store, manifest = open_clips(clips, dataset, settings)
    chosen = None if split is None else load_split(split, [entry.record for entry in manifest.entries])
    with training_progress() as watcher:
        run = train_recipe(loaded, store, manifest, out, options, chosen, watcher)
    if is_main():
        typer.echo(
            f"{run.folder}: {_outcome_of(run)}; "
            f"{run.environment['trainable_parameters']:,} of {run.environment['parameters']:,} parameters trained"
        )


def crossvalidate(
    recipe: RecipeArgument,
    clips: ClipsOption,
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="Folder of the cross-validation; what is missing is made.", callback=folder_to_write
        ),
    ],
    folds: Annotated[int, typer.Option("--folds", help="How many; each is held out once.", min=2)] = 5,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds of the trainings, such as 42,43,44.")] = "42",
    weights: EncoderWeightsOption = None,
    from_scratch: FromScratchOption = False,
    grouping: GroupingOption = "components",
    select: Annotated[
        Select | None,
        typer.Option("--select", help="Which epoch is scored; best, or last where every video trains."),
    ] = None,
    threshold: Annotated[
        ThresholdRule, typer.Option("--threshold", help="How the flagging threshold is chosen on validation videos.")
    ] = "specificity",
    control: Annotated[
        str | None,
        typer.Option("--control", help="A prepared data set of real videos of other people, for false positives."),
    ] = None,
    cache: CacheOption = None,
    cache_storage: CacheStorageOption = "float32",
    compare: Annotated[
        Path | None, typer.Option("--compare", help="Folder of another cross-validation of the same videos.")
    ] = None,
    dataset: DatasetNameOption = None,
    settings: SettingsOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Score each fold by models of the others. They saw nobody in it, shown or donor.

    Run it again to continue after a stop.
    """
    loaded = Recipe.load(recipe)
    _require_cache(cache, cache_storage)
    if select == "best" and loaded.data.validation == "folds":
        raise UsageError(f"{recipe} validates by folds, which keeps the last epoch; leave out --select best")
    drawn = whole_numbers("--seeds", seeds)
    require_dataset(clips, dataset)
    require_dataset(clips, control, "--control")
    if compare is not None:
        made_by("cross-validation.json", "crossvalidate", compare)
    from stf_mamba.core.distributed import is_main
    from stf_mamba.core.plotting import save_figure
    from stf_mamba.evaluation.fold_results import CrossValidation
    from stf_mamba.evaluation.fold_statistics import compare as compare_results
    from stf_mamba.evaluation.plots import plot_cross_validation
    from stf_mamba.models.weights.sources import local_weights
    from stf_mamba.training.crossvalidation import CrossValidationOptions, cross_validate
    from stf_mamba.training.parts import TrainingOptions

    with wrong_values_are_wrong_usage():
        options = CrossValidationOptions(
            folds=folds,
            seeds=drawn,
            grouping=grouping,
            select=select,
            threshold=threshold,
        )
        options.selected_by(loaded)
    found = None if weights is None else local_weights(weights)
    training = TrainingOptions(found, from_scratch, device, _cache_place(cache, cache_storage))
    store, manifest = open_clips(clips, dataset, settings)
    stranger = None if control is None else store.manifest(control)
    other = None if compare is None else CrossValidation.load(compare)  # before hours of training, not after
    if other is not None and other.summary.grouping != grouping:
        raise UsageError(f"{compare} holds out {other.summary.grouping}, this one {grouping}; give the same --grouping")
    trainings = options.folds * len(options.seeds)
    with (
        progress_bar("cross-validating", trainings, "trainings") as advance,
        training_progress() as watcher,
    ):

        def on_fold(fold: FoldPredictions) -> None:
            advance(1, f"seed {fold.seed}, fold {fold.fold}")

        result = cross_validate(loaded, store, manifest, out, options, training, stranger, watcher, on_fold)
    if not is_main():
        return
    save_figure(plot_cross_validation([result]), out / "cross-validation.png")
    if not as_json:
        _print_summary(result.summary)
    with wrong_values_are_wrong_usage():
        comparison = None if other is None else compare_results(result, other)
    if as_json:
        compared = None if comparison is None else comparison.to_json()
        typer.echo(json.dumps({"out": str(out), "summary": result.summary.to_json(), "comparison": compared}, indent=2))
        return
    if comparison is not None:
        _print_comparison(comparison)
    typer.echo(f"  {out / 'cross-validation.json'}, out-of-fold.csv, cross-validation.png")


def estimate(
    recipe: RecipeArgument,
    videos: Annotated[
        int, typer.Option("--videos", help="Videos to train on; the real ones, where all fakes are made.", min=1)
    ],
    validation: Annotated[
        int | None, typer.Option("--validation", help="Validation videos; by the recipe's fraction without it.", min=1)
    ] = None,
    real_videos: Annotated[
        int | None, typer.Option("--real-videos", help="How many train that are real, where fakes are added.", min=1)
    ] = None,
    clips_per_video: Annotated[int, typer.Option("--clips-per-video", help="Clips of each video.", min=1)] = 1,
    cache: Annotated[bool, typer.Option("--cache", help="Also with the frozen blocks' output kept on disk.")] = False,
    processes: Annotated[
        int, typer.Option("--processes", help="Devices like this one that share the training.", min=1)
    ] = 1,
    size_px: Annotated[int, typer.Option("--size", help="Side of the crops in pixels.", min=1)] = 224,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Tell what a training takes on this machine. Computed from a few steps that are measured."""
    loaded = Recipe.load(recipe)
    if cache and loaded.versions is None:
        raise UsageError(f"{recipe} draws new views in every epoch, which no cache can hold; set data.views in it")
    n_clips = _videos_of_an_epoch(loaded, videos, real_videos) * clips_per_video
    n_validation = videos * clips_per_video
    if loaded.data.validation == "part":
        fraction = loaded.data.validation_fraction
        n_validation = (validation or math.ceil(videos * fraction / (1 - fraction))) * clips_per_video
    elif validation is not None:
        raise UsageError(f"{recipe} trains on every video and scores them by folds; leave out --validation")
    from stf_mamba.training.cache.cached_items import default_cache
    from stf_mamba.training.costs import estimate_run

    cache = cache or default_cache(loaded, Path()) is not None
    stderr().print("measuring a few steps of every phase")
    with wrong_values_are_wrong_usage():
        result = estimate_run(loaded, n_clips, n_validation, device, processes, size_px)
    if cache and result.cache is None:
        raise UsageError(f"{recipe} trains every block of the encoder; there is no frozen output to keep")
    result = result if cache else replace(result, cache=None)
    if as_json:
        typer.echo(json.dumps(result.to_json(), indent=2))
    else:
        _print_estimate(result)


def _outcome_of(run: Run) -> str:
    """What a finished training is worth, by videos whose people it did not train on."""
    from stf_mamba.evaluation.metrics import auc

    out_of_fold = run.out_of_fold()
    if out_of_fold is not None:
        return f"trained on {len(out_of_fold.rows)} videos; out-of-fold {auc(out_of_fold)}"
    best = max(run.history(), key=lambda entry: (entry["validation_auc"], -entry["validation_loss"]))
    return (
        f"best epoch {best['epoch'] + 1} of {run.recipe.epochs}, validation AUC {best['validation_auc']:.4f} on "
        f"{len(run.split.validation)} videos"
    )


def _require_cache(cache: Path | None, storage: Storage) -> None:
    if cache is None and storage != "float32":
        raise UsageError(f"--cache-storage {storage} belongs to a cache; give its folder with --cache")


def _cache_place(cache: Path | None, storage: Storage) -> CachePlace | None:
    from stf_mamba.training.cache.cached_items import CachePlace

    return None if cache is None else CachePlace(cache, storage)


def _print_summary(summary: Summary) -> None:
    typer.echo(
        f"{summary.recipe} on {summary.dataset}: {summary.folds} folds × {len(summary.seeds)} seeds, "
        f"{summary.grouping} held out, {summary.select} epoch"
    )
    typer.echo("  seed  fold  epoch    AUC  validation AUC  threshold  real  fake")
    for fold in summary.by_fold:
        typer.echo(
            f"  {fold.seed:>4}  {fold.fold:>4}  {fold.epoch:>5}  {fold.auc:.3f}  {fold.validation_auc:>14.3f}  "
            f"{fold.threshold:>9.3f}  {fold.n_real:>4}  {fold.n_fake:>4}"
        )
    for figure in (summary.mean_fold_auc, summary.pooled_auc, summary.ensemble_auc):
        typer.echo(f"  {figure}")
    if summary.seed_deviation is not None:
        typer.echo(f"  standard deviation of the seeds' mean fold AUC {summary.seed_deviation:.3f}")
    typer.echo(f"  at the threshold by {summary.threshold_rule}: {summary.detection_rate}")
    typer.echo(f"  {summary.false_positive_rate}")
    typer.echo(f"  {summary.control_rate or 'control: not run'}")
    if summary.not_analysable:
        typer.echo(f"  {len(summary.not_analysable)} videos not analysable, in no figure")


def _print_comparison(comparison: Comparison) -> None:
    typer.echo(f"{comparison.name_a} − {comparison.name_b}, the same videos")
    typer.echo(f"  mean fold AUC {_difference(comparison.mean_fold_auc)}")
    typer.echo(f"  pooled AUC {_difference(comparison.ensemble_auc)}")
    test = comparison.delong
    typer.echo(
        f"  pooled AUC as if all videos were independent (DeLong) {test.difference:+.3f} "
        f"[{test.low:+.3f}, {test.high:+.3f}], p {test.p:.3f}"
    )


def _difference(found: BootstrapDifference) -> str:
    text = f"{found.value_a:.3f} − {found.value_b:.3f} = {found.difference:+.3f}"
    if found.low is None or found.high is None or found.p is None:
        return f"{text}, no interval: too few groups of people ({found.clusters})"
    return f"{text} [{found.low:+.3f}, {found.high:+.3f}], p {found.p:.3f} ({found.clusters} groups of people)"


def _videos_of_an_epoch(recipe: Recipe, videos: int, real_videos: int | None) -> int:
    """Videos that an epoch shows, with the pseudo-fakes that are made of real ones."""
    fakes = recipe.data.fakes
    if (fakes == "both") != (real_videos is not None):
        raise UsageError(
            f"data.fakes is {fakes!r} in this recipe; --real-videos N belongs to 'both', where a pseudo-fake of each "
            "of the N real videos is added"
        )
    if real_videos is not None and real_videos > videos:
        raise UsageError(f"--real-videos is {real_videos}, expected at most the {videos} of --videos")
    return videos + (real_videos or 0) if fakes != "pseudo" else 2 * videos


def _print_estimate(result: CostEstimate) -> None:
    memory = "unknown" if result.memory_bytes is None else f"{result.memory_bytes / GB:.1f} GB"
    typer.echo(
        f"{result.recipe} on {result.device} ({result.precision}, processes: {result.processes}): "
        f"{result.epochs} epochs of {result.n_clips} clips, {result.n_validation} clips to validate"
        f"{'' if result.trainings == 1 else f', in {result.trainings} trainings'}"
    )
    for number, step in enumerate(result.steps, start=1):
        typer.echo(
            f"  phase {number}: a step takes {step.step_s:.3f} s a clip, {step.prefix_s:.3f} s of it in frozen blocks; "
            f"scoring {step.scoring_s:.3f} s, augmentation and pseudo-fakes {step.making_s:.3f} s"
        )
    typer.echo(f"  training {result.training_hours:.2f} h, validation {result.validation_hours:.2f} h")
    typer.echo(
        f"  memory {memory} with {result.micro_batch} clips at once; clips on disk {result.clips_bytes / GB:.1f} GB"
    )
    if result.cache is not None:
        kept = result.cache
        typer.echo(
            f"  with a cache ({kept.views} {'version' if kept.views == 1 else 'versions'} of each clip): "
            f"{kept.disk_bytes / GB:.1f} GB, {kept.filling_hours:.2f} h to fill, "
            f"training {kept.training_hours:.2f} h"
        )
    typer.echo("  measured on drawn clips; reading from disk and talk between processes are not in it")
