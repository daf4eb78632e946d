"""Clips through a real video codec, in memory: what H.264 and H.265 leave of them."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import av
import numpy as np
from av.codec.codec import UnknownCodecError
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

from stf_mamba.core.errors import UsageError
from stf_mamba.core.records import UInt8Array
from stf_mamba.media.colour import RgbConverter
from stf_mamba.media.encoding import REPEATABLE_X264

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

    VideoPacket = Packet[VideoStream]

VideoCodec = Literal["h264", "h265"]

ENCODERS = {"h264": "libx264", "h265": "libx265"}
DECODERS = {"h264": "h264", "h265": "hevc"}
LARGEST_CRF = 51

# One thread each: loader processes share the cores, and the same clip must give the same bytes everywhere. With their
# macroblock trees on, or x265's default coding units of 64 pixels, the bytes depend on what fresh memory happens to
# hold; x265's tree also writes past its end where a picture is 33 to 48 pixels wide.
_OPTIONS = {
    "h264": {"preset": "fast", "x264-params": REPEATABLE_X264},
    "h265": {"preset": "fast", "x265-params": "cutree=0:ctu=32:pools=none:frame-threads=1:log-level=none"},
}
_SMALLEST_SIDE_PX = 64  # x265 refuses below 32, and two coding units each way keep off its edge cases
_EXACT = 0x4 | 0x40000 | 0x2000  # as colour.py, which takes the samples back: bicubic chroma, rounded


def recode(frames: UInt8Array, codec: VideoCodec, crf: int, fps: Fraction | int = 25) -> UInt8Array:
    """What a player shows of ``frames`` after encoding: (T, H, W, 3) uint8 RGB, the same T moments in order.

    Samples are stored as 4:2:0 with the matrix and range of BT.709, stated in the stream and honoured on the way back,
    so that colours lose resolution and precision but do not shift. The first frame is the stream's only certain key
    frame.

    Args:
        frames: (T, H, W, 3) uint8 RGB.
        codec: by x264 or x265, one thread, preset "fast".
        crf: constant rate factor, 0 (best) to 51 (smallest). The two codecs' scales differ.
        fps: frames a second, which the encoder's rate control knows.

    Raises:
        ValueError: another shape or type, no frame, an unknown codec, or ``crf`` out of range.
        UsageError: this build of PyAV lacks the encoder; another codec is not put in its place.
    """
    packets = encode(frames, codec, crf, fps)
    decoder: Any = av.CodecContext.create(DECODERS[codec], "r")
    decoder.thread_count = 1
    convert = RgbConverter()
    pictures = [convert(picture) for packet in [*packets, None] for picture in decoder.decode(packet)]
    assert len(pictures) == len(frames), f"{len(frames)} frames were encoded, {len(pictures)} came back"
    height, width = frames.shape[1:3]
    return np.stack(pictures)[:, :height, :width]


def encode(frames: UInt8Array, codec: VideoCodec, crf: int, fps: Fraction | int = 25) -> list[VideoPacket]:
    """The elementary stream of ``frames``, in the order of decoding. Arguments and errors as ``recode``.

    Odd sides grow by a repeated edge line, and sides below 64 pixels to 64, because 4:2:0 and x265 ask for it.
    """
    _check(frames, codec, crf)
    padded = _padded(frames)
    encoder = _encoder(codec, crf, Fraction(fps), padded.shape[2], padded.shape[1])
    scaler = VideoReformatter()
    packets: list[VideoPacket] = []
    for index, rgb in enumerate(padded):
        picture = scaler.reformat(
            av.VideoFrame.from_ndarray(rgb, "rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=_EXACT,
            threads=1,
        )
        picture.pts, picture.time_base = index, encoder.time_base
        packets += encoder.encode(picture)
    packets += encoder.encode(None)  # what the encoder held back for its B-frames
    return packets


def _check(frames: UInt8Array, codec: str, crf: int) -> None:
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise ValueError(f"expected frames (T, H, W, 3) uint8, at least one, got {frames.shape} {frames.dtype}")
    if codec not in ENCODERS:
        raise ValueError(f"codec is {codec!r}, expected one of {', '.join(ENCODERS)}")
    if not 0 <= crf <= LARGEST_CRF:
        raise ValueError(f"crf is {crf}, expected 0 to {LARGEST_CRF}")


def _padded(frames: UInt8Array) -> UInt8Array:
    bottom, right = (max(side + side % 2, _SMALLEST_SIDE_PX) - side for side in frames.shape[1:3])
    return np.pad(frames, ((0, 0), (0, bottom), (0, right), (0, 0)), mode="edge")


def _encoder(codec: str, crf: int, fps: Fraction, width_px: int, height_px: int) -> Any:
    name = ENCODERS[codec]
    try:
        encoder: Any = av.CodecContext.create(name, "w")
    except UnknownCodecError:
        raise UsageError(
            f"this build of PyAV (FFmpeg) has no encoder {name}, which {codec} needs; install PyAV's own wheel "
            f"(pip install --only-binary av av), or ask for the other codec: in a recipe augment.h265 is the part of "
            "H.265, 0 for none"
        ) from None
    encoder.width, encoder.height, encoder.pix_fmt = width_px, height_px, "yuv420p"
    encoder.time_base, encoder.framerate = 1 / fps, fps
    encoder.color_primaries, encoder.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    encoder.colorspace, encoder.color_range = Colorspace.ITU709, ColorRange.MPEG
    encoder.thread_count = 1
    encoder.options = {"crf": str(crf)} | _OPTIONS[codec]
    return encoder
