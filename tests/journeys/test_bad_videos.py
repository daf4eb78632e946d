"""Files that are no videos, damaged videos and videos without a face, through ``stf detect`` and ``stf prepare``."""

import json
import os
import shutil

import av
import pytest
from home_settings import CLIP_OPTIONS, RECIPE
from terminal import partial_files, stf, stf_process

import video_files
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.records import Outcome, Verdict

TRUNCATED_TO = 0.85

# What the reason must say of each file that cannot be analysed.
NOT_ANALYSABLE = {
    "text": "not readable as a video",
    "empty": "the file is empty",
    "sound": "expected a video stream",
    "no-face": "no face found in 8 frames",
    "cut-index": "whole to its index",
    "matrix": "cannot be converted to RGB",
}
DAMAGED = ("truncated", "corrupt")


@pytest.fixture
def bad_videos(corpus, tmp_path):
    """A folder with one file of each kind; ``truncated`` still has its index, ``cut-index`` lost it."""
    folder = tmp_path / "bad"
    folder.mkdir()
    video_files.text_named_mp4(folder / "text.mp4")
    (folder / "empty.mp4").touch()
    video_files.audio_only(folder / "sound.mp4")
    video_files.write_video(folder / "no-face.mp4", video_files.numbered_frames(40, 320, 240))
    video_files.write_video(
        folder / "matrix.mp4", video_files.numbered_frames(40, 320, 240), tags=video_files.ColourTags(matrix=10)
    )
    video_files.truncate(shutil.copy(corpus.held_out, folder / "cut-index.mp4"), TRUNCATED_TO)
    video_files.truncate(_with_index_first(corpus.held_out, folder / "truncated.mp4"), TRUNCATED_TO)
    video_files.corrupt_middle(shutil.copy(corpus.held_out, folder / "corrupt.mp4"), 0.05)
    return folder


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "journey.toml").write_text(RECIPE, encoding="utf-8")
    return tmp_path / "journey.toml"


def test_detect_gives_each_bad_file_its_own_verdict(bad_videos, recipe, tmp_path):
    out = tmp_path / "verdicts"
    detected = stf("detect", bad_videos, "--untrained", "--recipe", recipe, "--out", out)
    assert detected.exit_code == 3
    assert partial_files(out) == []
    names = {*NOT_ANALYSABLE, *DAMAGED}
    assert {path.name for path in out.iterdir()} == {f"{name}.{kind}" for name in names for kind in ("json", "html")}
    verdicts = {name: _read(out / f"{name}.json") for name in names}

    for name, words in NOT_ANALYSABLE.items():
        verdict = verdicts[name]
        assert verdict.outcome is Outcome.NOT_ANALYSABLE
        assert (verdict.probability, verdict.interval, verdict.score, verdict.tracks) == (None, None, None, ())
        assert len(verdict.reasons) == 1
        assert words in verdict.reasons[0]
        assert f"{name}.mp4: not analysable" in detected.stdout
        assert verdict.reasons[0] in detected.stdout
        assert len(verdict.provenance["sha256"]) == 64

    for name in DAMAGED:
        verdict = verdicts[name]
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert verdict.reasons[0].startswith("The model is untrained")
        assert verdict.tracks
        assert any("is damaged (undecodable packets:" in reason for reason in verdict.reasons)
        assert f"{name}.mp4: cannot tell" in detected.stdout
    # The last sixth of the truncated file is gone, and nothing is claimed about it.
    (track,) = verdicts["truncated"].tracks
    assert 0.8 < track.clips[-1].end_s < TRUNCATED_TO * 1.6


def test_prepare_keeps_what_can_be_analysed_and_counts_the_rest(bad_videos, tmp_path):
    root, clips = _as_folder_data_set(bad_videos, tmp_path), tmp_path / "clips"
    prepared = stf("prepare", "--dataset", "folder", "--root", root, "--out", clips, *CLIP_OPTIONS)
    assert "folder: 2 of 8 videos analysed" in prepared.stdout
    assert partial_files(clips) == []
    store = ClipStore.open(clips)
    entries = {entry.record.path.stem: entry for entry in store.manifest().entries}
    for name, words in NOT_ANALYSABLE.items():
        assert words in entries[name].reason
        assert entries[name].clips == 0
        assert f"not analysable: {entries[name].record.video_id}: {entries[name].reason}" in prepared.stdout
    for name in DAMAGED:
        assert entries[name].reason is None
        assert entries[name].clips > 0
        assert store.video(entries[name].sha256).damaged_packets > 0
    assert prepared.exit_code == 3  # some input was not analysable


@pytest.mark.parametrize("verb", ["detect", "signals", "prepare"])
def test_a_file_whose_name_is_no_text_ends_nothing(verb, recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:strict")
    (tmp_path / "real").mkdir()
    (tmp_path / "fake").mkdir()
    names = os.fsdecode(b"real/\xff.mp4"), "fake/z.mp4"
    videos = [
        video_files.write_video(tmp_path / name, video_files.numbered_frames(9, first=len(name))) for name in names
    ]
    out = tmp_path / "out"
    arguments = {
        "detect": (*videos, "--untrained", "--recipe", recipe),
        "signals": videos,
        "prepare": ("--dataset", "folder", "--root", tmp_path, "--frames", 8, "--jobs", 1),
    }
    finished = stf_process(verb, *arguments[verb], "--out", out)
    assert finished.exit_code == 3, finished.stderr
    assert (finished.stdout + finished.stderr).count("no face found") == 2
    assert r"\udcff" in finished.stdout + finished.stderr
    assert not (out / "errors.log").exists()
    if verb == "detect":
        assert _read(out / f"{videos[0].stem}.json").provenance["path"] == str(videos[0])
        assert (out / f"{videos[0].stem}.html").is_file()


@pytest.mark.parametrize(
    "command", [("detect",), ("prepare", "--dataset", "folder", "--out", "clips", "--root")], ids=["detect", "prepare"]
)
def test_a_missing_path_is_wrong_usage(command, tmp_path):
    missing = tmp_path / "missing.mp4"
    refused = stf(*command, missing)
    assert refused.exit_code == 2
    assert refused.stderr.count(str(missing)) == 1
    assert "does not exist" in refused.stderr


def test_a_folder_without_videos_is_named_with_what_was_looked_for(recipe, tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "notes.txt").write_text("no video")
    refused = stf("detect", folder, "--untrained", "--recipe", recipe, "--out", tmp_path / "verdicts")
    assert refused.exit_code == 2
    assert str(folder) in refused.error
    assert ".mp4" in refused.error
    assert not (tmp_path / "verdicts").exists()

    for name in ("real", "fake"):
        (folder / name).mkdir()
    refused = stf("prepare", "--dataset", "folder", "--root", folder, "--out", tmp_path / "clips")
    assert refused.exit_code == 1
    assert f"{folder / 'real'}: no video in it" in refused.error
    assert ".mp4" in refused.error
    assert not (tmp_path / "clips").exists()


def _read(path):
    return Verdict.from_json(json.loads(path.read_text(encoding="utf-8")))


def _with_index_first(source, target):
    """A copy of an MP4 with its index before its pictures, so that it can be opened when its end is missing."""
    with av.open(str(source)) as old, av.open(str(target), "w", options={"movflags": "faststart"}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return target


def _as_folder_data_set(videos, parent):
    """The files as a data set of two classes; what the labels are does not matter here."""
    root = parent / "root"
    for label, names in (("real", DAMAGED), ("fake", NOT_ANALYSABLE)):
        (root / label).mkdir(parents=True)
        for name in names:
            shutil.copy(videos / f"{name}.mp4", root / label)
    return root
