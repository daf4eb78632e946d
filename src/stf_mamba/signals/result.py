"""What every forensic signal returns, and what every one of them asks of its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from stf_mamba.core.errors import StfError

if TYPE_CHECKING:
    from stf_mamba.core.records import Float32Array, Float64Array, UInt8Array

# Weights of red, green and blue. Source: ITU-R BT.601, section 2.5.1.
LUMA_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)


class UndefinedSignalError(StfError):
    """A clip in which the signal has no value: a picture without texture, or a face that leaves no pixels to measure.

    A row of a table then says so; no number stands in for it.
    """

    exit_code = 3


@dataclass(frozen=True, eq=False)
class SignalResult:
    """One signal of one clip. Higher is what the signal's hypothesis expects of a fake.

    Attributes:
        value: mean of ``curve``, undefined places left out.
        unit: of ``value`` and ``curve``.
        curve: (T,) or (T − 1,), one value a frame or a pair of neighbouring frames; NaN where undefined.
        map: (T, H, W) or (T − 1, H, W), what the curve summarises, pixel by pixel; NaN where nothing is measured.
        map_unit: of ``map``.
    """

    value: float
    unit: str
    curve: Float64Array
    map: Float32Array
    map_unit: str


def require_clip(frames: UInt8Array, landmarks_px: Float64Array | None = None, at_least: int = 1) -> None:
    """Check frames (T, H, W, 3) and, where given, landmarks (T, 5, 2).

    Raises:
        ValueError: another shape or type, fewer than ``at_least`` frames, or landmarks that are not finite.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape or frames.dtype != np.uint8:
        raise ValueError(f"frames are {frames.dtype} of the shape {frames.shape}, expected uint8 RGB (T, H, W, 3)")
    if len(frames) < at_least:
        raise ValueError(
            f"frames have the shape {frames.shape}, expected {at_least} or more of them; give a longer clip"
        )
    if landmarks_px is None:
        return
    if landmarks_px.shape != (len(frames), 5, 2):
        raise ValueError(
            f"landmarks have the shape {landmarks_px.shape}, expected ({len(frames)}, 5, 2): five points (x, y) for "
            f"each of the frames {frames.shape}"
        )
    if not np.isfinite(landmarks_px).all():
        worst = int(np.argmin(np.isfinite(landmarks_px).all(axis=(1, 2))))
        raise ValueError(
            f"landmarks {landmarks_px.shape} of frame {worst} are {landmarks_px[worst].tolist()}, expected finite "
            "numbers; leave this clip out"
        )


def luma(frames: UInt8Array) -> Float32Array:
    """(T, H, W) float32 luma in grey levels 0 … 255 of frames (T, H, W, 3) uint8 RGB."""
    return cast("Float32Array", frames.astype(np.float32) @ LUMA_WEIGHTS)


def masked(values: Float32Array, where: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Float32Array:
    """``values`` (…, H, W) float32 with NaN wherever nothing is measured."""
    return np.where(where, values, np.float32(np.nan)).astype(np.float32, copy=False)
