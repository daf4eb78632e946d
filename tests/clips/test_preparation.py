"""Which frames of which faces become clips, and what is said of the others."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from fixed_faces import FixedFaces
from stf_mamba.clips.planning import find_clips, plan_clips, why_no_clips
from stf_mamba.clips.preparation import prepare
from stf_mamba.clips.records import ClipSettings, StoredVideo
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.errors import ClipStoreError, DatasetError, UsageError
from stf_mamba.core.files import sha256_of
from stf_mamba.core.locks import sole_use
from stf_mamba.core.records import Clip, DroppedTrack, VideoRecord
from stf_mamba.faces.tracking import FaceSearch
from stf_mamba.media.probing import probe
from synthetic import track
from video_files import numbered_frames, write_video

TIMES_S = tuple((np.arange(250) / 25).tolist())  # ten seconds at 25 frames a second


def search(*tracks, dropped=()):
    return FaceSearch(tracks, dropped, TIMES_S, 0)


def test_uniform_clip_spans_the_track():
    requests, dropped = plan_clips(search(track(seconds=4.0)), ClipSettings(window_s=None))
    ((found, times),) = requests
    assert found.id == 0
    assert (times[0], times[-1], len(set(times))) == (0.0, 4.0, 32)
    steps = np.diff(times)
    assert steps.max() - steps.min() <= 1 / 25 + 1e-9
    assert dropped == ()


def test_consecutive_clip_takes_neighbouring_frames():
    requests, _ = plan_clips(search(track(seconds=4.0)), ClipSettings(sampling="consecutive"))
    np.testing.assert_allclose(np.diff(requests[0][1]), 1 / 25)


def test_windows_bound_the_time_between_frames():
    settings = ClipSettings(window_s=2.0, clips_per_track=3)
    requests, _ = plan_clips(search(track(seconds=9.8)), settings)
    assert len(requests) == 3
    starts = [times[0] for _, times in requests]
    assert starts == sorted(starts)
    assert all(times[-1] - times[0] <= 3.0 for _, times in requests)
    assert starts[0] < 2.5
    assert starts[-1] > 5


def test_a_track_of_too_few_frames_is_dropped_with_the_count():
    earlier = DroppedTrack(0.0, 0.1, 12.0, "small")
    requests, dropped = plan_clips(search(track(seconds=1.0), dropped=(earlier,)), ClipSettings())
    assert requests == []
    assert [face.reason for face in dropped] == ["small", "shown in 26 frames, 32 are needed"]


def test_the_largest_face_gives_the_reason_that_there_are_no_clips():
    small = DroppedTrack(0.0, 9.0, 22.0, "the face is 22 px large, at least 40 px is needed")
    large = DroppedTrack(1.0, 1.4, 444.0, "seen for 0.4 s, at least 1 s is needed")
    middle = DroppedTrack(2.0, 2.4, 393.0, "seen for 0.6 s, at least 1 s is needed")
    said = why_no_clips(search(), (small, large, middle))
    assert said == "no usable face: 3 seen, the largest (444 px) dropped because seen for 0.4 s, at least 1 s is needed"
    assert why_no_clips(FaceSearch((), (), TIMES_S, 0, frames_searched=7), ()).startswith("no face found in 7 frames")


def test_a_crowd_is_cut_to_the_most_prominent():
    crowd = [track(number, 3.0) for number in range(5)]
    requests, dropped = plan_clips(search(*crowd), ClipSettings(tracks=2))
    assert {found.id for found, _ in requests} == {0, 1}
    assert [face.reason for face in dropped] == ["only the 2 most prominent faces are looked at"] * 3


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_chosen_windows_are_spread(count):
    settings = ClipSettings(frames=2, window_s=0.5, clips_per_track=count)
    requests, _ = plan_clips(search(track(seconds=9.8)), settings)
    middles = np.array([np.mean(times) for _, times in requests]) / 9.8
    np.testing.assert_allclose(middles, (np.arange(count) + 0.5) / count, atol=0.06)


def test_a_copy_under_the_other_label_is_an_error(tmp_path):
    records = [
        VideoRecord(f"d/{name}/a", tmp_path / f"{name}.mp4", int(name == "fake"), method=name)
        for name in ("real", "fake")
    ]
    for record in records:
        record.path.write_bytes(b"the same video")
    store = ClipStore.create(tmp_path / "clips", ClipSettings(frames=2))
    clip = Clip(0, (0.0, 1.0), np.zeros((2, 224, 224, 3), np.uint8))
    store.write(sha256_of(records[0].path), StoredVideo(None), iter([clip]))  # made before: nothing is decoded here
    with pytest.raises(DatasetError, match=r"1 files .* two labels.*real\.mp4 \(real\) and .*fake\.mp4 \(fake\)"):
        prepare(records, store, "d", jobs=1)
    assert store.manifests() == []
    manifest, _ = prepare(records[:1], store, "d", jobs=1)
    assert [entry.clips for entry in manifest.entries] == [1]


@pytest.fixture
def hashed(monkeypatch):
    """Names of the files that were hashed, in order."""
    names = []
    digest = hashlib.file_digest

    def counted(file, kind):
        names.append(Path(file.name).name)
        return digest(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    return names


def test_a_new_file_is_hashed_once(hashed, tmp_path):
    video = write_video(tmp_path / "a.mp4", numbered_frames(10))
    store = ClipStore.create(tmp_path / "clips", ClipSettings(frames=8))
    manifest, _ = prepare([VideoRecord("csv/real/a", video, 0)], store, "csv", jobs=1)
    assert manifest.entries[0].sha256 == hashlib.sha256(video.read_bytes()).hexdigest()
    assert hashed == ["a.mp4"]


def test_two_preparations_of_one_folder_do_not_meet(tmp_path):
    store = ClipStore(tmp_path / "clips", ClipSettings())
    with (
        sole_use(store.root, ClipStoreError, "kept"),
        pytest.raises(ClipStoreError, match="clips is in use by process"),
    ):
        prepare([VideoRecord("d/real/a", tmp_path / "a.mp4", 0)], store, "d", jobs=1)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_preparation_makes_no_folder(tmp_path):
    store = ClipStore(tmp_path / "clips", ClipSettings(detector="another one"))
    with pytest.raises(UsageError, match="face detector another one"):
        prepare([VideoRecord("d/real/a", tmp_path / "a.mp4", 0)], store, "d", jobs=1)
    assert list(tmp_path.iterdir()) == []


def test_notes_come_from_the_whole_file(tmp_path):
    parts = [
        write_video(tmp_path / f"{name}.ts", numbered_frames(25), options={"x264-params": params})
        for name, params in (("progressive", "tff=0"), ("interlaced", "tff=1"))
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert not any("Interlaced" in note for note in probe(path).notes)  # of the first picture
    video, _ = find_clips(path, FixedFaces(), ClipSettings("fixed"))
    assert sum("Interlaced" in note for note in video.info.notes) == 1
    assert any("runs backwards (1 times)" in note for note in video.info.notes)
    alone, _ = find_clips(parts[1], FixedFaces(), ClipSettings("fixed"))
    assert alone.info.notes == probe(parts[1]).notes
