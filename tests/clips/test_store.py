"""Prepared clips: bit for bit what was cut, whole or absent, and never those of other settings."""

import errno
import os
import socket

import numpy as np
import pytest

from stf_mamba.clips.records import ClipSettings, Manifest, StoredVideo
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.errors import ClipChoiceError, ClipStoreError
from stf_mamba.core.records import Clip
from stf_mamba.faces.settings import FaceSettings
from synthetic import FRAMES, SETTINGS, synthetic_clip, track

SHA = "ab" + "0" * 62


def test_frames_come_back_bit_for_bit_and_read_only(tmp_path):
    store = ClipStore.create(tmp_path, SETTINGS)
    generator = np.random.default_rng(0)
    clips = [
        Clip(0, (0.0, 0.1, 0.2, 0.3), generator.integers(0, 256, (FRAMES, 224, 224, 3), dtype=np.uint8)),
        Clip(0, (0.4, 0.5, 0.6, 0.7), generator.integers(0, 256, (FRAMES, 224, 224, 3), dtype=np.uint8)),
    ]
    stored = store.write(SHA, StoredVideo(None, (track(),)), iter(clips))
    again = ClipStore.open(tmp_path)
    assert again.settings == SETTINGS
    assert again.video(SHA) == stored
    for clip, entry in zip(clips, again.video(SHA).clips, strict=True):
        frames = again.frames(SHA, entry)
        np.testing.assert_array_equal(frames, clip.frames)
        assert entry.times_s == clip.times_s
        with pytest.raises(ValueError, match="read-only"):
            frames[0, 0, 0, 0] = 1


@pytest.mark.parametrize(
    "other",
    [
        ClipSettings("none", FaceSettings(margin=1.25), frames=FRAMES),
        ClipSettings("yunet", frames=FRAMES),
        ClipSettings("none", frames=8),
        ClipSettings("none", frames=FRAMES, sampling="consecutive"),
        ClipSettings("none", frames=FRAMES, window_s=None),
    ],
)
def test_other_settings_never_see_these_clips(tmp_path, other):
    store = ClipStore.create(tmp_path, SETTINGS)
    store.write(SHA, StoredVideo(None, (track(),)), iter([synthetic_clip("a", 0)]))
    assert store.has(SHA)
    assert not ClipStore.create(tmp_path, other).has(SHA)
    with pytest.raises(ClipChoiceError, match="holds clips of 2 settings"):
        ClipStore.open(tmp_path)
    assert ClipStore.open(tmp_path, other.key[:8]).settings == other


def test_a_failure_midway_leaves_nothing(tmp_path):
    store = ClipStore.create(tmp_path, SETTINGS)

    def clips():
        yield synthetic_clip("a", 0)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ClipStoreError, match="is full; free some space and run the same command again"):
        store.write(SHA, StoredVideo(None, (track(),)), clips())
    assert not store.has(SHA)
    assert list((store.folder / "videos").glob("*/*")) == []


def test_what_a_dead_process_left_is_removed_on_opening(tmp_path):
    store = ClipStore.create(tmp_path, SETTINGS)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    dead = store.video_folder(SHA).with_name(f".{SHA}.{socket.gethostname()}@{child}.partial")
    dead.mkdir(parents=True)
    (dead / "000.npy").write_bytes(b"half")
    ClipStore.create(tmp_path, SETTINGS)
    assert not dead.exists()


def test_two_processes_may_finish_the_same_file(tmp_path):
    store = ClipStore.create(tmp_path, SETTINGS)

    def meanwhile():
        yield synthetic_clip("a", 0)
        child = os.fork()
        if child == 0:
            store.write(SHA, StoredVideo(None, (track(),)), iter([synthetic_clip("a", 0)]))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

    video = store.write(SHA, StoredVideo(None, (track(),)), meanwhile())
    assert video == store.video(SHA)
    assert len(video.clips) == 1
    assert [path.name for path in store.video_folder(SHA).parent.iterdir()] == [SHA]


def test_what_is_finished_is_not_written_again(tmp_path):
    store = ClipStore.create(tmp_path, SETTINGS)
    first = store.write(SHA, StoredVideo(None, (track(),)), iter([synthetic_clip("a", 0)]))

    def never():
        raise AssertionError("cut again")
        yield

    assert store.write(SHA, StoredVideo(None, (track(),)), never()) == first


def test_damage_is_named_with_the_next_step(tmp_path):
    store = ClipStore.create(tmp_path, SETTINGS)
    video = store.write(SHA, StoredVideo(None, (track(),)), iter([synthetic_clip("a", 0)]))
    path = store.video_folder(SHA) / video.clips[0].file
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ClipStoreError, match=r"cannot read the clip .*remove .* and prepare again"):
        store.frames(SHA, video.clips[0])
    np.save(path, np.zeros((2, 224, 224, 3), np.uint8))
    with pytest.raises(ClipStoreError, match=r"holds uint8 \(2, 224, 224, 3\), expected uint8 \(4, 224, 224, 3\)"):
        store.frames(SHA, video.clips[0])
    (store.video_folder(SHA) / "video.json").write_text("{")
    with pytest.raises(ClipStoreError, match=r"video\.json, line 1, column 2: no JSON"):
        store.video(SHA)
    with pytest.raises(ClipStoreError, match=r"video\.json is missing; remove .* and run stf prepare again"):
        store.video("cd" + SHA[2:])


def test_what_is_not_there_is_said(tmp_path):
    assert ClipChoiceError.exit_code == 2  # wrong usage
    with pytest.raises(ClipChoiceError, match="no prepared clips under"):
        ClipStore.open(tmp_path)
    store = ClipStore.create(tmp_path, SETTINGS)
    with pytest.raises(ClipStoreError, match="no data set has been prepared completely"):
        store.manifest()
    store.save_manifest(Manifest("a", ()))
    store.save_manifest(Manifest("b", ()))
    with pytest.raises(ClipChoiceError, match="holds the data sets a, b; choose one"):
        store.manifest()
    with pytest.raises(ClipChoiceError, match=r"no data set 'c' in .* it holds: a, b"):
        store.manifest("c")
    assert store.manifest("b").name == "b"


@pytest.mark.parametrize("wrong", [{"frames": 1}, {"clips_per_track": 0}, {"tracks": 0}, {"window_s": 0.0}])
def test_settings_out_of_range(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ClipSettings(**wrong)
