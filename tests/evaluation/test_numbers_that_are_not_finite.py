"""NaN and infinity are refused at every door: a NaN score ties with the highest and would give an AUC of 1."""

import math

import numpy as np
import pytest

from stf_mamba.core.errors import RunError
from stf_mamba.core.records import Outcome, Verdict
from stf_mamba.evaluation.calibration import Calibration, fit_logistic
from stf_mamba.evaluation.fold_statistics import choose_threshold
from stf_mamba.evaluation.metrics import arrays
from stf_mamba.evaluation.predictions import COLUMNS, Prediction, Predictions
from stf_mamba.evaluation.statistics.auc import area_under_roc, auc_interval, delong_test, paired_auc_bootstrap
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
from stf_mamba.evaluation.statistics.resampling import bootstrap, paired_bootstrap, percentile_interval
from stf_mamba.evaluation.statistics.significance import holm, mann_whitney_test, rank_correlation, signed_rank_test
from stf_mamba.signals.table import COLUMNS as SIGNAL_COLUMNS
from stf_mamba.signals.table import SignalTable

NOT_FINITE = (math.nan, math.inf, -math.inf)
SCORES = np.array([0.1, 0.4, 0.35, 0.8, 0.2, 0.9])
LABELS = np.array([0.0, 0, 1, 1, 0, 1])
ONES = np.ones(6)


def with_bad(bad, values=SCORES):
    return np.r_[bad, values[1:]]


DOORS = {
    "area_under_roc, scores": lambda bad: area_under_roc(with_bad(bad), LABELS, ONES),
    "area_under_roc, labels": lambda bad: area_under_roc(SCORES, with_bad(bad, LABELS), ONES),
    "area_under_roc, weights": lambda bad: area_under_roc(SCORES, LABELS, with_bad(bad)),
    "auc_interval": lambda bad: auc_interval(with_bad(bad), LABELS),
    "auc_interval, confidence": lambda bad: auc_interval(SCORES, LABELS, bad),
    "delong_test": lambda bad: delong_test(SCORES, with_bad(bad), LABELS),
    "paired_auc_bootstrap": lambda bad: paired_auc_bootstrap(
        SCORES, with_bad(bad), LABELS, np.arange(6), np.random.default_rng(0), 10
    ),
    "paired_bootstrap": lambda bad: paired_bootstrap(
        lambda weights: bad, lambda weights: 0.5, LABELS, np.arange(6), np.ones((3, 6))
    ),
    "bootstrap": lambda bad: bootstrap(lambda weights: weights[:1], LABELS, with_bad(bad)[None]),
    "percentile_interval": lambda bad: percentile_interval(with_bad(bad)),
    "equivalence_test, difference": lambda bad: equivalence_test(bad, 0.1, 0.2),
    "equivalence_test, error": lambda bad: equivalence_test(0.1, bad, 0.2),
    "equivalence_test, margin": lambda bad: equivalence_test(0.1, 0.1, bad),
    "paired_equivalence_test": lambda bad: paired_equivalence_test(with_bad(bad), 0.2),
    "wilson_interval, share": lambda bad: wilson_interval(bad, 10),
    "wilson_interval, trials": lambda bad: wilson_interval(0.5, bad),
    "prediction_bound": lambda bad: prediction_bound(with_bad(bad)),
    "holm": lambda bad: holm(with_bad(bad)),
    "signed_rank_test": lambda bad: signed_rank_test(with_bad(bad)),
    "mann_whitney_test": lambda bad: mann_whitney_test(with_bad(bad), SCORES),
    "rank_correlation": lambda bad: rank_correlation(SCORES, with_bad(bad)),
    "signed_rank_power": lambda bad: signed_rank_power(bad, 10),
    "signed_rank_detectable_effect": lambda bad: signed_rank_detectable_effect(10, bad),
    "mann_whitney_power": lambda bad: mann_whitney_power(bad, 5, 5),
    "mann_whitney_detectable_auc": lambda bad: mann_whitney_detectable_auc(5, 5, bad),
    "choose_threshold": lambda bad: choose_threshold(with_bad(bad), LABELS, "youden"),
    "fit_logistic, scores": lambda bad: fit_logistic(with_bad(bad), LABELS, ONES),
    "fit_logistic, weights": lambda bad: fit_logistic(SCORES, LABELS, with_bad(bad)),
    "a calibration's slopes": lambda bad: calibration(slopes=(1.0, bad)),
    "a calibration's score": lambda bad: calibration().probability(bad),
    "a calibration's score, for an outcome": lambda bad: calibration().outcome(bad),
    "a prediction": lambda bad: prediction(bad),
}


def prediction(score):
    return Prediction("d/m/a", "a.mp4", 1, (), None, None, score, Outcome.INCONCLUSIVE, 1)


def calibration(slopes=(1.0, 1.0)):
    return Calibration(slopes, (0.0, 0.0), 5, 5, 10, "worked by hand", 0.9, 0.8, 1.0)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("bad", NOT_FINITE)
def test_every_door_refuses(door, bad):
    with pytest.raises(ValueError, match=r"finite|expected"):
        DOORS[door](bad)


def test_the_message_counts_and_finds_them():
    with pytest.raises(ValueError, match=r"scores holds 2 of 6 values that are not finite, the first at 1 \(nan\)"):
        area_under_roc(np.array([0, math.nan, 1, math.inf, 2, 3]), LABELS, ONES)
    with pytest.raises(ValueError, match="the score of d/m/a is inf"):
        prediction(math.inf)


def test_a_row_without_a_score_is_no_number():
    with pytest.raises(ValueError, match="scores holds 1 of 2 values"):
        arrays([prediction(0.5), prediction(None)])


@pytest.mark.parametrize("written", ["nan", "inf", "-Infinity"])
def test_tables_with_such_numbers_are_refused_with_their_line(tmp_path, written):
    path = tmp_path / "predictions.csv"
    path.write_text(f"{','.join(COLUMNS)}\na,a.mp4,1,,,,{written},inconclusive,1\n")
    with pytest.raises(RunError, match=r"line 2 does not parse: the score of a is -?(nan|inf)"):
        Predictions.load(path)
    row = dict.fromkeys(SIGNAL_COLUMNS, "") | {"video_id": "a", "signal": "flicker", "value": written, "n_clips": "1"}
    path.write_text(f"{','.join(SIGNAL_COLUMNS)}\n{','.join(row.values())}\n")
    with pytest.raises(RunError, match=r"line 2 does not parse: flicker of a is -?(nan|inf)"):
        SignalTable.load(path)


def test_a_record_that_json_has_no_word_for_is_not_written(tmp_path):
    verdict = Verdict(Outcome.MANIPULATED, math.nan, None, ("because",))
    with pytest.raises(ValueError, match="not JSON compliant"):
        verdict.save(tmp_path / "verdict.json")
    assert list(tmp_path.iterdir()) == []
