"""The still crop of one track: one side length, a smoothed path, frames cut to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
from scipy.ndimage import median_filter

from stf_mamba.core.records import Face, FaceTrack
from stf_mamba.faces.settings import FaceSettings

if TYPE_CHECKING:
    from stf_mamba.core.records import Float64Array, UInt8Array


# Where five landmarks lie in an aligned crop of 112 px. Source: Deng, Guo, Xue, Zafeiriou: "ArcFace", CVPR 2019,
# reference implementation.
ALIGNED_LANDMARKS_PX = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


ALIGNED_SIDE_PX = 112.0


class CropPath:
    """The crop of one track as a function of time: one side length, a smoothed centre (and angle when aligning).

    Each point of the path is a straight line fitted to the detections around it with Gaussian weights, evaluated at
    that time: a face that moves evenly is followed without lag, also at the track's ends, and jitter averages out.
    A median over three detections first keeps one misplaced box from bending the path. Outside the track the path
    rests at its ends.
    """

    def __init__(self, track: FaceTrack, settings: FaceSettings) -> None:
        self.size_px = settings.size_px
        self._align = settings.align
        self._smoothing_s = settings.smoothing_s
        self._times_s = np.array([face.time_s for face in track.faces])  # (N,)
        self._faces = track.faces
        if settings.align:
            positions_px = np.array([face.landmarks_px for face in track.faces])  # (N, 5, 2)
            scale = float(np.median([abs(_turn_and_scale(landmarks_px)) for landmarks_px in positions_px]))
            self.side_px = settings.margin * ALIGNED_SIDE_PX * scale
            below_centre = (ALIGNED_LANDMARKS_PX.mean(axis=0) / ALIGNED_SIDE_PX - 0.5) / settings.margin
        else:
            positions_px = np.array([[face.centre_px] for face in track.faces])  # (N, 1, 2)
            self.side_px = settings.margin * typical_side_px(track.faces)
            below_centre = np.zeros(2)
        self._positions_px = _without_outliers(positions_px)
        self._anchor_px = self.size_px * (0.5 + below_centre)  # where the mean position comes to lie in the crop

    def centre_at(self, time_s: float) -> Float64Array:
        """(2,) x and y of the point that the crop follows: the box's centre, or the landmarks' mean when aligning."""
        return cast("Float64Array", self._smoothed(self._positions_px, time_s).mean(axis=0))

    def landmarks_at(self, time_s: float) -> Float64Array:
        """(5, 2) landmarks in the crop's pixels, whole numbers being pixel centres; smoothed as the path is.

        They may lie outside the crop where the face does.
        """
        matrix = self.matrix_at(time_s)
        landmarks_px = self._smoothed(self._landmarks_px, time_s) - 0.5  # the first pixel's centre lies at (0.5, 0.5)
        return landmarks_px @ matrix[:, :2].T + matrix[:, 2]

    @cached_property
    def _landmarks_px(self) -> Float64Array:
        """(N, 5, 2) landmarks of the detections in the frame's pixels."""
        return _without_outliers(np.array([face.landmarks_px for face in self._faces]))

    def matrix_at(self, time_s: float) -> Float64Array:
        """(2, 3) affine map from the frame's pixels to the crop's; whole numbers are pixel centres in both."""
        positions_px = self._smoothed(self._positions_px, time_s)
        turn = _turn_and_scale(positions_px) if self._align else 1.0 + 0.0j
        turn *= self.size_px / (self.side_px * abs(turn))
        linear = np.array([[turn.real, turn.imag], [-turn.imag, turn.real]])  # turns back by the face's own angle
        # Boxes and landmarks count from the frame's corner, where the first pixel's centre lies at (0.5, 0.5).
        shift = self._anchor_px - 0.5 - linear @ (positions_px.mean(axis=0) - 0.5)
        return np.column_stack([linear, shift])

    def _smoothed(self, positions_px: Float64Array, time_s: float) -> Float64Array:
        """(K, 2): value at ``time_s`` of the lines fitted to the positions (N, K, 2) around it."""
        after_s = self._times_s - np.clip(time_s, self._times_s[0], self._times_s[-1])
        exponents = -0.5 * (after_s / self._smoothing_s) ** 2
        weights = np.exp(exponents - exponents.max())  # the nearest detection counts even if it is far away
        weights /= weights.sum()
        mean_s = weights @ after_s
        spread = weights @ (after_s - mean_s) ** 2
        # The line's value at 0 is a weighted sum of the positions; with a single detection in reach it is the mean.
        slope_weights = weights * (after_s - mean_s) / spread if spread > 1e-12 else np.zeros_like(weights)
        return np.tensordot(weights - mean_s * slope_weights, positions_px, axes=1)


def crop_face(rgb: UInt8Array, crop_path: CropPath, time_s: float) -> UInt8Array:
    """The face at ``time_s`` as (size, size, 3) uint8 RGB, cut from a frame (H, W, 3) uint8 RGB.

    Bicubic, because bilinear interpolation blurs more the further a position lies from whole pixels, which would
    pulse as the crop glides. A shrunk face is low-pass filtered first, equally in every frame of a track, so that fine
    texture does not flicker. Beyond the frame its edge pixels repeat: a black border would come and go with the motion.
    """
    matrix = crop_path.matrix_at(time_s)
    shrink = crop_path.side_px / crop_path.size_px
    blur_px = max(0.0, (shrink - 1) / 2)  # as much as averaging over the area of an output pixel
    rgb, corner = _surroundings(rgb, matrix, crop_path.size_px, reach_px=math.ceil(4 * blur_px) + 3)
    if blur_px > 0:
        rgb = cast("UInt8Array", cv2.GaussianBlur(rgb, (0, 0), blur_px, borderType=cv2.BORDER_REPLICATE))
    matrix[:, 2] += matrix[:, :2] @ corner
    size = (crop_path.size_px, crop_path.size_px)
    crop = cv2.warpAffine(rgb, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return cast("UInt8Array", crop)


def typical_side_px(faces: Sequence[Face]) -> float:
    return float(np.median([face.side_px for face in faces]))


def _without_outliers(positions_px: Float64Array) -> Float64Array:
    """Positions (N, K, 2), each coordinate the median over three detections."""
    return cast("Float64Array", median_filter(positions_px, size=(3, 1, 1), mode="nearest"))


def _turn_and_scale(landmarks_px: Float64Array) -> complex:
    """The similarity, least squares, from ``ALIGNED_LANDMARKS_PX`` to landmarks (5, 2): its length scales, its angle
    turns."""
    template = ALIGNED_LANDMARKS_PX - ALIGNED_LANDMARKS_PX.mean(axis=0)
    centred = landmarks_px - landmarks_px.mean(axis=0)
    template_z, landmarks_z = template @ (1, 1j), centred @ (1, 1j)
    return complex(np.vdot(template_z, landmarks_z) / np.vdot(template_z, template_z))


def _surroundings(
    rgb: UInt8Array, matrix: Float64Array, size_px: int, reach_px: int
) -> tuple[UInt8Array, Float64Array]:
    """The part of the frame that the crop and its filters touch, and its upper left corner (x, y): the rest need not
    be filtered. Never empty, also where the crop lies outside the frame."""
    height, width = rgb.shape[:2]
    outline = np.array([[0, 0, size_px, size_px], [0, size_px, 0, size_px]]) - 0.5
    corners = np.linalg.solve(matrix[:, :2], outline - matrix[:, 2:])  # (2, 4) in the frame's pixels
    left, top = np.clip(np.floor(corners.min(axis=1)) - reach_px, 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(axis=1)) + reach_px + 1, (left + 1, top + 1), (width, height)).astype(
        int
    )
    return rgb[top:bottom, left:right], np.array([left, top], np.float64)
