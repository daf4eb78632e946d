"""Soft masks of a face or its parts, drawn once per clip in the aligned frame, where five landmarks have fixed places.

A mask is kept as *signed depth*: the distance to its boundary, positive inside. The soft edge is a ramp around depth 0,
so erosion is a subtraction, and a moving boundary is a smooth field added to the depth: neither touches the interior.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from stf_mamba.faces.cropping import ALIGNED_LANDMARKS_PX

if TYPE_CHECKING:
    from stf_mamba.core.records import Float32Array, Float64Array, UInt8Array

    FloatArray = Float32Array | Float64Array
    Complex128Array = np.ndarray[tuple[int], np.dtype[np.complex128]]
    Picture = TypeVar("Picture", UInt8Array, Float32Array)

# The patch is the part of the aligned frame (112 px, see ``cropping``) that masks and blended faces live in. It reaches
# further than the aligned frame, because the chin lies below it and the temples beside it.
PATCH_SIDE_PX = 128
PATCH_CORNER_PX = np.array([-8.0, 0.0])
FACE_CENTRE_PX = ALIGNED_LANDMARKS_PX.mean(axis=0)

# Right halves of outlines in aligned pixels: distance from the midline, and y. The eyes lie at y = 52, the nose at 72,
# the mouth at 92; a grown face is about 78 wide at the eyes and its chin lies near 118.
_MIDLINE_PX = 56.0
_HALF_OUTLINES_PX = {
    "brows to chin": [
        (0, 37),
        (18, 33),
        (31, 37),
        (37, 47),
        (37.5, 60),
        (36, 74),
        (32, 90),
        (24, 104),
        (12, 113),
        (0, 116),
    ],
    "with forehead": [
        (0, 21),
        (16, 22),
        (28, 27),
        (36, 38),
        (38, 52),
        (37.5, 62),
        (36, 76),
        (32, 91),
        (24, 105),
        (12, 114),
        (0, 117),
    ],
    "inner": [(0, 39), (19, 37), (30, 42), (32, 54), (30, 68), (28, 84), (22, 98), (10, 105), (0, 106)],
    "eyes": [(0, 46), (10, 43), (22, 40), (31, 45), (32, 54), (24, 62), (12, 62), (0, 57)],
    "nose": [(0, 46), (6, 50), (9, 62), (14, 71), (12, 80), (0, 82)],
    "mouth": [(0, 82), (10, 82), (20, 87), (24, 94), (18, 102), (8, 107), (0, 108)],
}

# Which outlines make a mask, and how often. Swap models replace most of the face; parts keep a detector from leaning on
# one stretch of the boundary.
WHOLE_FACES: dict[tuple[str, ...], float] = {("brows to chin",): 0.5, ("with forehead",): 0.1, ("inner",): 0.4}
REGIONS: dict[tuple[str, ...], float] = {
    ("brows to chin",): 0.35,
    ("with forehead",): 0.15,
    ("inner",): 0.25,
    ("eyes", "nose", "mouth"): 0.1,
    ("nose", "mouth"): 0.05,
    ("eyes", "nose"): 0.05,
    ("mouth",): 0.05,
}

LARGEST_ELASTIC_PX = 4.0
ELASTIC_REACH_PX = 9.0
LARGEST_EROSION = 0.25  # of the mask's greatest depth, as are the next two
SMALLEST_SOFTNESS = 0.12
LARGEST_SOFTNESS = 0.7
SWIM_FIELDS = 4
SWIM_REACH_PX = 14.0
# How far a mask may reach beyond the outer one of eye and mouth corner: all the way in a face seen from the front, and
# less on the far side of a turned one, where the cheek lies close behind the eye.
BESIDE_EYES_PX = 21.0
LEAST_BESIDE_EYES_PX = 4.0


@dataclass(frozen=True, eq=False)
class MaskShape:
    """One draw of a mask.

    Attributes:
        region: the outlines that it consists of.
        depth_px: (128, 128) float32 signed depth in aligned pixels, positive inside; the ramp's middle lies at 0.
        softness_px: width of the ramp from 0 to 1 in aligned pixels.
        swim_fields: (K, 128, 128) float32 smooth fields of unit variance by which the boundary can move.
    """

    region: tuple[str, ...]
    depth_px: Float32Array
    softness_px: float
    swim_fields: Float32Array

    def weights(self, sides_px: Float64Array, swim_px: Float64Array | None = None) -> Float32Array:
        """(128, 128) float32 in [0, 1]: the mask in one frame.

        Args:
            sides_px: (2,) x of its left and right limit in aligned pixels, as ``face_sides`` gives them.
            swim_px: (K,) coefficients of the swim fields that move its boundary, ``None`` for none.
        """
        x_px = np.arange(PATCH_SIDE_PX, dtype=np.float32) + np.float32(PATCH_CORNER_PX[0] + 0.5)
        left_px, right_px = sides_px.astype(np.float32)
        depth_px = np.minimum(self.depth_px, np.minimum(x_px - left_px, right_px - x_px))
        if swim_px is not None and np.any(swim_px):
            depth_px = depth_px + np.tensordot(swim_px.astype(np.float32), self.swim_fields, axes=1)
        ramp = np.clip(np.minimum(depth_px, _inset_px()) / self.softness_px + 0.5, 0, 1)
        return cast("Float32Array", ramp * ramp * (3 - 2 * ramp))


def draw_mask_shape(generator: np.random.Generator, regions: Mapping[tuple[str, ...], float] = REGIONS) -> MaskShape:
    """The outline of one of ``regions`` (with their chances), deformed elastically, eroded and softened.

    Source: masks from a landmark hull with elastic deformation and blur: Shiohara and Yamasaki, "Detecting Deepfakes
    with Self-Blended Images", CVPR 2022, section 3.2. The outlines stand in for the hull of 68 landmarks.
    """
    region = list(regions)[int(generator.choice(len(regions), p=list(regions.values())))]
    elastic_px = generator.uniform(0, LARGEST_ELASTIC_PX)
    displacement_px = elastic_px / 2 * np.stack([smooth_field(generator, ELASTIC_REACH_PX) for _ in range(2)])
    depth_px = deform(region_depth(region), displacement_px, cv2.INTER_LINEAR)
    deepest_px = float(depth_px.max())
    erosion_px = generator.uniform(0, LARGEST_EROSION) * deepest_px
    softness_px = generator.uniform(SMALLEST_SOFTNESS, LARGEST_SOFTNESS) * deepest_px
    swim_fields = np.stack([smooth_field(generator, SWIM_REACH_PX) for _ in range(SWIM_FIELDS)])
    return MaskShape(region, depth_px - np.float32(erosion_px), softness_px, swim_fields)


def head_turn(aligned_px: Float64Array) -> Float64Array:
    """(T,) how far heads are turned, from landmarks (T, 5, 2) in aligned pixels: 0 seen from the front.

    The nose's distance from the midline over that of the eyes, positive to the right of the picture; about ±1 where the
    nose covers the far cheek.
    """
    beside_px = aligned_px[:, 2, 0] - aligned_px[:, [0, 1, 3, 4], 0].mean(axis=1)
    eyes_px = (ALIGNED_LANDMARKS_PX[1, 0] - ALIGNED_LANDMARKS_PX[0, 0]) / 2
    return cast("Float64Array", beside_px / eyes_px)


def face_sides(aligned_px: Float64Array, turn: Float64Array) -> Float64Array:
    """(T, 2) x of the left and right limit of a mask in aligned pixels.

    Args:
        aligned_px: (T, 5, 2) landmarks in aligned pixels.
        turn: (T, N) ``head_turn`` of the N faces that have to fill the mask.
    """
    left_px = np.maximum(BESIDE_EYES_PX * (1 + np.minimum(turn, 0).min(axis=1)), LEAST_BESIDE_EYES_PX)
    right_px = np.maximum(BESIDE_EYES_PX * (1 - np.maximum(turn, 0).max(axis=1)), LEAST_BESIDE_EYES_PX)
    x_px = aligned_px[..., 0]
    return np.stack([x_px[:, [0, 3]].min(axis=1) - left_px, x_px[:, [1, 4]].max(axis=1) + right_px], axis=1)


def region_depth(region: tuple[str, ...]) -> Float32Array:
    """(128, 128) float32 signed depth in aligned pixels of the union of ``region``'s outlines."""
    fraction_bits = 8
    inside = np.zeros((PATCH_SIDE_PX, PATCH_SIDE_PX), np.uint8)
    for name in region:
        half = np.array(_HALF_OUTLINES_PX[name], np.float64)
        outline = np.concatenate([half, half[::-1] * (-1, 1)])
        indices = outline + ((_MIDLINE_PX, 0) - PATCH_CORNER_PX - 0.5)  # of the patch's pixel centres
        cv2.fillPoly(inside, [np.rint(indices * 2**fraction_bits).astype(np.int32)], 1, shift=fraction_bits)
    within, without = (cv2.distanceTransform(part, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for part in (inside, 1 - inside))
    # Corners of the polygons and the steps of whole pixels would show in a hard edge.
    return cast("Float32Array", cv2.GaussianBlur(within - without, (0, 0), 1.5))


def smooth_field(generator: np.random.Generator, reach_px: float) -> Float32Array:
    """(128, 128) float32 Gaussian field of mean 0 and variance 1, blurred by ``reach_px`` (standard deviation)."""
    white = generator.standard_normal((PATCH_SIDE_PX, PATCH_SIDE_PX), np.float32)
    blurred = gaussian_filter(white, reach_px, mode="wrap")  # a reflecting border would double the variance there
    # White noise under a Gaussian kernel keeps the kernel's squared norm as its variance, 1 / (4 π reach²).
    return cast("Float32Array", blurred * np.float32(2 * np.sqrt(np.pi) * reach_px))


def deform(picture: Picture, displacement_px: FloatArray, interpolation: int) -> Picture:
    """``picture`` (S, S) or (S, S, C), each pixel fetched from a place ``displacement_px`` (2: x, y; S, S) away."""
    y, x = np.indices(picture.shape[:2], np.float32) + displacement_px[::-1].astype(np.float32)
    return cast("Picture", cv2.remap(picture, x, y, interpolation, borderMode=cv2.BORDER_REPLICATE))


@cache
def _inset_px() -> Float32Array:
    """(128, 128) float32: a depth that no mask exceeds, so that every mask is 0 at the patch's border.

    It falls from the border inwards, from far below 0.
    """
    steps = np.arange(PATCH_SIDE_PX, dtype=np.float32)
    to_border = np.minimum(steps, steps[::-1])
    return cast("Float32Array", 16 * (np.minimum.outer(to_border, to_border) - 4))


class Similarities(NamedTuple):
    """T maps z ↦ a · z + b of points z = x + iy, from aligned pixels to a clip's.

    Attributes:
        turn_and_scale: (T,) a, whose length scales and whose angle turns.
        offset: (T,) b.
    """

    turn_and_scale: Complex128Array
    offset: Complex128Array


def crop_from_aligned(landmarks_px: Float64Array) -> Similarities:
    """The maps, least squares, that bring the average landmarks to ``landmarks_px`` (T, 5, 2)."""
    template = ALIGNED_LANDMARKS_PX @ (1, 1j)  # (5,)
    points = landmarks_px @ (1, 1j)  # (T, 5)
    centred = template - template.mean()
    turn_and_scale = points @ centred.conj() / np.vdot(centred, centred).real
    return Similarities(turn_and_scale, points.mean(axis=1) - turn_and_scale * template.mean())


def to_aligned(landmarks_px: Float64Array, places: Similarities) -> Float64Array:
    """Landmarks (T, 5, 2) in aligned pixels: what remains of turned heads and of other faces than the average one."""
    points = (landmarks_px @ (1, 1j) - places.offset[:, None]) / places.turn_and_scale[:, None]
    return np.stack([points.real, points.imag], axis=-1)
