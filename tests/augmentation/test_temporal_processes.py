"""Processes over a clip's frames, against the autocorrelation that they are defined by."""

import numpy as np
import pytest

from stf_mamba.augmentation.temporal_processes import (
    DRIFT_GAIN,
    FLICKER_COLOUR_GAIN,
    draw_frame_changes,
    smooth_process,
)
from stf_mamba.core.recipe import PseudoFakeRecipe

COMPONENTS = ("drift", "jitter", "flicker", "swim")
OFF = dict.fromkeys(COMPONENTS, 0.0)


def changes(seed=0, frames=4000, **amplitudes):
    return draw_frame_changes(np.random.default_rng(seed), PseudoFakeRecipe(**{**OFF, **amplitudes}), frames)


def autocorrelation(series, lag):
    centred = series - series.mean(axis=0)
    return (centred[lag:] * centred[:-lag]).mean() / (centred**2).mean()


@pytest.mark.parametrize("reach", [1.0, 4.0])
def test_a_smooth_process_has_unit_variance_and_the_correlation_of_its_kernel(reach):
    series = smooth_process(np.random.default_rng(5), 4000, 20, reach)
    assert series.shape == (4000, 20)
    assert series.var() == pytest.approx(1, abs=0.05)
    for lag in (1, 2, 6):
        assert autocorrelation(series, lag) == pytest.approx(np.exp(-(lag**2) / (4 * reach**2)), abs=0.04)


def test_its_variance_is_the_same_at_the_ends_of_a_clip():
    ends = np.concatenate([smooth_process(np.random.default_rng(seed), 8, 40, 1.5)[[0, -1]] for seed in range(40)])
    assert ends.var() == pytest.approx(1, abs=0.1)


def test_all_off_is_no_change_at_all():
    still = changes()
    assert not still.shift_px.any()
    assert (still.turn_and_scale == 1).all()
    assert (still.gains == 1).all()
    assert not still.swim_px.any()


def test_jitter_is_white_and_moves_only():
    jitter = changes(jitter=1.0)
    assert abs(autocorrelation(jitter.shift_px, 1)) < 0.05
    assert abs(autocorrelation(np.log(np.abs(jitter.turn_and_scale))[:, None], 1)) < 0.05
    assert (jitter.gains == 1).all()
    assert not jitter.swim_px.any()


def test_flicker_is_white_and_colours_only():
    flicker = changes(flicker=1.0)
    assert abs(autocorrelation(np.log(flicker.gains), 1)) < 0.05
    between_channels = np.log(flicker.gains[:, 0] / flicker.gains[:, 1])
    assert between_channels.std() == pytest.approx(np.sqrt(2) * FLICKER_COLOUR_GAIN, rel=0.05)
    assert not flicker.shift_px.any()
    assert (flicker.turn_and_scale == 1).all()


def test_drift_is_smooth_in_place_and_colour_and_swim_moves_the_boundary_only():
    drift = [changes(seed, frames=32, drift=1.0) for seed in range(60)]
    for series in ([one.shift_px for one in drift], [np.log(one.gains) for one in drift]):
        steps, spread = np.diff(series, axis=1).std(), np.std(series)
        # The kernel's reach is 32 / 8 frames: neighbours are correlated by exp(−1/64), a step has √(2 − 2 ρ) = 0.176.
        assert steps / spread == pytest.approx(0.176, rel=0.15)
    assert np.std([np.log(one.gains) for one in drift]) == pytest.approx(DRIFT_GAIN, rel=0.2)
    swim = changes(swim=1.0)
    assert swim.swim_px.any()
    assert not swim.shift_px.any()
    assert (swim.gains == 1).all()


def test_components_add_up_and_do_not_disturb_each_other():
    together = changes(7, 16, drift=1.0, jitter=2.0, flicker=0.5, swim=3.0)
    drift, jitter = changes(7, 16, drift=1.0), changes(7, 16, jitter=2.0)
    flicker, swim = changes(7, 16, flicker=0.5), changes(7, 16, swim=3.0)
    np.testing.assert_allclose(together.shift_px, drift.shift_px + jitter.shift_px)
    np.testing.assert_allclose(together.turn_and_scale, drift.turn_and_scale * jitter.turn_and_scale)
    np.testing.assert_allclose(together.gains, drift.gains * flicker.gains)
    np.testing.assert_allclose(together.swim_px, swim.swim_px)
