"""AUCs and what tells two of them apart: DeLong's variance, and bootstraps over groups of people.

DeLong takes every video for independent; where videos share people, the bootstrap over groups of people is the one to
believe, and DeLong's interval is too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from stf_mamba.core.records import FAKE, REAL, Float64Array, JsonRecord
from stf_mamba.metrics import CONFIDENCE, MIN_CLUSTERS, RESAMPLES, IntArray, area_under_roc, groups_by_class
from stf_mamba.statistics import finite_sample, normal_quantile


@dataclass(frozen=True)
class AucInterval(JsonRecord):
    """Area under the ROC curve with DeLong's standard error.

    Attributes:
        low, high: normal interval at ``confidence``, cut to [0, 1]; ``None`` where the classes are separated without
            an exception: the estimated variance is 0 then and an interval of no width would be wrong.
    """

    auc: float
    standard_error: float
    low: float | None
    high: float | None
    confidence: float
    n_real: int
    n_fake: int


@dataclass(frozen=True)
class DelongTest(JsonRecord):
    """Two AUCs on the same videos. ``difference`` is a − b, with a normal interval at ``confidence``.

    Attributes:
        z, p: two-sided; ``z`` is 0 and ``p`` 1 where both score sets order the videos alike.
    """

    auc_a: float
    auc_b: float
    difference: float
    standard_error: float
    low: float
    high: float
    confidence: float
    z: float
    p: float
    n_real: int
    n_fake: int


@dataclass(frozen=True)
class BootstrapDifference(JsonRecord):
    """The difference a − b of a figure on the same videos, with its interval over resampled groups of people.

    Attributes:
        low, high: percentile interval; ``None`` with fewer than ``metrics.MIN_CLUSTERS`` groups in a class.
        p: two-sided, from the share of resamples on the other side of 0; ``None`` together with the interval.
        resamples: those that held both classes.
    """

    value_a: float
    value_b: float
    difference: float
    low: float | None
    high: float | None
    confidence: float
    p: float | None
    n_real: int
    n_fake: int
    clusters: int
    resamples: int


def auc_interval(scores: npt.ArrayLike, labels: npt.ArrayLike, confidence: float = CONFIDENCE) -> AucInterval:
    """AUC of scores (N,) and labels (N,) with DeLong's interval, which takes every video for independent.

    Where videos share people, ``metrics.auc`` resamples groups of people instead.

    Raises:
        ValueError: lengths differ, a value is not finite, or a class has fewer than two videos.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 1988; Sun and Xu, IEEE Signal Processing Letters 2014.
    """
    areas, covariance, n_real, n_fake = _delong([scores], labels)
    area, error = float(areas[0]), math.sqrt(float(covariance[0, 0]))
    reach = normal_quantile(confidence) * error
    low, high = (max(0.0, area - reach), min(1.0, area + reach)) if error > 0 else (None, None)
    return AucInterval(area, error, low, high, confidence, n_real, n_fake)


def delong_test(
    scores_a: npt.ArrayLike, scores_b: npt.ArrayLike, labels: npt.ArrayLike, confidence: float = CONFIDENCE
) -> DelongTest:
    """DeLong's test of two correlated AUCs: scores (N,) of two detectors for the same videos with labels (N,).

    Every video counts as independent; ``paired_auc_bootstrap`` resamples groups of people.

    Raises:
        ValueError: as ``auc_interval``, or the AUCs differ while both variances are 0, so that no test exists.

    Source: as ``auc_interval``.
    """
    areas, covariance, n_real, n_fake = _delong([scores_a, scores_b], labels)
    difference = float(areas[0] - areas[1])
    # Rounding leaves a variance of about 1e-17 where both order the videos alike.
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    error = math.sqrt(variance) if variance > 1e-15 else 0.0
    if error == 0 and abs(difference) > 1e-12:
        raise ValueError(
            f"the AUCs {areas[0]:.4f} and {areas[1]:.4f} differ with an estimated variance of 0, so DeLong's test does "
            "not exist; compare them by a bootstrap over more videos"
        )
    z = difference / error if error > 0 else 0.0
    reach = normal_quantile(confidence) * error
    p = float(2 * stats.norm.sf(abs(z)))
    interval = difference - reach, difference + reach
    return DelongTest(float(areas[0]), float(areas[1]), difference, error, *interval, confidence, z, p, n_real, n_fake)


def paired_auc_bootstrap(
    scores_a: npt.ArrayLike,
    scores_b: npt.ArrayLike,
    labels: npt.ArrayLike,
    clusters: IntArray,
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
) -> BootstrapDifference:
    """Difference of two AUCs on the same videos, the same clusters (``metrics.identity_clusters``) drawn for both.

    Raises:
        ValueError: as ``paired_bootstrap``.
    """
    truth = _labels(labels)
    a, b = (_scores(name, scores, truth) for name, scores in (("scores_a", scores_a), ("scores_b", scores_b)))
    return paired_bootstrap(
        lambda weights: area_under_roc(a, truth, weights),
        lambda weights: area_under_roc(b, truth, weights),
        truth,
        clusters,
        cluster_weights(clusters, generator, resamples),
    )


def paired_bootstrap(
    figure_a: Callable[[Float64Array], float],
    figure_b: Callable[[Float64Array], float],
    labels: Float64Array,
    groups: IntArray,
    draws: Float64Array,
) -> BootstrapDifference:
    """Difference of two figures, each a function of the videos' weights (N,), over the same resamples.

    Args:
        groups: number (N,) of the group that each video belongs to; too few of them carry no interval.
        draws: weights (R, N) of ``cluster_weights`` or ``people_weights``.

    Raises:
        ValueError: lengths differ, or a class is missing.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentile intervals).
    """
    truth = _labels(labels)
    if len(groups) != len(truth):
        raise ValueError(f"{len(groups)} cluster numbers for {len(truth)} labels; one a video is expected")
    both = bootstrap(lambda weights: np.array([figure_a(weights), figure_b(weights)]), truth, draws)
    value_a, value_b = figure_a(np.ones(len(truth))), figure_b(np.ones(len(truth)))
    differences = both[:, 0] - both[:, 1]
    differences = differences[np.isfinite(differences)]
    low = high = p = None
    if min(groups_by_class(groups, truth)) >= MIN_CLUSTERS and len(differences) > 0:
        low, high = percentile_interval(differences)
        beyond = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
        p = min(1.0, 2 * (1 + beyond) / (1 + len(differences)))
    n_fake = int(truth.sum())
    counts = len(truth) - n_fake, n_fake, len(np.unique(groups)), len(differences)
    return BootstrapDifference(value_a, value_b, value_a - value_b, low, high, CONFIDENCE, p, *counts)


def bootstrap(
    figures: Callable[[Float64Array], Float64Array], labels: Float64Array, draws: Float64Array
) -> Float64Array:
    """F figures of each resample, (R', F); resamples that lack a class are left out.

    Args:
        figures: from the videos' weights (N,) to F figures; NaN for one that the resample cannot give.
        draws: the videos' weights in each resample, (R, N).

    Raises:
        ValueError: lengths differ, a class is missing, or no resample holds both.
    """
    truth = _labels(labels)
    if draws.shape[1] != len(truth):
        raise ValueError(
            f"resamples of {draws.shape[1]} videos for {len(truth)} labels; one weight a video is expected"
        )
    rows = [figures(weights) for weights in draws if weights[truth == FAKE].any() and weights[truth == REAL].any()]
    if not rows:
        raise ValueError(f"none of {len(draws)} resamples holds real and fake videos; there is too little to resample")
    return np.array(rows, dtype=np.float64)


def cluster_weights(clusters: IntArray, generator: np.random.Generator, resamples: int = RESAMPLES) -> Float64Array:
    """How often each video is drawn, (R, N), when as many clusters as there are are drawn with replacement.

    Args:
        clusters: cluster number (N,) of each video, from 0.
    """
    count = int(clusters.max()) + 1
    draws = generator.multinomial(count, np.full(count, 1 / count), size=resamples)  # (R, clusters)
    return draws[:, clusters].astype(np.float64)


def people_weights(
    identities: Sequence[Sequence[str]], generator: np.random.Generator, resamples: int = RESAMPLES
) -> Float64Array:
    """How often each video is drawn, (R, N), when people are drawn with replacement: the product over its people.

    For data in which swaps link nearly everybody, so that hardly any cluster is left to resample. It allows for what
    videos share through any of their people, and rather overstates than understates the uncertainty.

    Args:
        identities: the people of each video; where none is known, the video counts as a person of its own.

    Source: Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 2007.
    """
    casts = [tuple(dict.fromkeys(cast)) or (f"video {number}",) for number, cast in enumerate(identities)]
    people = {person: number for number, person in enumerate(sorted({p for cast in casts for p in cast}))}
    draws = generator.multinomial(len(people), np.full(len(people), 1 / len(people)), size=resamples)  # (R, people)
    columns = [draws[:, [people[person] for person in cast]].prod(axis=1) for cast in casts]
    return np.stack(columns, axis=1).astype(np.float64)


def percentile_interval(values: Float64Array, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The middle part of the values (R,) that holds ``confidence`` of them."""
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(values, [tail, 100 - tail]).tolist()
    return low, high


def _delong(score_sets: Sequence[npt.ArrayLike], labels: npt.ArrayLike) -> tuple[Float64Array, Float64Array, int, int]:
    """AUCs (K,), their covariance (K, K), and the numbers of real and fake videos, from mid-ranks."""
    truth = _labels(labels)
    scores = np.stack([_scores("scores", one, truth) for one in score_sets])  # (K, N)
    real, fake = scores[:, truth == REAL], scores[:, truth == FAKE]
    n, m = real.shape[1], fake.shape[1]
    if min(n, m) < 2:
        raise ValueError(f"DeLong's variance needs two videos of each class, got {n} real and {m} fake")
    ranks = stats.rankdata(np.concatenate([fake, real], axis=1), axis=1)
    above_reals = (ranks[:, :m] - stats.rankdata(fake, axis=1)) / n  # (K, m): part of the reals below each fake
    below_fakes = 1 - (ranks[:, m:] - stats.rankdata(real, axis=1)) / m  # (K, n): part of the fakes above each real
    covariance = np.atleast_2d(np.cov(above_reals)) / m + np.atleast_2d(np.cov(below_fakes)) / n
    return above_reals.mean(axis=1), covariance, n, m


def _scores(name: str, scores: npt.ArrayLike, labels: Float64Array) -> Float64Array:
    given = finite_sample(name, scores, 1)
    if len(given) != len(labels):
        raise ValueError(f"{name} has {len(given)} values for {len(labels)} labels; one a video is expected")
    return given


def _labels(labels: npt.ArrayLike) -> Float64Array:
    given = finite_sample("labels", labels, 1)
    counts = int((given == REAL).sum()), int((given == FAKE).sum())
    if sum(counts) != len(given) or 0 in counts:
        raise ValueError(f"labels must be 0 (real) and 1 (fake), both of them, got {np.unique(given).tolist()}")
    return given
