"""Experiment 1's tests, computed once for everything that shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stf_mamba.clips.records import Manifest
from stf_mamba.clips.store import ClipStore
from stf_mamba.signals.comparison import SignalStatistics, signal_statistics
from stf_mamba.signals.compression import (
    CRFS,
    CompressionFinding,
    bits_per_pixel,
    compression_findings,
    compression_series,
)
from stf_mamba.signals.measuring import measure_signals
from stf_mamba.signals.table import SignalTable
from stf_mamba.study.results import SignalTables, Study


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


CONSECUTIVE_CLIPS = "stf prepare --sampling consecutive"


def consecutive_store(clips: Path, name: str) -> ClipStore | None:
    """The store of consecutive clips under ``clips`` that lists this data set, if there is one."""
    for place in sorted(clips.glob("*/settings.json")):
        store = ClipStore.open(clips, place.parent.name)
        if store.settings.sampling == "consecutive" and name in store.manifests():
            return store
    return None


def least_compressed(store: ClipStore, name: str) -> Manifest:
    """A data set's raw version, where it was prepared beside it (as ``ffpp-raw`` beside ``ffpp-c23``); else itself."""
    stem, dash, _ = name.rpartition("-")
    raw = f"{stem}{dash}raw"
    return store.manifest(raw if raw in store.manifests() else name)


def run_signals(
    store: ClipStore, manifest: Manifest, out: Path, on_video: Callable[[str], None] | None = None
) -> SignalTables:
    """The signals of every video by both protocols, in ``out/signals``; what is there already is kept.

    Args:
        store: clips of consecutive frames.
        on_video: called with each video's id, once a protocol.

    Raises:
        ValueError, RunError, ClipStoreError: as ``measure_signals``.
    """
    folder = out / "signals"
    folder.mkdir(parents=True, exist_ok=True)
    consecutive = measure_signals(store, manifest, folder / "consecutive.csv", "consecutive", on_video)
    report = measure_signals(store, manifest, folder / "report.csv", "report", on_video)
    return SignalTables(consecutive, report, {})


def run_compression(
    store: ClipStore,
    manifest: Manifest,
    out: Path,
    crfs: Sequence[int] = CRFS,
    on_video: Callable[[str], None] | None = None,
) -> SignalTables:
    """The compression series in ``out/signals/compression``. Arguments and errors as ``compression_series``."""
    levels = compression_series(store, manifest, out / "signals" / "compression", crfs, on_video)
    return SignalTables(None, None, levels)


def tests_of(studies: Sequence[Study]) -> list[SignalTests]:
    """The tests of each study's signals."""

    return [signal_tests(study) for study in studies]
