"""DeLong against its definition by all pairs, and the paired bootstrap against what it promises."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stf_mamba.evaluation.statistics.auc import area_under_roc, auc_interval, delong_test, paired_auc_bootstrap
from stf_mamba.evaluation.statistics.resampling import bootstrap, cluster_weights


def placements(scores, labels):
    """For each fake the part of the reals below it, and for each real the part of the fakes above it, pair by pair."""
    fake, real = scores[labels == 1], scores[labels == 0]
    wins = (fake[:, None] > real[None]) + 0.5 * (fake[:, None] == real[None])  # (M, N)
    return wins.mean(axis=1), wins.mean(axis=0)


def covariance_by_pairs(a, b, labels):
    (fake_a, real_a), (fake_b, real_b) = placements(a, labels), placements(b, labels)
    return np.cov(fake_a, fake_b)[0, 1] / len(fake_a) + np.cov(real_a, real_b)[0, 1] / len(real_a)


@given(
    st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4), st.integers(0, 1)), min_size=4, max_size=30).filter(
        lambda rows: 2 <= sum(label for _, _, label in rows) <= len(rows) - 2
    )
)
def test_delong_equals_its_definition_with_ties(rows):
    a, b, labels = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    variance = (
        covariance_by_pairs(a, a, labels) + covariance_by_pairs(b, b, labels) - 2 * covariance_by_pairs(a, b, labels)
    )
    interval = auc_interval(a, labels)
    assert interval.auc == pytest.approx(area_under_roc(a, labels, np.ones(len(a))))
    assert interval.standard_error == pytest.approx(math.sqrt(max(0, covariance_by_pairs(a, a, labels))), abs=1e-7)
    difference = area_under_roc(a, labels, np.ones(len(a))) - area_under_roc(b, labels, np.ones(len(a)))
    if variance < 1e-12 and abs(difference) > 1e-12:
        with pytest.raises(ValueError, match="variance of 0"):
            delong_test(a, b, labels)
        return
    test = delong_test(a, b, labels)
    assert test.difference == pytest.approx(difference, abs=1e-12)
    if variance > 1e-12:
        assert test.standard_error == pytest.approx(math.sqrt(variance))
        assert test.p == pytest.approx(2 * stats.norm.sf(abs(difference) / math.sqrt(variance)))


def test_delong_worked_case():
    # Fakes 3, 1 against reals 2, 0. Parts below: 1 and 1/2; parts above: 1/2 and 1. Both variances are 1/8, halved.
    interval = auc_interval([3, 1, 2, 0], [1, 1, 0, 0])
    assert interval.auc == 0.75
    assert interval.standard_error == pytest.approx(math.sqrt(1 / 8))
    assert (interval.n_real, interval.n_fake) == (2, 2)


def test_perfect_separation_has_no_delong_interval():
    interval = auc_interval([2, 3, 0, 1], [1, 1, 0, 0])
    assert (interval.auc, interval.low, interval.high) == (1, None, None)
    with pytest.raises(ValueError, match="variance of 0, so DeLong's test does not exist"):
        delong_test([2, 3, 0, 1], [0, 1, 2, 3], [1, 1, 0, 0])
    alike = delong_test([2, 3, 0, 1], [20, 30, 0, 10], [1, 1, 0, 0])
    assert (alike.difference, alike.p) == (0, 1)


def test_delong_rejects_equal_detectors_as_often_as_it_says():
    # Two equally good detectors with a common part. 400 tests at 0.05 reject 20 times on average, deviation 4.4.
    rejected = 0
    for number in range(400):
        generator = np.random.default_rng(number)
        labels = np.repeat([0, 1], 40)
        common = labels + generator.normal(size=80)
        a, b = common + generator.normal(size=80), common + generator.normal(size=80)
        rejected += delong_test(a, b, labels).p < 0.05
    assert 7 <= rejected <= 34


def test_paired_bootstrap_profits_from_pairing():
    # Both detectors share each person's own shift; drawn apart, the difference would vary with it.
    generator = np.random.default_rng(0)
    clusters = np.arange(60) // 2
    labels = np.tile([0.0, 1.0], 30)
    common = 2 * generator.normal(size=60)
    a = common + labels + 0.1 * generator.normal(size=60)
    b = common + 0.8 * labels + 0.1 * generator.normal(size=60)
    paired = paired_auc_bootstrap(a, b, labels, clusters, np.random.default_rng(1))
    alone = bootstrap(
        lambda weights: np.array([area_under_roc(a, labels, weights)]),
        labels,
        cluster_weights(clusters, np.random.default_rng(1)),
    )
    assert paired.difference == pytest.approx(
        area_under_roc(a, labels, np.ones(60)) - area_under_roc(b, labels, np.ones(60))
    )
    assert paired.high - paired.low < 0.5 * np.ptp(np.percentile(alone, [2.5, 97.5]))
    assert paired.clusters == 30


def test_paired_bootstrap_covers_the_true_difference():
    # Normal scores d apart have an AUC of Φ(d / √2): here 1 and 0.5 deviations, in pairs of one person's videos.
    truth = stats.norm.cdf(1 / math.sqrt(2)) - stats.norm.cdf(0.5 / math.sqrt(2))
    hits = 0
    for number in range(150):
        generator = np.random.default_rng(number)
        labels = np.tile([0.0, 1.0], 40)
        a, b = generator.normal(size=80) + labels, generator.normal(size=80) + 0.5 * labels
        result = paired_auc_bootstrap(a, b, labels, np.arange(80) // 2, generator, resamples=200)
        hits += result.low <= truth <= result.high
    assert hits / 150 >= 0.89  # three deviations below 0.95


def test_one_detector_against_itself():
    generator = np.random.default_rng(3)
    labels = np.tile([0.0, 1.0], 10)
    scores = generator.normal(size=20) + labels
    same = paired_auc_bootstrap(scores, scores, labels, np.arange(20), generator, resamples=100)
    assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_few_groups_of_people_give_no_interval():
    generator = np.random.default_rng(4)
    labels = np.tile([0.0, 1.0], 6)
    result = paired_auc_bootstrap(generator.normal(size=12), labels, labels, np.arange(12) // 4, generator)
    assert (result.low, result.high, result.p, result.clusters) == (None, None, None, 3)


def test_wrong_arguments_say_what_was_seen():
    generator = np.random.default_rng(5)
    with pytest.raises(ValueError, match=r"got \[1.0\]"):
        auc_interval([1, 2], [1, 1])
    with pytest.raises(ValueError, match="1 real and 2 fake"):
        auc_interval([1, 2, 3], [0, 1, 1])
    with pytest.raises(ValueError, match="3 values for 4 labels"):
        delong_test([1, 2, 3], [1, 2, 3, 4], [0, 1, 0, 1])
    with pytest.raises(ValueError, match="1 of 4 values that are not finite"):
        auc_interval([1, 2, math.nan, 4], [0, 1, 0, 1])
    with pytest.raises(ValueError, match="3 cluster numbers for 4 labels"):
        paired_auc_bootstrap([1, 2, 3, 4], [1, 2, 3, 4], [0, 1, 0, 1], np.arange(3), generator)
