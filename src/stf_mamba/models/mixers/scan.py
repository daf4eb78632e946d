"""The quasiseparable sequence mix of Hydra: its definition, and the fast forms that are tested equal to it.

For one head, two semiseparable matrices (a forward and a backward state-space scan, each shifted by one position) and
a diagonal that depends on the input add up to one dense matrix over time::

    out_t = sum_{s < t} C_{t-1}·B_s exp(sum_{s < r <= t-1} dt_r A) dt_s x_s      forward: direction 0
          + sum_{s > t} C_{t+1}·B_s exp(sum_{t+1 <= r < s} dt_r A) dt_s x_s      backward: direction 1
          + diagonal_t x_t

Every function takes the same tensors:

- ``x`` (B, L, H, P): H heads of P channels;
- ``dt`` (B, L, 2, H): step sizes, not negative, of the two directions;
- ``A`` (H,): negative;
- ``b``, ``c`` (B, L, 2, G, N): input and output maps into N states, each shared by H/G heads;
- ``diagonal`` (B, L, H);
- ``initial_state`` (H, P, N) or None: where both directions start.

The fast forms compute decays, and carry states, in float32 or wider; matrix products run in ``x``'s dtype. They are
written for automatic differentiation: no branch on values, no copy back to the host.

Source: Hwang, Lahoti, Dao, Gu, "Hydra: Bidirectional State Space Models Through Generalized Matrix Mixers", NeurIPS
2024; Dao, Gu, "Transformers are SSMs", ICML 2024 (the dual and the chunked form of one direction).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

FORWARD, BACKWARD = 0, 1

DUAL_MAX_LENGTH = 192
"""The longest sequence that is mixed by one dense matrix per head; measured by ``benchmarks/hydra.py``."""

CHUNK_LENGTH = 64
"""How many positions share one dense matrix in the chunked form; measured by ``benchmarks/hydra.py``."""

CARRY_FAN = 16
"""How many chunks hand a state on one by one before whole groups of chunks do."""


def scan(
    x: Tensor, dt: Tensor, A: Tensor, b: Tensor, c: Tensor, diagonal: Tensor, initial_state: Tensor | None = None
) -> Tensor:
    """The mixed sequence (B, L, H, P), float32 or wider, by the form that is fastest at this length."""
    return scan_chunked(x, dt, A, b, c, diagonal, initial_state, chunk_length=fastest_chunk_length(x.shape[1]))


def fastest_chunk_length(length: int) -> int:
    """The whole length for a short sequence, which is then one dense matrix (``scan_dual``), else ``CHUNK_LENGTH``."""
    return length if length <= DUAL_MAX_LENGTH else CHUNK_LENGTH


def scan_plain(
    x: Tensor, dt: Tensor, A: Tensor, b: Tensor, c: Tensor, diagonal: Tensor, initial_state: Tensor | None = None
) -> Tensor:
    """The definition: every head's dense matrix times ``x``, computed and returned in float64. (B, L, H, P)."""
    matrix = quasiseparable_matrix(dt, A, b, c, diagonal)
    out = torch.einsum("bhts,bshp->bthp", matrix, x.double())
    if initial_state is not None:
        out = out + _plain_from_initial_state(dt, A, c, initial_state)
    return out


def quasiseparable_matrix(dt: Tensor, A: Tensor, b: Tensor, c: Tensor, diagonal: Tensor) -> Tensor:
    """The matrix (B, H, L, L) over time that the module's docstring defines, in float64."""
    forward = semiseparable_matrix(dt[:, :, FORWARD], A, b[:, :, FORWARD], c[:, :, FORWARD])
    reversed_time = (tensor[:, :, BACKWARD].flip(1) for tensor in (dt, b, c))
    dt_back, b_back, c_back = reversed_time
    backward = semiseparable_matrix(dt_back, A, b_back, c_back).flip(2, 3)
    lower = torch.zeros_like(forward)
    lower[:, :, 1:] = forward[:, :, :-1]
    upper = torch.zeros_like(backward)
    upper[:, :, :-1] = backward[:, :, 1:]
    return lower + upper + torch.diag_embed(diagonal.double().transpose(1, 2))


def semiseparable_matrix(dt: Tensor, A: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """One direction, not shifted: entry (t, s) is C_t·B_s exp(sum of dt_r A over s < r <= t) dt_s for s <= t, else 0.

    Takes one direction's ``dt`` (B, L, H) and ``b``, ``c`` (B, L, G, N); returns (B, H, L, L) in float64.
    """
    heads_per_group = A.shape[0] // b.shape[2]
    b = b.double().repeat_interleave(heads_per_group, dim=2)  # (B, L, H, N)
    c = c.double().repeat_interleave(heads_per_group, dim=2)
    dt = dt.double().transpose(1, 2)  # (B, H, L)
    length = dt.shape[-1]
    causal = torch.ones(length, length, dtype=torch.bool, device=dt.device).tril()
    steps = (dt * A.double()[:, None]).unsqueeze(-1).expand(-1, -1, -1, length)  # [..., r, s] = dt_r A
    log_decay = steps.masked_fill(~causal.tril(-1), 0.0).cumsum(-2)  # [..., t, s] = sum over s < r <= t
    decay = log_decay.exp().masked_fill(~causal, 0.0)
    return torch.einsum("bthn,bshn->bhts", c, b) * decay * dt.unsqueeze(-2)


def _plain_from_initial_state(dt: Tensor, A: Tensor, c: Tensor, initial_state: Tensor) -> Tensor:
    """What the initial state adds to both directions: C_t·h exp(sum of dt_r A up to t), shifted. (B, L, H, P)."""
    heads_per_group = A.shape[0] // c.shape[3]
    c = c.double().repeat_interleave(heads_per_group, dim=3)  # (B, L, 2, H, N)
    steps = dt.double() * A.double()  # (B, L, 2, H)
    since_start = torch.stack([steps[:, :, FORWARD].cumsum(1), steps[:, :, BACKWARD].flip(1).cumsum(1).flip(1)], dim=2)
    seen = torch.einsum("btkhn,hpn,btkh->btkhp", c, initial_state.double(), since_start.exp())
    out = torch.zeros_like(seen[:, :, 0])
    out[:, 1:] += seen[:, :-1, FORWARD]
    out[:, :-1] += seen[:, 1:, BACKWARD]
    return out


def scan_dual(
    x: Tensor, dt: Tensor, A: Tensor, b: Tensor, c: Tensor, diagonal: Tensor, initial_state: Tensor | None = None
) -> Tensor:
    """``scan_plain`` for short sequences: both directions in one dense matrix per head, L² work. (B, L, H, P)."""
    return scan_chunked(x, dt, A, b, c, diagonal, initial_state, chunk_length=x.shape[1])


def scan_chunked(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    b: Tensor,
    c: Tensor,
    diagonal: Tensor,
    initial_state: Tensor | None = None,
    *,
    chunk_length: int = CHUNK_LENGTH,
) -> Tensor:
    """``scan_plain`` for any length: dense within chunks, states between them; linear work. (B, L, H, P)."""
    state = None if initial_state is None else span_state(initial_state, b.shape[3])
    neighbour_c = neighbours_of(F.pad(c, (0, 0, 0, 0, 0, 0, 1, 1)))
    return scan_span(x, dt, A, b, neighbour_c, diagonal, state, state, chunk_length=chunk_length)[0]


def scan_span(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    b: Tensor,
    neighbour_c: Tensor,
    diagonal: Tensor,
    from_past: Tensor | None = None,
    from_future: Tensor | None = None,
    *,
    chunk_length: int = CHUNK_LENGTH,
) -> tuple[Tensor, Tensor | None]:
    """A span of a longer sequence, mixed, given the states at its two borders.

    Args:
        neighbour_c: (B, L, 2, G, N), what ``neighbours_of`` gives.
        from_past: (B, G, N, H/G, P), the forward state before the first position. None: zero.
        from_future: the backward state after the last position, likewise.
        chunk_length: positions per dense matrix; never changes the result.

    Returns:
        The mixed span (B, L, H, P), and the forward state after its last position; None instead of that state where
        the span is a single chunk without borders, whose state nobody asks for.
    """
    length = x.shape[1]
    chunks = -(-length // chunk_length)
    size = -(-length // chunks)
    # Positions that are added have steps of length zero: no decay, nothing fed.
    x, dt, b, neighbour_c, diagonal = (
        _in_chunks(tensor, chunks, size) for tensor in (x, dt, b, neighbour_c, diagonal)
    )  # (B, chunks, size, ...)
    with torch.autocast(x.device.type, enabled=False):
        wide = torch.promote_types(x.dtype, torch.float32)
        steps = dt.to(wide).permute(0, 1, 3, 4, 2).contiguous()  # (B, n, 2, H, Q)
        decay = LogDecay.of(steps * A.to(steps.dtype).unsqueeze(-1))
        b = b.permute(0, 1, 3, 4, 2, 5).contiguous()  # (B, n, 2, G, Q, N)
        neighbour_c = neighbour_c.permute(0, 1, 3, 4, 2, 5).contiguous()
        matrix = _dense_matrix(steps, decay, b, neighbour_c, diagonal.to(steps.dtype))  # (B, n, H, Q, Q)
        mixed = (matrix.to(x.dtype) @ x.transpose(2, 3)).to(steps.dtype).transpose(2, 3)  # (B, n, Q, H, P)
        to_future = None
        if chunks > 1 or from_past is not None or from_future is not None:
            entering, to_future = _entering_states(x, steps, decay, b, from_past, from_future)
            mixed = _add_from_states(mixed, neighbour_c, entering.to(x.dtype), decay.enter().exp())
    return mixed.flatten(1, 2)[:, :length], to_future


def backward_state(x: Tensor, dt: Tensor, A: Tensor, b: Tensor, from_future: Tensor | None = None) -> Tensor:
    """The backward state (B, G, N, H/G, P) before the first position of a span, without mixing the span.

    Takes what ``scan_span`` takes.
    """
    with torch.autocast(x.device.type, enabled=False):
        steps = dt[:, :, BACKWARD].to(torch.promote_types(x.dtype, torch.float32))  # (B, L, H)
        until = (steps * A.to(steps.dtype)).cumsum(1)
        before = F.pad(until[:, :-1], (0, 0, 1, 0))
        fed = x * (before.exp() * steps).unsqueeze(-1).to(x.dtype)  # (B, L, H, P)
        groups = b.shape[3]
        fed = torch.unflatten(fed, 2, (groups, -1)).permute(0, 2, 1, 3, 4).flatten(3)  # (B, G, L, H/G·P)
        maps = b[:, :, BACKWARD].permute(0, 2, 3, 1)  # (B, G, N, L)
        state = torch.unflatten((maps @ fed).to(steps.dtype), 3, (-1, x.shape[3]))  # (B, G, N, H/G, P)
        if from_future is None:
            return state
        return torch.addcmul(state, from_future.to(state.dtype), until[:, -1].exp().view(x.shape[0], groups, 1, -1, 1))


def neighbours_of(c: Tensor) -> Tensor:
    """What each position reads the states with: C_{t-1} of the forward and C_{t+1} of the backward half.

    Takes ``c`` (B, L + 2, 2, G, N) with one position more at either end, zeros where the sequence ends; returns
    (B, L, 2, G, N).
    """
    return torch.stack([c[:, :-2, FORWARD], c[:, 2:, BACKWARD]], dim=2)


def span_state(initial_state: Tensor, groups: int) -> Tensor:
    """A published initial state (H, P, N) in the layout that spans hand on: (1, G, N, H/G, P)."""
    return torch.unflatten(initial_state, 0, (groups, -1)).permute(0, 3, 1, 2).unsqueeze(0)


class LogDecay(NamedTuple):
    """Logarithms of decays within each chunk, (B, n, 2, H, Q), of both directions in the order of time.

    ``until`` sums the steps from the chunk's first position up to and with this one, ``before`` up to without it.
    """

    until: Tensor
    before: Tensor

    @classmethod
    def of(cls, log_decay: Tensor) -> LogDecay:
        """The sums over each chunk of the steps' own log decays dt·A."""
        until = log_decay.cumsum(-1)
        # Shifted, not until - log_decay: neighbours then differ by exactly zero however large the steps are.
        return cls(until, F.pad(until[..., :-1], (1, 0)))

    def total(self) -> Tensor:
        """Across the whole chunk: (B, n, 2, H)."""
        return self.until[..., -1]

    def enter(self) -> Tensor:
        """From the border at which a direction enters the chunk to each position's neighbour: (B, n, 2, H, Q)."""
        after = self.total().unsqueeze(-1) - self.until
        return torch.stack([self.before[:, :, FORWARD], after[:, :, BACKWARD]], dim=2)

    def leave(self) -> Tensor:
        """From each position to the border at which a direction leaves the chunk: (B, n, 2, H, Q)."""
        after = self.total().unsqueeze(-1) - self.until
        return torch.stack([after[:, :, FORWARD], self.before[:, :, BACKWARD]], dim=2)


def _in_chunks(tensor: Tensor, chunks: int, size: int) -> Tensor:
    """(B, L, ...) as (B, chunks, size, ...), with zeros after the end."""
    missing = chunks * size - tensor.shape[1]
    if missing:
        tensor = F.pad(tensor, [0, 0] * (tensor.ndim - 2) + [0, missing])
    return torch.unflatten(tensor, 1, (chunks, size))


def _dense_matrix(steps: Tensor, decay: LogDecay, b: Tensor, neighbour_c: Tensor, diagonal: Tensor) -> Tensor:
    """Every chunk's quasiseparable matrix (B, n, H, Q, Q): both triangles and the diagonal in one."""
    size = steps.shape[-1]
    ones = torch.ones(size, size, dtype=steps.dtype, device=steps.device)
    below, above = ones.tril(-1), ones.triu(1)
    # Masked by products, not by torch.where: several times faster on a CPU, and both factors are finite.
    (until, until_back), (before, before_back) = decay.until.unbind(2), decay.before.unbind(2)  # (B, n, H, Q)
    log_decay = (before.unsqueeze(-1) - until.unsqueeze(-2)) * below  # (B, n, H, Q, Q)
    log_decay.addcmul_(before_back.unsqueeze(-2) - until_back.unsqueeze(-1), above)
    products, products_back = (neighbour_c @ b.mT).to(steps.dtype).unsqueeze(4).unbind(2)  # (B, n, G, 1, Q, Q)
    fed, fed_back = torch.unflatten(steps, 3, (b.shape[3], -1)).unsqueeze(-2).unbind(2)  # (B, n, G, H/G, 1, Q)
    fed = (fed * (products * below)).addcmul_(fed_back, products_back * above).flatten(2, 3)  # (B, n, H, Q, Q)
    matrix = fed * log_decay.exp_()
    matrix.diagonal(dim1=-2, dim2=-1).add_(diagonal.transpose(2, 3))
    return matrix


def _entering_states(
    x: Tensor, steps: Tensor, decay: LogDecay, b: Tensor, from_past: Tensor | None, from_future: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The states with which both directions enter each chunk (2, n, B, G, N, H/G, P), and the last forward state."""
    groups, head_size = b.shape[3], x.shape[-1]
    weights = (decay.leave().exp() * steps).transpose(3, 4).unsqueeze(-1).to(x.dtype)  # (B, n, 2, Q, H, 1)
    fed = x.unsqueeze(2) * weights  # (B, n, 2, Q, H, P)
    fed = torch.unflatten(fed, 4, (groups, -1)).transpose(3, 4).flatten(5)  # (B, n, 2, G, Q, H/G·P)
    increments = torch.unflatten((b.mT @ fed).to(steps.dtype), 5, (-1, head_size))  # (B, n, 2, G, N, H/G, P)
    total = torch.unflatten(decay.total(), 3, (groups, 1, -1, 1))  # (B, n, 2, G, 1, H/G, 1)
    (to_next, to_previous), (total, total_back) = increments.unbind(2), total.unbind(2)
    past, to_future = _carry(to_next, total, from_past)
    future, _ = _carry(to_previous, total_back, from_future, backward=True)
    return torch.unflatten(torch.stack(past + future), 0, (2, -1)), to_future


def _add_from_states(mixed: Tensor, neighbour_c: Tensor, entering: Tensor, enter: Tensor) -> Tensor:
    """``mixed`` (B, n, Q, H, P), to which is added what the entering states show through each position's C."""
    seen = neighbour_c.permute(2, 1, 0, 3, 4, 5) @ entering.flatten(5)  # (2, n, B, G, Q, H/G·P)
    seen = seen.transpose(3, 4).reshape(*seen.shape[:3], *mixed.shape[2:]).transpose(1, 2)  # (2, B, n, Q, H, P)
    for seen_one_way, enter_one_way in zip(seen, enter.transpose(3, 4).unsqueeze(-1).unbind(2), strict=True):
        mixed = mixed.addcmul_(seen_one_way, enter_one_way)
    return mixed


def _carry(
    increments: Tensor, log_decay: Tensor, start: Tensor | None, *, backward: bool = False
) -> tuple[list[Tensor], Tensor]:
    """States before each of n steps ``state = exp(log_decay) state + increment``, and the state after all of them.

    More than ``CARRY_FAN`` steps run as groups side by side, and the groups' own totals are carried in the same way: a
    long sequence then takes few operations and no graph grows with its length.

    Args:
        increments: (B, n, ...); ``log_decay`` broadcasts to it.
        start: (B, ...), broadcasts; None is zero.
        backward: the last step runs first.

    Returns:
        n states (B, ...) in the order of ``increments``, and one more.
    """
    n = increments.shape[1]
    state = torch.zeros_like(increments[:, 0])
    if start is not None:
        state = start.to(state.dtype).expand_as(state)
    order = -1 if backward else 1
    if n <= CARRY_FAN:
        entering = []
        for increment, decay in list(zip(increments.unbind(1), log_decay.exp().unbind(1), strict=True))[::order]:
            entering.append(state)
            state = torch.addcmul(increment, state, decay)
        return entering[::order], state

    groups = -(-n // CARRY_FAN)
    grouped, decays = (_in_chunks(tensor, groups, CARRY_FAN) for tensor in (increments, log_decay))
    local, totals = _carry(grouped.flatten(0, 1), decays.flatten(0, 1), None, backward=backward)
    until = decays.cumsum(2)
    across = until[:, :, -1]  # (B, groups, ...)
    to_border = across.unsqueeze(2) - until if backward else until - decays
    borders, state = _carry(torch.unflatten(totals, 0, (-1, groups)), across, start, backward=backward)
    inside = torch.unflatten(torch.stack(local, dim=1), 0, (-1, groups))  # (B, groups, CARRY_FAN, ...)
    inside = torch.addcmul(inside, torch.stack(borders, dim=1).unsqueeze(2), to_border.exp())
    return list(inside.flatten(1, 2).unbind(1)[:n]), state
