"""The input that the report's own signals had: frames spread over a whole video, a fixed crop, a fixed rectangle.

Kept so that the difference to consecutive frames of a tracked face is visible, not because it is recommended. The
report states neither the crop's nor the rectangle's size; both are assumptions, and named as such.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from stf_mamba.core.errors import VideoError
from stf_mamba.media.frames import FrameStream, frames_at
from stf_mamba.media.times import uniform_times

if TYPE_CHECKING:
    from stf_mamba.core.records import UInt8Array

REPORT_FRAMES = 32
CROP_SIDE_PX = 224
CROP_SHARE = 0.6  # assumed: of the picture's shorter side
RECTANGLE_SHARE = 0.5  # assumed: of the crop's side


def report_frames(path: str | os.PathLike[str], count: int = REPORT_FRAMES) -> UInt8Array:
    """(T, 224, 224, 3) uint8 RGB: the same square in the picture's middle, in frames spread over the whole video.

    Raises:
        VideoError: the video cannot be opened, or has fewer than ``count`` frames.
    """
    stream = FrameStream(path, lambda _: False)
    for _ in stream:
        pass
    if len(stream.times_s) < count:
        raise VideoError(
            f"{path} has {len(stream.times_s)} frames, the report's way needs {count}; leave this video out"
        )
    return np.stack([_centre_crop(frame.rgb) for frame in frames_at(path, uniform_times(stream.times_s, count))])


def fixed_rectangle(size_px: tuple[int, int], inset: float = 0.0) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """(H, W) bool: the rectangle in the middle that stood for the face.

    Args:
        size_px: H, W.
        inset: how far its sides move inwards, as a share of the rectangle's own sides.
    """
    within = np.zeros(size_px, np.bool_)
    margins = [side * (1 - RECTANGLE_SHARE * (1 - 2 * inset)) / 2 for side in size_px]
    top, left = (round(margin) for margin in margins)
    within[top : size_px[0] - top, left : size_px[1] - left] = True
    return within


def _centre_crop(rgb: UInt8Array) -> UInt8Array:
    height, width = rgb.shape[:2]
    side = round(CROP_SHARE * min(height, width))
    top, left = (height - side) // 2, (width - side) // 2
    crop = rgb[top : top + side, left : left + side]
    return cast("UInt8Array", cv2.resize(crop, (CROP_SIDE_PX, CROP_SIDE_PX), interpolation=cv2.INTER_AREA))
