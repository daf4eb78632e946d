"""A trained run and prepared clips in, ``predictions.csv`` with its protocol stamp out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from stf_mamba.clips.records import Manifest, ManifestEntry
from stf_mamba.clips.store import ClipStore
from stf_mamba.core import distributed
from stf_mamba.core.environment import choose_device
from stf_mamba.core.records import Outcome, TrackScore
from stf_mamba.datasets.drawn import is_drawn
from stf_mamba.evaluation.calibration import Calibration
from stf_mamba.evaluation.predictions import Prediction, Predictions
from stf_mamba.evaluation.protocol import Part, entries_of_part, protocol_stamp, require_same_clips
from stf_mamba.evaluation.runs import Run
from stf_mamba.evaluation.scoring import TokensOf, score_stored_video, video_score
from stf_mamba.models.clip_detector import ClipDetector


def evaluate(
    run: Run,
    store: ClipStore,
    manifest: Manifest,
    part: Part = "all",
    device: str = "auto",
    on_video: Callable[[str], None] = lambda video_id: None,
) -> Predictions:
    """Score the videos of a prepared data set with a trained run; under ``torchrun`` the processes share the work.

    A run that learned from drawings decides nothing about other videos: their outcomes are inconclusive.

    Args:
        part: a part of the run's own split, or ``all`` videos of a data set that the run has never seen.
        on_video: called with the id of each video as this process is done with it.

    Raises:
        UsageError: the clips were made with other settings than the run's, or the part is empty.
        LeakError: ``all`` holds videos or people that the run was trained or selected on.
        RunError, WeightsError, ClipStoreError: the run or the clips cannot be read.
        ModelError: the model gives no number for a clip.
    """
    require_same_clips(run, store)
    entries = entries_of_part(run, manifest, part)
    stamp = protocol_stamp(run, store, manifest, part, len(entries))
    frames, calibration = run.recipe.data.frames, run.calibration()
    if run.is_drawn and not all(is_drawn(entry.record.video_id) for entry in entries):
        calibration = None
    with distributed.process_group(choose_device(device)) as chosen:
        model = run.model(chosen)
        return predict(
            model, store, entries, frames, chosen, calibration, stamp, lambda video_id, tracks: on_video(video_id)
        )


def predict(
    model: ClipDetector,
    store: ClipStore,
    entries: Sequence[ManifestEntry],
    frames: int,
    device: torch.device,
    calibration: Calibration | None,
    stamp: dict[str, str],
    on_video: Callable[[str, tuple[TrackScore, ...]], None] = lambda video_id, tracks: None,
    tokens_of: TokensOf | None = None,
) -> Predictions:
    """Predictions for prepared videos; every process of a group takes its share and gets all of them.

    Args:
        on_video: called with the id and the tracks (the most suspicious first, none where there are no clips) of each
            video of this process's share.
        tokens_of: gives the tokens of the frozen blocks for a stored clip, where they are cached.
    """
    model.eval()
    mine: dict[str, Prediction] = {}
    for entry in distributed.share(entries):
        tracks: tuple[TrackScore, ...] = ()
        if entry.reason is None:
            assert entry.sha256 is not None
            tracks = score_stored_video(model, store, entry.sha256, frames, device, tokens_of)
        mine[entry.record.video_id] = _prediction(entry, tracks, calibration)
        on_video(entry.record.video_id, tracks)
    rows = distributed.gather(mine)
    return Predictions(tuple(rows[entry.record.video_id] for entry in entries), stamp)


def _prediction(entry: ManifestEntry, tracks: tuple[TrackScore, ...], calibration: Calibration | None) -> Prediction:
    record, score = entry.record, video_score(tracks)
    return Prediction(
        record.video_id,
        str(record.path),
        record.label,
        record.identities,
        record.method,
        record.compression,
        score,
        outcome_of(score, calibration),
        sum(len(track.clips) for track in tracks),
    )


def outcome_of(score: float | None, calibration: Calibration | None) -> Outcome:
    """The outcome of a video's score; without a calibration nothing can be decided."""
    if score is None:
        return Outcome.NOT_ANALYSABLE
    return Outcome.INCONCLUSIVE if calibration is None else calibration.outcome(score)
