"""Faces at given places and times, a drawn one, and a video in which a simple finder sees one."""

from fractions import Fraction

import av
import cv2
import numpy as np

from stf_mamba.core.records import Face, FaceTrack
from stf_mamba.faces.cropping import ALIGNED_LANDMARKS_PX
from stf_mamba.faces.settings import FaceSettings

SETTINGS = FaceSettings()
FPS = 25


def face_at(time_s, x=200.0, y=150.0, side=100.0, score=0.99, *, noise_px=0.0, seed=0):
    """A face around (x, y), its landmarks where alignment expects them but for noise."""
    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    points = (x, y) + (ALIGNED_LANDMARKS_PX - 56) * side / 112
    if noise_px:
        points = points + np.random.default_rng(seed).normal(0, noise_px, (5, 2))
    return Face(time_s, box, tuple(map(tuple, points.tolist())), score)


def times(duration_s, interval_s=0.2):
    """Times of detections from 0 to the duration, both ends included."""
    return [round(index * interval_s, 6) for index in range(round(duration_s / interval_s) + 1)]


def track_of(faces):
    """One track of these faces."""
    return FaceTrack(id=0, faces=tuple(faces))


class BrightSquareFinder:
    """Finds the one bright square in a dark frame: a detector simple enough to be right."""

    name = "bright-square"

    def detect(self, frames, times_s):
        return [self._faces(frame, time_s) for frame, time_s in zip(frames, times_s, strict=True)]

    @staticmethod
    def _faces(frame, time_s):
        rows, columns = np.nonzero(frame[..., 0] > 128)
        if rows.size == 0:
            return []
        box = tuple(float(edge) for edge in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        return [Face(time_s=time_s, box_px=box, landmarks_px=((0.0, 0.0),) * 5, score=1.0)]


def write_moving_square(path, seconds=3, speed_px_s=20):
    """A lossless video of a 60 px square that moves to the right over noise of its own per frame; its frames."""
    rng = np.random.default_rng(5)
    frames = []
    for index in range(seconds * FPS):
        frame = rng.integers(0, 60, (128, 256, 3), dtype=np.uint8)
        left = 20 + round(index / FPS * speed_px_s)
        frame[30:90, left : left + 60] = rng.integers(200, 256, (60, 60, 3), dtype=np.uint8)
        frames.append(frame)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 256, 128, "bgr0"
        stream.codec_context.time_base = Fraction(1, FPS)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return frames


# Where ``drawn_face`` puts eyes, nose tip and mouth corners, in units of the face's height from its middle.
DRAWN_LANDMARKS = np.array([[-0.17, -0.1], [0.17, -0.1], [0.0, 0.1], [-0.14, 0.285], [0.14, 0.285]])


def drawn_face(height_px, centre=(160, 120), frame_size=(320, 240)):
    """A frame (H, W, 3) uint8 RGB with one face, drawn four times larger and shrunk."""
    canvas = np.full((frame_size[1] * 4, frame_size[0] * 4, 3), 120, np.uint8)
    s = height_px * 4

    def at(x, y):
        return round(centre[0] * 4 + x * s), round(centre[1] * 4 + y * s)

    def ellipse(middle, axes, colour, thickness=-1, start=0, end=360):
        size = (round(axes[0] * s), round(axes[1] * s))
        cv2.ellipse(canvas, at(*middle), size, 0, start, end, colour, thickness)

    ellipse((0, -0.08), (0.48, 0.58), (60, 40, 30))  # hair
    ellipse((0, 0.04), (0.40, 0.52), (224, 172, 138))  # skin
    for side in (-1, 1):
        ellipse((side * 0.17, -0.1), (0.09, 0.045), (245, 245, 245))
        ellipse((side * 0.17, -0.1), (0.042, 0.042), (40, 30, 25))
        ellipse((side * 0.17, -0.17), (0.12, 0.05), (60, 40, 30), round(0.03 * s), 190, 350)
    cv2.line(canvas, at(0, -0.08), at(-0.02, 0.1), (200, 145, 112), round(0.03 * s))
    ellipse((0, 0.12), (0.07, 0.035), (180, 120, 95), round(0.025 * s), 0, 180)
    ellipse((0, 0.29), (0.14, 0.045), (170, 70, 70))
    cv2.line(canvas, at(-0.14, 0.285), at(0.14, 0.285), (110, 40, 40), max(1, round(0.015 * s)))
    return cv2.resize(cv2.GaussianBlur(canvas, (0, 0), 0.015 * s), frame_size, interpolation=cv2.INTER_AREA)


def overlap(a, b):
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    intersection = max(0, width) * max(0, height)
    return intersection / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection)
