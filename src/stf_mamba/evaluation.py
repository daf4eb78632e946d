"""A trained run and prepared clips in, ``predictions.csv`` with its protocol stamp out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch

from stf_mamba.calibration import Calibration
from stf_mamba.clips.records import ClipSettings, Manifest, ManifestEntry
from stf_mamba.clips.store import ClipStore
from stf_mamba.core import distributed
from stf_mamba.core.environment import choose_device, versions
from stf_mamba.core.errors import LeakError, UsageError
from stf_mamba.core.records import Outcome, TrackScore
from stf_mamba.datasets.drawn import is_drawn
from stf_mamba.datasets.protocols import PUBLISHED_LEAKS
from stf_mamba.models.clip_detector import ClipDetector
from stf_mamba.predictions import Prediction, Predictions
from stf_mamba.runs import OUT_OF_FOLD, Run
from stf_mamba.scoring import AGGREGATION, TokensOf, score_stored_video, video_score

Part = Literal["train", "validation", "test", "all"]

# What chose the epoch whose weights a run keeps, by ``data.validation``.
NOTHING_SELECTED = "nothing, the last epoch"
SELECTED_ON = {"part": "validation part of the training data", "folds": NOTHING_SELECTED}


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
    """
    _require_same_clips(run, store)
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


def clips_for(run: Run, root: Path) -> ClipStore:
    """The clips under ``root`` that were made with the run's settings.

    Raises:
        UsageError: there are none.
    """
    store = ClipStore(root, run.clip_settings)
    if not store.exists:
        raise UsageError(
            f"{root} holds no clips made with the settings of the run {run.folder}; "
            f"prepare this data set with them: stf prepare --like {run.folder} --out {root} ..."
        )
    return store


def natural_part(run: Run, manifest: Manifest) -> Part:
    """The part to evaluate when none was named: the run's own test or else validation part, all of other data."""
    ids = {entry.record.video_id for entry in manifest.entries}
    for part in ("test", "validation"):
        if ids.intersection(run.split.parts[part]):
            return "test" if part == "test" else "validation"
    return "all"


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


def entries_of_part(run: Run, manifest: Manifest, part: Part) -> list[ManifestEntry]:
    """The videos that an evaluation of this part scores.

    Raises:
        UsageError: there are none.
        LeakError: ``all`` holds videos or people that the run was trained or selected on.
    """
    if part == "all":
        _require_unseen(run, manifest.name, manifest.entries)
        return list(manifest.entries)
    entries = manifest.of(run.split.parts[part])
    if manifest.name != run.environment.get("dataset"):  # the audit before training saw its own data set only
        _require_unseen(run, manifest.name, entries)
    if not entries:
        raise UsageError(
            f"no video of {manifest.name} is in the {part} part of the run's split; "
            "use --part all for a data set that the run was not trained on"
        )
    return entries


def protocol_stamp(run: Run, store: ClipStore, manifest: Manifest, part: Part, videos: int) -> dict[str, str]:
    """What makes two published numbers comparable or not, as text."""
    settings = store.settings
    return {
        "dataset": manifest.name,
        "part": part,
        "videos": str(videos),
        "level": "video",
        "aggregation": AGGREGATION,
        "score": "logit, higher is more suspicious",
        "frames": f"{run.recipe.data.frames} of {settings.frames}, {settings.sampling}",
        **clip_stamp(settings),
        "trained_on": str(run.environment.get("dataset")),
        "selected_on": SELECTED_ON[run.recipe.data.validation],
        "training_complete": str(run.is_complete),
        "split": run.split.name,
        "split_leaks_by_its_rules": ", ".join(PUBLISHED_LEAKS.get(run.split.name, ())) or "none",
        "split_sha256": run.split.sha256,
        "weights_sha256": run.weights_sha256(),
        "recipe": run.recipe.name,
        "seed": str(run.recipe.seed),
        "versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
    }


def clip_stamp(settings: ClipSettings) -> dict[str, str]:
    """The part of a stamp that says how clips were cut, as text."""
    return {
        "window_s": str(settings.window_s),
        "clips_per_track": str(settings.clips_per_track),
        "crop_margin": str(settings.faces.margin),
        "aligned": str(settings.faces.align),
        "crop_px": str(settings.faces.size_px),
        "face_detector": settings.detector,
        "clip_settings": settings.key,
    }


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


def _require_same_clips(run: Run, store: ClipStore) -> None:
    if store.settings != run.clip_settings:
        raise UsageError(
            f"the clips in {store.root} were made with settings {store.settings.key}, the run {run.folder} was trained "
            f"on settings {run.clip_settings.key}; prepare this data set with the run's settings: "
            f"stf prepare --like {run.folder} ..."
        )


def _require_unseen(run: Run, name: str, entries: Sequence[ManifestEntry]) -> None:
    """A figure on videos or people that were trained or selected on says nothing about others."""
    known_videos = {*run.split.train, *run.split.validation}
    known_people = set(run.environment.get("identities", ()))
    seen = [
        entry.record.video_id
        for entry in entries
        if entry.record.video_id in known_videos or known_people.intersection(entry.record.identities)
    ]
    if seen:
        instead = "evaluate with --part validation or --part test"
        own = name == run.environment.get("dataset")
        if own and run.recipe.data.validation == "folds" and not (run.split.validation or run.split.test):
            instead = f"every video trained; {run.folder / OUT_OF_FOLD} has what models say that saw nobody in it"
        raise LeakError(
            f"{len(seen)} of {len(entries)} videos of {name} (such as {seen[0]}) show people that "
            f"the run was trained or selected on; {instead}"
        )
