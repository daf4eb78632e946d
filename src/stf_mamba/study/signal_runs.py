"""Experiment 1 of the study: measured into its folder, where ``results`` reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from stf_mamba.clips.records import Manifest
from stf_mamba.clips.store import ClipStore
from stf_mamba.signals.compression import CRFS, compression_series
from stf_mamba.signals.measuring import measure_signals
from stf_mamba.study.results import SignalTables

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
