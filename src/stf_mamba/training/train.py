"""Training a recipe: what must hold first, the folds where every video trains, and the loop that does it.

A run keeps its best epoch by validation AUC. Where every video trains (``data.validation = "folds"``), the loop first
trains a model for each fold, and each of these trainings keeps its last epoch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from stf_mamba.clips.records import Manifest
from stf_mamba.clips.store import ClipStore
from stf_mamba.core import distributed
from stf_mamba.core.environment import choose_device
from stf_mamba.core.errors import RunError
from stf_mamba.core.locks import sole_use
from stf_mamba.core.recipe import Recipe
from stf_mamba.datasets.splits import Split
from stf_mamba.evaluation.runs import Run
from stf_mamba.training.cache.cached_items import default_cache
from stf_mamba.training.fold_plan import folds_of_training
from stf_mamba.training.loop import run_training
from stf_mamba.training.out_of_fold import out_of_fold_scores
from stf_mamba.training.parts import TrainingJob, TrainingOptions
from stf_mamba.training.requirements import checked_split, require_frames, require_weights
from stf_mamba.training.run_folder import KEPT, has_state
from stf_mamba.training.watcher import Watcher


def train(
    recipe: Recipe,
    store: ClipStore,
    manifest: Manifest,
    out: str | os.PathLike[str],
    options: TrainingOptions | None = None,
    split: Split | None = None,
    watcher: Watcher | None = None,
) -> Run:
    """Train what a recipe describes, or continue where an earlier call with the same arguments stopped.

    Args:
        store: prepared clips.
        manifest: the data set whose videos they are.
        out: the run's folder.
        options: what the recipe leaves open; ``None`` for the options' own defaults.
        split: ``None`` draws an identity-disjoint split from the recipe's seed and validation fraction, or takes every
            video for training where the recipe's validation is by folds; a given split's validation part is then left
            out of everything.
        watcher: gets progress; ``None`` for silence.

    Returns:
        The complete run.

    Raises:
        DatasetError, LeakError: too little to train on, or a split that shares people between its parts.
        RecipeError: the recipe names something that does not exist or does not fit together.
        WeightsError: no encoder weights where some are meant, or weights that do not fit.
        RunError: ``out`` holds another run, another process works there, or the loss is no longer finite.
        UsageError: a cache that the recipe's endless views cannot fill, or that the disk has no room for.
        KeyboardInterrupt: after the state was saved; the same call continues at the next step.
    """
    options, watcher = options or TrainingOptions(), watcher or Watcher()
    with distributed.process_group(choose_device(options.device)) as device:
        require_weights(recipe, Path(out), options.encoder_weights, options.from_scratch)
        require_frames(recipe, store)
        split = checked_split(split, recipe, manifest, watcher.on_message)
        folds = folds_of_training(manifest, split.train, recipe) if recipe.data.validation == "folds" else []
        options = replace(options, cache=options.cache or default_cache(recipe, Path(out)))
        job = TrainingJob(recipe, store, manifest, options, device, watcher)
        with _sole_use_of_all(Path(out)):
            return _trained(job, Path(out), split, folds)


@contextmanager
def _sole_use_of_all(out: Path) -> Iterator[None]:
    """``sole_use`` by all processes of a group: the main one holds the folder; where it cannot, all of them end."""
    with ExitStack() as held:
        refusal: RunError | None = None
        if distributed.is_main():
            try:
                held.enter_context(sole_use(out, RunError, KEPT))
            except RunError as error:
                refusal = error
        refused = distributed.gather({str(distributed.rank()): refusal is not None})
        if refusal is not None:
            raise refusal
        if any(refused.values()):
            raise SystemExit(RunError.exit_code)  # the main process says why
        yield


def _trained(job: TrainingJob, out: Path, split: Split, folds: Sequence[Split]) -> Run:
    model, run = job.open(out, split)
    if run.is_complete:
        job.watcher.on_message(f"{run.folder} is complete already; nothing to train")
        return run
    scores = run.out_of_fold() if has_state(run.folder) else None  # the last training comes after all folds
    if folds and scores is None:
        scores = out_of_fold_scores(job, folds, run)
    job.watcher.on_training(len(folds) + 1, len(folds) + 1)
    return run_training(job, run, model, scores)
