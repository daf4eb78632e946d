"""H.264 files written from frames."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

TICK = Fraction(1, 90000)


def x264_stream(container: Any, picture: Any, fps: Fraction, crf: int) -> Any:
    options = {"crf": str(crf), "preset": "medium", "threads": "1", "x264-params": "mbtree=0"}
    stream = container.add_stream("libx264", rate=fps, options=options)
    stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, "yuv420p"
    context = stream.codec_context
    context.time_base = TICK
    context.color_primaries, context.color_trc = picture.color_primaries, picture.color_trc
    context.colorspace, context.color_range = picture.colorspace, picture.color_range
    return stream
