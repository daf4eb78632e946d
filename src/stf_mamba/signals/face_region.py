"""Where the face lies in each frame of a clip: the outline of ``face_masks`` carried along by the five landmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from stf_mamba.faces.masks import (
    PATCH_CORNER_PX,
    PATCH_SIDE_PX,
    Similarities,
    crop_from_aligned,
    face_sides,
    head_turn,
    region_depth,
    to_aligned,
)
from stf_mamba.signals.result import UndefinedSignalError

if TYPE_CHECKING:
    from stf_mamba.core.records import Float32Array, Float64Array

    BoolArray = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

# Lengths in aligned pixels, of which a grown face is about 78 wide at the eyes.
FACE = ("brows to chin",)  # what face swaps replace
HEAD = ("with forehead",)
RING_PX = 6.0  # half width of the ring along the outline
SMALLEST_REGION_PX = 100  # pixels of the clip


def face_depth(landmarks_px: Float64Array, size_px: tuple[int, int], outline: tuple[str, ...] = FACE) -> Float32Array:
    """(T, H, W) float32 signed distance to the face's outline in aligned pixels, positive inside.

    Args:
        landmarks_px: (T, 5, 2) in the clip's pixels, whole numbers being pixel centres; checked by the caller.
        size_px: H, W.
        outline: the outlines of ``face_masks`` that make up the region; its sides give way in a turned head.
    """
    places = _places(landmarks_px)
    aligned_px = to_aligned(landmarks_px, places)
    sides_px = face_sides(aligned_px, head_turn(aligned_px)[:, None]).astype(np.float32)  # (T, 2)
    patch_px = region_depth(outline)
    x_px = np.arange(PATCH_SIDE_PX, dtype=np.float32) + np.float32(PATCH_CORNER_PX[0] + 0.5)
    first = complex(*(PATCH_CORNER_PX + 0.5))  # where the patch's first pixel has its centre
    depth = np.empty((len(landmarks_px), *size_px), np.float32)
    for index, (turn, shift) in enumerate(
        zip(places.turn_and_scale, places.offset + places.turn_and_scale * first, strict=True)
    ):
        left_px, right_px = sides_px[index]
        limited_px = np.minimum(patch_px, np.minimum(x_px - left_px, right_px - x_px))
        matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
        # The patch's border lies outside of every outline, so what is beyond it does as well.
        depth[index] = cv2.warpAffine(
            limited_px,
            matrix,
            size_px[::-1],
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=-PATCH_SIDE_PX,
        )
    return depth


def require_region(region: BoolArray, what: str) -> BoolArray:
    """The region (T, H, W) itself.

    Raises:
        UndefinedSignalError: in some frame it has hardly any pixels.
    """
    pixels = region.sum(axis=(1, 2))
    if pixels.min() < SMALLEST_REGION_PX:
        raise UndefinedSignalError(
            f"frame {int(pixels.argmin())} holds {int(pixels.min())} pixels of {what}, expected "
            f"{SMALLEST_REGION_PX} or more; the face is too small or lies outside the crop, leave this clip out"
        )
    return region


def _places(landmarks_px: Float64Array) -> Similarities:
    """The maps from aligned pixels to the clip's.

    Raises:
        ValueError: the landmarks of a frame lie in one point.
    """
    places = crop_from_aligned(landmarks_px)
    sizes = np.abs(places.turn_and_scale)
    if (sizes < 1e-6).any():
        raise ValueError(
            f"landmarks {landmarks_px.shape} of frame {int(sizes.argmin())} lie in one point, "
            "expected two eyes, a nose and two mouth corners apart; leave this clip out"
        )
    return places
