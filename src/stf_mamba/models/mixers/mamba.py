"""Mamba, one direction, and the sum of two Mambas: rows to compare Hydra with, under their own names."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stf_mamba.models.mixers.hydra import DT_MAX, DT_MIN, inverse_softplus, log_uniform
from stf_mamba.models.mixers.sequence import checked_sequence


class Mamba(nn.Module):
    """The published Mamba mixer (B, T, D) → (B, T, D): each position sees itself and what came before.

    Parameters carry the published names and shapes. The selective scan runs step by step, as the diagonal state
    matrix of this operator has no cheap dual form.

    Args:
        width: D.
        state_size: N, states per channel.
        expansion: inner width over D.
        kernel_size: of the causal convolution over time.

    Source: Gu, Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, algorithm 2.
    """

    def __init__(self, width: int, *, state_size: int = 16, expansion: int = 2, kernel_size: int = 4) -> None:
        super().__init__()
        inner = expansion * width
        self.width, self.inner, self.state_size = width, inner, state_size
        self.dt_rank = math.ceil(width / 16)
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, kernel_size, groups=inner, padding=kernel_size - 1)
        self.x_proj = nn.Linear(inner, self.dt_rank + 2 * state_size, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, inner)
        self.A_log = nn.Parameter(torch.arange(1.0, state_size + 1).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, width, bias=False)
        nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
        with torch.no_grad():
            self.dt_proj.bias.copy_(inverse_softplus(log_uniform(inner, DT_MIN, DT_MAX)))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix (B, T, D) forward in time; invalid positions change nothing in the valid part and come out as zeros.

        Raises:
            ValueError: what ``checked_sequence`` refuses.
        """
        x = checked_sequence(x, mask, self.width)
        inner, z = self.in_proj(x).chunk(2, dim=-1)
        inner = F.silu(self.conv1d(inner.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
        dt, b, c = self.x_proj(inner).split([self.dt_rank, self.state_size, self.state_size], dim=-1)
        dt = F.softplus(self.dt_proj(dt).float())
        if mask is not None:
            dt = dt.masked_fill(~mask.unsqueeze(-1), 0.0)
        mixed = selective_scan(inner, dt, -self.A_log.float().exp(), b, c) + self.D * inner
        out: Tensor = self.out_proj((mixed * F.silu(z)).to(z.dtype))
        return out


class BiMamba(nn.Module):
    """Two Mambas, one on the reversed sequence, added up. Not Hydra: nothing is shared, and both see the present.

    Takes the arguments of ``Mamba``.

    Source: the construction that Hwang et al., "Hydra", NeurIPS 2024, section 2.3, compare with as "Add".
    """

    def __init__(self, width: int, *, state_size: int = 16, expansion: int = 2, kernel_size: int = 4) -> None:
        super().__init__()
        self.forward_in_time, self.backward_in_time = (
            Mamba(width, state_size=state_size, expansion=expansion, kernel_size=kernel_size) for _ in range(2)
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix (B, T, D) over time; invalid positions change nothing in the valid part and come out as zeros.

        Raises:
            ValueError: what ``checked_sequence`` refuses.
        """
        reversed_mask = None if mask is None else mask.flip(1)
        backward: Tensor = self.backward_in_time(x.flip(1), reversed_mask).flip(1)
        forward: Tensor = self.forward_in_time(x, mask)
        return forward + backward


def selective_scan(x: Tensor, dt: Tensor, A: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """y_t = C_t·h_t of h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t, from h = 0; the state is kept in ``dt``'s dtype.

    Args:
        x: (B, L, D) input.
        dt: (B, L, D) step sizes, not negative, float32 or wider.
        A: (D, N), negative.
        b: (B, L, N) input map; ``c``: (B, L, N) output map.

    Returns:
        (B, L, D) in ``dt``'s dtype.
    """
    fed = dt * x.to(dt.dtype)  # (B, L, D)
    state = fed.new_zeros(fed.shape[0], *A.shape)  # (B, D, N)
    outputs = []
    for step, fed_t, b_t, c_t in zip(
        dt.unbind(1), fed.unbind(1), b.to(dt.dtype).unbind(1), c.to(dt.dtype).unbind(1), strict=True
    ):
        state = torch.exp(step.unsqueeze(-1) * A) * state + fed_t.unsqueeze(-1) * b_t.unsqueeze(1)
        outputs.append((state @ c_t.unsqueeze(-1)).squeeze(-1))
    return torch.stack(outputs, dim=1)
