"""Out-of-fold scores inside a run: what its calibration rests on where every video trains.

    RUN/folds/fold-1/                    a training without the first fold's people, complete with its own files
    RUN/folds/fold-1/predictions.csv     what it says of that fold's videos
    RUN/out-of-fold.csv                  the same of all folds, as the run's calibration uses it

With few people in the data, a validation part costs what a detector needs most: people to learn from. Here each video
is scored once by a model that saw nobody in it; the run's own model then trains on all of them, for as many epochs, and
its scores are read by the scale of those. That scale is of models that saw fewer people: the price of the scheme.

Source: Stone, "Cross-validatory choice and assessment of statistical predictions", JRSS B 1974.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from stf_mamba import distributed
from stf_mamba.cached_items import CachePlace, TokensAsStored, open_cache
from stf_mamba.clipstore import ClipStore, Manifest
from stf_mamba.datasets.people_folds import people_folds
from stf_mamba.datasets.splits import Split, grouped_folds, linked_videos, require_disjoint
from stf_mamba.errors import DatasetError, RunError
from stf_mamba.evaluation import entries_of_part, predict, protocol_stamp
from stf_mamba.predictions import Prediction, Predictions
from stf_mamba.recipe import Recipe
from stf_mamba.records import VideoRecord
from stf_mamba.runs import FOLDS, OUT_OF_FOLD, Run
from stf_mamba.training_reports import Watcher

OF_A_FOLD = ("part", "videos", "split", "split_sha256", "weights_sha256")  # what a stamp says of one fold alone


def folds_of_training(manifest: Manifest, train_ids: Sequence[str], recipe: Recipe) -> list[Split]:
    """The folds of a run's training videos that have clips: what trains, and what is held out (``test``).

    Raises:
        DatasetError: a fold, or what trains without it, would lack real or fake videos.
        LeakError: two videos of different people are the same file.
    """
    wanted = set(train_ids)
    entries = [entry for entry in manifest.entries if entry.record.video_id in wanted and entry.clips]
    records = [entry.record for entry in entries]
    files = {entry.record.video_id: entry.sha256 for entry in entries if entry.sha256 is not None}
    try:
        splits = validation_folds(records, recipe.data.folds, recipe.seed)
    except DatasetError as error:
        raise DatasetError(
            f"{len(records)} training videos cannot be scored in {recipe.data.folds} folds: {error}. In the recipe, a "
            f"larger data.validation_fraction (is {recipe.data.validation_fraction}) makes fewer folds, and "
            'data.validation = "part" does without them'
        ) from error
    for split in splits:
        require_disjoint(split, records, files)
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


def out_of_fold_scores(
    train_fold: Callable[[Path, Split], Run],
    splits: Sequence[Split],
    store: ClipStore,
    manifest: Manifest,
    run: Run,
    device: torch.device,
    watcher: Watcher,
    cache: CachePlace | None = None,
) -> Predictions:
    """Score every training video of a run by a model that saw nobody in it, or read what was scored before.

    Args:
        train_fold: trains a model into a folder by a split whose training part it uses whole; continues or returns what
            is there.
        splits: ``folds_of_training``.
        run: begun, not trained; its folder gets the result.

    Returns:
        Predictions of the training videos that have clips, in the manifest's order.

    Raises:
        RunError: the folder of a fold holds another training.
        WeightsError, UsageError, KeyboardInterrupt: as the trainings.
    """
    rows: dict[str, Prediction] = {}
    stamp: dict[str, str] = {}
    for number, split in enumerate(splits, start=1):
        folder = run.folder / FOLDS / f"fold-{number}"
        if not (folder / "predictions.csv").is_file():
            watcher.on_message(f"fold {number} of {len(splits)}: training without its {len(split.test)} videos")
        found = _scored(train_fold(folder, split), store, manifest, device, cache)
        rows.update({row.video_id: row for row in found.rows})
        stamp = found.stamp
    result = Predictions(
        tuple(rows[entry.record.video_id] for entry in manifest.entries if entry.record.video_id in rows),
        {key: value for key, value in stamp.items() if key not in OF_A_FOLD}
        | {"part": "out-of-fold scores of the training videos", "videos": str(len(rows))},
    )
    if distributed.is_main():
        result.save(run.folder / OUT_OF_FOLD)
    watcher.on_message(f"every video is scored out of fold; training on all {len(rows)}")
    return result


def _scored(
    run: Run, store: ClipStore, manifest: Manifest, device: torch.device, cache: CachePlace | None
) -> Predictions:
    """What a fold's last epoch says of the videos that it holds out, kept beside it.

    Raises:
        RunError: scores of other weights lie there.
    """
    path = run.folder / "predictions.csv"
    if path.is_file():
        found = Predictions.load(path)
        if found.stamp.get("weights_sha256") != run.weights_sha256():
            raise RunError(f"{path} was not made by the weights beside it; remove it and run the same command again")
        return found
    model = run.model(device)
    tokens_of = None
    if cache is not None and cache.storage == "float32":  # rounded tokens score nothing
        tokens_of = TokensAsStored(open_cache(cache, model, run.recipe, store), model, store)
    entries = entries_of_part(run, manifest, "test")
    stamp = protocol_stamp(run, store, manifest, "test", len(entries))
    predictions = predict(model, store, entries, run.recipe.data.frames, device, None, stamp, tokens_of=tokens_of)
    if distributed.is_main():
        predictions.save(path)
        (run.folder / "state.pt").unlink(missing_ok=True)  # what only continuing needs
    distributed.wait_for_all()
    return predictions
