"""Pictures written as H.264 in MP4: the same pictures give the same bytes, in a file that is whole or absent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from stf_mamba.core.files import partial_path

if TYPE_CHECKING:
    import os

    from stf_mamba.core.records import UInt8Array

TICK = Fraction(1, 90000)
"""The clock of files whose pictures come with their own times."""

# x264 divides its work by the number of threads; and its macroblock tree, with AVX-512, gives different bits from run
# to run at sizes such as 320 × 240.
REPEATABLE_X264 = "mbtree=0"


@contextmanager
def h264_video(
    path: str | os.PathLike[str], fps: Fraction | int, crf: int
) -> Iterator[Callable[[UInt8Array | av.VideoFrame], None]]:
    """A function that appends a picture; the file gets its name when the block ends well, else nothing stays.

    The first picture decides the size, whose sides must be even, and the colour description. Arrays are (H, W, 3) uint8
    RGB and follow each other at ``fps``. A ``VideoFrame`` is shown at its own time, stated in ``TICK``; the encoder
    chooses its kind, not the one that it was decoded from.

    Args:
        fps: frames a second, which the encoder's rate control knows.
        crf: constant rate factor, 0 (best) to 51 (smallest).

    Raises:
        av.FFmpegError: odd sides, or a picture that x264 does not take.
        OSError: the folder cannot be written.
    """
    with partial_path(path) as partial, av.open(str(partial), "w", format="mp4") as container:
        stream: Any = None

        def append(picture: UInt8Array | av.VideoFrame) -> None:
            nonlocal stream
            shown = _timed(picture) if isinstance(picture, av.VideoFrame) else av.VideoFrame.from_ndarray(picture)
            if stream is None:
                has_times = isinstance(picture, av.VideoFrame)
                stream = _h264_stream(container, shown, Fraction(fps), crf, TICK if has_times else None)
            container.mux(stream.encode(shown))

        yield append
        if stream is not None:
            container.mux(stream.encode())


def write_h264(path: str | os.PathLike[str], frames: UInt8Array, fps: Fraction | int, crf: int) -> None:
    """Write frames (T, H, W, 3) uint8 RGB; arguments and errors as ``h264_video``."""
    with h264_video(path, fps, crf) as append:
        for rgb in np.ascontiguousarray(frames):
            append(rgb)


def _timed(picture: av.VideoFrame) -> av.VideoFrame:
    fresh = picture if picture.format.name == "yuv420p" else picture.reformat(format="yuv420p")
    fresh.pict_type = 0  # none of its own
    fresh.pts, fresh.time_base = picture.pts, picture.time_base
    return fresh


def _h264_stream(container: Any, first: av.VideoFrame, fps: Fraction, crf: int, tick: Fraction | None) -> Any:
    options = {"crf": str(crf), "preset": "medium", "threads": "1", "x264-params": REPEATABLE_X264}
    stream = container.add_stream("libx264", rate=fps, options=options)
    stream.width, stream.height, stream.pix_fmt = first.width, first.height, "yuv420p"
    context = stream.codec_context
    if tick is not None:
        context.time_base = tick
    context.color_primaries, context.color_trc = first.color_primaries, first.color_trc
    context.colorspace, context.color_range = first.colorspace, first.color_range
    return stream
