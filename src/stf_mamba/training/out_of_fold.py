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

from collections.abc import Sequence
from pathlib import Path

from stf_mamba.core import distributed
from stf_mamba.core.errors import RunError
from stf_mamba.datasets.splits import Split
from stf_mamba.evaluation.evaluate import predict
from stf_mamba.evaluation.predictions import Prediction, Predictions
from stf_mamba.evaluation.protocol import entries_of_part, protocol_stamp
from stf_mamba.evaluation.runs import FOLDS, OUT_OF_FOLD, STATE, Run
from stf_mamba.training.cache.cached_items import tokens_to_score
from stf_mamba.training.loop import run_training
from stf_mamba.training.parts import TrainingJob
from stf_mamba.training.requirements import require_weights

PREDICTIONS = "predictions.csv"
OF_A_FOLD = ("part", "videos", "split", "split_sha256", "weights_sha256")  # what a stamp says of one fold alone


def out_of_fold_scores(job: TrainingJob, splits: Sequence[Split], run: Run) -> Predictions:
    """Score every training video of a run by a model that saw nobody in it, or read what was scored before.

    Args:
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
        job.watcher.on_training(number, len(splits) + 1)
        folder = run.folder / FOLDS / f"fold-{number}"
        if not (folder / PREDICTIONS).is_file():
            job.watcher.on_message(f"fold {number} of {len(splits)}: training without its {len(split.test)} videos")
        found = _scored(job, _trained(job, folder, split))
        rows.update({row.video_id: row for row in found.rows})
        stamp = found.stamp
    result = Predictions(
        tuple(rows[entry.record.video_id] for entry in job.manifest.of(rows)),
        {key: value for key, value in stamp.items() if key not in OF_A_FOLD}
        | {"part": "out-of-fold scores of the training videos", "videos": str(len(rows))},
    )
    if distributed.is_main():
        result.save(run.folder / OUT_OF_FOLD)
    job.watcher.on_message(f"every video is scored out of fold; training on all {len(rows)}")
    return result


def _trained(job: TrainingJob, folder: Path, split: Split) -> Run:
    """A training on the whole training part of a split, continued or found complete. It keeps the last epoch and
    calibrates nothing.

    Raises:
        WeightsError: it would start without the encoder's weights.
    """
    require_weights(job.recipe, folder, job.options.encoder_weights, job.options.from_scratch)
    model, run = job.open(folder, split)
    return run if run.is_complete else run_training(job, run, model)


def _scored(job: TrainingJob, run: Run) -> Predictions:
    """What a fold's last epoch says of the videos that it holds out, kept beside it.

    Raises:
        RunError: scores of other weights lie there.
    """
    path = run.folder / PREDICTIONS
    if path.is_file():
        found = Predictions.load(path)
        if found.stamp.get("weights_sha256") != run.weights_sha256():
            raise RunError(f"{path} was not made by the weights beside it; remove it and run the same command again")
        return found
    model = run.model(job.device)
    tokens_of = tokens_to_score(job.options.cache, model, job.recipe, job.store)
    entries = entries_of_part(run, job.manifest, "test")
    stamp = protocol_stamp(run, job.store, job.manifest, "test", len(entries))
    frames = job.recipe.data.frames
    predictions = predict(model, job.store, entries, frames, job.device, None, stamp, tokens_of=tokens_of)
    if distributed.is_main():
        predictions.save(path)
        (run.folder / STATE).unlink(missing_ok=True)  # what only continuing needs
    distributed.wait_for_all()
    return predictions
