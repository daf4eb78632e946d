"""From a video's score to a probability with an interval, and to an outcome that may abstain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stf_mamba.core.numbers import require_finite
from stf_mamba.core.records import Float64Array, JsonRecord, Outcome
from stf_mamba.core.seeds import derive_seed
from stf_mamba.evaluation.metrics import Estimate, arrays, auc
from stf_mamba.evaluation.predictions import Predictions
from stf_mamba.evaluation.statistics.auc import area_under_roc
from stf_mamba.evaluation.statistics.resampling import (
    MIN_CLUSTERS,
    cluster_weights,
    groups_by_class,
    has_both,
    identity_clusters,
)

CONFIDENCE = 0.90
RESAMPLES = 500
DECISION = 0.5


@dataclass(frozen=True)
class Calibration(JsonRecord):
    """Logistic curves from a video's score to the probability of manipulation.

    The first curve is fitted to all calibration videos, the others to bootstrap resamples of their identity clusters:
    they give the interval. Both classes weigh the same in the fit, so the probability is that for a video which is as
    likely manipulated as not before it is looked at; another prior must be applied by the reader.

    Attributes:
        slopes, intercepts: of the curves; no slope is negative.
        n_real, n_fake, clusters: what the fit rests on.
        source: which videos, in words.
        auc, auc_low, auc_high: how well the score separates those videos, with its 95 % interval; where the epoch was
            chosen on them, cross-fitted.
    """

    slopes: tuple[float, ...]
    intercepts: tuple[float, ...]
    n_real: int
    n_fake: int
    clusters: int
    source: str
    auc: float
    auc_low: float
    auc_high: float

    def __post_init__(self) -> None:
        curves = require_finite("slopes and intercepts", [*self.slopes, *self.intercepts])
        if not 1 < len(self.slopes) == len(self.intercepts):
            raise ValueError(
                f"{len(self.slopes)} slopes and {len(self.intercepts)} intercepts, expected as many of both, 2 or more"
            )
        if curves[: len(self.slopes)].min() < 0:
            raise ValueError(f"slopes are not negative, got {min(self.slopes)}")

    @property
    def separates(self) -> bool:
        """Whether the score was shown to separate the calibration videos better than chance does."""
        return self.auc_low > DECISION

    def probability(self, score: float) -> tuple[float, tuple[float, float]]:
        """The probability of manipulation at a score, and its 90 % interval.

        Raises:
            ValueError: the score is not finite.
        """
        from scipy.special import expit

        require_finite("score", score)
        curves = expit(np.array(self.slopes) * score + np.array(self.intercepts))
        tail = 100 * (1 - CONFIDENCE) / 2
        low, high = np.percentile(curves[1:], [tail, 100 - tail])
        value = float(curves[0])
        return value, (min(float(low), value), max(float(high), value))

    def outcome(self, score: float) -> Outcome:
        """Manipulated or not flagged where the whole interval lies on one side of one half, else inconclusive.

        A score that was not shown to separate anything decides nothing: with a slope that cannot be negative, every
        low score would otherwise come out as "not flagged".
        """
        if not self.separates:
            return Outcome.INCONCLUSIVE
        _, (low, high) = self.probability(score)
        if low > DECISION:
            return Outcome.MANIPULATED
        if high < DECISION:
            return Outcome.NOT_FLAGGED
        return Outcome.INCONCLUSIVE


def fit_calibration(
    predictions: Predictions, source: str, separation: Estimate | None = None, resamples: int = RESAMPLES
) -> Calibration:
    """Calibrate on scores of videos by models that were not trained on them.

    Args:
        source: which videos, in words.
        separation: an AUC with interval that nothing was chosen by, such as ``cross_fitted_auc``, where the model was
            chosen on these same videos; ``None`` takes the AUC of the predictions.

    Raises:
        ValueError: the scored videos are of one class only, or one class shows fewer than four groups of people: an
            interval over them would be made up.
    """
    rows = predictions.scored()
    scores, labels = arrays(rows)
    n_fake = int(labels.sum())
    if n_fake in (0, len(rows)):
        raise ValueError(
            f"calibration needs both classes; scored are {len(rows) - n_fake} real and {n_fake} fake videos"
        )
    clusters = identity_clusters(rows)
    count = int(clusters.max()) + 1
    real_groups, fake_groups = groups_by_class(clusters, labels)
    if min(real_groups, fake_groups) < MIN_CLUSTERS:
        raise ValueError(
            f"calibration needs {MIN_CLUSTERS} groups of people in each class, the real videos show {real_groups} and "
            f"the fake {fake_groups}"
        )
    generator = np.random.default_rng(derive_seed("calibration", len(rows)))
    weightings = [np.ones(len(rows)), *cluster_weights(clusters, generator, resamples)]
    curves = [fit_logistic(scores, labels, weights) for weights in weightings if has_both(labels, weights)]
    if len(curves) == 1:
        raise ValueError(f"no resample of the {count} groups of people holds both classes; calibrate on more videos")
    separation = separation or auc(predictions)
    if separation.low is None or separation.high is None:
        raise ValueError(f"the separation has no interval: {separation}")
    interval = separation.value, separation.low, separation.high
    return Calibration(*_columns(curves), len(rows) - n_fake, n_fake, count, source, *interval)


def cross_fitted_auc(epochs: Sequence[Predictions]) -> Estimate:
    """AUC over videos on which the epoch was chosen, without the bonus of the choice.

    The best of many epochs looks better on the videos that it was chosen by than on others. Here each group of people
    is scored by the epoch that is best on all *other* groups (the earliest of equals), and its scores are standardised
    by theirs, so that scores of different epochs can be compared.

    Args:
        epochs: predictions of the same videos, one after each epoch.

    Raises:
        ValueError: no epochs, or one class only when a group is left out.
    """
    if not epochs:
        raise ValueError("no epochs to choose from")
    rows = epochs[0].scored()
    labels = arrays(rows)[1]
    scores = np.stack([arrays(epoch.scored())[0] for epoch in epochs])  # (epochs, N)
    clusters = identity_clusters(rows)
    held_out = np.empty(len(rows))
    for cluster in range(int(clusters.max()) + 1):
        inside = clusters == cluster
        others = ~inside
        if not has_both(labels[others], np.ones(int(others.sum()))):
            raise ValueError("without one group of people the videos are of one class only: too few to choose an epoch")
        weights = np.ones(int(others.sum()))
        best = int(np.argmax([area_under_roc(epoch[others], labels[others], weights) for epoch in scores]))
        spread = float(scores[best, others].std()) or 1.0
        held_out[inside] = (scores[best, inside] - scores[best, others].mean()) / spread
    held_out_rows = tuple(replace(row, score=float(score)) for row, score in zip(rows, held_out, strict=True))
    return auc(Predictions(held_out_rows, {}))


def fit_logistic(scores: Float64Array, labels: Float64Array, weights: Float64Array) -> tuple[float, float]:
    """Slope (never negative) and intercept of a class-balanced logistic curve with Platt's smoothed targets.

    The smoothing, (n⁺ + 1)/(n⁺ + 2) and 1/(n⁻ + 2), keeps the slope finite where the classes are separated.

    Raises:
        ValueError: a score, label or weight is not finite.

    Source: Platt, "Probabilistic Outputs for Support Vector Machines", 1999; Lin, Lin, Weng 2007.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    for name, values in (("scores", scores), ("labels", labels), ("weights", weights)):
        require_finite(name, values)
    n_fake, n_real = float(weights[labels == 1].sum()), float(weights[labels == 0].sum())
    targets = np.where(labels == 1, (n_fake + 1) / (n_fake + 2), 1 / (n_real + 2))
    balanced = weights / np.where(labels == 1, n_fake, n_real)
    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    inputs = (scores - centre) / spread

    def loss(curve: Float64Array) -> tuple[float, Float64Array]:
        logits = curve[0] * inputs + curve[1]
        error = balanced * (expit(logits) - targets)
        value = float((balanced * (np.logaddexp(0, logits) - targets * logits)).sum())
        return value, np.array([(error * inputs).sum(), error.sum()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, bounds=[(0, None), (None, None)], method="L-BFGS-B")
    slope = float(found.x[0]) / spread
    return slope, float(found.x[1]) - slope * centre


def _columns(curves: Sequence[tuple[float, float]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    slopes, intercepts = zip(*curves, strict=True)
    return slopes, intercepts
