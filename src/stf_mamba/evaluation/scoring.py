"""Scores of stored clips, put together to scores of videos: mean over a track's clips, maximum over tracks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from stf_mamba.clips.records import StoredClip, StoredVideo
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.errors import ModelError
from stf_mamba.core.numbers import require_finite
from stf_mamba.core.records import ClipScore, TrackScore, UInt8Array
from stf_mamba.models.clip_detector import ClipDetector

CLIPS_AT_ONCE = 4
AGGREGATION = "mean logit over a track's clips, maximum over tracks"


# Tokens (T, L, D) of the frozen blocks for a video's hash and one of its clips, thinned to the frames that are scored.
TokensOf = Callable[[str, StoredClip], Tensor]


@dataclass(frozen=True)
class ClipInput:
    """One clip on its way into the model: what is needed is fetched when needed.

    Attributes:
        load: gives the frames (T, H, W, 3) uint8 RGB.
        tokens: gives the tokens of the frozen blocks instead, where they are cached; all clips of a video or none.
    """

    track_id: int
    times_s: tuple[float, ...]
    load: Callable[[], UInt8Array]
    tokens: Callable[[], Tensor] | None = None


def score_stored_video(
    model: ClipDetector,
    store: ClipStore,
    sha256: str,
    frames: int,
    device: torch.device,
    tokens_of: TokensOf | None = None,
) -> tuple[TrackScore, ...]:
    """Track scores of a prepared video, the most suspicious first; empty where it has no clips.

    Args:
        tokens_of: gives the tokens of the frozen blocks for a stored clip, where they are cached.

    Raises:
        ClipStoreError: a clip is missing or damaged.
    """
    video = store.video(sha256)
    inputs = [
        ClipInput(
            clip.track_id,
            clip.times_s,
            partial(store.frames, sha256, clip),
            None if tokens_of is None else partial(tokens_of, sha256, clip),
        )
        for clip in video.clips
    ]
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
    """The model's scores of clips, in float32 (the variance of small differences does not bear less).

    Raises:
        ModelError: it gives no number for one of them.
    """
    chosen = [thin(len(clip.times_s), frames) for clip in clips]
    with torch.inference_mode():
        tokens = [clip.tokens() for clip in clips if clip.tokens is not None]
        if tokens:
            embeddings = model.embeddings_of_tokens(torch.stack(tokens).to(device))
        else:
            batch = [to_tensor(clip.load(), indices) for clip, indices in zip(clips, chosen, strict=True)]
            embeddings = model.embeddings(torch.stack(batch).to(device))
        try:
            mixed = model.mixed(embeddings)  # the mixers refuse values that are not finite
            output, evidence = model.judged(mixed), model.evidence(mixed)
            require_finite("the clips' logits", output.logit.float().cpu().numpy())
        except ValueError as error:
            raise gives_no_number(str(error)) from error
    scores = []
    for number, (clip, indices) in enumerate(zip(clips, chosen, strict=True)):
        times_s = tuple(clip.times_s[index] for index in indices)
        frame_logits, relations = (None if of_all is None else of_all[number] for of_all in evidence)
        scores.append(
            ClipScore(
                times_s[0],
                times_s[-1],
                float(output.logit[number]),
                float(output.log_variance[number]),
                tuple(output.consistency[number].tolist()),
                times_s,
                () if frame_logits is None else tuple(frame_logits.tolist()),
                {} if relations is None else dict(zip(model.encoder.relations, relations.tolist(), strict=True)),
            )
        )
    return scores


def gives_no_number(reason: str) -> ModelError:
    """The error of a model that gives something else than finite logits: never a score."""
    return ModelError(
        f"the model gives no number: {reason}; its weights are damaged or its training diverged: take another run, or "
        "train again with lower rates"
    )


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
