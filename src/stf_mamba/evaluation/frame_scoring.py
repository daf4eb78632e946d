"""Scores of single frames, for models that judge every frame by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from stf_mamba.core.numbers import require_finite
from stf_mamba.core.records import Outcome
from stf_mamba.evaluation.predictions import Prediction, Predictions

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from stf_mamba.clips.records import ManifestEntry
    from stf_mamba.clips.store import ClipStore
    from stf_mamba.evaluation.scoring import ClipInput
    from stf_mamba.models.clip_detector import ClipDetector


def predict_frames(
    model: ClipDetector,
    store: ClipStore,
    entries: Sequence[ManifestEntry],
    frames: int,
    device: torch.device,
    stamp: dict[str, str],
) -> Predictions:
    """One row for each scored frame of each video's clips, so that ``metrics.auc`` gives a frame-level AUC.

    A row's ``video_id`` is ``VIDEO#track-K@SECONDS``; label, people and method are its video's, and the score is the
    frame's logit. Videos without clips have no row.

    Args:
        frames: how many of a clip's frames are scored, as in training.

    Raises:
        ValueError: the model does not judge frames singly.
        ModelError: it gives no number for a frame.
        ClipStoreError: a clip is missing or damaged.
    """
    _require_frame_level(model)
    model.eval()
    rows = [row for entry in entries if entry.reason is None for row in _rows(model, store, entry, frames, device)]
    return Predictions(tuple(rows), {**stamp, "score": "logit of one frame; higher is more suspicious"})


def frame_logits(model: ClipDetector, frames: Tensor) -> Tensor:
    """Logits (B, T), float32, of the frames (B, T, 3, H, W) of B clips, uint8 or floats in [0, 1]; RGB.

    Raises:
        ValueError: the model does not judge frames singly.
    """
    _require_frame_level(model)
    logits = model.head.frame_logits(model.embeddings(frames))
    assert logits is not None
    return logits


def _require_frame_level(model: ClipDetector) -> None:
    from torch import nn

    from stf_mamba.models.heads import FrameMeanHead

    judges_frames = isinstance(model.head, FrameMeanHead) and isinstance(model.projection, nn.Identity)
    if not judges_frames or len(model.temporal.mixers) > 0:
        raise ValueError(
            f"a model with the head {type(model.head).__name__} and {len(model.temporal.mixers)} mixers does not judge "
            "frames singly; frame-level rows have the head frame_mean and temporal.layers = 0"
        )


def _rows(
    model: ClipDetector, store: ClipStore, entry: ManifestEntry, frames: int, device: torch.device
) -> Iterator[Prediction]:
    from stf_mamba.evaluation.scoring import CLIPS_AT_ONCE, ClipInput

    assert entry.sha256 is not None
    clips = store.video(entry.sha256).clips
    inputs = iter([ClipInput(clip.track_id, clip.times_s, partial(store.frames, entry.sha256, clip)) for clip in clips])
    while batch := list(islice(inputs, CLIPS_AT_ONCE)):
        for clip, times_s, logits in _scored(model, batch, frames, device):
            for time_s, logit in zip(times_s, logits, strict=True):
                yield _prediction(entry, f"#track-{clip.track_id}@{time_s:.3f}", logit)


def _scored(
    model: ClipDetector, clips: Sequence[ClipInput], frames: int, device: torch.device
) -> Iterator[tuple[ClipInput, list[float], list[float]]]:
    """Each clip with its scored frames' times in seconds and logits."""
    import torch

    from stf_mamba.evaluation.scoring import gives_no_number, thin, to_tensor

    chosen = [thin(len(clip.times_s), frames) for clip in clips]
    batch = torch.stack([to_tensor(clip.load(), at) for clip, at in zip(clips, chosen, strict=True)])
    with torch.inference_mode():
        logits = frame_logits(model, batch.to(device)).cpu()  # (B, T)
    try:
        require_finite("the frames' logits", logits.float().numpy())
    except ValueError as error:
        raise gives_no_number(str(error)) from error
    for clip, at, of_clip in zip(clips, chosen, logits, strict=True):
        yield clip, [clip.times_s[index] for index in at], of_clip.tolist()


def _prediction(entry: ManifestEntry, place: str, logit: float) -> Prediction:
    record = entry.record
    return Prediction(
        video_id=record.video_id + place,
        path=record.path.as_posix(),
        label=record.label,
        identities=record.identities,
        method=record.method,
        compression=record.compression,
        score=logit,
        outcome=Outcome.INCONCLUSIVE,
        n_clips=1,
    )
