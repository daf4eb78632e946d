"""Intervals and equivalence against scipy, cases worked by hand, and simulations of what they promise."""

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
        (lambda: equivalence_test(0.0, 0.0, 1.0), "standard error 0.0"),
        (lambda: wilson_interval(1.2, 5), "share is 1.2, expected 0 to 1"),
        (lambda: wilson_interval(0.5, 0), "trials is 0"),
        (lambda: prediction_bound([1.0]), "2 or more values"),
    ],
)
def test_wrong_arguments_say_what_was_seen(call, message):
    with pytest.raises(ValueError, match=message):
        call()
