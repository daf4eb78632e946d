"""Footage of a drawn talking head, and the same footage with another person's inner face put in.

Real and manipulated frames come from one take: background, body, head motion, light and sensor noise are the same to
the last bit outside the face. What a swap adds are its own errors, drawn anew for every frame: the face put in
shifts, turns and grows a little against the head, its brightness and colour flicker, and its border moves with it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from stf_mamba.datasets.miniature.drawing import rgb
from stf_mamba.datasets.miniature.people import draw_traits
from stf_mamba.datasets.miniature.portrait import Head, Pose

if TYPE_CHECKING:
    from stf_mamba.core.records import Float32Array, UInt8Array

    Series = npt.NDArray[np.float64]

UNIT_OF_FRAME_HEIGHT = 0.22  # half the face's width
NOISE_LEVEL = 2.2  # standard deviation of the sensor noise, in steps of 1/255


@dataclass(frozen=True)
class SwapErrors:
    """Size of a swap's frame-to-frame errors: standard deviations of independent draws per frame.

    Attributes:
        shift: displacement of the inner face, in head units (half the face's width).
        turn_rad: its rotation in the picture.
        growth: its relative change of size.
        brightness: relative change of its brightness, one draw for all channels.
        colour: relative change of each channel alone.
        leftover_colour: part of the difference in skin colour that the blend does not remove; constant in a video.
    """

    shift: float
    turn_rad: float
    growth: float
    brightness: float
    colour: float
    leftover_colour: float


class Take:
    """One person in front of a camera: everything but the pixels.

    Args:
        person: who is filmed; the same name looks the same in every take.
        name: with ``seed`` it decides background, clothes, motion, light and noise.
        n_frames: length.
        fps: frames a second.
        size_px: width and height of the frames.
        seed: of the whole corpus.
    """

    def __init__(self, person: str, name: str, *, n_frames: int, fps: int, size_px: tuple[int, int], seed: int) -> None:
        self.name = name
        self.size_px = size_px
        self.head = cast_head(person, seed)
        self.poses = _motion(named_generator(seed, f"{name}/motion"), n_frames, fps, size_px)
        generator = named_generator(seed, f"{name}/scene")
        self._background = _background(generator, size_px)
        self._body, self._body_opacity = _body(generator, self.head, size_px)
        self._seed = seed

    def frames(self, index: int, swaps: Sequence[Swap]) -> list[UInt8Array]:
        """Frame ``index`` of the real video, then of each swap, each (H, W, 3) uint8 RGB."""
        real = self._before_sensor(index)
        noise = self._sensor_noise(index)
        scenes = [real, *(swap.put_in(real, index) for swap in swaps)]
        return [np.clip(np.rint(scene + noise), 0, 255).astype(np.uint8) for scene in scenes]

    def _before_sensor(self, index: int) -> Float32Array:
        """Background, body and head, (H, W, 3) float32."""
        pose = self.poses[index]
        rest_x, rest_y = _rest_px(self.size_px)
        # The body follows the head half the way, which the neck behind the chin hides.
        shift = np.array([[1, 0, 0.5 * (pose.centre_px[0] - rest_x)], [0, 1, 0.5 * (pose.centre_px[1] - rest_y)]])
        body = cv2.warpAffine(self._body, shift, self.size_px, borderMode=cv2.BORDER_REPLICATE)
        opacity = cv2.warpAffine(self._body_opacity, shift, self.size_px, borderMode=cv2.BORDER_REPLICATE)
        frame = (self._background + (body - self._background) * opacity[..., None]) * np.float32(pose.light_gain)
        view = self.head.view(pose, self.size_px)
        frame[view.window] += (view.rgb - frame[view.window]) * view.opacity[..., None]
        return np.asarray(frame)

    def _sensor_noise(self, index: int) -> Float32Array:
        """Brightness noise of frame ``index``, (H, W, 1) float32."""
        width, height = self.size_px
        generator = named_generator(self._seed, f"{self.name}/noise/{index}")
        return generator.standard_normal((height, width, 1), dtype=np.float32) * np.float32(NOISE_LEVEL)


class Swap:
    """Another person's inner face put into a take.

    Args:
        take: the footage that is manipulated.
        source: name of the person whose face is put in.
        method: name of the method; with the take and the source it decides the draws.
        errors: how visibly it fails.
        seed: of the whole corpus.
    """

    def __init__(self, take: Take, source: str, method: str, errors: SwapErrors, *, seed: int) -> None:
        self._source = cast_head(source, seed)
        self._size_px = take.size_px
        generator = named_generator(seed, f"{take.name}/{source}/{method}/errors")
        self._poses = [_misplaced(pose, errors, generator) for pose in take.poses]
        brightness = generator.normal(0, errors.brightness, (len(take.poses), 1))
        flicker = 1 + brightness + generator.normal(0, errors.colour, (len(take.poses), 3))
        target_skin, source_skin = (np.array(head.traits.skin_rgb) for head in (take.head, self._source))
        self._gain = (flicker * (target_skin / source_skin) ** (1 - errors.leftover_colour)).astype(np.float32)

    def put_in(self, frame: Float32Array, index: int) -> Float32Array:
        """A copy of ``frame`` (H, W, 3), taken before the sensor, with the source's inner face in it."""
        view = self._source.view(self._poses[index], self._size_px)
        swapped = frame.copy()
        swapped[view.window] += (view.rgb * self._gain[index] - frame[view.window]) * view.inner_face[..., None]
        return swapped


def named_generator(seed: int, name: str) -> np.random.Generator:
    """A generator that depends on ``seed`` and ``name`` alone, on every machine and in any order of calls."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


@lru_cache(maxsize=64)
def cast_head(person: str, seed: int) -> Head:
    """The painted head of the person of that name."""
    generator = named_generator(seed, f"{person}/looks")
    return Head(draw_traits(generator), generator)


def _misplaced(pose: Pose, errors: SwapErrors, generator: np.random.Generator) -> Pose:
    shift_px = generator.normal(0, errors.shift, 2) * pose.unit_px
    return dataclasses.replace(
        pose,
        centre_px=(pose.centre_px[0] + float(shift_px[0]), pose.centre_px[1] + float(shift_px[1])),
        roll=pose.roll + generator.normal(0, errors.turn_rad),
        unit_px=pose.unit_px * (1 + generator.normal(0, errors.growth)),
    )


def _motion(generator: np.random.Generator, n_frames: int, fps: int, size_px: tuple[int, int]) -> list[Pose]:
    """A pose per frame: the head sways and turns, blinks, speaks; the light drifts."""
    times_s = np.arange(n_frames) / fps
    rest_x, rest_y = _rest_px(size_px)
    unit_px = UNIT_OF_FRAME_HEIGHT * size_px[1] * generator.uniform(0.93, 1.07)
    x = rest_x + unit_px * (generator.uniform(-0.3, 0.3) + _wander(generator, times_s, 0.12, 0.5))
    y = rest_y + unit_px * _wander(generator, times_s, 0.06, 0.7)
    unit = unit_px * (1 + _wander(generator, times_s, 0.015, 0.3))
    yaw = generator.uniform(-0.08, 0.08) + _wander(generator, times_s, 0.12, 0.5)
    pitch, roll = _wander(generator, times_s, 0.07, 0.7), _wander(generator, times_s, 0.05, 0.4)
    gaze = np.stack([_wander(generator, times_s, 0.7, 0.6), _wander(generator, times_s, 0.4, 0.6)], -1)
    eyes, mouth = _blinks(generator, times_s), _speech(generator, times_s)
    smile = _wander(generator, times_s, 0.5, 0.4)
    light_x = generator.uniform(-0.5, 0.5) + _wander(generator, times_s, 0.08, 0.2)
    light_gain = generator.uniform(0.92, 1.05) + _wander(generator, times_s, 0.025, 0.25)
    return [
        Pose(
            centre_px=(float(x[t]), float(y[t])),
            unit_px=float(unit[t]),
            yaw=float(yaw[t]),
            pitch=float(pitch[t]),
            roll=float(roll[t]),
            eye_openness=float(eyes[t]),
            gaze=(float(gaze[t, 0]), float(gaze[t, 1])),
            mouth_openness=float(mouth[t]),
            smile=float(smile[t]),
            light=(float(light_x[t]), -0.5, 0.8),
            light_gain=float(light_gain[t]),
        )
        for t in range(n_frames)
    ]


def _wander(generator: np.random.Generator, times_s: Series, amplitude: float, highest_hz: float) -> Series:
    """A smooth random function of time within ± ``amplitude``."""
    waves = np.zeros_like(times_s)
    for share in (0.5, 0.3, 0.2):
        hz, phase = generator.uniform(0.2, 1) * highest_hz, generator.uniform(0, 2 * np.pi)
        waves += share * np.sin(2 * np.pi * hz * times_s + phase)
    return amplitude * waves


def _blinks(generator: np.random.Generator, times_s: Series) -> Series:
    """Openness of the eyes: a blink of about a fifth of a second every one to three seconds."""
    openness = np.full_like(times_s, generator.uniform(0.85, 1.0))
    blink_s = generator.uniform(0.2, 1.2)
    while blink_s < times_s[-1]:
        openness *= 1 - np.exp(-(((times_s - blink_s) / 0.07) ** 4))
        blink_s += generator.uniform(1.0, 3.0)
    return openness


def _speech(generator: np.random.Generator, times_s: Series) -> Series:
    """Openness of the mouth: syllables of 2 to 5 a second within phrases."""
    syllables = 0.5 + 0.5 * np.sin(2 * np.pi * (generator.uniform(2.5, 4.5) * times_s + generator.uniform()))
    uneven = 0.6 + _wander(generator, times_s, 0.4, 3.0)
    phrase = np.clip(0.6 + _wander(generator, times_s, 1.0, 0.6), 0, 1)
    return np.asarray(0.75 * syllables * uneven * phrase)


def _rest_px(size_px: tuple[int, int]) -> tuple[float, float]:
    """Where the head's origin is at rest."""
    return 0.5 * size_px[0], 0.46 * size_px[1]


def _background(generator: np.random.Generator, size_px: tuple[int, int]) -> Float32Array:
    """A room out of focus, (H, W, 3) float32."""
    width, height = size_px
    wall = generator.uniform(70, 190) + generator.uniform(-22, 22, 3)
    across = np.linspace(-1, 1, width)[None, :, None] * generator.uniform(-22, 22)
    down = np.linspace(-1, 1, height)[:, None, None] * generator.uniform(-18, 18)
    room = np.clip(wall + across + down, 20, 235).astype(np.uint8)
    for _ in range(int(generator.integers(5, 10))):  # furniture, frames, books
        left, top = (int(generator.uniform(-0.1, 0.95) * size) for size in size_px)
        right, bottom = (
            left + int(generator.uniform(0.05, 0.3) * width),
            top + int(generator.uniform(0.1, 0.5) * height),
        )
        colour = np.clip(wall + generator.uniform(-70, 70) + generator.uniform(-30, 30, 3), 10, 245)
        cv2.rectangle(room, (left, top), (right, bottom), colour.tolist(), -1)
    blurred = cv2.GaussianBlur(room.astype(np.float32), (0, 0), generator.uniform(0.008, 0.02) * height)
    grain = cv2.GaussianBlur(generator.standard_normal((height, width), dtype=np.float32), (0, 0), 1.5)
    return np.asarray(np.clip(blurred + 4 * grain[..., None], 0, 255), np.float32)


def _body(generator: np.random.Generator, head: Head, size_px: tuple[int, int]) -> tuple[Float32Array, Float32Array]:
    """Neck and shoulders at rest: colour (H, W, 3) and opacity (H, W), float32."""
    width, height = size_px
    rest_x, rest_y = _rest_px(size_px)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = (x - rest_x) / (UNIT_OF_FRAME_HEIGHT * height), (y - rest_y) / (UNIT_OF_FRAME_HEIGHT * height)
    neck_half_width = 0.60 + 0.25 * np.clip(y - 1.45, 0, None) ** 2
    neck = _soft_step(neck_half_width - np.abs(x)) * _soft_step(y - 0.6)
    shoulder_y = 1.62 + 0.42 * np.clip(np.abs(x) - 0.5, 0, None) ** 0.8 + 0.5 * np.clip(np.abs(x) - 1.9, 0, None) ** 2
    collar_y = 1.72 + 0.55 * np.clip(0.75 - np.abs(x), 0, None)
    cloth = _soft_step(y - np.maximum(shoulder_y, np.where(np.abs(x) < 0.75, collar_y, 0)))
    under_chin = 0.50 + 0.35 * np.clip((y - 1.1) / 0.7, 0, 1)
    skin = rgb(head.traits.skin_rgb) * (under_chin * (1 - 0.22 * np.clip(x / 0.7, -1, 1) ** 2))[..., None]
    weave = 1 + 0.04 * generator.standard_normal((height, width, 1), dtype=np.float32)
    folds = 0.85 + 0.10 * np.sin(2.1 * x + 1.3 * y + generator.uniform(0, 6)) - 0.05 * np.abs(x)
    clothes = rgb(generator.uniform(25, 215, 3).tolist()) * weave * folds[..., None]
    colour = skin + (clothes - skin) * cloth[..., None]
    return np.asarray(colour, np.float32), np.asarray(np.maximum(neck, cloth), np.float32)


def _soft_step(distance: Float32Array) -> Float32Array:
    """0 below, 1 above zero, with a border of about two pixels; ``distance`` in head units."""
    return np.asarray(np.clip(distance * 24 + 0.5, 0, 1), np.float32)
