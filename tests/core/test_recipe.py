"""A recipe is the one place of defaults: differences in, everything out, nothing unknown."""

import tomllib
from pathlib import Path

import pytest

from stf_mamba.core.errors import RecipeError
from stf_mamba.core.recipe import PhaseRecipe, Recipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


def test_defaults_are_the_reports():
    recipe = Recipe()
    assert (recipe.encoder.name, recipe.encoder.trainable_blocks) == ("dinov2_vitb14", 2)
    assert (recipe.temporal.mixer, recipe.temporal.layers, recipe.temporal.width) == ("hydra", 2, 512)
    assert (recipe.data.frames, recipe.seed, recipe.optimiser.label_smoothing) == (32, 42, 0.0)
    assert recipe.phases == (PhaseRecipe(epochs=25, warmup_epochs=3, encoder_lr=5e-6, head_lr=1e-4),)
    assert (recipe.optimiser.weight_decay, recipe.optimiser.gradient_clip) == (1e-4, 1.0)


def test_resolved_recipe_reads_back(tmp_path):
    recipe = Recipe(name="x", phases=(PhaseRecipe(8, encoder_lr=0.0), PhaseRecipe(17, 0, 1e-5, 1e-5)))
    recipe.save(tmp_path / "r.toml")
    assert Recipe.load(tmp_path / "r.toml") == recipe
    assert recipe.epochs == 25


def test_a_file_lists_differences_only(tmp_path):
    (tmp_path / "r.toml").write_text("[temporal]\nwidth = 64\n")
    recipe = Recipe.load(tmp_path / "r.toml")
    assert recipe.temporal.width == 64
    assert recipe.temporal.mixer == "hydra"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed = 1", "unknown key 'sed'; did you mean 'seed'"),
        ("[encoder]\nnmae = 'x'", "did you mean 'encoder.name'"),
        ("[[phases]]\nepoch = 3", "did you mean 'phases.0.epochs'"),
        ("zzz = 1", "known at this level: name, question"),
        ("[data]\nframes = 'many'", "data.frames"),
        ("[augment]\ndraws = 'video'", "augment.draws"),
        ("[data]\nframes = 1", "data.frames is 1, expected 2 or more"),
        ("[optimiser]\nlabel_smoothing = 1.0", "label_smoothing is 1.0"),
        ("[[phases]]\nepochs = 2\nwarmup_epochs = 3", "warmup_epochs is 3"),
        ("phases = []", "at least one phase"),
        ("= 3", "is no TOML recipe"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(RecipeError, match=message.replace(".", r"\.")):
        Recipe.load(tmp_path / "r.toml")


def test_a_recipe_with_a_byte_order_mark_reads_as_without_it(tmp_path):
    text = RECIPES[0].read_text(encoding="utf-8")
    (tmp_path / "r.toml").write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    assert Recipe.load(tmp_path / "r.toml") == Recipe.load(RECIPES[0])


def test_missing_file_says_what_to_give(tmp_path):
    with pytest.raises(RecipeError, match=r"r\.toml is missing; give the path of a \.toml file"):
        Recipe.load(tmp_path / "r.toml")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_load_and_explain_themselves(path):
    text = path.read_text()
    recipe = Recipe.load(path)
    assert recipe.name == path.stem
    assert recipe.question
    assert len(text.splitlines()) <= 25
    for word in ("Question:", "Command:", "Hardware:", "Expected:"):
        assert word in text
    assert Recipe.from_table(tomllib.loads(recipe.to_toml())) == recipe


def test_there_are_recipes():
    assert {path.stem for path in RECIPES} >= {"v8", "v8-vit-tiny"}
