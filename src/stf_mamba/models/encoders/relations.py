"""The parts of a face crop, and the differences between them that a model may read."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MIDDLE_REACH, RING_REACH = 0.5, 0.8  # from the centre of a crop (0) to its edge (1)

# The rows of ``relation_weights``, in words for a reader of verdicts.
RELATIONS = (
    "edge of the face against its middle",
    "edge of the face against its surroundings",
    "eyes against mouth",
)


def zone_weights(rows: int, columns: int) -> Tensor:
    """Weights (2, rows · columns) that average patches over the middle of a crop and over the ring around it.

    The middle reaches half way from the crop's centre to its edge, the ring to 0.8 of it: at the margin of 1.3 with
    which faces are cut, the box of the face ends at 0.77. Patches belong where their centres lie.
    """
    _, reach = _places(rows, columns)
    return _means_over(reach <= MIDDLE_REACH, (reach > MIDDLE_REACH) & (reach <= RING_REACH))


def relation_weights(rows: int, columns: int) -> Tensor:
    """Weights (3, rows · columns) that give differences of means: the ring less the middle, the ring less the margin
    outside it, and the upper half of the middle (the eyes) less the lower half (the mouth).

    Each row sums to zero: what the whole picture has in common goes. At least seven rows and columns have patches of
    every part.
    """
    height, reach = _places(rows, columns)
    middle, margin = reach <= MIDDLE_REACH, reach > RING_REACH
    means = _means_over(middle, ~(middle | margin), margin, middle & (height < 0), middle & (height > 0))
    return torch.stack([means[1] - means[0], means[1] - means[2], means[3] - means[4]])


def _places(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Height of each patch's centre (rows · columns,) from -1 at the top to 1, and its larger distance from the middle
    of the crop along either axis, 1 at the edge."""
    y = (torch.arange(rows) + 0.5) / rows * 2 - 1
    x = (torch.arange(columns) + 0.5) / columns * 2 - 1
    return y[:, None].expand(rows, columns).flatten(), torch.maximum(y.abs()[:, None], x.abs()[None, :]).flatten()


def _means_over(*parts: Tensor) -> Tensor:
    """Weights (parts, patches) that average over the patches of each part (patches,)."""
    weights = torch.stack(parts).float()
    return weights / weights.sum(1, keepdim=True)


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
