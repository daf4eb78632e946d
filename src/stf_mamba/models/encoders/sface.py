"""SFace, a face recognition network that an installed package carries, as a frame encoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stf_mamba.models.encoders.frame_encoder import HALF, EncoderSpec, FrameEncoder
from stf_mamba.models.encoders.relations import RELATIONS, relation_weights, zone_weights

INPUT_PX = 112
TOKENS = ("cls", "patches", "zones", "stage_zones", "relations")
OF_FROZEN_STAGES = ("stage_zones", "relations")
STAGES = (
    # channels and stride of each of the fourteen stages: a convolution, then pairs of depthwise and pointwise ones
    *((32, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1)),
)
IDENTITY_WIDTH = 128
LAST_MAP_PX = 7


@dataclass(frozen=True)
class SFaceSpec(EncoderSpec):
    """SFace by name; the network is our own, timm has none."""

    timm_name: str = ""
    mean: tuple[float, float, float] = HALF
    std: tuple[float, float, float] = (128 / 255,) * 3
    pretrained: bool = True
    description: str = (
        "SFace 2021dec, a MobileNet trained to recognise people (Zhong et al. 2021); weights in a package; 14 stages"
    )
    options: dict[str, Any] = field(default_factory=dict)

    def create_network(self, **options: Any) -> SFaceNetwork:
        """The network, with random values."""
        return SFaceNetwork(**options)


SFACE_ENCODERS: dict[str, SFaceSpec] = {"sface": SFaceSpec()}


class Unit(nn.Module):
    """Convolution, batch norm and a rectifier with a slope for each channel."""

    def __init__(self, channels_in: int, channels: int, side: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, side, stride, side // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels, eps=1e-3)
        self.slope = nn.PReLU(channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, C', h', w') of maps (N, C, h, w)."""
        return cast(Tensor, self.slope(self.norm(self.conv(maps))))


class SFaceNetwork(nn.Module):
    """Frames (N, 3, 112, 112), RGB around 0, → identity embeddings (N, 128); its stages take any size.

    Source: Zhong, Deng, Hu, Zhao, Li, Wen: "SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition",
    IEEE TIP 30, 2021; the network is the OpenCV zoo's ``face_recognition_sface_2021dec``.
    """

    def __init__(self) -> None:
        super().__init__()
        stages, before = [], 3
        for number, (channels, stride) in enumerate(STAGES):
            if number == 0:
                units = [Unit(before, channels, 3, stride, groups=1)]
            else:
                units = [Unit(before, before, 3, stride, groups=before), Unit(before, channels, 1, 1, groups=1)]
            stages.append(nn.Sequential(*units))
            before = channels
        self.stages = nn.ModuleList(stages)
        self.map_norm = nn.BatchNorm2d(before, eps=2e-5)
        self.embed = nn.Linear(before * LAST_MAP_PX**2, IDENTITY_WIDTH)
        self.norm = nn.BatchNorm1d(IDENTITY_WIDTH, eps=2e-5)

    def identity(self, maps: Tensor) -> Tensor:
        """Identity embeddings (N, 128) of the last stage's maps (N, 1024, 7, 7)."""
        return cast(Tensor, self.norm(self.embed(self.map_norm(maps).flatten(1))))

    def forward(self, frames: Tensor) -> Tensor:
        """Identity embeddings (N, 128) of normalised frames (N, 3, 112, 112)."""
        for stage in self.stages:
            frames = stage(frames)
        return self.identity(frames)


class SFaceEncoder(FrameEncoder):
    """SFace, which returns who a face is, or what the parts of its picture look like.

    The last ``trainable_blocks`` of its fourteen stages train, and what follows them. Batch norms keep their
    statistics whatever trains: a clip is one person, so its own statistics would take that person for everybody.

    Args:
        name: a key of ``SFACE_ENCODERS``.
        trainable_blocks: how many of the last stages train: 0 freezes the network.
        token: the embedding: ``cls`` the identity (128 numbers, made for faces that were aligned by their landmarks),
            ``patches`` the mean of the last map, ``zones`` its means over middle and ring. ``stage_zones`` are these
            two means after every stage, ``relations`` the differences between parts of the picture after every stage,
            its channels layer-normalised. These two are for frozen networks, whose ``prefix`` then returns them.
        zoom: the network sees the whole crop at ``zoom`` × 112 px; its stages are convolutions, which take any size.

    Raises:
        ValueError: unknown name or token, more trainable stages than it has, trainable ones with ``relations``, or an
            identity of enlarged crops.
    """

    def __init__(self, name: str, trainable_blocks: int, token: str = "cls", zoom: int = 1) -> None:
        if name not in SFACE_ENCODERS:
            raise ValueError(f"unknown encoder {name!r}; expected {', '.join(SFACE_ENCODERS)}")
        if token not in TOKENS:
            raise ValueError(f"{name} has no token {token!r}; it has {', '.join(TOKENS)}")
        if token in OF_FROZEN_STAGES and trainable_blocks > 0:
            raise ValueError(
                f"{token} are of a frozen network's stages, and {trainable_blocks} of them would train; set "
                "trainable_blocks to 0, or take the token 'zones'"
            )
        if token == "cls" and zoom != 1:
            raise ValueError(f"the identity is of faces at {INPUT_PX} px; zoom is {zoom}, take another token or 1")
        spec = SFACE_ENCODERS[name]
        super().__init__(name, spec, spec.create_network(), len(STAGES), trainable_blocks)
        self.network.to(memory_format=torch.channels_last)
        self.token, self.zoom = token, zoom
        self.crop_px = None
        self.relations = RELATIONS if token == "relations" else ()
        self.train_encoder(True)

    @property
    def width(self) -> int:
        """Size D of an embedding."""
        channels = [channels for channels, _ in STAGES]
        of_token = {"cls": IDENTITY_WIDTH, "patches": channels[-1], "zones": 2 * channels[-1]}
        return of_token.get(self.token, self._numbers_a_channel * sum(channels))

    @property
    def _numbers_a_channel(self) -> int:
        """Of a stage's map, where every stage is read."""
        return len(RELATIONS) if self.token == "relations" else 2

    def train_encoder(self, on: bool) -> None:
        """Let the trainable stages train, or freeze the whole encoder (a phase with ``encoder_lr = 0``)."""
        self.network.requires_grad_(False)
        if on and self.trainable_blocks > 0:
            self.network.stages[self.first_trainable :].requires_grad_(True)
            for module in (self.network.map_norm, self.network.embed, self.network.norm):
                module.requires_grad_(self.token == "cls")
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switch the mode; the network's batch norms stay in evaluation mode."""
        super().train(mode)
        self.network.eval()
        return self

    def prefix(self, frames: Tensor) -> Tensor:
        """Maps (N, C, h, w) before the first trainable stage, the last maps where none trains; zones
        (N, 1, 2 · channels of all stages) or relations (N, 1, 3 · channels) where every stage is read."""
        if self.token in OF_FROZEN_STAGES:
            return self._of_every_stage(frames)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.first_trainable == 0):
            maps = self._at_its_size(frames)
            for stage in self.network.stages[: self.first_trainable]:
                maps = stage(maps)
        return maps

    def suffix(self, tokens: Tensor) -> Tensor:
        """Embeddings (N, D) from what ``prefix`` returns."""
        if self.token in OF_FROZEN_STAGES:
            return tokens.flatten(1)
        maps = tokens
        for stage in self.network.stages[self.first_trainable :]:
            maps = stage(maps)
        if self.token == "cls":
            return cast(Tensor, self.network.identity(maps))
        if self.token == "patches":
            return maps.mean((2, 3))
        zones = zone_weights(*maps.shape[2:]).to(maps)  # (2, h · w)
        return torch.einsum("zp,ncp->nzc", zones, maps.flatten(2)).flatten(1)  # (N, 2 · C)

    def by_relation(self, numbers: Tensor) -> Tensor:
        """Sums (..., 3) of numbers (..., 3 · channels of all stages) over stages and channels."""
        if not self.relations:
            return super().by_relation(numbers)
        of_stages = torch.split(numbers, [len(RELATIONS) * channels for channels, _ in STAGES], dim=-1)
        return torch.stack([torch.unflatten(part, -1, (len(RELATIONS), -1)).sum(-1) for part in of_stages]).sum(0)

    def _at_its_size(self, frames: Tensor) -> Tensor:
        """Normalised frames (N, 3, zoom · 112, zoom · 112)."""
        side_px = self.zoom * INPUT_PX
        if frames.dtype == torch.uint8:
            frames = frames.to(self.mean.dtype) / 255
        if frames.shape[2:] != (side_px, side_px):
            frames = F.interpolate(frames, size=(side_px, side_px), mode="bicubic", antialias=True).clamp(0, 1)
        return self.normalised(frames).contiguous(memory_format=torch.channels_last)

    def _of_every_stage(self, frames: Tensor) -> Tensor:
        """Zones or relations (N, 1, numbers a channel · channels of all stages): what tells pictures apart is small in
        them, so in float32 also under autocast."""
        found = []
        with torch.no_grad(), torch.autocast(frames.device.type, enabled=False):
            maps = self._at_its_size(frames)
            for stage in self.network.stages:
                maps = stage(maps)
                patches, weights = maps.permute(0, 2, 3, 1), zone_weights(*maps.shape[2:])  # (N, h, w, C)
                if self.token == "relations":
                    patches, weights = F.layer_norm(patches, maps.shape[1:2]), relation_weights(*maps.shape[2:])
                found.append((weights.to(patches) @ patches.flatten(1, 2)).flatten(1))
        return torch.cat(found, 1)[:, None]
