"""`stf estimate`: hours follow from the measured steps, and what cannot be estimated is refused."""

import json

import pytest
from terminal import stf

RECIPE = """
name = "estimated"
encoder = { name = "vit_miniature", trainable_blocks = 1 }
temporal = { layers = 1, width = 32 }

[data]
frames = 2
batch_size = 2
VIEWS

[[phases]]
epochs = 10
warmup_epochs = 0
"""


@pytest.fixture
def recipe(tmp_path):
    """Writes the recipe with further keys of ``data``."""

    def write(keys=""):
        path = tmp_path / "estimated.toml"
        path.write_text(RECIPE.replace("VIEWS", keys))
        return path

    return write


def test_hours_and_the_cache_follow_from_the_measured_steps(recipe):
    command = ("estimate", recipe("views = 3"), "--videos", 40, "--clips-per-video", 2, "--cache", "--device", "cpu")
    estimated = stf(*command, "--json")
    assert estimated.exit_code == 0, estimated.stderr
    result = json.loads(estimated.stdout)
    (step,) = result["steps"]
    assert (result["n_clips"], result["n_validation"]) == (80, 20)  # a fifth of all videos validates
    assert result["training_hours"] == pytest.approx(10 * 80 * (step["step_s"] + step["making_s"]) / 3600)
    assert result["validation_hours"] == pytest.approx(11 * 20 * step["scoring_s"] / 3600)
    assert result["cache"]["views"] == 3
    # 80 clips, 3 views, 2 frames, (224 / 32)² patches and the class token, 96 numbers of 4 bytes each.
    assert result["cache"]["disk_bytes"] == 80 * 3 * 2 * (7 * 7 + 1) * 96 * 4


def test_folds_are_counted_and_relations_are_cached_without_asking(recipe):
    path = recipe('validation = "folds"\nvalidation_fraction = 0.25\nviews = 1')
    path.write_text(path.read_text().replace("trainable_blocks = 1 }", 'trainable_blocks = 0, token = "relations" }'))
    estimated = stf("estimate", path, "--videos", 40, "--device", "cpu", "--json")
    assert estimated.exit_code == 0, estimated.stderr
    result = json.loads(estimated.stdout)
    (step,) = result["steps"]
    assert (result["trainings"], result["n_clips"], result["n_validation"]) == (5, 40, 40)
    assert result["training_hours"] == pytest.approx(10 * 4 * 40 * (step["step_s"] + step["making_s"]) / 3600)
    assert result["validation_hours"] == pytest.approx(40 * step["scoring_s"] / 3600)
    assert result["cache"]["training_hours"] == pytest.approx(10 * 4 * 40 * (step["step_s"] - step["prefix_s"]) / 3600)
    told = stf("estimate", path, "--videos", 40, "--device", "cpu").stdout
    assert "40 clips to validate, in 5 trainings" in told


def test_pseudofakes_are_counted(recipe):
    estimated = stf("estimate", recipe('fakes = "both"'), "--videos", 30, "--real-videos", 10, "--json")
    assert estimated.exit_code == 0, estimated.stderr
    result = json.loads(estimated.stdout)
    assert result["n_clips"] == 40
    assert result["cache"] is None


@pytest.mark.parametrize(
    ("keys", "options", "message"),
    [
        ("", ("--cache",), "set data.views"),
        ('fakes = "both"', (), "--real-videos N belongs to 'both'"),
        ("", ("--real-videos", 5), "data.fakes is 'real'"),
        ('fakes = "both"', ("--real-videos", 50), "--real-videos is 50, expected at most the 30"),
        ('validation = "folds"', ("--validation", 5), "leave out --validation"),
    ],
)
def test_what_does_not_fit_together_is_wrong_usage(recipe, keys, options, message):
    refused = stf("estimate", recipe(keys), "--videos", 30, *options)
    assert refused.exit_code == 2
    assert message in refused.error
