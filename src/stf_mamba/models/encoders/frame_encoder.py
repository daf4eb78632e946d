"""What every frame encoder is: a network in two parts, a frozen prefix and a trained suffix, and its pixels' scale."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from stf_mamba.models.encoders.timm_import import import_timm

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class EncoderSpec:
    """A network by name.

    Attributes:
        timm_name: architecture in timm.
        mean, std: normalisation of RGB in [0, 1] that its weights were trained with.
        pretrained: whether the network is meant to start from published weights, so that starting from random
            values must be asked for.
        description: one line for tables.
        options: what is passed to timm beyond the name.
    """

    timm_name: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pretrained: bool
    description: str
    options: dict[str, Any] = field(default_factory=dict)

    def create_network(self, **options: Any) -> Any:
        """timm's network without its classifier, with random values."""
        return import_timm().create_model(self.timm_name, pretrained=False, num_classes=0, **self.options, **options)


class FrameEncoder(nn.Module, ABC):
    """One face crop in, one embedding out: ``suffix(prefix(frames))``.

    Attributes:
        name: the key in ``encoders.registry.ENCODERS``.
        network: timm's network.
        trainable_blocks: how many of its last parts train.
        first_trainable: number of the first part that trains; ``prefix`` ends before it.
        crop_px: side of the smallest crops that it takes (of the only ones where ``largest_crop_px`` is the same);
            ``None`` for any.
        relations: what the embedding compares within a picture, in words; empty where it compares nothing.
    """

    mean: Tensor
    std: Tensor
    crop_px: int | None
    relations: tuple[str, ...] = ()

    def __init__(self, name: str, spec: EncoderSpec, network: Any, parts: int, trainable_blocks: int) -> None:
        super().__init__()
        if not 0 <= trainable_blocks <= parts:
            raise ValueError(f"{name} has {parts} blocks, cannot train {trainable_blocks} of them")
        self.name = name
        self.network = network
        self.trainable_blocks = trainable_blocks
        self.first_trainable = parts - trainable_blocks
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, 3, 1, 1), persistent=False)

    @property
    @abstractmethod
    def width(self) -> int:
        """Size D of an embedding."""

    @abstractmethod
    def train_encoder(self, on: bool) -> None:
        """Let the trainable parts train, or freeze the whole encoder (a phase with ``encoder_lr = 0``)."""

    @abstractmethod
    def prefix(self, frames: Tensor) -> Tensor:
        """What enters the first trainable part, (N, ...), of frames (N, 3, H, W): uint8, or floats in [0, 1]; RGB.

        No gradient passes where all of it is frozen.
        """

    @abstractmethod
    def suffix(self, tokens: Tensor) -> Tensor:
        """Embeddings (N, D) from what ``prefix`` returns; ``tokens`` stay as they are."""

    @property
    def largest_crop_px(self) -> int | None:
        """Side of the largest crops that it takes, where ``crop_px`` is that of the smallest."""
        return self.crop_px

    def by_relation(self, numbers: Tensor) -> Tensor:
        """Sums (..., len(relations)) of what belongs to each relation in numbers (..., D) laid out as an embedding.

        Raises:
            ValueError: the embedding compares nothing.
        """
        raise ValueError(f"{self.name} embeds frames, it does not compare their parts")

    def require_crop_size(self, height_px: int, width_px: int) -> None:
        """Crops of this size can enter.

        Raises:
            ValueError: they cannot.
        """
        smallest_px, largest_px = self.crop_px, self.largest_crop_px
        if smallest_px is None or largest_px is None:
            return
        if height_px == width_px and smallest_px <= height_px <= largest_px:
            return
        taken, advice = f"crops of {smallest_px} × {smallest_px} px", f"--size {smallest_px}"
        if largest_px > smallest_px:
            taken, advice = f"square crops of {smallest_px} to {largest_px} px", f"{advice} or more"
        raise ValueError(f"{self.name} takes {taken}, got {(height_px, width_px)}; prepare the clips with {advice}")

    def forward(self, frames: Tensor) -> Tensor:
        """Embeddings (N, D) of frames (N, 3, H, W): uint8, or floats in [0, 1]; RGB."""
        return self.suffix(self.prefix(frames))

    def normalised(self, frames: Tensor) -> Tensor:
        """The frames on the scale that the network expects."""
        if frames.dtype == torch.uint8:
            frames = frames.to(self.mean.dtype) / 255
        return (frames - self.mean) / self.std
