"""From a video to face clips: detections, tracks of one person each, a still crop per track, frames cut to it.

The head of the model measures how much a face's appearance varies over time. A crop that trembles with the detector's
boxes is itself such a variation, so a track has one side length, and its crop moves along a smoothed path.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from scipy.ndimage import median_filter
from scipy.optimize import linear_sum_assignment

from stf_mamba.core.records import DroppedTrack, Face, FaceTrack
from stf_mamba.faces.cropping import CropPath, typical_side_px
from stf_mamba.faces.detectors import FaceDetector
from stf_mamba.faces.settings import FaceSettings
from stf_mamba.media.frames import FrameStream
from stf_mamba.media.times import every

if TYPE_CHECKING:
    from stf_mamba.core.records import Float64Array

FRAMES_PER_DETECTION = 8


@dataclass(frozen=True)
class FaceSearch:
    """What one pass over a video found.

    Attributes:
        tracks: the usable tracks, the most prominent (duration × area) first, with ids 0, 1, ... in that order.
        dropped: faces that were seen and are not used, in the order of their start, with the reason.
        times_s: presentation times of all frames that could be decoded.
        damaged_packets: packets of the video stream that could not be decoded.
        frames_after_damage: frames between damage and the next key frame: decoded, but perhaps smeared.
        frames_searched: frames in which faces were looked for.
        notes: of ``FrameStream``, from all of these frames.
    """

    tracks: tuple[FaceTrack, ...]
    dropped: tuple[DroppedTrack, ...]
    times_s: tuple[float, ...]
    damaged_packets: int
    frames_after_damage: int = 0
    frames_searched: int = 0
    notes: tuple[str, ...] = ()


def find_face_tracks(
    path: Path,
    detector: FaceDetector,
    settings: FaceSettings,
    on_progress: Callable[[float], None] | None = None,
) -> FaceSearch:
    """The face tracks of a video, found in one streaming pass; memory does not grow with the video's length.

    Args:
        on_progress: called with the seconds of video searched so far, from its first frame.

    Raises:
        VideoError: the video cannot be opened, or no frame of it can be decoded.
    """
    stream = FrameStream(path, every(settings.detection_interval_s))
    searched = 0

    def counted() -> Iterator[tuple[float, list[Face]]]:
        nonlocal searched
        for found in _detections(stream, detector, on_progress):
            searched += 1
            yield found

    tracks, dropped = follow_faces(counted(), settings)
    damage = stream.damaged_packets, stream.frames_after_damage
    return FaceSearch(tracks, dropped, tuple(stream.times_s), *damage, searched, stream.notes)


def follow_faces(
    detections: Iterable[tuple[float, Sequence[Face]]], settings: FaceSettings
) -> tuple[tuple[FaceTrack, ...], tuple[DroppedTrack, ...]]:
    """Tracks of one face each, and the faces that were dropped, with reasons.

    Args:
        detections: time in seconds and faces of every frame looked at, in the order of time, also where no face was
            found.
    """
    chains, looked_at_s = _chains(detections, settings)
    tracks, dropped = [], []
    for faces in (piece for chain in chains for piece in _pieces_of_one_size(chain, settings.max_side_ratio)):
        reason = _reason_to_drop(faces, looked_at_s, settings)
        if reason is None:
            tracks.append(FaceTrack(id=0, faces=faces))
        else:
            dropped.append(DroppedTrack(faces[0].time_s, faces[-1].time_s, typical_side_px(faces), reason))
    tracks.sort(key=lambda track: (-_prominence(track), track.start_s, track.faces[0].box_px))
    dropped.sort(key=lambda track: (track.start_s, track.end_s, -track.side_px))
    return tuple(FaceTrack(id, track.faces) for id, track in enumerate(tracks)), tuple(dropped)


def _detections(
    stream: FrameStream, detector: FaceDetector, on_progress: Callable[[float], None] | None
) -> Iterator[tuple[float, list[Face]]]:
    """Time and faces of each frame of the stream, detected a few frames at a time."""
    frames = iter(stream)
    while batch := list(itertools.islice(frames, FRAMES_PER_DETECTION)):
        times_s = [frame.time_s for frame in batch]
        yield from zip(times_s, detector.detect([frame.rgb for frame in batch], times_s), strict=True)
        if on_progress is not None:
            on_progress(times_s[-1] - stream.times_s[0])


def _chains(
    detections: Iterable[tuple[float, Sequence[Face]]], settings: FaceSettings
) -> tuple[list[list[Face]], list[float]]:
    """Detections linked over time by the assignment with the largest total overlap, and all times looked at."""
    looked_at_s: list[float] = []
    ended: list[list[Face]] = []
    open_chains: list[list[Face]] = []
    for time_s, faces in detections:
        if looked_at_s and time_s <= looked_at_s[-1]:
            raise ValueError(f"detections must be in the order of time, got {time_s} s after {looked_at_s[-1]} s")
        looked_at_s.append(time_s)
        ended += [chain for chain in open_chains if time_s - chain[-1].time_s > settings.max_gap_s]
        open_chains = [chain for chain in open_chains if time_s - chain[-1].time_s <= settings.max_gap_s]
        overlaps = _overlaps([chain[-1] for chain in open_chains], faces)
        # Links below the least overlap count nothing, so that they never win over a true one.
        rows, columns = linear_sum_assignment(np.where(overlaps < settings.min_overlap, 0, overlaps), maximize=True)
        linked = {
            int(column): open_chains[row]
            for row, column in zip(rows, columns, strict=True)
            if overlaps[row, column] >= max(settings.min_overlap, 1e-9)
        }
        for index, face in enumerate(faces):
            if index in linked:
                linked[index].append(face)
            else:
                open_chains.append([face])
    return ended + open_chains, looked_at_s


def _overlaps(before: Sequence[Face], now: Sequence[Face]) -> Float64Array:
    """Intersection over union of every pair of boxes, (len(before), len(now))."""
    first = np.array([face.box_px for face in before]).reshape(-1, 1, 4)
    second = np.array([face.box_px for face in now]).reshape(1, -1, 4)
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    intersection = np.prod(np.maximum(0, sides), axis=-1)
    areas = [np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1) for boxes in (first, second)]
    return cast("Float64Array", intersection / (areas[0] + areas[1] - intersection))


def _pieces_of_one_size(faces: Sequence[Face], max_ratio: float) -> list[tuple[Face, ...]]:
    """``faces`` cut, as late as possible, so that within a piece the side varies by at most ``max_ratio``."""
    # A median over five detections, so that one bad box cuts nothing.
    sides_px = median_filter(np.array([face.side_px for face in faces]), size=5, mode="nearest")
    starts, smallest, largest = [0], math.inf, 0.0
    for index, side_px in enumerate(sides_px):
        smallest, largest = min(smallest, side_px), max(largest, side_px)
        if largest > max_ratio * smallest:
            starts.append(index)
            smallest = largest = side_px
    return [tuple(faces[start:end]) for start, end in itertools.pairwise([*starts, len(faces)])]


def _reason_to_drop(faces: Sequence[Face], looked_at_s: Sequence[float], settings: FaceSettings) -> str | None:
    duration_s = faces[-1].time_s - faces[0].time_s
    if duration_s < settings.min_duration_s:
        gap_s = _gap_beside(faces, looked_at_s)
        if gap_s > settings.max_gap_s:
            return (
                f"the video's frames are {gap_s:.1f} s apart there, a face is followed over at most "
                f"{settings.max_gap_s:g} s"
            )
        return f"seen for {duration_s:.1f} s, at least {settings.min_duration_s:g} s is needed"
    side_px = typical_side_px(faces)
    if side_px < settings.min_side_px:
        return f"the face is {side_px:.0f} px large, at least {settings.min_side_px:g} px is needed"
    looked = bisect.bisect_right(looked_at_s, faces[-1].time_s) - bisect.bisect_left(looked_at_s, faces[0].time_s)
    if len(faces) < settings.min_hit_ratio * looked:
        return (
            f"found in {len(faces)} of the {looked} frames looked at, at least {settings.min_hit_ratio:.0%} is needed"
        )
    score = float(np.median([face.score for face in faces]))
    if score < settings.min_score:
        return f"the detector is unsure that it is a face: score {score:.2f}, at least {settings.min_score:g} is needed"
    unsteadiness = _unsteadiness(faces, settings)
    if unsteadiness > settings.max_unsteadiness:
        return (
            f"its position is uncertain: the box lies {unsteadiness:.0%} of its size off its path, "
            f"at most {settings.max_unsteadiness:.0%} is allowed"
        )
    return None


def _gap_beside(faces: Sequence[Face], looked_at_s: Sequence[float]) -> float:
    """The longer of the times to the frames that were looked at before the first face and after the last."""
    first = bisect.bisect_left(looked_at_s, faces[0].time_s)
    last = bisect.bisect_right(looked_at_s, faces[-1].time_s) - 1
    around_s = looked_at_s[max(first - 1, 0) : last + 2]
    return max(faces[0].time_s - around_s[0], around_s[-1] - faces[-1].time_s)


def _unsteadiness(faces: Sequence[Face], settings: FaceSettings) -> float:
    """Median distance between the boxes' centres and their smoothed path, in units of the side."""
    crop_path = CropPath(FaceTrack(id=0, faces=tuple(faces)), dataclasses.replace(settings, align=False))
    off_px = [np.linalg.norm(np.array(face.centre_px) - crop_path.centre_at(face.time_s)) for face in faces]
    return float(np.median(off_px)) / typical_side_px(faces)


def _prominence(track: FaceTrack) -> float:
    return (track.end_s - track.start_s) * typical_side_px(track.faces) ** 2
