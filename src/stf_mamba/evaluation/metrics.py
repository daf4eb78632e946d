"""From predictions to figures with intervals. Video level, one score a video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stf_mamba.core.numbers import require_finite
from stf_mamba.core.records import Float64Array, JsonRecord
from stf_mamba.core.seeds import derive_seed
from stf_mamba.evaluation.predictions import Prediction, Predictions
from stf_mamba.evaluation.statistics.auc import area_under_roc
from stf_mamba.evaluation.statistics.intervals import CONFIDENCE
from stf_mamba.evaluation.statistics.resampling import (
    RESAMPLES,
    IntArray,
    bootstrap,
    cluster_weights,
    group_interval,
    groups_by_class,
    has_both,
    identity_clusters,
)


@dataclass(frozen=True)
class Estimate(JsonRecord):
    """A figure with its bootstrap interval and what it rests on.

    Attributes:
        value: the figure on all videos.
        low, high: percentile interval at ``confidence``; ``None`` where there are too few clusters for one.
        clusters: groups of videos that share no person with another group; they are what is resampled.
        clusters_real, clusters_fake: how many of them hold real and fake videos; the scarcer carry the interval.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    confidence: float
    n_real: int
    n_fake: int
    clusters: int
    clusters_real: int
    clusters_fake: int

    def __str__(self) -> str:
        interval = "no interval" if self.low is None else f"[{self.low:.3f}, {self.high:.3f}]"
        real = f"{self.n_real} real videos of {self.clusters_real} groups of people"
        fake = f"{self.n_fake} fake of {self.clusters_fake}"
        return f"{self.name} {self.value:.3f} {interval} ({real}, {fake})"


def auc(predictions: Predictions, resamples: int = RESAMPLES) -> Estimate:
    """Area under the ROC curve, with a bootstrap interval over identity clusters.

    A cluster is a set of videos linked by shared people; where no identity is known, each video is its own.

    Raises:
        ValueError: the scored videos are of one class only.

    Example:
        >>> import stf_mamba as stf
        >>> from stf_mamba.core.records import Outcome
        >>> from stf_mamba.evaluation.predictions import Prediction, Predictions
        >>> rows = (Prediction(f"v{n}", "", n % 2, (), None, None, n, Outcome.INCONCLUSIVE, 1) for n in range(8))
        >>> stf.metrics.auc(Predictions(tuple(rows), {})).value  # 10 of the 16 pairs are in order
        0.625
    """
    return estimate("AUC", area_under_roc, predictions, resamples)


def average_precision(predictions: Predictions, resamples: int = RESAMPLES) -> Estimate:
    """Average precision with fakes as the positive class; depends on the share of fakes. Otherwise as ``auc``.

    Example:
        >>> import stf_mamba as stf
        >>> from stf_mamba.core.records import Outcome
        >>> from stf_mamba.evaluation.predictions import Prediction, Predictions
        >>> rows = (Prediction(f"v{n}", "", n % 2, (), None, None, n, Outcome.INCONCLUSIVE, 1) for n in range(8))
        >>> figure = stf.metrics.average_precision(Predictions(tuple(rows), {}))
        >>> round(figure.value, 4)  # mean of 1, 2/3, 3/5 and 4/7
        0.7095
    """
    return estimate("AP", _average_precision, predictions, resamples)


def equal_error_rate(predictions: Predictions, resamples: int = RESAMPLES) -> Estimate:
    """The error rate where false alarms and misses are equally frequent. Otherwise as ``auc``.

    Example:
        >>> import stf_mamba as stf
        >>> from stf_mamba.core.records import Outcome
        >>> from stf_mamba.evaluation.predictions import Prediction, Predictions
        >>> rows = (Prediction(f"v{n}", "", n % 2, (), None, None, n, Outcome.INCONCLUSIVE, 1) for n in range(8))
        >>> stf.metrics.equal_error_rate(Predictions(tuple(rows), {})).value  # at 4: two reals, two fakes
        0.5
    """
    return estimate("EER", _equal_error_rate, predictions, resamples)


def estimate(
    name: str,
    figure: Callable[[Float64Array, Float64Array, Float64Array], float],
    predictions: Predictions,
    resamples: int = RESAMPLES,
) -> Estimate:
    """A figure of (scores, labels, weights), each (N,), with its cluster bootstrap interval.

    A resample draws as many clusters as there are, with replacement; a video's weight is how often its cluster came.
    Resamples that lack a class have no figure and are left out.

    Raises:
        ValueError: the scored videos are of one class only.

    Example:
        >>> import stf_mamba as stf
        >>> from stf_mamba.core.records import Outcome
        >>> from stf_mamba.evaluation.predictions import Prediction, Predictions
        >>> rows = (Prediction(f"v{n}", "", n % 2, (), None, None, n, Outcome.INCONCLUSIVE, 1) for n in range(8))
        >>> def highest(scores, labels, weights):
        ...     return float(scores.max())
        >>> stf.metrics.estimate("highest score", highest, Predictions(tuple(rows), {})).value
        7.0
    """
    rows = predictions.scored()
    scores, labels = arrays(rows)
    n_fake = int(labels.sum())
    if n_fake in (0, len(rows)):
        raise ValueError(f"{name} needs both classes; scored are {len(rows) - n_fake} real and {n_fake} fake videos")
    clusters = identity_clusters(rows)
    generator = np.random.default_rng(derive_seed("bootstrap", name, len(rows)))
    draws = cluster_weights(clusters, generator, resamples)
    values = [figure(scores, labels, weights) for weights in draws if has_both(labels, weights)]
    return estimate_of(name, figure(scores, labels, np.ones(len(rows))), np.array(values), labels, clusters)


def estimate_of(name: str, value: float, values: Float64Array, labels: Float64Array, groups: IntArray) -> Estimate:
    """A figure of all videos as an estimate, with the interval of its resamples (R,) over groups of people (N,)."""
    low, high = group_interval(values, groups, labels)
    n_fake, count, by_class = int(labels.sum()), len(np.unique(groups)), groups_by_class(groups, labels)
    return Estimate(name, value, low, high, CONFIDENCE, len(labels) - n_fake, n_fake, count, *by_class)


def arrays(rows: Sequence[Prediction]) -> tuple[Float64Array, Float64Array]:
    """Scores and labels, each (N,), of rows that have both.

    Raises:
        ValueError: a row lacks its score or its label.
    """
    return require_finite("scores", [row.score for row in rows]), require_finite("labels", [row.label for row in rows])


def _average_precision(scores: Float64Array, labels: Float64Array, weights: Float64Array) -> float:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(labels, scores, sample_weight=weights))


def _equal_error_rate(scores: Float64Array, labels: Float64Array, weights: Float64Array) -> float:
    from sklearn.metrics import roc_curve

    false_alarm, hit, _ = roc_curve(labels, scores, sample_weight=weights, drop_intermediate=False)
    gap = false_alarm - (1 - hit)  # rises from -1 to 1 along the curve
    crossing = int(np.searchsorted(gap, 0))
    if crossing == 0:
        return float(false_alarm[0])
    rise = gap[crossing] - gap[crossing - 1]
    share = -gap[crossing - 1] / rise
    return float(false_alarm[crossing - 1] + share * (false_alarm[crossing] - false_alarm[crossing - 1]))


def mean_auc(predictions: Sequence[Predictions], resamples: int = RESAMPLES) -> Estimate:
    """Mean over seeds of the AUC on the same videos, bootstrapped over identity clusters, one draw for all seeds.

    Of one seed it is ``metrics.auc``.

    Raises:
        ValueError: no predictions, seeds that scored different videos, or videos of one class only.
    """
    matrix, labels, clusters = _aligned(predictions)

    def figure(weights: Float64Array) -> Float64Array:
        return np.array([np.mean([area_under_roc(scores, labels, weights) for scores in matrix])])

    generator = np.random.default_rng(derive_seed("bootstrap", "AUC", len(labels)))  # the draws of metrics.auc
    value = float(figure(np.ones(len(labels)))[0])
    values = bootstrap(figure, labels, cluster_weights(clusters, generator, resamples))[:, 0]
    return estimate_of("AUC", value, values, labels, clusters)


def _aligned(
    predictions: Sequence[Predictions],
) -> tuple[Float64Array, Float64Array, np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Scores (S, N), labels (N,) and cluster numbers (N,) in the first seed's order."""
    if not predictions:
        raise ValueError("no predictions to take a mean of; give one or more seeds'")
    rows = predictions[0].scored()
    ids = [row.video_id for row in rows]
    matrix = []
    for number, of_seed in enumerate(predictions):
        scores = {row.video_id: row.score for row in of_seed.scored()}
        if scores.keys() != set(ids):
            raise ValueError(
                f"seed number {number + 1} scored {len(scores)} videos, the first {len(ids)}, and not the same ones; "
                "keep the videos that every seed scored"
            )
        matrix.append([scores[video_id] for video_id in ids])
    labels = arrays(rows)[1]
    if not 0 < labels.sum() < len(labels):
        raise ValueError(f"AUC needs both classes; {int(labels.sum())} of {len(labels)} scored videos are fake")
    return require_finite("scores", matrix), labels, identity_clusters(rows)
