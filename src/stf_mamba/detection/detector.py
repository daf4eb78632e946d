"""A video in, a verdict out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from stf_mamba.clips.cutting import cut_clips
from stf_mamba.clips.planning import ClipRequest, find_clips
from stf_mamba.clips.records import ClipSettings, StoredVideo
from stf_mamba.core.environment import choose_device, versions
from stf_mamba.core.errors import RunError, VideoError
from stf_mamba.core.files import sha256_of
from stf_mamba.core.recipe import Recipe
from stf_mamba.core.records import Clip, Outcome, TrackScore, Verdict
from stf_mamba.datasets.drawn import KNOWS_DRAWINGS_ONLY
from stf_mamba.detection.reasons import (
    SEEN,
    UNFINISHED,
    UNTRAINED,
    coverage_reasons,
    decision_reasons,
    evidence_reasons,
)
from stf_mamba.evaluation.calibration import Calibration
from stf_mamba.evaluation.evaluate import outcome_of
from stf_mamba.evaluation.runs import Run
from stf_mamba.evaluation.scoring import AGGREGATION, CLIPS_AT_ONCE, ClipInput, score_tracks, video_score
from stf_mamba.faces.detectors import FaceDetector, load_face_detector
from stf_mamba.models.clip_detector import ClipDetector, build_detector
from stf_mamba.models.weights.loading import load_encoder_weights


class Detector:
    """A model, how its clips are made, and how its scores become probabilities; made by ``load_detector``.

    Args:
        model: in evaluation mode on ``device``.
        settings: of the clips, as in training.
        frames: frames of a clip that the model sees.
        calibration: score → probability; ``None`` makes every scored video inconclusive.
        model_facts: what the verdict's provenance says of the model. One that is ``drawn`` learned from drawings:
            its verdicts say so, are always inconclusive and give no probability.
        is_trained: an untrained model's verdicts say so and are always inconclusive.
        known_files: sha256 of the videos that it was trained or calibrated on; their verdicts say so.
    """

    def __init__(
        self,
        model: ClipDetector,
        settings: ClipSettings,
        frames: int,
        face_detector: FaceDetector,
        calibration: Calibration | None,
        model_facts: dict[str, Any],
        device: torch.device,
        is_trained: bool = True,
        known_files: Collection[str] = (),
    ) -> None:
        self.model, self.settings, self.frames, self.device = model, settings, frames, device
        self.is_drawn = bool(model_facts.get("drawn"))
        self.face_detector, self.calibration = face_detector, None if self.is_drawn else calibration
        self.model_facts, self.is_trained, self.known_files = model_facts, is_trained, frozenset(known_files)

    def detect(
        self,
        path: str | os.PathLike[str],
        on_progress: Callable[[str, float, float], None] = lambda step, done, total: None,
        sha256: str | None = None,
        on_clip: Callable[[Clip], None] = lambda clip: None,
    ) -> Verdict:
        """The verdict on one video file.

        A file that is there and cannot be analysed (no video, no usable face) has the outcome ``NOT_ANALYSABLE`` with
        the reason, and no score.

        Args:
            on_progress: called with the step, how much of it is done, and of how much: seconds of video while faces
                are searched, then clips while they are cut and scored.
            sha256: the file's hash where it is known.
            on_clip: called with each clip that is scored, such as ``PageCrops.add``.

        Raises:
            VideoError: there is no such file.

        Example:
            >>> verdict = detector.detect("interview.mp4")  # doctest: +SKIP
            >>> verdict.outcome.words, verdict.probability  # doctest: +SKIP
            ('cannot tell', 0.48)
        """
        file = Path(path)
        if not file.is_file():
            raise VideoError(f"no file at {file}; give the path of a video")
        sha256 = sha256 or _hash_if_readable(file)
        try:
            video, requests = find_clips(
                file, self.face_detector, self.settings, partial(on_progress, "searching faces"), sha256
            )
            clips = _watched(cut_clips(file, requests, self.settings.faces), len(requests), on_progress, on_clip)
            tracks = self._score(video, clips)
        except VideoError as error:
            return self.not_analysable(file, str(error), sha256)
        assert video.info is not None
        facts = video.info.to_json()
        provenance = self._provenance(file)
        provenance["sha256"] = video.info.sha256
        provenance["video"] = {key: facts[key] for key in facts if key not in ("path", "sha256", "notes")}
        if not tracks:
            reason = f"Not analysable: {video.reason}."
            return Verdict(Outcome.NOT_ANALYSABLE, None, None, (reason,), (), video.dropped, provenance)
        return self._verdict(video, requests, tracks, provenance)

    def not_analysable(self, path: str | os.PathLike[str], reason: str, sha256: str | None) -> Verdict:
        """The verdict on a file that this detector cannot look at, for this reason; ``sha256`` is its hash, if any."""
        provenance = self._provenance(Path(path)) | {"sha256": sha256}
        return Verdict(Outcome.NOT_ANALYSABLE, None, None, (reason,), provenance=provenance)

    def would_give(self, verdict: Verdict) -> bool:
        """Whether a verdict on a file that could be read is this detector's: its model, settings and calibration.

        Such a verdict need not be made again. An untrained detector's is always made again.
        """
        seen, mine = verdict.provenance, json.loads(json.dumps(self._provenance(Path())))
        decisive = ("model", "clip_settings", "frames", "aggregation", "calibration")
        if not self.is_trained or seen.get("video") is None or any(seen.get(key) != mine[key] for key in decisive):
            return False
        if verdict.score is None:
            return True
        given = verdict.outcome, verdict.probability, verdict.interval
        return given == (outcome_of(verdict.score, self.calibration), *self._probability(verdict.score))

    def _probability(self, score: float) -> tuple[float | None, tuple[float, float] | None]:
        return (None, None) if self.calibration is None else self.calibration.probability(score)

    def _score(self, video: StoredVideo, clips: Iterable[Clip]) -> tuple[TrackScore, ...]:
        inputs = (ClipInput(clip.track_id, clip.times_s, _loader(clip)) for clip in clips)
        return score_tracks(self.model, video, inputs, self.frames, self.device)

    def _verdict(
        self,
        video: StoredVideo,
        requests: list[ClipRequest],
        tracks: tuple[TrackScore, ...],
        provenance: dict[str, Any],
    ) -> Verdict:
        score = video_score(tracks)
        assert score is not None
        probability, interval = self._probability(score)
        tracks = tuple(replace(track, probability=self._probability(track.logit)[0]) for track in tracks)
        outcome = outcome_of(score, self.calibration)
        reasons = [
            *([KNOWS_DRAWINGS_ONLY] if self.is_drawn else []),
            *([SEEN] if provenance["sha256"] in self.known_files else []),
            *self._decision_reasons(outcome, probability, interval),
            *evidence_reasons(tracks[0], self.model.head),
            *coverage_reasons(video, self.settings, len(requests)),
        ]
        return Verdict(outcome, probability, interval, tuple(reasons), tracks, video.dropped, provenance)

    def _decision_reasons(
        self, outcome: Outcome, probability: float | None, interval: tuple[float, float] | None
    ) -> list[str]:
        if not self.is_trained:
            return [UNTRAINED]
        reasons = [] if self.model_facts.get("complete", True) else [UNFINISHED]
        if not self.is_drawn:
            reasons += decision_reasons(outcome, probability, interval, self.calibration)
        return reasons

    def _provenance(self, file: Path) -> dict[str, Any]:
        return {
            "path": str(file),
            "sha256": None,
            "video": None,
            "model": self.model_facts,
            "clip_settings": self.settings.to_json(),
            "frames": self.frames,
            "aggregation": AGGREGATION,
            "calibration": self.calibration.source if self.calibration else None,
            "device": self.device.type,
            "versions": versions(),
            "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def load_detector(
    run_folder: str | os.PathLike[str],
    device: str = "auto",
    face_model: str | os.PathLike[str] | None = None,
    clips_per_track: int | None = None,
) -> Detector:
    """The detector of a trained run.

    Args:
        face_model: a YuNet file, needed where the run's clips were made with one.
        clips_per_track: at most so many windows of each face are scored; ``None`` for as many as in training and
            calibration, whose scores are means over so many.

    Raises:
        RunError: no run, no weights yet, or another face detector than the run's.
        WeightsError: damaged weights.

    Example:
        >>> import stf_mamba as stf
        >>> detector = stf.load_detector("runs/v8", device="cpu")  # doctest: +SKIP
    """
    run = Run.load(run_folder)
    chosen = choose_device(device)
    face_detector = load_face_detector(None if face_model is None else Path(face_model))
    if face_detector.name != run.clip_settings.detector:
        raise RunError(
            f"{run.folder} was trained on faces found by {run.clip_settings.detector}, and this is "
            f"{face_detector.name}; give the same detector (--face-model FILE for a YuNet, none for the built-in one)"
        )
    facts = {
        "run": run.folder.name,
        "recipe": run.recipe.name,
        "weights_sha256": run.weights_sha256() if run.weights_path.is_file() else None,
        "trained_on": _trained_on(run),
        "drawn": run.is_drawn,
        "encoder_weights": run.environment.get("encoder_weights"),
        "complete": run.is_complete,
    }
    settings = run.clip_settings
    if clips_per_track is not None:
        settings = replace(settings, clips_per_track=clips_per_track)
    frames = run.recipe.data.frames
    known = run.environment.get("files_sha256", ())
    calibration = run.calibration()
    return Detector(run.model(chosen), settings, frames, face_detector, calibration, facts, chosen, known_files=known)


def untrained_detector(
    recipe: Recipe,
    encoder_weights: str | os.PathLike[str] | None = None,
    device: str = "auto",
    face_model: str | os.PathLike[str] | None = None,
) -> Detector:
    """The detector of a recipe before any training: for looking at curves, never for deciding.

    Raises:
        RecipeError, WeightsError: as for training.
    """
    chosen = choose_device(device)
    model = build_detector(recipe)
    if encoder_weights is not None:
        load_encoder_weights(model.encoder, encoder_weights)
    face_detector = load_face_detector(None if face_model is None else Path(face_model))
    settings = ClipSettings(face_detector.name, frames=recipe.data.frames)
    facts = {
        "run": None,
        "recipe": recipe.name,
        "trained_on": None,
        "encoder_weights": None if encoder_weights is None else Path(encoder_weights).name,
    }
    model = model.to(chosen).eval()
    return Detector(model, settings, recipe.data.frames, face_detector, None, facts, chosen, is_trained=False)


def _trained_on(run: Run) -> str:
    """The data set, and how much of it: a name alone would pass a part off as the whole."""
    videos = len(run.split.train) + len(run.split.validation)
    people = run.environment.get("identities")
    return (
        f"{run.environment.get('dataset')}: {videos} videos of "
        f"{'an unknown number of' if people is None else len(people)} people, those for validation included"
    )


def _watched(
    clips: Iterator[Clip],
    count: int,
    on_progress: Callable[[str, float, float], None],
    on_clip: Callable[[Clip], None],
) -> Iterator[Clip]:
    """The clips, each told of before it is handed on; after so many the model works before it asks for another."""
    for number, clip in enumerate(clips, start=1):
        on_clip(clip)
        is_last_of_batch = number % CLIPS_AT_ONCE == 0 or number == count
        on_progress("scoring clips" if is_last_of_batch else "cutting clips", number, count)
        yield clip


def _hash_if_readable(file: Path) -> str | None:
    try:
        return sha256_of(file)
    except VideoError:
        return None


def _loader(clip: Clip) -> Callable[[], Any]:
    return lambda: clip.frames
