"""Draws of people: what one draw weighs, and whether its interval covers the truth."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from stf_mamba.evaluation.statistics.auc import area_under_roc
from stf_mamba.evaluation.statistics.resampling import (
    bootstrap,
    identity_clusters,
    people_weights,
    percentile_interval,
)


def test_people_weights_multiply_over_a_videos_people():
    identities = [("a",), ("b",), ("a", "b"), ("c", "b"), ()]
    weights = people_weights(identities, np.random.default_rng(0), 500)
    a, b, ab, cb, unknown = weights.T
    assert (ab == a * b).all()
    assert (cb[b == 0] == 0).all()
    # Four people, the unknown one being her own, are drawn four times.
    c = 4 - a - b - unknown
    assert (cb == c * b).all()
    assert weights[:, [0, 1, 4]].mean(axis=0) == pytest.approx([1, 1, 1], abs=0.15)  # three deviations


def test_resampling_people_covers_the_truth_where_donors_link_everybody():
    # Real scores t + e, fake t + d + 1 + e: persons and donors have effects of their own, and each of six donors goes
    # with four of twenty people. The AUC of strangers is Φ(1 / √(2 (0.5 + 0.5) + 0.25)).
    truth = stats.norm.cdf(1 / math.sqrt(2 * (0.5 + 0.5) + 0.25))
    people, donors = np.arange(24) % 20, np.arange(24) % 6
    identities = [*((f"p{p}",) for p in range(20)), *((f"p{p}", f"d{d}") for p, d in zip(people, donors, strict=True))]
    labels = np.r_[np.zeros(20), np.ones(24)]
    hits = 0
    for number in range(150):
        generator = np.random.default_rng(number)
        person, donor = generator.normal(0, 0.5**0.5, 20), generator.normal(0, 0.5, 6)
        scores = np.r_[person, person[people] + donor[donors] + 1] + generator.normal(0, 0.5**0.5, 44)
        draws = people_weights(identities, generator, 200)
        areas = bootstrap(lambda weights, s=scores: np.array([area_under_roc(s, labels, weights)]), labels, draws)
        low, high = percentile_interval(areas[:, 0])
        hits += low <= truth <= high
    assert hits / 150 >= 0.89  # three deviations below 0.95


def test_people_link_videos_into_clusters():
    people = [("a",), ("b", "c"), ("c",), ("d",), (), ("a", "e"), ("e",)]
    clusters = identity_clusters([SimpleNamespace(identities=who) for who in people])
    same = {frozenset(np.flatnonzero(clusters == number).tolist()) for number in set(clusters.tolist())}
    assert same == {frozenset({0, 5, 6}), frozenset({1, 2}), frozenset({3}), frozenset({4})}
