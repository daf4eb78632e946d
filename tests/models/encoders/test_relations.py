"""Tiles of an enlarged crop: where they are cut, and where their patches end up."""

import pytest
import torch
import torch.nn.functional as F

from stf_mamba.models.encoders.relations import enlarged_tiles, joined_patches


def test_tiles_are_quarters_of_the_enlarged_frame_row_by_row():
    frames = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    large = F.interpolate(frames, scale_factor=2, mode="bicubic", align_corners=False).clamp(0, 1)
    corners = [(0, 0), (0, 8), (8, 0), (8, 8)]
    expected = [large[n, :, y : y + 8, x : x + 8] for n in range(2) for y, x in corners]
    assert torch.equal(enlarged_tiles(frames, 2, 8), torch.stack(expected))


def test_frames_of_more_pixels_give_as_many_tiles_with_their_own_detail():
    frames = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    tiles = enlarged_tiles(frames, 2, 8)
    assert torch.equal(tiles[1], frames[0, :, :8, 8:])  # nothing is enlarged that is large enough
    between = enlarged_tiles(frames[..., :12, :12], 2, 8)
    expected = F.interpolate(frames[..., :12, :12], size=(16, 16), mode="bicubic", align_corners=False).clamp(0, 1)
    assert torch.equal(between[4], expected[1, :, :8, :8])


def test_an_edge_does_not_leave_the_range():
    edge = torch.zeros(1, 3, 8, 8)
    edge[..., 4:] = 1  # bicubic overshoots here
    tiles = enlarged_tiles(edge, 3, 8)
    assert (tiles.min(), tiles.max()) == (0, 1)


def test_without_a_zoom_the_frames_stay():
    frames = torch.rand(2, 3, 4, 4)
    assert torch.equal(enlarged_tiles(frames, 1, 4), frames)


@pytest.mark.parametrize("zoom", [1, 2, 3])
def test_patches_come_back_to_their_places(zoom):
    rows, columns = 2, 3
    whole = torch.arange(2 * zoom * rows * zoom * columns * 5.0).view(2, zoom * rows, zoom * columns, 5)
    tiles = [
        whole[n, row * rows : (row + 1) * rows, column * columns : (column + 1) * columns].reshape(-1, 5)
        for n in range(2)
        for row in range(zoom)
        for column in range(zoom)
    ]
    assert torch.equal(joined_patches(torch.stack(tiles), zoom, rows, columns), whole.flatten(1, 2))
