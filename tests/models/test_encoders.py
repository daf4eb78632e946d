"""Encoders: sizes as published, exactly the last blocks trained, prefix and suffix equal to the whole."""

import pytest
import torch

from stf_mamba.models.detector import count_parameters
from stf_mamba.models.encoders import ENCODERS, VitEncoder

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
        torch.testing.assert_close(encoder(frames), expected, atol=0, rtol=0)
        torch.testing.assert_close(encoder(frames / 255), expected, atol=1e-5, rtol=1e-5)


def test_frozen_prefix_builds_no_graph():
    encoder = VitEncoder("vit_miniature", 2)
    assert not encoder.prefix(torch.rand(1, 3, 224, 224)).requires_grad
    assert VitEncoder("vit_miniature", 4).prefix(torch.rand(1, 3, 224, 224)).requires_grad


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="unknown encoder 'resnet'; known: dinov2_vitb14"):
        VitEncoder("resnet", 0)
    with pytest.raises(ValueError, match="has 4 blocks, cannot train 5"):
        VitEncoder("vit_miniature", 5)


def test_every_encoder_says_what_it_is():
    assert all(spec.description for spec in ENCODERS.values())
    assert "not DINOv2" in ENCODERS["vit_tiny16"].description
