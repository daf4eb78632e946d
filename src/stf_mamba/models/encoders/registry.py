"""The encoders by name."""

from __future__ import annotations

from stf_mamba.core.recipe import EncoderRecipe
from stf_mamba.models.encoders.cnn import CNN_ENCODERS, CnnEncoder
from stf_mamba.models.encoders.frame_encoder import EncoderSpec, FrameEncoder
from stf_mamba.models.encoders.sface import SFACE_ENCODERS, SFaceEncoder
from stf_mamba.models.encoders.vit import VIT_ENCODERS, VitEncoder

ENCODERS: dict[str, EncoderSpec] = {**VIT_ENCODERS, **CNN_ENCODERS, **SFACE_ENCODERS}


def build_encoder(recipe: EncoderRecipe) -> FrameEncoder:
    """The encoder that a recipe describes, with random values.

    Raises:
        ValueError: unknown name, more blocks than the network has, ``blocks`` and ``token`` asked of a network
            without them, or what ``VitEncoder`` and ``SFaceEncoder`` cannot combine.
    """
    if recipe.name not in ENCODERS:
        raise ValueError(f"unknown encoder {recipe.name!r}; known: {', '.join(ENCODERS)}")
    if recipe.name in SFACE_ENCODERS:
        if recipe.blocks is not None:
            raise ValueError(f"{recipe.name} runs whole; leave out blocks (is {recipe.blocks})")
        return SFaceEncoder(recipe.name, recipe.trainable_blocks, recipe.token, recipe.zoom)
    if recipe.name in VIT_ENCODERS:
        return VitEncoder(recipe.name, recipe.trainable_blocks, recipe.blocks, recipe.token, recipe.zoom)
    if recipe.blocks is not None or recipe.token != "cls" or recipe.zoom != 1:
        raise ValueError(
            f"{recipe.name} is convolutional: it has no tokens to choose from and runs whole; leave out blocks "
            f"(is {recipe.blocks}), token (is {recipe.token!r}) and zoom (is {recipe.zoom})"
        )
    return CnnEncoder(recipe.name, recipe.trainable_blocks)
