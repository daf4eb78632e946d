"""Hash, probe and decode a video by presentation time.

Times are seconds of the container's own clock, which need not begin at zero. Frames are exact: everything is decoded
in order from the start, nothing is reached by seeking.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from stf_mamba.core.errors import VideoError
from stf_mamba.core.files import sha256_of
from stf_mamba.core.records import JsonRecord
from stf_mamba.decoding import (
    DEFAULT_FPS,
    Damage,
    PacketScan,
    TimedPicture,
    nothing_decodes,
    opened,
    scan_packets,
    timed_pictures,
)
from stf_mamba.rgb import WIDE_GAMUTS, RgbConverter, display_matrix, has_alpha, is_hdr

if TYPE_CHECKING:
    import os

    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from stf_mamba.core.records import UInt8Array

TIME_TOLERANCE_S = 1e-4
"""Two times closer than this are the same moment: containers with a millisecond clock round."""


@dataclass(frozen=True)
class VideoInfo(JsonRecord):
    """What a file says of its best video stream, checked against its packets and its first picture.

    Attributes:
        container, codec, pixel_format: libav's names.
        width_px, height_px: of the upright picture.
        rotation_deg: counter-clockwise turn that stands the stored picture upright: 0, 90, 180 or 270.
        fps: average frame rate.
        duration_s: from the first picture's time to the end of the last.
        is_hdr: the samples are PQ or HLG.
        notes: sentences that a reader of a verdict should know.
    """

    path: Path
    sha256: str
    size_bytes: int
    container: str
    codec: str
    pixel_format: str
    width_px: int
    height_px: int
    rotation_deg: int
    fps: Fraction
    duration_s: float
    is_hdr: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture: its presentation time and its (H, W, 3) uint8 RGB, turned upright."""

    time_s: float
    rgb: UInt8Array


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Facts about a video. Reads the whole file (for hash and packet times), decodes its first picture.

    Raises:
        VideoError: missing, empty, not a video, sound or cover art only, or no picture can be decoded.
    """
    file = Path(path)
    with opened(file) as (container, stream):
        scan = scan_packets(container, stream)
        picture = scan.first_picture
        if picture is None:
            raise nothing_decodes(file)
        fps = _average_rate(stream, scan)
        matrix = display_matrix(picture)
        is_turned = matrix[0] == 0
        return VideoInfo(
            path=file,
            sha256=sha256_of(file),
            size_bytes=file.stat().st_size,
            container=container.format.name,
            codec=stream.codec_context.name,
            pixel_format=picture.format.name,
            width_px=picture.height if is_turned else picture.width,
            height_px=picture.width if is_turned else picture.height,
            rotation_deg=_rotation_deg(matrix),
            fps=fps,
            duration_s=_duration_s(scan, fps),
            is_hdr=is_hdr(picture),
            notes=(*_picture_notes(picture, stream), *_time_notes(container, stream, scan, fps)),
        )


def every(interval_s: float) -> Callable[[float], bool]:
    """A selector for ``FrameStream``: the first frame at or after each multiple of ``interval_s``; 0 takes all.

    It remembers where it is: use each once.
    """
    if not interval_s >= 0:
        raise ValueError(f"interval_s must be 0 (every frame) or positive, got {interval_s}")
    latest = -math.inf

    def select(time_s: float) -> bool:
        nonlocal latest
        if interval_s == 0:
            return True
        grid_point = math.floor((time_s + TIME_TOLERANCE_S) / interval_s)
        is_first = grid_point > latest
        latest = max(latest, grid_point)
        return is_first

    return select


class FrameStream:
    """Decodes the best video stream in presentation order and yields the frames that ``select`` wants.

    Memory is constant but for the list of times. A packet that fails to decode is counted and passed over. A frame
    without a time comes one frame interval after its predecessor, and times always ascend (see ``decoding``).

    Args:
        path: the video.
        select: called once with the time of each frame, in order; only selected frames are converted to RGB.
        stop_s: decoding ends after the last frame at or before this time.

    Raises:
        VideoError: while iterating, as ``probe``; or the picture changes its size.

    Attributes:
        times_s: presentation times of all frames decoded so far, selected or not.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        select: Callable[[float], bool] = lambda _: True,
        *,
        stop_s: float | None = None,
    ) -> None:
        self.times_s: list[float] = []
        self._path = Path(path)
        self._select = select
        self._stop_s = math.inf if stop_s is None else stop_s + TIME_TOLERANCE_S
        self._damage = Damage()

    @property
    def damaged_packets(self) -> int:
        """Packets so far that failed to decode, or whose picture the decoder had to make up in part."""
        return self._damage.packets

    @property
    def frames_after_damage(self) -> int:
        """Frames so far that came between damage and the next key frame; they may show smears."""
        return self._damage.frames_after

    def __iter__(self) -> Iterator[Frame]:
        self.times_s.clear()
        convert = RgbConverter()
        with closing(timed_pictures(self._path, self._damage)) as pictures:
            for shown in pictures:
                if shown.time_s > self._stop_s:
                    break
                self.times_s.append(shown.time_s)
                if self._select(shown.time_s):
                    yield Frame(shown.time_s, _to_rgb(convert, shown.picture, self._path))


def frames_at(path: str | os.PathLike[str], times_s: Sequence[float]) -> Iterator[Frame]:
    """For each time in turn the frame on screen at that moment: the last one that begins at or before it.

    Args:
        path: the video.
        times_s: ascending; a time twice gives its frame twice.

    Raises:
        ValueError: the times do not ascend.
        VideoError: see ``probe``; or no frame is on screen at one of the times.
    """
    if any(later < earlier for earlier, later in pairwise(times_s)):
        raise ValueError("times_s must ascend; sort them first")
    return _frames_at(Path(path), times_s)


def uniform_times(
    times_s: Sequence[float], count: int, start_s: float | None = None, end_s: float | None = None
) -> tuple[float, ...]:
    """``count`` different frames, evenly spread over the frames in [start, end], the first and last among them.

    Args:
        times_s: ascending presentation times, such as ``FrameStream.times_s``.
        count: how many; 1 gives the middle frame.
        start_s, end_s: the span, its ends included; the whole video where left out.

    Raises:
        ValueError: the span holds fewer frames than ``count``.
    """
    candidates = _frames_between(times_s, count, start_s, end_s)
    if count == 1:
        return (candidates[(len(candidates) - 1) // 2],)
    step = Fraction(len(candidates) - 1, count - 1)  # at least 1, so that no two round to the same frame
    return tuple(candidates[math.floor(index * step + Fraction(1, 2))] for index in range(count))


def consecutive_times(
    times_s: Sequence[float], count: int, start_s: float | None = None, end_s: float | None = None, at: float = 0.5
) -> tuple[float, ...]:
    """``count`` neighbouring frames within [start, end]; ``at`` is 0 for the earliest run, 1 for the latest.

    Raises:
        ValueError: the span holds fewer frames than ``count``, or ``at`` is outside [0, 1].
    """
    if not 0 <= at <= 1:
        raise ValueError(f"at must be between 0 and 1, got {at}")
    candidates = _frames_between(times_s, count, start_s, end_s)
    first = round(at * (len(candidates) - count))
    return candidates[first : first + count]


def window_spans(start_s: float, end_s: float, window_s: float) -> list[tuple[float, float]]:
    """Windows (start, end) of ``window_s`` that cover the span without a gap.

    What remains at the end is a window of its own, or joins its predecessor where it is shorter than half a window.
    """
    if not window_s > 0 or end_s < start_s:
        raise ValueError(f"expected start_s <= end_s and window_s > 0, got {start_s}, {end_s}, {window_s}")
    whole, rest = divmod(end_s - start_s, window_s)
    count = max(1, int(whole) + (rest >= window_s / 2))
    edges = [start_s + index * window_s for index in range(count)] + [end_s]
    return list(pairwise(edges))


def _frames_between(
    times_s: Sequence[float], count: int, start_s: float | None, end_s: float | None
) -> tuple[float, ...]:
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    start = -math.inf if start_s is None else start_s - TIME_TOLERANCE_S
    end = math.inf if end_s is None else end_s + TIME_TOLERANCE_S
    candidates = tuple(time_s for time_s in times_s if start <= time_s <= end)
    if len(candidates) < count:
        raise ValueError(
            f"{count} different frames are wanted, the span holds {len(candidates)}; ask for fewer or widen the span"
        )
    return candidates


def _to_rgb(convert: RgbConverter, picture: av.VideoFrame, path: Path) -> UInt8Array:
    import av

    try:
        return convert(picture)
    except av.FFmpegError as error:
        raise VideoError(
            f"{path}: the pictures' colours (format {picture.format.name}, matrix {picture.colorspace!r}) cannot be "
            f"converted to RGB ({error}); re-encode it as BT.709 first"
        ) from error


def _frames_at(path: Path, times_s: Sequence[float]) -> Iterator[Frame]:
    convert = RgbConverter()
    wanted = iter(times_s)
    target = next(wanted, None)
    on_screen: TimedPicture | None = None
    with closing(timed_pictures(path, Damage())) as pictures:
        while target is not None:
            following = next(pictures, None)
            until_s = following.time_s if following else on_screen.end_s if on_screen else -math.inf
            frame: Frame | None = None
            while target is not None and target + TIME_TOLERANCE_S < until_s:
                if on_screen is None:
                    raise _nothing_on_screen(path, target, f"the first frame begins at {until_s:.3f} s")
                frame = frame or Frame(on_screen.time_s, _to_rgb(convert, on_screen.picture, path))
                yield frame
                target = next(wanted, None)
            if following is None and target is not None:
                raise _nothing_on_screen(path, target, f"the last frame ends at {until_s:.3f} s")
            on_screen = following


def _nothing_on_screen(path: Path, time_s: float, bound: str) -> VideoError:
    return VideoError(
        f"{path}: no frame is on screen at {time_s:.3f} s; {bound}. Ask for times within the video; if they come from "
        "an earlier reading, the file has changed since."
    )


def _average_rate(stream: VideoStream, scan: PacketScan) -> Fraction:
    """Frames a second: what the container states, or what its packets show where that differs by more than 2 %."""
    stated = stream.average_rate or stream.guessed_rate
    times = scan.times_s
    if len(times) < 2 or times[-1] == times[0]:
        return stated or DEFAULT_FPS
    measured = (len(times) - 1) / (times[-1] - times[0])
    if stated and abs(measured / stated - 1) <= 0.02:
        return stated
    return Fraction(measured).limit_denominator(1001)


def _duration_s(scan: PacketScan, fps: Fraction) -> float:
    if scan.end_s is None:
        return float(scan.n_frames / fps)
    return scan.end_s - scan.times_s[0]


def _rotation_deg(matrix: tuple[int, int, int, int]) -> int:
    a, b, _, d = matrix
    if a:
        return 0 if d > 0 else 180
    return 90 if b < 0 else 270


def _picture_notes(picture: av.VideoFrame, stream: VideoStream) -> Iterator[str]:
    bits = max(component.bits for component in picture.format.components)
    if bits > 8:
        yield f"Its {bits}-bit samples were converted to 8 bits."
    if is_hdr(picture):
        yield "High dynamic range: its pictures were tone-mapped to BT.709 (ITU-R BT.2446-1, method A)."
    elif picture.color_primaries in WIDE_GAMUTS:
        yield "Wide-gamut colours were taken as BT.709."
    if has_alpha(picture):
        yield "Its pictures can be transparent; transparent areas are shown black."
    if picture.interlaced_frame:
        yield "Interlaced: each picture holds two moments, which were not separated."
    a, b, c, d = display_matrix(picture)
    if a * d - b * c < 0:
        yield "The container asks for a mirrored picture; it was mirrored."
    if stream.sample_aspect_ratio not in (None, 0, 1):
        yield f"Its pixels are not square ({stream.sample_aspect_ratio}); pictures were analysed without stretching."


def _time_notes(container: InputContainer, stream: VideoStream, scan: PacketScan, fps: Fraction) -> Iterator[str]:
    if scan.n_untimed:
        yield (
            f"{scan.n_untimed} of {scan.n_frames} frames carry no presentation time; each was placed one interval "
            f"of {float(1000 / fps):.1f} ms after its predecessor."
        )
    if scan.n_hidden:
        yield f"An edit list hides {scan.n_hidden} stored frames; they were not analysed."
    if scan.n_incomplete:
        yield f"Incomplete packets: {scan.n_incomplete}; the file is cut off, damaged or joined from parts."
    if scan.n_clock_resets:
        yield f"Its clock jumps back ({scan.n_clock_resets} times): joined from parts; times were counted on."
    intervals = [later - earlier for earlier, later in pairwise(scan.times_s)]
    if intervals:
        usual = sorted(intervals)[len(intervals) // 2]
        tick = float(stream.time_base or 0)
        if max(max(intervals) - usual, usual - min(intervals)) > 0.1 * usual + tick:
            yield (
                f"The frame rate varies: frames last from {1000 * min(intervals):.1f} to {1000 * max(intervals):.1f} "
                f"ms, usually {1000 * usual:.1f} ms."
            )
    declared_s = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None
    if declared_s is None and container.duration:
        declared_s = container.duration / 1e6
    seen_s = _duration_s(scan, fps)
    if declared_s and declared_s - seen_s > max(0.5, float(2 / fps)):
        yield f"The container declares {declared_s:.2f} s, its pictures last {seen_s:.2f} s."
