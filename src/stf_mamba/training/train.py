"""Training a recipe: what must hold first, the folds where every video trains, and the loop that does it.

A run keeps its best epoch by validation AUC. Where every video trains (``data.validation = "folds"``), the loop first
trains a model for each fold, and each of these trainings keeps its last epoch.
"""

from __future__ import annotations

import os
from pathlib import Path

from stf_mamba.clips.records import Manifest
from stf_mamba.clips.store import ClipStore
from stf_mamba.core import distributed
from stf_mamba.core.environment import choose_device
from stf_mamba.core.recipe import Recipe
from stf_mamba.datasets.splits import Split
from stf_mamba.evaluation.runs import Run
from stf_mamba.training.cache.cached_items import CachePlace, default_cache
from stf_mamba.training.cache.prefix_cache import StorageType
from stf_mamba.training.fold_plan import folds_of_training
from stf_mamba.training.loop import TrainingJob, TrainingLoop
from stf_mamba.training.out_of_fold import out_of_fold_scores
from stf_mamba.training.requirements import checked_split, require_frames, require_weights
from stf_mamba.training.run_folder import has_state
from stf_mamba.training.watcher import Watcher


def train(
    recipe: Recipe,
    store: ClipStore,
    manifest: Manifest,
    out: str | os.PathLike[str],
    encoder_weights: str | os.PathLike[str] | None = None,
    from_scratch: bool = False,
    split: Split | None = None,
    device: str = "auto",
    watcher: Watcher | None = None,
    cache: str | os.PathLike[str] | None = None,
    cache_storage: StorageType = "float32",
) -> Run:
    """Train what a recipe describes, or continue where an earlier call with the same arguments stopped.

    Args:
        store, manifest: prepared clips and the data set whose videos they are.
        out: the run's folder.
        encoder_weights: file of the pretrained encoder; only a fresh start reads it, of a fold's training as well.
        from_scratch: start an encoder that is meant to be pretrained from random values instead.
        split: ``None`` draws an identity-disjoint split from the recipe's seed and validation fraction, or takes every
            video for training where the recipe's validation is by folds; a given split's validation part is then left
            out of everything.
        watcher: gets progress; ``None`` for silence.
        cache: folder in which the output of the encoder's frozen blocks is kept, computed once for every augmented view
            and shared between runs. In float32 on a CPU the result is the same bit by bit as without; under autocast
            the frozen blocks run in float32, more exactly than without. ``None`` keeps none, except of relations, which
            are small and slow to compute: theirs lies in ``out/cache``.
        cache_storage: type in which it is kept; a shorter one costs precision, and how much is told.

    Returns:
        The complete run.

    Raises:
        DatasetError, LeakError: too little to train on, or a split that shares people between its parts.
        RecipeError: the recipe names something that does not exist or does not fit together.
        WeightsError: no encoder weights where some are meant, or weights that do not fit.
        RunError: ``out`` holds another run, or the loss is no longer finite.
        UsageError: a cache that the recipe's endless views cannot fill, or that the disk has no room for.
        KeyboardInterrupt: after the state was saved; the same call continues at the next step.
    """
    with distributed.process_group(choose_device(device)) as chosen:
        require_weights(recipe, Path(out), encoder_weights, from_scratch)
        watcher = watcher or Watcher()
        require_frames(recipe, store)
        split = checked_split(split, recipe, manifest, watcher.on_message)
        folds = folds_of_training(manifest, split.train, recipe) if recipe.data.validation == "folds" else []
        place = default_cache(recipe, Path(out)) if cache is None else CachePlace(Path(cache), cache_storage)
        job = TrainingJob(recipe, store, manifest, encoder_weights, from_scratch, chosen, watcher, place)
        model, run = job.open(Path(out), split)
        if run.is_complete:
            watcher.on_message(f"{run.folder} is complete already; nothing to train")
            return run
        scores = run.out_of_fold() if has_state(run.folder) else None  # the last training comes after all folds
        if folds and scores is None:
            scores = out_of_fold_scores(job, folds, run)
        watcher.on_training(len(folds) + 1, len(folds) + 1)
        return TrainingLoop(job, run, model, scores).run_to_end()
