"""The sentences of a verdict: what was decided, what it rests on, what was looked at."""

from __future__ import annotations

import numpy as np

from stf_mamba.clips.records import ClipSettings, StoredVideo
from stf_mamba.core.records import Outcome, TrackScore
from stf_mamba.evaluation.calibration import Calibration
from stf_mamba.media.times import window_spans
from stf_mamba.models.heads import ClipHead, VarianceContentHead, VarianceHead

UNTRAINED = "The model is untrained: its scores say nothing about this video."
SEEN = "The model was trained or calibrated on this very file: this does not show how it would judge a new one."
UNFINISHED = "The model's training has not come to its end: this is what it has kept so far."
OFF_CENTRE = (
    "The probability is not in the middle of its interval, and need not be: it comes from all calibration videos, the "
    "interval from how it changes when other people of theirs are drawn, which can go further to one side."
)


def decision_reasons(
    outcome: Outcome,
    probability: float | None,
    interval: tuple[float, float] | None,
    calibration: Calibration | None,
) -> list[str]:
    """Why a trained model decided as it did, or decided nothing."""
    if calibration is None or probability is None or interval is None:
        return ["The run has no calibration, so its score is no probability: nothing is decided."]
    reasons = [
        f"Probability of manipulation {probability:.2f}, 90 % interval {interval[0]:.2f} to {interval[1]:.2f}, "
        f"for a video that is as likely manipulated as not before it is looked at; calibrated on "
        f"{calibration.source} ({calibration.clusters} groups of people)."
    ]
    if abs(2 * probability - sum(interval)) > (interval[1] - interval[0]) / 2:
        reasons.append(OFF_CENTRE)
    if not calibration.separates:
        low, high = calibration.auc_low, calibration.auc_high
        reasons.append(
            f"On {calibration.source} the model was not shown to separate real from manipulated better than "
            f"chance (AUC {calibration.auc:.2f}, 95 % interval {low:.2f} to {high:.2f}, nothing being chosen "
            "on the people that are scored): it decides nothing."
        )
    elif outcome is Outcome.INCONCLUSIVE:
        reasons.append("The interval reaches across one half: this evidence does not decide.")
    return reasons


def evidence_reasons(track: TrackScore, head: ClipHead) -> list[str]:
    """What the score of a face rests on: its highest-scoring clip, and the frames that stand out in it."""
    clip = max(track.clips, key=lambda scored: scored.logit)
    lowest = int(np.argmin(clip.consistency))
    reasons = []
    if isinstance(head, VarianceHead):
        deviations = (clip.log_variance - float(head.centre)) / float(head.scale)
        side = "more" if deviations >= 0 else "less"
        reasons.append(
            f"Highest-scoring face (track {track.track_id}): between {clip.start_s:.2f} and {clip.end_s:.2f} s its "
            f"consistency varies {side} than in the average training clip (log-variance {clip.log_variance:.2f}, "
            f"{deviations:+.1f} standard deviations)."
        )
    shown = f"Highest-scoring face (track {track.track_id}), from {clip.start_s:.2f} to {clip.end_s:.2f} s"
    if clip.relations:
        parts = ", ".join(f"{name} {value:+.2f}" for name, value in clip.relations.items())
        reasons.append(
            f"{shown}: this model compares parts of the picture. The average training clip has the logit "
            f"{clip.constant:.2f}; to it the comparisons add: {parts}; together {clip.logit:.2f}."
        )
    elif not isinstance(head, VarianceHead) or isinstance(head, VarianceContentHead):
        reasons.append(
            f"{shown}: this model judges by what a face looks like (also, or alone), which the consistency curve "
            "does not show."
        )
    if clip.frame_logits and max(clip.frame_logits) > min(clip.frame_logits):
        logits = np.array(clip.frame_logits)
        reasons.append(
            f"The frame with the highest logit is at {clip.times_s[logits.argmax()]:.2f} s: {logits.max():.2f}, "
            f"median {np.median(logits):.2f}."
        )
    begin = "The" if head.uses_variance else "Observed, not judged by: the"
    reasons.append(
        f"{begin} least consistent frame is at {clip.times_s[lowest]:.2f} s: cosine similarity "
        f"{clip.consistency[lowest]:.4f} to the clip's mean, median {float(np.median(clip.consistency)):.4f}."
    )
    return reasons


def coverage_reasons(video: StoredVideo, settings: ClipSettings, n_clips: int) -> list[str]:
    """What of a video was looked at, what was left out, and what its file makes uncertain.

    Args:
        n_clips: how many windows were scored, of all faces.
    """
    reasons = []
    if settings.window_s is not None:
        spans = [window_spans(track.start_s, track.end_s, settings.window_s) for track in video.tracks]
        windows = sum(len(track_spans) for track_spans in spans)
        if n_clips < windows:
            most = settings.clips_per_track
            reasons.append(
                f"{n_clips} of {windows} windows were looked at: at most {most} a face, spread over it, and "
                "none of too few frames."
            )
    if video.dropped:
        reasons.append(f"{len(video.dropped)} further face tracks were seen and not scored; they are listed.")
    if video.damaged_packets:
        reasons.append(
            f"The file is damaged (undecodable packets: {video.damaged_packets}); what could be decoded was used. "
            f"Frames that may be smeared after the damage, which can look like manipulation: "
            f"{video.frames_after_damage}."
        )
    return [*reasons, *(video.info.notes if video.info else ())]
