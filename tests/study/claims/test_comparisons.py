"""Which rows are compared, on which videos, and with which correction."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fabricated_study import fabricated_study
from stf_mamba.evaluation.predictions import Predictions
from stf_mamba.evaluation.statistics.significance import holm
from stf_mamba.study.claims.comparisons import compare_rows, compare_two, declared_comparisons


@pytest.mark.parametrize("design", ["split", "folds"])
def test_declared_pairs_of_finished_rows_are_corrected_within_family_and_domain(tmp_path, design):
    study = fabricated_study(tmp_path, design)
    compared = compare_rows(study, 100)
    domains = {one.domain for one in compared}
    assert domains == ({"in-domain", "cross"} if design == "split" else {"in-domain"})
    expected = [pair for pair in declared_comparisons() if {*pair[1:]} <= study.finished.keys()]
    for domain in domains:
        here = [one for one in compared if one.domain == domain]
        assert [(one.family, one.a, one.b) for one in here] == expected
        backbones = [one for one in here if one.family == "backbones"]
        assert len(backbones) == 7
        assert [one.p_holm for one in backbones] == pytest.approx(holm([one.p for one in backbones]))
        assert [one.delong_p_holm for one in backbones] == pytest.approx(holm([one.delong_p for one in backbones]))
        (mixer,) = (one for one in here if one.family == "mixer")
        assert mixer.p_holm == mixer.p


def test_the_difference_is_that_of_the_seeds_mean_aucs_and_changes_sign_with_the_order(tmp_path):
    rows = fabricated_study(tmp_path, with_signals=False).finished
    a, b = rows["v8"], rows["gattu"]
    one, other = compare_two("x", a, b, "cross", 100), compare_two("x", b, a, "cross", 100)
    means = [
        np.mean([roc_auc_score([r.label for r in seed.rows], [r.score for r in seed.rows]) for seed in row.cross])
        for row in (a, b)
    ]
    assert [one.auc_a, one.auc_b] == pytest.approx(means)
    assert other.difference == pytest.approx(-one.difference)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))
    assert (other.p, other.delong_p) == pytest.approx((one.p, one.delong_p))


@pytest.mark.parametrize("design", ["split", "folds"])
def test_only_common_videos_are_compared(tmp_path, design):
    rows = fabricated_study(tmp_path, design, with_signals=False).finished
    a, b = rows["v8"], rows["gattu"]
    dropped = {row.video_id for row in b.in_domain[0].rows if row.label == 0 and row.video_id.endswith("000")}
    fewer = tuple(Predictions(tuple(r for r in p.rows if r.video_id not in dropped), p.stamp) for p in b.in_domain)
    cross = b.cross_validation and replace(b.cross_validation, scores=fewer)
    found = compare_two("x", a, replace(b, in_domain=fewer, cross_validation=cross), "in-domain", 50)
    assert (found.n_real, found.n_fake) == (15, 32)
    nothing = tuple(Predictions(tuple(r for r in p.rows if r.label == 1), p.stamp) for p in b.in_domain)
    assert compare_two("x", a, replace(b, in_domain=nothing), "in-domain", 50) is None


def test_rows_of_the_same_recipe_are_not_compared(tmp_path):
    study = fabricated_study(tmp_path, with_signals=False)
    rows = dict(study.finished)
    recipe = replace(rows["v8"].result.recipe, name="v8-mixer-gru", question="Is it another one?")
    rows["v8-mixer-gru"] = replace(rows["v8-mixer-gru"], result=replace(rows["v8"].result, recipe=recipe))
    families = [one.family for one in compare_rows(replace(study, finished=rows), 100)]
    assert "mixer" not in families
    assert "mixer" in [one.family for one in compare_rows(study, 100)]
