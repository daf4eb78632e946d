"""Tables of Experiment 1: the forensic signals, tested, along compression, and what compression changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from stf_mamba.study.labels import level_name, signal_title, study_labels
from stf_mamba.study.numbers import NOT_GIVEN, decimals, p_value, quantity, with_interval
from stf_mamba.study.published import REPORTED_SIGNALS
from stf_mamba.study.results import NOT_RUN, Study
from stf_mamba.study.signals import tests_of
from stf_mamba.study.tables.table import Table

if TYPE_CHECKING:
    from stf_mamba.signals.comparison import SignalStatistics
    from stf_mamba.study.signals import SignalTests

TESTED_COLUMNS = ("n", "Test", "Effect", "p", "p, Holm", "AUC", "Detectable effect", "Power at the margin", "Verdict")


def signals_table(studies: Sequence[Study], tests: Sequence[SignalTests] | None = None) -> Table:
    """Every signal and method, on consecutive frames and in the report's way, beside the report's ranges."""
    columns = (
        *("Signal", "Method", "Compression", "Measured", "Study", *TESTED_COLUMNS),
        *("p (reported)", "Effect (reported)", "Conclusion (reported)"),
    )
    rows = []
    for _, label, of_study in _each(studies, tests):
        for way, found in (("consecutive frames", of_study.consecutive), ("report's way", of_study.report)):
            for signal, cells in _tested_rows(found):
                rows.append((signal_title(signal), *cells[:2], way, label, *cells[2:], *_reported_cells(signal)))
    notes = (
        "Effect: rank-biserial correlation with its interval, positive where fakes are higher. AUC: fakes above reals.",
        "Detectable effect: found with a power of 0.8 at Holm's strictest level. Absent is said only where equivalence "
        "within the margin is shown.",
        "Columns marked (reported) are the ablation report's (section 3.3), over its four methods; its effect size is "
        "of another kind.",
    )
    return Table("signals", "Experiment 1: forensic signals", columns, _in_order(rows), notes)


def compression_table(studies: Sequence[Study], tests: Sequence[SignalTests] | None = None) -> Table:
    """The signals on re-encoded footage, level by level."""
    columns = ("Signal", "Method", "Level", "Bits per pixel", "Study", *TESTED_COLUMNS)
    rows = []
    for _, label, of_study in _each(studies, tests):
        levels: dict[str, tuple[SignalStatistics, ...] | None] = {**of_study.levels} or {NOT_RUN: None}
        for level, found in levels.items():
            rate = decimals(of_study.bits_per_pixel.get(level), missing=NOT_RUN)
            for signal, cells in _tested_rows(found):
                rows.append((signal_title(signal), cells[0], level_name(level), rate, label, *cells[2:]))
    notes = (
        "Bits per pixel: median over the videos of the file's size by pixels and frames; the source counts as it is, "
        "sound included.",
        "Holm's correction is over the signals and methods of one level.",
    )
    return Table("compression", "Experiment 1: signals along compression", columns, _in_order(rows), notes)


def compression_change_table(studies: Sequence[Study], tests: Sequence[SignalTests] | None = None) -> Table:
    """Whether the difference between fakes and their reals changes from the least compression to the most."""
    columns = (
        *("Signal", "Method", "Study", "Levels", "Bits per pixel", "Difference at the first level", "Median change"),
        *("Effect of the change", "p", "p, Holm", "Pairs", "Verdict"),
    )
    rows, unpaired = [], []
    for study, label, of_study in _each(studies, tests):
        levels = list(of_study.levels)
        ends = f"{level_name(levels[0])} to {level_name(levels[-1])}" if len(levels) > 1 else NOT_RUN
        rates = [decimals(of_study.bits_per_pixel.get(level), missing="") for level in (levels[:1] + levels[-1:])]
        rate = " to ".join(rates) if len(levels) > 1 and all(rates) else NOT_RUN
        for signal, method, cells in _change_rows(study, of_study):
            rows.append((signal_title(signal), method, label, ends, rate, *cells))
        if of_study.changes == ():
            unpaired.append(label)
    notes = [
        "Paired over reals that have their fakes at both levels: fake less real at the first level, less the same at "
        "the last. Difference and median change are medians of these in the signal's unit.",
        "Effect of the change: rank-biserial correlation of the signed-rank test with its interval; positive where "
        "fake less real falls. Holm's correction is over all signals and methods.",
    ]
    notes += [f"No pair of a fake and its real was measured at both levels: {', '.join(unpaired)}."] if unpaired else []
    title = "Experiment 1: what compression changes"
    return Table("compression-change", title, columns, _in_order(rows), tuple(notes))


def summarised_signals(tests: SignalTests) -> str:
    """How many tests of the signals end in which verdict, in words."""
    if not tests.consecutive:
        return NOT_RUN
    counts = Counter(found.verdict.value for found in tests.consecutive)
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return f"of {len(tests.consecutive)} tests: {words}"


def _each(studies: Sequence[Study], tests: Sequence[SignalTests] | None) -> Iterator[tuple[Study, str, SignalTests]]:
    yield from zip(studies, study_labels(studies), tests_of(studies) if tests is None else tests, strict=True)


def _in_order(rows: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """By signal as the report lists them, then by method; studies, ways and levels keep their order."""
    order = list(map(signal_title, REPORTED_SIGNALS))
    return tuple(sorted(rows, key=lambda row: (order.index(row[0]), row[1])))


def _tested_rows(statistics: Sequence[SignalStatistics] | None) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each signal with its method, compression and the cells of ``TESTED_COLUMNS``; ``None`` where not measured."""
    for found in statistics or ():
        yield found.signal, (found.method, found.compression or NOT_GIVEN, *_cells(found))
    for signal in REPORTED_SIGNALS:
        if signal not in {found.signal for found in statistics or ()}:
            reason = NOT_RUN if statistics is None else "too few videos with a value"
            yield signal, ("all", NOT_GIVEN, *(NOT_RUN,) * (len(TESTED_COLUMNS) - 1), reason)


def _change_rows(study: Study, tests: SignalTests) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Each signal and method with the cells after the levels; those without a test say why."""
    units = {row.signal: row.unit for table in study.signals.compression.values() for row in table.rows if row.unit}
    changes = {(found.signal, found.method): found for found in tests.changes or ()}
    places = dict.fromkeys((found.signal, found.method) for level in tests.levels.values() for found in level)
    measured = {signal for signal, _ in places} | {signal for signal, _ in changes}
    places |= dict.fromkeys(changes) | dict.fromkeys((name, "all") for name in REPORTED_SIGNALS if name not in measured)
    for signal, method in places:
        found = changes.get((signal, method))
        if found is None:
            yield signal, method, (*(NOT_RUN,) * 6, NOT_RUN if tests.changes is None else "too few pairs")
            continue
        cells = (
            quantity(found.first_difference, units.get(signal)),
            quantity(found.median_change, units.get(signal)),
            with_interval(found.change, found.low, found.high, "+"),
            p_value(found.p),
            p_value(found.p_holm),
            str(found.n_pairs),
            found.verdict,
        )
        yield signal, method, cells


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
