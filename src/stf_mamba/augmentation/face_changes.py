"""The identity-like change of a blended face: one draw per clip of its place, shape, sharpness, colour and weight.

A swap model writes a face that is smoother than its surroundings, off in colour by a little, and not quite the shape of
the face that it covers. The draws are made to cover that, in aligned patches (see ``face_masks``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import cv2
import numpy as np

from stf_mamba.faces.masks import PATCH_SIDE_PX, REGIONS, WHOLE_FACES, MaskShape, deform, draw_mask_shape, smooth_field

if TYPE_CHECKING:
    from stf_mamba.core.records import Float32Array, Float64Array, UInt8Array

BLENDING_RATIOS = (0.5, 0.75, 1.0, 1.0, 1.0, 1.0)
LARGEST_SHIFT = (0.03, 0.015)  # x, y, of the face's width; as in self-blended images
FACE_WIDTH_PX = 78.0
LARGEST_LOG_SCALE = 0.05
LARGEST_WARP_PX = 1.6
WARP_REACH_PX = 13.0

# Swapped faces are only a little smoother than real ones: were these ranges wider, blur alone would give the
# pseudo-fakes away.
SMALLEST_RESOLUTION = 0.5
TextureChange = Literal["none", "blur", "denoise", "sharpen"]
TEXTURE_CHANGES: tuple[tuple[TextureChange, float], ...] = (
    ("none", 0.25),
    ("blur", 0.2),
    ("denoise", 0.2),
    ("sharpen", 0.35),
)
LARGEST_BLUR_PX = 0.9  # in aligned pixels, standard deviation
LARGEST_SHARPENING = 1.0
DENOISE_LEVELS = (12.0, 45.0)

# Relative to the face's own mean colour: in a dark clip, a shift by grey levels would be a glaring one.
LARGEST_BRIGHTNESS = 0.08
LARGEST_CHANNEL_GAIN = 0.05
LARGEST_CONTRAST = 0.15
LARGEST_SATURATION = 0.25
LARGEST_HUE_RAD = 0.2

# From R'G'B' to a luma and two colour-difference axes and back. Source: the YIQ axes of the NTSC system.
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])

_LAB_SPREAD_RATIOS = (0.6, 1.6)
_FRAMES_FOR_STATISTICS = 8


@dataclass(frozen=True, eq=False)
class FaceChange:
    """One draw of everything that stays the same through a clip.

    Attributes:
        mask: where the face is blended.
        ratio: weight of the blended face where the mask is 1.
        shift_px: (2,) displacement (x, y) in aligned pixels.
        scale: size of the blended face over the size of the face that it covers.
        warp_px: (2, 128, 128) float32 displacement in aligned pixels that changes the face's shape.
        resolution: side of the face as the model would write it, over its side in the picture.
        texture: what else happens to its detail, by ``texture_strength`` in [0, 1].
        spread: (3, 3) linear map of R'G'B' differences from the face's mean colour: contrast, hue, saturation.
        gains: (3,) factors of R'G'B'.
    """

    mask: MaskShape
    ratio: float
    shift_px: Float64Array
    scale: float
    warp_px: Float32Array
    resolution: float
    texture: TextureChange
    texture_strength: float
    spread: Float64Array
    gains: Float64Array

    def colour_map(self, mean_rgb: Float64Array) -> Float64Array:
        """(3, 4) affine map of R'G'B' grey levels for a face of mean colour ``mean_rgb`` (3,)."""
        linear = self.gains[:, None] * self.spread
        return np.column_stack([linear, self.gains * mean_rgb - linear @ mean_rgb])


def draw_face_change(generator: np.random.Generator, crossed: bool) -> FaceChange:
    """A change for one clip. ``crossed``: another person's face, which is always blended whole and in full weight.

    Source: kinds of transform (RGB shift, hue, saturation, value, brightness, contrast, down-scaling or sharpening,
    resize and translation, blending ratio): Shiohara and Yamasaki, "Detecting Deepfakes with Self-Blended Images",
    CVPR 2022, section 3.2. Ranges are ours, and only the blended face changes, never what surrounds it.
    """
    textures, chances = zip(*TEXTURE_CHANGES, strict=True)
    warp_px = generator.uniform(0, LARGEST_WARP_PX)
    mask = draw_mask_shape(generator, WHOLE_FACES if crossed else REGIONS)
    ratio = float(generator.choice(BLENDING_RATIOS))  # drawn in any case, so that later draws stay in step
    spread, gains = _draw_colour(generator)
    return FaceChange(
        mask=mask,
        ratio=1.0 if crossed else ratio,
        shift_px=FACE_WIDTH_PX * np.array(LARGEST_SHIFT) * generator.uniform(-1, 1, 2),
        scale=float(np.exp(LARGEST_LOG_SCALE * generator.uniform(-1, 1))),
        warp_px=np.stack([smooth_field(generator, WARP_REACH_PX) for _ in range(2)]) * np.float32(warp_px),
        resolution=float(np.exp(generator.uniform(np.log(SMALLEST_RESOLUTION), 0))),
        texture=textures[int(generator.choice(len(textures), p=chances))],
        texture_strength=float(generator.uniform(0.2, 1)),
        spread=spread,
        gains=gains,
    )


def change_patch(patch: UInt8Array, change: FaceChange) -> UInt8Array:
    """A patch (S, S, 3) uint8 RGB at the model's resolution, warped and with its texture changed; colours stay."""
    side = len(patch)
    warp_px = np.stack([cv2.resize(field, (side, side)) for field in change.warp_px]) * (side / PATCH_SIDE_PX)
    warped: Any = deform(patch, warp_px, cv2.INTER_CUBIC)
    strength = change.texture_strength
    blur_px = LARGEST_BLUR_PX * strength * side / PATCH_SIDE_PX
    match change.texture:
        case "blur":
            warped = cv2.GaussianBlur(warped, (0, 0), blur_px)
        case "denoise":
            least, most = DENOISE_LEVELS
            warped = cv2.bilateralFilter(warped, 5, least + (most - least) * strength, 2.0)
        case "sharpen":
            amount = LARGEST_SHARPENING * strength
            warped = cv2.addWeighted(warped, 1 + amount, cv2.GaussianBlur(warped, (0, 0), 1.0), -amount, 0)
    return cast("UInt8Array", warped)


def match_colours(
    patches: Sequence[UInt8Array], references: Sequence[UInt8Array], weights: Float32Array
) -> list[UInt8Array]:
    """``patches`` with the Lab mean and spread of ``references``, all (S, S, 3) uint8 RGB; one map for the whole clip.

    Args:
        weights: (S, S) float32, what counts.

    Source: Reinhard, Ashikhmin, Gooch, Shirley, "Color Transfer between Images", IEEE CG&A 2001, in CIE Lab; the ratio
    of the spreads is bounded, so that a flat patch does not become noise.
    """
    mean, spread = _lab_statistics(patches, weights)
    wanted_mean, wanted_spread = _lab_statistics(references, weights)
    ratio = np.clip(wanted_spread / np.maximum(spread, 1e-3), *_LAB_SPREAD_RATIOS)
    matched = []
    for patch in patches:
        lab = (_lab(patch) - mean) * ratio + wanted_mean
        rgb = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)
        matched.append(cast("UInt8Array", np.rint(255 * np.clip(rgb, 0, 1)).astype(np.uint8)))
    return matched


def _lab_statistics(patches: Sequence[UInt8Array], weights: Float32Array) -> tuple[Float64Array, Float64Array]:
    """Weighted mean (3,) and standard deviation (3,) in CIE Lab over a few frames spread over the clip."""
    chosen = np.unique(np.linspace(0, len(patches) - 1, _FRAMES_FOR_STATISTICS).astype(int))
    lab = np.stack([_lab(patches[index]) for index in chosen])  # (F, S, S, 3)
    share = (weights / (weights.sum() * len(chosen))).astype(np.float64)[None, ..., None]  # (1, S, S, 1)
    mean = (share * lab).sum(axis=(0, 1, 2))
    variance = (share * (lab - mean) ** 2).sum(axis=(0, 1, 2))
    return mean, np.sqrt(variance)


def _lab(patch: UInt8Array) -> Float32Array:
    return cast("Float32Array", cv2.cvtColor(patch.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))


def _draw_colour(generator: np.random.Generator) -> tuple[Float64Array, Float64Array]:
    """Contrast, hue and saturation as one linear map (3, 3), brightness and tint as gains (3,); mostly mild."""
    strength = generator.uniform()
    hue_rad = strength * LARGEST_HUE_RAD * generator.uniform(-1, 1)
    saturation = 1 + strength * LARGEST_SATURATION * generator.uniform(-1, 1)
    contrast = 1 + strength * LARGEST_CONTRAST * generator.uniform(-1, 1)
    brightness = 1 + strength * LARGEST_BRIGHTNESS * generator.uniform(-1, 1)
    tint = 1 + strength * LARGEST_CHANNEL_GAIN * generator.uniform(-1, 1, 3)
    in_yiq = np.eye(3)
    in_yiq[1:, 1:] = saturation * np.array([[np.cos(hue_rad), -np.sin(hue_rad)], [np.sin(hue_rad), np.cos(hue_rad)]])
    return contrast * np.linalg.inv(_TO_YIQ) @ in_yiq @ _TO_YIQ, brightness * tint
