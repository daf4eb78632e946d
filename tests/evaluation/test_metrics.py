"""Figures against scikit-learn, cases worked by hand, and a simulation of the interval."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from stf_mamba.core.records import Outcome
from stf_mamba.evaluation.metrics import auc, average_precision, equal_error_rate
from stf_mamba.evaluation.predictions import Prediction, Predictions
from stf_mamba.evaluation.statistics.auc import area_under_roc
from stf_mamba.evaluation.statistics.resampling import MIN_CLUSTERS

FEW = 10  # resamples, where the figure itself is what matters


def predictions_of(scores, labels, identities=None):
    identities = identities or [(f"person {number}",) for number in range(len(scores))]
    rows = [
        Prediction(f"d/m/{number}", "p", int(label), people, None, None, score, Outcome.INCONCLUSIVE, 1)
        for number, (score, label, people) in enumerate(zip(scores, labels, identities, strict=True))
    ]
    return Predictions(tuple(rows), {})


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 4)), min_size=2, max_size=40).filter(
        lambda rows: len({label for _, label, weight in rows if weight}) == 2
    )
)
def test_auc_equals_scikit_learn_with_ties_and_weights(rows):
    scores, labels, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    assert area_under_roc(scores, labels, weights) == pytest.approx(
        roc_auc_score(labels, scores, sample_weight=weights), abs=1e-12
    )


def test_worked_case():
    # Fakes 3, 2, 1 against reals 2, 0: of six pairs four and a half are in order.
    predictions = predictions_of([3, 2, 1, 2, 0], [1, 1, 1, 0, 0])
    assert auc(predictions).value == pytest.approx(4.5 / 6)


def test_equal_error_rate_worked_case():
    # At a threshold between 1 and 2 one of four reals is flagged and one of four fakes is missed.
    predictions = predictions_of([0, 1, 1, 4, 0, 2, 3, 5], [0, 0, 0, 0, 1, 1, 1, 1])
    assert equal_error_rate(predictions, FEW).value == pytest.approx(0.25)
    separated = predictions_of([0, 1, 2, 3], [0, 0, 1, 1])
    assert equal_error_rate(separated, FEW).value == pytest.approx(0.0)


def test_average_precision_worked_case():
    # Ranking fake, real, fake: precision 1 at the first hit and 2/3 at the second.
    assert average_precision(predictions_of([3, 2, 1], [1, 0, 1]), FEW).value == pytest.approx((1 + 2 / 3) / 2)


def test_interval_widens_when_videos_share_people():
    generator = np.random.default_rng(0)
    person = np.repeat(np.arange(20), 10)
    effect = generator.normal(size=20)[person]
    labels = person % 2
    scores = labels + effect + 0.1 * generator.normal(size=200)
    together = auc(predictions_of(scores, labels, [(str(p),) for p in person]))
    apart = auc(predictions_of(scores, labels))
    assert together.value == apart.value
    assert together.clusters == 20
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    # Normal scores one deviation apart have an AUC of Φ(1/√2) = 0.7602. With 200 simulations of a 95 % interval the
    # count of hits has a standard deviation of about 3 of 200; 0.90 is three of them below 0.95.
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        labels = np.repeat([0, 1], 40)
        interval = auc(predictions_of(generator.normal(size=80) + labels, labels), resamples=200)
        hits += interval.low <= 0.7602 <= interval.high
    assert hits / 200 >= 0.90


def test_few_people_give_no_interval():
    people = [(str(number % (MIN_CLUSTERS - 1)),) for number in range(12)]
    estimate = auc(predictions_of(range(12), [0, 1] * 6, people))
    assert estimate.low is None
    assert "no interval" in str(estimate)


def test_the_scarcer_class_must_have_enough_people():
    # Eight strangers are real, and all fakes show one of two people, as where swaps link everybody.
    people = [(f"stranger {i}",) for i in range(8)] + [(f"star {i % 2}",) for i in range(8)]
    estimate = auc(predictions_of(range(16), [0] * 8 + [1] * 8, people))
    assert (estimate.clusters, estimate.clusters_real, estimate.clusters_fake) == (10, 8, 2)
    assert estimate.low is None


def test_one_class_is_an_error():
    with pytest.raises(ValueError, match="needs both classes; scored are 2 real and 0 fake"):
        auc(predictions_of([1, 2], [0, 0]))
