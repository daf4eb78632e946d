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
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
from scipy.ndimage import median_filter
from scipy.optimize import linear_sum_assignment

from stf_mamba.core.errors import VideoError
from stf_mamba.core.records import Clip, DroppedTrack, Face, FaceTrack, JsonRecord
from stf_mamba.face_detectors import FaceDetector
from stf_mamba.media.frames import FrameStream
from stf_mamba.media.times import every

if TYPE_CHECKING:
    from stf_mamba.core.records import Float64Array, UInt8Array

FRAMES_PER_DETECTION = 8

# Where five landmarks lie in an aligned crop of 112 px. Source: Deng, Guo, Xue, Zafeiriou: "ArcFace", CVPR 2019,
# reference implementation.
ALIGNED_LANDMARKS_PX = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
ALIGNED_SIDE_PX = 112.0


@dataclass(frozen=True)
class FaceSettings(JsonRecord):
    """How faces are found, followed and cropped. Two runs with equal settings and detector cut equal clips.

    Attributes:
        detection_interval_s: time between two frames in which faces are looked for.
        margin: side of the crop over the longer side of the face's box.
        size_px: side of the square crop.
        align: turn the crop so that the eyes lie level, and place it by the landmarks instead of the box.
        min_side_px: tracks of smaller faces are dropped.
        min_duration_s: tracks of faces seen for less long are dropped.
        min_hit_ratio: tracks found in a smaller part of the frames looked at are dropped.
        min_score: tracks whose median score is lower are dropped: a pattern that the detector takes for a face now and
            then scores low throughout.
        max_unsteadiness: tracks whose boxes lie further than this from their smoothed path (median, in units of the
            side) are dropped.
        max_gap_s: a face that is not seen for longer starts a new track.
        min_overlap: intersection over union with the box before; a face that moves further starts a new track.
        max_side_ratio: largest over smallest side within a track; a face that grows or shrinks more is cut in pieces.
        smoothing_s: standard deviation of the Gaussian that weighs detections around a point of the crop's path.
    """

    detection_interval_s: float = 0.2
    margin: float = 1.3
    size_px: int = 224
    align: bool = False
    min_side_px: float = 40.0
    min_duration_s: float = 1.0
    min_hit_ratio: float = 0.5
    min_score: float = 0.8
    max_unsteadiness: float = 0.15
    max_gap_s: float = 0.65
    min_overlap: float = 0.3
    max_side_ratio: float = 1.6
    smoothing_s: float = 0.2

    def __post_init__(self) -> None:
        for name in ("detection_interval_s", "margin", "size_px", "max_gap_s", "max_unsteadiness", "smoothing_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)!r}")
        for name in ("min_side_px", "min_duration_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be zero or more and finite, got {getattr(self, name)!r}")
        for name in ("min_hit_ratio", "min_score", "min_overlap"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)!r}")
        if not 1 < self.max_side_ratio < math.inf:
            raise ValueError(f"max_side_ratio must be above 1 and finite, got {self.max_side_ratio!r}")
        if self.max_gap_s < self.detection_interval_s:
            raise ValueError(
                f"max_gap_s ({self.max_gap_s}) must be at least detection_interval_s ({self.detection_interval_s}), "
                "otherwise every detection is a track of its own"
            )


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
    """

    tracks: tuple[FaceTrack, ...]
    dropped: tuple[DroppedTrack, ...]
    times_s: tuple[float, ...]
    damaged_packets: int
    frames_after_damage: int = 0
    frames_searched: int = 0


def find_face_tracks(
    path: Path,
    detector: FaceDetector,
    settings: FaceSettings,
    on_progress: Callable[[float], None] | None = None,
) -> FaceSearch:
    """The face tracks of a video, found in one streaming pass; memory does not grow with the video's length.

    Args:
        on_progress: called with the seconds of video decoded so far.

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
    return FaceSearch(tracks, dropped, tuple(stream.times_s), *damage, searched)


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
            dropped.append(DroppedTrack(faces[0].time_s, faces[-1].time_s, _typical_side_px(faces), reason))
    tracks.sort(key=lambda track: (-_prominence(track), track.start_s, track.faces[0].box_px))
    dropped.sort(key=lambda track: (track.start_s, track.end_s, -track.side_px))
    return tuple(FaceTrack(id, track.faces) for id, track in enumerate(tracks)), tuple(dropped)


class CropPath:
    """The crop of one track as a function of time: one side length, a smoothed centre (and angle when aligning).

    Each point of the path is a straight line fitted to the detections around it with Gaussian weights, evaluated at
    that time: a face that moves evenly is followed without lag, also at the track's ends, and jitter averages out.
    A median over three detections first keeps one misplaced box from bending the path. Outside the track the path
    rests at its ends.
    """

    def __init__(self, track: FaceTrack, settings: FaceSettings) -> None:
        self.size_px = settings.size_px
        self._align = settings.align
        self._smoothing_s = settings.smoothing_s
        self._times_s = np.array([face.time_s for face in track.faces])  # (N,)
        self._faces = track.faces
        if settings.align:
            positions_px = np.array([face.landmarks_px for face in track.faces])  # (N, 5, 2)
            scale = float(np.median([abs(_turn_and_scale(landmarks_px)) for landmarks_px in positions_px]))
            self.side_px = settings.margin * ALIGNED_SIDE_PX * scale
            below_centre = (ALIGNED_LANDMARKS_PX.mean(axis=0) / ALIGNED_SIDE_PX - 0.5) / settings.margin
        else:
            positions_px = np.array([[face.centre_px] for face in track.faces])  # (N, 1, 2)
            self.side_px = settings.margin * _typical_side_px(track.faces)
            below_centre = np.zeros(2)
        self._positions_px = _without_outliers(positions_px)
        self._anchor_px = self.size_px * (0.5 + below_centre)  # where the mean position comes to lie in the crop

    def centre_at(self, time_s: float) -> Float64Array:
        """(2,) x and y of the point that the crop follows: the box's centre, or the landmarks' mean when aligning."""
        return cast("Float64Array", self._smoothed(self._positions_px, time_s).mean(axis=0))

    def landmarks_at(self, time_s: float) -> Float64Array:
        """(5, 2) landmarks in the crop's pixels, whole numbers being pixel centres; smoothed as the path is.

        They may lie outside the crop where the face does.
        """
        matrix = self.matrix_at(time_s)
        landmarks_px = self._smoothed(self._landmarks_px, time_s) - 0.5  # the first pixel's centre lies at (0.5, 0.5)
        return landmarks_px @ matrix[:, :2].T + matrix[:, 2]

    @cached_property
    def _landmarks_px(self) -> Float64Array:
        """(N, 5, 2) landmarks of the detections in the frame's pixels."""
        return _without_outliers(np.array([face.landmarks_px for face in self._faces]))

    def matrix_at(self, time_s: float) -> Float64Array:
        """(2, 3) affine map from the frame's pixels to the crop's; whole numbers are pixel centres in both."""
        positions_px = self._smoothed(self._positions_px, time_s)
        turn = _turn_and_scale(positions_px) if self._align else 1.0 + 0.0j
        turn *= self.size_px / (self.side_px * abs(turn))
        linear = np.array([[turn.real, turn.imag], [-turn.imag, turn.real]])  # turns back by the face's own angle
        # Boxes and landmarks count from the frame's corner, where the first pixel's centre lies at (0.5, 0.5).
        shift = self._anchor_px - 0.5 - linear @ (positions_px.mean(axis=0) - 0.5)
        return np.column_stack([linear, shift])

    def _smoothed(self, positions_px: Float64Array, time_s: float) -> Float64Array:
        """(K, 2): value at ``time_s`` of the lines fitted to the positions (N, K, 2) around it."""
        after_s = self._times_s - np.clip(time_s, self._times_s[0], self._times_s[-1])
        exponents = -0.5 * (after_s / self._smoothing_s) ** 2
        weights = np.exp(exponents - exponents.max())  # the nearest detection counts even if it is far away
        weights /= weights.sum()
        mean_s = weights @ after_s
        spread = weights @ (after_s - mean_s) ** 2
        # The line's value at 0 is a weighted sum of the positions; with a single detection in reach it is the mean.
        slope_weights = weights * (after_s - mean_s) / spread if spread > 1e-12 else np.zeros_like(weights)
        return np.tensordot(weights - mean_s * slope_weights, positions_px, axes=1)


def crop_face(rgb: UInt8Array, crop_path: CropPath, time_s: float) -> UInt8Array:
    """The face at ``time_s`` as (size, size, 3) uint8 RGB, cut from a frame (H, W, 3) uint8 RGB.

    Bicubic, because bilinear interpolation blurs more the further a position lies from whole pixels, which would
    pulse as the crop glides. A shrunk face is low-pass filtered first, equally in every frame of a track, so that fine
    texture does not flicker. Beyond the frame its edge pixels repeat: a black border would come and go with the motion.
    """
    matrix = crop_path.matrix_at(time_s)
    shrink = crop_path.side_px / crop_path.size_px
    blur_px = max(0.0, (shrink - 1) / 2)  # as much as averaging over the area of an output pixel
    rgb, corner = _surroundings(rgb, matrix, crop_path.size_px, reach_px=math.ceil(4 * blur_px) + 3)
    if blur_px > 0:
        rgb = cast("UInt8Array", cv2.GaussianBlur(rgb, (0, 0), blur_px, borderType=cv2.BORDER_REPLICATE))
    matrix[:, 2] += matrix[:, :2] @ corner
    size = (crop_path.size_px, crop_path.size_px)
    crop = cv2.warpAffine(rgb, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return cast("UInt8Array", crop)


def cut_clips(
    path: Path, requests: Sequence[tuple[FaceTrack, Sequence[float]]], settings: FaceSettings
) -> Iterator[Clip]:
    """The requested clips, each as soon as its last frame has been decoded, in one pass over the video.

    Only the clips between their first and last frame are held in memory.

    Args:
        requests: a track and the presentation times of the clip's frames, exactly as ``FaceSearch.times_s`` has them.

    Raises:
        ValueError: a request has no times.
        VideoError: the video has no decodable frame at a requested time.
    """
    if any(len(times_s) == 0 for _, times_s in requests):
        raise ValueError("every requested clip needs at least one time")
    waiting = [_OpenClip(track, tuple(times_s), settings) for track, times_s in requests]
    if not waiting:
        return
    wanted_s = {time_s for clip in waiting for time_s in clip.times_s}
    for frame in FrameStream(path, wanted_s.__contains__, stop_s=max(wanted_s)):
        for clip in waiting:
            clip.add(frame.time_s, frame.rgb)
        yield from (clip.finished() for clip in waiting if not clip.missing_s)
        waiting = [clip for clip in waiting if clip.missing_s]
    if waiting:
        missing_s = min(time_s for clip in waiting for time_s in clip.missing_s)
        raise VideoError(
            f"{path} has no decodable frame at {missing_s:.6f} s, where one was seen before; expected the same file as "
            "in the search for faces; search it again"
        )


class _OpenClip:
    """A clip whose frames are still coming; its memory is taken at the first and given away with the last."""

    def __init__(self, track: FaceTrack, times_s: tuple[float, ...], settings: FaceSettings) -> None:
        self.times_s = times_s
        self.missing_s = set(times_s)
        self._track_id = track.id
        self._crop_path = CropPath(track, settings)
        self._frames: UInt8Array | None = None

    def add(self, time_s: float, rgb: UInt8Array) -> None:
        if time_s not in self.missing_s:
            return
        self.missing_s.remove(time_s)
        if self._frames is None:
            size_px = self._crop_path.size_px
            self._frames = np.empty((len(self.times_s), size_px, size_px, 3), np.uint8)
        places = [place for place, wanted_s in enumerate(self.times_s) if wanted_s == time_s]
        self._frames[places] = crop_face(rgb, self._crop_path, time_s)

    def finished(self) -> Clip:
        assert self._frames is not None
        return Clip(self._track_id, self.times_s, self._frames)


def _detections(
    stream: FrameStream, detector: FaceDetector, on_progress: Callable[[float], None] | None
) -> Iterator[tuple[float, list[Face]]]:
    """Time and faces of each frame of the stream, detected a few frames at a time."""
    frames = iter(stream)
    while batch := list(itertools.islice(frames, FRAMES_PER_DETECTION)):
        times_s = [frame.time_s for frame in batch]
        yield from zip(times_s, detector.detect([frame.rgb for frame in batch], times_s), strict=True)
        if on_progress is not None:
            on_progress(times_s[-1])


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
        return f"seen for {duration_s:.1f} s, at least {settings.min_duration_s:g} s is needed"
    side_px = _typical_side_px(faces)
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


def _unsteadiness(faces: Sequence[Face], settings: FaceSettings) -> float:
    """Median distance between the boxes' centres and their smoothed path, in units of the side."""
    crop_path = CropPath(FaceTrack(id=0, faces=tuple(faces)), dataclasses.replace(settings, align=False))
    off_px = [np.linalg.norm(np.array(face.centre_px) - crop_path.centre_at(face.time_s)) for face in faces]
    return float(np.median(off_px)) / _typical_side_px(faces)


def _prominence(track: FaceTrack) -> float:
    return (track.end_s - track.start_s) * _typical_side_px(track.faces) ** 2


def _typical_side_px(faces: Sequence[Face]) -> float:
    return float(np.median([face.side_px for face in faces]))


def _without_outliers(positions_px: Float64Array) -> Float64Array:
    """Positions (N, K, 2), each coordinate the median over three detections."""
    return cast("Float64Array", median_filter(positions_px, size=(3, 1, 1), mode="nearest"))


def _turn_and_scale(landmarks_px: Float64Array) -> complex:
    """The similarity, least squares, from ``ALIGNED_LANDMARKS_PX`` to landmarks (5, 2): its length scales, its angle
    turns."""
    template = ALIGNED_LANDMARKS_PX - ALIGNED_LANDMARKS_PX.mean(axis=0)
    centred = landmarks_px - landmarks_px.mean(axis=0)
    template_z, landmarks_z = template @ (1, 1j), centred @ (1, 1j)
    return complex(np.vdot(template_z, landmarks_z) / np.vdot(template_z, template_z))


def _surroundings(
    rgb: UInt8Array, matrix: Float64Array, size_px: int, reach_px: int
) -> tuple[UInt8Array, Float64Array]:
    """The part of the frame that the crop and its filters touch, and its upper left corner (x, y): the rest need not
    be filtered. Never empty, also where the crop lies outside the frame."""
    height, width = rgb.shape[:2]
    outline = np.array([[0, 0, size_px, size_px], [0, size_px, 0, size_px]]) - 0.5
    corners = np.linalg.solve(matrix[:, :2], outline - matrix[:, 2:])  # (2, 4) in the frame's pixels
    left, top = np.clip(np.floor(corners.min(axis=1)) - reach_px, 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(axis=1)) + reach_px + 1, (left + 1, top + 1), (width, height)).astype(
        int
    )
    return rgb[top:bottom, left:right], np.array([left, top], np.float64)
