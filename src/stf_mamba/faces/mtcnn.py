"""MTCNN, batched, with the weights that the ``mtcnn`` package carries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from stf_mamba.core.records import Face
from stf_mamba.faces.detections import faces_from_boxes, require_frames, resized
from stf_mamba.faces.mtcnn_networks import load_networks, normalised

if TYPE_CHECKING:
    from stf_mamba.core.records import Float32Array, UInt8Array


PATCHES_PER_BATCH = 256  # bounds memory where a crowd gives thousands of candidates


class MtcnnDetector:
    """MTCNN: a cascade of three small networks, each fed with what the one before let pass, batched over frames.

    The search over scales dominates the cost, which falls with the square of the smallest face looked for. A frame is
    searched for faces of at least 1/32 of its longer side first, and for smaller ones only where none was found.

    Source: Zhang, Zhang, Li, Qiao: "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
    Networks", IEEE Signal Processing Letters 23(10), 2016; thresholds 0.6, 0.7, 0.7 as published, weights from the
    package mtcnn 1.0.0 (MIT).
    """

    name = "mtcnn-1.0.0"

    SMALLEST_FACE_PX = 20.0
    ALWAYS_FOUND_PX = 40.0  # beside larger faces and in large frames too: ``FaceSettings.min_side_px``
    LONGER_SIDE_PER_FACE = (32.0, 80.0)  # first and second search: longer side of the frame over the smallest face
    PROPOSAL_SCORE = 0.6
    REFINED_SCORE = 0.7
    FACE_SCORE = 0.7
    FRAMES_PER_BATCH = 8

    def __init__(self) -> None:
        self._proposal_net, self._refinement_net, self._output_net = load_networks()

    def detect(self, frames: Sequence[UInt8Array], times_s: Sequence[float]) -> list[list[Face]]:
        """The faces of each frame, best score first.

        Args:
            frames: (H, W, 3) uint8 RGB, of any sizes.
            times_s: presentation time of each frame.
        """
        require_frames(frames, times_s)
        found: list[list[Face]] = [[] for _ in frames]
        for longer_side_per_face in self.LONGER_SIDE_PER_FACE:
            empty = [index for index, faces in enumerate(found) if not faces]
            for batch in _batches_of_one_shape(frames, empty, self.FRAMES_PER_BATCH):
                share_px = max(frames[batch[0]].shape[:2]) / longer_side_per_face
                smallest_px = max(self.SMALLEST_FACE_PX, min(share_px, self.ALWAYS_FOUND_PX))
                boxes, scores, landmarks = self._cascade([frames[index] for index in batch], smallest_px)
                for position, index in enumerate(batch):
                    rows = boxes[:, 0] == position
                    found[index] = faces_from_boxes(times_s[index], boxes[rows, 1:], scores[rows], landmarks[rows])
        return found

    def _cascade(
        self, frames: Sequence[UInt8Array], smallest_px: float
    ) -> tuple[Float32Array, Float32Array, Float32Array]:
        """Boxes (N, 5) as frame, left, top, right, bottom; scores (N,); landmarks (N, 5, 2); frames of one shape."""
        with torch.inference_mode():
            boxes = _squared(self._propose(frames, smallest_px))
            offsets, scores = _evaluated(self._refinement_net, frames, boxes, self._refinement_net.input_px)
            keep = scores > self.REFINED_SCORE
            boxes = _moved(boxes[keep], offsets[keep])
            boxes = _squared(boxes[_non_maximum_suppression(boxes, scores[keep], 0.7)])
            offsets, landmarks, scores = _evaluated(self._output_net, frames, boxes, self._output_net.input_px)
        keep = scores > self.FACE_SCORE
        landmarks_px = _placed(landmarks[keep], boxes[keep])
        boxes, scores = _moved(boxes[keep], offsets[keep]), scores[keep]
        # A box inside another is the same face seen at two scales, hence overlap relative to the smaller box.
        best = _non_maximum_suppression(boxes, scores, 0.7, relative_to_smaller=True)
        return boxes[best], scores[best], landmarks_px[best]

    def _propose(self, frames: Sequence[UInt8Array], smallest_px: float) -> Float32Array:
        """Windows that may hold a face, (N, 5), from every level of an image pyramid."""
        height, width = frames[0].shape[:2]
        window_px = self._proposal_net.input_px
        boxes_per_level, scores_per_level = [np.zeros((0, 5), np.float32)], [np.zeros(0, np.float32)]
        scale = window_px / smallest_px
        level: list[UInt8Array] = list(frames)
        while min(height, width) * scale >= window_px:
            size = (round(width * scale), round(height * scale))
            level = [resized(image, size, cv2.INTER_AREA) for image in level]
            offsets, scores = self._proposal_net(normalised(np.stack(level)))
            boxes, window_scores = self._windows(offsets, scores)
            boxes[:, 1:] *= np.array([width / size[0], height / size[1]] * 2, np.float32)
            kept = _non_maximum_suppression(boxes, window_scores, 0.5)
            boxes_per_level.append(boxes[kept])
            scores_per_level.append(window_scores[kept])
            scale *= math.sqrt(0.5)
        boxes, window_scores = np.concatenate(boxes_per_level), np.concatenate(scores_per_level)
        return cast("Float32Array", boxes[_non_maximum_suppression(boxes, window_scores, 0.7)])

    def _windows(self, offsets: Tensor, scores: Tensor) -> tuple[Float32Array, Float32Array]:
        """Boxes (N, 5) and scores (N,) of the windows that pass; offsets (B, 4, h, w), scores (B, h, w)."""
        places = torch.nonzero(scores > self.PROPOSAL_SCORE, as_tuple=True)
        frame, row, column = (index.numpy() for index in places)
        left, top = column * self._proposal_net.stride_px, row * self._proposal_net.stride_px
        window_px = self._proposal_net.input_px
        boxes = np.stack([frame, left, top, left + window_px, top + window_px], axis=1).astype(np.float32)
        return _moved(boxes, offsets.numpy()[frame, :, row, column]), scores.numpy()[frame, row, column]


def _evaluated(
    network: nn.Module, frames: Sequence[UInt8Array], boxes: Float32Array, size_px: int
) -> tuple[Float32Array, ...]:
    """The network's outputs for the pixels of boxes (N, 5), a bounded number of boxes at a time."""
    pieces = [
        network(_patches(frames, boxes[start : start + PATCHES_PER_BATCH], size_px))
        for start in range(0, max(1, len(boxes)), PATCHES_PER_BATCH)
    ]
    return tuple(torch.cat(outputs).numpy() for outputs in zip(*pieces, strict=True))


def _patches(frames: Sequence[UInt8Array], boxes: Float32Array, size_px: int) -> Tensor:
    """The pixels of integer boxes (N, 5), resized to (N, 3, size, size); mid-grey (zero) outside the frame."""
    patches = np.full((len(boxes), size_px, size_px, 3), 128, np.uint8)
    height, width = frames[0].shape[:2]
    for patch, (frame, left, top, right, bottom) in zip(patches, boxes.astype(int).tolist(), strict=True):
        visible = frames[frame][max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        if visible.size == 0:
            continue
        outside = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
        if any(outside):
            visible = cv2.copyMakeBorder(visible, *outside, cv2.BORDER_CONSTANT, value=(128, 128, 128))
        interpolation = cv2.INTER_AREA if right - left > size_px else cv2.INTER_LINEAR
        patch[:] = resized(visible, (size_px, size_px), interpolation)
    return normalised(patches)


def _squared(boxes: Float32Array) -> Float32Array:
    """Boxes (N, 5) widened to squares around their centres, on whole pixels so that patches match them exactly."""
    sizes = boxes[:, 3:] - boxes[:, 1:3]
    side = np.maximum(1, np.round(sizes.max(axis=1, keepdims=True, initial=0)))
    corner = np.round(boxes[:, 1:3] + sizes / 2 - side / 2)
    return np.concatenate([boxes[:, :1], corner, corner + side], axis=1).astype(np.float32)


def _moved(boxes: Float32Array, offsets: Float32Array) -> Float32Array:
    """Boxes (N, 5) with their four edges moved by ``offsets`` (N, 4), in units of width and height."""
    sizes = boxes[:, 3:] - boxes[:, 1:3]
    return np.concatenate([boxes[:, :1], boxes[:, 1:] + offsets * np.tile(sizes, 2)], axis=1).astype(np.float32)


def _placed(landmarks: Float32Array, boxes: Float32Array) -> Float32Array:
    """Landmarks (N, 5, 2) relative to boxes (N, 5), in pixels."""
    return (boxes[:, None, 1:3] + landmarks * (boxes[:, None, 3:] - boxes[:, None, 1:3])).astype(np.float32)


def _non_maximum_suppression(
    boxes: Float32Array, scores: Float32Array, overlap: float, *, relative_to_smaller: bool = False
) -> np.ndarray:
    """Indices of the boxes (N, 5) that no better one of the same frame overlaps by more than ``overlap``, best first.

    Overlap is intersection over union, or over the smaller area with ``relative_to_smaller``. Own code, because
    torchvision's operator is absent where its wheel does not fit the installed torch.
    """
    order = np.lexsort((*boxes.T[::-1], -scores))  # ties in score are broken by the box, never by memory order
    area = np.prod(np.maximum(0, boxes[:, 3:] - boxes[:, 1:3]), axis=1)
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        sides = np.minimum(boxes[best, 3:], boxes[rest, 3:]) - np.maximum(boxes[best, 1:3], boxes[rest, 1:3])
        intersection = np.prod(np.maximum(0, sides), axis=1)
        if relative_to_smaller:
            reference = np.minimum(area[best], area[rest])
        else:
            reference = area[best] + area[rest] - intersection
        same_face = (intersection > overlap * reference) & (boxes[rest, 0] == boxes[best, 0])
        order = rest[~same_face]
    return np.array(kept, dtype=np.intp)


def _batches_of_one_shape(frames: Sequence[UInt8Array], indices: Sequence[int], most: int) -> list[list[int]]:
    """``indices`` in groups of at most ``most`` whose frames have the same shape."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index in indices:
        by_shape.setdefault(frames[index].shape, []).append(index)
    return [group[start : start + most] for group in by_shape.values() for start in range(0, len(group), most)]
