"""A crop seen at a larger scale: enlarged, cut into tiles of a network's own size, and put together again."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def enlarged_tiles(frames: Tensor, zoom: int, side_px: int) -> Tensor:
    """Tiles (N · zoom², C, side_px, side_px) of square frames (N, C, H, H) enlarged to ``zoom · side_px``: a frame's
    tiles follow each other, row by row.

    The enlargement is bicubic and stays within [0, 1]. It adds no detail: it moves the finest detail to the scale at
    which a network that was trained on whole photographs looks.

    Args:
        frames: floats in [0, 1].
        side_px: the network's own input size; frames that are already as large as the tiles together stay as they are.
    """
    count, channels, height, _ = frames.shape
    whole_px = zoom * side_px
    if height != whole_px:
        frames = F.interpolate(frames, size=(whole_px, whole_px), mode="bicubic").clamp(0, 1)
    tiles = frames.reshape(count, channels, zoom, side_px, zoom, side_px).permute(0, 2, 4, 1, 3, 5)
    return tiles.reshape(-1, channels, side_px, side_px)


def joined_patches(patches: Tensor, zoom: int, rows: int, columns: int) -> Tensor:
    """Patches (N, zoom · rows · zoom · columns, D) of whole frames, row by row, from those of their tiles
    (N · zoom², rows · columns, D), as ``enlarged_tiles`` orders the tiles."""
    grid = patches.reshape(-1, zoom, zoom, rows, columns, patches.shape[-1])
    return grid.permute(0, 1, 3, 2, 4, 5).reshape(-1, zoom * rows * zoom * columns, patches.shape[-1])
