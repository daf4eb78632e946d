"""The whole model: shapes, counts, gradients where they belong, and the variance floor of a still clip."""

import math
from dataclasses import replace

import pytest
import torch

from stf_mamba.core.errors import RecipeError
from stf_mamba.core.recipe import EncoderRecipe, HeadRecipe, Recipe, TemporalRecipe
from stf_mamba.models.clip_detector import build_detector, count_parameters
from stf_mamba.models.heads import HEADS
from stf_mamba.models.mixers.registry import MIXERS

SMALL = Recipe(encoder=EncoderRecipe("vit_miniature", 2), temporal=TemporalRecipe("hydra", 2, 64))


def test_shapes_and_consistency():
    model = build_detector(SMALL).eval()
    with torch.no_grad():
        output = model(torch.randint(0, 256, (2, 7, 3, 224, 224), dtype=torch.uint8))
    assert (output.logit.shape, output.log_variance.shape, output.consistency.shape) == ((2,), (2,), (2, 7))
    assert (output.consistency <= 1 + 1e-6).all()


def test_default_is_v8_and_its_count_is_the_sum_of_its_parts():
    model = build_detector(Recipe())
    total, trainable = count_parameters(model)
    encoder = 85_724_928
    projection = 768 * 512 + 512 + 2 * 512
    temporal, _ = count_parameters(model.temporal)
    assert len(model.temporal.mixers) == 2
    assert total == encoder + projection + temporal + 2
    assert trainable == 14_180_352 + projection + temporal + 2


def test_a_still_clip_reaches_the_variance_floor_through_the_whole_model():
    model = build_detector(SMALL).eval()
    still = torch.randint(0, 256, (1, 1, 3, 224, 224), dtype=torch.uint8).expand(1, 32, 3, 224, 224)
    with torch.no_grad():
        output = model(still)
    assert output.log_variance.item() == pytest.approx(math.log(SMALL.head.epsilon), abs=1e-3)
    torch.testing.assert_close(output.consistency, torch.ones(1, 32))


def test_the_floor_is_not_a_matter_of_course():
    # The same mixers on the plain sequence, not on its deviations, make a still clip inconsistent at its edges.
    model = build_detector(SMALL).eval()
    still = torch.randn(1, 1, 64).expand(1, 32, 64)
    with torch.no_grad():
        edges = still + model.temporal.mixers[0](still)
        assert model.head(edges).log_variance.item() > math.log(SMALL.head.epsilon) + 1
        assert model.head(model.temporal(still)).log_variance.item() < math.log(SMALL.head.epsilon) + 1e-3


def test_gradients_reach_what_trains_and_nothing_else():
    model = build_detector(SMALL)
    model(torch.randint(0, 256, (2, 5, 3, 224, 224), dtype=torch.uint8)).logit.sub(1).square().sum().backward()
    for name, parameter in model.named_parameters():
        frozen = name.startswith("encoder.network") and not name.startswith(
            ("encoder.network.norm.", "encoder.network.blocks.2.", "encoder.network.blocks.3.")
        )
        assert (parameter.grad is None) == frozen, name
        if not frozen:
            assert parameter.grad.isfinite().all(), name


RELATIONS = Recipe(encoder=EncoderRecipe("vit_miniature", 0, token="relations"), temporal=TemporalRecipe("none", 0, 64))


def test_what_each_comparison_adds_makes_the_logit():
    model = build_detector(replace(RELATIONS, head=HeadRecipe("standardised_content"))).eval()
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.normal_()
        mixed = model.mixed(model.embeddings(torch.rand(2, 3, 3, 224, 224)))
        found, logit = model.evidence(mixed), model.judged(mixed).logit
        assert found.relations.shape == (2, len(model.encoder.relations)) == (2, 3)
        torch.testing.assert_close(found.relations.sum(1) + model.head.classifier.bias, logit, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(found.frame_logits.mean(1), logit, atol=1e-4, rtol=1e-4)
        # A line that reads only the second comparison, after every block.
        reads = (torch.arange(3 * 4) % 3 == 1).repeat_interleave(96)
        model.head.classifier.weight.mul_(reads)
        alone = model.evidence(mixed).relations
    assert alone[:, 1].abs().min() > 1e-3
    assert alone[:, [0, 2]].abs().max() == 0


def test_only_a_line_on_comparisons_is_taken_apart_by_them():
    head = HeadRecipe("standardised_content")
    projected = replace(RELATIONS, temporal=TemporalRecipe("none", 1, 64), head=head)
    not_centred = replace(RELATIONS, head=HeadRecipe("content"))
    for recipe in (replace(SMALL, head=head), RELATIONS, projected, not_centred):
        model = build_detector(recipe)
        assert not model.reads_relations
        assert model.evidence(model.mixed(torch.randn(1, 2, model.encoder.width))).relations is None
    with pytest.raises(ValueError, match="does not compare their parts"):
        build_detector(SMALL).encoder.by_relation(torch.zeros(1, 96))


@pytest.mark.parametrize("kind", ["content", "frame_mean"])
def test_frames_have_logits_where_nothing_mixes_them(kind):
    for mixer, layers in (("hydra", 2), ("gru", 1), ("none", 1), ("none", 0)):
        model = build_detector(replace(SMALL, temporal=TemporalRecipe(mixer, layers, 64), head=HeadRecipe(kind))).eval()
        with torch.no_grad():
            mixed = model.mixed(torch.randn(1, 5, model.encoder.width))
            found = model.evidence(mixed).frame_logits
        assert (found is None) == (mixer != "none"), (mixer, layers)


@pytest.mark.parametrize("mixer", MIXERS)
def test_every_mixer_takes_part(mixer):
    recipe = Recipe(encoder=EncoderRecipe("vit_miniature", 0), temporal=TemporalRecipe(mixer, 1, 64))
    model = build_detector(recipe).eval()
    with torch.no_grad():
        output = model.from_embeddings(torch.randn(2, 9, 96))
    assert output.logit.isfinite().all()


@pytest.mark.parametrize("encoder", [EncoderRecipe("vit_miniature", 2), EncoderRecipe("cnn_miniature", 2)])
def test_tokens_of_the_frozen_prefix_give_the_same_as_frames(encoder):
    model = build_detector(Recipe(encoder=encoder, temporal=TemporalRecipe("hydra", 1, 64))).eval()
    frames = torch.randint(0, 256, (2, 5, 3, 224, 224), dtype=torch.uint8)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    with torch.no_grad():
        tokens = model.encoder.prefix(frames.flatten(0, 1)).unflatten(0, (2, 5))
        for whole, part in zip(model(frames, mask), model.from_tokens(tokens, mask), strict=True):
            assert torch.equal(whole, part)
        with pytest.raises(ValueError, match="valid frame in every clip"):
            model.from_tokens(tokens, torch.zeros(2, 5, dtype=torch.bool))


@pytest.mark.parametrize("kind", HEADS)
def test_every_head_trains_through_the_whole_model(kind):
    recipe = Recipe(
        encoder=EncoderRecipe("cnn_miniature", 1), temporal=TemporalRecipe("mamba", 1, 64), head=HeadRecipe(kind)
    )
    model = build_detector(recipe)
    with torch.no_grad():
        for parameter in model.head.parameters():  # a map that starts at zero passes nothing on in its first step
            parameter.normal_()
    model(torch.randint(0, 256, (2, 3, 3, 64, 64), dtype=torch.uint8)).logit.sub(1).square().sum().backward()
    for name, parameter in model.head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
    assert model.encoder.network.conv_head.weight.grad.any()


def test_without_layers_the_model_is_frame_level():
    recipe = Recipe(
        encoder=EncoderRecipe("cnn_miniature", 7),
        temporal=TemporalRecipe("none", 0, 512),
        head=HeadRecipe("frame_mean"),
    )
    model = build_detector(recipe).eval()
    encoder = count_parameters(model.encoder)[0]
    assert count_parameters(model) == (encoder + 257, encoder + 257)  # one linear map of 256 features
    frames = torch.randint(0, 256, (2, 4, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        clips = model(frames).logit
        single = torch.stack([model(frames[:, t : t + 1]).logit for t in range(4)])
    torch.testing.assert_close(clips, single.mean(0), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="holds NaN or infinity"):
        model.from_embeddings(torch.full((1, 2, 256), torch.nan))


def test_the_mixer_none_keeps_the_projection():
    recipe = Recipe(encoder=EncoderRecipe("vit_miniature", 0), temporal=TemporalRecipe("none", 1, 64))
    assert count_parameters(build_detector(recipe))[1] == 96 * 64 + 64 + 2 * 64 + 2


def test_middle_layers_and_tokens_set_the_width():
    recipe = Recipe(
        encoder=EncoderRecipe("vit_miniature", 1, blocks=2, token="both"),
        temporal=TemporalRecipe("none", 0),
        head=HeadRecipe("content"),
    )
    model = build_detector(recipe)
    assert model.head.classifier.in_features == 192
    assert len(model.encoder.network.blocks) == 2


def test_padding_changes_nothing():
    model = build_detector(SMALL).eval()
    embeddings = torch.randn(2, 9, 96)
    padded = torch.cat([embeddings, torch.randn(2, 4, 96)], 1)
    mask = torch.arange(13).expand(2, 13) < 9
    with torch.no_grad():
        plain, masked = model.from_embeddings(embeddings), model.from_embeddings(padded, mask)
    torch.testing.assert_close(masked.logit, plain.logit, atol=1e-4, rtol=1e-4)


def test_the_seed_decides_the_initial_values():
    first, again = build_detector(SMALL), build_detector(SMALL)
    other = build_detector(Recipe(seed=43, encoder=SMALL.encoder, temporal=SMALL.temporal))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert not torch.equal(first.projection[0].weight, other.projection[0].weight)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe(encoder=EncoderRecipe("vgg")), "encoder: unknown encoder 'vgg'"),
        (Recipe(encoder=EncoderRecipe("vit_miniature", 9)), "cannot train 9"),
        (Recipe(encoder=EncoderRecipe("vit_miniature", 1, blocks=9)), "encoder: vit_miniature has 4 blocks"),
        (Recipe(encoder=EncoderRecipe("vit_miniature", 1, token="relations")), "encoder: relations are of a frozen"),
        (Recipe(encoder=EncoderRecipe("resnet50", 1, token="both")), "encoder: resnet50 is convolutional"),
        (Recipe(temporal=TemporalRecipe("lstm")), "temporal.mixer is 'lstm', expected one of hydra"),
        (Recipe(temporal=TemporalRecipe("hydra", 1, 48)), "temporal: head_size 64 must divide"),
        (Recipe(head=HeadRecipe("mlp")), "head.kind is 'mlp', expected one of variance"),
    ],
)
def test_unknown_parts_are_named(recipe, message):
    with pytest.raises(RecipeError, match=message):
        build_detector(recipe)


def test_wrong_shapes_are_named():
    model = build_detector(SMALL)
    with pytest.raises(ValueError, match=r"got \(2, 3, 224, 224\)"):
        model(torch.zeros(2, 3, 224, 224))
    with pytest.raises(ValueError, match="valid frame in every clip"):
        model(torch.zeros(1, 2, 3, 224, 224), torch.zeros(1, 2, dtype=torch.bool))
