"""Facts about a video file, checked against its packets and its first picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from stf_mamba.core.files import sha256_of
from stf_mamba.core.records import JsonRecord
from stf_mamba.media.colour import conversion_notes, display_matrix, has_display_matrix, is_hdr
from stf_mamba.media.decoding import (
    DEFAULT_FPS,
    PacketScan,
    moving_streams,
    nothing_decodes,
    opened,
    scan_packets,
    stream_duration_s,
)

if TYPE_CHECKING:
    import os

    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""The box of a manifest. Source: C2PA Technical Specification 2.2, A.5 (BMFF-based assets)."""


@dataclass(frozen=True)
class VideoInfo(JsonRecord):
    """What a file says of its main video stream, checked against its packets and its first picture.

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


def probe(path: str | os.PathLike[str], sha256: str | None = None) -> VideoInfo:
    """Facts about a video. Reads the whole file (for hash and packet times), decodes its first picture.

    Args:
        sha256: the file's hash where it is known; ``None`` computes it.

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
            sha256=sha256 or sha256_of(file),
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
            notes=(
                *conversion_notes(picture, matrix),
                *_file_notes(file, container, stream, picture),
                *_time_notes(container, stream, scan, fps),
            ),
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


def _file_notes(file: Path, container: InputContainer, stream: VideoStream, picture: av.VideoFrame) -> Iterator[str]:
    if stream.sample_aspect_ratio not in (None, 0, 1):
        yield f"Its pixels are not square ({stream.sample_aspect_ratio}); pictures were analysed without stretching."
    for other in moving_streams(container):
        if other is not stream:
            context = other.codec_context
            size = f"{context.width} × {context.height} pixels" if context else "an unknown codec"
            yield f"It holds another video stream ({size}), which was not analysed: the largest and longest one was."
    tags = {key.lower(): value for key, value in (container.metadata | stream.metadata).items()}
    turn = tags.get("rotate", "0")
    if turn != "0" and not has_display_matrix(picture):
        yield (
            f"A tag asks to turn it by {turn} degrees, which most players disregard; it was analysed as it is stored. "
            "If it plays upside down or sideways, turn it upright first."
        )
    if container.format.name.startswith("mov") and _C2PA in _uuid_boxes(file):
        yield "It carries content credentials (C2PA), which were not read: a C2PA tool shows who signed what."


def _uuid_boxes(file: Path) -> set[bytes]:
    """The UUIDs, 16 bytes each, that name outermost boxes of an MP4 file. Source: ISO/IEC 14496-12, 4.2."""
    kinds = set()
    with file.open("rb") as stream:
        at, end = 0, file.stat().st_size
        while at + 8 <= end:
            stream.seek(at)
            head = stream.read(32)
            length, start = int.from_bytes(head[:4]), 8
            if length == 1:
                length, start = int.from_bytes(head[8:16]), 16
            if head[4:8] == b"uuid":
                kinds.add(head[start : start + 16])
            if length < start:  # 0: up to the end of the file; less is damage
                break
            at += length
    return kinds


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
        yield f"Its clock runs backwards ({scan.n_clock_resets} times): joined from parts; times were counted on."
    intervals = [later - earlier for earlier, later in pairwise(scan.times_s)]
    if intervals:
        usual = sorted(intervals)[len(intervals) // 2]
        tick = float(stream.time_base or 0)
        if max(max(intervals) - usual, usual - min(intervals)) > 0.1 * usual + tick:
            yield (
                f"The frame rate varies: frames last from {1000 * min(intervals):.1f} to {1000 * max(intervals):.1f} "
                f"ms, usually {1000 * usual:.1f} ms."
            )
    declared_s = stream_duration_s(container, stream)
    seen_s = _duration_s(scan, fps)
    if declared_s and declared_s - seen_s > max(0.5, float(2 / fps)):
        yield f"The container declares {declared_s:.2f} s, its pictures last {seen_s:.2f} s."
