"""Where the face lies in each frame of a clip: the outline of ``face_masks`` carried along by the five landmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from stf_mamba.face_masks import PATCH_CORNER_PX, PATCH_SIDE_PX, face_sides, head_turn, region_depth
from stf_mamba.faces import ALIGNED_LANDMARKS_PX
from stf_mamba.signals.result import UndefinedSignalError

if TYPE_CHECKING:
    from stf_mamba.records import Float32Array, Float64Array

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
    turn_and_scale, offset = _crop_from_aligned(landmarks_px)
    aligned_px = _complex_to_xy((landmarks_px @ (1, 1j) - offset[:, None]) / turn_and_scale[:, None])
    sides_px = face_sides(aligned_px, head_turn(aligned_px)[:, None]).astype(np.float32)  # (T, 2)
    patch_px = region_depth(outline)
    x_px = np.arange(PATCH_SIDE_PX, dtype=np.float32) + np.float32(PATCH_CORNER_PX[0] + 0.5)
    first = complex(*(PATCH_CORNER_PX + 0.5))  # where the patch's first pixel has its centre
    depth = np.empty((len(landmarks_px), *size_px), np.float32)
    for index, (turn, shift) in enumerate(zip(turn_and_scale, offset + turn_and_scale * first, strict=True)):
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


def _crop_from_aligned(landmarks_px: Float64Array) -> tuple[np.ndarray[tuple[int], np.dtype[np.complex128]], ...]:
    """(T,) and (T,): a and b of the maps z ↦ a · z + b, z = x + iy, from aligned pixels, least squares.

    Raises:
        ValueError: the landmarks of a frame lie in one point.
    """
    template = ALIGNED_LANDMARKS_PX @ (1, 1j)  # (5,)
    points = landmarks_px @ (1, 1j)  # (T, 5)
    centred = template - template.mean()
    turn_and_scale = points @ centred.conj() / np.vdot(centred, centred).real
    if (np.abs(turn_and_scale) < 1e-6).any():
        raise ValueError(
            f"landmarks {landmarks_px.shape} of frame {int(np.abs(turn_and_scale).argmin())} lie in one point, "
            "expected two eyes, a nose and two mouth corners apart; leave this clip out"
        )
    return turn_and_scale, points.mean(axis=1) - turn_and_scale * template.mean()


def _complex_to_xy(points: np.ndarray[tuple[int, int], np.dtype[np.complex128]]) -> Float64Array:
    return cast("Float64Array", np.stack([points.real, points.imag], axis=-1))
