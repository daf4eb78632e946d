"""What every temporal mixer asks of its input: a finite (B, T, D) sequence and, for shorter clips, a mask."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def checked_sequence(x: Tensor, mask: Tensor | None, width: int) -> Tensor:
    """``x`` with zeros where ``mask`` is False, after its shape and values were checked.

    Values are looked at in eager mode only: a compiled or captured graph cannot stop for them.

    Args:
        x: (B, T, D) floating point.
        mask: (B, T) bool, True = valid, or None where every position is valid.
        width: the D that the mixer was built for.

    Raises:
        ValueError: wrong shape or type, T = 0, a mask row without a valid position, NaN or infinity at a valid one.
    """
    shape = tuple(x.shape)
    if x.ndim != 3 or shape[2] != width:
        raise ValueError(f"a mixer of width {width} takes x of shape (B, T, {width}), got {shape}")
    if shape[0] == 0 or shape[1] == 0:
        raise ValueError(f"x of shape {shape} holds no frame; a mixer needs B ≥ 1 and T ≥ 1")
    if not x.is_floating_point():
        raise ValueError(f"x of shape {shape} must be floating point, got {x.dtype}")
    if mask is not None:
        if tuple(mask.shape) != shape[:2] or mask.dtype != torch.bool:
            raise ValueError(
                f"the mask of x {shape} must be bool of shape {shape[:2]}, got {mask.dtype} of {tuple(mask.shape)}"
            )
        x = x.masked_fill(~mask.unsqueeze(-1), 0.0)
    if _values_can_be_read(x):
        if mask is not None and not bool(mask.any(dim=1).all()):
            empty = (~mask.any(dim=1)).nonzero().flatten().tolist()
            raise ValueError(f"the mask of shape {tuple(mask.shape)} has no valid frame in rows {empty}")
        if not all(map(math.isfinite, torch.aminmax(x.detach()))):
            raise ValueError(f"x of shape {shape} holds NaN or infinity; look for them in what produced it")
    return x


def _values_can_be_read(x: Tensor) -> bool:
    if torch.compiler.is_compiling() or x.is_meta:
        return False
    return not (x.is_cuda and torch.cuda.is_current_stream_capturing())
