"""Drawing in head coordinates: the raster that a head is painted on, shapes, curves, hills and grain.

Head coordinates: x to the right and y down as seen in the picture; the unit is half the width of the face, the origin
lies between the eyes and the nose. Masks are (H, W) float32 in [0, 1]; colours are RGB in [0, 255].
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import make_interp_spline

if TYPE_CHECKING:
    from stf_mamba.core.records import Float32Array, UInt8Array

Points = npt.NDArray[np.float64]

# About 1.4 times as fine as the head in a 320 × 240 video.
PX_PER_UNIT = 72
LEFT, TOP, RIGHT, BOTTOM = -1.6, -2.0, 1.6, 1.75
WIDTH_PX = round((RIGHT - LEFT) * PX_PER_UNIT)
HEIGHT_PX = round((BOTTOM - TOP) * PX_PER_UNIT)

_FRACTION_BITS = 4  # of the coordinates that OpenCV's drawing functions take


def fill(image: UInt8Array, outline: Points, colour: npt.NDArray[np.float64]) -> None:
    """Fill the ``outline`` (N, 2) in the raster ``image``, smooth at the border."""
    cv2.fillPoly(image, [_fixed_point(outline)], colour.tolist(), cv2.LINE_AA, _FRACTION_BITS)


def draw_line(image: UInt8Array, points: Points, colour: npt.NDArray[np.float64], thickness_px: int) -> None:
    """Draw an open line through the ``points`` (N, 2) in the raster ``image``."""
    cv2.polylines(image, [_fixed_point(points)], False, colour.tolist(), thickness_px, cv2.LINE_AA, _FRACTION_BITS)


def fill_circle(
    image: UInt8Array, centre: Points, radius: float, colour: npt.NDArray[np.float64], corner_px: tuple[int, int]
) -> None:
    """Fill a circle in ``image``, a part of the raster whose upper left pixel is ``corner_px`` (column, row)."""
    column, row = _fixed_point(centre[None], corner_px)[0].tolist()
    radius_px = round(radius * PX_PER_UNIT * (1 << _FRACTION_BITS))
    cv2.circle(image, (column, row), radius_px, colour.tolist(), -1, cv2.LINE_AA, _FRACTION_BITS)


def polygon(
    outline: Points, size_px: tuple[int, int] = (HEIGHT_PX, WIDTH_PX), corner_px: tuple[int, int] = (0, 0)
) -> Float32Array:
    """The inside of an outline (N, 2) as a mask of ``size_px`` (rows, columns) from ``corner_px`` (column, row) on."""
    mask = np.zeros(size_px, np.uint8)
    cv2.fillPoly(mask, [_fixed_point(outline, corner_px)], 255, cv2.LINE_AA, _FRACTION_BITS)
    return mask.astype(np.float32) / np.float32(255)


def disc(centre: tuple[float, float], radii: tuple[float, float]) -> Float32Array:
    """An upright ellipse as a mask."""
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    return polygon(np.stack([centre[0] + radii[0] * np.cos(angle), centre[1] + radii[1] * np.sin(angle)], -1))


def hill(x0: float, y0: float, sigma_x: float, sigma_y: float) -> Float32Array:
    """A Gaussian hill of height 1, (H, W)."""
    x, y = raster_grid()
    return np.exp(-0.5 * (((x - x0) / sigma_x) ** 2 + ((y - y0) / sigma_y) ** 2)).astype(np.float32)


def lay_over(below: Float32Array, above: Float32Array, opacity: Float32Array) -> Float32Array:
    """``above`` laid over ``below`` (H, W, 3) with ``opacity`` (H, W)."""
    return below + (above - below) * opacity[..., None]


def grain(generator: np.random.Generator, shape: tuple[int, int], sigma_px: float) -> Float32Array:
    """Gaussian noise of unit standard deviation, blurred to a grain of ``sigma_px``."""
    noise = blur(generator.standard_normal(shape, dtype=np.float32), sigma_px)
    return np.asarray(noise / noise.std())


def rgb(colour: Sequence[float]) -> Float32Array:
    """A colour as a (3,) array to calculate with."""
    return np.asarray(colour, np.float32)


def blur(image: UInt8Array | Float32Array, sigma_px: float) -> Float32Array:
    """``image`` blurred by a Gaussian, float32."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.float32)


def sample(image: Float32Array, columns: Float32Array, rows: Float32Array) -> Float32Array:
    """``image`` at fractional columns and rows, bilinear; zero outside."""
    return np.asarray(cv2.remap(image, columns, rows, cv2.INTER_LINEAR), np.float32)


def outline_between(x: Points, upper: Points, lower: Points) -> Points:
    """Outline (2N, 2) along the upper curve and back along the lower one."""
    return np.concatenate([np.stack([x, upper], -1), np.stack([x, lower], -1)[::-1]])


def closed_curve(points: list[tuple[float, float]]) -> Points:
    """A smooth closed curve through the points, (96, 2)."""
    knots = np.arange(len(points) + 1)
    curve = make_interp_spline(knots, np.array([*points, points[0]]), k=3, bc_type="periodic")
    return np.asarray(curve(np.linspace(0, len(points), 96, endpoint=False)))


def open_curve(points: list[tuple[float, float]]) -> Points:
    """A smooth curve from the first to the last point, (64, 2)."""
    curve = make_interp_spline(np.arange(len(points)), np.array(points), k=3)
    return np.asarray(curve(np.linspace(0, len(points) - 1, 64)))


def to_raster(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Float32Array, Float32Array]:
    """Head coordinates as raster (columns, rows)."""
    columns = (np.asarray(x, np.float32) - np.float32(LEFT)) * np.float32(PX_PER_UNIT)
    rows = (np.asarray(y, np.float32) - np.float32(TOP)) * np.float32(PX_PER_UNIT)
    return columns, rows


@cache
def raster_grid() -> tuple[Float32Array, Float32Array]:
    """Head coordinates x and y of the raster's pixels, each (H, W)."""
    x = np.arange(WIDTH_PX, dtype=np.float32) / PX_PER_UNIT + LEFT
    y = np.arange(HEIGHT_PX, dtype=np.float32) / PX_PER_UNIT + TOP
    grid_x, grid_y = np.meshgrid(x, y)
    return grid_x.astype(np.float32), grid_y.astype(np.float32)


def _fixed_point(points: Points, corner_px: tuple[int, int] = (0, 0)) -> npt.NDArray[np.int32]:
    """Head points (N, 2) as the fixed-point pixel coordinates that OpenCV draws with."""
    raster = np.stack(to_raster(points[:, 0], points[:, 1]), -1) - np.array(corner_px)
    return np.asarray(np.round(raster * (1 << _FRACTION_BITS)), np.int32)
