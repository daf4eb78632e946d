"""Scores of stored clips, put together to scores of videos: mean over a track's clips, maximum over tracks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from stf_mamba.clipstore import ClipStore, StoredClip, StoredVideo
from stf_mamba.models.detector import ClipDetector
from stf_mamba.records import ClipScore, TrackScore, UInt8Array

CLIPS_AT_ONCE = 4
AGGREGATION = "mean logit over a track's clips, maximum over tracks"


@dataclass(frozen=True)
class ClipInput:
    """One clip on its way into the model: frames (T, H, W, 3) uint8 RGB, fetched when needed."""

    track_id: int
    times_s: tuple[float, ...]
    load: Callable[[], UInt8Array]


def score_stored_video(
    model: ClipDetector, store: ClipStore, sha256: str, frames: int, device: torch.device
) -> tuple[TrackScore, ...]:
    """Track scores of a prepared video, the most suspicious first; empty where it has no clips.

    Raises:
        ClipStoreError: a clip is missing or damaged.
    """
    video = store.video(sha256)
    inputs = [ClipInput(clip.track_id, clip.times_s, _loader(store, sha256, clip)) for clip in video.clips]
    return score_tracks(model, video, inputs, frames, device)


def score_tracks(
    model: ClipDetector, video: StoredVideo, inputs: Iterable[ClipInput], frames: int, device: torch.device
) -> tuple[TrackScore, ...]:
    """Track scores (without probabilities) of a video's clips, the most suspicious track first."""
    faces = {track.id: track.faces for track in video.tracks}
    by_track: dict[int, list[ClipScore]] = {}
    remaining = iter(inputs)
    while batch := list(islice(remaining, CLIPS_AT_ONCE)):
        for clip, score in zip(batch, score_clips(model, batch, frames, device), strict=True):
            by_track.setdefault(clip.track_id, []).append(score)
    tracks = [
        TrackScore(track_id, float(np.mean([clip.logit for clip in clips])), None, tuple(clips), faces[track_id])
        for track_id, clips in by_track.items()
    ]
    return tuple(sorted(tracks, key=lambda track: -track.logit))


def score_clips(model: ClipDetector, clips: Sequence[ClipInput], frames: int, device: torch.device) -> list[ClipScore]:
    """The model's scores of clips, in float32 (the variance of small differences does not bear less)."""
    chosen = [thin(len(clip.times_s), frames) for clip in clips]
    batch = torch.stack([to_tensor(clip.load(), indices) for clip, indices in zip(clips, chosen, strict=True)])
    with torch.inference_mode():
        output = model(batch.to(device))
    scores = []
    for number, (clip, indices) in enumerate(zip(clips, chosen, strict=True)):
        times_s = tuple(clip.times_s[index] for index in indices)
        scores.append(
            ClipScore(
                times_s[0],
                times_s[-1],
                float(output.logit[number]),
                float(output.log_variance[number]),
                tuple(output.consistency[number].tolist()),
                times_s,
            )
        )
    return scores


def video_score(tracks: Sequence[TrackScore]) -> float | None:
    """The largest track logit, because a mean would dilute one swapped face among several; ``None`` of nothing."""
    return max((track.logit for track in tracks), default=None)


def thin(available: int, wanted: int) -> list[int]:
    """``wanted`` of ``available`` frame indices, evenly spread, first and last included.

    Raises:
        ValueError: fewer frames are available than wanted.
    """
    if wanted > available:
        raise ValueError(f"clips of {available} frames cannot give {wanted}; prepare clips with --frames {wanted}")
    return [int(index) for index in np.linspace(0, available - 1, wanted).round()]


def to_tensor(frames: UInt8Array, indices: Sequence[int]) -> Tensor:
    """Frames (T, H, W, 3) as a tensor (len(indices), 3, H, W) uint8."""
    return torch.from_numpy(np.ascontiguousarray(frames[list(indices)])).permute(0, 3, 1, 2)


def _loader(store: ClipStore, sha256: str, clip: StoredClip) -> Callable[[], UInt8Array]:
    return lambda: store.frames(sha256, clip)
