"""Clips cut to their tracks' crops in one pass over a video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stf_mamba.core.errors import VideoError
from stf_mamba.core.records import Clip, FaceTrack
from stf_mamba.faces.cropping import CropPath, crop_face
from stf_mamba.faces.settings import FaceSettings
from stf_mamba.media.frames import FrameStream

if TYPE_CHECKING:
    from stf_mamba.core.records import UInt8Array


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
