"""A transformer over a clip's frames, the row beside Hydra."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from stf_mamba.models.mixers.sequence import checked_sequence


class Transformer(nn.Module):
    """Self-attention and a feed-forward network, both after a norm: what a pre-norm encoder layer adds to its input.

    Args:
        width: D.
        heads: attention heads; divides D.
        expansion: width of the feed-forward network over D.
        positions: add the sinusoidal encoding of time to what attention sees; without it order is invisible.

    Raises:
        ValueError: ``heads`` does not divide ``width``, or an odd width with positions.

    Source: Vaswani et al., "Attention Is All You Need", 2017; Xiong et al., "On Layer Normalization in the Transformer
    Architecture", 2020 (norm first).
    """

    def __init__(self, width: int, *, heads: int = 8, expansion: int = 4, positions: bool = True) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"heads {heads} must divide width {width}")
        if positions and width % 2:
            raise ValueError(f"sinusoidal positions need an even width, got {width}")
        self.width, self.positions = width, positions
        self.attention_norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, expansion * width),
            nn.GELU(),
            nn.Linear(expansion * width, width),
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix (B, T, D) over time; invalid positions change nothing in the valid part and come out as zeros.

        Raises:
            ValueError: what ``checked_sequence`` refuses.
        """
        x = checked_sequence(x, mask, self.width)
        seen = self.attention_norm(x)
        if self.positions:
            seen = seen + self._positions(x, mask)
        hidden = None if mask is None else ~mask
        attended, _ = self.attention(seen, seen, seen, key_padding_mask=hidden, need_weights=False)
        out: Tensor = attended + self.feed_forward(x + attended)
        return out if mask is None else out.masked_fill(~mask.unsqueeze(-1), 0.0)

    def _positions(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The encoding of each frame's place in its clip, (T, D) or (B, T, D); the first valid frame is at 0."""
        table = sinusoidal_positions(x.shape[1], self.width).to(x)
        return table if mask is None else table[(mask.cumsum(1) - 1).clamp(min=0)]


def sinusoidal_positions(length: int, width: int) -> Tensor:
    """(length, width) float32: sines in the even channels, cosines in the odd, wavelengths from 2π to 20000π."""
    position = torch.arange(length, dtype=torch.float32).unsqueeze(1)
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    return torch.stack([torch.sin(position * rate), torch.cos(position * rate)], dim=-1).flatten(1)
