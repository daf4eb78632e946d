"""What one epoch's weights make of the validation videos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from stf_mamba.clips.records import ManifestEntry
from stf_mamba.clips.store import ClipStore
from stf_mamba.core import distributed
from stf_mamba.core.records import FAKE, TrackScore
from stf_mamba.evaluation.evaluate import predict
from stf_mamba.evaluation.metrics import arrays
from stf_mamba.evaluation.predictions import Predictions
from stf_mamba.evaluation.scoring import TokensOf
from stf_mamba.evaluation.statistics.auc import area_under_roc
from stf_mamba.models.clip_detector import ClipDetector


@dataclass(frozen=True)
class Validation:
    """Predictions, and what an epoch is judged by.

    Attributes:
        loss: cross entropy in nats, mean over the videos of each class, then over both.
        auc: video-level area under the ROC curve.
        log_variance_gap: mean log-variance of the fake minus that of the real videos' worst tracks.
    """

    predictions: Predictions
    loss: float
    auc: float
    log_variance_gap: float


def validate(
    model: ClipDetector,
    store: ClipStore,
    entries: Sequence[ManifestEntry],
    frames: int,
    device: torch.device,
    on_video: Callable[[], None] = lambda: None,
    tokens_of: TokensOf | None = None,
) -> Validation:
    """Score validation videos of both classes, shared out over the processes; all of them get the same result.

    Args:
        tokens_of: gives the tokens of the frozen blocks for a stored clip, where they are cached.

    Raises:
        ModelError: the model gives values that are not finite.
    """
    mine: dict[str, float] = {}

    def note(video_id: str, tracks: tuple[TrackScore, ...]) -> None:
        on_video()
        if tracks:
            of_clips = [clip.log_variance for clip in tracks[0].clips]  # the worst track comes first
            mine[video_id] = sum(of_clips) / len(of_clips)

    predictions = predict(model, store, entries, frames, device, None, {}, note, tokens_of)
    log_variances = distributed.gather(mine)
    scored = predictions.scored()
    scores, labels = arrays(scored)
    logits, fake = torch.from_numpy(scores), torch.from_numpy(labels) == FAKE
    losses = F.binary_cross_entropy_with_logits(logits, fake.double(), reduction="none")
    observed = torch.tensor([log_variances[row.video_id] for row in scored], dtype=torch.float64)
    return Validation(
        predictions,
        loss=float((losses[~fake].mean() + losses[fake].mean()) / 2),
        auc=area_under_roc(scores, labels, torch.ones(len(scores), dtype=torch.float64).numpy()),
        log_variance_gap=float(observed[fake].mean() - observed[~fake].mean()),
    )
