"""What rows are called in tables and figures, and what stands in for a number that is not there."""

from __future__ import annotations

from collections.abc import Sequence

from stf_mamba.study.numbers import estimated
from stf_mamba.study.results import NOT_RUN, FinishedRow, Measured, Study
from stf_mamba.study.rows import ROWS


def measured_auc(measured: Measured | None, missing: str = NOT_RUN) -> str:
    """AUC of videos with its interval; coverage is named where videos are missing from it."""
    if measured is None:
        return missing
    covered = "" if measured.coverage >= 1 else f", {100 * measured.coverage:.1f} % of the videos"
    return estimated(measured.auc) + covered


def study_labels(studies: Sequence[Study]) -> tuple[str, ...]:
    """What each study is called beside the others: its protocol, and its folder's name where that does not tell."""
    protocols = [study.settings.protocol for study in studies]
    if len(set(protocols)) == len(protocols):
        return tuple(protocols)
    return tuple(f"{study.settings.protocol}, {study.folder.name}" for study in studies)


def stands_in(study: Study, finished: FinishedRow) -> bool:
    """Whether another encoder than the one that was meant was run."""
    meant = finished.row.recipe.encoder.name
    return finished.result.stands_in_for is not None or meant in study.settings.stand_ins


def row_name(study: Study, key: str) -> str:
    """A row's label, with a dagger where a stand-in was run."""
    finished = study.finished.get(key)
    label = ROWS[key].label if key in ROWS else key
    return f"{label}†" if finished is not None and stands_in(study, finished) else label


def stand_in_notes(studies: Sequence[Study]) -> tuple[str, ...]:
    """What a dagger means; nothing where none is set."""
    if not any(stands_in(study, finished) for study in studies for finished in study.finished.values()):
        return ()
    return ("† Run with an encoder that stands in for the one meant (see Setup); says nothing about that one.",)


def not_run_reason(study: Study, key: str) -> str:
    """Why a row has no figures."""
    reason = study.not_run.get(key)
    return NOT_RUN if reason is None else f"{NOT_RUN}: {reason}"


def cross_auc(study: Study, finished: FinishedRow) -> str:
    """AUC on the second data set, or why there is none."""
    return measured_auc(finished.result.cross, no_cross(study))


def no_cross(study: Study) -> str:
    """Why a row has no figure on a second data set."""
    return "no second data set" if study.settings.cross_dataset is None else NOT_RUN


def signal_title(signal: str) -> str:
    """A signal's name in tables."""
    from stf_mamba.signals import SIGNALS

    return SIGNALS[signal].title


def level_name(level: str) -> str:
    """A level of compression in tables and figures."""
    return level.replace("crf", "CRF")
