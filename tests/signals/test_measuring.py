"""The table of signals: measured once, continued after an interruption, and honest about what it could not measure."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from planted_clips import FRAMES, as_frames, still

from stf_mamba.clips.records import ClipSettings, Manifest, ManifestEntry, StoredVideo
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.errors import RunError
from stf_mamba.core.records import Clip, Face, FaceTrack, VideoRecord
from stf_mamba.core.seeds import derive_seed
from stf_mamba.faces.cropping import ALIGNED_LANDMARKS_PX
from stf_mamba.faces.settings import FaceSettings
from stf_mamba.media.probing import VideoInfo
from stf_mamba.signals import SIGNALS
from stf_mamba.signals import measuring as experiment_module
from stf_mamba.signals.measuring import clip_landmarks, measure_signals
from stf_mamba.signals.table import SignalTable
from video_files import write_video

SETTINGS = ClipSettings("none", FaceSettings(size_px=96, margin=1.0), frames=FRAMES, sampling="consecutive")
TIMES_S = tuple(index / 25 for index in range(FRAMES))


def track(track_id):
    """A face at rest whose box is the whole crop, so that its landmarks lie where ``face_clips`` puts them."""
    points = tuple(map(tuple, (0.6 * ALIGNED_LANDMARKS_PX + (14.5, 8.5)).tolist()))
    return FaceTrack(track_id, tuple(Face(time_s, (0.0, 0.0, 96.0, 96.0), points, 0.9) for time_s in TIMES_S))


def info(path, sha256):
    return VideoInfo(
        Path(path), sha256, 1, "mov", "h264", "yuv420p", 96, 96, 0, Fraction(25), FRAMES / 25, is_hdr=False, notes=()
    )


def add(store, name, pictures, path="absent.mp4", reason=None):
    """A manifest entry of one video with a clip for each of ``pictures``, by track."""
    sha256 = f"{derive_seed(name):064x}"
    clips = iter([Clip(number, TIMES_S, frames) for number, frames in enumerate(pictures)])
    tracks = tuple(track(number) for number in range(len(pictures)))
    store.write(sha256, StoredVideo(info(path, sha256), tracks, reason=reason), clips)
    record = VideoRecord(f"drawn/real/{name}", Path(path), 0, (f"d:{name}",), "real", "c23")
    return ManifestEntry(record, sha256, len(pictures), reason)


def clip(seed):
    generator = np.random.default_rng(seed)
    return as_frames(still(generator), generator)


@pytest.fixture
def store(tmp_path):
    return ClipStore.create(tmp_path / "clips", SETTINGS)


def test_a_row_a_video_and_signal_from_the_most_prominent_face(store, tmp_path):
    entry = add(store, "two people", [clip(1), clip(2)])
    table = measure_signals(store, Manifest("drawn", (entry,)), tmp_path / "signals.csv")
    video = store.video(entry.sha256)
    points = clip_landmarks(store, video, video.clips[0])
    assert [row.signal for row in table.rows] == list(SIGNALS)
    for row in table.rows:
        expected = SIGNALS[row.signal].measure(clip(1), points)
        assert (row.value, row.unit, row.n_clips) == (expected.value, expected.unit, 1)
        assert row.footage.fps == 25
    assert SignalTable.load(tmp_path / "signals.csv") == table


def test_what_cannot_be_measured_has_a_reason_and_no_number(store, tmp_path):
    grey = np.full((FRAMES, 96, 96, 3), 80, np.uint8)
    entries = add(store, "flat", [grey]), add(store, "faceless", [], reason="no usable face: none\nseen")
    table = measure_signals(store, Manifest("drawn", entries), tmp_path / "signals.csv")
    flat = {row.signal: row for row in table.rows[:5]}
    assert flat["srm"].value is None
    assert "no noise residual" in flat["srm"].reason
    assert flat["chromatic"].value is None
    assert flat["wavelet"].value == 0
    assert flat["wavelet"].reason is None
    assert {(row.value, row.n_clips, row.reason) for row in table.rows[5:]} == {(None, 0, "no usable face: none\nseen")}
    loaded = SignalTable.load(tmp_path / "signals.csv")
    assert loaded == table


def test_an_interrupted_table_continues_and_equals_an_uninterrupted_one(store, tmp_path, monkeypatch):
    entries = tuple(add(store, name, [clip(seed)]) for seed, name in enumerate(("a", "b", "c")))
    manifest = Manifest("drawn", entries)

    def interrupt(video_id):
        if video_id.endswith("/b"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_signals(store, manifest, tmp_path / "signals.csv", on_video=interrupt)
    measured = []
    monkeypatch.setattr(
        experiment_module, "clip_landmarks", lambda *given: measured.append(given) or clip_landmarks(*given)
    )
    continued = measure_signals(store, manifest, tmp_path / "signals.csv")
    assert len(measured) == 1
    whole = measure_signals(store, manifest, tmp_path / "whole.csv")
    assert continued == whole
    assert (tmp_path / "signals.csv").read_text() == (tmp_path / "whole.csv").read_text()


def test_a_table_made_otherwise_or_damaged_is_refused(store, tmp_path):
    path = tmp_path / "signals.csv"
    manifest = Manifest("drawn", (add(store, "a", [clip(1)]),))
    measure_signals(store, manifest, path)
    with pytest.raises(RunError, match="protocol 'consecutive', now 'report'"):
        measure_signals(store, manifest, path, "report")
    path.write_text(path.read_text().replace(",25,", ",twentyfive,", 1))
    with pytest.raises(RunError, match=r"line 6 does not parse.*twentyfive"):
        SignalTable.load(path)
    path.write_text("video_id,score\n")
    with pytest.raises(RunError, match=r"columns \['video_id', 'score'\]"):
        SignalTable.load(path)


def test_spread_clips_are_refused(tmp_path):
    spread = ClipStore.create(tmp_path, ClipSettings("none", frames=8))
    with pytest.raises(ValueError, match="'uniform', expected 'consecutive'"):
        measure_signals(spread, Manifest("drawn", ()), tmp_path / "signals.csv")


def test_the_reports_way_reads_the_video_itself(store, tmp_path):
    generator = np.random.default_rng(0)
    shown = as_frames(np.repeat(still(generator), 5, axis=0), generator)
    path = write_video(tmp_path / "shown.mp4", list(shown), crf=10)
    short = write_video(tmp_path / "short.mp4", list(shown[:9]))
    entries = add(store, "long", [clip(1)], path), add(store, "short", [clip(2)], short)
    table = measure_signals(store, Manifest("drawn", entries), tmp_path / "signals.csv", "report")
    frames = experiment_module.report_frames(path)
    for row in table.rows[:5]:
        assert row.value == SIGNALS[row.signal].report_variant(frames).value
    assert {row.value for row in table.rows[5:]} == {None}
    assert all("9 frames" in row.reason for row in table.rows[5:])
