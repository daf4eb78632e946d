"""Which clips a video gives: its tracks, their windows, the frames of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from stf_mamba.clips.records import ClipSettings, StoredVideo
from stf_mamba.core.records import DroppedTrack, FaceTrack
from stf_mamba.faces.detectors import FaceDetector
from stf_mamba.faces.tracking import FaceSearch, find_face_tracks
from stf_mamba.media.probing import probe
from stf_mamba.media.times import consecutive_times, uniform_times, window_spans

ClipRequest = tuple[FaceTrack, tuple[float, ...]]


def find_clips(
    path: Path,
    detector: FaceDetector,
    settings: ClipSettings,
    on_progress: Callable[[float, float], None] | None = None,
    sha256: str | None = None,
) -> tuple[StoredVideo, list[ClipRequest]]:
    """What is in a video and which clips to cut from it: its record (still without clips) and the requests.

    Args:
        on_progress: called with the seconds of video that were searched for faces, and with those that it lasts.
        sha256: the file's hash where it is known.

    Raises:
        VideoError: the video cannot be read.
    """
    info = probe(path, sha256)

    def of_whole(done_s: float) -> None:
        if on_progress is not None:
            on_progress(min(done_s, info.duration_s), info.duration_s)

    of_whole(0.0)
    search = find_face_tracks(path, detector, settings.faces, of_whole)
    info = replace(info, notes=tuple(dict.fromkeys((*info.notes, *search.notes))))
    requests, dropped = plan_clips(search, settings)
    reason = None if requests else why_no_clips(search, dropped)
    tracks = tuple({track.id: track for track, _ in requests}.values())
    damage = search.damaged_packets, search.frames_after_damage
    return StoredVideo(info, tracks, dropped, (), *damage, reason), requests


def plan_clips(search: FaceSearch, settings: ClipSettings) -> tuple[list[ClipRequest], tuple[DroppedTrack, ...]]:
    """Which frames of which faces become clips, and every face that does not with its reason."""
    requests: list[ClipRequest] = []
    dropped = list(search.dropped)
    for number, track in enumerate(search.tracks):
        if number >= settings.tracks:
            dropped.append(_dropped(track, f"only the {settings.tracks} most prominent faces are looked at"))
            continue
        planned = list(_plan_track(track, search.times_s, settings))
        if not planned:
            shown = sum(track.start_s <= t <= track.end_s for t in search.times_s)
            dropped.append(_dropped(track, f"shown in {shown} frames, {settings.frames} are needed"))
        requests += [(track, times) for times in planned]
    return requests, tuple(dropped)


def why_no_clips(search: FaceSearch, dropped: Sequence[DroppedTrack]) -> str:
    """The reason of a video without clips: what became of its largest face, or that there was none."""
    if not dropped:
        return f"no face found in {search.frames_searched} frames; faces that are very small or turned away are missed"
    largest = max(dropped, key=lambda track: (track.side_px, track.end_s - track.start_s))
    return (
        f"no usable face: {len(dropped)} seen, the largest ({largest.side_px:.0f} px) dropped because {largest.reason}"
    )


def _plan_track(track: FaceTrack, times_s: Sequence[float], settings: ClipSettings) -> Iterator[tuple[float, ...]]:
    spans = [(track.start_s, track.end_s)]
    if settings.window_s is not None:
        spans = window_spans(track.start_s, track.end_s, settings.window_s)
    sample = uniform_times if settings.sampling == "uniform" else consecutive_times
    fitting = [span for span in spans if sum(span[0] <= t <= span[1] for t in times_s) >= settings.frames]
    for start_s, end_s in _spread(fitting, settings.clips_per_track):
        yield sample(times_s, settings.frames, start_s, end_s)


def _spread(spans: list[tuple[float, float]], count: int) -> list[tuple[float, float]]:
    """At most ``count`` of the spans, evenly spaced, each from the middle of its share."""
    if len(spans) <= count:
        return spans
    return [spans[int((number + 0.5) * len(spans) / count)] for number in range(count)]


def _dropped(track: FaceTrack, reason: str) -> DroppedTrack:
    side_px = sorted(face.side_px for face in track.faces)[len(track.faces) // 2]
    return DroppedTrack(track.start_s, track.end_s, side_px, reason)
