"""The three networks of MTCNN and the weights that the package mtcnn 1.0.0 (MIT) carries for them.

Source: Zhang, Zhang, Li, Qiao: "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks",
IEEE Signal Processing Letters 23(10), 2016.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import torch
from torch import Tensor, nn

from stf_mamba.core.errors import WeightsError

if TYPE_CHECKING:
    from stf_mamba.core.records import Float32Array, UInt8Array

Network = TypeVar("Network", bound=nn.Module)

# The files of the mtcnn 1.0.0 wheel. They are pickles, so nothing but these exact bytes is ever unpickled.
MTCNN_SHA256 = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}


def load_networks() -> tuple[ProposalNet, RefinementNet, OutputNet]:
    """The three networks with their weights, ready to run.

    Raises:
        WeightsError: the package that carries the weights is missing, or its files are not those of version 1.0.0.
    """
    return _load("pnet", ProposalNet()), _load("rnet", RefinementNet()), _load("onet", OutputNet())


def normalised(images: UInt8Array) -> Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32 in [-1, 1], as the networks were trained."""
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 127.5) / 128


class ProposalNet(nn.Module):
    """PNet: fully convolutional, one box and score per 12×12 window at stride 2."""

    input_px = 12
    stride_px = 2

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *_convolution(3, 10, 3),
            nn.MaxPool2d(2, 2, ceil_mode=True),
            *_convolution(10, 16, 3),
            *_convolution(16, 32, 3),
        )
        self.box = nn.Conv2d(32, 4, 1)
        self.face = nn.Conv2d(32, 2, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Box offsets (B, 4, h, w) and face scores (B, h, w) of images (B, 3, H, W)."""
        features = self.trunk(images)
        return self.box(features), self.face(features).softmax(dim=1)[:, 1]


class RefinementNet(nn.Module):
    """RNet: box offsets (N, 4) and face scores (N,) of patches (N, 3, 24, 24)."""

    input_px = 24

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *_convolution(3, 28, 3),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *_convolution(28, 48, 3),
            nn.MaxPool2d(3, 2),
            *_convolution(48, 64, 2),
            _FlattenByColumns(),
            nn.Linear(576, 128),
            nn.PReLU(128),
        )
        self.box = nn.Linear(128, 4)
        self.face = nn.Linear(128, 2)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(patches)
        return self.box(features), self.face(features).softmax(dim=1)[:, 1]


class OutputNet(nn.Module):
    """ONet: box offsets (N, 4), landmarks (N, 5, 2) and face scores (N,) of patches (N, 3, 48, 48)."""

    input_px = 48

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *_convolution(3, 32, 3),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *_convolution(32, 64, 3),
            nn.MaxPool2d(3, 2),
            *_convolution(64, 64, 3),
            nn.MaxPool2d(2, 2, ceil_mode=True),
            *_convolution(64, 128, 2),
            _FlattenByColumns(),
            nn.Linear(1152, 256),
            nn.PReLU(256),
        )
        self.box = nn.Linear(256, 4)
        self.landmarks = nn.Linear(256, 10)
        self.face = nn.Linear(256, 2)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.trunk(patches)
        landmarks = self.landmarks(features).unflatten(1, (2, 5)).transpose(1, 2)  # five x, then five y -> (N, 5, 2)
        return self.box(features), landmarks, self.face(features).softmax(dim=1)[:, 1]


class _FlattenByColumns(nn.Module):
    """(N, C, H, W) to (N, W·H·C): the order in which the published dense layers, trained column-major, expect it."""

    def forward(self, features: Tensor) -> Tensor:
        return features.permute(0, 3, 2, 1).flatten(1)


def _convolution(channels_in: int, channels_out: int, kernel_px: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(channels_in, channels_out, kernel_px), nn.PReLU(channels_out)


def _load(stem: str, network: Network) -> Network:
    """Fill ``network`` with the package's arrays, which lie in the order of its layers."""
    arrays = _read_arrays(stem)
    with torch.no_grad():
        for parameter, array in zip(network.parameters(), arrays, strict=True):
            weights = torch.from_numpy(array)
            if weights.ndim == 4:
                weights = weights.permute(3, 2, 0, 1)  # (H, W, in, out) -> (out, in, H, W)
            elif weights.ndim == 3:
                weights = weights.flatten()  # PReLU slopes, shared over the image: (1, 1, C) -> (C,)
            elif weights.ndim == 2:
                weights = weights.T  # (in, out) -> (out, in)
            assert weights.shape == parameter.shape
            parameter.copy_(weights)
    return network.eval().requires_grad_(False)


def _read_arrays(stem: str) -> list[Float32Array]:
    import joblib

    advice = "install the exact version again: pip install --force-reinstall --no-deps mtcnn==1.0.0"
    # Found without importing it: the package itself wants TensorFlow, its files do not.
    package = importlib.util.find_spec("mtcnn")
    if package is None or not package.submodule_search_locations:
        raise WeightsError(f"the package mtcnn, which carries the face detector's weights, is not installed; {advice}")
    path = Path(package.submodule_search_locations[0]) / "assets" / "weights" / f"{stem}.lz4"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read the face detector's weights {path} ({error.strerror}); {advice}") from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != MTCNN_SHA256[stem]:
        raise WeightsError(f"{path} has sha256 {sha256}, expected {MTCNN_SHA256[stem]} (mtcnn 1.0.0); {advice}")
    return cast("list[Float32Array]", joblib.load(io.BytesIO(content)))
