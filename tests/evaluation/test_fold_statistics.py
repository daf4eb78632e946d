"""Figures of out-of-fold scores on cases worked by hand and on simulated folds."""

from dataclasses import replace

import numpy as np
import pytest

from stf_mamba.core.records import Outcome
from stf_mamba.evaluation.fold_results import FoldPredictions
from stf_mamba.evaluation.fold_statistics import choose_threshold, compare, mean_fold_auc, summarise
from stf_mamba.evaluation.metrics import auc
from stf_mamba.evaluation.plots import plot_cross_validation
from stf_mamba.evaluation.predictions import Prediction, Predictions


def predictions_of(scores, labels, ids, person=lambda video_id: (f"person of {video_id}",)):
    rows = [
        Prediction(video_id, "p", int(label), person(video_id), None, None, float(score), Outcome.INCONCLUSIVE, 1)
        for score, label, video_id in zip(scores, labels, ids, strict=True)
    ]
    return Predictions(tuple(rows), {"dataset": "simulated"})


def simulated_folds(signal, seeds=(1, 2), folds=4, scale=lambda seed, fold: (0.0, 1.0), control=0.0):
    """Folds of ten people with a real and a fake video each; a fold's logits have an offset and scale of their own."""
    simulated = []
    for seed in seeds:
        for fold in range(1, folds + 1):
            generator = np.random.default_rng(100 * seed + fold)
            offset, factor = scale(seed, fold)
            labels = np.tile([0, 1], 10)
            ids = [f"v/{fold}/{number}" for number in range(20)]
            parts = [
                predictions_of(
                    offset + factor * (signal * labels + generator.normal(size=20)),
                    labels,
                    [name + video_id for video_id in ids],
                    person=lambda video_id: (str(int(video_id.rpartition("/")[2]) // 2) + video_id.rpartition("/")[0],),
                )
                for name in ("validation ", "")
            ]
            others = predictions_of(
                offset + factor * (control + generator.normal(size=6)), [0] * 6, [f"c/{number}" for number in range(6)]
            )
            simulated.append(FoldPredictions(seed, fold, 3, *parts, others))
    return simulated


def test_mean_fold_auc_worked_case():
    # Fold 1: the fake 2 against the reals 1 and 3, AUC 1/2. Fold 2: AUC 1. Fold 3 has no fake and no AUC.
    scores = np.array([2.0, 1.0, 3.0, 9.0, 8.0, 5.0])
    labels = np.array([1.0, 0.0, 0.0, 1.0, 0.0, 0.0])
    folds = np.array([1, 1, 1, 2, 2, 3])
    assert mean_fold_auc(scores, labels, np.ones(6), folds) == pytest.approx(0.75)
    # Without the real 3, fold 1 is in order; without fold 2's real, fold 1 is left.
    assert mean_fold_auc(scores, labels, np.array([1.0, 1, 0, 1, 1, 1]), folds) == pytest.approx(1)
    assert mean_fold_auc(scores, labels, np.array([1.0, 1, 1, 1, 0, 1]), folds) == pytest.approx(0.5)
    assert np.isnan(mean_fold_auc(scores, labels, np.array([1.0, 0, 0, 0, 0, 1]), folds))


def test_thresholds_worked_cases():
    scores = np.array([0.0, 1.0, 2.0, 3.0, 2.5, 4.0, 5.0, 6.0])
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    # Above 2: one of four reals, all fakes, gain 3/4. Above 3.5: no real, three fakes, 3/4 too, and the higher one.
    assert choose_threshold(scores, labels, "youden") == 3.5
    assert choose_threshold(scores, labels, "specificity") == 3  # with four reals the highest
    assert choose_threshold(scores, labels, "specificity", 0.75) == 2
    # Mean 1.5, deviation 1.291, Student's 95 % point with three degrees of freedom 2.353.
    assert choose_threshold(scores, labels, "predictive") == pytest.approx(1.5 + 2.3534 * 1.29099 * np.sqrt(1.25), 1e-4)
    with pytest.raises(ValueError, match="got 0 real and 2 fake"):
        choose_threshold(scores[4:6], labels[4:6], "youden")


@pytest.mark.parametrize("reals", [20, 100])
def test_specificity_rule_leaves_its_part_unflagged(reals):
    scores = np.r_[np.arange(reals, dtype=float), 1000]
    labels = np.r_[np.zeros(reals), 1]
    threshold = choose_threshold(scores, labels, "specificity")
    assert (scores[:reals] <= threshold).mean() == 0.95


def test_folds_with_other_scales_count_alike():
    plain = summarise("r", "d", "best", simulated_folds(1.5), resamples=20).summary
    scaled = summarise(
        "r", "d", "best", simulated_folds(1.5, scale=lambda seed, fold: (50.0 * fold - seed, 10.0**fold)), resamples=20
    ).summary
    for name in ("mean_fold_auc", "pooled_auc", "ensemble_auc", "control_rate", "detection_rate"):
        assert getattr(scaled, name).value == pytest.approx(getattr(plain, name).value), name
    raw = [
        row
        for fold in simulated_folds(1.5, (1,), scale=lambda seed, fold: (50.0 * fold, 1.0))
        for row in fold.test.rows
    ]
    assert (
        auc(Predictions(tuple(raw), {})).value < plain.by_seed[0].pooled_auc.value - 0.1
    )  # what pooling logits would do


def test_figures_are_those_of_the_folds():
    folds = simulated_folds(1.5)
    result = summarise("r", "d", "best", folds, resamples=50)
    by_hand = {seed: np.mean([auc(f.test).value for f in folds if f.seed == seed]) for seed in (1, 2)}
    assert [of_seed.mean_fold_auc.value for of_seed in result.summary.by_seed] == pytest.approx(list(by_hand.values()))
    assert result.summary.mean_fold_auc.value == pytest.approx(np.mean(list(by_hand.values())))
    assert result.summary.seed_deviation == pytest.approx(abs(by_hand[1] - by_hand[2]) / np.sqrt(2))
    assert result.summary.ensemble_auc.value == pytest.approx(auc(result.ensemble).value)
    mean = result.summary.mean_fold_auc
    assert mean.low < mean.value < mean.high
    assert (mean.n_real, mean.n_fake, mean.clusters) == (40, 40, 40)


def test_rates_worked_case():
    # One fold, threshold 3 (the highest real of validation): one of four reals and three of four fakes are flagged,
    # one of two control videos.
    ids = [f"v/{number}" for number in range(8)]
    labels = [0, 0, 0, 0, 1, 1, 1, 1]
    validation = predictions_of([0, 1, 2, 3, 4, 5, 6, 7], labels, [f"validation {i}" for i in ids])
    test = predictions_of([0, 1, 2, 3.5, 3, 5, 6, 7], labels, ids)
    control = predictions_of([3.1, -1], [0, 0], ["c/0", "c/1"])
    summary = summarise("r", "d", "best", [FoldPredictions(1, 1, 1, validation, test, control)], resamples=10).summary
    assert summary.false_positive_rate.value == 0.25
    assert summary.detection_rate.value == 0.75
    assert summary.control_rate.value == 0.5
    assert summary.control_rate.low < 0.2
    assert summary.control_rate.high > 0.8
    assert summary.seed_deviation is None


def test_videos_of_one_person_widen_the_rate():
    # 24 control videos, none flagged: of 24 people, of 4, and of 4 of whom one has 21.
    def highest(person):
        folds = [
            FoldPredictions(
                f.seed,
                f.fold,
                1,
                f.validation,
                f.test,
                predictions_of([-99] * 24, [0] * 24, [str(i) for i in range(24)], person),
            )
            for f in simulated_folds(1.0, (1,))
        ]
        rate = summarise("r", "d", "best", folds, resamples=5).summary.control_rate
        assert rate.value == 0
        return rate.high

    apart = highest(lambda video_id: (video_id,))
    together = highest(lambda video_id: (str(int(video_id) % 4),))
    uneven = highest(lambda video_id: (str(min(int(video_id), 3)),))
    assert apart == pytest.approx(1.96**2 / (24 + 1.96**2), abs=1e-3)
    assert together == pytest.approx(1.96**2 / (4 + 1.96**2), abs=1e-3)
    assert uneven > together


def test_interval_covers_what_the_folds_promise():
    # Fakes 1.2 deviations above reals: AUC Φ(1.2 / √2) = 0.8019 within any fold.
    hits = 0
    for number in range(60):
        folds = simulated_folds(1.2, seeds=(1000 + number,))
        mean = summarise("r", "d", "best", folds, resamples=100).summary.mean_fold_auc
        hits += mean.low <= 0.8019 <= mean.high
    assert hits >= 51  # 60 intervals of 95 % hold 57 on average, deviation 1.7; resampling 100 times costs a little


def test_comparison_finds_the_better_recipe_and_no_difference_to_itself():
    weak, strong = (
        summarise(name, "d", "best", simulated_folds(s), resamples=20) for name, s in (("weak", 0.3), ("strong", 1.5))
    )
    comparison = compare(strong, weak, resamples=200)
    difference = strong.summary.mean_fold_auc.value - weak.summary.mean_fold_auc.value
    assert comparison.mean_fold_auc.difference == pytest.approx(difference)
    assert comparison.mean_fold_auc.low > 0
    assert comparison.delong.p < 0.01
    assert comparison.ensemble_auc.value_a == pytest.approx(strong.summary.ensemble_auc.value)
    assert comparison.delong.difference == pytest.approx(comparison.ensemble_auc.difference)
    same = compare(weak, weak, resamples=50)
    assert (same.mean_fold_auc.difference, same.mean_fold_auc.p, same.delong.p) == (0, 1, 1)


def test_people_are_resampled_where_one_donor_links_everybody():
    linked = []
    for fold in simulated_folds(1.5, (1,)):
        rows = tuple(replace(r, identities=(*r.identities, "donor")) if r.label else r for r in fold.test.rows)
        linked.append(replace(fold, test=Predictions(rows, fold.test.stamp)))
    components = summarise("r", "d", "best", linked, resamples=100)
    people = summarise("r", "d", "best", linked, grouping="people", resamples=100)
    assert (components.summary.mean_fold_auc.clusters, components.summary.mean_fold_auc.low) == (1, None)
    mean = people.summary.mean_fold_auc
    assert (mean.clusters, mean.clusters_real, mean.clusters_fake) == (40, 40, 40)
    assert mean.low < mean.value < mean.high
    assert people.summary.false_positive_rate.groups == 40
    assert compare(people, people, resamples=50).mean_fold_auc.p == 1
    with pytest.raises(ValueError, match="groupings are 'people' and 'components'"):
        compare(people, components)


def test_comparison_needs_the_same_videos():
    four, three = (summarise("r", "d", "best", simulated_folds(1, folds=n), resamples=5) for n in (4, 3))
    with pytest.raises(ValueError, match="20 are not among them"):
        compare(four, three)
    with pytest.raises(ValueError, match="on 80 videos, the other on 60"):
        compare(three, four)


def test_folds_that_do_not_fit_together_are_refused():
    folds = simulated_folds(1.0)
    with pytest.raises(ValueError, match="held out different videos"):
        summarise("r", "d", "best", folds[:-1], resamples=5)
    with pytest.raises(ValueError, match="held out twice"):
        summarise("r", "d", "best", [*folds, folds[0]], resamples=5)
    with pytest.raises(ValueError, match="no folds"):
        summarise("r", "d", "best", [], resamples=5)
    only_real = Predictions(folds[0].test.rows[::2], {})
    one_class = FoldPredictions(1, 1, 1, folds[0].validation, only_real)
    with pytest.raises(ValueError, match="seed 1, fold 1: the scored held-out videos are 10 real and 0 fake"):
        summarise("r", "d", "best", [one_class], resamples=5)


def test_picture_shows_every_fold_the_mean_and_chance():
    results = [summarise(name, "d", "best", simulated_folds(s), resamples=50) for name, s in (("a", 0.3), ("b", 1.5))]
    axes = plot_cross_validation(results).axes[0]
    drawn = {line.get_label(): [] for line in axes.lines}
    for line in axes.lines:
        drawn[line.get_label()] += list(line.get_ydata())
    assert drawn["one fold of one seed"] == [fold.auc for result in results for fold in result.summary.by_fold]
    assert drawn["mean"] == [result.summary.mean_fold_auc.value for result in results]
    assert drawn["chance"] == [0.5, 0.5]
    assert [tick.get_text().splitlines()[0] for tick in axes.get_xticklabels()] == ["a", "b"]
