"""Tests and intervals against scipy, brute force, cases worked by hand, and simulations of what they promise."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stf_mamba.evaluation.statistics.intervals import (
    equivalence_test,
    paired_equivalence_test,
    prediction_bound,
    wilson_interval,
)
from stf_mamba.evaluation.statistics.power import (
    mann_whitney_detectable_auc,
    mann_whitney_power,
    signed_rank_detectable_effect,
    signed_rank_power,
)
from stf_mamba.evaluation.statistics.significance import holm, mann_whitney_test, rank_correlation, signed_rank_test


def share_of_hits(inside, simulations=400):
    """Part of the simulations, each with a generator of its own, in which an interval holds the truth."""
    return float(np.mean([inside(np.random.default_rng(number)) for number in range(simulations)]))


# Of 400 simulations of a 95 % interval, the share of hits has a standard deviation of 0.011: three of them are 0.033.
SIMULATED = {"low": 0.917, "high": 0.990}


def test_holm_worked_case():
    # In order 0.005 · 4, 0.01 · 3, 0.03 · 2, and 0.04 · 1 lifted to the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1, 1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_p_values_and_bonferroni(p_values):
    adjusted, given_p = holm(p_values), np.array(p_values)
    assert (adjusted >= given_p).all()
    assert (adjusted <= np.minimum(1, given_p * len(given_p)) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(given_p, kind="stable")]) >= 0).all()


def test_signed_rank_worked_case():
    # Ranks of |1.5|, |−0.5|, |2|, |3|, |−1|, the zero left out: 3, 1, 4, 5, 2. Positive ones add up to 12 of 15.
    result = signed_rank_test([1.5, -0.5, 2.0, 0.0, 3.0, -1.0])
    assert (result.w_plus, result.n, result.n_zero) == (12, 5, 1)
    assert result.effect == pytest.approx((12 - 3) / 15)
    sums = [
        sum(rank for rank, plus in zip(range(1, 6), signs, strict=True) if plus) for signs in product((0, 1), repeat=5)
    ]
    assert result.p == pytest.approx(2 * np.mean(np.array(sums) >= 12))
    assert result.low < result.effect < result.high


def test_signed_rank_interval_covers_the_expected_effect():
    # Normal differences of mean m: a sum of ranks is P(d > 0) n + P(d + d' > 0) n (n − 1) / 2 on average.
    n, mean = 20, 0.6
    ranks = n * stats.norm.cdf(mean) + n * (n - 1) / 2 * stats.norm.cdf(mean * math.sqrt(2))
    truth = 2 * ranks / (n * (n + 1) / 2) - 1

    def inside(generator):
        result = signed_rank_test(generator.normal(mean, 1, n))
        return result.low <= truth <= result.high

    assert SIMULATED["low"] <= share_of_hits(inside) <= SIMULATED["high"]


def test_signed_rank_interval_keeps_a_width_at_the_extreme():
    result = signed_rank_test([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (result.effect, result.high) == (1.0, 1.0)
    assert result.low < 0.5
    mirrored = signed_rank_test([-1.0, -2.0, -3.0, -4.0, -5.0])
    assert mirrored.high == pytest.approx(-result.low)


def test_mann_whitney_worked_case():
    # a above b in 3 > 1, 3 > 2, 1.5 > 1: 3 of 4 pairs; the reversed order has U = 1.
    result = mann_whitney_test([3.0, 1.5], [1.0, 2.0])
    assert (result.u, result.auc, result.effect) == (3, 0.75, 0.5)
    # Of the six orders of four values, U ≥ 3 in two and U ≤ 1 in two.
    assert result.p == pytest.approx(4 / 6)


@given(st.floats(-2, 2), st.integers(2, 12), st.integers(2, 12))
def test_mann_whitney_interval_mirrors_when_the_samples_change_places(shift, n_a, n_b):
    generator = np.random.default_rng(n_a * 100 + n_b)
    a, b = generator.normal(shift, 1, n_a), generator.normal(0, 1, n_b)
    one, other = mann_whitney_test(a, b), mann_whitney_test(b, a)
    assert (one.low, one.effect, one.high) == pytest.approx((-other.high, -other.effect, -other.low), abs=1e-9)
    assert one.low <= one.effect <= one.high
    assert one.low < one.high


@pytest.mark.parametrize("shift", [0.0, 1.2, 2.0])
def test_mann_whitney_interval_covers_the_true_auc(shift):
    truth = 2 * stats.norm.cdf(shift / math.sqrt(2)) - 1

    def inside(generator):
        result = mann_whitney_test(generator.normal(shift, 1, 18), generator.normal(0, 1, 12))
        return result.low <= truth <= result.high

    assert SIMULATED["low"] <= share_of_hits(inside) <= SIMULATED["high"]


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


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=15), st.floats(0.1, 4))
def test_paired_equivalence_equals_two_one_sided_t_tests(differences, margin):
    given_differences = np.array(differences)
    if given_differences.std() < 1e-6:
        return
    result = paired_equivalence_test(given_differences, margin)
    above = stats.ttest_1samp(given_differences, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(given_differences, margin, alternative="less").pvalue
    assert result.p == pytest.approx(max(above, below))
    assert result.equivalent == (-margin < result.low and result.high < margin)


def test_equivalence_worked_case():
    # 0.5 within ±2 at a standard error of 1: the nearer end is 1.5 errors away, P(Z > 1.5) = 0.0668.
    result = equivalence_test(0.5, 1.0, 2.0)
    assert result.p == pytest.approx(0.0668, abs=1e-4)
    assert not result.equivalent
    assert equivalence_test(0.5, 0.5, 2.0).equivalent


def test_rank_correlation_worked_cases():
    # Squared rank differences 0, 1, 1, 0 add up to 2: rho = 1 − 6 · 2 / (4 · 15).
    assert rank_correlation([1, 2, 3, 4], [10, 30, 20, 40]).rho == pytest.approx(0.8)
    perfect = rank_correlation([1, 2, 3, 4], [1, 4, 9, 16])
    assert (perfect.rho, perfect.low, perfect.high) == (pytest.approx(1), None, None)
    assert perfect.p == pytest.approx(2 / 24)  # of 24 orders, the same and the reversed one


def test_rank_correlation_interval_covers_the_truth():
    # For normal pairs of correlation r, Spearman's rho is (6 / π) asin(r / 2).
    correlation = 0.6
    truth = 6 / math.pi * math.asin(correlation / 2)
    covariance = np.array([[1, correlation], [correlation, 1]])

    def inside(generator):
        x, y = generator.multivariate_normal([0, 0], covariance, 30).T
        result = rank_correlation(x, y)
        return result.low <= truth <= result.high

    assert SIMULATED["low"] <= share_of_hits(inside) <= SIMULATED["high"]


@given(st.integers(0, 30), st.integers(1, 30))
def test_wilson_equals_scipy(hits, trials):
    hits = min(hits, trials)
    reference = stats.binomtest(hits, trials).proportion_ci(method="wilson")
    assert wilson_interval(hits / trials, trials) == pytest.approx((reference.low, reference.high), abs=1e-9)


def test_prediction_bound_is_exceeded_as_seldom_as_it_says():
    generator = np.random.default_rng(2)
    samples = generator.normal(3, 2, (4000, 7))
    exceeded = [values[-1] > prediction_bound(values[:-1], 0.95) for values in samples]
    assert np.mean(exceeded) == pytest.approx(0.05, abs=0.012)  # three and a half deviations


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: signed_rank_test([0.0, 0.0]), "all 2 differences are 0"),
        (lambda: signed_rank_test([1.0, math.nan]), "1 values that are not finite"),
        (lambda: mann_whitney_test([1.0], [1.0, 2.0]), r"a has the shape \(1,\), expected one dimension and 2 or more"),
        (lambda: holm([0.5, 1.2]), r"lie in \[0, 1\], got 0.5 to 1.2"),
        (lambda: rank_correlation([1, 2, 3, 4], [1, 2, 3]), "y has the shape"),
        (lambda: rank_correlation([1, 2, 3, 4], [1, 2, 3, 4, 5]), "x has 4 values and y 5"),
        (lambda: rank_correlation([1, 1, 1, 1], [1, 2, 3, 4]), "x is 1.0 throughout"),
        (lambda: equivalence_test(0.0, 0.0, 1.0), "standard error 0.0"),
        (lambda: wilson_interval(1.2, 5), "share is 1.2, expected 0 to 1"),
        (lambda: wilson_interval(0.5, 0), "trials is 0"),
        (lambda: signed_rank_power(0.5, 0), "n_pairs is 0"),
        (lambda: mann_whitney_power(0.5, 0, 5), "samples of 0 and 5 values"),
        (lambda: signed_rank_detectable_effect(20, 0.3), "power is 0.3, expected 0.5 to 1"),
        (lambda: prediction_bound([1.0]), "2 or more values"),
    ],
)
def test_wrong_arguments_say_what_was_seen(call, message):
    with pytest.raises(ValueError, match=message):
        call()
