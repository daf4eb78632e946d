"""From a path to timed pictures: opening, choosing the stream, the packet loop, damage, and the presentation clock."""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
from av.codec.context import ThreadType
from av.stream import Disposition

from stf_mamba.core.errors import VideoError
from stf_mamba.media.colour import display_matrix, has_display_matrix

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

DEFAULT_FPS = Fraction(25)
"""The frame rate of streams that state none and whose frames carry no times, as raw H.264."""

_TEXT_CODECS = {"ansi", "bintext", "xbin", "idf"}  # libav draws some text files as pictures
_CONTAINERS_WITHOUT_PRESENTATION_TIMES = {"avi"}  # what libav reports for B-frames there is the order of decoding
_CONTAINERS_THAT_STATE_THEIR_END = {"matroska,webm", "nut"}
_NUDGE_S = Fraction(1, 1000)


@dataclass(frozen=True, eq=False)
class TimedPicture:
    """A decoded picture, the time at which it appears, that at which it ends if nothing follows it, and how it is shown
    (see ``display_matrix``)."""

    time_s: float
    end_s: float
    picture: av.VideoFrame
    matrix: tuple[int, int, int, int]


@dataclass
class Damage:
    """What was lost so far: packets, and frames between damage and the next key frame, which may show smears."""

    packets: int = 0
    frames_after: int = 0
    is_waiting_for_key: bool = False

    def count_packet(self) -> None:
        """One packet failed."""
        self.packets += 1
        self.is_waiting_for_key = True

    def count_picture(self, picture: av.VideoFrame) -> None:
        """One picture came out."""
        self.is_waiting_for_key = self.is_waiting_for_key and not picture.key_frame
        self.frames_after += self.is_waiting_for_key

    def reset(self) -> None:
        """Nothing lost."""
        self.packets, self.frames_after, self.is_waiting_for_key = 0, 0, False


@dataclass
class PacketScan:
    """What the packets of a stream say without being decoded, edit lists honoured.

    Attributes:
        times_s: presentation times of the packets that have one, ascending.
        end_s: when the last packet's frame ends, ``None`` without times or durations.
        n_untimed: packets without a presentation time.
        n_hidden: packets that an edit list hides.
        n_incomplete: packets that the file holds in part, or read errors.
        n_clock_resets: how often the clock runs backwards; times go on from where they were.
        first_picture: the first one that decodes, ``None`` if none does.
    """

    times_s: list[float] = field(default_factory=list)
    end_s: float | None = None
    n_untimed: int = 0
    n_hidden: int = 0
    n_incomplete: int = 0
    n_clock_resets: int = 0
    first_picture: av.VideoFrame | None = None

    @property
    def n_frames(self) -> int:
        """Packets that should show a frame."""
        return len(self.times_s) + self.n_untimed


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The open container and its main video stream: the moving one of the largest area × duration.

    Raises:
        VideoError: missing, empty, not a video, sound or cover art only, or a codec that is not known.
    """
    if not path.is_file():
        seen = "is a folder" if path.is_dir() else "does not exist"
        raise VideoError(f"{path}: {seen}; expected a video file. Check the path.")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: the file is empty (0 bytes); expected a video. Fetch it again from its source.")
    try:
        # Only local files: a playlist under a video's name must not reach out. Broken tags must not stop us.
        container = av.open(
            str(path.absolute()), options={"protocol_whitelist": "file"}, metadata_errors="replace", mode="r"
        )
    except (av.FFmpegError, OSError) as error:
        raise VideoError(
            f"{path}: not readable as a video ({getattr(error, 'strerror', None) or error}); expected MP4, MKV, WebM, "
            "MPEG or another container that FFmpeg knows, whole to its index. Check that it plays, or fetch it again."
        ) from error
    with container:
        yield container, _main_video_stream(container, path)


def timed_pictures(path: Path, damage: Damage) -> Generator[TimedPicture, None, None]:
    """All pictures of the main video stream, times strictly ascending. ``damage`` is kept up to date.

    Frame threads are quick, but an error while they are drained drops the pictures that they still hold; a second pass
    without threads then gives what is missing at the end.

    Raises:
        VideoError: see ``opened``; no picture decodes; or the picture size changes.
    """
    last_s = -math.inf
    for threads in (ThreadType.AUTO, ThreadType.NONE):
        damage.reset()
        decoder = _Decoder(path, threads, damage)
        for picture in decoder.pictures():
            if picture.time_s > last_s:
                last_s = picture.time_s
                yield picture
        if not decoder.has_lost_the_end:
            break
    if last_s == -math.inf:
        raise nothing_decodes(path)


def scan_packets(container: InputContainer, stream: VideoStream) -> PacketScan:
    """Read all packets, decode only until the first picture."""
    scan = PacketScan()
    tick = stream.time_base or Fraction(0)
    times: list[Fraction] = []
    ends: Fraction | None = None
    counter = _ClockCounter(stream)
    for packet in _packets(container, stream, counter):
        if packet is None:
            scan.n_incomplete += 1
            continue
        if scan.first_picture is None:
            scan.first_picture = _first_picture(packet)
        if packet.size == 0:
            continue  # the flush packet
        scan.n_incomplete += is_incomplete(packet)
        if packet.is_discard:
            scan.n_hidden += 1
        elif packet.pts is None or container.format.name in _CONTAINERS_WITHOUT_PRESENTATION_TIMES:
            scan.n_untimed += 1
        else:
            times.append(packet.pts * tick)
            end = times[-1] + ((packet.duration or 0) * tick or frame_interval_s(stream))
            ends = end if ends is None else max(ends, end)
    scan.n_clock_resets = counter.n_resets
    scan.times_s = [float(time) for time in sorted(times)]
    scan.end_s = None if ends is None else float(ends)
    return scan


def is_incomplete(packet: Packet[VideoStream]) -> bool:
    """Whether the container says that a part of the packet is missing."""
    return packet.is_corrupt and packet.size > 0


def frame_interval_s(stream: VideoStream) -> Fraction:
    """Time from frame to frame at the stream's stated rate."""
    return 1 / (stream.average_rate or stream.guessed_rate or DEFAULT_FPS)


def moving_streams(container: InputContainer) -> list[VideoStream]:
    """The video streams that are no cover art."""
    return [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]


def stream_duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    """How long the container says that the stream lasts; ``None`` where it says nothing."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if not container.duration:
        return None
    # In units of a microsecond. These containers state when they end, not how long they last.
    start = max(container.start_time or 0, 0) if container.format.name in _CONTAINERS_THAT_STATE_THEIR_END else 0
    return (container.duration - start) / 1e6


def nothing_decodes(path: Path) -> VideoError:
    """The error for a video stream of which no picture comes out."""
    return VideoError(
        f"{path}: has a video stream, but none of its pictures can be decoded; expected at least one. The file is "
        "damaged or cut off: fetch it again from its source."
    )


def _main_video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The moving stream of the largest area × duration; of equal ones that which libav prefers."""
    preferred = container.streams.best("video")
    moving = moving_streams(container)
    best = max(moving, key=lambda stream: (_pixel_seconds(container, stream), stream is preferred), default=None)
    if best is None:
        seen = ", ".join(stream.type for stream in container.streams) or "no stream"
        if container.streams.video:
            seen += " (the picture is cover art)"
        raise VideoError(f"{path}: holds {seen}; expected a video stream. Choose the file that has the pictures.")
    context: VideoCodecContext | None = best.codec_context
    if context is None:
        raise VideoError(f"{path}: its video codec has no decoder here; expected one. Convert it to H.264 first.")
    if context.name in _TEXT_CODECS:
        raise VideoError(f"{path}: holds text; expected video. Check the path.")
    return best


def _pixel_seconds(container: InputContainer, stream: VideoStream) -> float:
    context: VideoCodecContext | None = stream.codec_context  # none where the codec is not known
    seconds = _tagged_duration_s(stream) or stream_duration_s(container, stream) or 0.0
    return context.width * context.height * seconds if context else 0.0


def _tagged_duration_s(stream: VideoStream) -> float | None:
    """What Matroska says of one stream, whose header knows the whole file's length only."""
    found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    return None if found is None else 3600 * int(found[1]) + 60 * int(found[2]) + float(found[3])


class _Decoder:
    """One pass over a file. ``has_lost_the_end`` is known when the pass is over."""

    def __init__(self, path: Path, threads: ThreadType, damage: Damage) -> None:
        self._path = path
        self._threads = threads
        self._damage = damage
        self._latest_sent = self._latest_shown = -math.inf

    @property
    def has_lost_the_end(self) -> bool:
        """A packet was sent that is later than every picture that came out."""
        return self._latest_sent > self._latest_shown

    def pictures(self) -> Iterator[TimedPicture]:
        with opened(self._path) as (container, stream):
            stream.thread_type = self._threads
            clock, orientation = _Clock(container, stream), _Orientation()
            size: tuple[int, int] | None = None
            for picture in self._decoded(container, stream):
                timed = clock.timed(picture, orientation.of(picture))
                size = size or (picture.width, picture.height)
                if (picture.width, picture.height) != size:
                    raise VideoError(
                        f"{self._path}: the picture changes from {size[0]}x{size[1]} to {picture.width}x"
                        f"{picture.height} at {timed.time_s:.3f} s; expected one size. Cut the file there."
                    )
                yield timed

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        for packet in _packets(container, stream, _ClockCounter(stream)):
            if packet is None:
                self._damage.count_packet()
                continue
            if packet.pts is not None and packet.size and not packet.is_discard:
                self._latest_sent = max(self._latest_sent, packet.pts)
            try:
                decoded = packet.decode()
            except av.FFmpegError:
                self._damage.count_packet()
                continue
            if is_incomplete(packet):
                self._damage.count_packet()  # decoded all the same: MPEG-TS says so of whole packets after a cut
            for picture in decoded:
                if picture.pts is not None:
                    self._latest_shown = max(self._latest_shown, picture.pts)
                if picture.is_corrupt:  # the decoder has made up a part of it
                    self._damage.count_packet()
                    continue
                self._damage.count_picture(picture)
                yield picture


class _ClockCounter:
    """Counts a stream's clock on where it runs backwards: there the file was joined from parts.

    The order of decoding tells: a packet that is to be decoded before its predecessor, by however little, belongs to
    another part, which begins where the predecessor ends.
    """

    def __init__(self, stream: VideoStream) -> None:
        self.n_resets = 0
        self._offset = 0  # in ticks
        self._ends: tuple[int, int] | None = None  # when the packet before is decoded, and when it is over
        self._interval = round(frame_interval_s(stream) / stream.time_base) if stream.time_base else 0

    def count_on(self, packet: Packet[VideoStream]) -> None:
        """Give the packet the times that it has when nothing runs backwards."""
        if packet.dts is not None:
            if self._ends is not None and packet.dts < self._ends[0]:
                self.n_resets += 1
                self._offset += self._ends[1] - packet.dts
            self._ends = packet.dts, packet.dts + (packet.duration or self._interval)
            packet.dts += self._offset
        if packet.pts is not None:
            packet.pts += self._offset


class _Orientation:
    """How each picture is to be shown.

    A container says it of every picture, a bitstream (H.264 and H.265, message 47) now and then, many once at the
    beginning: it holds until something else is said.
    """

    def __init__(self) -> None:
        self._held = 1, 0, 0, 1

    def of(self, picture: av.VideoFrame) -> tuple[int, int, int, int]:
        """The display matrix of the next picture."""
        if has_display_matrix(picture):
            self._held = display_matrix(picture)
        return self._held


class _Clock:
    """Gives each picture a time later than its predecessor's.

    A picture without a time comes one frame interval after its predecessor (the first at 0). One whose time is not
    later than its predecessor's comes a millisecond after it.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._tick = stream.time_base or Fraction(0)
        self._interval = frame_interval_s(stream)
        self._is_stated = container.format.name not in _CONTAINERS_WITHOUT_PRESENTATION_TIMES
        self._previous: Fraction | None = None

    def timed(self, picture: av.VideoFrame, matrix: tuple[int, int, int, int]) -> TimedPicture:
        time = self._time(picture)
        self._previous = time
        length = picture.duration * self._tick or self._interval
        return TimedPicture(float(time), float(time + length), picture, matrix)

    def _time(self, picture: av.VideoFrame) -> Fraction:
        if not self._is_stated or picture.pts is None:
            return Fraction(0) if self._previous is None else self._previous + self._interval
        time = picture.pts * self._tick
        return time if self._previous is None or time > self._previous else self._previous + _NUDGE_S


def _packets(
    container: InputContainer, stream: VideoStream, counter: _ClockCounter
) -> Iterator[Packet[VideoStream] | None]:
    """The stream's packets, counted on, the flush packet last; ``None`` for a read error that reading could go on
    after."""
    failed_at_once = False
    while True:
        try:
            for packet in container.demux(stream):
                failed_at_once = False
                counter.count_on(packet)
                yield packet
        except av.FFmpegError:
            yield None
            if failed_at_once:
                yield _flush_packet(stream)
                return
            failed_at_once = True
        else:
            return


def _flush_packet(stream: VideoStream) -> Packet[VideoStream]:
    flush = cast("Packet[VideoStream]", av.Packet())
    flush.stream = stream
    return flush


def _first_picture(packet: Packet[VideoStream]) -> av.VideoFrame | None:
    try:
        return next((picture for picture in packet.decode() if not picture.is_corrupt), None)
    except av.FFmpegError:
        return None
