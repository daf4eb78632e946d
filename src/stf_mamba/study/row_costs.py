"""What a row will take, before it is run: seconds of its networks as measured here, times the passes it makes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch

from stf_mamba.core.environment import choose_device
from stf_mamba.core.recipe import EncoderRecipe, Recipe
from stf_mamba.models.encoders.cnn import CNN_ENCODERS
from stf_mamba.models.encoders.frame_encoder import FrameEncoder
from stf_mamba.models.encoders.registry import build_encoder
from stf_mamba.models.mixers.registry import build_mixer
from stf_mamba.training.costs import median_seconds

BACKWARD = 2.0  # passes forward that a pass backward costs, as is usual
TIMED = 3


@dataclass(frozen=True)
class Passes:
    """How many videos a training meets.

    Attributes:
        train, validation, test: clips that it trains on, validates after each epoch, and scores at its end.
        trainings: seeds times folds.
        fillings: times that a cache of the frozen blocks is filled: a seed's folds share their views. Where nothing is
            drawn, all seeds share one.
    """

    train: float
    validation: float
    test: float
    trainings: int
    fillings: int


@dataclass(frozen=True)
class EncoderPace:
    """Seconds of one frame: through the frozen part, and forward through the part that trains."""

    frozen_s: float
    trained_s: float


def row_seconds(recipe: Recipe, passes: Passes, cached: bool, device: str = "auto") -> float:
    """Seconds that a row's networks will take on this machine, measured on one frame and one clip of random numbers.

    Reading clips, augmenting them and start-up are not in it, so a row of few and small clips takes longer.

    Args:
        cached: frozen blocks are computed once for every view and read afterwards.

    Raises:
        RecipeError, ValueError: as ``build_detector``.
    """
    chosen = choose_device(device)
    encoder = _encoder_pace(recipe.encoder, chosen)
    frames, views = recipe.data.frames, recipe.versions or 1
    temporal_s = _temporal_s(recipe, chosen)
    forward_s = frames * encoder.trained_s + temporal_s
    frozen_s = 0.0 if cached else frames * encoder.frozen_s
    seconds = 0.0
    for phase in recipe.phases:
        backward_s = BACKWARD * (frames * encoder.trained_s * (phase.encoder_lr > 0) + temporal_s)
        seconds += phase.epochs * passes.train * (frozen_s + forward_s + backward_s)
    seconds += ((recipe.epochs + 1) * passes.validation + passes.test) * (frozen_s + forward_s)
    filling_s = (views * passes.train + passes.validation + passes.test) * frames * encoder.frozen_s if cached else 0.0
    fillings = 1 if recipe.trains_as_stored else passes.fillings
    return passes.trainings * seconds + fillings * filling_s


@cache
def _encoder_pace(recipe: EncoderRecipe, device: torch.device) -> EncoderPace:
    encoder: FrameEncoder = build_encoder(recipe).to(device).eval()
    side_px = CNN_ENCODERS[recipe.name].crop_px if recipe.name in CNN_ENCODERS else None
    frame = torch.rand((1, 3, side_px or 224, side_px or 224), device=device)
    with torch.inference_mode():
        tokens = encoder.prefix(frame)
        frozen_s = median_seconds(lambda: encoder.prefix(frame), device, TIMED) if encoder.first_trainable > 0 else 0.0
        return EncoderPace(frozen_s, median_seconds(lambda: encoder.suffix(tokens), device, TIMED))


def _temporal_s(recipe: Recipe, device: torch.device) -> float:
    """Forward through all mixers, of one clip."""
    temporal = recipe.temporal
    if temporal.layers == 0:
        return 0.0
    return temporal.layers * _mixer_s(temporal.mixer, temporal.width, recipe.data.frames, device)


@cache
def _mixer_s(kind: str, width: int, frames: int, device: torch.device) -> float:
    mixer = build_mixer(kind, width).to(device).eval()
    clip = torch.rand((1, frames, width), device=device)
    with torch.inference_mode():
        return median_seconds(lambda: mixer(clip), device, TIMED)
