"""Every baseline's recipe describes the network that its publication names, all of it trained."""

from pathlib import Path

import pytest

from stf_mamba.core.recipe import Recipe
from stf_mamba.models.clip_detector import build_detector, count_parameters
from stf_mamba.models.heads import ContentHead, FrameMeanHead
from stf_mamba.models.mixers.mamba import Mamba

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@pytest.mark.parametrize(
    ("name", "features", "encoder"),
    [("sbi", 1792, 17_548_616), ("efficientnet-b4", 1792, 17_548_616), ("xception", 2048, 20_806_952)],
)
def test_frame_level_baselines_are_a_network_and_a_linear_map(name, features, encoder):
    model = build_detector(Recipe.load(RECIPES / f"{name}.toml"))
    assert isinstance(model.head, FrameMeanHead)
    assert count_parameters(model) == (encoder + features + 1, encoder + features + 1)


def test_gattu_is_b0_one_mamba_and_what_the_clip_shows():
    model = build_detector(Recipe.load(RECIPES / "gattu.toml"))
    assert count_parameters(model.encoder) == (4_007_548, 4_007_548)
    assert [type(mixer) for mixer in model.temporal.mixers] == [Mamba]
    assert isinstance(model.head, ContentHead)


def test_sbi_trains_on_self_blended_clips_of_its_own_pixels():
    recipe = Recipe.load(RECIPES / "sbi.toml")
    assert (recipe.data.fakes, recipe.pseudofakes.crossed) == ("pseudo", 0)
    assert recipe.data.frames * recipe.data.batch_size == 32  # crops of a step, as published
    assert build_detector(recipe).encoder.crop_px == 380
