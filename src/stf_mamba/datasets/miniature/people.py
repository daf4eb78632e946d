"""What tells one drawn person from another, and people drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Rgb = tuple[float, float, float]

SKIN_TONES: tuple[Rgb, ...] = ((246, 216, 194), (232, 190, 160), (205, 155, 120), (160, 112, 82), (112, 76, 56))
HAIR_COLOURS: tuple[Rgb, ...] = (
    (34, 28, 26),
    (70, 46, 32),
    (118, 80, 48),
    (188, 150, 98),
    (142, 140, 138),
    (128, 58, 30),
)
IRIS_COLOURS: tuple[Rgb, ...] = ((72, 46, 28), (112, 82, 44), (96, 118, 132), (86, 112, 66), (60, 84, 128))
HAIR_STYLES = ("short", "parted", "long", "receding")


@dataclass(frozen=True)
class Traits:
    """What tells one drawn person from another. Lengths are in head units, colours RGB."""

    skin_rgb: Rgb
    hair_rgb: Rgb
    iris_rgb: Rgb
    lip_rgb: Rgb
    jaw_width: float
    chin_y: float
    eye_x: float
    eye_y: float
    eye_half_width: float
    eye_half_height: float
    eye_tilt: float
    brow_y: float
    brow_thickness: float
    brow_arch: float
    nose_y: float
    nose_half_width: float
    mouth_half_width: float
    lip_fullness: float
    hair_style: str
    beard: float


def draw_traits(generator: np.random.Generator) -> Traits:
    """A person drawn at random."""
    tone = generator.uniform(0, len(SKIN_TONES) - 1)
    skin = _between(SKIN_TONES, tone)
    iris_choices = IRIS_COLOURS if tone < 2.5 else IRIS_COLOURS[:2]
    hair_choices = HAIR_COLOURS if tone < 1.8 else HAIR_COLOURS[:2]
    lip_red = np.array([186, 92, 88]) * (0.55 + 0.45 * skin[0] / 246)
    lip = 0.5 * lip_red + 0.5 * np.array(skin) * np.array([0.86, 0.66, 0.64])
    style = HAIR_STYLES[int(generator.integers(len(HAIR_STYLES)))]
    beard = 0.0 if style == "long" else max(0.0, generator.uniform(-0.7, 0.55))
    return Traits(
        skin_rgb=skin,
        hair_rgb=hair_choices[int(generator.integers(len(hair_choices)))],
        iris_rgb=iris_choices[int(generator.integers(len(iris_choices)))],
        lip_rgb=(float(lip[0]), float(lip[1]), float(lip[2])),
        jaw_width=generator.uniform(0.74, 0.92),
        chin_y=generator.uniform(1.24, 1.42),
        eye_x=generator.uniform(0.41, 0.48),
        eye_y=generator.uniform(-0.16, -0.08),
        eye_half_width=generator.uniform(0.20, 0.24),
        eye_half_height=generator.uniform(0.085, 0.12),
        eye_tilt=generator.uniform(-0.06, 0.12),
        brow_y=generator.uniform(-0.45, -0.38),
        brow_thickness=generator.uniform(0.05, 0.10),
        brow_arch=generator.uniform(0.03, 0.10),
        nose_y=generator.uniform(0.36, 0.46),
        nose_half_width=generator.uniform(0.17, 0.24),
        mouth_half_width=generator.uniform(0.32, 0.42),
        lip_fullness=generator.uniform(0.07, 0.12),
        hair_style=style,
        beard=beard,
    )


def _between(colours: tuple[Rgb, ...], position: float) -> Rgb:
    """Colour at a fractional position of a list of colours."""
    red, green, blue = (float(np.interp(position, range(len(colours)), [c[k] for c in colours])) for k in range(3))
    return red, green, blue
