"""YuNet through OpenCV, from a file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from stf_mamba.core.errors import WeightsError
from stf_mamba.core.records import Face
from stf_mamba.faces.detections import faces_from_boxes, require_frames, resized

if TYPE_CHECKING:
    from stf_mamba.core.records import Float32Array, UInt8Array


class YunetDetector:
    """YuNet through OpenCV, from an ONNX file of its authors or of OpenCV's model zoo.

    Frames are shrunk and padded to 640×640, because files with a fixed input size take no other; frames are never
    enlarged.

    Source: Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20, 2023.

    Raises:
        WeightsError: the file is missing, unreadable, or not a YuNet model.
    """

    INPUT_PX = 640
    FACE_SCORE = 0.7

    def __init__(self, model_path: Path) -> None:
        try:
            content = Path(model_path).read_bytes()
        except OSError as error:
            raise WeightsError(
                f"cannot read the face model {model_path} ({error.strerror}); give a YuNet ONNX file, "
                "or give none to use the built-in MTCNN"
            ) from error
        self.name = f"yunet-{hashlib.sha256(content).hexdigest()[:12]}"
        try:
            self._network = _yunet(content, (self.INPUT_PX, self.INPUT_PX), self.FACE_SCORE)
        except cv2.error as error:
            raise WeightsError(
                f"{model_path} does not run as a YuNet face detector ({error.err or error}); expected an ONNX file "
                "such as face_detection_yunet_2023mar.onnx; give another, or none to use the built-in MTCNN"
            ) from error

    def detect(self, frames: Sequence[UInt8Array], times_s: Sequence[float]) -> list[list[Face]]:
        """The faces of each frame, best score first. ``frames`` are (H, W, 3) uint8 RGB, ``times_s`` their times."""
        require_frames(frames, times_s)
        return [self._detect_one(frame, time_s) for frame, time_s in zip(frames, times_s, strict=True)]

    def _detect_one(self, frame: UInt8Array, time_s: float) -> list[Face]:
        height, width = frame.shape[:2]
        scale = min(1.0, self.INPUT_PX / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        padded = np.zeros((self.INPUT_PX, self.INPUT_PX, 3), np.uint8)
        padded[: size[1], : size[0]] = resized(frame, size, cv2.INTER_AREA)[..., ::-1]  # RGB -> BGR
        found = cast("Float32Array | None", self._network.detect(padded)[1])
        rows = np.zeros((0, 15), np.float32) if found is None else found  # left, top, width, height, landmarks, score
        per_axis = np.array([width / size[0], height / size[1]], np.float32)
        corners = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1) * np.tile(per_axis, 2)
        return faces_from_boxes(time_s, corners, rows[:, 14], rows[:, 4:14].reshape(-1, 5, 2) * per_axis)


def _yunet(content: bytes, size: tuple[int, int], face_score: float) -> cv2.FaceDetectorYN:
    """The network of an ONNX file, after one run on an empty picture: an unsuitable file often fails only then."""
    log_level = cv2.utils.logging.getLogLevel()
    # OpenCV 5 warns of a setting that its own face detector makes.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        network = cv2.FaceDetectorYN.create("onnx", np.frombuffer(content, np.uint8), np.zeros(0, np.uint8), size)
        network.setScoreThreshold(face_score)
        network.detect(np.zeros((size[1], size[0], 3), np.uint8))
    finally:
        cv2.utils.logging.setLogLevel(log_level)
    return network
