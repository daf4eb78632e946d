"""Tests and intervals against scipy, brute force, cases worked by hand, and simulations of what they promise."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

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


def test_rank_correlation_worked_cases():
    # Squared rank differences 0, 1, 1, 0 add up to 2: rho = 1 − 6 · 2 / (4 · 15).
    assert rank_correlation([1, 2, 3, 4], [10, 30, 20, 40]).rho == pytest.approx(0.8)
    perfect = rank_correlation([1, 2, 3, 4], [1, 4, 9, 16])
    assert (perfect.rho, perfect.low, perfect.high) == (pytest.approx(1), None, None)
    assert perfect.p == pytest.approx(2 / 24)  # of 24 orders, the same and the reversed one


def test_the_p_value_of_few_pairs_counts_all_orders_ties_included():
    # Of the 24 orders of 4 pairs, only the two with rho = ±1 reach as far as the given one.
    assert rank_correlation([1, 2, 3, 4], [1, 4, 9, 16]).p == pytest.approx(2 / 24)
    # With ties on one side only 6 orders differ: {1, 2}, {1, 3}, {1, 4}, ... get the low value. Sums of the ranks of
    # the low pair are 3, 4, 5, 5, 6, 7: two of six are as far from 5 as 3 is, four as far as 4 is.
    assert rank_correlation([1, 2, 3, 4], [0, 0, 9, 9]).p == pytest.approx(2 / 6)
    assert rank_correlation([1, 2, 3, 4], [0, 9, 0, 9]).p == pytest.approx(4 / 6)


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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: signed_rank_test([0.0, 0.0]), "all 2 differences are 0"),
        (lambda: signed_rank_test([1.0, math.nan]), "1 of 2 values that are not finite"),
        (lambda: mann_whitney_test([1.0], [1.0, 2.0]), r"a has the shape \(1,\), expected one dimension and 2 or more"),
        (lambda: holm([0.5, 1.2]), r"lie in \[0, 1\], got 0.5 to 1.2"),
        (lambda: rank_correlation([1, 2, 3, 4], [1, 2, 3]), "y has the shape"),
        (lambda: rank_correlation([1, 2, 3, 4], [1, 2, 3, 4, 5]), "x has 4 values and y 5"),
        (lambda: rank_correlation([1, 1, 1, 1], [1, 2, 3, 4]), "x is 1.0 throughout"),
    ],
)
def test_wrong_arguments_say_what_was_seen(call, message):
    with pytest.raises(ValueError, match=message):
        call()
