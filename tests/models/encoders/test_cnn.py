"""Convolutional encoders: sizes as published, timm's own forward, frozen stages that do not move."""

import pytest
import torch
from torch import nn

from stf_mamba.core.recipe import EncoderRecipe
from stf_mamba.models.clip_detector import count_parameters
from stf_mamba.models.encoders.cnn import CNN_ENCODERS, CnnEncoder
from stf_mamba.models.encoders.registry import ENCODERS, build_encoder
from stf_mamba.models.encoders.timm_import import import_timm
from stf_mamba.models.encoders.vit import VitEncoder

# The architectures' sizes without classifier as their papers and libraries give them: width, parameters, stages.
PUBLISHED = {
    "efficientnet_b0": (1280, 4_007_548, 9),
    "efficientnet_b4": (1792, 17_548_616, 9),
    "efficientnet_lite0": (1280, 3_371_008, 9),
    "efficientnet_lite1": (1280, 4_135_680, 9),
    "efficientnet_lite2": (1280, 4_811_072, 9),
    "resnet50": (2048, 23_508_032, 5),
    "xception": (2048, 20_806_952, 14),
}
PRETRAINING_TAGS = {
    "efficientnet_b0": "efficientnet_b0.ra_in1k",
    "efficientnet_b4": "tf_efficientnet_b4.ap_in1k",
    "efficientnet_lite0": "tf_efficientnet_lite0.in1k",
    "efficientnet_lite1": "tf_efficientnet_lite1.in1k",
    "efficientnet_lite2": "tf_efficientnet_lite2.in1k",
    "resnet50": "resnet50.tv2_in1k",
    "xception": "legacy_xception.tf_in1k",
}


def frames(px=64, count=2):
    return torch.randint(0, 256, (count, 3, px, px), dtype=torch.uint8)


def modules_that_trained(encoder):
    """Names of the network's direct parts (of ``blocks``: its groups) in which a parameter got a gradient."""
    names = {name for name, p in encoder.network.named_parameters() if p.grad is not None}
    return {".".join(name.split(".")[: 2 if name.startswith("blocks.") else 1]) for name in names}


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_as_published(name):
    encoder = CnnEncoder(name, trainable_blocks=PUBLISHED[name][2])
    total, trainable = count_parameters(encoder)
    assert (encoder.width, total, len(encoder.stages)) == PUBLISHED[name]
    assert trainable == total


@pytest.mark.parametrize("name", PRETRAINING_TAGS)
def test_pixels_as_the_published_weights_expect_them(name):
    config = import_timm().get_pretrained_cfg(PRETRAINING_TAGS[name])
    assert (CNN_ENCODERS[name].mean, CNN_ENCODERS[name].std) == (config.mean, config.std)


@pytest.mark.parametrize(
    "name", ["efficientnet_b0", "efficientnet_b4", "efficientnet_lite0", "resnet50", "xception", "cnn_miniature"]
)
def test_equals_timms_own_forward_wherever_it_is_split(name):
    encoder = CnnEncoder(name, 2).eval()
    seen = frames()
    with torch.no_grad():
        expected = encoder.network((seen / 255 - encoder.mean) / encoder.std)
        torch.testing.assert_close(encoder(seen), expected, atol=1e-6, rtol=1e-6)
        maps = encoder.prefix(seen)
        kept = maps.clone()
        encoder.suffix(maps)
    assert torch.equal(maps, kept), "the suffix changes its input, which a cache hands out again"


@pytest.mark.parametrize(
    ("trainable", "trained"),
    [
        (0, set()),
        (1, {"conv_head", "bn2"}),
        (3, {"conv_head", "bn2", "blocks.4", "blocks.3"}),
        (7, {"conv_head", "bn2", *(f"blocks.{group}" for group in range(5)), "conv_stem", "bn1"}),
    ],
)
def test_trains_the_last_stages_only(trainable, trained):
    encoder = CnnEncoder("cnn_miniature", trainable)
    output = encoder(frames())
    if trainable:
        output.square().sum().backward()
    assert modules_that_trained(encoder) == trained


def test_frozen_batch_norms_do_not_move_and_trainable_ones_do():
    encoder = CnnEncoder("cnn_miniature", 2).train()
    before = {name: tensor.clone() for name, tensor in encoder.network.named_buffers()}
    seen = frames()
    maps = encoder.prefix(seen)
    encoder(seen)
    moved = {name for name, tensor in encoder.network.named_buffers() if not torch.equal(tensor, before[name])}
    assert moved
    assert all(name.startswith(("blocks.4.", "bn2.")) for name in moved)
    assert torch.equal(encoder.eval().prefix(seen), maps), "a cache filled in either mode must hold the same"


def test_a_phase_freezes_the_encoder_with_its_batch_norms_and_releases_it():
    encoder = CnnEncoder("cnn_miniature", 2).train()
    trained = count_parameters(encoder)[1]
    encoder.train_encoder(False)
    encoder.train()
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    assert count_parameters(encoder)[1] == 0
    assert norms
    assert not any(norm.training for norm in norms)
    encoder.train_encoder(True)
    assert count_parameters(encoder)[1] == trained
    assert any(norm.training for norm in norms)


def test_sbis_network_sees_pixels_as_they_are_and_one_size_only():
    encoder = CnnEncoder("efficientnet_b4_sbi", 0)
    seen = torch.rand(1, 3, 2, 2)
    assert torch.equal(encoder.normalised(seen), seen)
    with pytest.raises(ValueError, match=r"380 × 380 px, got \(224, 224\); prepare the clips with --size 380"):
        encoder(frames(px=224, count=1))


def test_encoders_are_built_by_recipe():
    assert isinstance(build_encoder(EncoderRecipe("cnn_miniature", 1)), CnnEncoder)
    assert isinstance(build_encoder(EncoderRecipe("vit_miniature", 1)), VitEncoder)
    assert {*CNN_ENCODERS} < {*ENCODERS}
    with pytest.raises(ValueError, match="cnn_miniature is convolutional"):
        build_encoder(EncoderRecipe("cnn_miniature", 1, token="patches"))
    with pytest.raises(ValueError, match="cnn_miniature is convolutional"):
        build_encoder(EncoderRecipe("cnn_miniature", 1, blocks=2))
    with pytest.raises(ValueError, match="has 7 blocks, cannot train 8"):
        build_encoder(EncoderRecipe("cnn_miniature", 8))
    with pytest.raises(ValueError, match="unknown encoder 'vgg'"):
        CnnEncoder("vgg", 0)
