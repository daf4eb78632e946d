"""What face detectors share: frames checked and resized, boxes as faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from stf_mamba.core.records import Face

if TYPE_CHECKING:
    from stf_mamba.core.records import Float32Array, UInt8Array


def resized(image: UInt8Array, size: tuple[int, int], interpolation: int) -> UInt8Array:
    return cast("UInt8Array", cv2.resize(image, size, interpolation=interpolation))


def faces_from_boxes(time_s: float, corners: Float32Array, scores: Float32Array, landmarks: Float32Array) -> list[Face]:
    """``Face`` records, best score first, of corners (N, 4), scores (N,) and landmarks (N, 5, 2)."""
    return [
        Face(
            time_s=time_s,
            box_px=tuple(corners[index].tolist()),
            landmarks_px=tuple((x, y) for x, y in landmarks[index].tolist()),
            score=float(scores[index]),
        )
        for index in np.argsort(-scores, kind="stable")
    ]


def require_frames(frames: Sequence[UInt8Array], times_s: Sequence[float]) -> None:
    if len(frames) != len(times_s):
        raise ValueError(f"got {len(frames)} frames and {len(times_s)} times; each frame needs its time")
    for frame in frames:
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or frame.size == 0:
            raise ValueError(f"frames must be (H, W, 3) uint8 RGB, got {frame.shape} {frame.dtype}")
