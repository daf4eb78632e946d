"""Hydra: one bidirectional state-space mixer, one quasiseparable matrix per head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stf_mamba.models.scan import CHUNK_LENGTH, DUAL_MAX_LENGTH, backward_state, neighbours_of, scan_span, span_state
from stf_mamba.models.sequence import checked_sequence

DT_MIN, DT_MAX = 1e-3, 1e-1

BLOCK_POSITIONS = 512
"""How many positions of a large input pass through the layer at a time on a CPU, so that what lies between the
projections stays in the cache; measured by ``benchmarks/hydra.py``."""


class Hydra(nn.Module):
    """The published Hydra mixer (B, T, D) → (B, T, D); needs no compiled package.

    Projection, symmetric depthwise convolution, quasiseparable mix (``scan``), gated norm, projection. The parameters
    carry the published names and shapes, so its checkpoints load with ``strict=True``. Input that is exactly zero at a
    position gives exactly zero there: the gate closes, and neither projection has a bias.

    Args:
        width: D.
        state_size: N, states per channel.
        head_size: P, channels per head; divides ``expansion * width``.
        groups: how many (B, C) pairs the heads share.
        expansion: inner width over D.
        kernel_size: of the convolution over time; odd, so that it is symmetric.
        learnable_initial_state: both directions start from a trained state instead of zero.

    Raises:
        ValueError: sizes that do not divide, or an even kernel.

    Source: Hwang, Lahoti, Dao, Gu, "Hydra: Bidirectional State Space Models Through Generalized Matrix Mixers",
    NeurIPS 2024, section 3 and the module they published.
    """

    def __init__(
        self,
        width: int,
        *,
        state_size: int = 64,
        head_size: int = 64,
        groups: int = 1,
        expansion: int = 2,
        kernel_size: int = 7,
        learnable_initial_state: bool = False,
    ) -> None:
        super().__init__()
        inner = expansion * width
        heads, rest = divmod(inner, head_size)
        if rest or heads < 1:
            raise ValueError(f"head_size {head_size} must divide expansion × width = {expansion} × {width} = {inner}")
        if heads % groups:
            raise ValueError(f"groups {groups} must divide the number of heads {heads}")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd to be symmetric in time, got {kernel_size}")
        self.width, self.inner, self.heads, self.groups = width, inner, heads, groups
        self.state_size, self.head_size = state_size, head_size
        self.halo = kernel_size // 2
        self.maps = 2 * 2 * groups * state_size  # channels of B and C for both directions
        self.in_proj = nn.Linear(width, 2 * inner + self.maps + 2 * heads, bias=False)  # z, x, BC, dt
        mixed = inner + self.maps
        self.conv1d = nn.Conv1d(mixed, mixed, kernel_size, groups=mixed, padding=self.halo)
        self.dt_bias = nn.Parameter(inverse_softplus(log_uniform(heads, DT_MIN, DT_MAX)))
        self.A_log = nn.Parameter(torch.zeros(heads))
        self.D = nn.Parameter(torch.ones(heads))
        self.fc_D = nn.Linear(inner, heads, bias=False)
        self.norm = GatedRMSNorm(inner)
        self.out_proj = nn.Linear(inner, width, bias=False)
        initial_state = torch.zeros(heads, head_size, state_size)
        self.init_states = nn.Parameter(initial_state) if learnable_initial_state else None

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix (B, T, D) over time; invalid positions change nothing in the valid part and come out as zeros.

        Args:
            x: (B, T, D), finite.
            mask: (B, T) bool, True = valid. None: every position is valid.

        Raises:
            ValueError: what ``checked_sequence`` refuses.
        """
        x = checked_sequence(x, mask, self.width)
        batch, length, _ = x.shape
        one_block = batch * length <= BLOCK_POSITIONS or x.device.type != "cpu" or torch.compiler.is_compiling()
        if one_block:
            return self._mix([x], mask)
        rows = max(1, BLOCK_POSITIONS // length)
        masks: Sequence[Tensor | None] = [None] * -(-batch // rows) if mask is None else torch.split(mask, rows)
        spans = -(-length // BLOCK_POSITIONS)
        return torch.cat(
            [
                self._mix(torch.tensor_split(block, spans, dim=1), block_mask)
                for block, block_mask in zip(torch.split(x, rows), masks, strict=True)
            ]
        )

    def _mix(self, spans: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """The mixed sequence (B, T, D) of consecutive spans (B, S, D) of it; the mask is for the whole.

        The first sweep, last span to first, leaves the backward state at each border; the second mixes.
        """
        projected = [self.in_proj(span) for span in spans]
        inputs = self._scan_inputs(projected, mask)
        border = None
        if self.init_states is not None:
            border = span_state(self.init_states, self.groups).expand(spans[0].shape[0], -1, -1, -1, -1)
        from_future = [border]
        for span in inputs[:0:-1]:
            from_future.append(backward_state(span.x, span.dt, span.A, span.b, from_future[-1]))
        from_past, mixed = border, []
        for span, future, before in zip(inputs, reversed(from_future), projected, strict=True):
            chunk_length = span.x.shape[1] if span.x.shape[1] <= DUAL_MAX_LENGTH else CHUNK_LENGTH
            y, from_past = scan_span(*span, from_past, future, chunk_length=chunk_length)
            mixed.append(self.out_proj(self.norm(y.flatten(2), before[..., : self.inner])))
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed, dim=1)

    def _scan_inputs(self, projected: Sequence[Tensor], mask: Tensor | None) -> list[ScanInputs]:
        """What ``scan_span`` takes for each span; each sees what lies beyond its borders."""
        convolved = slice(self.inner, 2 * self.inner + self.maps)
        inputs, start = [], 0
        for index, span in enumerate(projected):
            stop = start + span.shape[1]
            left = projected[index - 1][:, -self.halo - 1 :, convolved] if index > 0 else None
            right = projected[index + 1][:, : self.halo + 1, convolved] if index + 1 < len(projected) else None
            reach = slice(start - (left is not None), stop + (right is not None))
            inputs.append(self._span_inputs(span, left, right, None if mask is None else mask[:, reach]))
            start = stop
        return inputs

    def _span_inputs(
        self, projected: Tensor, left: Tensor | None, right: Tensor | None, mask: Tensor | None
    ) -> ScanInputs:
        """What ``scan_span`` takes for one span.

        Args:
            projected: (B, S, C) z, x, BC and dt.
            left: (B, kernel // 2 + 1, inner + maps) x and BC in front of it, None where the sequence begins.
            right: the same behind it, None where the sequence ends.
            mask: (B, S + 1 for each neighbour) of the span and of one position beyond each border, or None.
        """
        wide = torch.promote_types(projected.dtype, torch.float32)
        _, xbc, dt = torch.split(projected, [self.inner, self.inner + self.maps, 2 * self.heads], dim=-1)
        dt = F.softplus(torch.unflatten(dt.to(wide), -1, (2, self.heads)) + self.dt_bias.to(wide))
        # The activated convolution reaches one position beyond the span where there is a neighbour.
        reach = F.silu(self._convolved(xbc, left, right))
        has_left, has_right = int(left is not None), int(right is not None)
        span = slice(has_left, has_left + xbc.shape[1])
        x, maps = torch.split(reach, [self.inner, self.maps], dim=-1)
        x = x[:, span]
        b, c = torch.unflatten(maps, -1, (2, 2, self.groups, self.state_size)).unbind(3)  # per direction B, then C
        if mask is not None:
            # A step of length zero neither decays nor feeds the state; a zero C reads nothing out of it.
            dt = dt.masked_fill(~mask[:, span, None, None], 0.0)
            c = c.masked_fill(~mask[:, :, None, None, None], 0.0)
        c = F.pad(c, (0, 0, 0, 0, 0, 0, 1 - has_left, 1 - has_right))
        diagonal = F.linear(x, self.fc_D.weight, self.D)
        heads = torch.unflatten(x, -1, (self.heads, -1))
        return ScanInputs(heads, dt, -self.A_log.to(wide).exp(), b[:, span], neighbours_of(c), diagonal)

    def _convolved(self, xbc: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
        """The depthwise convolution over time of a span (B, S, C) and its borders, zeros where the sequence ends."""
        if torch.compiler.is_compiling():
            return self._convolved_as_sum(xbc)
        padding = self.halo
        if left is not None or right is not None:
            end = xbc.new_zeros(()).expand(xbc.shape[0], self.halo, xbc.shape[2])
            xbc = torch.cat([end if left is None else left, xbc, end if right is None else right], dim=1)
            padding = 0
        # As an image of height one with channels last: the layout that xbc has, and the fast kernel on a CPU.
        image = xbc.contiguous().unsqueeze(1).permute(0, 3, 1, 2)
        weight = self.conv1d.weight.unsqueeze(2)
        out = F.conv2d(image, weight, self.conv1d.bias, padding=(0, padding), groups=xbc.shape[-1])
        return out.squeeze(2).transpose(1, 2)

    def _convolved_as_sum(self, xbc: Tensor) -> Tensor:
        """``_convolved`` of a whole sequence, for a compiler: it makes one loop of this and the activation behind it."""
        padded = F.pad(xbc, (0, 0, self.halo, self.halo))
        assert self.conv1d.bias is not None
        out = self.conv1d.bias.expand_as(xbc)
        for tap, weight in enumerate(self.conv1d.weight.squeeze(1).unbind(-1)):
            out = out + padded[:, tap : tap + xbc.shape[1]] * weight
        return out


class ScanInputs(NamedTuple):
    """The first arguments of ``scan_span``, in its order."""

    x: Tensor
    dt: Tensor
    A: Tensor
    b: Tensor
    neighbour_c: Tensor
    diagonal: Tensor


class GatedRMSNorm(nn.Module):
    """RMSNorm(y) · weight · SiLU(z) over the last axis: the norm comes before the gate."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        """(..., width) in ``z``'s dtype; the norm is computed in ``y``'s."""
        mean_square = torch.linalg.vector_norm(y, dim=-1, keepdim=True).square() / y.shape[-1]
        normed = y * torch.rsqrt(mean_square + self.eps)
        return (normed * (F.silu(z) * self.weight)).to(z.dtype)


def inverse_softplus(value: Tensor) -> Tensor:
    """The argument whose softplus is ``value`` > 0."""
    return value + torch.log(-torch.expm1(-value))


def log_uniform(count: int, low: float, high: float) -> Tensor:
    """``count`` values whose logarithms are uniform between those of ``low`` and ``high``."""
    return torch.empty(count).uniform_(math.log(low), math.log(high)).exp()
