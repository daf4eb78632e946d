"""Signal D, colour Wasserstein: how far the face's colours lie from those of its surroundings.

Hypothesis of the report: a face from another video has another distribution of colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stf_mamba.signals.ablation_frames import fixed_rectangle
from stf_mamba.signals.face_region import FACE, HEAD, RING_PX, face_depth, require_region
from stf_mamba.signals.result import SignalResult, masked, require_clip

if TYPE_CHECKING:
    import numpy.typing as npt

    from stf_mamba.core.records import Float64Array, UInt8Array

LEVELS = 256


def color_distance(frames: UInt8Array, landmarks_px: Float64Array) -> SignalResult:
    """Wasserstein-1 distance between the colours of the face and of its background, the mean of the RGB channels.

    The ring along the outlines of face and head belongs to neither. The map is how far each pixel of the face would
    have to change; its mean over a frame's face is that frame's distance.

    Args:
        frames: (T, H, W, 3) uint8 RGB.
        landmarks_px: (T, 5, 2) in the clip's pixels.

    Raises:
        ValueError: input that does not fit.
        UndefinedSignalError: hardly any of the face, or hardly anything else, lies inside the frames.
    """
    require_clip(frames, landmarks_px)
    size_px = frames.shape[1:3]
    face = require_region(face_depth(landmarks_px, size_px, FACE) > RING_PX, "the face within its outline")
    background = require_region(face_depth(landmarks_px, size_px, HEAD) < -RING_PX, "background outside the head")
    curve = np.zeros(len(frames))
    moves = np.zeros(frames.shape[:3], np.float32)
    for index, frame in enumerate(frames):
        for channel in np.moveaxis(frame, -1, 0):
            distance, move_of_level = transport(channel[face[index]], channel[background[index]])
            curve[index] += distance / 3
            moves[index] += (move_of_level[channel] / 3).astype(np.float32)
    return SignalResult(float(curve.mean()), "grey levels", curve, masked(moves, face), "grey levels")


def report_color_distance(frames: UInt8Array) -> SignalResult:
    """The report's way: a distance between histogram *heights*, inside and outside a fixed rectangle.

    It compares how unequal the heights of two histograms are and not where they lie: two disjoint histograms of one
    shape have the distance 0. Assumed: 256 bins that add up to 1, the mean of the RGB channels.

    Args:
        frames: (T, H, W, 3) uint8 RGB, as ``ablation_frames.report_frames`` gives them.

    Raises:
        ValueError: input that does not fit.
    """
    require_clip(frames)
    rectangle = fixed_rectangle(frames.shape[1:3])
    curve = np.zeros(len(frames))
    for index, frame in enumerate(frames):
        for channel in np.moveaxis(frame, -1, 0):
            heights = [np.sort(_histogram(channel[part])) for part in (rectangle, ~rectangle)]
            curve[index] += float(np.abs(heights[0] - heights[1]).mean()) / 3
    whole = np.broadcast_to(curve[:, None, None], frames.shape[:3]).astype(np.float32)
    return SignalResult(
        float(curve.mean()), "histogram height", curve, masked(whole, rectangle[None]), "histogram height"
    )


def transport(source: UInt8Array, target: UInt8Array) -> tuple[float, Float64Array]:
    """Exact Wasserstein-1 distance between two samples of grey levels, and how far each source level moves, (256,).

    In one dimension the best plan keeps the order, so it follows from the two cumulative histograms: the breakpoints of
    both cut the mass into pieces that each go from one level to one level. 0 for levels that the source lacks.

    Args:
        source: (N,) uint8.
        target: (M,) uint8; M need not be N.

    Raises:
        ValueError: an empty sample.

    Source: Peyré and Cuturi, "Computational Optimal Transport", 2019, remark 2.30.
    """
    if len(source) == 0 or len(target) == 0:
        raise ValueError(f"samples of {source.shape} and {target.shape} pixels, expected one or more in each")
    heights = _histogram(source)
    cumulative, cumulative_target = (np.cumsum(part) for part in (heights, _histogram(target)))
    breaks = np.unique(np.clip(np.concatenate([[0.0], cumulative, cumulative_target]), 0, 1))
    middles, mass = (breaks[1:] + breaks[:-1]) / 2, np.diff(breaks)
    origins, destinations = (np.searchsorted(part, middles) for part in (cumulative, cumulative_target))
    # A sum of shares may end just below 1, so that a last sliver of mass seems to have no level.
    origins, destinations = np.minimum(origins, source.max()), np.minimum(destinations, target.max())
    work = mass * np.abs(origins - destinations)
    moved = np.bincount(origins, work, LEVELS)
    return float(work.sum()), np.divide(moved, heights, out=np.zeros(LEVELS), where=heights > 0)


def _histogram(levels: npt.NDArray[np.uint8]) -> Float64Array:
    """(256,) share of each level."""
    return np.bincount(levels.ravel(), minlength=LEVELS) / levels.size
