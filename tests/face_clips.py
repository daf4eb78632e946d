"""Drawn clips with landmarks: smooth coloured texture in which five points move as they are told."""

import cv2
import numpy as np

from stf_mamba.faces.cropping import ALIGNED_LANDMARKS_PX

SIDE_PX = 96
SCALE = 0.6
CORNER_PX = (14.0, 8.0)


def landmarks(frames: int, offset_px=(0.0, 0.0)) -> np.ndarray:
    """(T, 5, 2) landmarks of a face seen from the front that stays where it is."""
    points = SCALE * ALIGNED_LANDMARKS_PX + CORNER_PX + offset_px
    return np.repeat(points[None], frames, axis=0)


def still_clip(frames: int, seed: int = 0) -> np.ndarray:
    """(T, 96, 96, 3) uint8: one textured picture, T times."""
    noise = np.random.default_rng(seed).normal(0, 1, (SIDE_PX, SIDE_PX, 3)).astype(np.float32)
    texture = cv2.GaussianBlur(noise, (0, 0), 2)
    picture = np.clip(120 + 30 * texture / texture.std(), 30, 225).astype(np.uint8)
    return np.repeat(picture[None], frames, axis=0)


def moving_clip(frames: int, seed: int = 0) -> np.ndarray:
    """(T, 96, 96, 3) uint8: another textured picture in every frame."""
    return np.concatenate([still_clip(1, seed + 1000 * index) for index in range(frames)])
