"""Convolutional frame encoders: the backbones of the published detectors that the study compares with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from stf_mamba.models.encoders.frame_encoder import HALF, IMAGENET_MEAN, IMAGENET_STD, EncoderSpec, FrameEncoder

# A network as its stages, each a run of timm's modules; every forward is these modules one after the other.
Stages = tuple[tuple[str, ...], ...]


def _efficientnet_stages(groups: int) -> Stages:
    return ("conv_stem", "bn1"), *((f"blocks.{group}",) for group in range(groups)), ("conv_head", "bn2")


RESNET_STAGES: Stages = (("conv1", "bn1", "act1", "maxpool"), ("layer1",), ("layer2",), ("layer3",), ("layer4",))
XCEPTION_STAGES: Stages = (
    ("conv1", "bn1", "act1", "conv2", "bn2", "act2"),
    *((f"block{number}",) for number in range(1, 13)),
    ("conv3", "bn3", "act3", "conv4", "bn4", "act4"),
)


@dataclass(frozen=True, kw_only=True)
class CnnSpec(EncoderSpec):
    """A convolutional network.

    Attributes:
        stages: its modules by stage, in the order in which they run.
        crop_px: the only crop side that it takes; ``None`` takes every size.
    """

    stages: Stages
    crop_px: int | None = None


def _lite(number: int, side_px: int) -> CnnSpec:
    return CnnSpec(
        f"tf_efficientnet_lite{number}",
        HALF,
        HALF,
        pretrained=True,
        description=f"EfficientNet-Lite{number}, supervised on ImageNet at {side_px} px (Google 2020); no squeezing; "
        "weights in a package; 9 stages",
        stages=_efficientnet_stages(7),
    )


CNN_ENCODERS: dict[str, CnnSpec] = {
    "efficientnet_b0": CnnSpec(
        "efficientnet_b0",
        IMAGENET_MEAN,
        IMAGENET_STD,
        pretrained=True,
        description="EfficientNet-B0, supervised on ImageNet (Tan and Le 2019); 9 stages, the head convolution last",
        stages=_efficientnet_stages(7),
    ),
    "efficientnet_b4": CnnSpec(
        "tf_efficientnet_b4",
        HALF,
        HALF,
        pretrained=True,
        description="EfficientNet-B4, AdvProp on ImageNet (Xie et al. 2020), trained at 380 px; 9 stages as B0",
        stages=_efficientnet_stages(7),
    ),
    "efficientnet_b4_sbi": CnnSpec(
        "tf_efficientnet_b4",
        (0.0, 0.0, 0.0),
        (1.0, 1.0, 1.0),
        pretrained=True,
        description="EfficientNet-B4 AdvProp as SBI feeds it: RGB in [0, 1] without normalisation, 380 px; 9 stages",
        stages=_efficientnet_stages(7),
        crop_px=380,  # its published padding is computed for this size alone
    ),
    "efficientnet_lite0": _lite(0, 224),
    "efficientnet_lite1": _lite(1, 240),
    "efficientnet_lite2": _lite(2, 260),
    "resnet50": CnnSpec(
        "resnet50",
        IMAGENET_MEAN,
        IMAGENET_STD,
        pretrained=True,
        description="ResNet-50, supervised on ImageNet (He et al. 2016); 5 stages: the stem and four groups",
        stages=RESNET_STAGES,
    ),
    "xception": CnnSpec(
        "legacy_xception",
        HALF,
        HALF,
        pretrained=True,
        description="Xception, supervised on ImageNet at 299 px (Chollet 2017); 14 stages: stem, 12 blocks, tail",
        stages=XCEPTION_STAGES,
    ),
    "cnn_miniature": CnnSpec(
        "test_efficientnet",
        HALF,
        HALF,
        pretrained=False,
        description="a 0.1 M parameter EfficientNet trained from random values, for demonstrations and tests; 7 stages",
        stages=_efficientnet_stages(5),
    ),
}


class CnnEncoder(FrameEncoder):
    """A convolutional network that returns the spatial mean of each frame's last feature map.

    The last ``trainable_blocks`` stages train. Frozen stages keep their batch-norm statistics whatever mode the model
    is in; trainable ones normalise, in training, by the frames that pass at once, so there the size of a micro-batch
    and the number of processes change the result.

    Args:
        name: a key of ``CNN_ENCODERS``.
        trainable_blocks: how many of the last stages train: 0 freezes the network, all of them train it whole.

    Raises:
        ValueError: unknown name, or more trainable stages than the network has.
    """

    def __init__(self, name: str, trainable_blocks: int) -> None:
        if name not in CNN_ENCODERS:
            raise ValueError(f"unknown encoder {name!r}; convolutional are: {', '.join(CNN_ENCODERS)}")
        spec = CNN_ENCODERS[name]
        super().__init__(name, spec, spec.create_network(), len(spec.stages), trainable_blocks)
        self.network.to(memory_format=torch.channels_last)  # faster: benchmarks/cnn_layout.py
        self.stages = spec.stages
        self.crop_px = spec.crop_px
        self.train_encoder(True)

    @property
    def width(self) -> int:
        """Size D of an embedding: channels of the last feature map."""
        return int(self.network.num_features)

    def train_encoder(self, on: bool) -> None:
        """Let the trainable stages train, or freeze the whole encoder (a phase with ``encoder_lr = 0``)."""
        self._trains = on
        self.network.requires_grad_(False)
        for module in self._modules_of(self.first_trainable, len(self.stages)):
            module.requires_grad_(on)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switch the mode; frozen stages stay in evaluation mode, so that their batch norms do not move."""
        super().train(mode)
        for module in self._modules_of(0, self.first_trainable if self._trains else len(self.stages)):
            module.eval()
        return self

    def prefix(self, frames: Tensor) -> Tensor:
        """Feature maps (N, C, h, w) before the first trainable stage; the last maps where no stage trains.

        Raises:
            ValueError: another crop size than the one that the network's weights are made for.
        """
        self.require_crop_size(frames.shape[2], frames.shape[3])
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.first_trainable == 0):
            maps = self.normalised(frames).contiguous(memory_format=torch.channels_last)
            for module in self._modules_of(0, self.first_trainable):
                maps = module(maps)
        return maps

    def suffix(self, tokens: Tensor) -> Tensor:
        """Embeddings (N, D) from the feature maps that ``prefix`` returns."""
        maps = tokens.contiguous(memory_format=torch.channels_last)
        for module in self._modules_of(self.first_trainable, len(self.stages)):
            maps = module(maps)
        return maps.mean((2, 3))  # (N, D)

    def _modules_of(self, start: int, stop: int) -> list[nn.Module]:
        """The network's modules of stages ``start`` to ``stop``, in the order in which they run."""
        return [self.network.get_submodule(name) for stage in self.stages[start:stop] for name in stage]
