"""What a study left on the disk, read back: settings, finished rows with their predictions and histories, signals.

    OUT/study.json                            settings: data, design, budget, protocol, stand-ins, versions
    OUT/signals/consecutive.csv, report.csv   Experiment 1: a value per video and signal
    OUT/signals/compression/LEVEL.csv         the same on re-encoded footage; levels.json, bits-per-pixel.json
    OUT/rows/KEY/row.json                     a finished row's figures (``RowResult``)
    OUT/rows/KEY/in-domain-seed-42.csv        scores of the study's own data set by models that saw none of its people
    OUT/rows/KEY/cross-seed-42.csv            scores of the second data set
    OUT/rows/KEY/frames-*-seed-42.csv         scores of single frames, for rows that judge frames
    OUT/rows/KEY/histories.json               epoch by epoch, of every training
    OUT/rows/KEY/cross-validation.json, ...   with the design ``folds``: what ``CrossValidation`` saves
    OUT/rows/KEY/not-run.json                 why a row could not be run

Figures and reports read these files and nothing else.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from stf_mamba.core.errors import RunError
from stf_mamba.core.files import read_json
from stf_mamba.core.recipe import Recipe
from stf_mamba.core.records import JsonRecord, load_record
from stf_mamba.evaluation.fold_results import CrossValidation, Grouping
from stf_mamba.evaluation.metrics import Estimate
from stf_mamba.evaluation.predictions import Predictions
from stf_mamba.signals.table import SignalTable
from stf_mamba.study.rows import ROWS, StudyRow

Design = Literal["split", "folds"]
ProtocolName = Literal["right", "report"]

NOT_RUN = "not run"
AGAIN = "remove it and repeat stf study"


@dataclass(frozen=True)
class StudySettings(JsonRecord):
    """What holds for all rows of a study.

    Attributes:
        design: ``split`` trains once a seed and tests on a part that shares no person with training; ``folds`` is a
            grouped cross-validation, in which every video is tested.
        protocol: ``right``, or the ``report``'s way with its known faults.
        dataset, cross_dataset: names of the prepared data sets; there may be no second one.
        generated: whether the footage was drawn by a program, so that figures say nothing about real deepfakes.
        stand_ins: encoder that was run, by the encoder that was meant.
        environment: versions and machine, as text.
        started: date and time in UTC, ISO 8601.
    """

    budget: str
    protocol: ProtocolName
    design: Design
    dataset: str
    cross_dataset: str | None
    generated: bool
    seeds: tuple[int, ...]
    folds: int | None
    grouping: Grouping
    videos: int
    videos_sha256: str
    clip_settings: str
    stand_ins: dict[str, str]
    encoder_weights_sha256: dict[str, str]
    environment: dict[str, str]
    started: str


@dataclass(frozen=True)
class Measured(JsonRecord):
    """A row's area under the ROC curve on one data set.

    Attributes:
        auc: of videos; with several seeds the mean over them. With folds the mean over folds as well.
        by_seed: the value of each seed.
        frame_auc: of single frames, mean over seeds; ``None`` where frames are not judged by themselves.
        coverage: part of the videos that could be scored.
    """

    dataset: str
    auc: Estimate
    by_seed: tuple[float, ...]
    frame_auc: Estimate | None
    coverage: float


@dataclass(frozen=True)
class RowResult(JsonRecord):
    """The figures of a finished row.

    Attributes:
        recipe: as it was run, after budget, protocol and stand-ins.
        stands_in_for: the encoder that was meant, where another one was run.
        initial_weights: where the encoder's first values came from, in words.
        parameters, trainable_parameters: counted from the model; trainable in any phase.
        in_domain: on the study's own data set.
        cross: on the second data set, ``None`` without one.
        trainings: how many were run, seeds times folds.
        seconds: of them and their scoring together.
    """

    key: str
    recipe: Recipe
    stands_in_for: str | None
    initial_weights: str
    parameters: int
    trainable_parameters: int
    seeds: tuple[int, ...]
    in_domain: Measured
    cross: Measured | None
    trainings: int
    seconds: float

    def is_same_as(self, other: RowResult) -> bool:
        """Whether both rows ran the same recipe from the same weights, as a budget or a stand-in may make them do."""
        renamed = replace(other.recipe, name=self.recipe.name, question=self.recipe.question)
        return (renamed, other.initial_weights, other.seeds) == (self.recipe, self.initial_weights, self.seeds)

    @property
    def gap(self) -> float | None:
        """What the AUC loses from the study's own data set to the second one."""
        return None if self.cross is None else self.in_domain.auc.value - self.cross.auc.value


@dataclass(frozen=True)
class Training:
    """Epoch by epoch: one dictionary an epoch with the fields of ``training.watcher.EpochReport``."""

    seed: int
    fold: int | None
    history: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class FinishedRow:
    """A row with everything that figures and tests need.

    Attributes:
        in_domain, cross: scores by seed, in the order of ``result.seeds``; ``cross`` is empty without a second data
            set.
        cross_validation: with the design ``folds``; its scores are ``in_domain``.
    """

    row: StudyRow
    result: RowResult
    in_domain: tuple[Predictions, ...]
    cross: tuple[Predictions, ...]
    trainings: tuple[Training, ...]
    cross_validation: CrossValidation | None


@dataclass(frozen=True)
class SignalTables:
    """Experiment 1's measurements; ``None`` and empty where not run.

    Attributes:
        consecutive: on consecutive frames of the tracked face.
        report: the report's way.
        compression: by level (such as ``source``, ``crf 23``, ``crf 40``), in order of compression.
    """

    consecutive: SignalTable | None
    report: SignalTable | None
    compression: dict[str, SignalTable]


@dataclass(frozen=True)
class Study:
    """A study as far as it has come.

    Attributes:
        finished: by key, in the order of ``ROWS``.
        not_run: the reason, by key, of rows that were tried and could not be run.
    """

    folder: Path
    settings: StudySettings
    finished: dict[str, FinishedRow]
    not_run: dict[str, str]
    signals: SignalTables

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read what ``run_study`` has left so far.

        Raises:
            RunError: no study there, or a damaged file.
        """
        root = Path(folder)
        if not (root / "study.json").is_file():
            raise RunError(f"no {root / 'study.json'}; give the folder that stf study wrote with --out")
        settings = load_record(StudySettings, root / "study.json", RunError, AGAIN)
        finished, not_run = {}, {}
        for key, row in ROWS.items():
            place = root / "rows" / key
            if (place / "row.json").is_file():
                finished[key] = load_row(place, row)
            elif (place / "not-run.json").is_file():
                not_run[key] = str(read_json(place / "not-run.json", RunError, AGAIN)["reason"])
        return cls(root, settings, finished, not_run, _load_signals(root / "signals"))


def load_row(place: Path, row: StudyRow) -> FinishedRow:
    """A finished row from its folder.

    Raises:
        RunError: a file is missing or damaged.
    """
    result = load_record(RowResult, place / "row.json", RunError, AGAIN)
    trainings = tuple(
        Training(entry["seed"], entry["fold"], tuple(entry["history"]))
        for entry in read_json(place / "histories.json", RunError, AGAIN)
    )
    return FinishedRow(
        row=row,
        result=result,
        in_domain=tuple(Predictions.load(place / f"in-domain-seed-{seed}.csv") for seed in result.seeds),
        cross=()
        if result.cross is None
        else tuple(Predictions.load(place / f"cross-seed-{seed}.csv") for seed in result.seeds),
        trainings=trainings,
        cross_validation=CrossValidation.load(place) if (place / "cross-validation.json").is_file() else None,
    )


def _load_signals(place: Path) -> SignalTables:
    def table(name: str) -> SignalTable | None:
        return SignalTable.load(place / name) if (place / name).is_file() else None

    levels: dict[str, SignalTable] = {}
    order = place / "compression" / "levels.json"
    if order.is_file():
        files = read_json(order, RunError, AGAIN)
        levels = {level: SignalTable.load(place / "compression" / name) for level, name in files.items()}
    return SignalTables(table("consecutive.csv"), table("report.csv"), levels)
