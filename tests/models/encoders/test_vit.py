"""Encoders: sizes as published, exactly the last blocks trained, prefix and suffix equal to the whole."""

import pytest
import torch
import torch.nn.functional as F

from stf_mamba.core.recipe import EncoderRecipe
from stf_mamba.models.clip_detector import count_parameters
from stf_mamba.models.encoders.registry import ENCODERS, build_encoder
from stf_mamba.models.encoders.relations import relation_weights, zone_weights
from stf_mamba.models.encoders.vit import VitEncoder

# Counted from the published architectures: width, all parameters without classifier, last two blocks and final norm.
PUBLISHED = {
    "dinov2_vitb14": (768, 85_724_928, 14_180_352),
    "dinov2_vits14": (384, 21_628_800, 3_551_232),
    "vit_tiny16": (192, 5_524_416, 890_112),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_as_published(name):
    encoder = VitEncoder(name, trainable_blocks=2)
    assert (encoder.width, *count_parameters(encoder)) == PUBLISHED[name]


@pytest.mark.parametrize("blocks", [0, 1, 4])
def test_trains_the_last_blocks_and_the_final_norm_only(blocks):
    encoder = VitEncoder("vit_miniature", blocks)
    encoder(torch.rand(2, 3, 224, 224)).sum().backward() if blocks else None
    with_gradient = {name for name, p in encoder.network.named_parameters() if p.grad is not None}
    expected = {
        name
        for name, _ in encoder.network.named_parameters()
        if blocks == 4 or (blocks and name.startswith(("norm.", "blocks.3.")))
    }
    assert with_gradient == expected


def test_a_phase_can_freeze_the_encoder_and_release_it():
    encoder = VitEncoder("vit_miniature", 2)
    trained = count_parameters(encoder)[1]
    encoder.train_encoder(False)
    assert count_parameters(encoder)[1] == 0
    encoder.train_encoder(True)
    assert count_parameters(encoder)[1] == trained


@pytest.mark.parametrize("blocks", [0, 2, 4])
def test_equals_timms_own_forward(blocks):
    encoder = VitEncoder("vit_miniature", blocks).eval()
    frames = torch.randint(0, 256, (3, 3, 224, 224), dtype=torch.uint8)
    with torch.no_grad():
        normalised = (frames / 255 - encoder.mean) / encoder.std
        expected = encoder.network.forward_features(normalised)[:, 0]
        rounding = 1e-5 if blocks else 0  # the last trained block runs for the class token alone
        torch.testing.assert_close(encoder(frames), expected, atol=rounding, rtol=rounding)
        torch.testing.assert_close(encoder(frames / 255), expected, atol=1e-5, rtol=1e-5)


def test_frozen_prefix_builds_no_graph():
    encoder = VitEncoder("vit_miniature", 2)
    assert not encoder.prefix(torch.rand(1, 3, 224, 224)).requires_grad
    assert VitEncoder("vit_miniature", 4).prefix(torch.rand(1, 3, 224, 224)).requires_grad


def timms_tokens(encoder, frames, blocks):
    """Tokens (N, 1 + patches, D) after so many of timm's blocks, without the final norm."""
    ((patches, cls),) = encoder.network.forward_intermediates(
        (frames - encoder.mean) / encoder.std,
        indices=[blocks - 1],
        return_prefix_tokens=True,
        output_fmt="NLC",
        intermediates_only=True,
    )
    return torch.cat([cls, patches], 1)


@pytest.mark.parametrize("token", ["cls", "patches", "both"])
@pytest.mark.parametrize("blocks", [1, 3, 4])
def test_first_blocks_give_the_whole_networks_tokens_under_a_norm_of_their_own(blocks, token):
    whole = VitEncoder("vit_miniature", 0).eval()
    with torch.no_grad():
        whole.network.norm.weight.uniform_(0.5, 2)  # a trained norm must not reach the shortened network
    short = VitEncoder("vit_miniature", 0, blocks=blocks, token=token).eval()
    kept = {name: value for name, value in whole.network.state_dict().items() if name in short.network.state_dict()}
    short.network.load_state_dict(kept | {"norm.weight": torch.ones(96), "norm.bias": torch.zeros(96)})
    frames = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        tokens = F.layer_norm(timms_tokens(whole, frames, blocks), (96,), eps=whole.network.norm.eps)
        parts = {"cls": tokens[:, 0], "patches": tokens[:, 1:].mean(1)}
        expected = torch.cat([parts["cls"], parts["patches"]], -1) if token == "both" else parts[token]
        torch.testing.assert_close(short(frames), expected, atol=1e-5, rtol=1e-5)
    assert short.width == expected.shape[1]


def test_zones_average_the_middle_and_the_ring_around_it():
    short = VitEncoder("vit_miniature", 0, token="zones").eval()
    frames = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        grid = short.network.norm(timms_tokens(short, frames, 4))[:, 1:].unflatten(1, (7, 7))
        middle = grid[:, 2:5, 2:5]  # centres 4/7 of the way to the edge are outside
        ring = (grid[:, 1:6, 1:6].sum((1, 2)) - middle.sum((1, 2))) / (25 - 9)
        torch.testing.assert_close(short(frames), torch.cat([middle.mean((1, 2)), ring], 1), atol=1e-5, rtol=1e-5)
    assert short.width == 192


def normalised_grid(encoder, frames, blocks):
    """Layer-normalised patches (N, 7, 7, D) after so many of timm's blocks."""
    tokens = timms_tokens(encoder, frames, blocks)
    return F.layer_norm(tokens, (96,))[:, 1:].unflatten(1, (7, 7))


def relations_by_slices(grid, middle, inside):
    """Ring less middle, ring less margin and upper less lower half of the middle, (N, 3, D), of a grid whose middle and
    box of middle and ring reach from these indices to their mirror images."""
    side = grid.shape[1]
    core, box = (grid[:, edge : side - edge, edge : side - edge] for edge in (middle, inside))
    patches = [(side - 2 * edge) ** 2 for edge in (middle, inside)]
    ring = (box.sum((1, 2)) - core.sum((1, 2))) / (patches[1] - patches[0])
    margin = (grid.sum((1, 2)) - box.sum((1, 2))) / (side**2 - patches[1])
    half = core.shape[1] // 2  # the row at the centre, if there is one, is in neither half
    upper, lower = core[:, :half].mean((1, 2)), core[:, -half:].mean((1, 2))
    return torch.stack([ring - core.mean((1, 2)), ring - margin, upper - lower], 1)


@pytest.mark.parametrize("blocks", [None, 3])
def test_relations_tell_the_parts_of_a_crop_apart_after_every_block(blocks):
    encoder = VitEncoder("vit_miniature", 0, blocks, token="relations").eval()
    frames = torch.rand(2, 3, 224, 224)
    depth = blocks or 4
    with torch.no_grad():
        found = [relations_by_slices(normalised_grid(encoder, frames, block + 1), 2, 1) for block in range(depth)]
        expected = torch.cat(found, 1)  # (2, 3 · depth, 96)
        torch.testing.assert_close(encoder.prefix(frames), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(encoder(frames), expected.flatten(1), atol=1e-5, rtol=1e-5)
    assert encoder.width == 3 * depth * 96


def test_relations_of_an_enlarged_crop_see_it_in_tiles():
    encoder = VitEncoder("vit_miniature", 0, token="relations", zoom=2).eval()
    frames = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    large = F.interpolate(frames / 255, size=(448, 448), mode="bicubic", align_corners=False).clamp(0, 1)
    halves = (slice(0, 224), slice(224, 448))
    with torch.no_grad():
        grids = [
            torch.cat(
                [torch.cat([normalised_grid(encoder, large[:, :, y, x], n) for x in halves], 2) for y in halves], 1
            )
            for n in range(1, 5)
        ]
        expected = torch.cat([relations_by_slices(grid, 3, 1) for grid in grids], 1)
        torch.testing.assert_close(encoder.prefix(frames), expected, atol=1e-5, rtol=1e-5)


def test_larger_crops_enter_the_same_tiles_and_none_that_they_cannot_hold():
    encoder = VitEncoder("vit_miniature", 0, token="relations", zoom=2).eval()
    small = torch.rand(1, 3, 224, 224)
    large = F.interpolate(small, size=(448, 448), mode="bicubic", align_corners=False).clamp(0, 1)
    with torch.no_grad():
        assert torch.equal(encoder.prefix(large), encoder.prefix(small))
        assert encoder.prefix(large[..., :300, :300]).shape == encoder.prefix(small).shape
    for height, width in ((223, 223), (449, 449), (300, 224)):
        with pytest.raises(ValueError, match="square crops of 224 to 448 px"):
            encoder.prefix(torch.rand(1, 3, height, width))
    with pytest.raises(ValueError, match="takes crops of 224 × 224 px"):
        VitEncoder("vit_miniature", 0, token="relations").prefix(large)


def test_relations_stay_exact_under_autocast():
    encoder = VitEncoder("vit_miniature", 0, token="relations").eval()
    frames = torch.rand(1, 3, 224, 224)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = encoder(frames)
    assert torch.equal(rounded, encoder(frames))


def test_what_the_whole_picture_shares_is_in_no_relation():
    weights = relation_weights(14, 14)
    torch.testing.assert_close(weights.sum(1), torch.zeros(3), atol=1e-6, rtol=0)
    ring, middle = zone_weights(14, 14)[1], zone_weights(14, 14)[0]
    torch.testing.assert_close(weights[0], ring - middle)
    assert torch.equal(weights[1] > 0, ring > 0)
    assert torch.equal(weights[2] != 0, middle > 0)
    assert torch.equal(weights[2].view(14, 14), -weights[2].view(14, 14).flip(0))


def test_relations_are_of_frozen_networks_and_the_zoom_is_of_relations():
    with pytest.raises(ValueError, match="and 1 of them would train; set trainable_blocks to 0"):
        VitEncoder("vit_miniature", 1, token="relations")
    with pytest.raises(ValueError, match="zoom is 2 with the token 'zones'"):
        VitEncoder("vit_miniature", 0, token="zones", zoom=2)


def test_the_last_block_alone_for_the_class_token_equals_the_whole_block():
    encoder = VitEncoder("vit_miniature", 2).train()
    tokens = encoder.prefix(torch.rand(2, 3, 224, 224))
    whole = encoder.network.norm(encoder.network.blocks[3](encoder.network.blocks[2](tokens)))[:, 0]
    torch.testing.assert_close(encoder.suffix(tokens), whole, atol=1e-5, rtol=1e-5)


def test_blocks_left_out_are_neither_built_nor_counted():
    block = sum(parameter.numel() for parameter in VitEncoder("vit_tiny16", 0).network.blocks[0].parameters())
    short = VitEncoder("vit_tiny16", 2, blocks=7)
    assert count_parameters(short) == (PUBLISHED["vit_tiny16"][1] - 5 * block, 2 * block + 2 * 192)
    assert short.first_trainable == 5
    assert torch.equal(short.network.norm.weight, torch.ones(192))
    assert not short.network.norm.bias.any()


def test_a_shortened_frozen_encoder_trains_nothing():
    assert count_parameters(VitEncoder("vit_miniature", 0, blocks=2))[1] == 0


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="unknown encoder 'resnet'; known: dinov2_vitb14"):
        build_encoder(EncoderRecipe("resnet"))
    with pytest.raises(ValueError, match="unknown encoder 'resnet'; transformers are: dinov2_vitb14"):
        VitEncoder("resnet", 0)
    with pytest.raises(ValueError, match="has 4 blocks, cannot train 5"):
        VitEncoder("vit_miniature", 5)
    with pytest.raises(ValueError, match="has 2 blocks, cannot train 3"):
        VitEncoder("vit_miniature", 3, blocks=2)
    with pytest.raises(ValueError, match="has 4 blocks, cannot use the first 5"):
        VitEncoder("vit_miniature", 0, blocks=5)
    with pytest.raises(ValueError, match="unknown token 'mean'; known: cls, patches, both, zones, relations"):
        VitEncoder("vit_miniature", 0, token="mean")


def test_every_encoder_says_what_it_is():
    assert all(spec.description for spec in ENCODERS.values())
    assert "not DINOv2" in ENCODERS["vit_tiny16"].description
