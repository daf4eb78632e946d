"""The compression series: only compression differs, it continues, and its paired test says the right thing."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from face_clips import still_clip
from stf_mamba.clips.cutting import cut_clips
from stf_mamba.clips.records import ClipSettings, Manifest, ManifestEntry, StoredVideo
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.records import Face, FaceTrack, VideoRecord
from stf_mamba.faces.cropping import ALIGNED_LANDMARKS_PX
from stf_mamba.faces.settings import FaceSettings
from stf_mamba.media.frames import FrameStream
from stf_mamba.media.probing import probe
from stf_mamba.signals.compression import bits_per_pixel, compression_findings, compression_series
from stf_mamba.signals.table import Footage, SignalRow, SignalTable
from video_files import write_video

FRAMES = 6
SETTINGS = ClipSettings("none", FaceSettings(size_px=96, margin=1.0), frames=FRAMES, sampling="consecutive")


def entry_of(store, path):
    info = probe(path)
    stream = FrameStream(path)
    assert len(list(stream)) == 12
    points = tuple(map(tuple, (0.6 * ALIGNED_LANDMARKS_PX + (14.5, 8.5)).tolist()))
    track = FaceTrack(0, tuple(Face(time_s, (0.0, 0.0, 96.0, 96.0), points, 0.9) for time_s in stream.times_s))
    clips = cut_clips(path, [(track, stream.times_s[3 : 3 + FRAMES])], SETTINGS.faces)
    stored = store.write(info.sha256, StoredVideo(info, (track,)), clips)
    record = VideoRecord(f"drawn/real/{path.stem}", path, 0, (f"d:{path.stem}",), "real", "raw")
    return ManifestEntry(record, info.sha256, len(stored.clips), None)


@pytest.fixture
def drawn(tmp_path):
    store = ClipStore.create(tmp_path / "clips", SETTINGS)
    entries = []
    for seed, name in enumerate("ab"):
        noise = np.random.default_rng(seed).normal(0, 6, (12, 96, 96, 1))
        frames = np.clip(still_clip(12, seed) + noise, 0, 255).astype(np.uint8)
        entries.append(entry_of(store, write_video(tmp_path / f"{name}.mp4", list(frames), crf=5)))
    return store, Manifest("drawn", tuple(entries))


def test_stronger_compression_leaves_less_and_nearly_lossless_leaves_the_source(drawn, tmp_path):
    store, manifest = drawn
    levels = compression_series(store, manifest, tmp_path / "series", (1, 23, 40))
    rates = bits_per_pixel(tmp_path / "series")
    assert rates["crf 1"] > rates["crf 23"] > rates["crf 40"]
    wavelet = {level: [r.value for r in table.rows if r.signal == "wavelet"] for level, table in levels.items()}
    np.testing.assert_allclose(wavelet["crf 1"], wavelet["source"], rtol=0.1)
    assert max(wavelet["crf 40"]) < 0.7 * min(wavelet["source"])
    assert not list((tmp_path / "series" / "videos").rglob("*.mp4"))
    files = json.loads((tmp_path / "series" / "levels.json").read_text())
    assert {level: SignalTable.load(tmp_path / "series" / name) for level, name in files.items()} == levels


def test_a_copy_has_the_rate_that_is_known_of_its_source(drawn, tmp_path, monkeypatch):
    def probed(*_):
        raise AssertionError("the source was probed again")

    store, manifest = drawn
    monkeypatch.setattr("stf_mamba.media.probing.probe", probed)
    compression_series(store, manifest, tmp_path / "series", (23, 40), keep=True)
    monkeypatch.undo()
    copies = sorted((tmp_path / "series" / "videos").rglob("*.mp4"))
    assert [probe(copy).fps for copy in copies] == [Fraction(25)] * 4


def test_an_interrupted_series_continues_and_equals_a_whole_one(drawn, tmp_path):
    store, manifest = drawn

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compression_series(store, manifest, tmp_path / "cut", (40,), interrupt)
    assert not (tmp_path / "cut" / "levels.json").exists()
    measured = []
    assert compression_series(store, manifest, tmp_path / "cut", (40,), measured.append) == compression_series(
        store, manifest, tmp_path / "whole", (40,)
    )
    assert measured == ["drawn/real/b"]
    assert (tmp_path / "cut" / "bits-per-pixel.json").read_text() == (
        tmp_path / "whole" / "bits-per-pixel.json"
    ).read_text()


def test_a_kill_between_two_tables_leaves_no_video_half_counted(drawn, tmp_path):
    store, manifest = drawn
    whole = compression_series(store, manifest, tmp_path / "series", (40,))
    SignalTable(whole["crf 40"].rows[:5], whole["crf 40"].stamp).save(tmp_path / "series" / "crf-40.csv")
    left = tmp_path / "series" / "videos" / "crf-40" / f"{manifest.entries[1].sha256}.mp4"
    left.write_bytes(b"a copy that was not measured")
    measured = []
    assert compression_series(store, manifest, tmp_path / "series", (40,), measured.append) == whole
    assert measured == ["drawn/real/b"]
    assert not left.exists()


def test_a_video_that_is_gone_is_a_row_with_its_reason(drawn, tmp_path):
    store, manifest = drawn
    first, second = manifest.entries
    second = replace(second, record=replace(second.record, path=Path("gone.mp4")))
    levels = compression_series(store, Manifest("drawn", (first, second)), tmp_path / "series", (40,))
    assert all(row.value is not None for row in levels["crf 40"].rows[:5])
    assert all(row.value is None and "does not exist" in row.reason for row in levels["crf 40"].rows[5:])


def table(shift, pairs=12):
    footage = Footage(Fraction(25), 96, 96, 1.0)
    rows = []
    for pair in range(pairs):
        for label, method in ((0, "real"), (1, "Swap")):
            value = pair + label * (shift + 0.01 * pair * shift)
            rows.append(
                SignalRow(
                    f"d/{method}/{pair}", "flow", value, "px", label, (f"p{pair}",), method, "raw", footage, 1, None
                )
            )
    return SignalTable(tuple(rows), {})


@pytest.mark.parametrize("sign", [1, -1])
def test_a_difference_that_shrinks_grows_or_stays(sign):
    (finding,) = compression_findings({"source": table(2.0 * sign), "crf 40": table(0.5 * sign)})
    assert (finding.verdict, finding.n_pairs, finding.change) == ("shrinks", 12, sign)
    assert finding.p == pytest.approx(2 / 2**12)
    assert finding.median_change == pytest.approx(sign * 1.5 * (1 + 0.01 * 5.5))
    (finding,) = compression_findings({"source": table(0.5 * sign), "crf 40": table(2.0 * sign)})
    assert finding.verdict == "grows"
    assert compression_findings({"source": table(1.0), "crf 40": table(1.0)}) == ()


def test_levels_and_crfs_are_checked(drawn, tmp_path):
    with pytest.raises(ValueError, match="at least two"):
        compression_findings({"source": table(1.0)})
    with pytest.raises(ValueError, match="ascending"):
        compression_series(*drawn, tmp_path / "series", (40, 23))
