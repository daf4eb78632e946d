"""Clips of a drawn face with landmarks, an artefact planted in them or not; every draw is another clip."""

import cv2
import numpy as np

from face_clips import SIDE_PX, landmarks

FRAMES = 8
FACE_CENTRE_PX = np.array([14 + 0.6 * 56, 8 + 0.6 * 76])  # where face_clips puts the middle of its face
FACE_RADII_PX = np.array([0.6 * 38, 0.6 * 42])
MOTION_PX = 2


def textured(generator, side_px=SIDE_PX, grain_px=2.0, contrast=25.0):
    """(S, S, 3) float32 smooth random colours around grey level 120."""
    noise = generator.normal(0, 1, (side_px, side_px, 3)).astype(np.float32)
    texture = cv2.GaussianBlur(noise, (0, 0), grain_px)
    return 120 + contrast * texture / texture.std()


def as_frames(pictures, generator, noise=3.0):
    """(T, H, W, 3) uint8 of float pictures with sensor noise drawn for each frame."""
    return np.clip(np.rint(pictures + generator.normal(0, noise, pictures.shape)), 0, 255).astype(np.uint8)


def still(generator, contrast=25.0):
    """(T, 96, 96, 3) float32: one picture, T times."""
    return np.repeat(textured(generator, contrast=contrast)[None], FRAMES, axis=0)


def face_weights(softness_px=1.5):
    """(96, 96, 1) float32: an ellipse about where the outline of ``face_masks`` lies, found without it."""
    y, x = np.indices((SIDE_PX, SIDE_PX), np.float32)
    radius = np.hypot((x - FACE_CENTRE_PX[0]) / FACE_RADII_PX[0], (y - FACE_CENTRE_PX[1]) / FACE_RADII_PX[1])
    return np.clip((1 - radius) * FACE_RADII_PX.min() / softness_px + 0.5, 0, 1)[..., None].astype(np.float32)


def moving(generator, face_steps_px, background_steps_px):
    """Frames' pictures (T, 96, 96, 3) and landmarks: a face and a background that move by whole pixels.

    Args:
        face_steps_px, background_steps_px: (T, 2) x, y within ± MOTION_PX.
    """
    pictures = [textured(generator, SIDE_PX + 2 * MOTION_PX) for _ in range(2)]
    weights = cv2.copyMakeBorder(face_weights(), *(MOTION_PX,) * 4, cv2.BORDER_CONSTANT)
    shown = []
    for face_step, background_step in zip(face_steps_px, background_steps_px, strict=True):
        background, face = _window(pictures[0], background_step), _window(pictures[1], face_step)
        weight = _window(weights, face_step)
        shown.append(background + weight.reshape(SIDE_PX, SIDE_PX, 1) * (face - background))
    return np.stack(shown), landmarks(len(shown)) + np.asarray(face_steps_px)[:, None]


def area_above(planted, clean):
    """Probability that a planted value is above a clean one."""
    above = np.asarray(planted)[:, None] - np.asarray(clean)[None]
    return float((above > 0).mean() + (above == 0).mean() / 2)


def _window(picture, step_px):
    x, y = MOTION_PX - np.asarray(step_px, int)
    return picture[y : y + SIDE_PX, x : x + SIDE_PX]
