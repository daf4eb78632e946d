"""What a user without a compiled package would run instead: the published Hydra, transcribed into plain PyTorch.

Source: the steps of the module that Hwang et al. published with "Hydra", NeurIPS 2024, and the chunked scan of Dao, Gu,
"Transformers are SSMs", ICML 2024, listing 1, at its default chunk of 256 positions. Transcribed, not copied.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stf_mamba.models.mixers.hydra import Hydra

CHUNK = 256


class PublishedHydra(nn.Module):
    """Flip, concatenate both directions, scan in chunks, roll by one, flip back, add: (B, L, D) → (B, L, D).

    Holds the parameters of a ``Hydra`` with one group, and gives the same output.

    Args:
        shared_products: form C·B once for all heads, as they share B and C. The published listing, and transformers,
            repeat both for every head; True is the kinder opponent.
    """

    def __init__(self, layer: Hydra, *, shared_products: bool) -> None:
        super().__init__()
        assert layer.groups == 1
        self.layer, self.shared_products = layer, shared_products

    def forward(self, u: Tensor) -> Tensor:
        own = self.layer
        batch, length, _ = u.shape
        states = own.state_size
        z, xbc, dt = own.in_proj(u).split([own.inner, own.inner + own.maps, 2 * own.heads], dim=-1)
        dt = torch.cat((dt[:, :, : own.heads], dt[:, :, own.heads :].flip(1)), dim=0)
        dt = F.softplus(dt + own.dt_bias)
        xbc = F.silu(own.conv1d(xbc.transpose(1, 2)).transpose(1, 2))
        x, bc = xbc.split([own.inner, own.maps], dim=-1)
        both = torch.cat((x, x.flip(1)), dim=0)
        bc = torch.cat((bc[:, :, : 2 * states], bc[:, :, 2 * states :].flip(1)), dim=0)
        heads = both.unflatten(-1, (own.heads, -1))
        b, c = bc.unsqueeze(2).split(states, dim=-1)  # (2 B, L, 1, N)
        if not self.shared_products:
            b, c = (maps.repeat_interleave(own.heads, dim=2) for maps in (b, c))
        y = chunked_scan(heads, dt, -torch.exp(own.A_log), b, c, min(CHUNK, length))
        y = y.flatten(2).roll(1, dims=1)
        y = torch.cat((torch.zeros_like(y[:, :1]), y[:, 1:]), dim=1)
        diagonal = F.linear(x, own.fc_D.weight, own.D).repeat_interleave(own.head_size, dim=-1)
        y = y[:batch] + y[batch:].flip(1) + x * diagonal
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + own.norm.eps) * own.norm.weight * F.silu(z)
        return own.out_proj(y)


def chunked_scan(x: Tensor, dt: Tensor, A: Tensor, b: Tensor, c: Tensor, chunk: int) -> Tensor:
    """One direction: x (B, L, H, P), dt (B, L, H), A (H,), b and c (B, L, H or 1, N) → (B, L, H, P)."""
    length = x.shape[1]
    missing = -length % chunk
    x = F.pad(x * dt.unsqueeze(-1), (0, 0, 0, 0, 0, missing)).unflatten(1, (-1, chunk))  # (B, n, Q, H, P)
    log_decay = F.pad(dt * A, (0, 0, 0, missing)).unflatten(1, (-1, chunk)).permute(0, 3, 1, 2)  # (B, H, n, Q)
    b, c = (F.pad(maps, (0, 0, 0, 0, 0, missing)).unflatten(1, (-1, chunk)) for maps in (b, c))
    b, c = b.transpose(2, 3), c.transpose(2, 3)  # (B, n, H or 1, Q, N)
    until = log_decay.cumsum(-1)
    inside = torch.exp(segment_sums(log_decay)).transpose(1, 2)  # (B, n, H, Q, Q)
    x = x.transpose(2, 3)  # (B, n, H, Q, P)
    within = ((c @ b.mT) * inside) @ x
    to_end = torch.exp(until[..., -1:] - until).transpose(1, 2)  # (B, n, H, Q)
    states = product(b.mT, x * to_end.unsqueeze(-1))  # (B, n, H, N, P)
    states = torch.cat((torch.zeros_like(states[:, :1]), states), dim=1)
    between = torch.exp(segment_sums(F.pad(until[..., -1], (1, 0))))  # (B, H, n + 1, n + 1)
    entering = torch.einsum("bhtc,bchnp->bthnp", between, states)[:, :-1]
    across = product(c, entering) * torch.exp(until).transpose(1, 2).unsqueeze(-1)
    return (within + across).transpose(2, 3).flatten(1, 2)[:, :length]


def product(maps: Tensor, values: Tensor) -> Tensor:
    """``maps @ values`` over heads (dimension 2); maps of one head for all become one larger product."""
    if maps.shape[2] == values.shape[2]:
        return maps @ values
    heads, size = values.shape[2], values.shape[-1]
    side_by_side = values.transpose(2, 3).flatten(3)  # (B, n, rows, H·P)
    return (maps.squeeze(2) @ side_by_side).unflatten(-1, (heads, size)).transpose(2, 3)


def segment_sums(log_decay: Tensor) -> Tensor:
    """(..., Q) → (..., Q, Q): sum over s < r <= t at (t, s), minus infinity above the diagonal."""
    size = log_decay.shape[-1]
    ones = torch.ones(size, size, dtype=torch.bool, device=log_decay.device)
    repeated = log_decay.unsqueeze(-1).expand(*log_decay.shape, size).masked_fill(~ones.tril(-1), 0.0)
    return repeated.cumsum(-2).masked_fill(~ones.tril(), -torch.inf)
