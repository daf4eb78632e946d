"""What ``run_signals`` and ``run_compression`` write is what the study's results read back."""

from pathlib import Path

from stf_mamba.clips.records import ClipSettings, Manifest, ManifestEntry
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.records import VideoRecord
from stf_mamba.signals import SIGNALS
from stf_mamba.study.results import _load_signals
from stf_mamba.study.signals import run_compression, run_signals


def test_the_tables_lie_where_the_study_looks_for_them(tmp_path):
    store = ClipStore.create(tmp_path / "clips", ClipSettings("none", sampling="consecutive"))
    record = VideoRecord("drawn/real/a", Path("gone.mp4"), 0, ("d:a",), "real", "raw")
    manifest = Manifest("drawn", (ManifestEntry(record, None, 0, "the file is unreadable"),))
    seen = []
    signals = run_signals(store, manifest, tmp_path / "out", seen.append)
    compressed = run_compression(store, manifest, tmp_path / "out", (23, 40), seen.append)
    loaded = _load_signals(tmp_path / "out" / "signals")
    assert (loaded.consecutive, loaded.report) == (signals.consecutive, signals.report)
    assert loaded.compression == compressed.compression
    assert list(loaded.compression) == ["source", "crf 23", "crf 40"]
    assert [row.signal for row in loaded.compression["crf 40"].rows] == list(SIGNALS)
    assert {row.reason for row in loaded.compression["crf 40"].rows} == {"the file is unreadable"}
    assert seen == ["drawn/real/a"] * 3
