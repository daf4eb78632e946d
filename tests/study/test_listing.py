"""What a row takes follows from what it does: passes, epochs, frames, seeds, and what a cache spares."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from stf_mamba.cli.app import app
from stf_mamba.study import row_costs
from stf_mamba.study.budgets import BUDGETS, planned_recipe
from stf_mamba.study.listing import list_without_clips
from stf_mamba.study.row_costs import EncoderPace, Passes, row_seconds
from stf_mamba.study.rows import KEYS, ROWS
from stf_mamba.training import costs


@pytest.fixture
def paces(monkeypatch):
    """A frame takes 3 s through the frozen part and 2 s through the trained one, a clip 5 s through a mixer."""
    monkeypatch.setattr(row_costs, "_encoder_pace", lambda recipe, device: EncoderPace(3.0, 2.0))
    monkeypatch.setattr(row_costs, "_mixer_s", lambda kind, width, frames, device: 5.0)


def _recipe(epochs=1, encoder_lr=1e-3, **data):
    recipe = planned_recipe(ROWS["v8"], BUDGETS["miniature"], {})
    (phase,) = recipe.phases
    phases = (replace(phase, epochs=epochs, warmup_epochs=0, encoder_lr=encoder_lr),)
    return replace(recipe, phases=phases, data=replace(recipe.data, **data))


def test_seconds_of_a_case_worked_by_hand(paces):
    # v8 has two mixers: 10 s a clip. Forward without the frozen part: 4 frames of 2 s and the mixers, 18 s; backward
    # twice that. Training: 7 clips in 2 epochs of 12 + 18 + 36 s; 3 clips validated three times and 5 tested, 30 s.
    recipe, passes = _recipe(epochs=2, frames=4), Passes(7, 3, 5, 1, 1)
    assert row_seconds(recipe, passes, cached=False, device="cpu") == pytest.approx(7 * 2 * 66 + (3 * 3 + 5) * 30)
    # From a cache the frozen part of 12 s falls away but for the filling: two views of 7, and 3 and 5 as they are.
    filled = replace(recipe, data=replace(recipe.data, views=2))
    expected = 7 * 2 * 54 + (3 * 3 + 5) * 18 + (2 * 7 + 3 + 5) * 12
    assert row_seconds(filled, passes, cached=True, device="cpu") == pytest.approx(expected)


def test_a_frozen_encoder_has_no_backward_pass(paces):
    passes = Passes(1, 0, 0, 1, 1)
    trained = row_seconds(_recipe(frames=4), passes, cached=False, device="cpu")
    frozen = row_seconds(_recipe(frames=4, encoder_lr=0.0), passes, cached=False, device="cpu")
    assert trained - frozen == pytest.approx(2 * 4 * 2)


def test_folds_train_anew_and_share_the_cache(paces):
    recipe = replace(_recipe(frames=4), data=replace(_recipe(frames=4).data, views=2))
    one = row_seconds(recipe, Passes(7, 3, 5, 1, 1), cached=True, device="cpu")
    four = row_seconds(recipe, Passes(7, 3, 5, 4, 1), cached=True, device="cpu")
    assert four == pytest.approx(4 * one - 3 * (2 * 7 + 3 + 5) * 12)


def test_each_part_of_the_real_networks_is_timed_by_itself(monkeypatch):
    ticks = itertools.count()  # a clock that goes on by a second whenever somebody looks: every measured time is 1 s
    monkeypatch.setattr(costs, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    for measured in (row_costs._encoder_pace, row_costs._mixer_s):
        measured.cache_clear()
    recipe = _recipe(epochs=1, frames=4)
    seconds = row_seconds(recipe, Passes(10, 2, 3, 1, 1), cached=False, device="cpu")
    for measured in (row_costs._encoder_pace, row_costs._mixer_s):
        measured.cache_clear()
    # A frame takes 1 s through the frozen part and 1 s through the trained one, a clip 1 s through each of two mixers:
    # forward 4 + 4 + 2 s, backward twice 4 + 2 s; the validation clips are scored before and after the epoch.
    assert seconds == 10 * (10 + 12) + (2 * 2 + 3) * 10


def test_without_clips_every_key_is_listed_with_its_cost():
    listed = list_without_clips(BUDGETS["miniature"], {}, 1, KEYS, "cpu")
    assert [one.key for one in listed] == list(KEYS)
    assert all(one.question.endswith("?") for one in listed)
    assert all((one.seconds is None) == (one.experiment == 1) for one in listed)


def test_the_verb_lists_without_drawing_anything(tmp_path):
    out = tmp_path / "study"
    arguments = ["study", "--list", "--budget", "miniature", "--only", "v8,signals", "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "Does temporal identity consistency" in result.stdout
    assert "five handcrafted forensic signals" in result.stdout
    assert "2 to run" in result.stdout
    assert not out.exists()
