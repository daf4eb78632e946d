"""Frame encoders: one face crop in, one embedding out.

The networks are timm's; ours is the freezing, the split into a frozen prefix and a trained suffix, and the record of
what each network expects of its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from stf_mamba.models.torchvision_shim import import_timm

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class EncoderSpec:
    """A vision transformer by name.

    Attributes:
        timm_name: architecture (and pretraining tag) in timm.
        options: what is passed to timm beyond the name.
        mean, std: normalisation of RGB in [0, 1] that its weights were trained with.
        pretrained: whether the network is meant to start from published weights, so that starting from random
            values must be asked for.
        description: one line for tables.
    """

    timm_name: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pretrained: bool
    description: str
    options: dict[str, Any] = field(default_factory=dict)


ENCODERS: dict[str, EncoderSpec] = {
    "dinov2_vitb14": EncoderSpec(
        "vit_base_patch14_dinov2",
        IMAGENET_MEAN,
        IMAGENET_STD,
        pretrained=True,
        description="DINOv2 ViT-B/14, self-supervised on LVD-142M (Oquab et al. 2024)",
        options={"img_size": 224},
    ),
    "dinov2_vits14": EncoderSpec(
        "vit_small_patch14_dinov2",
        IMAGENET_MEAN,
        IMAGENET_STD,
        pretrained=True,
        description="DINOv2 ViT-S/14, distilled from the larger DINOv2 models (Oquab et al. 2024)",
        options={"img_size": 224},
    ),
    "vit_tiny16": EncoderSpec(
        "vit_tiny_patch16_224",
        HALF,
        HALF,
        pretrained=True,
        description="ViT-Tiny/16, supervised on ImageNet (Steiner et al. 2022); not DINOv2",
    ),
    "vit_miniature": EncoderSpec(
        "vit_tiny_patch16_224",
        HALF,
        HALF,
        pretrained=False,
        description="a 0.7 M parameter ViT/32 trained from random values, for demonstrations and tests",
        options={"patch_size": 32, "embed_dim": 96, "depth": 4, "num_heads": 3},
    ),
}


class VitEncoder(nn.Module):
    """A vision transformer that returns each frame's CLS token after the final norm.

    The last ``trainable_blocks`` blocks and the final norm train; everything before them is frozen and runs without a
    graph. With every block trainable the patch, position and class embeddings train as well.

    Args:
        name: a key of ``ENCODERS``.
        trainable_blocks: how many of the last blocks train.

    Raises:
        ValueError: unknown name, or more trainable blocks than the network has.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, trainable_blocks: int) -> None:
        super().__init__()
        if name not in ENCODERS:
            raise ValueError(f"unknown encoder {name!r}; known: {', '.join(ENCODERS)}")
        spec = ENCODERS[name]
        self.name = name
        self.network = import_timm().create_model(spec.timm_name, pretrained=False, num_classes=0, **spec.options)
        depth = len(self.network.blocks)
        if not 0 <= trainable_blocks <= depth:
            raise ValueError(f"{name} has {depth} blocks, cannot train {trainable_blocks} of them")
        self.first_trainable = depth - trainable_blocks
        self.trainable_blocks = trainable_blocks
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, 3, 1, 1), persistent=False)
        self.train_encoder(True)

    @property
    def width(self) -> int:
        """Size of an embedding."""
        return int(self.network.embed_dim)

    def train_encoder(self, on: bool) -> None:
        """Let the trainable blocks train, or freeze the whole encoder (a phase with ``encoder_lr = 0``)."""
        self.network.requires_grad_(on and self.first_trainable == 0)
        if on and self.trainable_blocks > 0:
            self.network.blocks[self.first_trainable :].requires_grad_(True)
            self.network.norm.requires_grad_(True)

    def forward(self, frames: Tensor) -> Tensor:
        """Embeddings (N, D) of frames (N, 3, H, W): uint8, or floats in [0, 1]; RGB."""
        return self.suffix(self.prefix(frames))

    def prefix(self, frames: Tensor) -> Tensor:
        """Tokens (N, 1 + patches, D) before the first trainable block. No gradient passes where all of it is frozen."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.first_trainable == 0):
            if frames.dtype == torch.uint8:
                frames = frames.to(self.mean.dtype) / 255
            tokens = self.network.patch_embed((frames - self.mean) / self.std)
            tokens = self.network.norm_pre(self.network.patch_drop(self.network._pos_embed(tokens)))
            for block in self.network.blocks[: self.first_trainable]:
                tokens = block(tokens)
        assert isinstance(tokens, Tensor)
        return tokens

    def suffix(self, tokens: Tensor) -> Tensor:
        """Embeddings (N, D) from the tokens that ``prefix`` returns."""
        for block in self.network.blocks[self.first_trainable :]:
            tokens = block(tokens)
        embeddings = self.network.norm(tokens)[:, 0]  # (N, D): the CLS token
        assert isinstance(embeddings, Tensor)
        return embeddings
