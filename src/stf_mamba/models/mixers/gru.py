"""The bidirectional GRU row."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from stf_mamba.models.mixers.sequence import checked_sequence


class BiGRU(nn.Module):
    """A bidirectional GRU (B, T, D) → (B, T, D), D/2 channels per direction.

    It returns every step, so that a head pools over time: the last step alone has seen the whole clip in one direction
    only. Each gate's recurrent weight starts orthogonal, which keeps both directions alive early in training.

    Args:
        width: D, even.

    Raises:
        ValueError: an odd width.

    Source: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014; Saxe et al., "Exact solutions
    to the nonlinear dynamics of learning in deep linear neural networks", 2014 (orthogonal initialisation).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        if width < 2 or width % 2:
            raise ValueError(f"a bidirectional GRU needs an even width to share between two directions, got {width}")
        self.width = width
        self.gru = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)
        for name in ("weight_hh_l0", "weight_hh_l0_reverse"):
            for gate in torch.chunk(self.gru.get_parameter(name).detach(), 3):
                nn.init.orthogonal_(gate)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix (B, T, D) over time; invalid positions are skipped as if absent and come out as zeros.

        Raises:
            ValueError: what ``checked_sequence`` refuses.
        """
        x = checked_sequence(x, mask, self.width)
        if mask is None:
            out: Tensor = self.gru(x)[0]
            return out
        valid_first = torch.argsort(mask.logical_not().to(torch.uint8), dim=1, stable=True)  # (B, T)
        valid_first = valid_first.unsqueeze(-1).expand_as(x)
        packed = pack_padded_sequence(
            x.gather(1, valid_first), mask.sum(1).cpu(), batch_first=True, enforce_sorted=False
        )
        mixed, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=x.shape[1])
        return torch.zeros_like(mixed).scatter(1, valid_first, mixed)
