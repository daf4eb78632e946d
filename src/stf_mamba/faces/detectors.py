"""Face detectors: MTCNN with weights that an installed package carries, and YuNet from a file that the user gives.

Both return every face of a frame with its box, five landmarks and a score. Tracking, smoothing and cropping are in
``tracking`` and ``cropping``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from stf_mamba.core.records import Face
from stf_mamba.faces.mtcnn import MtcnnDetector
from stf_mamba.faces.yunet import YunetDetector

if TYPE_CHECKING:
    from stf_mamba.core.records import UInt8Array


class FaceDetector(Protocol):
    """What finds faces in frames. ``name`` tells detectors and their weights apart, in clip stores and verdicts."""

    @property
    def name(self) -> str: ...

    def detect(self, frames: Sequence[UInt8Array], times_s: Sequence[float]) -> list[list[Face]]:
        """The faces of each frame, best score first. ``frames`` are (H, W, 3) uint8 RGB, ``times_s`` their times."""
        ...


def load_face_detector(model_path: Path | None = None) -> FaceDetector:
    """YuNet from ``model_path`` (ONNX) where one is given, else MTCNN with the installed package's weights.

    Raises:
        WeightsError: the weights are missing, unreadable, or not those of the detector.
    """
    return MtcnnDetector() if model_path is None else YunetDetector(model_path)
