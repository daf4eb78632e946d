"""The study's declared comparisons between rows: difference of AUC, interval, corrected tests, detectable size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

from stf_mamba.core.records import FAKE, REAL, Float64Array, JsonRecord
from stf_mamba.core.seeds import derive_seed
from stf_mamba.evaluation.fold_results import CrossValidation
from stf_mamba.evaluation.fold_statistics import compare
from stf_mamba.evaluation.metrics import arrays
from stf_mamba.evaluation.predictions import Prediction, Predictions
from stf_mamba.evaluation.statistics.auc import area_under_roc, delong_test
from stf_mamba.evaluation.statistics.intervals import ALPHA, normal_quantile
from stf_mamba.evaluation.statistics.resampling import (
    RESAMPLES,
    BootstrapDifference,
    cluster_weights,
    identity_clusters,
    paired_bootstrap,
)
from stf_mamba.evaluation.statistics.significance import holm
from stf_mamba.study.results import FinishedRow, Study
from stf_mamba.study.rows import BASELINE, REFERENCE, ROWS

Domain = Literal["in-domain", "cross"]
DOMAINS: tuple[Domain, ...] = ("in-domain", "cross")
POWER = 0.8


@dataclass(frozen=True)
class RowComparison(JsonRecord):
    """Two rows on the same test videos; ``difference`` is ``auc_a`` − ``auc_b``.

    Attributes:
        family: what the comparison asks after; Holm's correction goes over a family within a domain.
        a, b: keys of the rows.
        auc_a, auc_b: mean over seeds; with the design ``folds`` mean over seeds and folds.
        low, high: percentile interval of the difference over groups of people; ``None`` with too few groups.
        p, p_holm: two-sided, of that bootstrap.
        delong_p, delong_p_holm: DeLong's test of the seeds' mean ranks (``folds``: of their mean standardised scores);
            it takes videos for independent. ``None`` where it does not exist.
        n_real, n_fake: the videos that both rows scored with every seed.
        detectable_difference: what a test at ``ALPHA`` finds with a power of 0.8, uncorrected, from the standard error
            that the interval's width implies; ``None`` where there is no interval.
    """

    family: str
    a: str
    b: str
    domain: Domain
    auc_a: float
    auc_b: float
    difference: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    delong_p: float | None
    delong_p_holm: float | None
    n_real: int
    n_fake: int
    detectable_difference: float | None


def compare_rows(study: Study, resamples: int = RESAMPLES) -> tuple[RowComparison, ...]:
    """The declared comparisons of the rows that finished, on the videos that both scored, family after family.

    Pairs with no real or no fake video in common are left out, and those that a budget or a stand-in made the same.
    """
    rows = study.finished
    pairs = [(family, rows[a], rows[b]) for family, a, b in declared_comparisons() if a in rows and b in rows]
    found = []
    for domain in DOMAINS:
        for family, a, b in pairs:
            compared = None if a.result.is_same_as(b.result) else compare_two(family, a, b, domain, resamples)
            found += [compared] if compared is not None else []
    return tuple(_corrected(found))


def declared_comparisons() -> tuple[tuple[str, str, str], ...]:
    """Family, row a and row b of every comparison that the study makes; nothing else is tested."""
    frame_level = [key for key, row in ROWS.items() if row.experiment == 2]
    cnns = [key for key in frame_level if ROWS[key].backbone == "supervised CNN"]
    vits = [key for key in frame_level if key not in cnns]
    pairs = [("backbones", key, BASELINE) for key in frame_level if key != BASELINE]
    pairs += [("backbones", vit, cnn) for vit in vits for cnn in cnns if cnn != BASELINE]
    pairs += [("temporal", "bigru-efficientnet-b0", BASELINE), ("capacity", "frame-efficientnet-b4", BASELINE)]
    pairs += [(row.varies, key, REFERENCE) for key, row in ROWS.items() if row.varies is not None]
    pairs += [("baselines", key, REFERENCE) for key in ("gattu", "sbi")]
    return tuple(pairs)


def compare_two(
    family: str, a: FinishedRow, b: FinishedRow, domain: Domain, resamples: int = RESAMPLES
) -> RowComparison | None:
    """Two finished rows on the videos that both scored with every seed, uncorrected; ``None`` without both classes."""
    of_a, of_b = (row.in_domain if domain == "in-domain" else row.cross for row in (a, b))
    rows = _common([*of_a, *of_b]) if of_a and of_b else []
    if {row.label for row in rows} != {REAL, FAKE}:
        return None
    if domain == "in-domain" and a.cross_validation is not None and b.cross_validation is not None:
        both = compare(_restricted(a.cross_validation, rows), _restricted(b.cross_validation, rows), resamples)
        figures, delong = both.mean_fold_auc, both.delong.p
        return _record(family, a.row.key, b.row.key, domain, figures, delong)
    labels, clusters = arrays(rows)[1], identity_clusters(rows)
    scores_a, scores_b = _matrix(of_a, rows), _matrix(of_b, rows)
    # One set of draws for all pairs on the same videos, so that exchanged rows give exchanged figures.
    generator = np.random.default_rng(derive_seed("row comparison", domain, len(rows)))
    draws = cluster_weights(clusters, generator, resamples)
    figures = paired_bootstrap(_mean_auc(scores_a, labels), _mean_auc(scores_b, labels), labels, clusters, draws)
    return _record(family, a.row.key, b.row.key, domain, figures, _delong_p(scores_a, scores_b, labels))


def _common(predictions: Sequence[Predictions]) -> list[Prediction]:
    """The rows, in the order of their ids, that every set of predictions scored."""
    shared = set.intersection(*({(row.video_id, row.label) for row in one.scored()} for one in predictions))
    return sorted((row for row in predictions[0].scored() if (row.video_id, row.label) in shared), key=_video_id)


def _video_id(row: Prediction) -> str:
    return row.video_id


def _restricted(cross: CrossValidation, rows: Sequence[Prediction]) -> CrossValidation:
    kept = {row.video_id for row in rows}
    scores = tuple(
        Predictions(tuple(sorted((row for row in one.rows if row.video_id in kept), key=_video_id)), one.stamp)
        for one in cross.scores
    )
    return CrossValidation(cross.summary, scores)


def _matrix(predictions: Sequence[Predictions], rows: Sequence[Prediction]) -> Float64Array:
    """Scores (S, N) in the order of the rows."""
    by_seed = [{row.video_id: row.score for row in one.scored()} for one in predictions]
    return np.array([[scores[row.video_id] for row in rows] for scores in by_seed], np.float64)


def _mean_auc(scores: Float64Array, labels: Float64Array) -> Callable[[Float64Array], float]:
    return lambda weights: float(np.mean([area_under_roc(of_seed, labels, weights) for of_seed in scores]))


def _delong_p(scores_a: Float64Array, scores_b: Float64Array, labels: Float64Array) -> float | None:
    """Of the seeds' mean ranks, because logits of two trainings need not share a scale."""
    ranks_a, ranks_b = (stats.rankdata(scores, axis=1).mean(axis=0) for scores in (scores_a, scores_b))
    try:
        return delong_test(ranks_a, ranks_b, labels).p
    except ValueError:  # fewer than two videos of a class, or separated without an exception: no test exists
        return None


def _record(
    family: str, a: str, b: str, domain: Domain, figures: BootstrapDifference, delong_p: float | None
) -> RowComparison:
    detectable = None
    if figures.low is not None and figures.high is not None:
        error = (figures.high - figures.low) / (2 * normal_quantile(figures.confidence))
        detectable = (normal_quantile(1 - ALPHA) + float(stats.norm.ppf(POWER))) * error
    return RowComparison(
        family=family,
        a=a,
        b=b,
        domain=domain,
        auc_a=figures.value_a,
        auc_b=figures.value_b,
        difference=figures.difference,
        low=figures.low,
        high=figures.high,
        p=figures.p,
        p_holm=None,
        delong_p=delong_p,
        delong_p_holm=None,
        n_real=figures.n_real,
        n_fake=figures.n_fake,
        detectable_difference=detectable,
    )


def _corrected(found: Sequence[RowComparison]) -> list[RowComparison]:
    """With Holm's correction within each family and domain, of each test by itself."""
    bootstrap = _holm_within([(one.family, one.domain) for one in found], [one.p for one in found])
    delong = _holm_within([(one.family, one.domain) for one in found], [one.delong_p for one in found])
    return [
        replace(one, p_holm=p, delong_p_holm=of_delong)
        for one, p, of_delong in zip(found, bootstrap, delong, strict=True)
    ]


def _holm_within(families: Sequence[tuple[str, str]], p_values: Sequence[float | None]) -> list[float | None]:
    adjusted: list[float | None] = [None] * len(p_values)
    for family in set(families):
        members = [(at, p) for at, p in enumerate(p_values) if families[at] == family and p is not None]
        if members:
            for (at, _), p in zip(members, holm([p for _, p in members]).tolist(), strict=True):
                adjusted[at] = p
    return adjusted
