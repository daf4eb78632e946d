"""The temporal mixers by name, and the two rows that need no file of their own.

Every mixer maps (B, T, D) and an optional mask (B, T), True = valid, to (B, T, D): what time adds to each frame. The
caller adds it to the frame (the residual). Invalid positions change nothing in the valid part and come out as zeros.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stf_mamba.models.mixers.gru import BiGRU
from stf_mamba.models.mixers.hydra import Hydra
from stf_mamba.models.mixers.mamba import BiMamba, Mamba
from stf_mamba.models.mixers.sequence import checked_sequence
from stf_mamba.models.mixers.transformer import Transformer


def build_mixer(kind: str, width: int, **options: Any) -> nn.Module:
    """The mixer that ``MIXERS`` holds under ``kind``, for sequences of ``width`` channels.

    Args:
        options: passed to the mixer's class.

    Raises:
        ValueError: an unknown kind, an option that this kind does not have, or sizes that do not fit together.
    """
    if kind not in MIXERS:
        raise ValueError(f"unknown mixer {kind!r}; known are {', '.join(MIXERS)}")
    try:
        return MIXERS[kind](width, **options)
    except TypeError as error:
        raise ValueError(f"mixer {kind!r} does not take these options: {error}") from error


class NoMixer(nn.Module):
    """Time adds nothing: zeros (B, T, D). The row in which every frame is judged by itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Zeros in ``x``'s shape.

        Raises:
            ValueError: what ``checked_sequence`` refuses.
        """
        return torch.zeros_like(checked_sequence(x, mask, self.width))


MIXERS: dict[str, type[nn.Module]] = {
    "hydra": Hydra,
    "bimamba": BiMamba,
    "mamba": Mamba,
    "gru": BiGRU,
    "transformer": Transformer,
    "none": NoMixer,
}
