"""From predictions to figures with intervals. Video level, one score a video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stf_mamba.core.records import FAKE, REAL, Float64Array, JsonRecord
from stf_mamba.core.seeds import derive_seed
from stf_mamba.predictions import Prediction, Predictions

IntArray = npt.NDArray[np.intp]

CONFIDENCE = 0.95
RESAMPLES = 2000

# Resampling fewer groups of people than this, with real or with fake videos, says next to nothing about other people:
# no interval is given.
MIN_CLUSTERS = 4


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
    """
    return estimate("AUC", area_under_roc, predictions, resamples)


def average_precision(predictions: Predictions, resamples: int = RESAMPLES) -> Estimate:
    """Average precision with fakes as the positive class; depends on the share of fakes. Otherwise as ``auc``."""
    return estimate("AP", _average_precision, predictions, resamples)


def equal_error_rate(predictions: Predictions, resamples: int = RESAMPLES) -> Estimate:
    """The error rate where false alarms and misses are equally frequent. Otherwise as ``auc``."""
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
    """
    rows = predictions.scored()
    scores, labels = arrays(rows)
    n_fake = int(labels.sum())
    if n_fake in (0, len(rows)):
        raise ValueError(f"{name} needs both classes; scored are {len(rows) - n_fake} real and {n_fake} fake videos")
    clusters = identity_clusters(rows)
    count = int(clusters.max()) + 1
    generator = np.random.default_rng(derive_seed("bootstrap", name, len(rows)))
    draws = generator.multinomial(count, np.full(count, 1 / count), size=resamples)  # (R, clusters)
    values = []
    for weights in draws[:, clusters].astype(np.float64):  # (N,)
        if (weights * (labels == FAKE)).any() and (weights * (labels == REAL)).any():
            values.append(figure(scores, labels, weights))
    tail = 100 * (1 - CONFIDENCE) / 2
    by_class = groups_by_class(clusters, labels)
    enough = min(by_class) >= MIN_CLUSTERS and len(values) > 0
    low, high = np.percentile(values, [tail, 100 - tail]).tolist() if enough else (None, None)
    value = figure(scores, labels, np.ones(len(rows)))
    return Estimate(name, value, low, high, CONFIDENCE, len(rows) - n_fake, n_fake, count, *by_class)


def arrays(rows: Sequence[Prediction]) -> tuple[Float64Array, Float64Array]:
    """Scores and labels, each (N,), of rows that have both."""
    scores = np.array([row.score for row in rows], dtype=np.float64)
    labels = np.array([row.label for row in rows], dtype=np.float64)
    return scores, labels


def identity_clusters(rows: Sequence[Prediction]) -> IntArray:
    """Cluster number (N,) of each row: rows that share a person, directly or through others, share a number."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    people: dict[str, int] = {}
    links = [
        (number, people.setdefault(person, len(people))) for number, row in enumerate(rows) for person in row.identities
    ]
    size = len(rows) + len(people)
    row_nodes = [number for number, _ in links]
    person_nodes = [len(rows) + person for _, person in links]
    graph = coo_array((np.ones(len(links)), (row_nodes, person_nodes)), shape=(size, size))
    component = connected_components(graph, directed=False)[1][: len(rows)]
    return np.unique(component, return_inverse=True)[1]


def groups_by_class(clusters: IntArray, labels: Float64Array) -> tuple[int, int]:
    """How many clusters hold real videos, and how many hold fakes."""
    return len(np.unique(clusters[labels == REAL])), len(np.unique(clusters[labels == FAKE]))


def area_under_roc(scores: Float64Array, labels: Float64Array, weights: Float64Array) -> float:
    """Probability that a weighted random fake scores above a real, ties counting half (Mann-Whitney)."""
    order = np.argsort(scores, kind="stable")
    scores, real, fake = scores[order], (weights * (labels == REAL))[order], (weights * (labels == FAKE))[order]
    starts = np.flatnonzero(np.r_[True, np.diff(scores) > 0])  # first index of each run of equal scores
    real_at, fake_at = np.add.reduceat(real, starts), np.add.reduceat(fake, starts)
    real_below = np.cumsum(real_at) - real_at
    return float((fake_at * (real_below + real_at / 2)).sum() / (real.sum() * fake.sum()))


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
