"""Frame encoders: one face crop in, one embedding out.

The networks are timm's; ours is the freezing, the split into a frozen prefix and a trained suffix, and the record of
what each network expects of its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from stf_mamba.models.encoders.frame_encoder import HALF, IMAGENET_MEAN, IMAGENET_STD, EncoderSpec, FrameEncoder
from stf_mamba.models.encoders.last_block import cls_only_block
from stf_mamba.models.encoders.relations import (
    RELATIONS,
    enlarged_tiles,
    joined_patches,
    relation_weights,
    zone_weights,
)

Token = Literal["cls", "patches", "both", "zones", "relations"]
TOKENS = get_args(Token)


@dataclass(frozen=True, kw_only=True)
class VitSpec(EncoderSpec):
    """A vision transformer.

    Attributes:
        blocks: how many it has as published.
    """

    blocks: int


VIT_ENCODERS: dict[str, VitSpec] = {
    "dinov2_vitb14": VitSpec(
        "vit_base_patch14_dinov2",
        IMAGENET_MEAN,
        IMAGENET_STD,
        pretrained=True,
        description="DINOv2 ViT-B/14, self-supervised on LVD-142M (Oquab et al. 2024)",
        options={"img_size": 224},
        blocks=12,
    ),
    "dinov2_vits14": VitSpec(
        "vit_small_patch14_dinov2",
        IMAGENET_MEAN,
        IMAGENET_STD,
        pretrained=True,
        description="DINOv2 ViT-S/14, distilled from the larger DINOv2 models (Oquab et al. 2024)",
        options={"img_size": 224},
        blocks=12,
    ),
    "vit_tiny16": VitSpec(
        "vit_tiny_patch16_224",
        HALF,
        HALF,
        pretrained=True,
        description="ViT-Tiny/16, supervised on ImageNet (Steiner et al. 2022); not DINOv2",
        blocks=12,
    ),
    "vit_miniature": VitSpec(
        "vit_tiny_patch16_224",
        HALF,
        HALF,
        pretrained=False,
        description="a 0.7 M parameter ViT/32 trained from random values, for demonstrations and tests",
        options={"patch_size": 32, "embed_dim": 96, "num_heads": 3},
        blocks=4,
    ),
}


class VitEncoder(FrameEncoder):
    """A vision transformer that returns a token of each frame after the final norm.

    The last ``trainable_blocks`` blocks and the final norm train; everything before them is frozen and runs without a
    graph. With every block trainable the patch, position and class embeddings train as well.

    Args:
        name: a key of ``VIT_ENCODERS``.
        trainable_blocks: how many of the last blocks train.
        blocks: build only so many of the first blocks, and a norm of their own that starts as the identity map:
            the published one is made for the last block's output. ``None`` builds all, with the published norm.
        token: the embedding: the class token, the mean of the patch tokens, both side by side in this order, or
            ``zones``: the mean of the patches over the middle of the crop, where the face is, and that over the ring
            around them, where a swap is blended in. ``relations`` are three differences of means of layer-normalised
            patches after every block, ``relation_weights``': what tells the parts of one picture apart, at every
            depth. They are for frozen networks, whose ``prefix`` then returns them.
        zoom: for ``relations``, let the network see the crop in zoom × zoom tiles of its own input size, enlarged to
            fill them. Crops of more pixels fill them with more detail.

    Raises:
        ValueError: unknown name or token, more (trainable) blocks than the network has, trainable blocks with
            ``relations``, or a zoom without them.
    """

    zones: Tensor

    def __init__(
        self, name: str, trainable_blocks: int, blocks: int | None = None, token: str = "cls", zoom: int = 1
    ) -> None:
        if name not in VIT_ENCODERS:
            raise ValueError(f"unknown encoder {name!r}; transformers are: {', '.join(VIT_ENCODERS)}")
        if token not in TOKENS:
            raise ValueError(f"unknown token {token!r}; known: {', '.join(TOKENS)}")
        _require_combination(trainable_blocks, token, zoom)
        spec = VIT_ENCODERS[name]
        if blocks is not None and not 1 <= blocks <= spec.blocks:
            raise ValueError(f"{name} has {spec.blocks} blocks, cannot use the first {blocks}")
        depth = spec.blocks if blocks is None else blocks
        super().__init__(name, spec, spec.create_network(depth=depth), depth, trainable_blocks)
        self.blocks = blocks
        self.token = token
        self.zoom = zoom
        self.input_px = int(self.network.patch_embed.img_size[0])
        self.crop_px = self.input_px
        self.relations = RELATIONS if token == "relations" else ()
        rows, columns = self.network.patch_embed.grid_size
        weights = relation_weights(zoom * rows, zoom * columns) if token == "relations" else zone_weights(rows, columns)
        self.register_buffer("zones", weights, persistent=False)
        self.train_encoder(True)

    @property
    def has_own_norm(self) -> bool:
        """Whether the final norm is another than the published one."""
        return self.blocks is not None

    @property
    def width(self) -> int:
        """Size D of an embedding."""
        of_a_token = int(self.network.embed_dim)
        if self.token == "relations":
            return of_a_token * len(RELATIONS) * len(self.network.blocks)
        return of_a_token * (2 if self.token in ("both", "zones") else 1)

    @property
    def largest_crop_px(self) -> int:
        """Side of the crops that fill the tiles without being enlarged."""
        return self.zoom * self.input_px

    def train_encoder(self, on: bool) -> None:
        """Let the trainable blocks train, or freeze the whole encoder (a phase with ``encoder_lr = 0``)."""
        self.network.requires_grad_(on and self.first_trainable == 0)
        if on and self.trainable_blocks > 0:
            self.network.blocks[self.first_trainable :].requires_grad_(True)
            self.network.norm.requires_grad_(True)

    def prefix(self, frames: Tensor) -> Tensor:
        """Tokens (N, 1 + patches, width) before the first trainable block; relations (N, 3 · blocks, width) where
        the embedding is made of them.

        Raises:
            ValueError: another crop size than the network's.
        """
        self.require_crop_size(frames.shape[2], frames.shape[3])
        if self.token == "relations":
            return self._relations(frames)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.first_trainable == 0):
            tokens = self.network.patch_embed(self.normalised(frames))
            tokens = self.network.norm_pre(self.network.patch_drop(self.network._pos_embed(tokens)))
            for block in self.network.blocks[: self.first_trainable]:
                tokens = block(tokens)
        assert isinstance(tokens, Tensor)
        return tokens

    def suffix(self, tokens: Tensor) -> Tensor:
        """Embeddings (N, D) from the tokens that ``prefix`` returns.

        Where only the class token is read and the last block trains, that block runs for this token alone.
        """
        if self.token == "relations":
            return tokens.flatten(1)  # (N, 3 · blocks, D) -> (N, 3 · blocks · D)
        trained = self.network.blocks[self.first_trainable :]
        cls_only = self.token == "cls" and len(trained) > 0
        for block in trained[:-1] if cls_only else trained:
            tokens = block(tokens)
        if cls_only:
            tokens = cls_only_block(trained[-1], tokens)
        tokens = cast(Tensor, self.network.norm(tokens))
        if self.token == "cls":
            return tokens[:, 0]
        patches = tokens[:, self.network.num_prefix_tokens :]
        if self.token == "zones":
            return (self.zones @ patches).flatten(1)  # (N, 2, D) -> (N, 2·D)
        mean = patches.mean(1)
        return mean if self.token == "patches" else torch.cat([tokens[:, 0], mean], dim=-1)

    def by_relation(self, numbers: Tensor) -> Tensor:
        """Sums (..., 3) of numbers (..., 3 · blocks · D) over the blocks and a token's numbers."""
        if not self.relations:
            return super().by_relation(numbers)
        return torch.unflatten(numbers, -1, (len(self.network.blocks), len(self.relations), -1)).sum((-3, -1))

    def _relations(self, frames: Tensor) -> Tensor:
        """Relations (N, 3 · blocks, D) of the patches after every block in turn: small differences, so in float32 also
        under autocast."""
        if frames.dtype == torch.uint8:
            frames = frames.to(self.mean.dtype) / 255
        rows, columns = self.network.patch_embed.grid_size
        found = []
        with torch.no_grad(), torch.autocast(frames.device.type, enabled=False):
            tokens = self.network.patch_embed(self.normalised(enlarged_tiles(frames, self.zoom, self.input_px)))
            tokens = self.network.norm_pre(self.network.patch_drop(self.network._pos_embed(tokens)))
            for block in self.network.blocks:
                tokens = block(tokens)
                patches = F.layer_norm(tokens[:, self.network.num_prefix_tokens :], tokens.shape[-1:])
                found.append(self.zones @ joined_patches(patches, self.zoom, rows, columns))  # (N, 3, D)
        return torch.cat(found, 1)


def _require_combination(trainable_blocks: int, token: str, zoom: int) -> None:
    if token == "relations" and trainable_blocks > 0:
        raise ValueError(
            f"relations are of a frozen network's blocks, and {trainable_blocks} of them would train; "
            "set trainable_blocks to 0, or take the token 'zones'"
        )
    if zoom != 1 and token != "relations":
        raise ValueError(f"zoom is {zoom} with the token {token!r}; only 'relations' are taken from enlarged crops")
