"""A crop seen at a larger scale: enlarged, cut into tiles of a network's own size, and put together again."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def enlarged_tiles(frames: Tensor, zoom: int) -> Tensor:
    """Tiles (N · zoom², C, H, W) of frames (N, C, H, W) enlarged ``zoom`` times: a frame's tiles follow each other, row
    by row.

    The enlargement is bicubic and stays within [0, 1]. It adds no detail: it moves the finest detail to the scale at
    which a network that was trained on whole photographs looks.

    Args:
        frames: floats in [0, 1].
    """
    if zoom == 1:
        return frames
    count, channels, height, width = frames.shape
    enlarged = F.interpolate(frames, scale_factor=zoom, mode="bicubic").clamp(0, 1)  # (N, C, zoom · H, zoom · W)
    tiles = enlarged.reshape(count, channels, zoom, height, zoom, width).permute(0, 2, 4, 1, 3, 5)
    return tiles.reshape(-1, channels, height, width)


def joined_patches(patches: Tensor, zoom: int, rows: int, columns: int) -> Tensor:
    """Patches (N, zoom · rows · zoom · columns, D) of whole frames, row by row, from those of their tiles
    (N · zoom², rows · columns, D), as ``enlarged_tiles`` orders the tiles."""
    grid = patches.reshape(-1, zoom, zoom, rows, columns, patches.shape[-1])
    return grid.permute(0, 1, 3, 2, 4, 5).reshape(-1, zoom * rows * zoom * columns, patches.shape[-1])
