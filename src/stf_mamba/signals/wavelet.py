"""Signal A, HLL wavelet flicker: brightness that changes between neighbouring frames in spatially smooth regions.

Hypothesis of the report: a blend drawn anew for each frame flickers where the picture is smooth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pywt  # type: ignore[import-untyped]

from stf_mamba.signals.face_region import face_depth, require_region
from stf_mamba.signals.result import SignalResult, luma, masked, require_clip

if TYPE_CHECKING:
    from stf_mamba.core.records import Float32Array, Float64Array, UInt8Array

# Two taps long: a coefficient is about two neighbouring frames and no others, and needs no frame beyond the clip.
WAVELET = "haar"
# An orthonormal Haar coefficient of brightness ± a in alternate frames is √2 · √2 · √2 · a.
COEFFICIENT_OF_UNIT_FLICKER = 2**1.5


def wavelet_flicker(frames: UInt8Array, landmarks_px: Float64Array) -> SignalResult:
    """Flicker in the face: root mean square of the HLL coefficients of a 3D-DWT, per pair of neighbouring frames.

    High-pass in time, low-pass in both spatial directions, scaled so that a face whose brightness alternates by ± a
    grey levels has the value a. A decimated transform sees every other pair of neighbours; it is taken at both phases.

    Args:
        frames: (T, H, W, 3) uint8 RGB, consecutive at the video's own rate, T ≥ 2.
        landmarks_px: (T, 5, 2) in the clip's pixels.

    Raises:
        ValueError: fewer than two frames, or input that does not fit.
        UndefinedSignalError: hardly any of the face lies inside the frames.

    Source: Mallat, "A Wavelet Tour of Signal Processing", 3rd edition, section 7.7 (separable bases); the decimated
    transform is PyWavelets'.
    """
    require_clip(frames, landmarks_px, at_least=2)
    inside = require_region(face_depth(landmarks_px, frames.shape[1:3]) > 0, "the face")
    inside = inside[:-1] & inside[1:]  # (T − 1, H, W)
    grey = luma(frames)
    flicker = np.empty((len(frames) - 1, *frames.shape[1:3]), np.float32)
    for phase in (0, 1):
        pairs = (len(frames) - phase) // 2
        if pairs:
            flicker[phase::2] = _hll(grey[phase : phase + 2 * pairs])
    squares = np.where(inside, np.square(flicker, dtype=np.float64), 0).sum(axis=(1, 2))
    curve = np.sqrt(squares / inside.sum(axis=(1, 2)))
    return SignalResult(
        float(curve.mean()), "grey levels (r.m.s.)", curve, masked(np.abs(flicker), inside), "grey levels"
    )


def report_wavelet_flicker(frames: UInt8Array) -> SignalResult:
    """The report's way: mean square of the HLL coefficients over the whole picture, on frames far apart.

    The report says "3D-DWT temporal high-frequency energy". Assumed: Haar, one level, luma, mean square. Curve and map
    have an entry for each of the T / 2 disjoint pairs.

    Args:
        frames: (T, H, W, 3) uint8 RGB, as ``ablation_frames.report_frames`` gives them.

    Raises:
        ValueError: fewer than two frames, or input that does not fit.
    """
    require_clip(frames, at_least=2)
    even = frames[: len(frames) // 2 * 2]
    energy = np.square(COEFFICIENT_OF_UNIT_FLICKER * _hll(luma(even)))  # (T / 2, H, W)
    curve = energy.mean(axis=(1, 2), dtype=np.float64)
    return SignalResult(float(curve.mean()), "grey levels²", curve, energy, "grey levels²")


def _hll(grey: Float32Array) -> Float32Array:
    """(T / 2, H, W) float32 HLL coefficients of luma (T, H, W), T even, as flicker; each fills 2 × 2 pixels."""
    height, width = grey.shape[1:]
    coefficients = pywt.dwtn(grey, WAVELET, mode="symmetric", axes=(0, 1, 2))["daa"]
    whole: Float32Array = coefficients.repeat(2, axis=1).repeat(2, axis=2)[:, :height, :width]
    return whole / np.float32(COEFFICIENT_OF_UNIT_FLICKER)
