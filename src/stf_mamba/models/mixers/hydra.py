"""Hydra: one bidirectional state-space mixer, one quasiseparable matrix per head."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from stf_mamba.models.mixers.scan import backward_state, fastest_chunk_length, neighbours_of, scan_span, span_state
from stf_mamba.models.mixers.sequence import checked_sequence

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
        self.unmixed = inner + self.maps  # channels of x and BC
        self.in_proj = nn.Linear(width, inner + self.unmixed + 2 * heads, bias=False)  # z, x, BC, dt
        self.conv1d = nn.Conv1d(self.unmixed, self.unmixed, kernel_size, groups=self.unmixed, padding=self.halo)
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

    def forward_half(
        self, x: Tensor, state: StreamState | None = None, *, last: bool = False
    ) -> tuple[Tensor, StreamState]:
        """What the past adds to each frame, for the next piece of a long video, and what to hand to the call after it.

        The convolution looks ahead, so a frame comes out ``kernel_size // 2 + 1`` frames late, until ``last``.

        Args:
            x: (B, T, D), the next T frames.
            state: what the previous call returned; None at the beginning.
            last: no frame follows, so that all that are still held back come out.

        Returns:
            (B, T', inner) before diagonal, norm and gate, and the state. ``combine_halves`` makes the layer's output of
            it and of the backward half, which needs the video's end first: see ``time_reversed``.

        Raises:
            ValueError: what ``checked_sequence`` refuses.
        """
        projected = F.linear(checked_sequence(x, None, self.width), self.in_proj.weight[self.inner :])
        if state is None:
            start = projected.new_zeros(()) if self.init_states is None else span_state(self.init_states, self.groups)
            shape = (x.shape[0], self.groups, self.state_size, self.heads // self.groups, self.head_size)
            state = StreamState(projected[:, :0], None, start.expand(shape))
        projected = torch.cat([state.pending, projected], dim=1)
        ready = projected.shape[1] if last else projected.shape[1] - self.halo - 1
        if ready < 1:
            return projected.new_empty(x.shape[0], 0, self.inner), state._replace(pending=projected)
        span, pending = projected[:, :ready], projected[:, ready:]
        unmixed = span[..., : self.unmixed]
        right = None if last else pending[:, : self.halo + 1, : self.unmixed]
        inputs = self._span_inputs(span, state.left, right, None)
        one_way = torch.tensor([1.0, 0.0]).to(inputs.dt).unsqueeze(-1)  # the backward direction feeds nothing
        inputs = inputs._replace(dt=inputs.dt * one_way, diagonal=torch.zeros_like(inputs.diagonal))
        half, past = scan_span(*inputs, state.past)
        assert past is not None
        seen = unmixed if state.left is None else torch.cat([state.left, unmixed], dim=1)
        seen = F.pad(seen, (0, 0, self.halo + 1, 0))[:, -self.halo - 1 :]
        return half.flatten(2), StreamState(pending, seen, past)

    def combine_halves(self, x: Tensor, forward_half: Tensor, backward_half: Tensor) -> Tensor:
        """The layer's output (B, T, D) of a whole sequence x (B, T, D) and both halves (B, T, inner) of its mix."""
        projected = self.in_proj(checked_sequence(x, None, self.width))
        inputs = self._span_inputs(projected[..., self.inner :], None, None, None)
        own = (inputs.x * inputs.diagonal.unsqueeze(-1)).flatten(2)
        out: Tensor = self.out_proj(self.norm(forward_half + backward_half + own, projected[..., : self.inner]))
        return out

    def time_reversed(self) -> Hydra:
        """A copy that does to the reversed sequence what this does to the sequence, its output reversed.

        Its forward half, fed with the reversed pieces of a video from the last to the first, is this layer's backward
        half, reversed.
        """
        reverse = copy.deepcopy(self)
        sizes = [2 * self.inner, self.maps // 2, self.maps // 2, self.heads, self.heads]  # z and x, BC, BC, dt, dt
        with torch.no_grad():
            both, maps, maps_back, dt, dt_back = torch.split(self.in_proj.weight, sizes)
            reverse.in_proj.weight.copy_(torch.cat([both, maps_back, maps, dt_back, dt]))
            for own, other in zip(self.conv1d.parameters(), reverse.conv1d.parameters(), strict=True):
                x, maps, maps_back = torch.split(own, [self.inner, self.maps // 2, self.maps // 2])
                other.copy_(torch.cat([x, maps_back, maps]))
            reverse.conv1d.weight.copy_(reverse.conv1d.weight.flip(-1))
        return reverse

    def _mix(self, spans: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """The mixed sequence (B, T, D) of consecutive spans (B, S, D) of it; the mask is for the whole.

        The first sweep, last span to first, leaves the backward state at each border; the second mixes.
        """
        gate_weight, mix_weight = torch.split(self.in_proj.weight, [self.inner, self.unmixed + 2 * self.heads])
        inputs = self._scan_inputs(spans, mix_weight, mask)
        border = None
        if self.init_states is not None:
            border = span_state(self.init_states, self.groups).expand(spans[0].shape[0], -1, -1, -1, -1)
        from_future = [border]
        for span in inputs[:0:-1]:
            from_future.append(backward_state(span.x, span.dt, span.A, span.b, from_future[-1]))
        from_past, mixed = border, []
        for x, span, future in zip(spans, inputs, reversed(from_future), strict=True):
            y, from_past = scan_span(*span, from_past, future, chunk_length=fastest_chunk_length(x.shape[1]))
            mixed.append(self.out_proj(self.norm(y.flatten(2), F.linear(x, gate_weight))))
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed, dim=1)

    def _scan_inputs(self, spans: Sequence[Tensor], mix_weight: Tensor, mask: Tensor | None) -> list[ScanInputs]:
        """What ``scan_span`` takes for each span; each sees what lies beyond its borders."""
        inputs: list[ScanInputs] = []
        start, left, following = 0, None, F.linear(spans[0], mix_weight)
        for index, span in enumerate(spans):
            projected, stop = following, start + span.shape[1]
            right = None
            if index + 1 < len(spans):
                following = F.linear(spans[index + 1], mix_weight)
                right = following[:, : self.halo + 1, : self.unmixed]
            reach = slice(start - (left is not None), stop + (right is not None))
            inputs.append(self._span_inputs(projected, left, right, None if mask is None else mask[:, reach]))
            start, left = stop, projected[:, -self.halo - 1 :, : self.unmixed]
        return inputs

    def _span_inputs(
        self, projected: Tensor, left: Tensor | None, right: Tensor | None, mask: Tensor | None
    ) -> ScanInputs:
        """What ``scan_span`` takes for one span.

        Args:
            projected: (B, S, C) x, BC and dt.
            left: (B, kernel // 2 + 1, unmixed) x and BC in front of it, None where the sequence begins.
            right: the same behind it, None where the sequence ends.
            mask: (B, S + 1 for each neighbour) of the span and of one position beyond each border, or None.
        """
        wide = torch.promote_types(projected.dtype, torch.float32)
        xbc, dt = torch.split(projected, [self.unmixed, 2 * self.heads], dim=-1)
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
        if left is None and right is None:
            xbc = F.pad(xbc, (0, 0, self.halo, self.halo))
        else:
            end = xbc.new_zeros(()).expand(xbc.shape[0], self.halo, xbc.shape[2])
            xbc = torch.cat([end if left is None else left, xbc, end if right is None else right], dim=1)
        taps, bias = self.conv1d.weight, self.conv1d.bias
        assert bias is not None
        if torch.compiler.is_compiling() or xbc.dtype == torch.float64:
            # A compiler makes one loop of these sums and of the activation; float64 has no fast kernel.
            length = xbc.shape[1] - 2 * self.halo
            out = bias.expand(xbc.shape[0], length, -1)
            for tap, weight in enumerate(taps.squeeze(1).unbind(-1)):
                out = out + xbc[:, tap : tap + length] * weight
            return out
        convolved: Tensor = DepthwiseConvolution.apply(xbc, taps, bias)  # type: ignore[no-untyped-call]
        return convolved


class DepthwiseConvolution(torch.autograd.Function):
    """(B, S + K - 1, C), taps (C, 1, K), bias (C,) → (B, S, C), without padding.

    Its own gradient is the convolution's, in sums: on a CPU two to three times faster than the library's.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, taps)
        return _convolve_image(x, taps, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, taps = ctx.saved_tensors
        reach, length = taps.shape[-1] - 1, grad.shape[1]
        wide = torch.promote_types(grad.dtype, torch.float32)
        grad_x = _convolve_image(F.pad(grad, (0, 0, reach, reach)), taps.flip(-1).to(grad.dtype), None)
        grad_taps = [(x[:, tap : tap + length] * grad).sum((0, 1), dtype=wide) for tap in range(reach + 1)]
        grad_bias = grad.sum((0, 1), dtype=wide)
        return grad_x.to(x.dtype), torch.stack(grad_taps, dim=-1).unsqueeze(1).to(taps.dtype), grad_bias.to(taps.dtype)


def _convolve_image(x: Tensor, taps: Tensor, bias: Tensor | None) -> Tensor:
    """The convolution of an image of height one, channels last: the layout that x has, and a CPU's fast kernel."""
    image = x.unsqueeze(1).permute(0, 3, 1, 2)
    return F.conv2d(image, taps.unsqueeze(2), bias, groups=x.shape[-1]).squeeze(2).transpose(1, 2)


class ScanInputs(NamedTuple):
    """The first arguments of ``scan_span``, in its order."""

    x: Tensor
    dt: Tensor
    A: Tensor
    b: Tensor
    neighbour_c: Tensor
    diagonal: Tensor


class StreamState(NamedTuple):
    """What ``Hydra.forward_half`` carries from one piece of a video to the next; its size does not grow.

    Attributes:
        pending: (B, K, C) x, BC and dt of frames that wait for those after them.
        left: (B, kernel // 2 + 1, unmixed) x and BC of the frames before them; None at the beginning.
        past: (B, G, N, H/G, P) the forward state before them, float32 or wider.
    """

    pending: Tensor
    left: Tensor | None
    past: Tensor


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
