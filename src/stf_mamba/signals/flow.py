"""Signal E, optical-flow discontinuity: motion along the face's outline that the face itself does not share.

Hypothesis of the report: a generated face moves otherwise than what surrounds it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np

from stf_mamba.signals.ablation_frames import fixed_rectangle
from stf_mamba.signals.face_region import RING_PX, face_depth, require_region
from stf_mamba.signals.result import SignalResult, masked, require_clip

if TYPE_CHECKING:
    from stf_mamba.core.records import Float32Array, Float64Array, UInt8Array

RECTANGLE_BORDER = 0.1  # of the rectangle's side, in the report's way


def flow_discontinuity(frames: UInt8Array, landmarks_px: Float64Array) -> SignalResult:
    """Mean motion in a ring along the face's outline minus that in the face's interior, per pair of neighbours.

    Motion counts relative to the interior's median flow, so that neither a moving head nor a moving crop is a
    discontinuity in itself.

    Args:
        frames: (T, H, W, 3) uint8 RGB, consecutive at the video's own rate, T ≥ 2.
        landmarks_px: (T, 5, 2) in the clip's pixels.

    Raises:
        ValueError: fewer than two frames, or input that does not fit.
        UndefinedSignalError: hardly any of the face lies inside the frames.
    """
    require_clip(frames, landmarks_px, at_least=2)
    depth = face_depth(landmarks_px, frames.shape[1:3])[:-1]  # where the flow starts
    ring = require_region(np.abs(depth) <= RING_PX, "the face's outline")
    interior = require_region(depth > RING_PX, "the face within its outline")
    flow = dense_flow(frames)
    speed = np.empty(flow.shape[:3], np.float32)
    for pair, part in enumerate(interior):
        speed[pair] = np.linalg.norm(flow[pair] - np.median(flow[pair][part], axis=0), axis=-1)
    curve = _mean_within(speed, ring) - _mean_within(speed, interior)
    return SignalResult(float(curve.mean()), "px per frame", curve, masked(speed, ring | interior), "px per frame")


def report_flow_discontinuity(frames: UInt8Array) -> SignalResult:
    """The report's way: speed along the border of a fixed rectangle minus speed inside, on frames far apart.

    The report says "boundary flow − interior flow". Assumed: the same flow algorithm, mean length of the vectors, a
    border a tenth of the rectangle's side wide.

    Args:
        frames: (T, H, W, 3) uint8 RGB, as ``ablation_frames.report_frames`` gives them.

    Raises:
        ValueError: fewer than two frames, or input that does not fit.
    """
    require_clip(frames, at_least=2)
    rectangle = fixed_rectangle(frames.shape[1:3])
    within = fixed_rectangle(frames.shape[1:3], inset=RECTANGLE_BORDER)
    speed = np.linalg.norm(dense_flow(frames), axis=-1).astype(np.float32)
    border, interior = (np.broadcast_to(part, speed.shape) for part in (rectangle & ~within, within))
    curve = _mean_within(speed, border) - _mean_within(speed, interior)
    return SignalResult(float(curve.mean()), "px per step", curve, masked(speed, rectangle[None]), "px per step")


def dense_flow(frames: UInt8Array) -> Float32Array:
    """(T − 1, H, W, 2) float32 displacement (x, y) in pixels from each frame to the next.

    Source: Kroeger, Timofte, Dai, Van Gool, "Fast Optical Flow using Dense Inverse Search", ECCV 2016; OpenCV's.
    """
    algorithm = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in np.ascontiguousarray(frames)]
    no_start: Any = None  # each pair is estimated afresh, not from the pair before
    return np.stack([algorithm.calc(before, after, no_start) for before, after in pairwise(greys)]).astype(np.float32)


def _mean_within(values: Float32Array, region: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Float64Array:
    """(T,) mean of values (T, H, W) in each frame's region."""
    total = np.where(region, values, 0).sum(axis=(1, 2), dtype=np.float64)
    return cast("Float64Array", total / region.sum(axis=(1, 2)))
