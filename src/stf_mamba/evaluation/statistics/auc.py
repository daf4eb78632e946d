"""AUCs and what tells two of them apart: DeLong's variance, and bootstraps over groups of people.

DeLong takes every video for independent; where videos share people, the bootstrap over groups of people is the one to
believe, and DeLong's interval is too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from stf_mamba.core.numbers import require_finite
from stf_mamba.core.records import FAKE, REAL, Float64Array, JsonRecord
from stf_mamba.evaluation.statistics.intervals import CONFIDENCE, finite_sample, normal_quantile
from stf_mamba.evaluation.statistics.resampling import (
    RESAMPLES,
    BootstrapDifference,
    IntArray,
    class_labels,
    cluster_weights,
    paired_bootstrap,
)


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
    """Difference of two AUCs on the same videos, the same clusters (``resampling.identity_clusters``) drawn for both.

    Raises:
        ValueError: as ``paired_bootstrap``.
    """
    truth = class_labels(labels)
    a, b = (_scores(name, scores, truth) for name, scores in (("scores_a", scores_a), ("scores_b", scores_b)))
    return paired_bootstrap(
        lambda weights: area_under_roc(a, truth, weights),
        lambda weights: area_under_roc(b, truth, weights),
        truth,
        clusters,
        cluster_weights(clusters, generator, resamples),
    )


def _delong(score_sets: Sequence[npt.ArrayLike], labels: npt.ArrayLike) -> tuple[Float64Array, Float64Array, int, int]:
    """AUCs (K,), their covariance (K, K), and the numbers of real and fake videos, from mid-ranks."""
    truth = class_labels(labels)
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


def area_under_roc(scores: Float64Array, labels: Float64Array, weights: Float64Array) -> float:
    """Probability that a weighted random fake scores above a real, ties counting half (Mann-Whitney).

    Raises:
        ValueError: a score, label or weight is not finite.
    """
    for name, values in (("scores", scores), ("labels", labels), ("weights", weights)):
        require_finite(name, values)
    order = np.argsort(scores, kind="stable")
    scores, real, fake = scores[order], (weights * (labels == REAL))[order], (weights * (labels == FAKE))[order]
    starts = np.flatnonzero(np.r_[True, np.diff(scores) > 0])  # first index of each run of equal scores
    real_at, fake_at = np.add.reduceat(real, starts), np.add.reduceat(fake, starts)
    real_below = np.cumsum(real_at) - real_at
    return float((fake_at * (real_below + real_at / 2)).sum() / (real.sum() * fake.sum()))
