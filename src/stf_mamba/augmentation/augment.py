"""Augmentation of training clips: what happens to a video between the camera and the detector, drawn once per clip.

A draw per frame would write temporal variance into real clips, which is what the model looks for; a recipe can ask for
it (``draws = "frame"``), to show what it does. Two steps differ from frame to frame because they do so in the world:
sensor noise, and the video codec, which is a real one and comes last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from stf_mamba.core.recipe import AugmentRecipe
from stf_mamba.core.records import UInt8Array
from stf_mamba.media.recoding import VideoCodec, recode

_LUMA = np.array([0.2126, 0.7152, 0.0722])  # ITU-R BT.709-6, item 3.2
_LEAST_JPEG_LOSS = 100
_DRAWN_FOR_FRAMES = ("flip", "brightness", "contrast", "saturation", "shift_x", "shift_y", "zoom")
_WAYS_DOWN_AND_UP = (
    (cv2.INTER_AREA, cv2.INTER_LINEAR),
    (cv2.INTER_AREA, cv2.INTER_CUBIC),
    (cv2.INTER_LINEAR, cv2.INTER_LINEAR),
    (cv2.INTER_CUBIC, cv2.INTER_CUBIC),
)


def augment_clip(frames: Tensor, recipe: AugmentRecipe, generator: torch.Generator) -> Tensor:
    """Frames (T, 3, H, W) uint8 RGB as another camera or another upload might have left them.

    In this order: flip, shift and zoom; contrast, brightness, saturation; down-up scaling; blur; noise; JPEG; H.264 or
    H.265. Before noise and codec, identical frames stay identical, unless the recipe draws flip, geometry and colour
    for each frame. A step that the recipe sets to 0 changes no bit, and no step's setting changes what is drawn for
    another. The result may share memory with ``frames``.

    Raises:
        UsageError: the recipe asks for a codec that this build of PyAV lacks.
    """
    draws = _Draws(*torch.rand(3, generator=generator).tolist(), *torch.rand(16, generator=generator).tolist())
    clip = np.ascontiguousarray(frames.permute(0, 2, 3, 1).numpy())  # (T, H, W, 3)
    if recipe.draws == "clip":
        clip = _coloured(_placed(clip, recipe, draws), recipe, draws)
    else:
        clip = _each_for_itself(clip, recipe, draws, generator)
    if draws.rescale < recipe.rescale:
        scale = 1 - (1 - recipe.smallest_scale) * draws.scale
        clip = _rescaled(clip, scale, *_WAYS_DOWN_AND_UP[int(len(_WAYS_DOWN_AND_UP) * draws.way)])
    if draws.blur < recipe.blur:
        clip = _blurred(clip, recipe.largest_blur_px * (1 - draws.blur_px))
    if draws.noise < recipe.noise:
        clip = _noisy(clip, recipe.largest_noise * draws.noise_levels, generator)
    if draws.jpeg < recipe.jpeg:
        clip = _through_jpeg(clip, _integer(recipe.jpeg_quality_min, _LEAST_JPEG_LOSS, draws.jpeg_quality))
    if draws.video_codec < recipe.video_codec:
        codec: VideoCodec = "h265" if draws.h265 < recipe.h265 else "h264"
        clip = recode(clip, codec, _integer(recipe.crf_min, recipe.crf_max, draws.crf))
    return torch.from_numpy(np.ascontiguousarray(clip)).permute(0, 3, 1, 2)


class _Draws(NamedTuple):
    """Uniform numbers in [0, 1), all drawn whatever the recipe asks for. Noise itself is drawn after them."""

    flip: float
    brightness: float
    contrast: float
    saturation: float
    shift_x: float
    shift_y: float
    zoom: float
    rescale: float
    scale: float
    way: float
    blur: float
    blur_px: float
    noise: float
    noise_levels: float
    jpeg: float
    jpeg_quality: float
    video_codec: float
    h265: float
    crf: float


def _each_for_itself(clip: UInt8Array, recipe: AugmentRecipe, draws: _Draws, generator: torch.Generator) -> UInt8Array:
    """Flip, geometry and colour as ``_placed`` and ``_coloured`` make them, of each frame alone, with its own draws."""
    drawn = torch.rand(len(clip), len(_DRAWN_FOR_FRAMES), generator=generator).tolist()
    changed = []
    for frame, numbers in zip(clip, drawn, strict=True):
        own = draws._replace(**dict(zip(_DRAWN_FOR_FRAMES, numbers, strict=True)))
        changed.append(_coloured(_placed(frame[None], recipe, own), recipe, own))
    return np.concatenate(changed)


def _placed(clip: UInt8Array, recipe: AugmentRecipe, draws: _Draws) -> UInt8Array:
    """Mirrored, then cut out anew: a crop moved and resized by at most the recipe's parts of its side."""
    if draws.flip < recipe.flip:
        clip = _each(clip, lambda rgb: cv2.flip(rgb, 1))
    if recipe.shift == 0 and recipe.zoom == 0:
        return clip
    height, width = clip.shape[1:3]
    size = 1 + recipe.zoom * _signed(draws.zoom)
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    left = centre_x * (1 - size) + recipe.shift * width * _signed(draws.shift_x)
    top = centre_y * (1 - size) + recipe.shift * height * _signed(draws.shift_y)
    old_from_new = np.array([[size, 0, left], [0, size, top]])
    return _each(
        clip,
        lambda rgb: cv2.warpAffine(
            rgb,
            old_from_new,
            (width, height),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        ),
    )


def _coloured(clip: UInt8Array, recipe: AugmentRecipe, draws: _Draws) -> UInt8Array:
    """Contrast around the mean of the whole clip, so that it is one map for every frame; brightness; saturation."""
    n_frames, height, width, _ = clip.shape
    gain = 1 + recipe.brightness * _signed(draws.brightness)
    spread = 1 + recipe.contrast * _signed(draws.contrast)
    saturation = 1 + recipe.saturation * _signed(draws.saturation)
    rows: Any = clip.reshape(n_frames * height, width, 3)
    if gain != 1 or spread != 1:
        middle = sum(cv2.sumElems(rows)) / clip.size  # exact: whole numbers in float64
        levels = ((np.arange(256) - middle) * spread + middle) * gain
        rows = cv2.LUT(rows, np.rint(levels).clip(0, 255).astype(np.uint8))
    if saturation != 1:
        rows = cv2.transform(rows, saturation * np.eye(3) + (1 - saturation) * _LUMA)
    return np.asarray(rows.reshape(clip.shape), np.uint8)


def _rescaled(clip: UInt8Array, scale: float, down: int, up: int) -> UInt8Array:
    height, width = clip.shape[1:3]
    small = max(1, round(width * scale)), max(1, round(height * scale))
    return _each(
        clip,
        lambda rgb: cv2.resize(cv2.resize(rgb, small, interpolation=down), (width, height), interpolation=up),
    )


def _blurred(clip: UInt8Array, sigma_px: float) -> UInt8Array:
    return _each(clip, lambda rgb: cv2.GaussianBlur(rgb, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE))


def _noisy(clip: UInt8Array, sigma_levels: float, generator: torch.Generator) -> UInt8Array:
    """Gaussian noise, independent in every sample of every frame."""

    def exposed(rgb: UInt8Array) -> UInt8Array:
        noise = torch.randn(rgb.shape, generator=generator).numpy()
        return np.rint(rgb + sigma_levels * noise).clip(0, 255).astype(np.uint8)

    return _each(clip, exposed)


def _through_jpeg(clip: UInt8Array, quality: int) -> UInt8Array:
    def saved(rgb: UInt8Array) -> Any:
        done, content = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert done
        bgr: Any = cv2.imdecode(content, cv2.IMREAD_COLOR)
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)

    return _each(clip, saved)


def _each(clip: UInt8Array, change: Callable[[UInt8Array], Any]) -> UInt8Array:
    return np.stack([change(rgb) for rgb in clip])


def _signed(uniform: float) -> float:
    """From [0, 1) to [-1, 1)."""
    return 2 * uniform - 1


def _integer(least: int, most: int, uniform: float) -> int:
    """One of ``least`` … ``most``, both included, each as likely."""
    return least + int((most - least + 1) * uniform)
