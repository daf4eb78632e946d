"""Tables of Experiment 1: the forensic signals, tested, and along compression."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from stf_mamba.study.cells import NOT_GIVEN, Table, decimals, p_value, study_labels, with_interval
from stf_mamba.study.published import REPORTED_SIGNALS
from stf_mamba.study.results import NOT_RUN, Study

if TYPE_CHECKING:
    from stf_mamba.signals.comparison import SignalStatistics
    from stf_mamba.signals.table import SignalTable

TESTED_COLUMNS = ("n", "Test", "Effect", "p", "p, Holm", "AUC", "Detectable effect", "Power at the margin", "Verdict")


def signals_table(studies: Sequence[Study]) -> Table:
    """Every signal and method, on consecutive frames and in the report's way, beside the report's ranges."""
    columns = (
        *("Signal", "Method", "Compression", "Measured", "Study", *TESTED_COLUMNS),
        *("p (reported)", "Effect (reported)", "Conclusion (reported)"),
    )
    rows = []
    for study, label in zip(studies, study_labels(studies), strict=True):
        for way, table in (("consecutive frames", study.signals.consecutive), ("report's way", study.signals.report)):
            for signal, cells in _tested_rows(table, paired=way == "consecutive frames"):
                rows.append((signal_title(signal), *cells[:2], way, label, *cells[2:], *_reported_cells(signal)))
    rows.sort(key=lambda row: list(map(signal_title, REPORTED_SIGNALS)).index(row[0]))
    notes = (
        "Effect: rank-biserial correlation with its interval, positive where fakes are higher. AUC: fakes above reals.",
        "Detectable effect: found with a power of 0.8 at Holm's strictest level. Absent is said only where equivalence "
        "within the margin is shown.",
        "Columns marked (reported) are the ablation report's (section 3.3), over its four methods; its effect size is "
        "of another kind.",
    )
    return Table("signals", "Experiment 1: forensic signals", columns, tuple(rows), notes)


def compression_table(studies: Sequence[Study]) -> Table:
    """The signals on re-encoded footage, level by level."""
    columns = ("Signal", "Method", "Level", "Study", *TESTED_COLUMNS)
    rows = []
    for study, label in zip(studies, study_labels(studies), strict=True):
        levels: dict[str, SignalTable | None] = {**study.signals.compression} or {NOT_RUN: None}
        for level, table in levels.items():
            for signal, cells in _tested_rows(table, paired=True):
                rows.append((signal_title(signal), cells[0], level, label, *cells[2:]))
    rows.sort(key=lambda row: (list(map(signal_title, REPORTED_SIGNALS)).index(row[0]), row[1]))
    notes = ("Holm's correction is over the signals and methods of one level.",)
    return Table("compression", "Experiment 1: signals along compression", columns, tuple(rows), notes)


def summarised_signals(study: Study) -> str:
    """How many tests of the signals end in which verdict, in words."""
    statistics = _tested(study.signals.consecutive, paired=True)
    if not statistics:
        return NOT_RUN
    counts = Counter(found.verdict.value for found in statistics)
    return f"of {len(statistics)} tests: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def signal_title(signal: str) -> str:
    """A signal's name in tables."""
    from stf_mamba.signals import SIGNALS

    return SIGNALS[signal].title


def _tested_rows(table: SignalTable | None, paired: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each signal with its method, compression and the cells of ``TESTED_COLUMNS``."""
    statistics = _tested(table, paired)
    for found in statistics:
        yield found.signal, (found.method, found.compression or NOT_GIVEN, *_cells(found))
    for signal in REPORTED_SIGNALS:
        if signal not in {found.signal for found in statistics}:
            reason = NOT_RUN if table is None else "too few videos with a value"
            yield signal, ("all", NOT_GIVEN, *(NOT_RUN,) * (len(TESTED_COLUMNS) - 1), reason)


def _tested(table: SignalTable | None, paired: bool) -> tuple[SignalStatistics, ...]:
    from stf_mamba.signals.comparison import signal_statistics

    if table is None:
        return ()
    try:
        return signal_statistics(table, paired=paired)
    except ValueError:  # no method has two videos of each class with a value: the table says so
        return ()


def _cells(found: SignalStatistics) -> tuple[str, ...]:
    pairs = "" if found.n_pairs is None else f", {found.n_pairs} pairs"
    detectable = decimals(found.detectable_effect, missing="none")
    return (
        f"{found.n_real} real, {found.n_fake} fake{pairs}",
        found.design,
        with_interval(found.effect, found.low, found.high, "+"),
        p_value(found.p),
        p_value(found.p_holm),
        with_interval(found.auc, found.auc_low, found.auc_high),
        detectable,
        f"{found.power_at_margin:.2f} at {found.margin:g}",
        found.verdict.value,
    )


def _reported_cells(signal: str) -> tuple[str, str, str]:
    reported = REPORTED_SIGNALS[signal]
    return (
        f"{reported.p_low:.2f} to {reported.p_high:.2f}",
        f"{reported.effect_low:g} to {reported.effect_high:g}",
        reported.conclusion,
    )
