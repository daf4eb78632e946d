"""From the folds' predictions to figures with intervals: the summary, the comparison of two, and their picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from stf_mamba.core.numbers import require_finite
from stf_mamba.core.records import FAKE, REAL, Float64Array, Outcome
from stf_mamba.core.seeds import derive_seed
from stf_mamba.evaluation.fold_results import (
    Comparison,
    CrossValidation,
    FoldPredictions,
    FoldResult,
    Grouping,
    Rate,
    SeedResult,
    Summary,
    ThresholdRule,
)
from stf_mamba.evaluation.metrics import Estimate, arrays, estimate_of
from stf_mamba.evaluation.predictions import Prediction, Predictions
from stf_mamba.evaluation.statistics.auc import area_under_roc, delong_test
from stf_mamba.evaluation.statistics.intervals import CONFIDENCE, prediction_bound, wilson_interval
from stf_mamba.evaluation.statistics.resampling import (
    RESAMPLES,
    IntArray,
    bootstrap,
    cluster_weights,
    identity_clusters,
    paired_bootstrap,
    people_weights,
)

SPECIFICITY = 0.95


def summarise(
    recipe: str,
    dataset: str,
    select: str,
    folds: Sequence[FoldPredictions],
    rule: ThresholdRule = "specificity",
    grouping: Grouping = "components",
    not_analysable: Sequence[str] = (),
    resamples: int = RESAMPLES,
) -> CrossValidation:
    """The figures of all folds of all seeds. The folds of every seed must hold out the same videos.

    Raises:
        ValueError: no folds, a video held out twice or not by every seed, or a fold with videos of one class only.
    """
    results = [_fold_result(fold, rule) for fold in folds]
    scores = _out_of_fold(folds, results)
    rows = scores[0].rows
    labels, groups = arrays(rows)[1], _groups(rows, grouping)
    draws = _draws(rows, grouping, _generator("cross-validation", len(rows)), resamples)
    by_seed, estimates = _estimates(scores, _seeds(folds), _fold_numbers(rows, results), labels, groups, draws)
    flagged = np.array([[row.outcome is Outcome.MANIPULATED for row in of_seed.rows] for of_seed in scores])  # (S, N)
    detected, false_alarms = (
        _rate(name, flagged[:, labels == label], groups[labels == label])
        for name, label in (("detection rate", FAKE), ("false-positive rate", REAL))
    )
    per_seed = [of_seed.mean_fold_auc.value for of_seed in by_seed]
    summary = Summary(
        recipe=recipe,
        dataset=dataset,
        grouping=grouping,
        select=select,
        threshold_rule=rule,
        folds=len({fold.fold for fold in folds}),
        seeds=_seeds(folds),
        mean_fold_auc=estimates[0],
        pooled_auc=estimates[1],
        ensemble_auc=estimates[2],
        seed_deviation=float(np.std(per_seed, ddof=1)) if len(per_seed) > 1 else None,
        detection_rate=detected,
        false_positive_rate=false_alarms,
        control_rate=_control_rate(folds, results, grouping),
        by_seed=by_seed,
        by_fold=tuple(results),
        not_analysable=tuple(not_analysable),
    )
    return CrossValidation(summary, scores)


def compare(a: CrossValidation, b: CrossValidation, resamples: int = RESAMPLES) -> Comparison:
    """Compare two cross-validations on the same videos; each may have its own folds and seeds.

    Raises:
        ValueError: they did not hold out the same videos with the same labels, or by another grouping.
    """
    if a.summary.grouping != b.summary.grouping:
        raise ValueError(f"groupings are {a.summary.grouping!r} and {b.summary.grouping!r}; compare equal ones")
    rows = a.scores[0].rows
    labels, groups = arrays(rows)[1], _groups(rows, a.summary.grouping)
    names = a.summary.recipe, b.summary.recipe
    scores_a, scores_b = _aligned(a, rows), _aligned(b, rows)
    ensemble_a, ensemble_b = scores_a.mean(axis=0), scores_b.mean(axis=0)
    draws = _draws(rows, a.summary.grouping, _generator("comparison", *names), resamples)
    of_folds = paired_bootstrap(
        _mean_over_seeds(scores_a, labels, _fold_numbers(rows, a.summary.by_fold)),
        _mean_over_seeds(scores_b, labels, _fold_numbers(rows, b.summary.by_fold)),
        labels,
        groups,
        draws,
    )
    pooled = paired_bootstrap(_pooled(ensemble_a, labels), _pooled(ensemble_b, labels), labels, groups, draws)
    return Comparison(*names, of_folds, pooled, delong_test(ensemble_a, ensemble_b, labels))


def choose_threshold(
    scores: Float64Array, labels: Float64Array, rule: ThresholdRule, specificity: float = SPECIFICITY
) -> float:
    """The logit above which a video is flagged, chosen on scores (N,) and labels (N,) of validation videos.

    Args:
        rule: ``youden``: the largest detection rate minus false-positive rate, the highest of equals;
            ``specificity``: the lowest real score that at least this part of the real videos does not exceed (the
            highest one below 20 videos, which a further real video exceeds with a probability of 1 / (n + 1));
            ``predictive``: the upper end of the one-sided prediction interval for a further real video, if logits of
            real videos are normal.

    Raises:
        ValueError: a score is not finite, a class is missing, or ``predictive`` with fewer than two real videos.

    Source: Youden, Cancer 1950; Hahn and Meeker, "Statistical Intervals", 1991, section 4.8 (prediction).
    """
    require_finite("scores", scores)
    real = np.sort(scores[labels == REAL])
    fake = scores[labels == FAKE]
    if 0 in (len(real), len(fake)):
        raise ValueError(f"a threshold needs both classes, got {len(real)} real and {len(fake)} fake videos")
    if rule == "specificity":
        return float(real[math.ceil(specificity * len(real) - 1e-9) - 1])
    if rule == "predictive":
        return prediction_bound(real, specificity)
    values = np.unique(scores)
    candidates = np.r_[values[0] - 1, (values[:-1] + values[1:]) / 2, values[-1] + 1]
    gains = [(fake > candidate).mean() - (real > candidate).mean() for candidate in candidates]
    return float(candidates[len(gains) - 1 - int(np.argmax(gains[::-1]))])


def _fold_result(fold: FoldPredictions, rule: ThresholdRule) -> FoldResult:
    scores, labels = arrays(fold.test.scored())
    validation, truth = arrays(fold.validation.scored())
    for part, of_part in (("held-out", labels), ("inner validation", truth)):
        if not {REAL, FAKE} <= set(of_part.tolist()):
            raise ValueError(
                f"seed {fold.seed}, fold {fold.fold}: the scored {part} videos are "
                f"{int((of_part == REAL).sum())} real and {int((of_part == FAKE).sum())} fake; both are needed"
            )
    centre, spread = _scale(validation, truth)
    return FoldResult(
        seed=fold.seed,
        fold=fold.fold,
        epoch=fold.epoch,
        auc=area_under_roc(scores, labels, np.ones(len(scores))),
        validation_auc=area_under_roc(validation, truth, np.ones(len(truth))),
        threshold=choose_threshold(validation, truth, rule),
        centre=centre,
        spread=spread,
        n_real=int((labels == REAL).sum()),
        n_fake=int((labels == FAKE).sum()),
        video_ids=tuple(row.video_id for row in fold.test.scored()),
        split_sha256=fold.test.stamp.get("split_sha256", ""),
        weights_sha256=fold.test.stamp.get("weights_sha256", ""),
    )


def _scale(scores: Float64Array, labels: Float64Array) -> tuple[float, float]:
    """Mean and standard deviation with both classes weighing the same; the latter 1 where all scores are equal."""
    classes = [scores[labels == label] for label in (REAL, FAKE)]
    centre = float(np.mean([of_class.mean() for of_class in classes]))
    spread = math.sqrt(float(np.mean([((of_class - centre) ** 2).mean() for of_class in classes])))
    return centre, spread or 1.0


def _out_of_fold(folds: Sequence[FoldPredictions], results: Sequence[FoldResult]) -> tuple[Predictions, ...]:
    """Of each seed the standardised, thresholded scores of all held-out videos, in the order of their ids."""
    if not folds:
        raise ValueError("no folds to summarise")
    by_seed: dict[int, dict[str, Prediction]] = {seed: {} for seed in _seeds(folds)}
    for fold, result in zip(folds, results, strict=True):
        for row in fold.test.scored():
            if row.video_id in by_seed[fold.seed]:
                raise ValueError(f"{row.video_id} was held out twice with seed {fold.seed}; folds must not overlap")
            by_seed[fold.seed][row.video_id] = _standardised(row, result)
    ids = {seed: sorted(rows) for seed, rows in by_seed.items()}
    first = ids[folds[0].seed]
    for seed, of_seed in ids.items():
        if of_seed != first:
            raise ValueError(f"seeds {folds[0].seed} and {seed} held out different videos; use the same folds for both")
    of_a_fold = ("part", "videos", "split", "split_sha256", "weights_sha256", "seed", "fold", "epoch", "score")
    shared = {key: value for key, value in folds[0].test.stamp.items() if key not in of_a_fold}
    return tuple(
        Predictions(
            tuple(rows[video_id] for video_id in first),
            {
                **shared,
                "part": "held-out folds",
                "videos": str(len(first)),
                "score": "logit, standardised by each fold's inner validation videos; higher is more suspicious",
                "seed": str(seed),
            },
        )
        for seed, rows in by_seed.items()
    )


def _standardised(row: Prediction, result: FoldResult) -> Prediction:
    assert row.score is not None
    return Prediction(
        row.video_id,
        row.path,
        row.label,
        row.identities,
        row.method,
        row.compression,
        (row.score - result.centre) / result.spread,
        Outcome.MANIPULATED if row.score > result.threshold else Outcome.NOT_FLAGGED,
        row.n_clips,
    )


def _estimates(
    scores: Sequence[Predictions],
    seeds: Sequence[int],
    folds: IntArray,
    labels: Float64Array,
    groups: IntArray,
    draws: Float64Array,
) -> tuple[tuple[SeedResult, ...], tuple[Estimate, Estimate, Estimate]]:
    """Each seed's mean fold AUC and pooled AUC; their means over seeds and the AUC of the mean scores.

    One set of resamples serves them all, so that they can be compared.
    """
    matrix = _matrix(scores)  # (S, N)

    def figures(weights: Float64Array) -> Float64Array:
        of_folds = [mean_fold_auc(row, labels, weights, folds) for row in matrix]
        pooled = [area_under_roc(row, labels, weights) for row in matrix]
        ensemble = area_under_roc(matrix.mean(axis=0), labels, weights)
        return np.array([*of_folds, *pooled, np.mean(of_folds), np.mean(pooled), ensemble])

    values = figures(np.ones(len(labels)))  # (2 S + 3,)
    resampled = bootstrap(figures, labels, draws)  # (R, 2 S + 3)

    def estimate(name: str, index: int) -> Estimate:
        return estimate_of(name, float(values[index]), resampled[:, index], labels, groups)

    count = len(seeds)
    by_seed = tuple(
        SeedResult(seed, estimate("mean fold AUC", number), estimate("pooled AUC", count + number))
        for number, seed in enumerate(seeds)
    )
    means = (
        estimate("mean fold AUC, mean over seeds", 2 * count),
        estimate("pooled AUC, mean over seeds", 2 * count + 1),
        estimate("pooled AUC of the seeds' mean scores", 2 * count + 2),
    )
    return by_seed, means


def mean_fold_auc(scores: Float64Array, labels: Float64Array, weights: Float64Array, folds: IntArray) -> float:
    """Mean AUC of the folds (each of scores, labels, weights, fold numbers (N,)) that hold weight of both classes.

    NaN where no fold does.
    """
    areas = []
    for fold in np.unique(folds):
        inside = folds == fold
        if (weights * (labels == REAL))[inside].any() and (weights * (labels == FAKE))[inside].any():
            areas.append(area_under_roc(scores[inside], labels[inside], weights[inside]))
    return float(np.mean(areas)) if areas else math.nan


def _mean_over_seeds(scores: Float64Array, labels: Float64Array, folds: IntArray) -> Callable[[Float64Array], float]:
    return lambda weights: float(np.mean([mean_fold_auc(row, labels, weights, folds) for row in scores]))


def _pooled(scores: Float64Array, labels: Float64Array) -> Callable[[Float64Array], float]:
    return lambda weights: area_under_roc(scores, labels, weights)


def _control_rate(folds: Sequence[FoldPredictions], results: Sequence[FoldResult], grouping: Grouping) -> Rate | None:
    """Flagged part of the control's videos over all folds' models, each by its own threshold."""
    controls = [fold.control for fold in folds if fold.control is not None]
    if not controls:
        return None
    if len(controls) < len(folds):
        raise ValueError(f"{len(controls)} of {len(folds)} folds scored the control; all of them must")
    rows = [row for row in controls[0].rows if row.score is not None]
    ids = [row.video_id for row in rows]
    flagged = []
    for control, result in zip(controls, results, strict=True):
        scores = {row.video_id: row.score for row in control.rows if row.score is not None}
        if sorted(scores) != sorted(ids):
            raise ValueError(f"seed {result.seed}, fold {result.fold} scored other control videos than the first fold")
        flagged.append([scores[video_id] > result.threshold for video_id in ids])
    name = f"false-positive rate on {controls[0].stamp.get('dataset', 'the control')}"
    return _rate(name, np.array(flagged), _groups(rows, grouping))


def _rate(name: str, flagged: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], groups: IntArray) -> Rate:
    """The rate of ``flagged`` (models, videos). Its effective number of groups is Kish's, (Σ n)² / Σ n².

    Source: Kish, "Survey Sampling", 1965, section 8.2 (unequal clusters); Wilson, JASA 1927.
    """
    sizes = np.unique(groups, return_counts=True)[1]
    value = float(flagged.mean())
    low, high = wilson_interval(value, float(sizes.sum() ** 2 / (sizes**2).sum()))
    return Rate(name, value, low, high, CONFIDENCE, flagged.shape[1], len(sizes), flagged.shape[0])


def _groups(rows: Sequence[Prediction], grouping: Grouping) -> IntArray:
    """Number (N,) of the component of linked people, or of the person filmed, that each video belongs to."""
    if grouping == "components":
        return identity_clusters(rows)
    filmed = [row.identities[0] if row.identities else f"video {row.video_id}" for row in rows]
    return np.unique(filmed, return_inverse=True)[1]


def _draws(
    rows: Sequence[Prediction], grouping: Grouping, generator: np.random.Generator, resamples: int
) -> Float64Array:
    if grouping == "components":
        return cluster_weights(identity_clusters(rows), generator, resamples)
    return people_weights([row.identities for row in rows], generator, resamples)


def _aligned(cross: CrossValidation, rows: Sequence[Prediction]) -> Float64Array:
    """Standardised scores (S, N) in the order of the rows."""
    places = {(row.video_id, row.label): number for number, row in enumerate(cross.scores[0].rows)}
    missing = [row.video_id for row in rows if (row.video_id, row.label) not in places]
    if missing or len(places) != len(rows):
        raise ValueError(
            f"{cross.summary.recipe} was tested on {len(places)} videos, the other on {len(rows)}, of which "
            f"{len(missing)} are not among them with the same label; compare cross-validations of the same videos"
        )
    return _matrix(cross.scores)[:, [places[row.video_id, row.label] for row in rows]]


def _matrix(scores: Sequence[Predictions]) -> Float64Array:
    return np.stack([arrays(of_seed.rows)[0] for of_seed in scores])  # (S, N)


def _fold_numbers(rows: Sequence[Prediction], results: Sequence[FoldResult]) -> IntArray:
    """The fold (N,) that held each row out, which is the same for every seed."""
    held_out = {(video_id, result.fold) for result in results for video_id in result.video_ids}
    fold_of = dict(held_out)
    if len(fold_of) < len(held_out):
        raise ValueError(
            f"{len(held_out) - len(fold_of)} videos lie in another fold with another seed; use one set of folds"
        )
    return np.array([fold_of[row.video_id] for row in rows], dtype=np.intp)


def _seeds(folds: Sequence[FoldPredictions]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(fold.seed for fold in folds))


def _generator(*purpose: object) -> np.random.Generator:
    return np.random.default_rng(derive_seed(*purpose))
