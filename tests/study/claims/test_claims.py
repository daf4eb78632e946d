"""Strong, absent and inverted differences get the verdicts they should."""

import pytest

from fabricated_study import fabricated_study
from stf_mamba.study.claims import rules as claim_rules
from stf_mamba.study.claims.claims import judge_claims, smoothed_minimum
from stf_mamba.study.claims.comparisons import compare_rows
from stf_mamba.study.claims.rules import ClaimVerdict

B0, B4, BIGRU = "frame-efficientnet-b0", "frame-efficientnet-b4", "bigru-efficientnet-b0"


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch):
    """The verdicts here rest on tests of ranks; the intervals beside them may be coarse."""
    monkeypatch.setattr("stf_mamba.signals.comparison.RESAMPLES", 100)


def verdicts(root, separation, **options):
    study = fabricated_study(root, separation=separation, **options)
    return {claim.key: claim for claim in judge_claims(study, compare_rows(study, 200))}


@pytest.mark.parametrize(
    ("b0", "b4", "expected"),
    [(6.0, 0.0, ClaimVerdict.SUPPORTED), (0.0, 6.0, ClaimVerdict.REFUTED), (0.5, 0.5, ClaimVerdict.UNDECIDED)],
)
def test_a_difference_is_judged_by_its_corrected_test(tmp_path, b0, b4, expected):
    claims = verdicts(tmp_path, {B0: b0, B4: b4, BIGRU: b0}, with_signals=False)
    assert claims["b4-below-b0"].verdict is expected
    assert "detectable" in claims["b4-below-b0"].because
    assert claims["hydra-beats-gru"].verdict is ClaimVerdict.NOT_RUN
    assert "‘V8.0, bidirectional GRU × 2’" in claims["hydra-beats-gru"].because
    assert claims["signals-fail"].verdict is ClaimVerdict.NOT_RUN


@pytest.mark.parametrize(
    ("distance", "separates"),
    [(8.0, ClaimVerdict.SUPPORTED), (-8.0, ClaimVerdict.REFUTED), (0.0, ClaimVerdict.UNDECIDED)],
)
def test_what_a_stand_in_can_and_cannot_decide(tmp_path, distance, separates):
    claims = verdicts(tmp_path, {"v8": distance, "gattu": 0.0})
    assert claims["variance-separates"].verdict is separates
    assert "vit_miniature standing in for dinov2_vitb14" in claims["variance-separates"].because
    assert claims["v8-target"].verdict is ClaimVerdict.NOT_RUN
    assert "standing in" in claims["v8-target"].because
    assert "0.9" in claims["v8-target"].because
    assert claims["signals-fail"].verdict is ClaimVerdict.REFUTED


def test_claims_of_arithmetic():
    least, at = smoothed_minimum(0.1)
    assert (least, at) == (pytest.approx(0.1985, abs=1e-4), pytest.approx(0.95, abs=1e-3))


def test_parameters_are_counted_and_keys_are_unique(tmp_path):
    study = fabricated_study(tmp_path, separation={"v8": 1.0}, with_signals=False)
    claims = judge_claims(study, ())
    assert len({claim.key for claim in claims}) == len(claims)
    assert "14,180,352" in next(claim.because for claim in claims if claim.key == "trainable-parameters")


def test_figures_of_histories():
    history = tuple(
        {"phase": epoch // 2, "validation_auc": auc, "validation_loss": 1 + 0.1 * epoch, "log_variance_gap": 0.2}
        for epoch, auc in enumerate([0.5, 0.6, 0.75, 0.7])
    )
    assert claim_rules.jump(history) == pytest.approx(0.15)
    assert claim_rules.trend(history, "validation_loss") == pytest.approx(0.3)
    assert claim_rules.last_gap(history) == 0.2
    assert claim_rules.jump(history[:2]) is None
    assert claim_rules.jump([{**epoch, "encoder_lr": 0.0} for epoch in history]) is None  # nothing was unfrozen
    low, high, _ = claim_rules.over_trainings([1.0, 3.0])
    assert (low, high) == (pytest.approx(2 - 12.7062, abs=1e-3), pytest.approx(2 + 12.7062, abs=1e-3))
