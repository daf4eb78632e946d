"""Signal C, chromatic autocorrelation: how much of the colour noise stays the same from one frame to the next.

Hypothesis of the report: a generator leaves a fingerprint that persists across frames, and a sensor's noise does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from stf_mamba.signals.face_region import face_depth, require_region
from stf_mamba.signals.result import SignalResult, UndefinedSignalError, luma, masked, require_clip

if TYPE_CHECKING:
    from stf_mamba.core.records import Float32Array, Float64Array, UInt8Array
    from stf_mamba.signals.face_region import BoolArray

# Rows: Cb, Cr from red, green, blue. Source: ITU-R BT.601, section 2.5.2.
CHROMA_WEIGHTS = np.array([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)
# Chroma has half the resolution of luma in nearly every video, so its noise has a grain of two pixels and more.
SMOOTHING_PX = 2.0
# A correlation of rounding errors says nothing: a residual weaker than this (r.m.s., grey levels) counts as none.
LEAST_RESIDUAL = 0.01


def chromatic_autocorrelation(frames: UInt8Array, landmarks_px: Float64Array) -> SignalResult:
    """Pearson's correlation of the chroma noise in the face between neighbouring frames, the mean of Cb and Cr.

    The noise is what a Gaussian blur of 2 px takes away. The map's mean over the face is the correlation.

    Args:
        frames: (T, H, W, 3) uint8 RGB, consecutive at the video's own rate, T ≥ 2.
        landmarks_px: (T, 5, 2) in the clip's pixels.

    Raises:
        ValueError: fewer than two frames, or input that does not fit.
        UndefinedSignalError: hardly any of the face lies inside the frames, or its colour has no noise in any pair.
    """
    require_clip(frames, landmarks_px, at_least=2)
    inside = require_region(face_depth(landmarks_px, frames.shape[1:3]) > 0, "the face")
    return _autocorrelation(chroma(frames), inside[:-1] & inside[1:])


def report_chromatic_autocorrelation(frames: UInt8Array) -> SignalResult:
    """The report's way: grey instead of chroma, over the whole picture of a fixed crop, on frames far apart.

    The report says "frame-to-frame noise correlation". Assumed: the residual of the same blur.

    Args:
        frames: (T, H, W, 3) uint8 RGB, as ``ablation_frames.report_frames`` gives them.

    Raises:
        ValueError, UndefinedSignalError: as ``chromatic_autocorrelation``.
    """
    require_clip(frames, at_least=2)
    return _autocorrelation(luma(frames)[None], np.ones((len(frames) - 1, *frames.shape[1:3]), np.bool_))


def chroma(frames: UInt8Array) -> Float32Array:
    """(2, T, H, W) float32 Cb and Cr, −128 … 128 grey levels, of frames (T, H, W, 3) uint8 RGB."""
    return cast("Float32Array", np.moveaxis(frames.astype(np.float32) @ CHROMA_WEIGHTS.T, -1, 0))


def _autocorrelation(planes: Float32Array, region: BoolArray) -> SignalResult:
    """Of planes (P, T, H, W), within the region (T − 1, H, W)."""
    products = np.zeros(region.shape, np.float32)
    curve = np.zeros(len(region))
    for plane in planes:
        residual = np.stack([one - cv2.GaussianBlur(one, (0, 0), SMOOTHING_PX) for one in plane])
        for pair, part in enumerate(region):
            before, after = (_standardised(residual[index], part) for index in (pair, pair + 1))
            products[pair] += before * after / len(planes)
            curve[pair] += float(np.mean((before * after)[part], dtype=np.float64)) / len(planes)
    if np.isnan(curve).all():
        raise UndefinedSignalError(
            "the planes have no noise in any pair of frames, so that its correlation is undefined; the picture is grey "
            "or flat there, leave this clip out"
        )
    return SignalResult(
        float(np.nanmean(curve)), "correlation", curve, masked(products, region), "product of deviations"
    )


def _standardised(residual: Float32Array, part: BoolArray) -> Float32Array:
    """(H, W) with mean 0 and variance 1 within ``part``; NaN throughout where there is no noise."""
    mean, deviation = residual[part].mean(dtype=np.float64), residual[part].std(dtype=np.float64)
    scale = deviation if deviation >= LEAST_RESIDUAL else np.nan
    return cast("Float32Array", ((residual - mean) / scale).astype(np.float32))
