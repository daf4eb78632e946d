"""A drawn talking head, seen in one pose.

The head is a picture with a height for every pixel (2.5-D): it is painted and shaded facing the camera, then
seen under a small rotation with the parallax that the heights give. Everything is drawn by this code; no photograph
is involved.

Head coordinates: x to the right and y down as seen in the picture, z towards the camera; the unit is half the width
of the face, the origin lies between the eyes and the nose. Colours are RGB in [0, 255].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from stf_mamba.datasets.miniature.drawing import (
    BOTTOM,
    HEIGHT_PX,
    PX_PER_UNIT,
    WIDTH_PX,
    Points,
    blur,
    closed_curve,
    disc,
    draw_line,
    fill,
    fill_circle,
    grain,
    hill,
    lay_over,
    open_curve,
    outline_between,
    polygon,
    raster_grid,
    rgb,
    sample,
    to_raster,
)
from stf_mamba.datasets.miniature.people import Traits

if TYPE_CHECKING:
    from stf_mamba.core.records import Float32Array, UInt8Array

MOUTH_Y = 0.80


@dataclass(frozen=True)
class Pose:
    """Where the head is in one frame, what the face does, and how it is lit.

    Attributes:
        centre_px: the head's origin in the frame.
        unit_px: half the face's width.
        yaw, pitch, roll: rotation in radians; positive yaw turns the nose to the picture's right, positive pitch down.
        eye_openness: 0 closed, 1 open.
        gaze: direction of the eyes (right, down) in [-1, 1].
        mouth_openness: 0 closed, 1 wide open.
        smile: how far the corners of the mouth are pulled out and up, in [-1, 1].
        light: direction towards the light in camera coordinates, not necessarily of length 1.
        light_gain: brightness of the whole scene, about 1.
    """

    centre_px: tuple[float, float]
    unit_px: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    eye_openness: float = 1.0
    gaze: tuple[float, float] = (0.0, 0.0)
    mouth_openness: float = 0.0
    smile: float = 0.0
    light: tuple[float, float, float] = (-0.4, -0.5, 0.8)
    light_gain: float = 1.0


@dataclass(frozen=True, eq=False)
class HeadView:
    """A head as one frame sees it.

    Attributes:
        rgb: (H, W, 3) float32 in [0, 255].
        opacity: (H, W) float32 in [0, 1], the whole head.
        inner_face: (H, W) float32 in [0, 1], brows to chin with a soft border: what a face swap replaces.
        corner_px: (left, top) of the view in the frame.
    """

    rgb: Float32Array
    opacity: Float32Array
    inner_face: Float32Array
    corner_px: tuple[int, int]

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the frame that the view covers."""
        left, top = self.corner_px
        height, width = self.opacity.shape
        return slice(top, top + height), slice(left, left + width)


class Head:
    """A person's painted head, ready to be seen in any pose.

    Args:
        traits: the person.
        generator: draws the fine texture of skin and hair.
    """

    def __init__(self, traits: Traits, generator: np.random.Generator) -> None:
        self.traits = traits
        ears = np.maximum(disc((-1.02, 0.10), (0.12, 0.25)), disc((1.02, 0.10), (0.12, 0.25)))
        scalp = polygon(0.97 * _crown(-0.1))
        skin = np.maximum.reduce([polygon(_face_outline(traits)), scalp, ears])
        hair = _hair_cover(traits)
        self._opacity = np.maximum.reduce([skin, hair, _hair_behind(traits)])
        self._inner_face = _inner_face(traits)
        self._height, self._normals = _relief(traits)
        colour = lay_over(rgb(traits.hair_rgb) * 0.7, _painted_skin(traits, generator), skin)
        colour = lay_over(colour, _painted_hair(traits, generator), hair)
        self._colour: UInt8Array = np.clip(colour, 0, 255).astype(np.uint8)  # (H, W, 3), without eyes and mouth

    def view(self, pose: Pose, frame_size_px: tuple[int, int]) -> HeadView:
        """The head in ``pose``, cut to a frame of (width, height) pixels.

        Raises:
            ValueError: the head lies wholly outside the frame.
        """
        rotation = _rotation(pose)
        face = self._colour.copy()
        _paint_eyes(face, self.traits, pose)
        _paint_mouth(face, self.traits, pose)
        light = np.asarray(pose.light) / np.linalg.norm(pose.light)
        shade = _shade(self._normals, rotation.T @ light) * np.float32(pose.light_gain)
        lit = np.clip(blur(face, 0.7) * shade[..., None], 0, 255)
        left, top, right, bottom = _window(pose, frame_size_px)
        columns, rows = self._seen_from(pose, rotation, (left, top, right, bottom))
        return HeadView(
            rgb=sample(lit, columns, rows),
            opacity=sample(self._opacity, columns, rows),
            inner_face=sample(self._inner_face, columns, rows),
            corner_px=(left, top),
        )

    def _seen_from(
        self, pose: Pose, rotation: npt.NDArray[np.float64], window_px: tuple[int, int, int, int]
    ) -> tuple[Float32Array, Float32Array]:
        """Raster column and row that each pixel of the window shows, both (H, W) float32.

        A point (x, y, z) is seen at A (x, y) + r z with A, r from the rotation's first two rows; since z depends on
        (x, y), the inverse is found by three fixed-point steps, which contract for the small rotations used here.
        """
        left, top, right, bottom = window_px
        unit_px = np.float32(pose.unit_px)
        seen_x = ((np.arange(left, right) - pose.centre_px[0]).astype(np.float32) / unit_px)[None, :]  # (1, W)
        seen_y = ((np.arange(top, bottom) - pose.centre_px[1]).astype(np.float32) / unit_px)[:, None]  # (H, 1)
        inverse = np.linalg.inv(rotation[:2, :2]).astype(np.float32)
        x0 = inverse[0, 0] * seen_x + inverse[0, 1] * seen_y
        y0 = inverse[1, 0] * seen_x + inverse[1, 1] * seen_y  # (H, W), like x0
        along = (inverse @ rotation[:2, 2]).astype(np.float32)
        x, y = x0, y0
        for _ in range(3):
            columns, rows = to_raster(x, y)
            z = sample(self._height, columns, rows)
            x, y = x0 - along[0] * z, y0 - along[1] * z
        # The jaw drops with the mouth: below the lips the picture is moved down.
        below_lips = np.clip((y - (MOUTH_Y + 0.15)) / 0.3, 0, 1)
        return to_raster(x, y - np.float32(0.10 * pose.mouth_openness) * below_lips)


def _rotation(pose: Pose) -> npt.NDArray[np.float64]:
    """Rotation matrix (3, 3) from head to camera coordinates."""
    cy, sy = math.cos(pose.yaw), math.sin(pose.yaw)
    cp, sp = math.cos(pose.pitch), math.sin(pose.pitch)
    cr, sr = math.cos(pose.roll), math.sin(pose.roll)
    yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    pitch = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(roll @ yaw @ pitch)


def _window(pose: Pose, frame_size_px: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part of the frame that the head can reach."""
    reach_px = 2.2 * pose.unit_px
    left, top = (max(0, math.floor(centre - reach_px)) for centre in pose.centre_px)
    right, bottom = (min(size, math.ceil(c + reach_px)) for c, size in zip(pose.centre_px, frame_size_px, strict=True))
    if left >= right or top >= bottom:
        raise ValueError(f"the head at {pose.centre_px} is outside a frame of {frame_size_px} px")
    return left, top, right, bottom


def _shade(normals: tuple[Float32Array, ...], light: npt.NDArray[np.float64]) -> Float32Array:
    """Brightness factor (H, W): soft ambient, diffuse light, and a faint sheen."""
    toward = light.astype(np.float32)
    cosine = toward[0] * normals[0] + toward[1] * normals[1] + toward[2] * normals[2]
    diffuse = np.maximum(0.75 * cosine + 0.25, 0)  # light reaches a little round the edge
    return np.asarray(0.42 + 0.66 * diffuse + 0.10 * diffuse**8, np.float32)


def _relief(traits: Traits) -> tuple[Float32Array, tuple[Float32Array, ...]]:
    """Height z (H, W) and the unit normals' x, y, z components, each (H, W) float32."""
    x, y = raster_grid()
    dome = 0.95 * np.maximum(1 - (x / 1.25) ** 2 - ((y + 0.2) / 1.75) ** 2, 0)
    bridge_y = -0.15
    nose = [  # from the bridge to the tip, wider and higher
        (0.10 + 0.16 * part) * hill(0, bridge_y + part * (traits.nose_y - bridge_y), 0.09 + 0.04 * part, 0.13)
        for part in np.linspace(0, 1, 6).tolist()
    ]
    height = dome + np.maximum.reduce(nose)
    for side in (-1, 1):
        height += 0.05 * hill(side * traits.nose_half_width * 0.75, traits.nose_y + 0.05, 0.07, 0.06)
        height -= 0.10 * hill(side * traits.eye_x, traits.eye_y, 0.20, 0.12)
        height += 0.05 * hill(side * traits.eye_x, traits.eye_y, 0.11, 0.09)
        height += 0.06 * hill(side * traits.eye_x, traits.brow_y, 0.26, 0.08)
        height += 0.06 * hill(side * 0.58, 0.28, 0.22, 0.18)
    height += 0.07 * hill(0, MOUTH_Y - 0.05, 0.28, 0.14) - 0.04 * hill(0, MOUTH_Y + 0.22, 0.2, 0.05)
    height += 0.08 * hill(0, traits.chin_y - 0.15, 0.2, 0.12)
    height = blur(height, 2)
    slope_y, slope_x = np.gradient(height, 1 / PX_PER_UNIT)
    length = np.sqrt(slope_x**2 + slope_y**2 + 1)
    return height, (-slope_x / length, -slope_y / length, 1 / length)


def _painted_skin(traits: Traits, generator: np.random.Generator) -> Float32Array:
    """Skin with blush, sockets, nostrils, brows and beard, (H, W, 3); eyes and mouth come with the pose."""
    skin, hair = rgb(traits.skin_rgb), rgb(traits.hair_rgb)
    shape = (HEIGHT_PX, WIDTH_PX)
    mottle = 1 + 0.020 * grain(generator, shape, 5) + 0.016 * grain(generator, shape, 1.0)
    colour = skin * mottle[..., None]  # (H, W, 3)
    nose_y, nostril_x = traits.nose_y, traits.nose_half_width
    for side in (-1, 1):
        eye_x, eye_y = side * traits.eye_x, traits.eye_y
        colour = lay_over(colour, skin * rgb((0.98, 0.80, 0.78)), 0.45 * hill(side * 0.56, 0.40, 0.22, 0.20))  # cheek
        colour = lay_over(colour, skin * rgb((0.74, 0.66, 0.66)), 0.50 * hill(eye_x, eye_y, 0.24, 0.13))  # socket
        colour = lay_over(colour, skin * 0.66, 0.6 * hill(0.52 * eye_x, eye_y - 0.02, 0.08, 0.14))  # beside the bridge
        colour = lay_over(colour, skin * 0.70, 0.6 * hill(side * nostril_x, nose_y + 0.06, 0.045, 0.10))
        nostril = disc((side * 0.52 * nostril_x, nose_y + 0.13), (0.06, 0.03))
        colour = lay_over(colour, skin * 0.28, 0.9 * blur(nostril, 1.2))
    colour = lay_over(colour, skin * rgb((1, 0.84, 0.82)), 0.35 * hill(0, nose_y, 0.13, 0.12))
    colour = lay_over(colour, skin * 0.62, 0.55 * hill(0, nose_y + 0.17, 0.18, 0.045))  # the nose's shadow
    colour = lay_over(colour, skin * 0.68, 0.5 * hill(0, MOUTH_Y + 0.23, 0.16, 0.045))  # the lower lip's shadow
    if traits.beard > 0:
        stubble = np.clip(traits.beard * (1 + 0.25 * grain(generator, shape, 0.8)), 0, 1)
        colour = lay_over(colour, hair, stubble * _beard_area())
    for side in (-1, 1):
        colour = lay_over(colour, hair * 0.9, 0.88 * _brow(traits, side, generator))
    return colour


def _painted_hair(traits: Traits, generator: np.random.Generator) -> Float32Array:
    """Hair colour with strands that run out from the crown, (H, W, 3)."""
    x, y = raster_grid()
    angle = np.arctan2(x - 0.15, -(y + 1.0) + 1e-6)
    radius = np.hypot(x - 0.15, y + 1.0)
    noise = grain(generator, (160, 512), 1.2)
    columns = (angle / (2 * np.pi) + 0.5) * 511
    rows = np.clip(radius * 22, 0, 159)
    strands = sample(np.asarray(cv2.blur(noise, (1, 13)), np.float32), columns, rows)
    sheen = 0.30 * np.exp(-(((radius - 0.55) / 0.18) ** 2))
    brightness = 1 + 0.20 * strands / strands.std() + sheen
    return np.asarray(rgb(traits.hair_rgb) * brightness[..., None], np.float32)


def _paint_eyes(face: UInt8Array, traits: Traits, pose: Pose) -> None:
    """Draw both eyes into ``face`` (H, W, 3) uint8."""
    skin = np.array(traits.skin_rgb)
    along = np.linspace(-1, 1, 13)
    bow = np.sqrt(np.clip(1 - np.abs(along) ** 2.2, 0, 1))
    for side in (-1, 1):
        centre = np.array([side * traits.eye_x, traits.eye_y])
        x = centre[0] + along * traits.eye_half_width
        tilt = -along * side * traits.eye_tilt * traits.eye_half_width * 2
        lower = centre[1] + tilt + 0.62 * traits.eye_half_height * bow
        raised = centre[1] + tilt - 1.1 * traits.eye_half_height * bow
        upper = lower + (raised - lower) * np.clip(pose.eye_openness, 0.02, 1)
        _paint_eyeball(face, traits, centre, np.array(pose.gaze), outline_between(x, upper, lower))
        draw_line(face, np.stack([x, lower], -1), skin * 0.66, 1)
        draw_line(face, np.stack([x, upper], -1), skin * 0.16, 2)
        crease = raised - 0.045 - 0.03 * bow * pose.eye_openness
        draw_line(face, np.stack([x, crease], -1)[1:-1], skin * 0.62, 1)


def _paint_eyeball(face: UInt8Array, traits: Traits, centre: Points, gaze: Points, opening: Points) -> None:
    """Draw white, iris, pupil and highlight inside the ``opening`` of the lids."""
    column, row = (round(float(part)) for part in to_raster(*centre))
    reach = round(0.32 * PX_PER_UNIT)
    corner_px = (column - reach, row - reach)
    patch = face[row - reach : row + reach, column - reach : column + reach]  # a view: (2 reach, 2 reach, 3)
    ball = np.empty_like(patch)
    ball[:] = np.array([232, 226, 222]) * min(1.0, 0.6 + traits.skin_rgb[0] / 500)
    iris = centre + gaze * np.array([0.06, 0.03]) - np.array([0, 0.01])
    radius = 0.112
    for where, size, colour in (
        (iris, radius, np.array(traits.iris_rgb) * 0.5),
        (iris, radius * 0.84, np.array(traits.iris_rgb)),
        (iris, radius * 0.45, np.array([14, 11, 10])),
        (iris - np.array([0.035, 0.04]), radius * 0.24, np.array([250, 250, 250])),
    ):
        fill_circle(ball, where, size, colour, corner_px)
    ball[: reach - 2] = (ball[: reach - 2] * 0.82).astype(np.uint8)  # the upper lid's shadow
    seen = polygon(opening, (2 * reach, 2 * reach), corner_px)
    patch[:] = lay_over(patch.astype(np.float32), ball.astype(np.float32), seen)


def _paint_mouth(face: UInt8Array, traits: Traits, pose: Pose) -> None:
    """Draw lips, and teeth and the dark behind them where the mouth is open."""
    lip = np.array(traits.lip_rgb)
    half_width = traits.mouth_half_width * (1 + 0.12 * pose.smile - 0.14 * pose.mouth_openness)
    along = np.linspace(-1, 1, 17)
    x = along * half_width
    bow = 1 - along**2
    corners = MOUTH_Y - 0.06 * pose.smile * along**2
    gap = 0.22 * np.clip(pose.mouth_openness, 0, 1) * bow**0.7
    upper_inner = corners - 0.15 * gap + 0.012 * bow
    lower_inner = upper_inner + gap
    cupid = 1 - 0.28 * np.exp(-((along / 0.16) ** 2))
    upper_outer = upper_inner - traits.lip_fullness * 0.9 * bow**0.8 * cupid
    lower_outer = lower_inner + traits.lip_fullness * 1.15 * bow**0.6
    fill(face, outline_between(x, upper_inner, lower_inner), np.array([58, 22, 22]))
    teeth = np.minimum(upper_inner + 0.075 * bow, lower_inner)
    fill(face, outline_between(x, upper_inner, teeth)[2:-2], np.array([210, 202, 192]))
    fill(face, outline_between(x, upper_outer, upper_inner), lip * 0.86)
    fill(face, outline_between(x, lower_inner, lower_outer), lip)
    middle = slice(5, 12)
    shine = lower_inner + 0.45 * (lower_outer - lower_inner)
    draw_line(face, np.stack([x, shine], -1)[middle], np.minimum(lip * 1.16 + 8, 255), 1)
    draw_line(face, np.stack([x, upper_inner], -1), lip * 0.42, 1)


def _face_outline(traits: Traits) -> Points:
    """Forehead to chin, (N, 2)."""
    jaw, chin = traits.jaw_width, traits.chin_y
    right = [(0.86, -1.05), (1.0, -0.45), (0.99, 0.15), (jaw, 0.15 + 0.45 * chin), (0.62 * jaw, 0.88 * chin)]
    return closed_curve([(0, -1.5), *right, (0, chin), *((-x, y) for x, y in reversed(right))])


def _inner_face(traits: Traits) -> Float32Array:
    """Brows to chin in [0, 1], (H, W), with a soft border; ends above the shortest chin to fit all faces."""
    right = [(0.52, traits.brow_y - 0.16), (0.76, -0.15), (0.72, 0.4), (0.52, MOUTH_Y + 0.12)]
    hull = closed_curve(
        [(0, traits.brow_y - 0.16), *right, (0, MOUTH_Y + 0.36), *((-x, y) for x, y in reversed(right))]
    )
    return blur(polygon(hull), 0.05 * PX_PER_UNIT)


def _hair_cover(traits: Traits) -> Float32Array:
    """Hair in front of the head, (H, W) in [0, 1]."""
    side_y = {"short": -0.25, "parted": -0.10, "long": 0.5, "receding": -0.20}[traits.hair_style]
    line = {
        "short": [(-0.97, side_y), (-0.90, -0.72), (-0.45, -1.06), (0.45, -1.06), (0.90, -0.72), (0.97, side_y)],
        "parted": [(-0.97, side_y), (-0.90, -0.60), (-0.55, -1.10), (0.10, -0.98), (0.86, -0.62), (0.97, side_y)],
        "long": [(-0.99, side_y), (-0.90, -0.50), (-0.30, -1.14), (0.15, -1.10), (0.86, -0.60), (0.99, side_y)],
        "receding": [(-0.98, side_y), (-0.95, -0.80), (-0.62, -1.36), (0.62, -1.36), (0.95, -0.80), (0.98, side_y)],
    }[traits.hair_style]
    return blur(polygon(np.concatenate([_crown(side_y), open_curve(line)])), 1.5)


def _crown(end_y: float) -> Points:
    """The upper edge of a head with hair, from ``end_y`` on the right over the top to the left, (N, 2)."""
    right = [(1.07, end_y), (1.08, -0.45), (1.07, -0.95), (0.88, -1.42), (0.48, -1.74)]
    return open_curve([*right, (0, -1.83), *((-x, y) for x, y in reversed(right))])


def _hair_behind(traits: Traits) -> Float32Array:
    """Hair that falls behind the face, (H, W) in [0, 1]; only long hair shows."""
    if traits.hair_style != "long":
        return np.zeros((HEIGHT_PX, WIDTH_PX), np.float32)
    right = [(0.80, -1.50), (1.12, -0.8), (1.20, 0.2), (1.28, 1.1), (1.05, 1.60), (0.50, 1.5)]
    fall = polygon(closed_curve([(0, -1.8), *right, (0, 1.1), *((-x, y) for x, y in reversed(right))]))
    neck = polygon(np.array([(-0.60, 0.8), (0.60, 0.8), (0.72, BOTTOM), (-0.72, BOTTOM)]))
    return blur(fall * (1 - neck), 2)


def _beard_area() -> Float32Array:
    """Cheeks below the ears, chin and upper lip, (H, W) in [0, 1]."""
    x, y = raster_grid()
    lower = 1 / (1 + np.exp(-(y - 0.62 - 0.25 * (1 - np.abs(x)) ** 2) / 0.06))
    cheeks = 1 / (1 + np.exp(-(np.abs(x) - 0.30) / 0.08))
    chin = 1 / (1 + np.exp(-(y - MOUTH_Y - 0.16) / 0.05))
    moustache = hill(0, MOUTH_Y - 0.15, 0.28, 0.07)
    return np.asarray(np.clip(lower * np.maximum(cheeks, chin) + moustache, 0, 1), np.float32)


def _brow(traits: Traits, side: int, generator: np.random.Generator) -> Float32Array:
    """One eyebrow as short hairs, (H, W) in [0, 1]."""
    image = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    for _ in range(90):
        along = generator.uniform(-1, 1)
        thickness = traits.brow_thickness * (1 - 0.55 * max(0.0, along))
        x = traits.eye_x + along * 0.30
        y = traits.brow_y - traits.brow_arch * (1 - (along - 0.3) ** 2) + generator.uniform(-0.5, 0.5) * thickness
        tip = x + 0.07, y - 0.05 + 0.07 * max(0.0, along)
        draw_line(image, np.array([[side * x, y], [side * tip[0], tip[1]]]), np.array([255]), 1)
    return blur(image, 0.9) / np.float32(255)
