"""Augmentation of training clips: one draw per clip for geometry and colour.

A draw per frame would write temporal variance into real clips, which is what the model looks for.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stf_mamba.recipe import AugmentRecipe


def augment_clip(frames: Tensor, recipe: AugmentRecipe, generator: torch.Generator) -> Tensor:
    """An augmented copy of frames (T, 3, H, W) uint8 RGB; identical frames stay identical.

    Contrast turns around the mean of the whole clip, so that it is one map for every frame.
    """
    flip, brightness, contrast = torch.rand(3, generator=generator).tolist()
    if flip < recipe.flip:
        frames = frames.flip(-1)
    gain = 1 + recipe.brightness * (2 * brightness - 1)
    spread = 1 + recipe.contrast * (2 * contrast - 1)
    if gain == 1 and spread == 1:
        return frames
    table = torch.arange(256, dtype=torch.float64)
    middle = frames.double().mean()
    table = ((table - middle) * spread + middle) * gain
    changed: Tensor = table.round().clamp(0, 255).to(torch.uint8)[frames.long()]
    return changed
