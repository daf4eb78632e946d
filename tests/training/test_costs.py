"""Estimates: their arithmetic by hand, and what is measured against what is known."""

from dataclasses import replace

import pytest
import torch

from stf_mamba.core.recipe import DataRecipe, EncoderRecipe, PhaseRecipe, Recipe, TemporalRecipe
from stf_mamba.training import costs
from stf_mamba.training.costs import StepCost, estimate_run, measure_step

CPU = torch.device("cpu")
RECIPE = Recipe(
    encoder=EncoderRecipe("vit_miniature", 1),
    temporal=TemporalRecipe("hydra", 1, 32),
    data=DataRecipe(frames=4, batch_size=12, micro_batch=5, views=3),
    phases=(PhaseRecipe(2, 0, 0.0, 1e-3), PhaseRecipe(10, 1, 1e-4, 1e-3)),
)


def measured(phase, clips):
    """A made-up measurement: 100 MB, and 30 MB for each clip."""
    return StepCost(
        clips=clips,
        step_s=2.0 if phase.encoder_lr == 0 else 3.0,
        prefix_s=1.5,
        filling_s=1.75,
        scoring_s=0.5,
        making_s=0.25,
        memory_bytes=100_000_000 + 30_000_000 * clips,
        token_bytes=1_000,
    )


def test_the_arithmetic_by_hand(monkeypatch):
    monkeypatch.setattr(costs, "measure_step", lambda recipe, phase, device, clips, *_, **__: measured(phase, clips))
    estimate = estimate_run(RECIPE, n_clips=101, n_validation=20, device="cpu", processes=2)
    # 51 clips a process. Two epochs at 2 + 0.25 s a clip, ten at 3 + 0.25 s.
    assert estimate.training_hours == pytest.approx(51 * (2 * 2.25 + 10 * 3.25) / 3600)
    # Twelve epochs and the end, 10 videos a process, half a second each.
    assert estimate.validation_hours == pytest.approx(13 * 10 * 0.5 / 3600)
    assert estimate.micro_batch == 5
    assert estimate.memory_bytes == 100_000_000 + 5 * 30_000_000
    assert estimate.clips_bytes == 121 * 4 * 224 * 224 * 3
    assert estimate.cache is not None
    assert estimate.cache.disk_bytes == 101 * 3 * 1_000
    assert estimate.cache.filling_hours == pytest.approx(51 * 3 * 2.0 / 3600)
    assert estimate.cache.training_hours == pytest.approx(51 * (2 * 0.5 + 10 * 1.5) / 3600)
    without_views = replace(RECIPE, data=replace(RECIPE.data, views=None))
    assert estimate_run(without_views, 101, 20, "cpu").cache is None


def test_folds_cost_as_many_trainings_as_there_are(monkeypatch):
    monkeypatch.setattr(costs, "measure_step", lambda recipe, phase, device, clips, *_, **__: measured(phase, clips))
    data = replace(RECIPE.data, validation="folds", validation_fraction=0.25)
    estimate = estimate_run(replace(RECIPE, data=data), n_clips=100, n_validation=100, device="cpu")
    assert estimate.trainings == 5
    # Four trainings of 75 clips and one of 100; each clip is scored once.
    assert estimate.training_hours == pytest.approx((4 * 75 + 100) * (2 * 2.25 + 10 * 3.25) / 3600)
    assert estimate.validation_hours == pytest.approx(100 * 0.5 / 3600)
    assert estimate.clips_bytes == 100 * 4 * 224 * 224 * 3
    assert estimate.cache.training_hours == pytest.approx((4 * 75 + 100) * (2 * 0.5 + 10 * 1.5) / 3600)
    assert estimate.cache.filling_hours == pytest.approx(100 * 3 * 2.0 / 3600)


def test_a_part_of_the_batch_smaller_than_the_micro_batch_is_what_passes_at_once(monkeypatch):
    monkeypatch.setattr(costs, "measure_step", lambda recipe, phase, device, clips, *_, **__: measured(phase, clips))
    assert estimate_run(RECIPE, 10, 10, "cpu", processes=4).micro_batch == 3
    whole = replace(RECIPE, data=replace(RECIPE.data, micro_batch=None))
    assert estimate_run(whole, 10, 10, "cpu", processes=2).micro_batch == 6


def test_what_is_measured_holds_together():
    recipe = replace(RECIPE, data=replace(RECIPE.data, fakes="pseudo"))
    cost = measure_step(recipe, RECIPE.phases[1], CPU, clips=2, repeats=2)
    assert 0 < cost.prefix_s < cost.step_s
    assert cost.filling_s == cost.prefix_s  # float32 either way
    assert cost.making_s > 0
    # 4 frames of 1 + 7² tokens of 96 values of 4 bytes.
    assert cost.token_bytes == 4 * 50 * 96 * 4
    assert cost.memory_bytes is None or 5e7 < cost.memory_bytes < 2e10


def test_without_a_frozen_block_there_is_nothing_to_keep():
    everything = replace(RECIPE, encoder=EncoderRecipe("vit_miniature", 4), phases=(PhaseRecipe(1, 0),))
    assert estimate_run(everything, 10, 10, "cpu", repeats=1).cache is None


@pytest.mark.parametrize("name", ["n_clips", "n_validation", "processes"])
def test_counts_are_positive(name):
    arguments = {"n_clips": 10, "n_validation": 10, "processes": 1, name: 0}
    with pytest.raises(ValueError, match=f"{name} is 0, expected 1 or more"):
        estimate_run(RECIPE, device="cpu", **arguments)
