"""The AUC's mean over seeds, with one interval for all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stf_mamba.auc_statistics import bootstrap, cluster_weights, percentile_interval
from stf_mamba.core.records import Float64Array
from stf_mamba.core.seeds import derive_seed
from stf_mamba.metrics import (
    CONFIDENCE,
    MIN_CLUSTERS,
    RESAMPLES,
    Estimate,
    area_under_roc,
    arrays,
    groups_by_class,
    identity_clusters,
)
from stf_mamba.predictions import Predictions


def mean_auc(predictions: Sequence[Predictions], resamples: int = RESAMPLES) -> Estimate:
    """Mean over seeds of the AUC on the same videos, bootstrapped over identity clusters, one draw for all seeds.

    Of one seed it is ``metrics.auc``.

    Raises:
        ValueError: no predictions, seeds that scored different videos, or videos of one class only.
    """
    matrix, labels, clusters = _aligned(predictions)
    count = int(clusters.max()) + 1

    def figure(weights: Float64Array) -> Float64Array:
        return np.array([np.mean([area_under_roc(scores, labels, weights) for scores in matrix])])

    generator = np.random.default_rng(derive_seed("bootstrap", "AUC", len(labels)))  # the draws of metrics.auc
    value = float(figure(np.ones(len(labels)))[0])
    values = bootstrap(figure, labels, cluster_weights(clusters, generator, resamples))[:, 0]
    by_class = groups_by_class(clusters, labels)
    low, high = percentile_interval(values) if min(by_class) >= MIN_CLUSTERS else (None, None)
    n_fake = int(labels.sum())
    return Estimate("AUC", value, low, high, CONFIDENCE, len(labels) - n_fake, n_fake, count, *by_class)


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
    return np.array(matrix, np.float64), labels, identity_clusters(rows)
