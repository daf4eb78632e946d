"""A probability that means what it says, on a curve that never falls."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from stf_mamba.core.records import Outcome
from stf_mamba.evaluation.calibration import Calibration, cross_fitted_auc, fit_calibration, fit_logistic
from stf_mamba.evaluation.metrics import arrays, auc
from stf_mamba.evaluation.predictions import Prediction, Predictions
from stf_mamba.evaluation.statistics.auc import area_under_roc


def predictions_of(scores, labels, person=str):
    rows = [
        Prediction(f"d/m/{i}", "p", int(label), (person(i),), None, None, float(score), Outcome.INCONCLUSIVE, 1)
        for i, (score, label) in enumerate(zip(scores, labels, strict=True))
    ]
    return Predictions(tuple(rows), {})


def test_curve_equals_scikit_learn_where_smoothing_vanishes():
    generator = np.random.default_rng(0)
    labels = np.repeat([0.0, 1.0], [6000, 2000])
    scores = generator.normal(size=8000) + 1.5 * labels
    slope, intercept = fit_logistic(scores, labels, np.ones(8000))
    reference = LogisticRegression(C=np.inf, class_weight="balanced").fit(scores[:, None], labels)
    # Platt's targets differ from 0 and 1 by less than 1/2000, which moves the curve by about as much.
    assert slope == pytest.approx(reference.coef_[0, 0], rel=0.01)
    assert intercept == pytest.approx(reference.intercept_[0], abs=0.02)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(-50, 50), st.booleans()), min_size=3, max_size=30))
def test_slope_is_finite_and_never_negative(rows):
    scores, labels = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    if labels.min() == labels.max():
        return
    slope, intercept = fit_logistic(scores, labels, np.ones(len(rows)))
    assert np.isfinite([slope, intercept]).all()
    assert slope >= 0


def test_probability_is_calibrated_on_fresh_data():
    # Scores N(±1, 1) have the true log-odds 2 s for equal classes.
    generator = np.random.default_rng(2)
    labels = np.repeat([0, 1], 500)
    calibration = fit_calibration(predictions_of(generator.normal(size=1000) + 2 * labels - 1, labels), "simulated")
    for score in (-1.0, 0.0, 0.7):
        truth = 1 / (1 + np.exp(-2 * score))
        value, (low, high) = calibration.probability(score)
        assert abs(value - truth) < 0.06
        assert low <= value <= high
    assert calibration.outcome(3.0) is Outcome.MANIPULATED
    assert calibration.outcome(-3.0) is Outcome.NOT_FLAGGED
    assert calibration.outcome(0.0) is Outcome.INCONCLUSIVE


def test_little_evidence_abstains():
    scores, labels = [0.1, 0.3, 0.2, 0.4, 0.35, 0.15, 0.25, 0.2], [0, 1, 0, 1, 0, 1, 0, 1]
    calibration = fit_calibration(predictions_of(scores, labels), "eight videos")
    low, high = calibration.probability(0.3)[1]
    assert high - low > 0.1
    assert calibration.outcome(0.25) is Outcome.INCONCLUSIVE


def test_reversed_scores_carry_no_probability_but_a_half():
    generator = np.random.default_rng(3)
    labels = np.repeat([0, 1], 50)
    calibration = fit_calibration(predictions_of(-3 * labels + generator.normal(size=100), labels), "reversed")
    assert calibration.probability(10.0)[0] == pytest.approx(0.5, abs=0.02)
    assert not calibration.separates
    assert {calibration.outcome(score) for score in (-10.0, 0.0, 10.0)} == {Outcome.INCONCLUSIVE}


def test_survives_json():
    calibration = Calibration((1.0, 2.0), (0.0, 0.5), 3, 4, 5, "somewhere", 0.9, 0.8, 1.0)
    assert Calibration.from_json(calibration.to_json()) == calibration


def best_of(epochs):
    """The predictions of the epoch with the highest AUC, as a run keeps it."""
    return max(
        epochs, key=lambda predictions: area_under_roc(*arrays(predictions.rows), np.ones(len(predictions.rows)))
    )


def test_choosing_the_epoch_earns_no_separation():
    # No signal, twelve epochs whose scores correlate, eight groups of two real and two fake videos.
    generator = np.random.default_rng(5)
    labels = np.tile([0, 0, 1, 1], 8)
    naive = fitted = 0
    for _ in range(60):
        common = generator.normal(size=32)
        scores = [np.sqrt(0.5) * common + np.sqrt(0.5) * generator.normal(size=32) for _ in range(12)]
        epochs = [predictions_of(epoch, labels, person=lambda i: str(i // 4)) for epoch in scores]
        naive += auc(best_of(epochs), resamples=200).low > 0.5
        fitted += cross_fitted_auc(epochs).low > 0.5
    assert naive / 60 > 0.2
    # A sound 95 % interval is wrong this way 2.5 % of the time, with eight groups about 4 %: 9 of 60 is beyond 99.9 %.
    assert fitted <= 8


def test_cross_fitting_keeps_a_signal_that_is_there():
    generator = np.random.default_rng(6)
    labels = np.tile([0, 0, 1, 1], 8)
    scores = [(1 + epoch) * (4.0 * labels + generator.normal(size=32)) for epoch in range(3)]
    epochs = [predictions_of(epoch, labels, person=lambda i: str(i // 4)) for epoch in scores]
    assert cross_fitted_auc(epochs).value > 0.9
    assert fit_calibration(epochs[0], "three epochs", cross_fitted_auc(epochs)).separates


def test_too_little_to_calibrate_on():
    with pytest.raises(ValueError, match="both classes"):
        fit_calibration(predictions_of([1, 2, 3, 4], [1, 1, 1, 1]), "")
    with pytest.raises(ValueError, match="4 groups of people in each class, the real videos show 1"):
        fit_calibration(predictions_of([1, 2, 3, 4], [0, 1, 0, 1], person=lambda i: "ab"[i % 2]), "")
