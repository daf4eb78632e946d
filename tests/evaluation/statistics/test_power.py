"""Power against simulations of the tests that it speaks of."""

import math

import numpy as np
import pytest
from scipy import stats

from stf_mamba.evaluation.statistics.power import (
    mann_whitney_detectable_auc,
    mann_whitney_power,
    signed_rank_detectable_effect,
    signed_rank_power,
)
from stf_mamba.evaluation.statistics.significance import signed_rank_test


@pytest.mark.parametrize(("mean", "n"), [(0.0, 15), (0.5, 15), (0.5, 30)])
def test_signed_rank_power_equals_simulation(mean, n):
    ranks = n * stats.norm.cdf(mean) + n * (n - 1) / 2 * stats.norm.cdf(mean * math.sqrt(2))
    effect = 2 * ranks / (n * (n + 1) / 2) - 1
    samples = np.random.default_rng(0).normal(mean, 1, (2000, n))
    simulated = float((stats.wilcoxon(samples, axis=1).pvalue < 0.05).mean())
    # Noether's approximation itself is good to a few hundredths; the simulation's deviation is 0.011 at most.
    assert signed_rank_power(effect, n) == pytest.approx(simulated, abs=0.06)


@pytest.mark.parametrize(("shift", "n_a", "n_b"), [(0.0, 20, 20), (0.7, 25, 25), (0.8, 15, 40)])
def test_mann_whitney_power_equals_simulation(shift, n_a, n_b):
    generator = np.random.default_rng(1)
    a, b = generator.normal(shift, 1, (2000, n_a)), generator.normal(0, 1, (2000, n_b))
    simulated = float((stats.mannwhitneyu(a, b, axis=1).pvalue < 0.05).mean())
    auc = float(stats.norm.cdf(shift / math.sqrt(2)))
    assert mann_whitney_power(auc, n_a, n_b) == pytest.approx(simulated, abs=0.06)


@pytest.mark.parametrize("power", [0.6, 0.8, 0.95])
def test_the_detectable_effect_has_the_asked_power(power):
    assert signed_rank_power(signed_rank_detectable_effect(40, power), 40) == pytest.approx(power, abs=1e-3)
    assert mann_whitney_power(mann_whitney_detectable_auc(30, 50, power), 30, 50) == pytest.approx(power, abs=1e-3)


def test_few_pairs_can_detect_nothing():
    # Five pairs of one sign have p = 2 / 32, two values on either side p = 2 / 6.
    assert signed_rank_test([1.0, 2.0, 3.0, 4.0, 5.0]).p == pytest.approx(2 / 32)
    assert signed_rank_power(1.0, 5) == 0
    assert signed_rank_detectable_effect(5) is None
    assert mann_whitney_power(1.0, 2, 2) == 0
    assert mann_whitney_detectable_auc(2, 2) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: signed_rank_power(0.5, 0), "n_pairs is 0"),
        (lambda: mann_whitney_power(0.5, 0, 5), "samples of 0 and 5 values"),
        (lambda: signed_rank_detectable_effect(20, 0.3), "power is 0.3, expected 0.5 to 1"),
    ],
)
def test_wrong_arguments_say_what_was_seen(call, message):
    with pytest.raises(ValueError, match=message):
        call()
