"""Tables of differences: V8.0 and what varies one setting of it, all planned comparisons, the two protocols."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

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
from stf_mamba.study.numbers import NO_INTERVAL, decimals, millions, p_value, signed, with_interval
from stf_mamba.study.results import NOT_RUN, Study
from stf_mamba.study.rows import REFERENCE, REFERENCE_VALUES, ROWS
from stf_mamba.study.tables.table import INTERVAL_NOTE, Table

if TYPE_CHECKING:
    from stf_mamba.study.claims.comparisons import RowComparison


def variations_table(studies: Sequence[Study], compared: Sequence[Sequence[RowComparison]] | None = None) -> Table:
    """V8.0 and every row that varies one setting of it, by setting, with V8.0's own value in each group."""
    compared = [compare_rows(study) for study in studies] if compared is None else compared
    columns = (
        "Setting",
        "Value",
        "Protocol",
        "Parameters (M)",
        "In-domain AUC",
        "Less V8.0, in-domain",
        "Second data set AUC",
        "Less V8.0, second data set",
    )
    rows: list[tuple[str, ...]] = []
    for setting in dict.fromkeys(row.varies for row in ROWS.values() if row.varies is not None):
        own = REFERENCE_VALUES.get(setting, "as V8.0")
        values = [(f"{own} (V8.0)", REFERENCE)]
        values += [(row.value or row.key, row.key) for row in ROWS.values() if row.varies == setting]
        for value, key in values:
            for study, label, found in zip(studies, study_labels(studies), compared, strict=True):
                dagger = row_name(study, key).removeprefix(ROWS[key].label)
                rows.append((setting, value + dagger, label, *_variation_cells(study, key, found)))
    note = "Less V8.0: paired difference of AUC on the same videos, with its interval."
    notes = (INTERVAL_NOTE, note, *stand_in_notes(studies))
    return Table("variations", "V8.0 and what varies one setting of it", columns, tuple(rows), notes)


def _variation_cells(study: Study, key: str, compared: Sequence[RowComparison]) -> tuple[str, ...]:
    finished = study.finished.get(key)
    if finished is None:
        return (not_run_reason(study, key), *(NOT_RUN,) * 4)
    return (
        millions(finished.result.parameters),
        measured_auc(finished.result.in_domain),
        _less_reference(study, key, "in-domain", compared),
        cross_auc(study, finished),
        _less_reference(study, key, "cross", compared) if finished.result.cross else no_cross(study),
    )


def _less_reference(study: Study, key: str, domain: str, compared: Sequence[RowComparison]) -> str:
    if key == REFERENCE:
        return "reference"
    for found in compared:
        if found.domain == domain and (found.a, found.b) == (key, REFERENCE):
            return with_interval(found.difference, found.low, found.high, "+")
        if found.domain == domain and (found.a, found.b) == (REFERENCE, key):
            low, high = (None, None) if found.low is None or found.high is None else (-found.high, -found.low)
            return with_interval(-found.difference, low, high, "+")
    reference = study.finished.get(REFERENCE)
    same = reference is not None and study.finished[key].result.is_same_as(reference.result)
    return "the same recipe, as run" if same else "not compared"


def comparisons_table(studies: Sequence[Study], compared: Sequence[Sequence[RowComparison]] | None = None) -> Table:
    """Differences between rows with their tests."""
    compared = [compare_rows(study) for study in studies] if compared is None else compared
    columns = (
        *("Family", "A", "B", "Protocol", "Data", "AUC of A", "AUC of B", "Difference"),
        *("p", "p, Holm", "DeLong p", "DeLong p, Holm", "Detectable difference", "Videos"),
    )
    rows = [
        (
            found.family,
            row_name(study, found.a),
            row_name(study, found.b),
            label,
            found.domain,
            decimals(found.auc_a),
            decimals(found.auc_b),
            with_interval(found.difference, found.low, found.high, "+"),
            *map(p_value, (found.p, found.p_holm, found.delong_p, found.delong_p_holm)),
            decimals(found.detectable_difference, missing=NO_INTERVAL),
            f"{found.n_real} real, {found.n_fake} fake",
        )
        for study, label, some in zip(studies, study_labels(studies), compared, strict=True)
        for found in some
    ]
    notes = (
        "Holm's correction is over the comparisons of one family and data set. Rows that a budget or a stand-in made "
        "the same recipe are not compared.",
        "Difference: AUC of A less AUC of B on the videos that both scored, with its interval.",
        "Detectable difference: what a test at 0.05 finds with a power of 0.8, uncorrected.",
        "DeLong's test takes videos for independent; the bootstrap draws groups of people.",
        *stand_in_notes(studies),
    )
    return Table("comparisons", "Comparisons between rows", columns, tuple(rows), notes)


def protocols_table(studies: Sequence[Study]) -> Table:
    """Rows that finished by the right protocol and by the report's: AUC by each and their difference."""
    columns = (
        *("Row", "Data", "Studies", "AUC, right protocol", "AUC, report's protocol", "Report minus right"),
        *("Test videos, right", "Test videos, report"),
    )
    labelled = list(zip(studies, study_labels(studies), strict=True))
    pairs = [
        (right, report, f"{label} and {other}")
        for right, label in labelled
        for report, other in labelled
        if (right.settings.protocol, report.settings.protocol) == ("right", "report")
    ]
    rows = [
        cells
        for key in ROWS
        for right, report, names in pairs
        if key in right.finished and key in report.finished
        for cells in _protocol_rows(right, report, key, names)
    ]
    notes = (
        INTERVAL_NOTE,
        "The two protocols train and test on different videos, so that their difference is no paired one and has no "
        "test: it holds the report's faults and the change of videos together.",
        *stand_in_notes(studies),
    )
    return Table("protocols", "The same rows by both protocols", columns, tuple(rows), notes)


def _protocol_rows(right: Study, report: Study, key: str, studies: str) -> Iterator[tuple[str, ...]]:
    """Cells for each data set on which the row was measured in both studies."""
    by_right, by_report = right.finished[key].result, report.finished[key].result
    for domain, one, other in (
        ("in-domain", by_right.in_domain, by_report.in_domain),
        ("second data set", by_right.cross, by_report.cross),
    ):
        if one is not None and other is not None and one.dataset == other.dataset:
            difference = signed(other.auc.value - one.auc.value)
            videos = (f"{measured.auc.n_real} real, {measured.auc.n_fake} fake" for measured in (one, other))
            place = (row_name(right, key), f"{one.dataset}, {domain}", studies)
            yield (*place, measured_auc(one), measured_auc(other), difference, *videos)
