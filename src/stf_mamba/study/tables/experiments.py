"""The tables of a study: measured figures with their intervals, and reported ones in columns of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from stf_mamba.study.claims.claims import judge_claims
from stf_mamba.study.claims.comparisons import compare_rows
from stf_mamba.study.labels import (
    cross_auc,
    measured_auc,
    no_cross,
    not_run_reason,
    row_name,
    stand_in_notes,
    study_labels,
)
from stf_mamba.study.numbers import NOT_GIVEN, decimals, estimated, millions, signed, spread
from stf_mamba.study.published import (
    PUBLISHED,
    REPORTED_INCONSISTENCIES,
    REPORTED_PHASE_1_BEST,
    REPORTED_PHASE_2_FIRST,
    REPORTED_PHASES_SOURCE,
    REPORTED_ROWS,
)
from stf_mamba.study.results import NOT_RUN, Study, Training
from stf_mamba.study.rows import BASELINE, ROWS, StudyRow
from stf_mamba.study.signals import tests_of
from stf_mamba.study.tables.comparisons import comparisons_table, protocols_table, variations_table
from stf_mamba.study.tables.signals import (
    compression_change_table,
    compression_table,
    signals_table,
    summarised_signals,
)
from stf_mamba.study.tables.table import INTERVAL_NOTE, Table

if TYPE_CHECKING:
    from stf_mamba.study.claims.claims import Claim
    from stf_mamba.study.claims.comparisons import RowComparison
    from stf_mamba.study.signals import SignalTests

TEMPORAL = "bigru-efficientnet-b0"
REPORTED_NOTE = "Columns marked (reported) are published numbers; nothing in them was measured here."


def study_tables(
    studies: Sequence[Study],
    compared: Sequence[Sequence[RowComparison]] | None = None,
    judged: Sequence[Sequence[Claim]] | None = None,
    tests: Sequence[SignalTests] | None = None,
) -> tuple[Table, ...]:
    """All tables of one study, or of several side by side: claims first, then in the order of the experiments.

    Args:
        compared, judged, tests: comparisons, claims and signal tests of each study, where they are at hand.

    Raises:
        ValueError: no study.
    """
    if not studies:
        raise ValueError("no study to make tables of; give at least one")
    if compared is None:
        compared = [compare_rows(study) for study in studies]
    if tests is None:
        tests = tests_of(studies)
    if judged is None:
        judged = [judge_claims(*found) for found in zip(studies, compared, tests, strict=True)]
    both = {"right", "report"} <= {study.settings.protocol for study in studies}
    return (
        claims_table(studies, judged),
        setup_table(studies),
        signals_table(studies, tests),
        compression_table(studies, tests),
        compression_change_table(studies, tests),
        backbones_table(studies),
        temporal_table(studies),
        capacity_table(studies),
        variations_table(studies, compared),
        complete_table(studies, tests),
        comparisons_table(studies, compared),
        *((protocols_table(studies),) if both else ()),
    )


def setup_table(studies: Sequence[Study]) -> Table:
    """How each study was made."""
    facts = [_facts(study) for study in studies]
    names = dict.fromkeys(name for fact in facts for name in fact)
    return Table(
        "setup",
        "Setup",
        ("Setting", *study_labels(studies)),
        tuple((name, *(fact.get(name) or NOT_GIVEN for fact in facts)) for name in names),
    )


def _facts(study: Study) -> dict[str, str]:
    settings = study.settings
    results = [finished.result for finished in study.finished.values()]
    stand_ins = (f"{used} in place of {meant}" for meant, used in settings.stand_ins.items())
    weights = (f"{name} {digest[:12]}" for name, digest in settings.encoder_weights_sha256.items())
    return {
        "protocol": settings.protocol,
        "data set": settings.dataset,
        "second data set": settings.cross_dataset or "none",
        "footage": "drawn by a program" if settings.generated else "filmed",
        "videos": f"{settings.videos} (sha256 {settings.videos_sha256[:12]})",
        "design": settings.design,
        "folds": "none" if settings.folds is None else f"{settings.folds}, grouped by {settings.grouping}",
        "seeds": ", ".join(map(str, settings.seeds)),
        "budget": settings.budget,
        "clips": settings.clip_settings,
        "encoders that stand in": "; ".join(stand_ins) or "none",
        "encoder weights, sha256": "; ".join(weights) or "none given",
        "rows finished": f"{len(results)} of {len(ROWS)}",
        "rows that could not be run": str(len(study.not_run)),
        "trainings": str(sum(result.trainings for result in results)),
        "training and scoring": f"{sum(result.seconds for result in results) / 3600:.2f} hours",
        "started": settings.started,
        **{name: text or NOT_GIVEN for name, text in settings.environment.items()},
    }


def backbones_table(studies: Sequence[Study]) -> Table:
    """Experiment 2: encoders that judge single frames."""
    columns = (
        "Backbone",
        "Protocol",
        "Parameters (M)",
        "Trainable (M)",
        "Initial weights",
        "Frame AUC",
        "In-domain AUC",
        "Second data set AUC",
        "Gap",
        "Seeds, in-domain",
        "Parameters (M) (reported)",
        "Trainable (M) (reported)",
        "Pretraining (reported)",
        "FF++ AUC (reported)",
        "Celeb-DF AUC (reported)",
    )
    rows = []
    for row, study, label in _each(studies, lambda row: row.experiment == 2):
        reported = REPORTED_ROWS[row.key]
        rows.append(
            (
                row_name(study, row.key),
                label,
                *_backbone_cells(study, row.key),
                decimals(reported.parameters_m, 1),
                decimals(reported.trainable_m, 1),
                reported.pretraining or NOT_GIVEN,
                decimals(reported.in_domain),
                decimals(reported.cross),
            )
        )
    gap_note = "Gap: in-domain AUC less that of the second data set."
    notes = (INTERVAL_NOTE, gap_note, REPORTED_NOTE, *stand_in_notes(studies))
    return Table("backbones", "Experiment 2: backbones, frame by frame", columns, tuple(rows), notes)


def _backbone_cells(study: Study, key: str) -> tuple[str, ...]:
    finished = study.finished.get(key)
    if finished is None:
        return (NOT_RUN, NOT_RUN, not_run_reason(study, key), *(NOT_RUN,) * 5)
    result = finished.result
    stands_in = "" if result.stands_in_for is None else f", in place of {result.stands_in_for}"
    return (
        millions(result.parameters),
        millions(result.trainable_parameters),
        result.initial_weights + stands_in,
        estimated(result.in_domain.frame_auc, NOT_RUN),
        measured_auc(result.in_domain),
        cross_auc(study, finished),
        signed(result.gap, missing=no_cross(study)),
        spread(result.in_domain.by_seed),
    )


def temporal_table(studies: Sequence[Study]) -> Table:
    """Experiment 3: a temporal model on a weak encoder, and what its two training phases reach."""
    columns = (
        "Configuration",
        "Protocol",
        "In-domain AUC",
        "Second data set AUC",
        "Second data set, less baseline",
        "Phase 1, best validation AUC",
        "Phase 2, first epoch",
        "Phase 2, best",
        "Jump at the boundary",
        "FF++ AUC (reported)",
        "Celeb-DF AUC (reported)",
        "Phase 1 best to phase 2 first (reported)",
    )
    rows = []
    for row, study, label in _each(studies, lambda row: row.key in (BASELINE, TEMPORAL)):
        reported = REPORTED_ROWS[row.key]
        phases = f"{REPORTED_PHASE_1_BEST:.3f} to {REPORTED_PHASE_2_FIRST:.3f}" if row.key == TEMPORAL else NOT_GIVEN
        rows.append(
            (
                row_name(study, row.key),
                label,
                *_auc_cells(study, row.key),
                _over_baseline(study, row.key),
                *_phase_cells(study, row.key),
                decimals(reported.in_domain),
                decimals(reported.cross),
                phases,
            )
        )
    notes = (
        INTERVAL_NOTE,
        "Validation AUC of a phase: mean over all trainings. Jump: first epoch of phase 2 less the best of phase 1.",
        f"{REPORTED_NOTE} Phases: {REPORTED_PHASES_SOURCE}.",
        *stand_in_notes(studies),
    )
    return Table("temporal", "Experiment 3: a temporal model on weak features", columns, tuple(rows), notes)


def _over_baseline(study: Study, key: str) -> str:
    if key == BASELINE:
        return "baseline"
    if key not in study.finished or BASELINE not in study.finished:
        return NOT_RUN
    cross, baseline = study.finished[key].result.cross, study.finished[BASELINE].result.cross
    return no_cross(study) if cross is None or baseline is None else signed(cross.auc.value - baseline.auc.value)


def _phase_cells(study: Study, key: str) -> tuple[str, str, str, str]:
    finished = study.finished.get(key)
    if finished is None:
        return (NOT_RUN,) * 4
    first = [_phase_auc(training, 0) for training in finished.trainings]
    second = [_phase_auc(training, 1) for training in finished.trainings]
    if not all(first):
        return (NOT_RUN,) * 4
    best_first = fmean(max(values) for values in first)
    if not all(second):
        return decimals(best_first), *("one phase",) * 3
    start, best_second = fmean(values[0] for values in second), fmean(max(values) for values in second)
    return decimals(best_first), decimals(start), decimals(best_second), signed(start - best_first)


def _phase_auc(training: Training, phase: int) -> list[float]:
    found = (epoch.get("validation_auc") for epoch in training.history if epoch["phase"] == phase)
    return [float(value) for value in found if value is not None]


def capacity_table(studies: Sequence[Study]) -> Table:
    """Experiment 4: encoders by what they train, and how their validation loss moved."""
    columns = (
        "Backbone",
        "Protocol",
        "Trainable (M)",
        "In-domain AUC",
        "Second data set AUC",
        "Epoch of the lowest validation loss",
        "Validation loss, lowest to last",
        "Rise after the lowest",
        "Trainable (M) (reported)",
        "Celeb-DF AUC (reported)",
    )
    rows = []
    for row, study, label in _each(studies, lambda row: row.experiment == 2):
        reported = REPORTED_ROWS[row.key]
        finished = study.finished.get(row.key)
        trained = NOT_RUN if finished is None else millions(finished.result.trainable_parameters)
        rows.append(
            (
                row_name(study, row.key),
                label,
                trained,
                *_auc_cells(study, row.key),
                *_loss_cells(study, row.key),
                decimals(reported.trainable_m, 1),
                decimals(reported.cross),
            )
        )
    notes = (
        INTERVAL_NOTE,
        "Validation loss: mean over all trainings; epochs count from 1.",
        f"{REPORTED_NOTE} {REPORTED_INCONSISTENCIES[0]}",
        *stand_in_notes(studies),
    )
    return Table("capacity", "Experiment 4: capacity", columns, tuple(rows), notes)


def _loss_cells(study: Study, key: str) -> tuple[str, str, str]:
    finished = study.finished.get(key)
    curves = [] if finished is None else [_losses(training) for training in finished.trainings]
    if not curves or not all(curves):
        return (NOT_RUN,) * 3
    lowest, last = fmean(min(curve) for curve in curves), fmean(curve[-1] for curve in curves)
    epoch = fmean(curve.index(min(curve)) + 1 for curve in curves)
    longest = max(map(len, curves))
    return f"{epoch:.1f} of {longest}", f"{lowest:.3f} to {last:.3f}", signed(last - lowest)


def _losses(training: Training) -> list[float]:
    found = (epoch.get("validation_loss") for epoch in training.history)
    return [float(value) for value in found if value is not None]


def complete_table(studies: Sequence[Study], tests: Sequence[SignalTests] | None = None) -> Table:
    """Every row in the layout of the report's own complete table."""
    columns = (
        "#",
        "Configuration",
        "Backbone type",
        "Temporal",
        "Protocol",
        "In-domain AUC",
        "Second data set AUC",
        "State",
        "FF++ AUC (reported)",
        "Celeb-DF AUC (reported)",
        "Finding (reported)",
    )
    signals = ("1", "Handcrafted signals (5 tests)", "none", "none")
    words: tuple[str, ...] = (NOT_GIVEN, NOT_GIVEN, "All fail at CRF 23")
    rows: list[tuple[str, ...]] = [
        (*signals, label, "no model", "no model", summarised_signals(found), *words)
        for label, found in zip(study_labels(studies), tests or tests_of(studies), strict=True)
    ]
    numbers = {key: str(place) for place, key in enumerate(ROWS, start=2)}
    for row, study, label in _each(studies, lambda row: True):
        reported = REPORTED_ROWS.get(row.key)
        words = (NOT_GIVEN,) * 3
        if reported is not None:
            words = (decimals(reported.in_domain), decimals(reported.cross), reported.finding)
        state = "finished" if row.key in study.finished else not_run_reason(study, row.key)
        place = (numbers[row.key], row_name(study, row.key), row.backbone, row.temporal, label)
        rows.append((*place, *_auc_cells(study, row.key), state, *words))
    rows += _published_rows()
    notes = (INTERVAL_NOTE, *stand_in_notes(studies), REPORTED_NOTE, *REPORTED_INCONSISTENCIES)
    return Table("complete", "Complete table", columns, tuple(rows), notes)


def _published_rows() -> Iterator[tuple[str, ...]]:
    for key, found in PUBLISHED.items():
        cross = f"≥ {found.cross:.2f}" if key == "target" else decimals(found.cross)
        name = (found.label, found.backbone, found.temporal)
        yield ("*", *name, NOT_GIVEN, *(NOT_GIVEN,) * 3, NOT_GIVEN, cross, f"{found.note} ({found.source})")
        for level in found.levels:
            yield ("*", *name, NOT_GIVEN, *(NOT_GIVEN,) * 3, NOT_GIVEN, decimals(level.auc), level.protocol)


def claims_table(studies: Sequence[Study], judged: Sequence[Sequence[Claim]] | None = None) -> Table:
    """The report's claims and what each study makes of them."""
    judged = [judge_claims(study) for study in studies] if judged is None else judged
    rows = [
        (str(claim.experiment or "whole"), claim.section, claim.text, label, claim.verdict.value, claim.because)
        for label, claims in zip(study_labels(studies), judged, strict=True)
        for claim in claims
    ]
    columns = ("Experiment", "Section", "Claim of the ablation report", "Protocol", "Verdict", "Because")
    return Table("claims", "Claims", columns, tuple(rows), ("Each verdict is computed from the study's files.",))


def _each(studies: Sequence[Study], wanted: Callable[[StudyRow], bool]) -> Iterator[tuple[StudyRow, Study, str]]:
    """Rows that are wanted, each for every study."""
    labels = study_labels(studies)
    for row in ROWS.values():
        if wanted(row):
            yield from ((row, study, label) for study, label in zip(studies, labels, strict=True))


def _auc_cells(study: Study, key: str) -> tuple[str, str]:
    finished = study.finished.get(key)
    if finished is None:
        return NOT_RUN, NOT_RUN
    return measured_auc(finished.result.in_domain), cross_auc(study, finished)
