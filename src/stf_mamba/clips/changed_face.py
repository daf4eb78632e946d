"""Which face of a manipulated video was changed: by its mask, by the difference to its original, or the main one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from stf_mamba.core.errors import VideoError
from stf_mamba.core.records import FAKE, FaceTrack, JsonRecord, VideoRecord
from stf_mamba.media.frames import frames_at
from stf_mamba.media.probing import probe
from stf_mamba.media.times import TIME_TOLERANCE_S

if TYPE_CHECKING:
    from stf_mamba.core.records import UInt8Array

Rule = Literal["mask", "original", "main"]

MOMENTS = 12  # of each face
CODEC_BLUR = 1 / 32  # of a face's side: codecs err in fine detail, a swap changes what is seen from afar
CLEAR_RATIO = 1.3  # the next face's change, times this, must stay below
SMALLEST_CHANGE = 1.0  # grey level: two encodes of the same picture differ by a few tenths


@dataclass(frozen=True)
class ChangedFace(JsonRecord):
    """The face of a manipulated video that was changed, as far as it can be known.

    Attributes:
        track_id: of the face; 0 is the most prominent one.
        rule: what decided: the data set's ``mask``, the difference to the ``original``, or ``main``, the most
            prominent face, where there is neither or they do not tell the faces apart.
        changes: how much each track was changed, in the order of the tracks: mean brightness of its mask, or mean
            absolute difference to the original, in grey levels of 255; empty with ``main``.
    """

    track_id: int
    rule: Rule
    changes: tuple[float, ...] = ()


def changed_face(record: VideoRecord, tracks: Sequence[FaceTrack]) -> ChangedFace | None:
    """The face that was changed; ``None`` for videos that are not manipulated, or show no face.

    A file of masks, or an original, that is missing or cannot be read decides nothing; neither does one that tells no
    face apart from the others by a factor of 1.3, or finds less than one grey level changed.
    """
    if record.label != FAKE or not tracks:
        return None
    main = ChangedFace(tracks[0].id, "main")
    if len(tracks) == 1:
        return main
    sources: tuple[tuple[Rule, Path | None], ...] = (("mask", record.mask), ("original", record.original))
    for rule, path in sources:
        changes = None if path is None or not path.is_file() else _changes(record.path, path, rule, tracks)
        if changes is not None:
            largest, second = np.sort(changes)[::-1][:2]
            if largest > max(CLEAR_RATIO * second, SMALLEST_CHANGE):
                return ChangedFace(tracks[int(np.argmax(changes))].id, rule, tuple(round(c, 2) for c in changes))
    return main


def _changes(video: Path, other: Path, rule: Rule, tracks: Sequence[FaceTrack]) -> list[float] | None:
    """Mean change of each track; ``None`` where the other file cannot be compared with the video."""
    faces = _moments(tracks)
    times_s = sorted({time_s for of_track in faces for time_s in of_track})
    changes: list[list[float]] = [[] for _ in tracks]
    try:
        for time_s, frame, there in _side_by_side(video, other, times_s, needs_both=rule == "original"):
            for number, of_track in enumerate(faces):
                if time_s in of_track:
                    changes[number].append(_change(frame, there, of_track[time_s]))
    except VideoError:
        return None
    return [float(np.mean(found)) for found in changes] if all(changes) else None


def _moments(tracks: Sequence[FaceTrack]) -> list[dict[float, tuple[float, float, float, float]]]:
    """Box of each track at some of the times at which it was seen, spread over it."""
    chosen = []
    for track in tracks:
        numbers = np.unique(np.linspace(0, len(track.faces) - 1, MOMENTS).round().astype(int))
        chosen.append({track.faces[number].time_s: track.faces[number].box_px for number in numbers})
    return chosen


def _side_by_side(
    video: Path, other: Path, times_s: Sequence[float], needs_both: bool
) -> Iterator[tuple[float, UInt8Array | None, UInt8Array]]:
    """The frames (H, W, 3) of both files at these times, as far as the other one lasts, at the video's size."""
    end_s = probe(other).duration_s
    times_s = [time_s for time_s in times_s if time_s < end_s - TIME_TOLERANCE_S]
    if not times_s:
        return
    size_px = next(frames_at(video, times_s[:1])).rgb.shape[1::-1]
    frames = frames_at(video, times_s) if needs_both else None
    for time_s, there in zip(times_s, frames_at(other, times_s), strict=True):
        rgb = there.rgb
        if rgb.shape[1::-1] != size_px:
            rgb = np.asarray(cv2.resize(rgb, size_px, interpolation=cv2.INTER_AREA), np.uint8)
        yield time_s, None if frames is None else next(frames).rgb, rgb


def _change(frame: UInt8Array | None, other: UInt8Array, box_px: tuple[float, float, float, float]) -> float:
    """Mean over a face's box of the mask, or of the difference between two frames: without what the whole picture has
    of it, such as another brightness, and without its finest detail."""
    left, top, right, bottom = (round(side) for side in box_px)
    box = slice(max(top, 0), max(bottom, 1)), slice(max(left, 0), max(right, 1))
    if not other[box].size:
        return 0.0
    if frame is None:
        return float(other[box].mean())
    difference = frame.astype(np.float64) - other
    within = difference[box] - np.median(difference, axis=(0, 1))
    sigma_px = max(1.0, CODEC_BLUR * max(within.shape[:2]))
    return float(np.abs(cv2.GaussianBlur(within, (0, 0), sigma_px)).mean())
