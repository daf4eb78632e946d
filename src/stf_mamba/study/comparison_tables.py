"""Tables of differences between rows: V8.0 with what varies one setting of it, and all planned comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stf_mamba.study.cells import (
    INTERVAL_NOTE,
    NO_INTERVAL,
    Table,
    cross_auc,
    decimals,
    measured_auc,
    millions,
    no_cross,
    not_run_reason,
    p_value,
    study_labels,
    with_interval,
)
from stf_mamba.study.results import NOT_RUN, Study
from stf_mamba.study.rows import REFERENCE, REFERENCE_VALUES, ROWS

if TYPE_CHECKING:
    from stf_mamba.study.comparisons import RowComparison


def variations_table(studies: Sequence[Study], compared: Sequence[Sequence[RowComparison]] | None = None) -> Table:
    """V8.0 and every row that varies one setting of it, by setting, with V8.0's own value in each group."""
    compared = [compared_rows(study) for study in studies] if compared is None else compared
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
                rows.append((setting, value, label, *_variation_cells(study, key, found)))
    note = "Less V8.0: paired difference of AUC on the same videos, with its interval."
    return Table("variations", "V8.0 and what varies one setting of it", columns, tuple(rows), (INTERVAL_NOTE, note))


def _variation_cells(study: Study, key: str, compared: Sequence[RowComparison]) -> tuple[str, ...]:
    finished = study.finished.get(key)
    if finished is None:
        return (not_run_reason(study, key), *(NOT_RUN,) * 4)
    return (
        millions(finished.result.parameters),
        measured_auc(finished.result.in_domain),
        _less_reference(key, "in-domain", compared),
        cross_auc(study, finished),
        _less_reference(key, "cross", compared) if finished.result.cross else no_cross(study),
    )


def _less_reference(key: str, domain: str, compared: Sequence[RowComparison]) -> str:
    if key == REFERENCE:
        return "reference"
    for found in compared:
        if found.domain == domain and (found.a, found.b) == (key, REFERENCE):
            return with_interval(found.difference, found.low, found.high, "+")
        if found.domain == domain and (found.a, found.b) == (REFERENCE, key):
            low, high = (None, None) if found.low is None or found.high is None else (-found.high, -found.low)
            return with_interval(-found.difference, low, high, "+")
    return "not compared"


def comparisons_table(studies: Sequence[Study], compared: Sequence[Sequence[RowComparison]] | None = None) -> Table:
    """Differences between rows with their tests."""
    compared = [compared_rows(study) for study in studies] if compared is None else compared
    columns = (
        *("Family", "A", "B", "Protocol", "Data", "AUC of A", "AUC of B", "Difference"),
        *("p", "p, Holm", "DeLong p", "DeLong p, Holm", "Detectable difference", "Videos"),
    )
    rows = [
        (
            found.family,
            _label(found.a),
            _label(found.b),
            label,
            found.domain,
            decimals(found.auc_a),
            decimals(found.auc_b),
            with_interval(found.difference, found.low, found.high, "+"),
            *map(p_value, (found.p, found.p_holm, found.delong_p, found.delong_p_holm)),
            decimals(found.detectable_difference, missing=NO_INTERVAL),
            f"{found.n_real} real, {found.n_fake} fake",
        )
        for label, some in zip(study_labels(studies), compared, strict=True)
        for found in some
    ]
    notes = (
        "Holm's correction is over the comparisons of one family and data set.",
        "Difference: AUC of A less AUC of B on the videos that both scored, with its interval.",
        "Detectable difference: what a test at 0.05 finds with a power of 0.8, uncorrected.",
        "DeLong's test takes videos for independent; the bootstrap draws groups of people.",
    )
    return Table("comparisons", "Comparisons between rows", columns, tuple(rows), notes)


def compared_rows(study: Study) -> tuple[RowComparison, ...]:
    """The comparisons that this study allows."""
    from stf_mamba.study.comparisons import compare_rows

    return compare_rows(study)


def _label(key: str) -> str:
    return ROWS[key].label if key in ROWS else key
