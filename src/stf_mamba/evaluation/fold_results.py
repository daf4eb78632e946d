"""What a cross-validation found: every video's score by models that never saw its people, and figures of them.

Scores of different folds come from different models. Two figures deal with that, and both are given: the mean of the
folds' AUCs compares videos within a fold only; the pooled AUC compares all videos by standardised scores, as a detector
with one threshold for everything would.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import numpy as np

from stf_mamba.core.errors import RunError
from stf_mamba.core.records import JsonRecord, Outcome, load_record
from stf_mamba.evaluation.metrics import Estimate, arrays
from stf_mamba.evaluation.predictions import Predictions
from stf_mamba.evaluation.statistics.auc import DelongTest
from stf_mamba.evaluation.statistics.resampling import BootstrapDifference

ThresholdRule = Literal["youden", "specificity", "predictive"]

# What is held out together and resampled for the intervals: components of linked people, or single people.
Grouping = Literal["components", "people"]


@dataclass(frozen=True)
class FoldPredictions:
    """What one fold's model says, in its own logits.

    Attributes:
        seed: of the training.
        fold: from 1.
        epoch: the last one that trained the weights, from 1.
        validation: inner validation videos, or the training videos out of fold; epoch, threshold and scale may be
            chosen by them.
        test: the held-out fold.
        control: real videos of another data set, if there are any.
    """

    seed: int
    fold: int
    epoch: int
    validation: Predictions
    test: Predictions
    control: Predictions | None = None


@dataclass(frozen=True)
class FoldResult(JsonRecord):
    """Figures of one fold's model.

    Attributes:
        auc: on the held-out videos.
        validation_auc: on ``FoldPredictions.validation``; where the epoch was chosen by them it flatters.
        threshold: a video with a higher logit is flagged; chosen on them.
        centre, spread: a standardised score is ``(logit − centre) / spread``; from them.
        video_ids: the held-out videos.
    """

    seed: int
    fold: int
    epoch: int
    auc: float
    validation_auc: float
    threshold: float
    centre: float
    spread: float
    n_real: int
    n_fake: int
    video_ids: tuple[str, ...]
    split_sha256: str
    weights_sha256: str


@dataclass(frozen=True)
class Rate(JsonRecord):
    """Part of the videos that is flagged, averaged over the models that scored them.

    Attributes:
        low, high: Wilson's interval with an effective number of independent groups of people in the place of the
            number of videos, as if a model treated all videos of a group alike; wide rather than narrow.
        groups: components of linked people, or people filmed, by the cross-validation's grouping.
        models: how many scored each video.
    """

    name: str
    value: float
    low: float
    high: float
    confidence: float
    videos: int
    groups: int
    models: int

    def __str__(self) -> str:
        return (
            f"{self.name} {self.value:.3f} [{self.low:.3f}, {self.high:.3f}] "
            f"({self.videos} videos of {self.groups} groups of people, {self.models} models each)"
        )


@dataclass(frozen=True)
class SeedResult(JsonRecord):
    """Figures of one seed's models, with intervals over groups of people."""

    seed: int
    mean_fold_auc: Estimate
    pooled_auc: Estimate


@dataclass(frozen=True)
class Summary(JsonRecord):
    """The figures of a cross-validation.

    Attributes:
        grouping: what a fold holds out and the intervals resample: whole components of linked people, or people.
        select: which epoch's weights were scored: the ``best`` on the inner validation videos, or the ``last``.
        mean_fold_auc: mean over seeds and folds of the AUC on the held-out videos: what one trained model reaches.
        pooled_auc: AUC over all held-out videos by standardised scores, mean over seeds.
        ensemble_auc: the same of the standardised scores' mean over seeds: what several models together reach.
        seed_deviation: standard deviation of the seeds' ``mean_fold_auc``; ``None`` with one seed.
        detection_rate, false_positive_rate: part of the held-out fake and real videos that is flagged.
        control_rate: part of the control's videos that is flagged, by every fold's model; ``None`` without a control.
        not_analysable: videos of the data set without clips; they are in no figure.
    """

    recipe: str
    dataset: str
    grouping: Grouping
    select: str
    threshold_rule: ThresholdRule
    folds: int
    seeds: tuple[int, ...]
    mean_fold_auc: Estimate
    pooled_auc: Estimate
    ensemble_auc: Estimate
    seed_deviation: float | None
    detection_rate: Rate
    false_positive_rate: Rate
    control_rate: Rate | None
    by_seed: tuple[SeedResult, ...]
    by_fold: tuple[FoldResult, ...]
    not_analysable: tuple[str, ...]


@dataclass(frozen=True)
class CrossValidation:
    """A summary and what it is computed from.

    Attributes:
        scores: of each seed, the held-out videos in one order; a score is standardised, an outcome says whether the
            video was flagged.
    """

    summary: Summary
    scores: tuple[Predictions, ...]

    @property
    def ensemble(self) -> Predictions:
        """The mean over seeds of each video's standardised score; without outcomes, no threshold belongs to it."""
        means = np.mean([arrays(of_seed.rows)[0] for of_seed in self.scores], axis=0)
        rows = zip(self.scores[0].rows, means.tolist(), strict=True)
        stamp = {**self.scores[0].stamp, "seeds": ", ".join(map(str, self.summary.seeds))}
        return Predictions(tuple(replace(row, score=score, outcome=Outcome.INCONCLUSIVE) for row, score in rows), stamp)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``cross-validation.json``, ``out-of-fold.csv`` (mean over seeds) and one CSV a seed. Returns the
        first one's path."""
        root = Path(folder)
        self.ensemble.save(root / "out-of-fold.csv")
        for seed, predictions in zip(self.summary.seeds, self.scores, strict=True):
            predictions.save(root / _seed_file(seed))
        return self.summary.save(root / "cross-validation.json")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read what ``save`` wrote.

        Raises:
            RunError: a file is missing or damaged.
        """
        path = Path(folder) / "cross-validation.json"
        summary = load_record(Summary, path, RunError, "repeat the stf crossvalidate command that made it")
        return cls(summary, tuple(Predictions.load(Path(folder) / _seed_file(seed)) for seed in summary.seeds))


@dataclass(frozen=True)
class Comparison(JsonRecord):
    """What tells two cross-validations on the same videos apart; every difference is a − b.

    Attributes:
        mean_fold_auc: difference of the mean AUC over seeds and folds, over resampled groups of people.
        ensemble_auc: difference of the pooled AUC of the seeds' mean scores, over resampled groups of people.
        delong: DeLong's test of the same pooled AUCs; it takes all videos for independent.
    """

    name_a: str
    name_b: str
    mean_fold_auc: BootstrapDifference
    ensemble_auc: BootstrapDifference
    delong: DelongTest


def _seed_file(seed: int) -> str:
    return f"out-of-fold-seed-{seed}.csv"
