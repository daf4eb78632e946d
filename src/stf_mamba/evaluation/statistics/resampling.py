"""Bootstraps over groups of people: who belongs together, how often each group is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stf_mamba.core.checks import require_between
from stf_mamba.core.numbers import require_finite
from stf_mamba.core.records import FAKE, REAL, Float64Array, JsonRecord
from stf_mamba.datasets.splits import linked_groups
from stf_mamba.evaluation.predictions import Prediction
from stf_mamba.evaluation.statistics.intervals import CONFIDENCE, finite_sample

IntArray = npt.NDArray[np.intp]


RESAMPLES = 2000


# Resampling fewer groups of people than this, with real or with fake videos, says next to nothing about other people:
# no interval is given.
MIN_CLUSTERS = 4


@dataclass(frozen=True)
class BootstrapDifference(JsonRecord):
    """The difference a − b of a figure on the same videos, with its interval over resampled groups of people.

    Attributes:
        low, high: percentile interval; ``None`` with fewer than ``MIN_CLUSTERS`` groups in a class.
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
        ValueError: lengths differ, a class is missing, or a figure of all videos is not finite.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentile intervals).
    """
    truth = class_labels(labels)
    if len(groups) != len(truth):
        raise ValueError(f"{len(groups)} cluster numbers for {len(truth)} labels; one a video is expected")
    both = bootstrap(lambda weights: np.array([figure_a(weights), figure_b(weights)]), truth, draws)
    value_a, value_b = figure_a(np.ones(len(truth))), figure_b(np.ones(len(truth)))
    require_finite("the figures of all videos", [value_a, value_b])
    differences = both[:, 0] - both[:, 1]
    differences = differences[np.isfinite(differences)]
    p = None
    low, high = group_interval(differences, groups, truth)
    if low is not None:
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
        ValueError: lengths differ, a class is missing, no resample holds both, or a weight is not finite.
    """
    truth = class_labels(labels)
    require_finite("draws", draws)
    if draws.shape[1] != len(truth):
        raise ValueError(
            f"resamples of {draws.shape[1]} videos for {len(truth)} labels; one weight a video is expected"
        )
    rows = [figures(weights) for weights in draws if has_both(truth, weights)]
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


def has_both(labels: Float64Array, weights: Float64Array) -> bool:
    """Whether real and fake videos (N,) have weight."""
    return bool(weights[labels == FAKE].any() and weights[labels == REAL].any())


def group_interval(
    values: Float64Array, groups: IntArray, labels: Float64Array
) -> tuple[float, float] | tuple[None, None]:
    """Percentile interval at ``CONFIDENCE`` of a figure's resamples (R,), those left out that could not give it (NaN).

    None where there is no resample, or real or fake videos are of fewer than ``MIN_CLUSTERS`` groups.
    """
    given = values[np.isfinite(values)]
    if len(given) == 0 or min(groups_by_class(groups, labels)) < MIN_CLUSTERS:
        return None, None
    return percentile_interval(given)


def percentile_interval(values: Float64Array, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The middle part of the values (R,) that holds ``confidence`` of them.

    Raises:
        ValueError: no values, one that is not finite, or a confidence outside [0, 1].
    """
    require_between("confidence", confidence, 0, 1)
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(finite_sample("values", values, 1), [tail, 100 - tail]).tolist()
    return low, high


def class_labels(labels: npt.ArrayLike) -> Float64Array:
    given = finite_sample("labels", labels, 1)
    counts = int((given == REAL).sum()), int((given == FAKE).sum())
    if sum(counts) != len(given) or 0 in counts:
        raise ValueError(f"labels must be 0 (real) and 1 (fake), both of them, got {np.unique(given).tolist()}")
    return given


def identity_clusters(rows: Sequence[Prediction]) -> IntArray:
    """Cluster number (N,) of each row: rows that share a person, directly or through others, share a number."""
    return np.array(linked_groups([row.identities for row in rows]), dtype=np.intp)


def groups_by_class(clusters: IntArray, labels: Float64Array) -> tuple[int, int]:
    """How many clusters hold real videos, and how many hold fakes."""
    return len(np.unique(clusters[labels == REAL])), len(np.unique(clusters[labels == FAKE]))
