"""Signal B, SRM noise sharpness: how much sharper the noise residual is in its sharpest tenth than in the middle.

Hypothesis of the report: a blend boundary draws a sharp ring in the noise field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from stf_mamba.signals.face_region import RING_PX, face_depth, require_region
from stf_mamba.signals.result import SignalResult, UndefinedSignalError, luma, masked, require_clip

if TYPE_CHECKING:
    from stf_mamba.core.records import Float32Array, Float64Array, UInt8Array
    from stf_mamba.signals.face_region import BoolArray

COMPASS = ("e", "ne", "n", "nw", "w", "sw", "s", "se")
_STEPS = {
    "e": (0, 1),
    "ne": (-1, 1),
    "n": (-1, 0),
    "nw": (-1, -1),
    "w": (0, -1),
    "sw": (1, -1),
    "s": (1, 0),
    "se": (1, 1),
}
_SQUARE_3X3 = ((-1, 2, -1), (2, -4, 2), (-1, 2, -1))
_SQUARE_5X5 = ((-1, 2, -2, 2, -1), (2, -6, 8, -6, 2), (-2, 8, -12, 8, -2), (2, -6, 8, -6, 2), (-1, 2, -2, 2, -1))

# The report names no kernel. The 5 × 5 square is the one that its field uses when it uses a single one.
DEFAULT_KERNEL = "square 5x5"
SHARP_PERCENTILE = 90


def srm_kernels() -> dict[str, Float32Array]:
    """The 30 linear residual filters by name, (5, 5) float32 each, the centre's weight ± 1.

    "first DIR" (8) is the difference to the neighbour in a compass direction, "second DIR" (4) that of both
    neighbours on a line, "third DIR" (8) the third difference; "square 3x3", "square 5x5" predict a pixel from all its
    neighbours, "edge 3x3 DIR", "edge 5x5 DIR" (4 each) from those on one side of an edge.

    Source: Fridrich and Kodovský, "Rich Models for Steganalysis of Digital Images", IEEE TIFS 2012, section II and
    figure 1.
    """
    kernels: dict[str, Float32Array] = {}
    for direction in COMPASS:
        kernels[f"first {direction}"] = _along(direction, {0: -1, 1: 1})
    for direction in COMPASS[:4]:
        kernels[f"second {direction}"] = _along(direction, {-1: 1, 0: -2, 1: 1})
    for direction in COMPASS:
        kernels[f"third {direction}"] = _along(direction, {-1: 1, 0: -3, 1: 3, 2: -1})
    for size, weights in (("3x3", _SQUARE_3X3), ("5x5", _SQUARE_5X5)):
        square = _centred(np.array(weights, np.float32))
        edge = square.copy()
        edge[3:] = 0  # what is left predicts from above
        kernels[f"square {size}"] = square
        for turns, direction in enumerate(("n", "w", "s", "e")):
            kernels[f"edge {size} {direction}"] = np.rot90(edge, turns).copy()
    return {name: kernel / np.abs(kernel[2, 2]) for name, kernel in kernels.items()}


def noise_sharpness(frames: UInt8Array, landmarks_px: Float64Array, kernel: str = DEFAULT_KERNEL) -> SignalResult:
    """90th percentile over median of the residual's gradient, in the face and the ring around its outline.

    Args:
        frames: (T, H, W, 3) uint8 RGB.
        landmarks_px: (T, 5, 2) in the clip's pixels.
        kernel: a name of ``srm_kernels``; the residual is that of the luma.

    Raises:
        ValueError: no such kernel, or input that does not fit.
        UndefinedSignalError: hardly any of the face lies inside the frames, or half of it has no residual at all.
    """
    require_clip(frames, landmarks_px)
    return _sharpness(frames, face_depth(landmarks_px, frames.shape[1:3]) > -RING_PX, kernel)


def report_noise_sharpness(frames: UInt8Array, kernel: str = DEFAULT_KERNEL) -> SignalResult:
    """The report's way: over the whole picture of a fixed crop, on frames far apart.

    Assumed: the 5 × 5 square on luma, Sobel's gradient, the mean over the frames.

    Args:
        frames: (T, H, W, 3) uint8 RGB, as ``ablation_frames.report_frames`` gives them.

    Raises:
        ValueError, UndefinedSignalError: as ``noise_sharpness``.
    """
    require_clip(frames)
    return _sharpness(frames, np.ones(frames.shape[:3], np.bool_), kernel)


def noise_residual(frames: UInt8Array, kernel: str = DEFAULT_KERNEL) -> Float32Array:
    """(T, H, W) float32 SRM residual of the luma in grey levels.

    Raises:
        ValueError: no such kernel.
    """
    kernels = srm_kernels()
    if kernel not in kernels:
        raise ValueError(f"no SRM kernel {kernel!r}; the names are: {', '.join(kernels)}")
    return np.stack([cv2.filter2D(grey, cv2.CV_32F, kernels[kernel]) for grey in luma(frames)])


def _sharpness(frames: UInt8Array, region: BoolArray, kernel: str) -> SignalResult:
    residual = noise_residual(frames, kernel)
    require_region(region, "the face and its outline")
    gradient = np.stack(
        [np.hypot(*(cv2.Sobel(one, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))) for one in residual]
    )
    quantiles = [np.percentile(one[part], [50, SHARP_PERCENTILE]) for one, part in zip(gradient, region, strict=True)]
    median, sharp = np.array(quantiles).T  # (T,) each
    if median.min() <= 0:
        raise UndefinedSignalError(
            f"in frame {int(median.argmin())} half of the pixels have no noise residual, so that sharpness, a ratio to "
            "their median, is undefined; the picture has no texture, leave this clip out"
        )
    curve = sharp / median
    return SignalResult(float(curve.mean()), "ratio", curve, masked(gradient, region), "grey levels per pixel (Sobel)")


def _along(direction: str, weights: dict[int, int]) -> Float32Array:
    """(5, 5) kernel with the weights at so many steps from the centre in a compass direction."""
    row, column = _STEPS[direction]
    kernel = np.zeros((5, 5), np.float32)
    for steps, weight in weights.items():
        kernel[2 + steps * row, 2 + steps * column] = weight
    return kernel


def _centred(weights: Float32Array) -> Float32Array:
    return np.pad(weights, (5 - len(weights)) // 2)
