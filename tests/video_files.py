"""Fabricated media: real videos of numbered frames, and every kind of bad file, made in a moment and without network.

write_video(tmp_path / "a.mp4", numbered_frames(50, 96, 64))
truncate(tmp_path / "a.mp4", 0.6)
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.bitstream import BitStreamFilterContext

from stf_mamba.media.frames import Frame

UInt8Array = npt.NDArray[np.uint8]
Picture = UInt8Array | av.VideoFrame
Pictures = Iterable[Picture] | Callable[[], Iterable[Picture]]

_ROWS, _COLUMNS = 4, 4
_DARK, _LIGHT = 40, 215
_FINE_TICK = Fraction(1, 90000)


@dataclass(frozen=True)
class ColourTags:
    """What a stream says of its colours, as numbers of ITU-T H.273 (2: not stated); range 1 limited, 2 full."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 1


def write_video(
    path: Path,
    frames: Pictures,
    fps: Fraction = Fraction(25),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    crf: int | None = 23,
    times: Sequence[float] | None = None,
    options: Mapping[str, str] | None = None,
    audio: bool = False,
    rotation: int = 0,
    mirrored: bool = False,
    tags: ColourTags | None = None,
    index_first: bool = True,
) -> Path:
    """Encode ``frames`` into the container that the path's suffix names. Returns the path.

    Args:
        frames: (H, W, 3) uint8 RGB arrays of one size, or ready ``av.VideoFrame``s, or a function that gives them.
        crf: constant rate factor for libx264, libx265 and libvpx; ignored by other codecs.
        times: presentation times in seconds for a variable frame rate; negative ones get hidden by an edit list in
            MP4. A fixed rate where left out.
        options: more encoder options, such as ``{"g": "12", "bf": "3"}``.
        audio: add a tone of the same length (AAC; MP4, MOV and MKV only).
        rotation: counter-clockwise turn in degrees that a player must apply (MP4 and MOV).
        mirrored: a player must mirror left and right after turning.
        tags: colour description; the samples of ``av.VideoFrame``s are not touched.
        index_first: MP4 and MOV with their index at the beginning, so that a truncated file can still be opened.
    """
    pictures = iter(frames() if callable(frames) else frames)
    first = next(pictures)
    tick = 1 / Fraction(fps) if times is None else _FINE_TICK
    movflags = {"movflags": "faststart"} if index_first and path.suffix in {".mp4", ".mov"} else {}
    with av.open(str(path), "w", options=movflags) as container:
        stream = _video_stream(container, first, Fraction(fps), codec, pix_fmt, tags)
        stream.codec_context.time_base = tick
        stream.options = _options(codec, crf, options)
        if rotation or mirrored:
            stream.set_display_rotation(rotation, hflip=mirrored)
        sound = container.add_stream("aac", rate=48000, layout="mono") if audio else None
        count = 0
        for index, picture in enumerate(_chain(first, pictures)):
            frame = picture if isinstance(picture, av.VideoFrame) else av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts = index if times is None else round(times[index] / tick)
            frame.time_base = tick
            container.mux(stream.encode(frame))
            count += 1
        container.mux(stream.encode())
        if sound is not None:
            _mux_tone(container, sound, float(count / fps))
    return path


def numbered_frames(count: int, width: int = 96, height: int = 64, first: int = 0) -> Iterator[UInt8Array]:
    """Frames (height, width, 3) that show their own number, ``first`` and up, for ``read_number`` to read.

    The number is drawn as 4 x 4 grey blocks (12 bits and a check of 4), which survive lossy coding from 32 x 32
    pixels on, and cannot be read from a picture that is turned or mirrored.
    """
    for number in range(first, first + count):
        yield _numbered(number, width, height)


def read_number(rgb: UInt8Array) -> int:
    """The number that a frame of ``numbered_frames`` shows.

    Raises:
        ValueError: the blocks do not agree with their check: turned, mirrored, smeared, or another picture.
    """
    height, width, _ = rgb.shape
    rows = (np.arange(_ROWS) * 2 + 1) * height // (2 * _ROWS)
    columns = (np.arange(_COLUMNS) * 2 + 1) * width // (2 * _COLUMNS)
    bits = (rgb.mean(axis=2)[np.ix_(rows, columns)] > (_DARK + _LIGHT) / 2).ravel()
    code = int(sum(int(bit) << place for place, bit in enumerate(bits)))
    number, check = code & 0xFFF, code >> 12
    if check != _check(number):
        raise ValueError(f"no number can be read: the blocks say {number}, check {check}")
    return number


def plain_yuv(
    luma: int, blue: int, red: int, width: int = 64, height: int = 64, pix_fmt: str = "yuv420p"
) -> av.VideoFrame:
    """One picture whose every sample is (Y', Cb, Cr), as stored: nothing is converted."""
    frame = av.VideoFrame(width, height, pix_fmt)
    sample = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
    for plane, value in zip(frame.planes, (luma, blue, red), strict=True):
        plane.update(np.full(plane.buffer_size // np.dtype(sample).itemsize, value, sample).tobytes())
    return frame


def write_transparent_gif(path: Path, count: int = 5, width: int = 48, height: int = 32) -> Path:
    """A GIF: a (200, 10, 10) square of 8 pixels at (8, 8), fully transparent around it. 10 frames a second."""
    indices = np.zeros((height, width), np.uint8)
    indices[8:16, 8:16] = 1
    palette = np.zeros((256, 4), np.uint8)
    palette[1] = (255, 200, 10, 10)  # alpha, red, green, blue
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, "pal8"
        for index in range(count):
            array: Any = (indices, palette)
            frame = av.VideoFrame.from_ndarray(array, "pal8")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def remuxed(source: Path, target: Path, bitstream_filter: str = "null", tags: Mapping[str, str] | None = None) -> Path:
    """The packets of a video in another container, through a bitstream filter, with tags of the stream."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        stream.metadata.update(tags or {})
        through = BitStreamFilterContext(bitstream_filter, old.streams.video[0])
        for packet in old.demux(video=0):
            for filtered in through.filter(packet) if packet.dts is not None else ():
                filtered.stream = stream
                new.mux(filtered)
    return target


def truncate(path: Path, fraction: float) -> Path:
    """Cut the file down to the first ``fraction`` of its bytes. Returns the path."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    return path


def corrupt_middle(path: Path, fraction: float = 0.1, seed: int = 0) -> Path:
    """Overwrite ``fraction`` of the file, around its middle, with noise. Returns the path."""
    content = bytearray(path.read_bytes())
    length = int(len(content) * fraction)
    start = (len(content) - length) // 2
    content[start : start + length] = np.random.default_rng(seed).bytes(length)
    path.write_bytes(content)
    return path


def audio_only(path: Path, seconds: float = 0.5) -> Path:
    """An MP4 (by suffix) that holds a tone and no picture. Returns the path."""
    with av.open(str(path), "w") as container:
        _mux_tone(container, container.add_stream("aac", rate=48000, layout="mono"), seconds)
    return path


def audio_with_cover(path: Path) -> Path:
    """A FLAC tone with a cover picture, which libav offers as a video stream. Returns the path."""
    with av.open(str(path), "w", format="flac") as container:
        _mux_tone(container, container.add_stream("flac", rate=48000, layout="mono", format="s16"), 0.5)
    content = path.read_bytes()
    picture = _png(32, 32)
    mime = b"image/png"
    block = struct.pack(">II", 3, len(mime)) + mime + struct.pack(">I", 0) + struct.pack(">IIII", 32, 32, 24, 0)
    block += struct.pack(">I", len(picture)) + picture
    header = bytes([6]) + len(block).to_bytes(3, "big")  # metadata block 6: picture
    stream_info_end = 4 + 4 + 34
    path.write_bytes(content[:stream_info_end] + header + block + content[stream_info_end:])
    return path


def text_named_mp4(path: Path) -> Path:
    """A text file under whatever name ``path`` has. Returns the path."""
    path.write_text("This is not a video.\n" * 20, encoding="utf-8")
    return path


def _video_stream(
    container: Any, first: Picture, fps: Fraction, codec: str, pix_fmt: str, tags: ColourTags | None
) -> Any:
    stream = container.add_stream(codec, rate=fps)
    stream.pix_fmt = pix_fmt
    if isinstance(first, av.VideoFrame):
        stream.width, stream.height = first.width, first.height
    else:
        stream.height, stream.width = first.shape[:2]
    stream.codec_context.thread_count = 1
    if tags is not None:
        context = stream.codec_context
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        context.colorspace, context.color_range = tags.matrix, tags.range
    return stream


def _options(codec: str, crf: int | None, more: Mapping[str, str] | None) -> dict[str, str]:
    options = {"crf": str(crf)} if crf is not None and codec in {"libx264", "libx265", "libvpx", "libvpx-vp9"} else {}
    if codec == "libx265":
        options["x265-params"] = "log-level=none"
    if codec.startswith("libvpx"):
        options |= {"deadline": "realtime", "cpu-used": "8", "b": "0" if codec == "libvpx-vp9" else "1M"}
    return options | dict(more or {})


def _chain(first: Picture, rest: Iterator[Picture]) -> Iterator[Picture]:
    yield first
    yield from rest


def _numbered(number: int, width: int, height: int) -> UInt8Array:
    if not 0 <= number < 1 << 12:
        raise ValueError(f"numbers from 0 to 4095 can be drawn, got {number}")
    code = number | _check(number) << 12
    bits = np.array([code >> place & 1 for place in range(_ROWS * _COLUMNS)]).reshape(_ROWS, _COLUMNS)
    rows = np.arange(height) * _ROWS // height
    columns = np.arange(width) * _COLUMNS // width
    grey = np.where(bits[np.ix_(rows, columns)] == 1, _LIGHT, _DARK).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _check(number: int) -> int:
    return (number * 7 + 5) % 13 + 1


def _mux_tone(container: Any, stream: Any, seconds: float) -> None:
    size = stream.codec_context.frame_size or 1024
    angle = 2 * np.pi * 440 / 48000 * np.arange(int(seconds * 48000))
    samples = (8000 * np.sin(angle)).astype(np.int16)
    for start in range(0, len(samples), size):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + size], format="s16", layout="mono")
        frame.sample_rate = 48000
        frame.pts = start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def _png(width: int, height: int) -> bytes:
    encoder: Any = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "rgb24"
    encoder.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 90, np.uint8), "rgb24")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode()])


def noisy_frames(count: int, seed: int = 0) -> Iterator[UInt8Array]:
    """Numbered frames under noise, so that each packet weighs about a kilobyte."""
    generator = np.random.default_rng(seed)
    for frame in numbered_frames(count, 128, 96):
        noise = generator.integers(-20, 21, frame.shape)
        yield (frame.astype(np.int16) + noise).astype(np.uint8)


def numbers(frames: Iterable[Frame]) -> list[int]:
    """What each frame of a numbered video shows."""
    return [read_number(frame.rgb) for frame in frames]


def exhaustive_without_threads(path: Path) -> tuple[list[float], int]:
    """Times and errors of a plain libav loop with one thread: nothing is lost when it drains."""
    times, errors = [], 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for packet in container.demux(stream):
            try:
                times += [frame.time for frame in packet.decode()]
            except av.FFmpegError:
                errors += 1
    return times, errors
