"""How faces are found, followed and cropped."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stf_mamba.core.checks import require, require_between, require_positive
from stf_mamba.core.records import JsonRecord


@dataclass(frozen=True)
class FaceSettings(JsonRecord):
    """How faces are found, followed and cropped. Two runs with equal settings and detector cut equal clips.

    Attributes:
        detection_interval_s: time between two frames in which faces are looked for.
        margin: side of the crop over the longer side of the face's box.
        size_px: side of the square crop.
        align: turn the crop so that the eyes lie level, and place it by the landmarks instead of the box.
        min_side_px: tracks of smaller faces are dropped.
        min_duration_s: tracks of faces seen for less long are dropped.
        min_hit_ratio: tracks found in a smaller part of the frames looked at are dropped.
        min_score: tracks whose median score is lower are dropped: a pattern that the detector takes for a face now and
            then scores low throughout.
        max_unsteadiness: tracks whose boxes lie further than this from their smoothed path (median, in units of the
            side) are dropped.
        max_gap_s: a face that is not seen for longer starts a new track.
        min_overlap: intersection over union with the box before; a face that moves further starts a new track.
        max_side_ratio: largest over smallest side within a track; a face that grows or shrinks more is cut in pieces.
        smoothing_s: standard deviation of the Gaussian that weighs detections around a point of the crop's path.
    """

    detection_interval_s: float = 0.2
    margin: float = 1.3
    size_px: int = 224
    align: bool = False
    min_side_px: float = 40.0
    min_duration_s: float = 1.0
    min_hit_ratio: float = 0.5
    min_score: float = 0.8
    max_unsteadiness: float = 0.15
    max_gap_s: float = 0.65
    min_overlap: float = 0.3
    max_side_ratio: float = 1.6
    smoothing_s: float = 0.2

    def __post_init__(self) -> None:
        for name in ("detection_interval_s", "margin", "size_px", "max_gap_s", "max_unsteadiness", "smoothing_s"):
            require_positive(name, getattr(self, name))
        for name in ("min_side_px", "min_duration_s"):
            require_between(name, getattr(self, name), 0)
        for name in ("min_hit_ratio", "min_score", "min_overlap"):
            require_between(name, getattr(self, name), 0, 1)
        require(1 < self.max_side_ratio < math.inf, "max_side_ratio", self.max_side_ratio, "a number above 1")
        if self.max_gap_s < self.detection_interval_s:
            raise ValueError(
                f"max_gap_s ({self.max_gap_s}) must be at least detection_interval_s ({self.detection_interval_s}), "
                "otherwise every detection is a track of its own"
            )
