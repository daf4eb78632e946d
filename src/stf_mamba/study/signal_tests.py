"""Experiment 1's tests, computed once for everything that shows them."""

from __future__ import annotations

from dataclasses import dataclass

from stf_mamba.signals.comparison import SignalStatistics, signal_statistics
from stf_mamba.signals.compression import CompressionFinding, bits_per_pixel, compression_findings
from stf_mamba.signals.table import SignalTable
from stf_mamba.study.results import Study


@dataclass(frozen=True)
class SignalTests:
    """What a study's signal tables say.

    Attributes:
        consecutive, report: tests on consecutive frames, and in the report's unpaired way; ``None`` where the signals
            were not measured, empty where too few videos have a value.
        levels: tests of each level of compression, in its order; empty where not run.
        changes: paired tests of the change from the first level to the last; ``None`` where no two levels were run,
            empty without pairs of a fake and its real.
        bits_per_pixel: median over the videos, by level; levels without a rate are left out.
    """

    consecutive: tuple[SignalStatistics, ...] | None
    report: tuple[SignalStatistics, ...] | None
    levels: dict[str, tuple[SignalStatistics, ...]]
    changes: tuple[CompressionFinding, ...] | None
    bits_per_pixel: dict[str, float]

    @property
    def shown(self) -> tuple[SignalStatistics, ...]:
        """Those on consecutive frames; the report's way where only that was measured."""
        return (self.report if self.consecutive is None else self.consecutive) or ()


def signal_tests(study: Study) -> SignalTests:
    """Every test of the study's signals.

    Raises:
        RunError: the file of bits per pixel is damaged.
    """
    found = study.signals
    return SignalTests(
        consecutive=_tested(found.consecutive, paired=True),
        report=_tested(found.report, paired=False),
        levels={level: _tested(table, paired=True) or () for level, table in found.compression.items()},
        changes=compression_findings(found.compression) if len(found.compression) > 1 else None,
        bits_per_pixel=bits_per_pixel(study.folder / "signals" / "compression"),
    )


def _tested(table: SignalTable | None, paired: bool) -> tuple[SignalStatistics, ...] | None:
    if table is None:
        return None
    try:
        return signal_statistics(table, paired=paired)
    except ValueError:  # no method has two videos of each class with a value: whoever shows it says so
        return ()
